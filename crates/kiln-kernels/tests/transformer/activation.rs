use burn::tensor::{Device, Tensor, activation as of_burn};
use kiln_check::rounding::{assert_within, double};
use kiln_check::values;
use kiln_kernels::activation::{self, Function};
use kiln_kernels::rectify;

use crate::exactness::{assert_same_bits, exact, random};

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

/// How far the value and the slope at `x` may be from these exact ones: what the functions of `elementary` promise.
fn allowed(function: Function, x: f64, [value, slope]: [f64; 2]) -> [f64; 2] {
    const UNIT: f64 = 0.5 * f32::EPSILON as f64;
    let [value, slope] = [value.abs(), slope.abs()];
    // Burn's own, in double precision, is a small rest of one where the normal distribution function is small.
    let of_reference = 1e-15 * (1.0 + x.abs());
    // Where `tanh` is near -1, the error of its exponent counts.
    let exponent = 1.6 * x.abs() * (1.0 + 0.044715 * x * x);
    match function {
        Function::Relu => [0.0, 0.0],
        Function::Gelu => [6e-7 * value + of_reference, 1e-6],
        Function::GeluTanh => [(1.5e-6 + 4.0 * UNIT * exponent) * value + of_reference, 1e-6],
        Function::Silu => [4e-7 * value, 1e-6],
        Function::Exp => [2.6 * UNIT * value, 2.6 * UNIT * slope],
        Function::Log => [2.6 * UNIT * value, UNIT * slope],
        // The square is rounded before it is an exponent.
        Function::Erf => [4.0 * UNIT * value, (5.0 + x * x) * UNIT * slope],
    }
}

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
            let tracked = exact(&x);
            let expected = burn(tracked.clone());
            let by_burn = values(&tracked.grad(&expected.clone().sum().backward()).unwrap());
            let (expected, x) = (values(&expected), values(&x));
            let allowed: Vec<_> = (0..len).map(|at| allowed(function, x[at], [expected[at], by_burn[at]])).collect();
            let of = |part: usize| allowed.iter().map(|allowed| allowed[part] + 1.2e-38).collect::<Vec<_>>();
            assert_within(&values(&y), &expected, &of(0), "value");
            assert_within(&values(&slopes), &by_burn, &of(1), "slope");
            // A product of two numbers, rounded once.
            let upstream = random([len]);
            let product = values(&(double(&slopes) * double(&upstream)));
            let rounding = product.iter().map(|product| 0.6e-7 * product.abs() + 1.2e-38).collect::<Vec<_>>();
            assert_within(&values(&activation::backward(slopes, upstream)), &product, &rounding, "gradient");
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
