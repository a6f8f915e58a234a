//! Losses that look at the logits through the likelihood of the target alone.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use kiln_autodiff::with_known_gradient;

use crate::quantity::Quantity;
use crate::rows::{HostRows, Line, SoftmaxRow, ThroughSoftmax};

/// A function of `nll = -log softmax(s)_y`, with its derivative; outside the graph.
pub(crate) trait OfLikelihood: Sync {
    /// The loss and its derivative by `nll`.
    fn at<N: Quantity>(&self, nll: N) -> (N, N);
}

/// Loss of each example, with the gradient `slope(nll) (softmax(s) - e_y)` in closed form.
///
/// # Shapes
/// - `logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`
/// - output: `[batch_size]`
pub(crate) fn of_likelihood(logits: Tensor<2>, targets: Tensor<1, Int>, function: &impl OfLikelihood) -> Tensor<1> {
    if let Some(mut rows) = HostRows::of(&logits, &targets) {
        let losses = rows.onto_lines(ThroughSoftmax::default(), |row| line_of_likelihood(row, function));
        return rows.into_losses(logits, losses);
    }
    let [rows, _] = logits.dims();
    let scores = logits.clone().inner();
    let targets = targets.inner().reshape([rows, 1]);
    let shifted = scores.clone() - scores.max_dim(1);
    let own = shifted.clone().gather(1, targets.clone());
    let powers = shifted.exp();
    let sums = powers.clone().sum_dim(1);
    let nll = sums.clone().log() - own;
    let (values, slopes) = function.at(nll);
    with_known_gradient(logits, values.reshape([rows]), || {
        (powers * (slopes.clone() / sums)).scatter(1, targets, -slopes, IndexingUpdateOp::Add)
    })
}

/// The loss of a row with the gradient `slope(nll) (softmax(s) - e_y)`, on the line over the powers.
pub(crate) fn line_of_likelihood(row: &SoftmaxRow, function: &impl OfLikelihood) -> Line {
    let (loss, slope) = function.at(row.nll());
    Line { loss, slope: slope / f64::from(row.powers.sum), intercept: 0.0, own: -slope }
}

/// `p_y` from its negative logarithm.
pub(crate) fn probability<N: Quantity>(nll: N) -> N {
    (-nll).exp()
}

/// `1 - p_y` from the negative logarithm of `p_y`, exact near zero, where `1 - exp(-nll)` cancels.
pub(crate) fn complement<N: Quantity>(nll: N) -> N {
    (nll.clone() * 0.5_f64).tanh() * (probability(nll) + 1.0_f64)
}
