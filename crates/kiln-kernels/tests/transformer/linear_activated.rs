use burn::tensor::{DType, Tensor, activation as of_burn, module};
use kiln_check::random::cases;
use kiln_check::rounding::Bounded;
use kiln_kernels::activation::{self, Function};
use kiln_kernels::linear;
use proptest::prelude::*;

use crate::exactness::{assert_same_bits, exact, random};

/// `Phi(x) + x phi(x)` of the normal distribution.
fn slope_of_gelu(x: Tensor<2>) -> Tensor<2> {
    let density =
        (x.clone().square() * -0.5).exp() * (0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
    ((x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5 + x * density
}

/// Bounds of `gelu(x W + b)` and of its gradients by all three.
fn bounds(x: &Tensor<2>, weight: &Tensor<2>, bias: &Tensor<1>, upstream: &Tensor<2>) -> (Bounded<2>, [Bounded<2>; 3]) {
    let [rows, inputs] = x.dims();
    let outputs = weight.dims()[1];
    let [x, weight, bias] = [x, weight, &bias.clone().unsqueeze()].map(Bounded::given);
    // The bias is the beginning of the sum.
    let terms = x.clone().bilinear(weight.clone(), inputs + 1, Tensor::matmul);
    let moved = terms + bias.linear(inputs + 1, |bias| bias);
    // Of itself the function is within 6e-7, and its slope within 1e-6; no slope of the slope is above one.
    // Burn's own, in double precision, is a small rest of one where the normal distribution function is small.
    let off = |error: Tensor<2>| Bounded::within(&error.zeros_like(), &error, DType::F32);
    let of_reference = off((moved.value().abs() + 1.0) * 1e-15);
    let y = moved.clone().map(10.0, of_burn::gelu, slope_of_gelu) + of_reference;
    let slopes = moved.clone().map(0.0, slope_of_gelu, |x| x.ones_like()) + off(moved.value().full_like(1e-6));
    let inner = slopes * Bounded::given(upstream);
    let of_x = inner.clone().bilinear(weight, outputs, |g, weight| g.matmul(weight.transpose()));
    let of_weight = x.bilinear(inner.clone(), rows, |x, g| x.transpose().matmul(g));
    (y, [of_x, of_weight, inner.linear(rows, |g| g.sum_dim(0))])
}

fn agrees(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) {
    let (y, slopes) = linear::forward_activated(x.clone(), weight.clone(), Some(bias.clone()), Function::Gelu, true);
    let (alone, none) = linear::forward_activated(x.clone(), weight.clone(), Some(bias.clone()), Function::Gelu, false);
    assert!(alone.to_data() == y.to_data() && none.is_none());
    let upstream = random(y.dims());
    let inner = activation::backward(slopes.unwrap(), upstream.clone());
    let (of_x, of_weight, of_bias) = linear::backward(x.clone(), weight.clone(), inner, [true; 3]);
    let (bounds_of_y, [bounds_of_x, bounds_of_weight, bounds_of_bias]) = bounds(&x, &weight, &bias, &upstream);

    let (x, weight, bias) = (exact(&x), exact(&weight), exact(&bias));
    let expected = of_burn::gelu(module::linear(x.clone(), weight.clone(), Some(bias.clone())));
    bounds_of_y.around(&expected).assert_holds(&y, "output");
    let gradients = (expected * upstream.cast(DType::F64).autodiff()).sum().backward();
    bounds_of_x.around(&x.grad(&gradients).unwrap()).assert_holds(&of_x.unwrap(), "gradient by the input");
    bounds_of_weight.around(&weight.grad(&gradients).unwrap()).assert_holds(&of_weight.unwrap(), "by the weight");
    let by_bias = bias.grad(&gradients).unwrap().unsqueeze();
    bounds_of_bias.around(&by_bias).assert_holds(&of_bias.unwrap().unsqueeze(), "by the bias");
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn output_and_gradients_are_those_of_burn([rows, inputs, outputs] in [0..60usize, 1..80usize, 1..80usize]) {
        agrees(random([rows, inputs]), random([inputs, outputs]), random([outputs]));
    }
}

#[test]
fn products_that_are_cut_are_those_of_burn() {
    for [rows, inputs, outputs] in [[300, 128, 200], [7, 700, 900], [2000, 40, 30]] {
        agrees(random([rows, inputs]), random([inputs, outputs]), random([outputs]));
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (x, weight, bias) = (random([500, 70]), random([70, 300]), random([300]));
    assert_same_bits(|| {
        let (y, slopes) =
            linear::forward_activated(x.clone(), weight.clone(), Some(bias.clone()), Function::Silu, true);
        vec![y, slopes.unwrap()]
    });
}
