//! Multi-scale similarity as a loss, alone or mixed with the absolute error.

use burn::config::Config;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::scores::at_least;
use super::{ImageLoss, MsSsim, MsSsimConfig, Window};
use crate::LossError;
use crate::error::require;

const NAME: &str = "ms-ssim loss";
/// Similarity below which the logarithm stays where it is.
const LEAST: f64 = 1e-8;

/// How a similarity becomes a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MsSsimForm {
    /// `1 - MS-SSIM`.
    #[default]
    OneMinus,
    /// `-log MS-SSIM`, steeper for images that are far off.
    NegativeLog,
}

/// Configuration of [`MsSsimLoss`].
#[derive(Config, Debug)]
pub struct MsSsimLossConfig {
    /// The similarity.
    pub similarity: MsSsimConfig,
    /// How it becomes a loss.
    #[config(default = "MsSsimForm::OneMinus")]
    pub form: MsSsimForm,
    /// Share `lambda` in `[0, 1]` of the similarity; the rest is the absolute error. 0.84 in Zhao et al.
    #[config(default = 1.0)]
    pub share: f64,
}

impl MsSsimLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a share outside `[0, 1]`, and those of [`MsSsimConfig::init`].
    pub fn init(&self) -> Result<MsSsimLoss, LossError> {
        let share = require((0.0..=1.0).contains(&self.share), NAME, "share", self.share, "in [0, 1]")?;
        Ok(MsSsimLoss { similarity: self.similarity.init()?, form: self.form, share })
    }
}

/// What an image lacks in multi-scale structural similarity, mixed with a weighted absolute error.
///
/// ```text
/// L = lambda (1 - MS-SSIM(x, y)) + (1 - lambda) sum_i g_i |x_i - y_i|
/// ```
/// `g` is the window of the coarsest scale in pixels of the finest, averaged over all places where it fits, with sum 1.
/// The absolute error gives the brightness and colours back that the similarity hardly sees.
///
/// Source: arXiv 1511.06409, section 3; the mixture is that of Zhao et al., arXiv 1511.08861, section III-D.
#[derive(Debug, Clone)]
pub struct MsSsimLoss {
    similarity: MsSsim,
    form: MsSsimForm,
    share: f64,
}

impl MsSsimLoss {
    /// The similarity that is asked for.
    pub fn similarity(&self) -> &MsSsim {
        &self.similarity
    }

    /// Loss of each image.
    ///
    /// # Shapes
    /// - `output`, `target`: `[batch_size, channels, height, width]` or `[batch_size, channels, depth, height, width]`
    /// - output: `[batch_size]`
    ///
    /// # Panics
    /// Where the shapes differ, or [`MsSsim::check_size`] refuses them.
    pub fn forward_no_reduction<const D: usize>(&self, output: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
        let similarity = self.similarity.forward_no_reduction(output.clone(), target.clone());
        let dissimilarity = match self.form {
            MsSsimForm::OneMinus => -similarity + 1.0,
            MsSsimForm::NegativeLog => -at_least(similarity, LEAST).log(),
        };
        if self.share == 1.0 {
            return dissimilarity;
        }
        let error = weighted_error(output, target, self.coarsest_window());
        dissimilarity * self.share + error * (1.0 - self.share)
    }

    /// Mean loss of a batch, `[1]`.
    pub fn forward<const D: usize>(&self, output: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
        self.forward_no_reduction(output, target).mean()
    }

    fn coarsest_window(&self) -> Window {
        self.similarity.window().magnified(1 << (self.similarity.scales() - 1))
    }
}

/// Absolute error of each image, each pixel weighted by how much the windows that fit see of it.
fn weighted_error<const D: usize>(output: Tensor<D>, target: Tensor<D>, window: Window) -> Tensor<1> {
    let (device, dtype) = (output.device(), output.dtype());
    let mut errors = (output - target).abs();
    for axis in 2..D {
        let length = errors.dims()[axis];
        let mut dims = [1; D];
        dims[axis] = length;
        let weights = TensorData::new(profile(&window.taps(), length), dims).convert_dtype(dtype);
        errors = errors * Tensor::<D>::from_data(weights, (&device, dtype)) * length as f64;
    }
    errors.flatten::<2>(1, D - 1).mean_dim(1).squeeze_dim(1)
}

/// Mean over the places where the window fits of the weight that it gives to each pixel of a row.
fn profile(taps: &[f64], length: usize) -> Vec<f64> {
    let places = length + 1 - taps.len();
    let mut weights = vec![0.0; length];
    for place in 0..places {
        for (weight, tap) in weights[place..].iter_mut().zip(taps) {
            *weight += tap / places as f64;
        }
    }
    weights
}

impl ImageLoss for MsSsimLoss {
    fn dissimilarity(&self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        self.forward_no_reduction(output, target)
    }
}
