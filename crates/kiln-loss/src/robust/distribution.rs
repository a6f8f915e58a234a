//! Losses that look at the whole predicted distribution: normalised cross-entropy, squared error, robust log loss.

use burn::config::Config;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, activation::log_softmax};
use kiln_autodiff::with_known_gradient;

use crate::error::require;
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
        of_distribution(logits, targets, |p, targets| {
            let missing = -p.clone().gather(1, targets.clone()).ones_like();
            let error = p.scatter(1, targets, missing, IndexingUpdateOp::Add);
            (error.clone().square().sum_dim(1), error * 2.0)
        })
    }
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
    /// [`LossError::Setting`] for an offset that is not positive and finite.
    pub fn init(&self) -> Result<RobustLogLoss, LossError> {
        let valid = self.offset > 0.0 && self.offset.is_finite();
        Ok(RobustLogLoss { offset: require(valid, "robust log", "offset", self.offset, "a finite number above 0")? })
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
        let others = (logits.dims()[1] - 1) as f64;
        let offset = self.offset;
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
