//! Log Taylor softmax.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use super::moments::{Moments, of_moments};
use super::{Partials, SphericalLoss};
use crate::class_targets::reduce;
use crate::{ClassificationLoss, LossError, Reduction};

/// Configuration of [`TaylorSoftmaxLoss`].
#[derive(Config, Debug)]
pub struct TaylorSoftmaxLossConfig {
    /// How the losses of a batch become one number.
    #[config(default = "Reduction::Mean")]
    pub reduction: Reduction,
}

impl TaylorSoftmaxLossConfig {
    /// The loss.
    ///
    /// # Errors
    /// None: there is nothing to refuse; the result has the form that every loss's `init` has.
    pub fn init(&self) -> Result<TaylorSoftmaxLoss, LossError> {
        Ok(TaylorSoftmaxLoss { reduction: self.reduction })
    }
}

/// Negative log-likelihood of the second-order Taylor softmax.
///
/// ```text
/// L = -log( (1 + o_c + o_c^2 / 2) / (D + sum_k o_k + sum_k o_k^2 / 2) )
/// ```
/// The numerator is at least 1/2, so it needs no clamp.
///
/// Source: arXiv 1511.05042.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaylorSoftmaxLoss {
    reduction: Reduction,
}

impl ClassificationLoss for TaylorSoftmaxLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let partials = |row: &Moments, a, classes| self.value_and_centred_partials(a, row.centred, row.sum, classes);
        if let Some(losses) = of_moments(&logits, &targets, partials) {
            return losses;
        }
        let target = logits.clone().gather(1, targets.unsqueeze_dim(1));
        (log_of_expansions(logits) - log_of_expansions(target)).squeeze_dim(1)
    }

    fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        reduce(self.forward_no_reduction(logits, targets), None, self.reduction)
    }
}

/// `log(sum_k (1 + o_k + o_k^2 / 2))` of each row, `[batch_size, 1]`, without overflow.
fn log_of_expansions(values: Tensor<2>) -> Tensor<2> {
    let scale = values.clone().detach().abs().max_dim(1).clamp_min(1.0);
    let inverse = scale.clone().recip();
    let values = values / scale.clone();
    let expansions = values.clone().square() * 0.5 + values * inverse.clone() + inverse.square();
    expansions.sum_dim(1).log() + scale.log() * 2.0
}

impl SphericalLoss for TaylorSoftmaxLoss {
    fn value_and_partials(&self, a: f64, q: f64, s: f64, num_classes: usize) -> Partials {
        let numerator = 1.0 + a + 0.5 * a * a;
        let denominator = num_classes as f64 + s + 0.5 * q;
        Partials {
            loss: denominator.ln() - numerator.ln(),
            da: -(1.0 + a) / numerator,
            dq: 0.5 / denominator,
            ds: 1.0 / denominator,
            degenerate: false,
        }
    }
}
