//! Random vectors, the same on every device for the same seed.

use burn::tensor::{Tensor, TensorCreationOptions, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// A seeded sequence of random vectors of one dimension.
#[derive(Debug, Clone)]
pub(crate) struct Probes {
    dimension: usize,
    random: ChaCha8Rng,
    options: TensorCreationOptions,
}

impl Probes {
    pub(crate) fn new(dimension: usize, seed: u64, options: impl Into<TensorCreationOptions>) -> Self {
        Self { dimension, random: ChaCha8Rng::seed_from_u64(seed), options: options.into() }
    }

    /// Independent entries of 1 or -1 with even odds.
    pub(crate) fn signs(&mut self) -> Tensor<1> {
        let signs = (0..self.dimension).map(|_| if self.random.next_u32() & 1 == 0 { 1.0 } else { -1.0 }).collect();
        self.vector(signs)
    }

    /// Independent standard normal entries.
    pub(crate) fn gaussian(&mut self) -> Tensor<1> {
        let normal = (0..self.dimension).map(|_| StandardNormal.sample(&mut self.random)).collect();
        self.vector(normal)
    }

    fn vector(&self, values: Vec<f64>) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values, [self.dimension]), self.options.clone())
    }
}
