//! What all output layers share: they read hidden vectors, update themselves, and hand back a gradient.

use burn::tensor::{Tensor, TensorData};

use super::LayerError;
use super::layer_error::require;

/// Result of one training step of an output layer. The layer's own weights are already updated.
#[derive(Debug, Clone)]
pub struct StepOut {
    /// Mean loss of the batch, before the update.
    pub loss_mean: f64,
    /// `sum(hidden * gradient)`, `[1]`: its `backward` sends the exact gradient of the mean loss into the network that
    /// made the hidden vectors. Its value means nothing.
    pub surrogate: Tensor<1>,
}

/// `sum(hidden * gradient)` with a constant gradient.
///
/// First-order reverse mode sends `gradient` through `hidden` into whatever computed it.
///
/// # Shapes
/// - `hidden`: `[batch_size, d_hidden]`
/// - `gradient`: `batch_size * d_hidden` values, row by row
/// - output: `[1]`
pub fn surrogate(hidden: Tensor<2>, gradient: Vec<f64>) -> Tensor<1> {
    let dtype = hidden.dtype();
    let data = TensorData::new(gradient, hidden.shape()).convert_dtype(dtype);
    let gradient = Tensor::<2>::from_data(data, (&hidden.device(), dtype));
    (hidden * gradient).sum()
}

/// The width of a row of weights (the hidden width and the bias), after a check that so many rows can be held.
pub(super) fn check_size<E>(d_hidden: usize, bias: bool, n_classes: usize) -> Result<usize, LayerError> {
    require(d_hidden >= 1, "d_hidden", d_hidden as f64, "at least 1")?;
    require(n_classes >= 2, "n_classes", n_classes as f64, "at least 2")?;
    let weights = d_hidden.checked_add(usize::from(bias)).and_then(|width| width.checked_mul(n_classes));
    let approximately = (d_hidden as f64 + f64::from(bias)) * n_classes as f64;
    let expected = "so small that all of them fit into memory";
    require(weights.is_some_and(can_be_held::<E>), "number of weights", approximately, expected)?;
    Ok(d_hidden + usize::from(bias))
}

/// Whether there is room for so many values.
pub(super) fn can_be_held<E>(count: usize) -> bool {
    let mut room = Vec::<E>::new();
    let reserved = room.try_reserve_exact(count).is_ok();
    // Without it, the compiler may leave the reservation out and call it a success.
    std::hint::black_box(&room);
    reserved
}

/// The hidden vectors on the host, row by row, with a 1 behind each if `bias`.
pub(super) fn read_hidden(hidden: &Tensor<2>, d_hidden: usize, bias: bool) -> Result<Vec<f64>, LayerError> {
    let [examples, width] = hidden.dims();
    if width != d_hidden {
        return Err(LayerError::HiddenWidth { expected: d_hidden, actual: width });
    }
    let values = hidden
        .clone()
        .detach()
        .try_into_vec_as::<f64>()
        .map_err(|error| LayerError::ReadBack { what: "hidden vectors", reason: error.to_string() })?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(LayerError::Hidden { example: index / width, feature: index % width, value: values[index] });
    }
    if !bias {
        return Ok(values);
    }
    let mut augmented = Vec::with_capacity(examples * (width + 1));
    for row in values.chunks_exact(width) {
        augmented.extend_from_slice(row);
        augmented.push(1.0);
    }
    Ok(augmented)
}

/// That there are `per_example` targets for each of `examples` examples, all of them classes.
pub(super) fn check_targets(
    examples: usize,
    targets: &[usize],
    per_example: usize,
    num_classes: usize,
) -> Result<(), LayerError> {
    if examples == 0 || per_example == 0 {
        return Err(LayerError::EmptyBatch { examples, targets: per_example });
    }
    if targets.len() != examples * per_example {
        return Err(LayerError::TargetCount { examples, targets: targets.len() });
    }
    match targets.iter().position(|&target| target >= num_classes) {
        Some(index) => Err(LayerError::Target { example: index / per_example, target: targets[index], num_classes }),
        None => Ok(()),
    }
}

/// The sum of the losses of the examples, all of which must be finite.
pub(super) fn check_losses(losses: impl Iterator<Item = f64>) -> Result<f64, LayerError> {
    let mut sum = 0.0;
    for (example, loss) in losses.enumerate() {
        if !loss.is_finite() {
            return Err(LayerError::LossValue { example, loss });
        }
        sum += loss;
    }
    Ok(sum)
}

/// That a learning rate is positive and finite.
pub(super) fn check_learning_rate(learning_rate: f64) -> Result<(), LayerError> {
    let valid = learning_rate > 0.0 && learning_rate.is_finite();
    require(valid, "learning_rate", learning_rate, "positive and finite").map(drop)
}
