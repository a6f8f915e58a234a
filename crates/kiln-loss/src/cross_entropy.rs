//! Cross-entropy, the baseline of every other loss.

use burn::config::Config;
use burn::tensor::{Int, Tensor, activation::log_softmax};

use crate::class_targets::{ClassWeights, check_label_smoothing, mix_label_smoothing, reduce};
use crate::rows::{HostRows, Line, SoftmaxRow, ThroughSoftmax, softmax, weighted_sum};
use crate::{ClassificationLoss, LossError, Reduction};

const NAME: &str = "cross-entropy";

/// Configuration of [`CrossEntropyLoss`].
#[derive(Config, Debug)]
pub struct CrossEntropyLossConfig {
    /// Share `a` in `[0, 1]` of the target distribution that is spread over all classes.
    #[config(default = 0.0)]
    pub label_smoothing: f64,
    /// One factor for each class, not negative.
    pub class_weights: Option<Vec<f64>>,
    /// How the losses of a batch become one number.
    #[config(default = "Reduction::Mean")]
    pub reduction: Reduction,
}

impl CrossEntropyLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a smoothing outside `[0, 1]`, [`LossError::WeightValue`] for a negative weight.
    pub fn init(&self) -> Result<CrossEntropyLoss, LossError> {
        Ok(CrossEntropyLoss {
            label_smoothing: check_label_smoothing(NAME, self.label_smoothing)?,
            class_weights: ClassWeights::new(NAME, self.class_weights.clone())?,
            reduction: self.reduction,
        })
    }
}

/// Cross-entropy with label smoothing and class weights, equal to PyTorch's.
///
/// ```text
/// q_k = (1 - a) [k = y] + a / n        L = - sum_k w_k q_k log softmax(s)_k
/// ```
/// The mean over a batch divides by the sum of the targets' weights `w_y`.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::{ClassificationLoss, CrossEntropyLossConfig};
///
/// let device = Device::flex();
/// let loss = CrossEntropyLossConfig::new().with_label_smoothing(0.1).init()?;
/// let logits = Tensor::<2>::from_floats([[2.0, 1.0, 0.5]], &device);
/// let targets = Tensor::<1, Int>::from_ints([1], &device);
/// let value: f32 = loss.forward(logits, targets).into_scalar();
/// assert!((value - 1.447702).abs() < 1e-5);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CrossEntropyLoss {
    label_smoothing: f64,
    class_weights: ClassWeights,
    reduction: Reduction,
}

impl Default for CrossEntropyLoss {
    fn default() -> Self {
        Self { label_smoothing: 0.0, class_weights: ClassWeights::uniform(), reduction: Reduction::Mean }
    }
}

impl ClassificationLoss for CrossEntropyLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        if let Some(mut rows) = HostRows::of(&logits, &targets) {
            let weights = self.class_weights.of_classes(NAME, logits.dims()[1]);
            let look = ThroughSoftmax { with_scores: self.label_smoothing > 0.0, ..ThroughSoftmax::default() };
            let losses = match weights.filter(|_| self.label_smoothing > 0.0) {
                None => rows.onto_lines(look, |row| self.line(row, weights)),
                Some(weights) => rows.map(|| (), |(), _, row, target| self.of_weighted_row(row, target, weights)),
            };
            return rows.into_losses(logits, losses);
        }
        let losses = -log_softmax(logits, 1);
        mix_label_smoothing(NAME, losses, targets, self.label_smoothing, &self.class_weights)
    }

    fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let [_, classes] = logits.dims();
        let dtype = logits.dtype();
        let losses = self.forward_no_reduction(logits, targets.clone());
        reduce(losses, self.class_weights.of_targets(NAME, classes, targets, dtype), self.reduction)
    }

    fn check_classes(&self, num_classes: usize) -> Result<(), LossError> {
        self.class_weights.check_count(NAME, num_classes)
    }
}

impl CrossEntropyLoss {
    /// The loss of a row and its gradient, on the line over the powers: with label smoothing, where all weights are one.
    fn line(&self, row: &SoftmaxRow, weights: Option<&[f64]>) -> Line {
        let classes = row.powers.classes() as f64;
        let spread = self.label_smoothing / classes;
        let own = (1.0 - self.label_smoothing) * weights.map_or(1.0, |weights| weights[row.target]);
        let log_normaliser = f64::from(row.powers.max) + row.powers.log_sum();
        Line {
            loss: own * row.nll() + if spread > 0.0 { spread * (classes * log_normaliser - row.scores) } else { 0.0 },
            slope: (own + spread * classes) / f64::from(row.powers.sum),
            intercept: spread,
            own: -own,
        }
    }

    /// The loss of a row of scores, which becomes its gradient `softmax(s)_k sum_j w_j q_j - w_k q_k`.
    fn of_weighted_row(&self, row: &mut [f32], target: usize, weights: &[f64]) -> f32 {
        let (certain, spread) = (1.0 - self.label_smoothing, self.label_smoothing / row.len() as f64);
        let own = f64::from(row[target]);
        // `sum_k w_k` and `sum_k w_k s_k`, before the scores become powers.
        let (all_weights, all_scores) = (weights.iter().sum::<f64>(), weighted_sum(row, weights));
        let powers = softmax(row, 1.0);
        let log_normaliser = f64::from(powers.max) + powers.log_sum();
        let certain = certain * weights[target];
        let loss = certain * (log_normaliser - own) + spread * (all_weights * log_normaliser - all_scores);
        let scale = (certain + spread * all_weights) / f64::from(powers.sum);
        for (power, weight) in row.iter_mut().zip(weights) {
            *power = (f64::from(*power) * scale - spread * weight) as f32;
        }
        row[target] -= certain as f32;
        loss as f32
    }
}
