//! The update as a composition of tensor operations, for every device and number type.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::{Coefficients, DiffGrad, DiffGradFriction, DiffGradState};

/// One update. `state.time` is already that of this step.
pub(super) fn step<const D: usize>(
    optimizer: &DiffGrad,
    coefficients: Coefficients,
    tensor: Tensor<D>,
    grad: Tensor<D>,
    mut state: DiffGradState<D>,
) -> (Tensor<D>, DiffGradState<D>) {
    let Coefficients { beta_1, beta_2, step_size, epsilon, weight_decay, .. } = coefficients;
    let grad = if weight_decay == 0.0 { grad } else { grad + tensor.clone() * weight_decay };
    state.moment_1 = state.moment_1 * beta_1 + grad.clone() * (1.0 - beta_1);
    state.moment_2 = state.moment_2 * beta_2 + grad.clone().square() * (1.0 - beta_2);
    if optimizer.amsgrad {
        state.max_moment_2 = Some(match state.max_moment_2 {
            Some(largest) => largest.max_pair(state.moment_2.clone()),
            None => state.moment_2.clone(),
        });
    }
    let denominator = denominator(optimizer, epsilon, &state);
    let step_size = step_size * optimizer.friction.common_factor();
    let step = state.moment_1.clone() / denominator.clone() * step_size;
    let change = state.previous_grad - grad.clone();
    let step = match friction(optimizer.friction, change, denominator, coefficients.correction_2_sqrt) {
        Some(xi) => step * xi,
        None => step,
    };
    state.previous_grad = grad;
    (tensor - step, state)
}

/// `sqrt(v) + eps`, of the largest `v` with `amsgrad`.
pub(super) fn denominator<const D: usize>(optimizer: &DiffGrad, epsilon: f64, state: &DiffGradState<D>) -> Tensor<D> {
    let largest = state.max_moment_2.as_ref().filter(|_| optimizer.amsgrad);
    largest.unwrap_or(&state.moment_2).clone().sqrt() + epsilon
}

/// `xi` of the gradient's change; nothing where it is the same for all coordinates, which is
/// [`DiffGradFriction::common_factor`]'s part.
///
/// `denominator / correction_2_sqrt` is the bias-corrected root of the second moment.
pub(super) fn friction<const D: usize>(
    friction: DiffGradFriction,
    change: Tensor<D>,
    denominator: Tensor<D>,
    correction_2_sqrt: f64,
) -> Option<Tensor<D>> {
    match friction {
        DiffGradFriction::AbsSigmoid => Some(sigmoid(change.abs())),
        DiffGradFriction::Sigmoid => Some(sigmoid(change)),
        DiffGradFriction::Constant(_) => None,
        DiffGradFriction::Normalized => Some(sigmoid(change.abs() * correction_2_sqrt / denominator)),
    }
}
