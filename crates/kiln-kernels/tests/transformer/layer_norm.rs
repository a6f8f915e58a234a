use burn::tensor::{DType, Device, Tensor};
use kiln_check::{assert_close, values};
use kiln_kernels::layer_norm::{self, Centre};
use proptest::prelude::*;

use crate::exactness::{assert_exact, assert_same_bits, exact, random};

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

fn agrees(x: Tensor<3>, gamma: Tensor<1>, beta: Option<Tensor<1>>, centre: Centre) {
    let (y, statistics) = layer_norm::forward(x.clone(), gamma.clone(), beta.clone(), EPSILON, centre);
    let upstream = random(y.dims());
    let (of_x, of_gamma, of_beta) =
        layer_norm::backward(x.clone(), gamma.clone(), &statistics, upstream.clone(), centre, [true; 3]);

    let (x, gamma, beta) = (exact(&x), exact(&gamma), beta.as_ref().map(exact));
    let expected = formula(x.clone(), gamma.clone(), beta.clone(), centre);
    assert_exact(&y, &expected.clone().inner());
    let gradients = (expected * upstream.cast(DType::F64).autodiff()).sum().backward();
    assert_exact(&of_x.unwrap(), &x.grad(&gradients).unwrap());
    assert_exact(&of_gamma.unwrap(), &gamma.grad(&gradients).unwrap());
    if let Some(beta) = beta {
        assert_exact(&of_beta.unwrap(), &beta.grad(&gradients).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

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
    let x = random([1, 50, 64]) + 100.0;
    let (y, _) = layer_norm::forward(x.clone(), Tensor::ones([64], &Device::flex()), None, EPSILON, Centre::Mean);
    let expected = formula(exact(&x), exact(&Tensor::ones([64], &Device::flex())), None, Centre::Mean);
    assert_close(&values(&y), &values(&expected), 1e-4);
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
    let upstream = Tensor::<2>::ones([1, 1], &Device::flex()).expand([3, 4]);
    let (x, ones) = (random([3, 4]), Tensor::ones([4], &Device::flex()));
    let (_, statistics) = layer_norm::forward(x.clone(), ones.clone(), None, EPSILON, Centre::Mean);
    let (of_x, _, of_beta) = layer_norm::backward(x, ones, &statistics, upstream, Centre::Mean, [true; 3]);
    assert_close(&values(&of_beta.unwrap()), &[3.0; 4], 0.0);
    assert_close(&values(&of_x.unwrap()), &[0.0; 12], 1e-6);
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
