//! Asymmetric losses: unhinged and generalised cross-entropy.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use crate::error::require;
use crate::quantity::Quantity;
use crate::target_likelihood::{OfLikelihood, of_likelihood, probability};
use crate::{ClassificationLoss, LossError};

/// Configuration of [`AsymmetricUnhingedLoss`].
#[derive(Config, Debug)]
pub struct AsymmetricUnhingedLossConfig {
    /// Offset `a > 1`.
    #[config(default = 6.0)]
    pub a: f64,
    /// Exponent `q > 0`.
    #[config(default = 1.5)]
    pub q: f64,
}

impl AsymmetricUnhingedLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for an `a` of at most 1 or a `q` that is not positive.
    pub fn init(&self) -> Result<AsymmetricUnhingedLoss, LossError> {
        const NAME: &str = "asymmetric unhinged";
        Ok(AsymmetricUnhingedLoss {
            a: require(self.a > 1.0 && self.a.is_finite(), NAME, "a", self.a, "a finite number above 1")?,
            q: require(self.q > 0.0 && self.q.is_finite(), NAME, "q", self.q, "a finite number above 0")?,
        })
    }
}

/// Asymmetric unhinged loss (AUL).
///
/// ```text
/// L = ((a - p_y)^q - (a - 1)^q) / q
/// ```
/// Source: X. Zhou et al., "Asymmetric Loss Functions for Learning with Noisy Labels", arXiv 2106.03110.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AsymmetricUnhingedLoss {
    a: f64,
    q: f64,
}

impl OfLikelihood for AsymmetricUnhingedLoss {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        let p = probability(nll);
        let distance = -p.clone() + self.a;
        let value = (distance.clone().power(self.q) - (self.a - 1.0).powf(self.q)) / self.q;
        (value, p * distance.power(self.q - 1.0))
    }
}

impl ClassificationLoss for AsymmetricUnhingedLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_likelihood(logits, targets, self)
    }
}

/// Configuration of [`AsymmetricCrossEntropyLoss`].
#[derive(Config, Debug)]
pub struct AsymmetricCrossEntropyLossConfig {
    /// Offset `a > 0`.
    #[config(default = 3.0)]
    pub a: f64,
    /// Exponent `q > 0`.
    #[config(default = 1.5)]
    pub q: f64,
}

impl AsymmetricCrossEntropyLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for an `a` or a `q` that is not positive.
    pub fn init(&self) -> Result<AsymmetricCrossEntropyLoss, LossError> {
        const NAME: &str = "asymmetric cross-entropy";
        Ok(AsymmetricCrossEntropyLoss {
            a: require(self.a > 0.0 && self.a.is_finite(), NAME, "a", self.a, "a finite number above 0")?,
            q: require(self.q > 0.0 && self.q.is_finite(), NAME, "q", self.q, "a finite number above 0")?,
        })
    }
}

/// Asymmetric generalised cross-entropy (AGCE).
///
/// ```text
/// L = ((a + 1)^q - (a + p_y)^q) / q
/// ```
/// Source: X. Zhou et al., "Asymmetric Loss Functions for Learning with Noisy Labels", arXiv 2106.03110.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AsymmetricCrossEntropyLoss {
    a: f64,
    q: f64,
}

impl OfLikelihood for AsymmetricCrossEntropyLoss {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        let p = probability(nll);
        let sum = p.clone() + self.a;
        let value = (-sum.clone().power(self.q) + (self.a + 1.0).powf(self.q)) / self.q;
        (value, p * sum.power(self.q - 1.0))
    }
}

impl ClassificationLoss for AsymmetricCrossEntropyLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_likelihood(logits, targets, self)
    }
}
