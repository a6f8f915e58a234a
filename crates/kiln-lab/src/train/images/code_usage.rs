//! How much of its code an autoencoder uses.

use burn::tensor::Device;
use kiln_nn::Network;
use serde::{Deserialize, Serialize};

use super::ImageRows;
use crate::train::Examples;

/// How many numbers of the code carry something.
///
/// ```text
/// unit k is active where Var_k > 0.01 mean_j Var_j        Var_k = mean over the windows of (z_k - mean z_k)^2
/// ```
/// A number that is nearly the same whatever the picture tells pictures apart no more than a constant would. Of a Gaussian
/// code, `z` are the means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeUsage {
    /// Numbers of the code that are active.
    pub active_units: usize,
    /// Numbers of the code.
    pub code_units: usize,
}

impl CodeUsage {
    /// Share of the mean variance above which a number is active.
    const LEAST_SHARE: f64 = 1e-2;

    /// Of the codes that an autoencoder gives the windows of `rows`; nothing for fewer than two windows, which have no
    /// variance.
    pub fn of(network: &Network, rows: &ImageRows, device: &Device) -> Option<Self> {
        let mut spread = Spread::default();
        for block in rows.blocks() {
            let codes = network.features(rows.examples(&block, 1, device).0);
            let [_, units] = codes.dims();
            let values: Vec<f64> = codes.into_data().iter::<f64>().collect();
            values.chunks_exact(units.max(1)).for_each(|code| spread.add(code));
        }
        (rows.len() > 1).then(|| Self::of_squares(&spread.squares))
    }

    /// Of sums of squares about the mean, one for each number of the code.
    fn of_squares(squares: &[f64]) -> Self {
        let mean = squares.iter().sum::<f64>() / squares.len() as f64;
        let active_units = squares.iter().filter(|&&square| square > Self::LEAST_SHARE * mean).count();
        Self { active_units, code_units: squares.len() }
    }
}

/// Sums of squares about the mean that is known so far (Welford), which lose no digits where the mean is large.
#[derive(Default)]
struct Spread {
    codes: f64,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    fn add(&mut self, code: &[f64]) {
        self.codes += 1.0;
        self.means.resize(code.len(), 0.0);
        self.squares.resize(code.len(), 0.0);
        for ((mean, square), value) in self.means.iter_mut().zip(&mut self.squares).zip(code) {
            let distance = value - *mean;
            *mean += distance / self.codes;
            *square += distance * (value - *mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::ImageTask;
    use kiln_data::ImagePlanes;
    use kiln_nn::{Activation, CoderLayers, NetworkConfig};

    /// A linear encoder to three numbers, in which those of `factors` are multiplied.
    fn usage(factors: [f32; 3], pictures: usize) -> Option<CodeUsage> {
        let device = Device::flex();
        let layers = CoderLayers::FullyConnected { hidden: Vec::new() };
        let config = NetworkConfig::Autoencoder { layers, code: 3, activation: Activation::Relu, variational: false };
        let Network::Autoencoder(mut network) = config.init_seeded(&[1, 2, 2], 4, 1, &device).unwrap() else {
            panic!("an autoencoder was asked for")
        };
        // Each number of the code is one pixel, far from 0.
        let weight = |pixel: usize, unit: usize| if pixel == unit { factors[unit] } else { 0.0 };
        let weights: Vec<f32> = (0..12).map(|at| weight(at / 3, at % 3)).collect();
        network.code.weight = network.code.weight.map(|weight| {
            let data = burn::tensor::TensorData::new(weights.clone(), weight.dims());
            burn::tensor::Tensor::from_data(data, &device)
        });
        network.code.bias = network.code.bias.map(|bias| bias.map(|bias| bias + 1000.0));
        let picture = |at: usize| {
            let values = (0..4).map(|pixel| ((at * 7 + pixel * 3) % 11) as f32 / 10.0).collect();
            ImagePlanes { name: "p".into(), shape: [1, 2, 2], values }
        };
        let pictures: Vec<ImagePlanes> = (0..pictures).map(picture).collect();
        let rows = ImageRows::new(&pictures, [2, 2], ImageTask::Autoencode).unwrap();
        CodeUsage::of(&Network::Autoencoder(network), &rows, &device)
    }

    #[test]
    fn numbers_that_hardly_move_are_not_used() {
        let found = |factors| usage(factors, 150).unwrap();
        assert_eq!(found([1.0, 1.0, 1.0]), CodeUsage { active_units: 3, code_units: 3 });
        assert_eq!(found([1.0, 0.0, 1.0]).active_units, 2);
        // Variances of 1 and 0.04 with a mean of 0.68, and of 1 and 0.0025 with one of 0.6675.
        assert_eq!(found([1.0, 0.2, 1.0]).active_units, 3);
        assert_eq!(found([1.0, 0.05, 1.0]).active_units, 2);
        assert_eq!(found([0.0, 0.0, 0.0]).active_units, 0);
    }

    #[test]
    fn one_window_has_no_variance() {
        assert_eq!(usage([1.0, 1.0, 1.0], 1), None);
        assert_eq!(usage([1.0, 1.0, 1.0], 2).unwrap().code_units, 3);
    }
}
