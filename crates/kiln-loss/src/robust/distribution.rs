//! Losses that look at the whole predicted distribution: normalised cross-entropy, squared error, robust log loss.

use burn::config::Config;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, activation::log_softmax};
use kiln_autodiff::with_known_gradient;

use crate::error::require;
use crate::rows::{
    FusedKernel, HostRows, LANES, Line, MultiplyAdd, SoftmaxRow, ThroughSoftmax, each, filled_up, log_of_positive,
    softmax, sum_of, sums, vectorised,
};
use crate::{ClassificationLoss, LossError};

/// Configuration of [`NormalizedCrossEntropyLoss`].
#[derive(Config, Debug)]
pub struct NormalizedCrossEntropyLossConfig {}

impl NormalizedCrossEntropyLossConfig {
    /// The loss.
    ///
    /// # Errors
    /// None: there is nothing to refuse; the result has the form that every loss's `init` has.
    pub fn init(&self) -> Result<NormalizedCrossEntropyLoss, LossError> {
        Ok(NormalizedCrossEntropyLoss)
    }
}

/// Normalised cross-entropy (NCE): cross-entropy over its sum for all targets.
///
/// ```text
/// L = log p_y / sum_k log p_k        in (0, 1)
/// ```
/// Symmetric, hence robust to uniform noise, and slow to learn alone; see
/// [`ActivePassiveLoss`](super::ActivePassiveLoss).
///
/// Source: X. Ma et al., "Normalized Loss Functions for Deep Learning with Noisy Labels", arXiv 2006.13554.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormalizedCrossEntropyLoss;

impl ClassificationLoss for NormalizedCrossEntropyLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        if let Some(mut rows) = HostRows::of(&logits, &targets) {
            let look = ThroughSoftmax { with_scores: true, ..ThroughSoftmax::default() };
            let losses = rows.onto_lines(look, normalized_line);
            return rows.into_losses(logits, losses);
        }
        let [rows, classes] = logits.dims();
        let targets = targets.inner().reshape([rows, 1]);
        let log_p = log_softmax(logits.clone().inner(), 1);
        let own = log_p.clone().gather(1, targets.clone());
        let total = log_p.clone().sum_dim(1);
        let share = own / total.clone();
        with_known_gradient(logits, share.clone().reshape([rows]), || {
            // d own = e_y - p and d total = 1 - D p.
            let p = log_p.exp();
            let slopes = p.clone() * (share.clone() * classes as f64 - 1.0) - share;
            let ones = total.ones_like();
            slopes.scatter(1, targets, ones, IndexingUpdateOp::Add) / total
        })
    }
}

/// The normalised cross-entropy of a row, on the line over the powers; the sum of the scores is needed.
pub(super) fn normalized_line(row: &SoftmaxRow) -> Line {
    let (classes, sum) = (row.powers.classes() as f64, f64::from(row.powers.sum));
    let log_sum = f64::from(row.powers.max) + row.powers.log_sum();
    let total = row.scores - classes * log_sum;
    let share = (f64::from(row.own) - log_sum) / total;
    // d own = e_y - p and d total = 1 - D p.
    Line { loss: share, slope: (share * classes - 1.0) / total / sum, intercept: share / total, own: 1.0 / total }
}

/// Configuration of [`BrierLoss`].
#[derive(Config, Debug)]
pub struct BrierLossConfig {}

impl BrierLossConfig {
    /// The loss.
    ///
    /// # Errors
    /// None: there is nothing to refuse; the result has the form that every loss's `init` has.
    pub fn init(&self) -> Result<BrierLoss, LossError> {
        Ok(BrierLoss)
    }
}

/// Squared distance between the one-hot target and the predicted distribution, the Brier score.
///
/// ```text
/// L = sum_k (e_k - p_k)^2        in [0, 2]
/// ```
/// Source: G. Brier, "Verification of forecasts expressed in terms of probability", 1950.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrierLoss;

impl ClassificationLoss for BrierLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        if let Some(mut rows) = HostRows::of(&logits, &targets) {
            let losses = rows.map(|| (), |(), _, row, target| squared_of_row(row, target));
            return rows.into_losses(logits, losses);
        }
        of_distribution(logits, targets, |p, targets| {
            let missing = -p.clone().gather(1, targets.clone()).ones_like();
            let error = p.scatter(1, targets, missing, IndexingUpdateOp::Add);
            (error.clone().square().sum_dim(1), error * 2.0)
        })
    }
}

/// The squared error of a row of scores, which becomes its gradient.
fn squared_of_row(row: &mut [f32], target: usize) -> f32 {
    let scale = 1.0 / f64::from(softmax(row, 1.0).sum);
    let p_own = f64::from(row[target]) * scale;
    // What the target lacks is what the others have: one minus its own would cancel where it is certain.
    row[target] = 0.0;
    let (sum, squares) = sums(row);
    let (missing, squares) = (sum * scale, squares * scale * scale);
    // Half the mean of the derivatives by p under p itself; dL/ds = 2 p (error - mean).
    let mean = squares - p_own * missing;
    each(row, |power| {
        let p = f64::from(power) * scale;
        (2.0 * p * (p - mean)) as f32
    });
    row[target] = (-2.0 * p_own * (missing + mean)) as f32;
    (squares + missing * missing) as f32
}

/// Configuration of [`RobustLogLoss`].
#[derive(Config, Debug)]
pub struct RobustLogLossConfig {
    /// Offset `t > 0` inside the logarithms.
    #[config(default = 1.0)]
    pub offset: f64,
}

impl RobustLogLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for an offset outside `[1e-30, 1e30]`, where single precision ends.
    pub fn init(&self) -> Result<RobustLogLoss, LossError> {
        let valid = (1e-30..=1e30).contains(&self.offset);
        Ok(RobustLogLoss { offset: require(valid, "robust log", "offset", self.offset, "between 1e-30 and 1e30")? })
    }
}

/// Robust log loss (RLL): a logarithm with an offset, made symmetric.
///
/// ```text
/// L = log((t + 1) / t) - log(t + p_y) + (1 / (D - 1)) sum_{k != y} log(t + p_k)
/// ```
/// Zero for a certain right answer, and the sum over all targets is constant. From the definition of the loss: the code
/// of the LDR paper's comparison adds its second term in another way.
///
/// Source: D. Patel and P. S. Sastry, "Memorization in Deep Neural Networks: Does the Loss Function Matter?",
/// arXiv 2107.09957.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RobustLogLoss {
    offset: f64,
}

impl ClassificationLoss for RobustLogLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let offset = self.offset;
        if let Some(mut rows) = HostRows::of(&logits, &targets) {
            let losses = rows.map(|| (), |(), _, row, target| robust_log_of_row(row, target, offset));
            return rows.into_losses(logits, losses);
        }
        let others = (logits.dims()[1] - 1) as f64;
        of_distribution(logits, targets, |p, targets| {
            let shifted = p + offset;
            let logs = shifted.clone().log();
            let own = logs.clone().gather(1, targets.clone()) * (-1.0 - 1.0 / others);
            let values = logs.sum_dim(1) / others + own + ((offset + 1.0) / offset).ln();
            let slopes = shifted.recip() / others;
            let own = slopes.clone().gather(1, targets.clone()) * (-1.0 - others);
            (values, slopes.scatter(1, targets, own, IndexingUpdateOp::Add))
        })
    }
}

/// The robust log loss of a row of scores, which becomes its gradient.
fn robust_log_of_row(row: &mut [f32], target: usize, offset: f64) -> f32 {
    let others = row.len() as f64 - 1.0;
    let scale = 1.0 / softmax(row, 1.0).sum;
    let p_own = f64::from(row[target] * scale);
    let (logs, shares) = vectorised(Logarithms { powers: row, scale, offset: offset as f32 });
    let (log_own, share_own) = ((p_own + offset).ln(), p_own / (p_own + offset));
    let value = ((offset + 1.0) / offset).ln() - log_own + (f64::from(logs) - log_own) / others;
    // The mean of the derivatives by p under p itself; dL/ds = p (dL/dp - mean).
    let mean = (f64::from(shares) - share_own) / others - share_own;
    each(row, |power| {
        let p = power * scale;
        p * (1.0 / ((p + offset as f32) * others as f32) - mean as f32)
    });
    row[target] = (-share_own - p_own * mean) as f32;
    value as f32
}

/// `sum_k log(t + p_k)` and `sum_k p_k / (t + p_k)`.
struct Logarithms<'a> {
    powers: &'a [f32],
    scale: f32,
    offset: f32,
}

impl FusedKernel for Logarithms<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) -> (f32, f32) {
        let Self { powers, scale, offset } = self;
        let (chunks, rest) = powers.as_chunks::<LANES>();
        let (mut logs, mut shares) = ([0.0; LANES], [0.0; LANES]);
        for chunk in chunks {
            for lane in 0..LANES {
                let p = chunk[lane] * scale;
                logs[lane] += log_of_positive(m, p + offset);
                shares[lane] += p / (p + offset);
            }
        }
        let last = filled_up(rest, 0.0);
        for lane in 0..LANES {
            // Where there is no class, the logarithm of one and a share of nothing.
            let p = last[lane] * scale;
            logs[lane] += log_of_positive(m, if lane < rest.len() { p + offset } else { 1.0 });
            shares[lane] += p / (p + offset);
        }
        (sum_of(logs), sum_of(shares))
    }
}

/// A function of `p = softmax(s)` and the target, `[batch_size, 1]`, with its derivatives by `p`.
fn of_distribution(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    function: impl FnOnce(Tensor<2>, Tensor<2, Int>) -> (Tensor<2>, Tensor<2>),
) -> Tensor<1> {
    let [rows, _] = logits.dims();
    let p = burn::tensor::activation::softmax(logits.clone().inner(), 1);
    let (values, slopes) = function(p.clone(), targets.inner().reshape([rows, 1]));
    with_known_gradient(logits, values.reshape([rows]), || {
        let mean = (slopes.clone() * p.clone()).sum_dim(1);
        p * (slopes - mean)
    })
}
