//! The focal loss.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use crate::error::require;
use crate::quantity::Quantity;
use crate::target_likelihood::{OfLikelihood, complement, of_likelihood, probability};
use crate::{ClassificationLoss, LossError};

/// Configuration of [`FocalLoss`].
#[derive(Config, Debug)]
pub struct FocalLossConfig {
    /// Focus `gamma >= 0`: 0 is cross-entropy, larger values let go of examples that are right already.
    #[config(default = 2.0)]
    pub gamma: f64,
}

impl FocalLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a gamma that is negative or not finite.
    pub fn init(&self) -> Result<FocalLoss, LossError> {
        let valid = self.gamma >= 0.0 && self.gamma.is_finite();
        Ok(FocalLoss { gamma: require(valid, "focal", "gamma", self.gamma, "a finite number of at least 0")? })
    }
}

/// Focal loss: cross-entropy that turns its attention to what is still wrong.
///
/// ```text
/// L = -(1 - p_y)^gamma log p_y        p = softmax(s)
/// ```
/// The balance between the classes is set by the weights of a [`ReducedLoss`](crate::ReducedLoss).
///
/// Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002, equation 4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FocalLoss {
    gamma: f64,
}

impl OfLikelihood for FocalLoss {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        let missing = complement(nll.clone());
        // Below gamma = 1 this power has a pole where the class is certain; its products with nll and with what is missing
        // have none.
        let power = missing.clone().at_least(1e-30).power(self.gamma - 1.0);
        let weight = power.clone() * missing;
        (weight.clone() * nll.clone(), weight + power * probability(nll.clone()) * nll * self.gamma)
    }
}

impl ClassificationLoss for FocalLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_likelihood(logits, targets, self)
    }
}
