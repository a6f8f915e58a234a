//! Cross-entropy, the baseline of every other loss.

use burn::config::Config;
use burn::tensor::{Int, Tensor, activation::log_softmax};

use crate::class_targets::{ClassWeights, check_label_smoothing, mix_label_smoothing, reduce};
use crate::rows::{HostRows, each, softmax, sums, weighted_sum};
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
            let losses = rows.map(|| (), |(), _, row, target| self.of_row(row, target, weights));
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
    /// The loss of a row of scores, which becomes its gradient `softmax(s)_k sum_j w_j q_j - w_k q_k`.
    fn of_row(&self, row: &mut [f32], target: usize, weights: Option<&[f64]>) -> f32 {
        let classes = row.len() as f64;
        let (certain, spread) = (1.0 - self.label_smoothing, self.label_smoothing / classes);
        let weight = |class: usize| weights.map_or(1.0, |weights| weights[class]);
        let own = f64::from(row[target]);
        // `sum_k w_k` and `sum_k w_k s_k`, before the scores become powers.
        let all = (spread > 0.0).then(|| match weights {
            Some(weights) => (weights.iter().sum(), weighted_sum(row, weights)),
            None => (classes, sums(row).0),
        });
        let powers = softmax(row, 1.0);
        let (max, log_sum) = (f64::from(powers.max), f64::from(powers.sum).ln());
        let mut loss = certain * weight(target) * (log_sum - (own - max));
        let mut total = certain * weight(target);
        if let Some((all_weights, all_scores)) = all {
            loss += spread * (all_weights * (max + log_sum) - all_scores);
            total += spread * all_weights;
        }
        let scale = total / f64::from(powers.sum);
        match weights.filter(|_| spread > 0.0) {
            Some(weights) => row
                .iter_mut()
                .zip(weights)
                .for_each(|(power, weight)| *power = (f64::from(*power) * scale - spread * weight) as f32),
            None => each(row, |power| (f64::from(power) * scale - spread) as f32),
        }
        row[target] -= (certain * weight(target)) as f32;
        loss as f32
    }
}
