use burn::tensor::{DType, Tensor, activation as of_burn, module};
use kiln_kernels::activation::{self, Function};
use kiln_kernels::linear;
use proptest::prelude::*;

use crate::exactness::{assert_exact, assert_same_bits, exact, random};

fn agrees(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) {
    let (y, slopes) = linear::forward_activated(x.clone(), weight.clone(), Some(bias.clone()), Function::Gelu, true);
    let (alone, none) = linear::forward_activated(x.clone(), weight.clone(), Some(bias.clone()), Function::Gelu, false);
    assert!(alone.to_data() == y.to_data() && none.is_none());
    let upstream = random(y.dims());
    let inner = activation::backward(slopes.unwrap(), upstream.clone());
    let (of_x, of_weight, of_bias) = linear::backward(x.clone(), weight.clone(), inner, [true; 3]);

    let (x, weight, bias) = (exact(&x), exact(&weight), exact(&bias));
    let expected = of_burn::gelu(module::linear(x.clone(), weight.clone(), Some(bias.clone())));
    assert_exact(&y, &expected.clone().inner());
    let gradients = (expected * upstream.cast(DType::F64).autodiff()).sum().backward();
    assert_exact(&of_x.unwrap(), &x.grad(&gradients).unwrap());
    assert_exact(&of_weight.unwrap(), &weight.grad(&gradients).unwrap());
    assert_exact(&of_bias.unwrap(), &bias.grad(&gradients).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

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
