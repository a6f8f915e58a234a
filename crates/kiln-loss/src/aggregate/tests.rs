//! Worked numbers, identities, gradients and refusals.

mod bag_loss;
mod closed_form;
mod cross_validation;
mod private_release;
mod proportions;
mod risk_calculator;

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn uniform(count: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| scale * random.random_range(-1.0..1.0)).collect()
}

fn matrix(values: &[f64], shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&Device::flex(), DType::F64))
}
