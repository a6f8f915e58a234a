//! Reductions, class weights and an ignored class for any loss.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use crate::class_targets::ClassWeights;
use crate::{ClassificationLoss, LossError, Reduction, TrainingMoment};

const NAME: &str = "reduced loss";

/// Configuration of [`ReducedLoss`]. The defaults give the mean of the loss that is wrapped.
#[derive(Config, Debug)]
pub struct ReducedLossConfig {
    /// One factor for each class, not negative.
    pub class_weights: Option<Vec<f64>>,
    /// Target whose examples count for nothing; it need not be a class, so that 255 or -100 can mean "no label".
    pub ignore_index: Option<i64>,
    /// How the losses of a batch become one number.
    #[config(default = "Reduction::Mean")]
    pub reduction: Reduction,
}

impl ReducedLossConfig {
    /// Wraps `loss`.
    ///
    /// # Errors
    /// [`LossError::WeightValue`] for a weight that is negative or not finite.
    pub fn init<L: ClassificationLoss>(&self, loss: L) -> Result<ReducedLoss<L>, LossError> {
        Ok(ReducedLoss {
            loss,
            class_weights: ClassWeights::new(NAME, self.class_weights.clone())?,
            ignore_index: self.ignore_index,
            reduction: self.reduction,
        })
    }
}

/// Any loss with class weights, an ignored target and a reduction.
///
/// ```text
/// L_i = w_{y_i} [y_i != ignored] l(s_i, y_i)        mean = sum_i L_i / sum_i w_{y_i} [y_i != ignored]
/// ```
/// As in PyTorch, except that the mean of a batch in which nothing counts is 0.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::{ClassificationLoss, CrossEntropyLoss, ReducedLossConfig};
///
/// let device = Device::flex();
/// let loss = ReducedLossConfig::new().with_ignore_index(Some(-100)).init(CrossEntropyLoss::default())?;
/// let logits = Tensor::<2>::from_floats([[2.0, 1.0, 0.5], [9.0, 9.0, 0.0]], &device);
/// let targets = Tensor::<1, Int>::from_ints([1, -100], &device);
/// let value: f32 = loss.forward(logits, targets).into_scalar();
/// assert!((value - 1.4643688).abs() < 1e-6);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ReducedLoss<L> {
    loss: L,
    class_weights: ClassWeights,
    ignore_index: Option<i64>,
    reduction: Reduction,
}

impl<L: ClassificationLoss> ReducedLoss<L> {
    /// Weighted losses and the weight of each example, `[batch_size]` both.
    fn weighted(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        each: impl FnOnce(Tensor<2>, Tensor<1, Int>) -> Tensor<1>,
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let (classes, dtype) = (logits.dims()[1], logits.dtype());
        let ignored = self.ignore_index.map(|index| targets.clone().inner().equal_scalar(index));
        let targets = match &ignored {
            Some(ignored) => targets.inner().mask_fill(ignored.clone(), 0),
            None => targets,
        };
        let weights = self.class_weights.of_targets(NAME, classes, targets.clone(), dtype);
        let losses = each(logits, targets);
        let weights = match (weights, &ignored) {
            (Some(weights), Some(ignored)) => Some(weights.mask_fill(ignored.clone(), 0.0)),
            (None, Some(ignored)) => Some(losses.clone().inner().ones_like().mask_fill(ignored.clone(), 0.0)),
            (weights, None) => weights,
        };
        match weights {
            Some(weights) => (losses * weights.clone(), Some(weights)),
            None => (losses, None),
        }
    }

    fn reduced(&self, (losses, weights): (Tensor<1>, Option<Tensor<1>>)) -> Tensor<1> {
        match (self.reduction, weights) {
            (Reduction::None, _) => losses,
            (Reduction::Sum, _) => losses.sum(),
            (Reduction::Mean, None) => losses.mean(),
            (Reduction::Mean, Some(weights)) => losses.sum() / weights.sum().clamp_min(f64::from(f32::MIN_POSITIVE)),
        }
    }
}

impl<L: ClassificationLoss> ClassificationLoss for ReducedLoss<L> {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        self.weighted(logits, targets, |logits, targets| self.loss.forward_no_reduction(logits, targets)).0
    }

    fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let each = |logits, targets| self.loss.forward_no_reduction(logits, targets);
        self.reduced(self.weighted(logits, targets, each))
    }

    fn losses_in_training(&self, logits: Tensor<2>, targets: Tensor<1, Int>, moment: &TrainingMoment<'_>) -> Tensor<1> {
        self.weighted(logits, targets, |logits, targets| self.loss.losses_in_training(logits, targets, moment)).0
    }

    fn forward_in_training(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        moment: &TrainingMoment<'_>,
    ) -> Tensor<1> {
        let each = |logits, targets| self.loss.losses_in_training(logits, targets, moment);
        self.reduced(self.weighted(logits, targets, each))
    }

    fn measures_progress(&self) -> bool {
        self.loss.measures_progress()
    }

    fn memory(&self) -> Option<Vec<f32>> {
        self.loss.memory()
    }

    fn remember(&self, memory: Vec<f32>) -> Result<(), LossError> {
        self.loss.remember(memory)
    }

    fn check_classes(&self, num_classes: usize) -> Result<(), LossError> {
        self.class_weights.check_count(NAME, num_classes)?;
        self.loss.check_classes(num_classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CrossEntropyLoss, CrossEntropyLossConfig};
    use burn::tensor::Device;
    use kiln_check::{assert_close, gradient, loss_suite, values};

    const SCORES: [f64; 9] = [2.0, 1.0, 0.5, -1.0, 0.0, 3.0, 0.2, 0.1, 0.0];

    fn reduced(config: ReducedLossConfig) -> ReducedLoss<CrossEntropyLoss> {
        config.init(CrossEntropyLoss::default()).unwrap()
    }

    fn targets(classes: [i64; 3]) -> Tensor<1, Int> {
        Tensor::from_ints(classes, &Device::flex())
    }

    #[test]
    fn weights_and_reductions_are_those_of_cross_entropy() {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            let weights = Some(vec![0.2, 1.0, 3.0]);
            let theirs = CrossEntropyLossConfig::new().with_class_weights(weights.clone()).with_reduction(reduction);
            let theirs = theirs.init().unwrap();
            let ours = reduced(ReducedLossConfig::new().with_class_weights(weights).with_reduction(reduction));
            let of = |loss: &dyn ClassificationLoss| {
                gradient(|x| loss.forward(x, targets([1, 2, 0])).sum(), &SCORES, [3, 3])
            };
            assert_close(&of(&ours), &of(&theirs), 1e-12);
        }
    }

    #[test]
    fn an_ignored_target_is_as_if_it_were_not_there() {
        let ours = reduced(ReducedLossConfig::new().with_ignore_index(Some(-100)));
        let found = gradient(|x| ours.forward(x, targets([1, -100, 0])), &SCORES, [3, 3]);
        let without: Vec<f64> = [&SCORES[..3], &SCORES[6..]].concat();
        let two = Tensor::<1, Int>::from_ints([1, 0], &Device::flex());
        let plain = CrossEntropyLoss::default();
        let expected = gradient(|x| plain.forward(x, two.clone()), &without, [2, 3]);
        assert_close(&found[..3], &expected[..3], 1e-12);
        assert_close(&found[3..6], &[0.0; 3], 0.0);
        assert_close(&found[6..], &expected[3..], 1e-12);
        let nothing = gradient(|x| ours.forward(x, targets([-100; 3])), &SCORES, [3, 3]);
        assert_close(&nothing, &[0.0; 9], 0.0);
        let weighted = ReducedLossConfig::new().with_class_weights(Some(vec![0.5, 2.0, 1.0]));
        let ignoring = reduced(weighted.clone().with_ignore_index(Some(2)));
        let logits = || Tensor::<2>::from_data([[2.0, 1.0, 0.5], [-1.0, 0.0, 3.0], [0.2, 0.1, 0.0]], &Device::flex());
        let first = |loss: ReducedLoss<CrossEntropyLoss>, rows: [usize; 2], classes: [i64; 2]| {
            let classes = Tensor::<1, Int>::from_ints(classes, &Device::flex());
            let rows = Tensor::<1, Int>::from_ints(rows.map(|row| row as i64), &Device::flex());
            values(&loss.forward(logits().select(0, rows), classes))
        };
        let whole = values(&ignoring.forward(logits(), targets([1, 2, 0])));
        assert_close(&whole, &first(reduced(weighted), [0, 2], [1, 0]), 1e-6);
    }

    #[test]
    fn passes_the_loss_suite() {
        let weighted = reduced(ReducedLossConfig::new().with_class_weights(Some(vec![0.5, 2.0, 1.0])));
        loss_suite::check(|logits, targets| weighted.forward_no_reduction(logits, targets), 3);
        let ignoring = reduced(ReducedLossConfig::new().with_ignore_index(Some(1)));
        loss_suite::check(|logits, targets| ignoring.forward_no_reduction(logits, targets), 4);
        let [each, mean, sum] = [Reduction::None, Reduction::Mean, Reduction::Sum].map(|reduction| {
            let loss = reduced(ReducedLossConfig::new().with_reduction(reduction));
            move |logits: Tensor<2>, targets: Tensor<1, Int>| loss.forward(logits, targets)
        });
        loss_suite::check_reductions(each, mean, sum, 5);
    }

    #[test]
    fn refuses_bad_weights() {
        let negative = ReducedLossConfig::new().with_class_weights(Some(vec![1.0, -1.0]));
        let error = negative.init(CrossEntropyLoss::default()).unwrap_err();
        assert!(matches!(error, LossError::WeightValue { class: 1, .. }), "{error}");
        let two = reduced(ReducedLossConfig::new().with_class_weights(Some(vec![1.0, 1.0])));
        assert!(matches!(two.check_classes(3), Err(LossError::WeightCount { expected: 3, actual: 2, .. })));
    }
}
