//! The loss with one temperature.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use super::LogitNorm;
use crate::error::require;
use crate::gaps::{gaps, of_gaps};
use crate::margin::check_margin;
use crate::rows::{HostRows, Line, Look, SoftmaxRow, ThroughSoftmax};
use crate::{ClassificationLoss, LossError};

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
    /// [`LossError::Setting`] for a lambda outside `[1e-30, 1e30]`, where single precision ends, or a margin that is
    /// negative.
    pub fn init(&self) -> Result<LdrKl, LossError> {
        Ok(LdrKl {
            lambda: check_temperature(NAME, "lambda", self.lambda)?,
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
        (self.forward_no_reduction(logits, targets), self.soft_maximum(gaps).1)
    }

    fn soft_maximum(&self, gaps: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let lambda = gaps.clone().narrow(1, 0, 1).full_like(self.lambda);
        soft_maximum(gaps, lambda)
    }
}

impl ClassificationLoss for LdrKl {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let logits = self.normalize.apply(logits);
        if let Some(mut rows) = HostRows::of(&logits, &targets) {
            let losses = rows.onto_lines(look(self.margin, self.lambda), |row| line(row, self.lambda));
            return rows.into_losses(logits, losses);
        }
        of_gaps(logits, targets, self.margin, |gaps, _| self.soft_maximum(gaps))
    }
}

/// A temperature that single precision can divide by.
pub(super) fn check_temperature(loss: &'static str, name: &'static str, value: f64) -> Result<f64, LossError> {
    require((1e-30..=1e30).contains(&value), loss, name, value, "above 0, and between 1e-30 and 1e30")
}

/// `lambda log mean exp(d / lambda)` of a row of scores, which becomes its gradient `softmax(d / lambda) - e_y`.
pub(super) fn of_row(row: &mut [f32], target: usize, margin: f64, lambda: f64) -> f64 {
    let line = line(&look(margin, lambda).at_row(row, target), lambda);
    line.replace(row, target);
    line.loss
}

/// With the margin taken off the target's own score, the gaps are the scores less that one, its own gap as well.
fn look(margin: f64, lambda: f64) -> ThroughSoftmax {
    ThroughSoftmax { inverse: (1.0 / lambda) as f32, margin: margin as f32, ..ThroughSoftmax::default() }
}

/// The loss and its gradient `softmax(d / lambda) - e_y`, on the line over the powers.
fn line(row: &SoftmaxRow, lambda: f64) -> Line {
    let SoftmaxRow { own, powers, .. } = *row;
    let loss = f64::from(powers.max - own) + lambda * powers.log_mean();
    Line { loss, slope: 1.0 / f64::from(powers.sum), intercept: 0.0, own: -1.0 }
}

/// `lambda log mean exp(d / lambda)` of each row, `[batch_size, 1]`, and `softmax(d / lambda)`, for temperatures
/// `[batch_size, 1]`; outside the graph.
pub(super) fn soft_maximum(gaps: Tensor<2>, lambda: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let classes = gaps.dims()[1] as f64;
    let highest = gaps.clone().max_dim(1);
    let u = (gaps - highest.clone()) / lambda.clone();
    let powers = u.clone().exp();
    let sums = powers.clone().sum_dim(1);
    let mean = sums.clone() / classes;
    // Where all powers are near one, expm1(u) = tanh(u / 2) (exp(u) + 1) says more than they do.
    let excess = ((u * 0.5).tanh() * (powers.clone() + 1.0)).sum_dim(1) / classes;
    let log_mean = mean.clone().log().mask_where(mean.greater_scalar(0.5), excess.log1p());
    (highest + log_mean * lambda, powers / sums)
}
