//! Symmetric and reverse cross-entropy.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use crate::error::require;
use crate::quantity::Quantity;
use crate::target_likelihood::{OfLikelihood, complement, of_likelihood, probability};
use crate::{ClassificationLoss, LossError};

/// Configuration of [`SymmetricCrossEntropyLoss`].
#[derive(Config, Debug)]
pub struct SymmetricCrossEntropyLossConfig {
    /// Balance `b` in `[0, 1]`: 0 is cross-entropy, 1 is the reverse term alone.
    #[config(default = 0.5)]
    pub balance: f64,
    /// `A > 0`, the negative logarithm that stands for the logarithm of zero in the reverse term.
    #[config(default = 4.0)]
    pub log_zero: f64,
}

impl SymmetricCrossEntropyLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a balance outside `[0, 1]` or an `A` that is not positive and finite.
    pub fn init(&self) -> Result<SymmetricCrossEntropyLoss, LossError> {
        const NAME: &str = "symmetric cross-entropy";
        let positive = self.log_zero > 0.0 && self.log_zero.is_finite();
        Ok(SymmetricCrossEntropyLoss {
            balance: require((0.0..=1.0).contains(&self.balance), NAME, "balance", self.balance, "in [0, 1]")?,
            log_zero: require(positive, NAME, "log_zero", self.log_zero, "a finite number above 0")?,
        })
    }
}

/// Symmetric cross-entropy: cross-entropy and its reverse, which is robust to label noise.
///
/// ```text
/// L = -(1 - b) log p_y + b A (1 - p_y)
/// ```
/// The reverse cross-entropy `-sum_k p_k log e_k` of a one-hot target is `A (1 - p_y)` with `A` for `-log 0`.
///
/// Source: Y. Wang et al., "Symmetric Cross Entropy for Robust Learning with Noisy Labels", arXiv 1908.06112.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SymmetricCrossEntropyLoss {
    balance: f64,
    log_zero: f64,
}

impl OfLikelihood for SymmetricCrossEntropyLoss {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        let (reverse, plain) = (self.balance * self.log_zero, 1.0 - self.balance);
        let value = complement(nll.clone()) * reverse + nll.clone() * plain;
        (value, probability(nll) * reverse + plain)
    }
}

impl ClassificationLoss for SymmetricCrossEntropyLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_likelihood(logits, targets, self)
    }
}

/// Configuration of [`ReverseCrossEntropyLoss`].
#[derive(Config, Debug)]
pub struct ReverseCrossEntropyLossConfig {
    /// `A > 0`, the negative logarithm that stands for the logarithm of zero; `-log 1e-4` by default.
    #[config(default = 9.210340371976182)]
    pub log_zero: f64,
}

impl ReverseCrossEntropyLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for an `A` that is not positive and finite.
    pub fn init(&self) -> Result<ReverseCrossEntropyLoss, LossError> {
        let positive = self.log_zero > 0.0 && self.log_zero.is_finite();
        let expected = "a finite number above 0";
        let log_zero = require(positive, "reverse cross-entropy", "log_zero", self.log_zero, expected)?;
        Ok(ReverseCrossEntropyLoss { log_zero })
    }
}

/// Reverse cross-entropy: `A (1 - p_y)`, a multiple of the mean absolute error.
///
/// ```text
/// L = -sum_k p_k log e_k = A sum_{k != y} p_k
/// ```
/// Symmetric: its sum over all targets is constant.
///
/// Source: arXiv 1908.06112, equation 4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReverseCrossEntropyLoss {
    log_zero: f64,
}

impl OfLikelihood for ReverseCrossEntropyLoss {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        (complement(nll.clone()) * self.log_zero, probability(nll) * self.log_zero)
    }
}

impl ClassificationLoss for ReverseCrossEntropyLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_likelihood(logits, targets, self)
    }
}
