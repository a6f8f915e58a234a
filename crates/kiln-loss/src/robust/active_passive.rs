//! Active and passive losses together.

use burn::config::Config;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    AsymmetricCrossEntropyLossConfig, AsymmetricUnhingedLossConfig, NormalizedCrossEntropyLoss,
    ReverseCrossEntropyLossConfig,
};
use crate::comp_sum::CompSumLoss;
use crate::error::require;
use crate::{ClassificationLoss, LossError};

/// The passive half of an [`ActivePassiveLoss`], with its default settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PassiveLoss {
    /// Reverse cross-entropy, `9.21 (1 - p_y)`.
    #[default]
    ReverseCrossEntropy,
    /// Mean absolute error, `1 - p_y`.
    Mae,
    /// Asymmetric unhinged loss, `a = 6`, `q = 1.5`.
    AsymmetricUnhinged,
    /// Asymmetric generalised cross-entropy, `a = 3`, `q = 1.5`.
    AsymmetricCrossEntropy,
}

/// Configuration of [`ActivePassiveLoss`].
#[derive(Config, Debug)]
pub struct ActivePassiveLossConfig {
    /// Weight `alpha >= 0` of normalised cross-entropy.
    #[config(default = 5.0)]
    pub active: f64,
    /// Weight `beta >= 0` of the passive loss.
    #[config(default = 5.0)]
    pub passive: f64,
    /// The passive loss.
    #[config(default = "PassiveLoss::ReverseCrossEntropy")]
    pub loss: PassiveLoss,
}

impl ActivePassiveLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a weight that is negative or not finite.
    pub fn init(&self) -> Result<ActivePassiveLoss, LossError> {
        let weight = |name, value: f64| {
            let valid = value >= 0.0 && value.is_finite();
            require(valid, "active-passive", name, value, "a finite number of at least 0")
        };
        let passive: Box<dyn ClassificationLoss> = match self.loss {
            PassiveLoss::ReverseCrossEntropy => Box::new(ReverseCrossEntropyLossConfig::new().init()?),
            PassiveLoss::Mae => Box::new(CompSumLoss::mae()),
            PassiveLoss::AsymmetricUnhinged => Box::new(AsymmetricUnhingedLossConfig::new().init()?),
            PassiveLoss::AsymmetricCrossEntropy => Box::new(AsymmetricCrossEntropyLossConfig::new().init()?),
        };
        Ok(ActivePassiveLoss { weights: (weight("active", self.active)?, weight("passive", self.passive)?), passive })
    }
}

/// Normalised cross-entropy, which raises the target's probability, and a loss that lowers those of the others.
///
/// ```text
/// L = alpha NCE + beta passive
/// ```
/// Source: X. Ma et al., "Normalized Loss Functions for Deep Learning with Noisy Labels", arXiv 2006.13554.
#[derive(Debug)]
pub struct ActivePassiveLoss {
    weights: (f64, f64),
    passive: Box<dyn ClassificationLoss>,
}

impl ClassificationLoss for ActivePassiveLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let active = NormalizedCrossEntropyLoss.forward_no_reduction(logits.clone(), targets.clone());
        active * self.weights.0 + self.passive.forward_no_reduction(logits, targets) * self.weights.1
    }
}
