//! The Laplacian of a perceptron with respect to its inputs: what `peers/autodiff/laplacian.py` does.

use burn::tensor::DType;
use kiln::autodiff::laplacian;
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome, clock};
use crate::networks::{Perceptron, values as entries};

const POINTS: usize = 1024;

/// The cases.
pub fn bench() -> Bench {
    let mut bench = Bench::new("autodiff/laplacian", values);
    for dimension in [2, 10] {
        bench = bench.case(format!("mlp-4x64-{dimension}d"), 1, move || {
            let net = Perceptron::new(&[dimension, 64, 64, 64, 64, 1], DType::F32);
            let points = entries([POINTS, dimension], 1.0, 100, DType::F32);
            Ok(move || Ok(clock(|| laplacian(|numbers, x| net.forward_in(numbers, x), points.clone()).laplacian)))
        });
    }
    bench
}

fn values() -> Outcome<Value> {
    let of = |dimension: usize| -> Outcome<Vec<f64>> {
        let net = Perceptron::new(&[dimension, 64, 64, 64, 64, 1], DType::F64);
        let points = entries([5, dimension], 1.0, 100, DType::F64);
        let result = laplacian(|numbers, x| net.forward_in(numbers, x), points).laplacian;
        Ok(result.try_into_vec_as().map_err(|error| format!("{error:?}"))?)
    };
    Ok(json!({ "2d": of(2)?, "10d": of(10)? }))
}
