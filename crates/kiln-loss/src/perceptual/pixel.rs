//! Losses that look at one pixel at a time.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::ImageLoss;
use crate::RegressionLoss;

/// Mean over the pixels and channels of an image of what they are off.
///
/// ```text
/// L1: |x - y|        L2: (x - y)^2
/// ```
/// The baselines of the perceptual losses. Their minimisers are the median and the mean of all images that could be
/// meant, which is why what they cannot know comes out blurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PixelLoss {
    /// Mean absolute error.
    L1,
    /// Mean squared error.
    L2,
}

impl PixelLoss {
    /// Loss of each image.
    ///
    /// # Shapes
    /// - `output`, `target`: `[batch_size, channels, ..]`
    /// - output: `[batch_size]`
    pub fn forward_no_reduction<const D: usize>(&self, output: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
        let loss = match self {
            Self::L1 => RegressionLoss::L1,
            Self::L2 => RegressionLoss::Mse,
        };
        let pixels = |images: Tensor<D>| images.flatten::<2>(1, D - 1);
        loss.forward_no_reduction(pixels(output), pixels(target)).mean_dim(1).squeeze_dim(1)
    }

    /// Mean loss of a batch, `[1]`.
    pub fn forward<const D: usize>(&self, output: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
        self.forward_no_reduction(output, target).mean()
    }
}

impl ImageLoss for PixelLoss {
    fn dissimilarity(&self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        self.forward_no_reduction(output, target)
    }
}
