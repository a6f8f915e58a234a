//! The multi-class hinge of Crammer and Singer.

use burn::config::Config;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use super::check_margin;
use crate::gaps::of_gaps;
use crate::{ClassificationLoss, LossError};

/// Configuration of [`CrammerSingerLoss`].
#[derive(Config, Debug)]
pub struct CrammerSingerLossConfig {
    /// Margin `m >= 0` by which the target has to win.
    #[config(default = 1.0)]
    pub margin: f64,
}

impl CrammerSingerLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a margin that is negative or not finite.
    pub fn init(&self) -> Result<CrammerSingerLoss, LossError> {
        Ok(CrammerSingerLoss { margin: check_margin("crammer-singer", self.margin)? })
    }
}

/// Multi-class hinge of the strongest rival.
///
/// ```text
/// L = max_k (s_k - s_y + m [k != y])        = max(0, m + max_{k != y} s_k - s_y)
/// ```
/// Convex and calibrated for two classes; with more it need not be, and it is top-k consistent for no `k`.
///
/// Source: K. Crammer and Y. Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines",
/// 2001.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrammerSingerLoss {
    margin: f64,
}

impl ClassificationLoss for CrammerSingerLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_gaps(logits, targets, self.margin, |gaps, _| {
            let zeros = gaps.zeros_like();
            let (values, rivals) = gaps.max_dim_with_indices(1);
            let ones = values.ones_like();
            (values, zeros.scatter(1, rivals, ones, IndexingUpdateOp::Add))
        })
    }
}
