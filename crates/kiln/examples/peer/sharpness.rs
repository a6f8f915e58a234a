//! The largest eigenvalue of the Hessian of a perceptron's cross-entropy: what `peers/autodiff/sharpness.py` does.

use burn::tensor::{DType, Device, Tensor};
use kiln::autodiff::layers::loss;
use kiln::autodiff::spectrum::sharpness;
use kiln::autodiff::{Arithmetic, Duals, HessianOperator, Number};
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome, clock};
use crate::networks::{Perceptron, classes, values as entries};

const WIDTHS: [usize; 4] = [64, 128, 128, 10];

/// The cases.
pub fn bench() -> Bench {
    Bench::new("autodiff/sharpness", values).case("mlp-256", 1, || {
        let net = Perceptron::new(&WIDTHS, DType::F32);
        let inputs = entries([256, 64], 1.0, 100, DType::F32);
        Ok(move || Ok(clock(|| largest(&net, &inputs, 1e-3))))
    })
}

fn largest(net: &Perceptron, inputs: &Tensor<2>, tolerance: f64) -> Outcome<f64> {
    let targets = classes(inputs.dims()[0]);
    let loss = |net: &Perceptron, numbers: &Duals| -> Number<1> {
        let outputs = net.forward_in(numbers, numbers.constant(inputs.clone()));
        loss::cross_entropy(numbers, outputs, targets.clone())
    };
    let options = (&Device::flex(), inputs.dtype());
    Ok(sharpness(&HessianOperator::new(net, loss), tolerance, options)?)
}

fn values() -> Outcome<Value> {
    let net = Perceptron::new(&WIDTHS, DType::F64);
    let inputs = entries([256, 64], 1.0, 100, DType::F64);
    Ok(json!({ "largest eigenvalue": largest(&net, &inputs, 1e-7)? }))
}
