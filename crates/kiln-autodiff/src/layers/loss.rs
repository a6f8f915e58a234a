//! Losses over any kind of number.

use burn::tensor::{Int, Tensor};

use super::Numbers;
use crate::numbers::Function;

/// Mean over the batch of `-log softmax(logits)_y`.
///
/// # Shapes
/// - `logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`, in `0..num_classes`
/// - output: `[1]`
pub fn cross_entropy<N: Numbers>(numbers: &N, logits: N::T<2>, targets: Tensor<1, Int>) -> N::T<1> {
    numbers.mean(negative_log_likelihood(numbers, logits, targets))
}

/// Mean over the batch and the outputs of `(outputs - targets)^2`.
///
/// # Shapes
/// - `outputs` and `targets`: equal
/// - output: `[1]`
pub fn mean_squared_error<N: Numbers, const D: usize>(numbers: &N, outputs: N::T<D>, targets: Tensor<D>) -> N::T<1> {
    let difference = numbers.sub(outputs, numbers.constant(targets));
    numbers.mean(numbers.square(difference))
}

/// Mean over the batch of the comp-sum loss `expm1((1 - tau) nll) / (1 - tau)` of the negative log-likelihood `nll`;
/// cross-entropy for `tau = 1`.
///
/// Nothing is cut: with `tau < 1`, single precision overflows when `(1 - tau) nll > 88`.
///
/// Source: arXiv 2304.07288, equation 5.
///
/// # Shapes
/// - `logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`, in `0..num_classes`
/// - output: `[1]`
pub fn comp_sum<N: Numbers>(numbers: &N, logits: N::T<2>, targets: Tensor<1, Int>, tau: f64) -> N::T<1> {
    let losses = negative_log_likelihood(numbers, logits, targets);
    let power = 1.0 - tau;
    if power.abs() < 1e-12 {
        return numbers.mean(losses);
    }
    let powers = numbers.apply(&Function::Expm1, numbers.scale(losses, power));
    numbers.scale(numbers.mean(powers), 1.0 / power)
}

/// `-log softmax(logits)_y`, `[batch_size, 1]`.
fn negative_log_likelihood<N: Numbers>(numbers: &N, logits: N::T<2>, targets: Tensor<1, Int>) -> N::T<2> {
    let targets = targets.unsqueeze_dim::<2>(1);
    numbers.neg(numbers.gather(numbers.log_softmax(logits, 1), 1, targets))
}
