use burn::tensor::{DType, Device, Tensor};
use kiln_check::random::cases;
use kiln_check::rounding::Bounded;
use kiln_check::{assert_close, values};
use kiln_kernels::layer_norm::{self, Centre};
use proptest::prelude::*;

use crate::exactness::{assert_same_bits, exact, in_lanes, random};

const EPSILON: f64 = 1e-5;

fn formula(x: Tensor<3>, gamma: Tensor<1>, beta: Option<Tensor<1>>, centre: Centre) -> Tensor<3> {
    let centred = if centre == Centre::Mean { x.clone() - x.mean_dim(2) } else { x };
    let rate = (centred.clone().square().mean_dim(2) + EPSILON).sqrt().recip();
    let scaled = centred * rate * gamma.unsqueeze::<3>();
    match beta {
        Some(beta) => scaled + beta.unsqueeze::<3>(),
        None => scaled,
    }
}

/// The forward and the backward pass with their roundings. A row whose numbers are close together loses digits to their
/// mean, and its gradient is a small rest of large numbers: the bounds grow with both.
struct Rounded {
    y: Bounded<3>,
    of_x: Bounded<3>,
    of_gamma: Bounded<3>,
    of_beta: Bounded<3>,
}

impl Rounded {
    fn new(x: &Tensor<3>, gamma: &Tensor<1>, beta: Option<&Tensor<1>>, upstream: &Tensor<3>, centre: Centre) -> Self {
        let [outer, rows, cols] = x.dims();
        let mean = |x: Bounded<3>| x.linear(in_lanes(cols), |x| x.sum_dim(2)).scaled(1.0 / cols as f64);
        let along_rows = |vector: &Tensor<1>| Bounded::given(&vector.clone().unsqueeze::<3>());
        let over_rows = |x: Bounded<3>| x.linear(outer * rows + 1, |x| x.sum_dim(0).sum_dim(1));
        let (x, gamma, upstream) = (Bounded::given(x), along_rows(gamma), Bounded::given(upstream));

        let centred = if centre == Centre::Mean { x.clone() - mean(x) } else { x };
        let rate = mean(centred.clone() * centred.clone()).shifted(EPSILON).recip_of_root();
        let z = centred.clone() * rate.clone();
        let scaled = z.clone() * gamma.clone();
        let y = beta.map_or(scaled.clone(), |beta| scaled + along_rows(beta));

        let h = upstream.clone() * gamma;
        let along = mean(h.clone() * centred) * rate.clone();
        let moved = if centre == Centre::Mean { h.clone() - mean(h) } else { h };
        let of_x = rate * (moved - z.clone() * along);
        Self { y, of_x, of_gamma: over_rows(upstream.clone() * z), of_beta: over_rows(upstream) }
    }
}

fn agrees(x: Tensor<3>, gamma: Tensor<1>, beta: Option<Tensor<1>>, centre: Centre) {
    let upstream = random(x.dims());
    agrees_for(x, gamma, beta, upstream, centre);
}

fn agrees_for(x: Tensor<3>, gamma: Tensor<1>, beta: Option<Tensor<1>>, upstream: Tensor<3>, centre: Centre) {
    let (y, statistics) = layer_norm::forward(x.clone(), gamma.clone(), beta.clone(), EPSILON, centre);
    let (of_x, of_gamma, of_beta) =
        layer_norm::backward(x.clone(), gamma.clone(), &statistics, upstream.clone(), centre, [true; 3]);
    let bounds = Rounded::new(&x, &gamma, beta.as_ref(), &upstream, centre);

    let (x, gamma, beta) = (exact(&x), exact(&gamma), beta.as_ref().map(exact));
    let expected = formula(x.clone(), gamma.clone(), beta.clone(), centre);
    bounds.y.around(&expected).assert_holds(&y, "output");
    let gradients = (expected * upstream.cast(DType::F64).autodiff()).sum().backward();
    bounds.of_x.around(&x.grad(&gradients).unwrap()).assert_holds(&of_x.unwrap(), "gradient by the input");
    let of_gamma = of_gamma.unwrap().unsqueeze();
    bounds.of_gamma.around(&gamma.grad(&gradients).unwrap().unsqueeze()).assert_holds(&of_gamma, "by gamma");
    bounds.of_beta.assert_holds(&of_beta.unwrap().unsqueeze(), "by beta");
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn output_and_gradients_are_those_of_the_formula(
        [outer, rows, cols] in [1..4usize, 1..60usize, 2..130usize],
        has_beta: bool,
        is_centred: bool,
    ) {
        let centre = if is_centred { Centre::Mean } else { Centre::Zero };
        agrees(random([outer, rows, cols]), random([cols]), has_beta.then(|| random([cols])), centre);
    }
}

#[test]
fn many_rows_are_shared_out_and_long_rows_are_whole() {
    for dims in [[4, 900, 64], [2, 3, 20_000], [1, 2080, 192]] {
        agrees(random(dims), random([dims[2]]), Some(random([dims[2]])), Centre::Mean);
    }
}

#[test]
fn a_mean_far_from_zero_costs_only_its_own_digits() {
    agrees(random([1, 50, 64]) + 100.0, Tensor::ones([64], &Device::flex()), None, Centre::Mean);
}

#[test]
fn rows_of_nearly_equal_numbers_lose_only_the_digits_that_they_share() {
    for spread in [1e-1, 1e-2, 1e-3, 1e-4] {
        for cols in [2, 3, 17] {
            let x = random([1, 40, cols]) * spread + random([1, 40, 1]);
            agrees(x, random([cols]), Some(random([cols])), Centre::Mean);
        }
    }
}

#[test]
fn views_of_all_kinds_are_read_as_burn_reads_them() {
    let gamma = || random([6]).narrow(0, 1, 4);
    for x in [
        random([3, 5, 9]).narrow(2, 2, 4),
        random([4, 5, 3]).swap_dims(0, 2),
        random([3, 5, 4]).flip([2, 0]),
        random([1, 1, 4]).expand([3, 5, 4]),
    ] {
        agrees(x, gamma(), Some(gamma()), Centre::Mean);
    }
    // The gradient of all outputs' sum may be one number everywhere.
    let upstream = Tensor::<3>::ones([1, 1, 1], &Device::flex()).expand([1, 3, 4]);
    agrees_for(random([1, 3, 4]), Tensor::ones([4], &Device::flex()), None, upstream, Centre::Mean);
}

#[test]
fn constant_rows_are_zero_and_empty_tensors_empty() {
    let device = Device::flex();
    let (x, ones) = (Tensor::<2>::full([2, 5], 3.0, &device), Tensor::ones([5], &device));
    let (y, _) = layer_norm::forward(x, ones, None, EPSILON, Centre::Mean);
    assert_close(&values(&y), &[0.0; 10], 1e-6);
    for [rows, cols] in [[0, 3], [2, 0]] {
        let (x, gamma) = (Tensor::<2>::zeros([rows, cols], &device), Tensor::<1>::ones([cols], &device));
        let (y, statistics) = layer_norm::forward(x.clone(), gamma.clone(), Some(gamma.clone()), EPSILON, Centre::Mean);
        assert_eq!(y.dims(), [rows, cols]);
        let (of_x, of_gamma, _) = layer_norm::backward(x, gamma, &statistics, y, Centre::Mean, [true; 3]);
        assert_eq!((of_x.unwrap().dims(), of_gamma.unwrap().dims()), ([rows, cols], [cols]));
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (x, gamma, upstream) = (random([2000, 70]), random([70]), random([2000, 70]));
    assert_same_bits(|| {
        let (y, statistics) = layer_norm::forward(x.clone(), gamma.clone(), None, EPSILON, Centre::Mean);
        let wanted = [true; 3];
        let (of_x, of_gamma, of_beta) =
            layer_norm::backward(x.clone(), gamma.clone(), &statistics, upstream.clone(), Centre::Mean, wanted);
        vec![y, of_x.unwrap(), of_gamma.unwrap().unsqueeze(), of_beta.unwrap().unsqueeze()]
    });
}

#[test]
#[should_panic(expected = "an input of shape [3, 4] and a scale of 5 numbers do not fit")]
fn shapes_that_do_not_fit_are_named() {
    layer_norm::forward(random([3, 4]), random([5]), None, EPSILON, Centre::Mean);
}
