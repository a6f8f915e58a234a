//! Losses that look at the logits through their gaps to the target's own.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use kiln_autodiff::with_known_gradient;

/// Loss of each example from its gaps, with the gradient `w - e_y sum(w)` in closed form.
///
/// ```text
/// d_k = s_k - s_y + margin [k != y]        d_y = 0
/// ```
/// `function` is given the gaps `[batch_size, num_classes]` and the targets `[batch_size, 1]`, outside the graph, and
/// answers with the losses `[batch_size, 1]` and their derivatives `w` by the gaps.
///
/// # Shapes
/// - `logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`
/// - output: `[batch_size]`
pub(crate) fn of_gaps(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    margin: f64,
    function: impl FnOnce(Tensor<2>, Tensor<2, Int>) -> (Tensor<2>, Tensor<2>),
) -> Tensor<1> {
    let [rows, _] = logits.dims();
    let targets = targets.inner().reshape([rows, 1]);
    let gaps = gaps(logits.clone().inner(), targets.clone(), margin);
    let (values, weights) = function(gaps, targets.clone());
    with_known_gradient(logits, values.reshape([rows]), || {
        let total = weights.clone().sum_dim(1);
        weights.scatter(1, targets, -total, IndexingUpdateOp::Add)
    })
}

/// `s_k - s_y + margin [k != y]`, outside the graph.
///
/// # Shapes
/// - `scores`, output: `[batch_size, num_classes]`
/// - `targets`: `[batch_size, 1]`
pub(crate) fn gaps(scores: Tensor<2>, targets: Tensor<2, Int>, margin: f64) -> Tensor<2> {
    let own = scores.clone().gather(1, targets.clone());
    if margin == 0.0 {
        return scores - own;
    }
    let back = own.ones_like() * -margin;
    (scores - own + margin).scatter(1, targets, back, IndexingUpdateOp::Add)
}
