//! The generalised Jensen-Shannon loss.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use crate::error::require;
use crate::quantity::Quantity;
use crate::target_likelihood::{OfLikelihood, complement, of_likelihood, probability};
use crate::{ClassificationLoss, LossError};

/// Configuration of [`JensenShannonLoss`].
#[derive(Config, Debug)]
pub struct JensenShannonLossConfig {
    /// Weight `w` of the target in `(0, 1)`: towards 0 the loss becomes cross-entropy, towards 1 mean absolute error.
    #[config(default = 0.5)]
    pub weight: f64,
}

impl JensenShannonLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a weight outside `(0, 1)`.
    pub fn init(&self) -> Result<JensenShannonLoss, LossError> {
        let inside = self.weight > 0.0 && self.weight < 1.0;
        Ok(JensenShannonLoss { weight: require(inside, "jensen-shannon", "weight", self.weight, "in (0, 1)")? })
    }
}

/// Jensen-Shannon divergence between the one-hot target and the prediction, scaled to agree with its limits.
///
/// ```text
/// m = w e_y + (1 - w) p        L = (w KL(e_y || m) + (1 - w) KL(p || m)) / (-(1 - w) log(1 - w))
/// ```
/// It depends on `p_y` alone, and `dL/dp_y = -log((1 - w) p_y / m_y) / log(1 - w)`.
///
/// Source: E. Englesson and H. Azizpour, "Generalized Jensen-Shannon Divergence Loss for Learning with Noisy Labels",
/// arXiv 2105.04522.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JensenShannonLoss {
    weight: f64,
}

impl JensenShannonLoss {
    /// `log m_y` and `log(1 - w)`.
    fn logarithms<N: Quantity>(&self, nll: N) -> (N, f64) {
        let rest = 1.0 - self.weight;
        // m_y = 1 - (1 - w) (1 - p_y), which is 1 to rounding where the class is certain.
        ((complement(nll) * -rest).log1p(), rest.ln())
    }
}

impl OfLikelihood for JensenShannonLoss {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        let rest = 1.0 - self.weight;
        let (log_mixture, log_rest) = self.logarithms(nll.clone());
        let target = log_mixture.clone() * -self.weight;
        let (p, log_ratio) = (probability(nll.clone()), -nll.clone() - log_mixture);
        let prediction = (p.clone() * log_ratio.clone() - complement(nll) * log_rest) * rest;
        ((target + prediction) / (-rest * log_rest), p * (log_ratio + log_rest) / log_rest)
    }
}

impl ClassificationLoss for JensenShannonLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_likelihood(logits, targets, self)
    }
}
