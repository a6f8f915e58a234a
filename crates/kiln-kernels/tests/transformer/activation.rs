use burn::tensor::{DType, Device, Tensor, activation as of_burn};
use kiln_check::values;
use kiln_kernels::activation::{self, Function};
use kiln_kernels::rectify;

use crate::exactness::{assert_exact, assert_same_bits, exact, random};

type OfBurn = fn(Tensor<1>) -> Tensor<1>;

const FUNCTIONS: [(Function, OfBurn); 7] = [
    (Function::Relu, of_burn::relu),
    (Function::Gelu, of_burn::gelu),
    (Function::GeluTanh, of_burn::gelu_approximate),
    (Function::Silu, of_burn::silu),
    (Function::Exp, Tensor::exp),
    (Function::Log, Tensor::log),
    (Function::Erf, Tensor::erf),
];

/// Numbers of the function's domain, of a length that is no multiple of any vector.
fn inputs(function: Function, len: usize) -> Tensor<1> {
    let x = random([len]) * 3.0;
    if function == Function::Log { x.abs() + 1e-3 } else { x }
}

#[test]
fn values_and_gradients_are_those_of_burn_for_any_length() {
    for (function, burn) in FUNCTIONS {
        for len in (0..70).chain([16_383, 16_385, 50_001]) {
            let x = inputs(function, len);
            let (y, slopes) = activation::forward_with_slope(function, x.clone());
            assert!(activation::forward(function, x.clone()).to_data() == y.to_data(), "{function:?}");
            let upstream = random([len]);
            let tracked = exact(&x);
            let expected = burn(tracked.clone());
            assert_exact(&y, &expected.clone().inner());
            let gradients = (expected * upstream.clone().cast(DType::F64).autodiff()).sum().backward();
            assert_exact(&activation::backward(slopes, upstream), &tracked.grad(&gradients).unwrap());
        }
    }
}

#[test]
fn the_gradient_of_relu_follows_from_its_output() {
    let x = Tensor::<1>::from_floats([-1.0, 0.0, 2.0], &Device::flex());
    let y = activation::forward(Function::Relu, x);
    let gradient = rectify::backward(y, Tensor::from_floats([5.0, 6.0, 7.0], &Device::flex()));
    assert_eq!(values(&gradient), [0.0, 0.0, 7.0]);
}

#[test]
fn views_and_shared_tensors_are_left_as_they_are() {
    let x = random([30, 40]);
    let before = x.to_data();
    let turned = activation::forward(Function::Gelu, x.clone().transpose());
    assert_eq!(turned.into_data(), activation::forward(Function::Gelu, x.clone()).transpose().into_data());
    let slopes = random([30, 40]);
    let kept = slopes.to_data();
    activation::backward(x.clone(), slopes.clone());
    assert_eq!((x.into_data(), slopes.into_data()), (before, kept));
}

#[test]
fn parts_of_every_alignment_have_the_bits_of_the_whole() {
    let x = random([200]);
    for (function, _) in FUNCTIONS {
        let whole = activation::forward(function, x.clone()).to_data().try_to_vec::<f32>().unwrap();
        for start in 0..33 {
            for len in [1, 15, 16, 17, 31, 33, 100] {
                let part = activation::forward(function, x.clone().narrow(0, start, len));
                let part = part.into_data().try_to_vec::<f32>().unwrap();
                let same = part.iter().zip(&whole[start..]).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{function:?}, {len} from {start}");
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let x = random([100_003]);
    assert_same_bits(|| {
        let (y, slopes) = activation::forward_with_slope(Function::Gelu, x.clone());
        vec![y, slopes]
    });
}
