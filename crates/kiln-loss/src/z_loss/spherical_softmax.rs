//! Log spherical softmax.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use super::moments::{Moments, of_moments};
use super::{Partials, SphericalLoss};
use crate::class_targets::reduce;
use crate::error::require;
use crate::{ClassificationLoss, LossError, Reduction};

const NAME: &str = "spherical-softmax";

/// Configuration of [`SphericalSoftmaxLoss`].
#[derive(Config, Debug)]
pub struct SphericalSoftmaxLossConfig {
    /// Added to every squared logit, positive: it keeps the logarithm finite where the target's logit is zero.
    #[config(default = 1e-3)]
    pub eps: f64,
    /// How the losses of a batch become one number.
    #[config(default = "Reduction::Mean")]
    pub reduction: Reduction,
}

impl SphericalSoftmaxLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for an `eps` that is not positive and finite.
    pub fn init(&self) -> Result<SphericalSoftmaxLoss, LossError> {
        let valid = self.eps > 0.0 && self.eps.is_finite();
        Ok(SphericalSoftmaxLoss {
            eps: require(valid, NAME, "eps", self.eps, "positive and finite")?,
            reduction: self.reduction,
        })
    }
}

/// Negative log-likelihood of the spherical softmax, which squares the logits where softmax takes their exponential.
///
/// ```text
/// L = -log( (o_c^2 + eps) / (sum_k o_k^2 + D eps) )
/// ```
/// Source: arXiv 1511.05042.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SphericalSoftmaxLoss {
    eps: f64,
    reduction: Reduction,
}

impl ClassificationLoss for SphericalSoftmaxLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let partials = |row: &Moments, a, classes| self.value_and_centred_partials(a, row.centred, row.sum, classes);
        if let Some(losses) = of_moments(&logits, &targets, partials) {
            return losses;
        }
        let [_, classes] = logits.dims();
        let target = logits.clone().gather(1, targets.unsqueeze_dim(1));
        let numerator = log_of_squares(target, self.eps, 1);
        (log_of_squares(logits, self.eps, classes) - numerator).squeeze_dim(1)
    }

    fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        reduce(self.forward_no_reduction(logits, targets), None, self.reduction)
    }
}

/// `log(sum_k o_k^2 + count eps)` of each row, `[batch_size, 1]`, without overflow.
fn log_of_squares(values: Tensor<2>, eps: f64, count: usize) -> Tensor<2> {
    let scale = values.clone().detach().abs().max_dim(1).clamp_min(1.0);
    let floor = scale.clone().recip().square() * (eps * count as f64);
    ((values / scale.clone()).square().sum_dim(1) + floor).log() + scale.log() * 2.0
}

impl SphericalLoss for SphericalSoftmaxLoss {
    fn value_and_partials(&self, a: f64, q: f64, _s: f64, num_classes: usize) -> Partials {
        let numerator = a * a + self.eps;
        let denominator = q.max(0.0) + num_classes as f64 * self.eps;
        Partials {
            loss: denominator.ln() - numerator.ln(),
            da: -2.0 * a / numerator,
            dq: 1.0 / denominator,
            ds: 0.0,
            degenerate: false,
        }
    }
}
