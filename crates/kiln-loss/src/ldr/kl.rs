//! The loss with one temperature.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use super::LogitNorm;
use crate::error::require;
use crate::gaps::{gaps, of_gaps};
use crate::margin::check_margin;
use crate::{ClassificationLoss, LossError, check_batch};

const NAME: &str = "ldr-kl";

/// Configuration of [`LdrKl`]. The defaults are those of the authors' experiments, without their normalisation of the
/// logits; [`LdrKlConfig::paper`] has it.
#[derive(Config, Debug)]
pub struct LdrKlConfig {
    /// Temperature `lambda > 0`: towards 0 the loss becomes the Crammer-Singer hinge, large values make it symmetric.
    #[config(default = 1.0)]
    pub lambda: f64,
    /// Margin by which the target has to win, not negative.
    #[config(default = 0.1)]
    pub margin: f64,
    /// Scaling of the logits.
    #[config(default = "LogitNorm::None")]
    pub normalize: LogitNorm,
}

impl LdrKlConfig {
    /// With the normalisation of the published results.
    pub fn paper() -> Self {
        Self::new().with_normalize(LogitNorm::SoftplusMean)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a lambda that is not positive and finite, or a margin that is negative.
    pub fn init(&self) -> Result<LdrKl, LossError> {
        let positive = self.lambda > 0.0 && self.lambda.is_finite();
        Ok(LdrKl {
            lambda: require(positive, NAME, "lambda", self.lambda, "a finite number above 0")?,
            margin: check_margin(NAME, self.margin)?,
            normalize: self.normalize,
        })
    }
}

/// Label-distributionally robust loss with a Kullback-Leibler term (LDR-KL).
///
/// ```text
/// psi = lambda log( (1 / D) sum_k exp(d_k / lambda) )        p* = softmax(d / lambda)        dpsi/ds = p* - e_y
/// ```
/// `lambda = 1` and `margin = 0` give cross-entropy less `log D`. Values below zero are usual.
///
/// Source: arXiv 2112.14869, equation 4.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::{ClassificationLoss, ldr::LdrKlConfig};
///
/// let device = Device::flex();
/// let loss = LdrKlConfig::new().init()?;
/// let logits = Tensor::<2>::from_floats([[2.0, 1.0, 0.5, -1.0]], &device);
/// let targets = Tensor::<1, Int>::from_ints([1], &device);
/// let value: f32 = loss.forward(logits, targets).into_scalar();
/// assert!((value - 0.187_320_44).abs() < 1e-6);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LdrKl {
    lambda: f64,
    margin: f64,
    normalize: LogitNorm,
}

impl LdrKl {
    /// Loss of each example, and the distribution over the classes at which it is attained, outside the graph.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`: `[batch_size]`
    /// - output: `[batch_size]` and `[batch_size, num_classes]`
    pub fn forward_with_weights(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> (Tensor<1>, Tensor<2>) {
        let scores = self.normalize.apply(logits.clone().inner());
        let rows = scores.dims()[0];
        let gaps = gaps(scores, targets.clone().inner().reshape([rows, 1]), self.margin);
        (self.forward_no_reduction(logits, targets), soft_maximum(gaps, self.lambda).1)
    }

    /// Like [`ClassificationLoss::forward`], after a check of the whole batch on the host.
    ///
    /// # Errors
    /// [`LossError::Shape`], [`LossError::Target`] or [`LossError::Logit`] with the row.
    pub fn try_forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Result<Tensor<1>, LossError> {
        check_batch(NAME, &logits, &targets)?;
        Ok(self.forward(logits, targets))
    }
}

impl ClassificationLoss for LdrKl {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_gaps(self.normalize.apply(logits), targets, self.margin, |gaps, _| soft_maximum(gaps, self.lambda))
    }
}

/// `lambda log mean exp(d / lambda)` of each row and its derivatives by the gaps, `softmax(d / lambda)`.
fn soft_maximum(gaps: Tensor<2>, lambda: f64) -> (Tensor<2>, Tensor<2>) {
    let (log_mean, weights) = log_mean_exp(gaps / lambda);
    (log_mean * lambda, weights)
}

/// `log mean exp(u)` of each row, `[batch_size, 1]`, and `softmax(u)`; outside the graph.
pub(super) fn log_mean_exp(u: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let classes = u.dims()[1] as f64;
    let highest = u.clone().max_dim(1);
    let powers = (u - highest.clone()).exp();
    let sums = powers.clone().sum_dim(1);
    (highest + (sums.clone() / classes).log(), powers / sums)
}
