//! A Hessian-vector product of a perceptron's cross-entropy: what `peers/autodiff/hvp.py` does.

use burn::tensor::{DType, Int, Tensor};
use kiln::autodiff::layers::loss;
use kiln::autodiff::{Arithmetic, Duals, Number, Tangent, hvp};
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome, clock};
use crate::networks::{Perceptron, classes, values as entries};

/// The cases.
pub fn bench() -> Bench {
    Bench::new("autodiff/hvp", values).case("mlp-256", 1, || {
        let case = Case::new(256, &[64, 256, 256, 10], DType::F32)?;
        Ok(move || Ok(clock(|| case.product().map(|product| product.to_flat().into_data()))))
    })
}

struct Case {
    net: Perceptron,
    direction: Tangent,
    inputs: Tensor<2>,
    targets: Tensor<1, Int>,
}

impl Case {
    fn new(examples: usize, widths: &[usize], dtype: DType) -> Outcome<Self> {
        let net = Perceptron::new(widths, dtype);
        let dimension = Tangent::zeros_like(&net).dimension();
        let direction = Tangent::from_flat(&net, entries([dimension], 1.0, 101, dtype))?;
        Ok(Self { net, direction, inputs: entries([examples, 64], 1.0, 100, dtype), targets: classes(examples) })
    }

    fn product(&self) -> Outcome<Tangent> {
        let loss = |net: &Perceptron, numbers: &Duals| -> Number<1> {
            let outputs = net.forward_in(numbers, numbers.constant(self.inputs.clone()));
            loss::cross_entropy(numbers, outputs, self.targets.clone())
        };
        Ok(hvp(&self.net, &self.direction, loss)?)
    }
}

fn values() -> Outcome<Value> {
    let product = Case::new(8, &[64, 12, 10], DType::F64)?.product()?.to_flat();
    let product: Vec<f64> = product.try_into_vec_as().map_err(|error| format!("{error:?}"))?;
    Ok(json!({ "hvp": product }))
}
