//! Taylor series of order 4 against derivatives by hand and against differences of the order below.

use crate::double_precision::tensor;
use burn::tensor::Tensor;
use kiln_autodiff::{Arithmetic, Function, Jets, Numbers};
use kiln_check::{assert_close, values};
use std::f64::consts::PI;

/// The first four derivatives of `function` at `x`.
fn derivatives(function: Function, x: f64) -> Vec<f64> {
    let one = Tensor::<1>::ones([1], crate::double_precision::options());
    let jets = Jets::new(4);
    let output = jets.apply(&function, jets.variable(one.clone() * x, one));
    jets.derivatives(&output).iter().flat_map(values).collect()
}

#[test]
fn derivatives_by_hand() {
    let x: f64 = 0.7;
    let (t, s, e) = (x.tanh(), 1.0 / (1.0 + (-x).exp()), x.exp());
    let (sech, logistic) = (1.0 - t * t, s * (1.0 - s));
    let bell = (-x * x).exp() * 2.0 / PI.sqrt();
    let density = (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
    // Phi(0.7)
    let normal = 0.758_036_347_776_927;
    let sigmoids = [
        logistic,
        logistic * (1.0 - 2.0 * s),
        logistic * (1.0 - 6.0 * s + 6.0 * s * s),
        logistic * (1.0 - 2.0 * s) * (1.0 - 12.0 * s + 12.0 * s * s),
    ];
    let expected = [
        (Function::Relu, [1.0, 0.0, 0.0, 0.0]),
        (Function::Abs, [1.0, 0.0, 0.0, 0.0]),
        (Function::Square, [1.4, 2.0, 0.0, 0.0]),
        (Function::Power(3.0), [3.0 * x * x, 6.0 * x, 6.0, 0.0]),
        (Function::Power(5.0), [5.0 * x.powi(4), 20.0 * x.powi(3), 60.0 * x * x, 120.0 * x]),
        (Function::Exp, [e; 4]),
        (Function::Expm1, [e; 4]),
        (Function::Log, [1.0 / x, -1.0 / x.powi(2), 2.0 / x.powi(3), -6.0 / x.powi(4)]),
        (Function::Log1p, [1.0 / 1.7, -1.0 / 1.7f64.powi(2), 2.0 / 1.7f64.powi(3), -6.0 / 1.7f64.powi(4)]),
        (Function::Recip, [-1.0 / x.powi(2), 2.0 / x.powi(3), -6.0 / x.powi(4), 24.0 / x.powi(5)]),
        (Function::Sqrt, [0.5 * x.powf(-0.5), -0.25 * x.powf(-1.5), 0.375 * x.powf(-2.5), -0.9375 * x.powf(-3.5)]),
        (Function::Sin, [x.cos(), -x.sin(), -x.cos(), x.sin()]),
        (Function::Cos, [-x.sin(), -x.cos(), x.sin(), x.cos()]),
        (Function::Sigmoid, sigmoids),
        (Function::Softplus, [s, sigmoids[0], sigmoids[1], sigmoids[2]]),
        (
            Function::Silu,
            [
                s + x * sigmoids[0],
                2.0 * sigmoids[0] + x * sigmoids[1],
                3.0 * sigmoids[1] + x * sigmoids[2],
                4.0 * sigmoids[2] + x * sigmoids[3],
            ],
        ),
        (Function::Tanh, [sech, -2.0 * t * sech, sech * (6.0 * t * t - 2.0), sech * t * (16.0 - 24.0 * t * t)]),
        (Function::Erf, [bell, -2.0 * x * bell, (4.0 * x * x - 2.0) * bell, (12.0 * x - 8.0 * x.powi(3)) * bell]),
        (
            Function::Gelu,
            [
                normal + x * density,
                density * (2.0 - x * x),
                density * (x.powi(3) - 4.0 * x),
                density * (7.0 * x * x - 4.0 - x.powi(4)),
            ],
        ),
    ];
    for (function, derivatives_by_hand) in expected {
        println!("{function:?}");
        assert_close(&derivatives(function, x), &derivatives_by_hand, 1e-10);
    }
}

#[test]
fn each_order_is_the_slope_of_the_one_before() {
    let functions = [
        Function::LeakyRelu(0.1),
        Function::Elu(1.3),
        Function::Selu,
        Function::Gelu,
        Function::GeluTanh,
        Function::Silu,
        Function::Tanh,
        Function::Sigmoid,
        Function::Softplus,
        Function::Expm1,
        Function::Erf,
        Function::Power(2.5),
        Function::Sqrt,
    ];
    for function in functions {
        for x in [0.3, 1.1, 2.4] {
            println!("{function:?} at {x}");
            let step = 1e-5;
            let (above, below) = (derivatives(function, x + step), derivatives(function, x - step));
            let slopes: Vec<f64> = above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * step)).collect();
            assert_close(&derivatives(function, x)[1..], &slopes[..3], 1e-7);
        }
    }
}

#[test]
fn a_composition_along_a_curve() {
    // exp(sin(x) y) / sqrt(1 + x^2) on the curve x = a + b t + c t^2, y = d + e t.
    let jets = Jets::new(4);
    let run = |t: f64| {
        let curve = |seed: u64, bend: f64| {
            let [a, b, c] = [0, 1, 2].map(|index| tensor::<1>([3], seed + index));
            let c = c * bend;
            let value = a + b.clone() * t + c.clone() * (t * t);
            jets.curve(value, vec![b + c.clone() * (2.0 * t), c])
        };
        let (x, y) = (curve(1, 1.0), curve(7, 0.0));
        let root = jets.sqrt(jets.shift(jets.square(x.clone()), 1.0));
        let output = jets.div(jets.exp(jets.mul(jets.sin(x), y)), root);
        let mut orders = vec![values(&output.value())];
        orders.extend(jets.derivatives(&output).iter().map(values));
        orders
    };
    let step = 1e-5;
    let (here, above, below) = (run(0.2), run(0.2 + step), run(0.2 - step));
    for (order, (above, below)) in above.iter().zip(&below).take(4).enumerate() {
        let slopes: Vec<f64> = above.iter().zip(below).map(|(a, b)| (a - b) / (2.0 * step)).collect();
        assert_close(&here[order + 1], &slopes, 1e-6);
    }
}
