use burn::tensor::{DType, Device, Tensor, activation};
use kiln_check::random::cases;
use kiln_check::rounding::Bounded;
use kiln_check::{assert_close, values};
use kiln_kernels::softmax;
use proptest::prelude::*;

use crate::exactness::{assert_same_bits, exact, in_lanes, random};

fn agrees(x: Tensor<2>) {
    let upstream = random(x.dims());
    let tracked = exact(&x);
    let pulled = |output: Tensor<2>| {
        let gradients = (output.clone() * upstream.clone().cast(DType::F64).autodiff()).sum().backward();
        (output.inner(), tracked.grad(&gradients).unwrap())
    };
    let sum = |x: Bounded<2>| x.linear(in_lanes(tracked.dims()[1]), |x| x.sum_dim(1));
    let [largest, g] = [&x.clone().max_dim(1), &upstream].map(Bounded::given);
    let shifted = Bounded::given(&x) - largest;
    let total = sum(shifted.clone().exp());

    let (expected, gradient) = pulled(activation::softmax(tracked.clone(), 1));
    let bounds = shifted.clone().exp() * total.clone().recip();
    let gradient_bounds = bounds.clone() * (g.clone() - sum(g.clone() * bounds.clone()));
    let y = softmax::forward(x.clone());
    bounds.around(&expected).assert_holds(&y, "softmax");
    gradient_bounds.around(&gradient).assert_holds(&softmax::backward(y, upstream.clone()), "gradient of softmax");

    let (expected, gradient) = pulled(activation::log_softmax(tracked.clone(), 1));
    let bounds = shifted - total.log();
    let gradient_bounds = g.clone() - bounds.clone().exp() * sum(g);
    let y = softmax::log_forward(x);
    bounds.around(&expected).assert_holds(&y, "logarithm");
    gradient_bounds
        .around(&gradient)
        .assert_holds(&softmax::log_backward(y, upstream.clone()), "gradient of logarithm");
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn outputs_and_gradients_are_those_of_burn([rows, cols] in [1..60usize, 1..150usize], spread in 0.1..3.0f64) {
        agrees(random([rows, cols]) * spread);
    }
}

#[test]
fn many_rows_and_long_rows_are_those_of_burn() {
    for dims in [[3000, 10], [5, 30_000], [200, 200]] {
        agrees(random(dims));
    }
}

#[test]
fn views_are_left_as_they_are() {
    let wide = random([20, 30]);
    let before = wide.to_data();
    agrees(wide.clone().transpose());
    agrees(wide.clone().narrow(1, 3, 17));
    agrees(wide.clone().narrow(0, 0, 1).expand([5, 30]));
    assert_eq!(wide.into_data(), before);
}

#[test]
fn extreme_rows_have_their_limits() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let x = Tensor::<2>::from_floats([[-inf, 0.0, 0.0], [300.0, -300.0, 300.0], [nan, 0.0, 1.0]], &Device::flex());
    let y = values(&softmax::forward(x.clone()));
    assert_close(&y[..6], &[0.0, 0.5, 0.5, 0.5, 0.0, 0.5], 1e-7);
    assert!(y[6..].iter().all(|value| value.is_nan()));
    let y = values(&softmax::log_forward(x));
    let half = 0.5_f64.ln();
    assert_close(&y[..6], &[f64::NEG_INFINITY, half, half, half, half - 600.0, half], 1e-6);
    assert!(y[6..].iter().all(|value| value.is_nan()));
}

#[test]
fn empty_tensors_are_empty() {
    for dims in [[0, 3], [3, 0]] {
        let x = Tensor::<2>::zeros(dims, &Device::flex());
        assert_eq!(softmax::forward(x.clone()).dims(), dims);
        assert_eq!(softmax::backward(x.clone(), x).dims(), dims);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (x, upstream) = (random([1000, 77]), random([1000, 77]));
    assert_same_bits(|| {
        let (y, log) = (softmax::forward(x.clone()), softmax::log_forward(x.clone()));
        let gradients =
            [softmax::backward(y.clone(), upstream.clone()), softmax::log_backward(log.clone(), upstream.clone())];
        [y, log].into_iter().chain(gradients).collect()
    });
}
