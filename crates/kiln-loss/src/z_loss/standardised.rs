//! The Z-loss.

use burn::config::Config;
use burn::tensor::activation::softplus_with_threshold;
use burn::tensor::{Bool, DType, Int, Tensor};

use super::moments::{Moments, of_moments};
use super::{Partials, SphericalLoss};
use crate::class_targets::reduce;
use crate::error::require;
use crate::{ClassificationLoss, LossError, Reduction};

const NAME: &str = "z-loss";

/// Configuration of [`ZLoss`]. The defaults suit ranking; [`ZLossConfig::paper`] gives those of the authors' example.
#[derive(Config, Debug)]
pub struct ZLossConfig {
    /// Sharpness `a > 0`: large values approach the hinge `max(0, b - z)`.
    #[config(default = 0.1)]
    pub sharpness: f64,
    /// Margin `b`, on the scale of a standardised score, which lies in `[-sqrt(D - 1), sqrt(D - 1)]`.
    #[config(default = 10.0)]
    pub margin: f64,
    /// Spread of an example's logits, relative to their size, up to which they all count as equal. The rounding of the
    /// number type sets a lower limit.
    #[config(default = 1e-12)]
    pub eps: f64,
    /// How the losses of a batch become one number.
    #[config(default = "Reduction::Mean")]
    pub reduction: Reduction,
}

impl ZLossConfig {
    /// `a = 1`, `b = 0`, as in the example of the authors' code. The paper itself tunes both for each ranking score.
    pub fn paper() -> Self {
        Self::new().with_sharpness(1.0).with_margin(0.0)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a sharpness that is not positive, a margin that is not finite, or a negative `eps`.
    pub fn init(&self) -> Result<ZLoss, LossError> {
        let positive = self.sharpness > 0.0 && self.sharpness.is_finite();
        Ok(ZLoss {
            sharpness: require(positive, NAME, "sharpness", self.sharpness, "positive and finite")?,
            margin: require(self.margin.is_finite(), NAME, "margin", self.margin, "finite")?,
            eps: require((0.0..1.0).contains(&self.eps), NAME, "eps", self.eps, "in [0, 1)")?,
            reduction: self.reduction,
        })
    }
}

/// Z-loss: softplus of the target's standardised logit.
///
/// ```text
/// mu = mean(o)    sigma = sqrt(mean((o - mu)^2))    z_k = (o_k - mu) / sigma
/// L = softplus(a (b - z_c)) / a
/// dL/do_k = -sigmoid(a (b - z_c)) ([k = c] - 1/D - z_k z_c / D) / sigma
/// ```
/// Mean and standard deviation run over all `D` classes, the target included. The loss does not change when the logits
/// are shifted or scaled by a positive factor. It gives a ranking of the classes, not probabilities. Where all logits of
/// an example are equal, the loss is `softplus(a b) / a` with a zero gradient.
///
/// Source: arXiv 1604.08859. Not the `log^2` penalty on the normaliser of language models that shares the name.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::{ClassificationLoss, ZLossConfig};
///
/// let loss = ZLossConfig::paper().init()?;
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_floats([[1.0, 2.0, 3.0, 4.0]], &device);
/// let targets = Tensor::<1, Int>::from_ints([3], &device);
/// let value: f32 = loss.forward(logits, targets).into_scalar();
/// assert!((value - 0.232_235).abs() < 1e-5);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZLoss {
    sharpness: f64,
    margin: f64,
    eps: f64,
    reduction: Reduction,
}

impl ZLoss {
    /// Which examples have equal logits and therefore no gradient.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - output: `[batch_size]`
    pub fn degenerate(&self, logits: Tensor<2>) -> Tensor<1, Bool> {
        standardise(logits, self.eps).flat.squeeze_dim(1)
    }
}

impl ClassificationLoss for ZLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        check_classes(&logits);
        if let Some(losses) = of_moments(&logits, &targets, |moments, a, classes| self.of_row(moments, a, classes)) {
            return losses;
        }
        let standardised = standardise(logits, self.eps);
        let score = standardised.scores.gather(1, targets.unsqueeze_dim(1)).mask_fill(standardised.flat, 0.0);
        let score = score.squeeze_dim::<1>(1);
        softplus((score - self.margin) * -self.sharpness) / self.sharpness
    }

    fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        reduce(self.forward_no_reduction(logits, targets), None, self.reduction)
    }
}

/// Logits less their mean, over their standard deviation, and which rows have none.
struct Standardised {
    scores: Tensor<2>,
    flat: Tensor<2, Bool>,
}

/// Standardises every row. The rows are first divided by their largest deviation from the mean: `z` does not depend on
/// it, so it needs no gradient, and squares can neither overflow nor vanish.
fn standardise(logits: Tensor<2>, eps: f64) -> Standardised {
    check_classes(&logits);
    let precision = match logits.dtype() {
        DType::F64 => f64::EPSILON,
        DType::F32 => f64::from(f32::EPSILON),
        _ => 1e-3,
    };
    let magnitude = logits.clone().detach().abs().max_dim(1);
    let magnitude = magnitude.clone().mask_fill(magnitude.equal_scalar(0.0), 1.0);
    let relative = logits / magnitude;
    let centred = relative.clone() - relative.mean_dim(1);
    let deviation = centred.clone().detach().abs().max_dim(1);
    let flat = deviation.clone().lower_equal_scalar(eps.max(8.0 * precision));
    let centred = centred / deviation.mask_fill(flat.clone(), 1.0);
    let variance = centred.clone().square().mean_dim(1).mask_fill(flat.clone(), 1.0);
    Standardised { scores: centred / variance.sqrt(), flat }
}

fn check_classes(logits: &Tensor<2>) {
    let [_, classes] = logits.dims();
    assert!(classes >= 2, "{NAME}: logits with {classes} classes, at least 2 are needed");
}

/// `log(1 + exp(x))` without overflow; beyond the threshold it is `x`, to rounding, in double precision too.
fn softplus(x: Tensor<1>) -> Tensor<1> {
    const THRESHOLD: f64 = 40.0;
    softplus_with_threshold(x, 1.0, THRESHOLD)
}

impl SphericalLoss for ZLoss {
    fn value_and_partials(&self, a: f64, q: f64, s: f64, num_classes: usize) -> Partials {
        let (mean, mean_square) = (s / num_classes as f64, q / num_classes as f64);
        // What the rounding of `q` leaves of the variance.
        let floor = (self.eps * self.eps).max(8.0 * f64::EPSILON) * mean_square;
        let partials = self.of_moments(a, mean, mean_square - mean * mean, floor, num_classes);
        Partials { ds: partials.ds - 2.0 * partials.dq * mean, ..partials }
    }

    fn value_and_centred_partials(&self, a: f64, v: f64, s: f64, num_classes: usize) -> Partials {
        let (mean, variance) = (s / num_classes as f64, v / num_classes as f64);
        let floor = self.eps.max(8.0 * f64::EPSILON).powi(2) * (variance + mean * mean);
        self.of_moments(a, mean, variance, floor, num_classes)
    }
}

impl ZLoss {
    /// Value and partial derivatives for a row of single precision, which counts as equal where [`standardise`] says so.
    fn of_row(&self, moments: &Moments, a: f64, num_classes: usize) -> Partials {
        let Moments { sum, centred, magnitude, deviation } = *moments;
        let flat = deviation <= self.eps.max(8.0 * f64::from(f32::EPSILON)) * magnitude && !centred.is_nan();
        let (mean, variance) = (sum / num_classes as f64, centred / num_classes as f64);
        let floor = if flat { f64::INFINITY } else { 0.0 };
        self.of_moments(a, mean, variance, floor, num_classes)
    }

    /// Value and partial derivatives, with `ds` at a fixed variance; logits with a variance up to `floor` count as equal.
    fn of_moments(&self, a: f64, mean: f64, variance: f64, floor: f64, num_classes: usize) -> Partials {
        let classes = num_classes as f64;
        if variance <= floor {
            let loss = softplus_scalar(self.sharpness * self.margin) / self.sharpness;
            return Partials { loss, da: 0.0, dq: 0.0, ds: 0.0, degenerate: true };
        }
        let sigma = variance.sqrt();
        let score = (a - mean) / sigma;
        let argument = self.sharpness * (self.margin - score);
        let slope = -sigmoid(argument);
        Partials {
            loss: softplus_scalar(argument) / self.sharpness,
            da: slope / sigma,
            dq: -slope * score / (2.0 * classes * variance),
            ds: -slope / (classes * sigma),
            degenerate: false,
        }
    }
}

fn softplus_scalar(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}
