//! Label smoothing, class weights and reductions, shared by the losses that support them.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::error::require;
use crate::{LossError, Reduction};

/// One factor for each class, or none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassWeights(Option<Vec<f64>>);

impl ClassWeights {
    /// Weight 1 for every class.
    pub(crate) fn uniform() -> Self {
        Self(None)
    }

    /// Refuses weights that are negative or not finite.
    pub(crate) fn new(loss: &'static str, weights: Option<Vec<f64>>) -> Result<Self, LossError> {
        for (class, &value) in weights.iter().flatten().enumerate() {
            if !(value.is_finite() && value >= 0.0) {
                return Err(LossError::WeightValue { loss, class, value });
            }
        }
        Ok(Self(weights))
    }

    /// That there is one weight for each of `classes` classes.
    pub(crate) fn check_count(&self, loss: &'static str, classes: usize) -> Result<(), LossError> {
        match &self.0 {
            Some(weights) if weights.len() != classes => {
                Err(LossError::WeightCount { loss, expected: classes, actual: weights.len() })
            }
            _ => Ok(()),
        }
    }

    /// The weights, if there are any.
    ///
    /// Panics when their number is not `classes`.
    pub(crate) fn of_classes(&self, loss: &'static str, classes: usize) -> Option<&[f64]> {
        if let Err(error) = self.check_count(loss, classes) {
            panic!("{error}");
        }
        self.0.as_deref()
    }

    /// The same as a tensor `[num_classes]`.
    fn tensor(&self, loss: &'static str, classes: usize, device: &Device, dtype: DType) -> Option<Tensor<1>> {
        let weights = self.of_classes(loss, classes)?.to_vec();
        Some(Tensor::from_data(TensorData::new(weights, [classes]).convert_dtype(dtype), (device, dtype)))
    }

    /// The weight of each target, `[batch_size]`, if there are any.
    pub(crate) fn of_targets(
        &self,
        loss: &'static str,
        classes: usize,
        targets: Tensor<1, Int>,
        dtype: DType,
    ) -> Option<Tensor<1>> {
        let device = targets.device().inner();
        self.tensor(loss, classes, &device, dtype).map(|weights| weights.gather(0, targets.inner()))
    }
}

/// A label smoothing in `[0, 1]`, or the error that names it.
pub(crate) fn check_label_smoothing(loss: &'static str, value: f64) -> Result<f64, LossError> {
    require((0.0..=1.0).contains(&value), loss, "label_smoothing", value, "in [0, 1]")
}

/// Loss of each example from the losses of all classes: `sum_k w_k q_k l_k` with `q = (1 - a) e_y + a / n`.
///
/// # Shapes
/// - `losses`: `[batch_size, num_classes]`, the loss that each class would have as the target
/// - `targets`: `[batch_size]`
/// - output: `[batch_size]`
pub(crate) fn mix_label_smoothing(
    loss: &'static str,
    losses: Tensor<2>,
    targets: Tensor<1, Int>,
    smoothing: f64,
    weights: &ClassWeights,
) -> Tensor<1> {
    let [_, classes] = losses.dims();
    let weights = weights.tensor(loss, classes, &losses.device().inner(), losses.dtype());
    let losses = match weights {
        Some(weights) => losses * weights.unsqueeze::<2>(),
        None => losses,
    };
    let spread =
        (smoothing > 0.0).then(|| losses.clone().sum_dim(1).squeeze_dim::<1>(1) * (smoothing / classes as f64));
    let target = losses.gather(1, targets.unsqueeze_dim(1)).squeeze_dim::<1>(1);
    match spread {
        Some(spread) => target * (1.0 - smoothing) + spread,
        None => target,
    }
}

/// Reduces the losses of a batch; with weights the mean divides by the sum of the targets' weights.
///
/// # Shapes
/// - `losses`: `[batch_size]`, already weighted
/// - `target_weights`: `[batch_size]`
/// - output: `[1]`, or `[batch_size]` with [`Reduction::None`]
pub(crate) fn reduce(losses: Tensor<1>, target_weights: Option<Tensor<1>>, reduction: Reduction) -> Tensor<1> {
    match (reduction, target_weights) {
        (Reduction::None, _) => losses,
        (Reduction::Sum, _) => losses.sum(),
        (Reduction::Mean, None) => losses.mean(),
        (Reduction::Mean, Some(weights)) => losses.sum() / weights.sum(),
    }
}
