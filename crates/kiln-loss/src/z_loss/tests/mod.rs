//! Tests of the spherical family and the output layers.

mod bad_input;
mod baselines;
mod dense;
mod factored;
mod stability;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Values in `[-scale, scale)`.
fn uniform(count: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| scale * random.random_range(-1.0..1.0)).collect()
}

fn classes(count: usize, num_classes: usize, seed: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(0..num_classes)).collect()
}

fn matrix(values: &[f64], cols: usize) -> Tensor<2> {
    let rows = values.len() / cols;
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, cols]), (&Device::flex(), DType::F64))
}

fn indices(targets: &[usize]) -> Tensor<1, Int> {
    let targets: Vec<i64> = targets.iter().map(|&target| target as i64).collect();
    Tensor::from_data(targets.as_slice(), &Device::flex())
}

/// Gradient of a surrogate by the hidden vectors.
fn hidden_gradient(values: &[f64], cols: usize, surrogate: impl FnOnce(Tensor<2>) -> Tensor<1>) -> Vec<f64> {
    let device = Device::flex().autodiff();
    let data = TensorData::new(values.to_vec(), [values.len() / cols, cols]);
    let hidden = Tensor::<2>::from_data(data, (&device, DType::F64)).require_grad();
    let gradients = surrogate(hidden.clone()).backward();
    let gradient = hidden.grad(&gradients).expect("the surrogate depends on the hidden vectors");
    gradient.into_data().iter::<f64>().collect()
}

/// The largest difference, relative to the largest expected value.
fn relative_difference(found: &[f64], expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()));
    largest_difference(found, expected) / largest
}

fn largest_difference(left: &[f64], right: &[f64]) -> f64 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).fold(0.0, |most, (left, right)| most.max((left - right).abs()))
}
