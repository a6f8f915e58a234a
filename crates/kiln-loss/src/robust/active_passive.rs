//! Active and passive losses together.

use burn::config::Config;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::distribution::normalized_line;
use super::{
    AsymmetricCrossEntropyLoss, AsymmetricCrossEntropyLossConfig, AsymmetricUnhingedLoss, AsymmetricUnhingedLossConfig,
    NormalizedCrossEntropyLoss, ReverseCrossEntropyLoss, ReverseCrossEntropyLossConfig,
};
use crate::comp_sum::Phi1;
use crate::error::require;
use crate::quantity::Quantity;
use crate::rows::{HostRows, SoftmaxRow, ThroughSoftmax};
use crate::target_likelihood::{OfLikelihood, line_of_likelihood, of_likelihood};
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
        let passive = match self.loss {
            PassiveLoss::ReverseCrossEntropy => Passive::Reverse(ReverseCrossEntropyLossConfig::new().init()?),
            PassiveLoss::Mae => Passive::Mae(Phi1::mae()),
            PassiveLoss::AsymmetricUnhinged => Passive::Unhinged(AsymmetricUnhingedLossConfig::new().init()?),
            PassiveLoss::AsymmetricCrossEntropy => {
                Passive::CrossEntropy(AsymmetricCrossEntropyLossConfig::new().init()?)
            }
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
    passive: Passive,
}

/// The passive half.
#[derive(Debug)]
enum Passive {
    Reverse(ReverseCrossEntropyLoss),
    Mae(Phi1),
    Unhinged(AsymmetricUnhingedLoss),
    CrossEntropy(AsymmetricCrossEntropyLoss),
}

impl OfLikelihood for Passive {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        match self {
            Self::Reverse(loss) => loss.at(nll),
            Self::Mae(loss) => loss.at(nll),
            Self::Unhinged(loss) => loss.at(nll),
            Self::CrossEntropy(loss) => loss.at(nll),
        }
    }
}

impl ClassificationLoss for ActivePassiveLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let (active, passive) = self.weights;
        if let Some(mut rows) = HostRows::of(&logits, &targets) {
            let line = |row: &SoftmaxRow| {
                let of_passive = line_of_likelihood(row, &self.passive).times(passive);
                normalized_line(row).times(active).plus(of_passive)
            };
            let look = ThroughSoftmax { with_scores: true, ..ThroughSoftmax::default() };
            let losses = rows.onto_lines(look, line);
            return rows.into_losses(logits, losses);
        }
        let normalized = NormalizedCrossEntropyLoss.forward_no_reduction(logits.clone(), targets.clone());
        normalized * active + of_likelihood(logits, targets, &self.passive) * passive
    }
}
