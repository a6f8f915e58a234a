//! The multi-class hinge of Crammer and Singer.

use burn::config::Config;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use super::check_margin;
use crate::gaps::of_gaps;
use crate::rows::{HostRows, Kernel, LANES, filled_up, largest, sum_of, vectorised};
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
        if let Some(mut rows) = HostRows::of(&logits, &targets) {
            let losses = rows.map(|| (), |(), _, row, target| hinge_of_row(row, target, self.margin));
            return rows.into_losses(logits, losses);
        }
        of_gaps(logits, targets, self.margin, |gaps, _| {
            let zeros = gaps.zeros_like();
            let (values, rivals) = gaps.max_dim_with_indices(1);
            let ones = values.ones_like();
            (values, zeros.scatter(1, rivals, ones, IndexingUpdateOp::Add))
        })
    }
}

/// The loss of a row of scores, which becomes its gradient: up for the strongest rival, down for the target.
fn hinge_of_row(row: &mut [f32], target: usize, margin: f64) -> f32 {
    let own = row[target];
    row[target] = f32::NEG_INFINITY;
    let (strongest, strangers) = vectorised(Strongest { row });
    let violation = margin + f64::from(strongest) - f64::from(own);
    let rival = row.iter().position(|&score| score == strongest).filter(|_| violation > 0.0);
    row.fill(0.0);
    if let Some(rival) = rival {
        row[rival] += 1.0;
        row[target] -= 1.0;
    }
    // The target's gap to itself is zero only where there is such a difference.
    let is_number = strangers == 0.0 && own.is_finite();
    if is_number { violation.max(0.0) as f32 } else { f32::NAN }
}

/// The largest score, and how many scores are not numbers.
struct Strongest<'a> {
    row: &'a [f32],
}

impl Kernel for Strongest<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run(self) -> (f32, f32) {
        let (chunks, rest) = self.row.as_chunks::<LANES>();
        let mut strangers = [0.0; LANES];
        for chunk in chunks.iter().chain([&filled_up(rest, 0.0)]) {
            for lane in 0..LANES {
                strangers[lane] += if chunk[lane].is_nan() { 1.0 } else { 0.0 };
            }
        }
        (largest(self.row, f32::NEG_INFINITY), sum_of(strangers))
    }
}
