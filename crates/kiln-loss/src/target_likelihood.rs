//! Losses that look at the logits through the likelihood of the target alone.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use kiln_autodiff::with_known_gradient;

/// A function of `nll = -log softmax(s)_y`, with its derivative. Both work outside the graph, on any shape.
pub(crate) trait OfLikelihood {
    /// The loss.
    fn value(&self, nll: Tensor<2>) -> Tensor<2>;

    /// Derivative of [`value`](Self::value) by `nll`.
    fn slope(&self, nll: Tensor<2>) -> Tensor<2>;
}

/// Loss of each example, with the gradient `slope(nll) (softmax(s) - e_y)` in closed form.
///
/// # Shapes
/// - `logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`
/// - output: `[batch_size]`
pub(crate) fn of_likelihood(logits: Tensor<2>, targets: Tensor<1, Int>, function: &impl OfLikelihood) -> Tensor<1> {
    let [rows, _] = logits.dims();
    let scores = logits.clone().inner();
    let targets = targets.inner().reshape([rows, 1]);
    let shifted = scores.clone() - scores.max_dim(1);
    let own = shifted.clone().gather(1, targets.clone());
    let powers = shifted.exp();
    let sums = powers.clone().sum_dim(1);
    let nll = sums.clone().log() - own;
    let values = function.value(nll.clone()).reshape([rows]);
    with_known_gradient(logits, values, || {
        let slope = function.slope(nll);
        (powers * (slope.clone() / sums)).scatter(1, targets, -slope, IndexingUpdateOp::Add)
    })
}

/// `p_y` from its negative logarithm.
pub(crate) fn probability(nll: Tensor<2>) -> Tensor<2> {
    (-nll).exp()
}

/// `1 - p_y` from the negative logarithm of `p_y`, exact near zero, where `1 - exp(-nll)` cancels.
pub(crate) fn complement(nll: Tensor<2>) -> Tensor<2> {
    (nll.clone() * 0.5).tanh() * (probability(nll) + 1.0)
}
