//! The trait of every loss on logits and class indices.

use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::LossError;

/// A loss on logits and class indices; every loss of the crate implements it.
pub trait ClassificationLoss: std::fmt::Debug + Send + Sync {
    /// Loss of each example.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`, at least two classes
    /// - `targets`: `[batch_size]`, in `0..num_classes`
    /// - output: `[batch_size]`
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1>;

    /// Loss of the batch: the mean over its examples, unless the loss was configured with another [`Reduction`].
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`: `[batch_size]`
    /// - output: `[1]` (`[batch_size]` with [`Reduction::None`])
    fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        self.forward_no_reduction(logits, targets).mean()
    }

    /// Like [`forward`](Self::forward), after a check of the whole batch on the host.
    ///
    /// # Errors
    /// Those of [`check_batch`], with the row, and of [`check_classes`](Self::check_classes).
    fn try_forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Result<Tensor<1>, LossError> {
        check_batch(short_name(std::any::type_name::<Self>()), &logits, &targets)?;
        self.check_classes(logits.dims()[1])?;
        Ok(self.forward(logits, targets))
    }

    /// Loss of each example of a training step; evaluation asks [`forward_no_reduction`](Self::forward_no_reduction).
    ///
    /// The same, unless the loss draws random numbers at every step or remembers the rows that it has seen.
    ///
    /// # Shapes
    /// As [`forward_no_reduction`](Self::forward_no_reduction).
    fn losses_in_training(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        _moment: &TrainingMoment<'_>,
    ) -> Tensor<1> {
        self.forward_no_reduction(logits, targets)
    }

    /// Loss of the batch of a training step, as [`forward`](Self::forward) gives it in evaluation.
    ///
    /// A loss that has its own [`losses_in_training`](Self::losses_in_training) has its own reduction of them.
    ///
    /// # Shapes
    /// As [`forward`](Self::forward).
    fn forward_in_training(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        _moment: &TrainingMoment<'_>,
    ) -> Tensor<1> {
        self.forward(logits, targets)
    }

    /// Whether its value on other rows says how far the training is. Not so for a loss whose value means nothing, for which
    /// evaluation takes another one.
    fn measures_progress(&self) -> bool {
        true
    }

    /// What the loss remembers of the training rows, for a checkpoint; nothing for a loss without a memory.
    fn memory(&self) -> Option<Vec<f32>> {
        None
    }

    /// Goes on with what [`memory`](Self::memory) gave.
    ///
    /// # Errors
    /// [`LossError::Memory`] where it cannot have given that.
    fn remember(&self, _memory: Vec<f32>) -> Result<(), LossError> {
        Ok(())
    }

    /// That the loss is set for so many classes; asked where data meets a configured loss.
    ///
    /// # Errors
    /// [`LossError::WeightCount`] where it has another number of class weights, [`LossError::Setting`] where a setting does
    /// not fit so many classes.
    fn check_classes(&self, _num_classes: usize) -> Result<(), LossError> {
        Ok(())
    }
}

impl<L: ClassificationLoss + ?Sized> ClassificationLoss for Box<L> {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        (**self).forward_no_reduction(logits, targets)
    }

    fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        (**self).forward(logits, targets)
    }

    fn try_forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Result<Tensor<1>, LossError> {
        (**self).try_forward(logits, targets)
    }

    fn losses_in_training(&self, logits: Tensor<2>, targets: Tensor<1, Int>, moment: &TrainingMoment<'_>) -> Tensor<1> {
        (**self).losses_in_training(logits, targets, moment)
    }

    fn forward_in_training(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        moment: &TrainingMoment<'_>,
    ) -> Tensor<1> {
        (**self).forward_in_training(logits, targets, moment)
    }

    fn measures_progress(&self) -> bool {
        (**self).measures_progress()
    }

    fn memory(&self) -> Option<Vec<f32>> {
        (**self).memory()
    }

    fn remember(&self, memory: Vec<f32>) -> Result<(), LossError> {
        (**self).remember(memory)
    }

    fn check_classes(&self, num_classes: usize) -> Result<(), LossError> {
        (**self).check_classes(num_classes)
    }
}

/// `LdrKl` of `kiln_loss::ldr::kl::LdrKl`.
fn short_name(path: &'static str) -> &'static str {
    let path = path.split('<').next().unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path)
}

/// Where in a training a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingMoment<'a> {
    /// Number of the step in the whole training, from 0.
    pub step: u64,
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Which rows of the training set the batch holds, in its order; empty where they are not known.
    pub rows: &'a [usize],
}

/// How the losses of a batch become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Reduction {
    /// Mean over the batch. A loss with class weights divides by the sum of the targets' weights, as PyTorch does.
    #[default]
    Mean,
    /// Sum over the batch.
    Sum,
    /// One loss for each example.
    None,
}

/// Reads a batch back to the host and checks it: shapes, targets in range, logits finite and not probabilities, which two
/// rows or more are taken for if all of them are distributions and not all of them one-hot.
///
/// Losses do not do this by themselves, because it costs a transfer; call it where data enters the program or when a
/// loss turned into NaN. `loss` is the name that the error carries.
///
/// # Shapes
/// - `logits`: `[batch_size, num_classes]`, at least two classes
/// - `targets`: `[batch_size]`
///
/// # Errors
/// [`LossError::Shape`]; [`LossError::Target`] or [`LossError::Logit`], with the first row that is wrong;
/// [`LossError::Probabilities`].
pub fn check_batch(loss: &'static str, logits: &Tensor<2>, targets: &Tensor<1, Int>) -> Result<(), LossError> {
    let [rows, classes] = logits.dims();
    let [count] = targets.dims();
    if rows != count || classes < 2 {
        return Err(LossError::Shape { loss, rows, classes, targets: count });
    }
    for (row, target) in targets.to_data().iter::<i64>().enumerate() {
        if target < 0 || target >= classes as i64 {
            return Err(LossError::Target { loss, row, target, classes });
        }
    }
    let logits: Vec<f64> = logits.clone().inner().to_data().iter::<f64>().collect();
    if let Some((index, &value)) = logits.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(LossError::Logit { loss, row: index / classes, class: index % classes, value });
    }
    let is_one_hot = logits.iter().all(|&value| value == 0.0 || value == 1.0);
    if rows > 1 && !is_one_hot && logits.chunks(classes).all(is_distribution) {
        return Err(LossError::Probabilities { loss });
    }
    Ok(())
}

/// Whether numbers of single precision look like a softmax: all of them in `[0, 1]`, their sum one.
fn is_distribution(row: &[f64]) -> bool {
    row.iter().all(|value| (0.0..=1.0).contains(value)) && (row.iter().sum::<f64>() - 1.0).abs() < 1e-5
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn batch(logits: [[f32; 3]; 2], targets: [i64; 2]) -> Result<(), LossError> {
        let device = Device::flex();
        check_batch("test", &Tensor::from_data(logits, &device), &Tensor::from_data(targets, &device))
    }

    #[test]
    fn names_the_first_wrong_row() {
        let good = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]];
        assert_eq!(batch(good, [0, 2]), Ok(()));
        assert_eq!(batch(good, [0, 3]), Err(LossError::Target { loss: "test", row: 1, target: 3, classes: 3 }));
        assert!(matches!(batch(good, [-1, 3]), Err(LossError::Target { row: 0, target: -1, .. })));
        let error = batch([[0.0, 1.0, 2.0], [3.0, f32::NAN, 5.0]], [0, 2]).unwrap_err();
        assert!(matches!(error, LossError::Logit { row: 1, class: 1, .. }));
        assert_eq!(error.to_string(), "test: logit NaN in row 1, class 1 is not finite");
    }

    #[test]
    fn probabilities_are_not_taken_for_logits() {
        let probabilities = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]];
        let error = batch(probabilities, [0, 2]).unwrap_err();
        assert_eq!(error, LossError::Probabilities { loss: "test" });
        assert!(error.to_string().contains("the scores before the softmax"), "{error}");
        assert_eq!(batch([[0.2, 0.3, 0.5], [1.0, 0.0, 0.1]], [0, 2]), Ok(()));
        assert_eq!(batch([[0.2, 0.3, 0.5], [1.5, -0.5, 0.0]], [0, 2]), Ok(()));
        assert_eq!(batch([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], [0, 2]), Ok(()));
    }

    #[test]
    fn a_loss_that_is_tried_names_itself() {
        let device = Device::flex();
        let loss: Box<dyn ClassificationLoss> = Box::new(crate::CrossEntropyLoss::default());
        let tried = |logits: [[f32; 2]; 1]| {
            loss.try_forward(Tensor::from_data(logits, &device), Tensor::from_data([1_i64], &device))
        };
        assert!(tried([[0.0, 1.0]]).is_ok());
        let error = tried([[0.0, f32::INFINITY]]).unwrap_err().to_string();
        assert_eq!(error, "CrossEntropyLoss: logit inf in row 0, class 1 is not finite");
        assert_eq!(short_name("a::b::Reduced<alloc::boxed::Box<dyn c::D>>"), "Reduced");
    }

    #[test]
    fn refuses_shapes_that_do_not_fit() {
        let device = Device::flex();
        let logits = Tensor::<2>::zeros([3, 4], &device);
        let targets = Tensor::<1, Int>::zeros([2], &device);
        assert!(matches!(check_batch("test", &logits, &targets), Err(LossError::Shape { rows: 3, targets: 2, .. })));
        let one_class = Tensor::<2>::zeros([2, 1], &device);
        assert!(check_batch("test", &one_class, &targets).is_err());
    }
}
