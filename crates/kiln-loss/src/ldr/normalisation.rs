//! What the logits are divided by before the loss.

use burn::tensor::{Tensor, activation::softplus_with_threshold};
use serde::{Deserialize, Serialize};

/// Scaling of each row of logits before a label-distributionally robust loss. The gradient flows through it.
///
/// The published results of the losses use one of the last two: it fixes the scale that the temperature refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LogitNorm {
    /// The logits as they are.
    #[default]
    None,
    /// `softplus(s)` over its mean.
    SoftplusMean,
    /// `s` over the mean of `|s|`.
    L1Mean,
}

impl LogitNorm {
    /// Scales each row, in the graph.
    ///
    /// # Shapes
    /// - `logits`, output: `[batch_size, num_classes]`
    pub fn apply(self, logits: Tensor<2>) -> Tensor<2> {
        /// Rows of zeros stay what they are.
        const LEAST: f64 = 1e-12;
        match self {
            Self::None => logits,
            Self::SoftplusMean => {
                let positive = softplus_with_threshold(logits, 1.0, 40.0);
                positive.clone() / positive.mean_dim(1).clamp_min(LEAST)
            }
            Self::L1Mean => logits.clone() / logits.abs().mean_dim(1).clamp_min(LEAST),
        }
    }
}
