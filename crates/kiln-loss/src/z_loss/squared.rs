//! Squared error to a one-hot target.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use super::moments::{Moments, of_moments};
use super::{Partials, SparsePartials, SparseTargetLoss, SphericalLoss};
use crate::class_targets::reduce;
use crate::{ClassificationLoss, LossError, Reduction};

/// Configuration of [`SquaredSphericalLoss`].
#[derive(Config, Debug)]
pub struct SquaredSphericalLossConfig {
    /// How the losses of a batch become one number.
    #[config(default = "Reduction::Mean")]
    pub reduction: Reduction,
}

impl SquaredSphericalLossConfig {
    /// The loss.
    ///
    /// # Errors
    /// None: there is nothing to refuse; the result has the form that every loss's `init` has.
    pub fn init(&self) -> Result<SquaredSphericalLoss, LossError> {
        Ok(SquaredSphericalLoss { reduction: self.reduction })
    }
}

/// Squared distance between the logits and the one-hot target.
///
/// ```text
/// L = sum_k (o_k - [k = c])^2 = q - 2 o_c + 1
/// ```
/// Source: arXiv 1412.7091.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SquaredSphericalLoss {
    reduction: Reduction,
}

impl ClassificationLoss for SquaredSphericalLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let partials = |row: &Moments, a, classes| self.value_and_centred_partials(a, row.centred, row.sum, classes);
        if let Some(losses) = of_moments(&logits, &targets, partials) {
            return losses;
        }
        let target = logits.clone().gather(1, targets.unsqueeze_dim(1));
        (logits.square().sum_dim(1) - target * 2.0 + 1.0).squeeze_dim(1)
    }

    fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        reduce(self.forward_no_reduction(logits, targets), None, self.reduction)
    }
}

impl SphericalLoss for SquaredSphericalLoss {
    fn value_and_partials(&self, a: f64, q: f64, _s: f64, _num_classes: usize) -> Partials {
        Partials { loss: q - 2.0 * a + 1.0, da: -2.0, dq: 1.0, ds: 0.0, degenerate: false }
    }
}

/// Squared distance between the logits and a target with a 1 at each of `K` different listed classes.
///
/// ```text
/// L = q - 2 sum_k a_k + K
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SquaredToKHot;

impl SparseTargetLoss for SquaredToKHot {
    fn value_and_sparse_partials(
        &self,
        a: &[f64],
        q: f64,
        _s: f64,
        _num_classes: usize,
        da: &mut [f64],
    ) -> SparsePartials {
        da.fill(-2.0);
        let loss = q - 2.0 * a.iter().sum::<f64>() + a.len() as f64;
        SparsePartials { loss, dq: 1.0, ds: 0.0, degenerate: false }
    }
}
