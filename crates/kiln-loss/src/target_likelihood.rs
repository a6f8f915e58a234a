//! Losses that look at the logits through the likelihood of the target alone.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use kiln_autodiff::with_known_gradient;

use crate::quantity::Quantity;
use crate::rows::{HostRows, each, softmax};

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
        let losses = rows.map(|| (), |(), _, row, target| of_row(row, target, function));
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

/// The loss of a row of scores, which becomes its gradient.
fn of_row(row: &mut [f32], target: usize, function: &impl OfLikelihood) -> f32 {
    let own = row[target];
    let powers = softmax(row, 1.0);
    let nll = f64::from(powers.sum).ln() - f64::from(own - powers.max);
    let (value, slope) = function.at(nll);
    let scale = (slope / f64::from(powers.sum)) as f32;
    each(row, |power| power * scale);
    row[target] -= slope as f32;
    value as f32
}

/// `p_y` from its negative logarithm.
pub(crate) fn probability<N: Quantity>(nll: N) -> N {
    (-nll).exp()
}

/// `1 - p_y` from the negative logarithm of `p_y`, exact near zero, where `1 - exp(-nll)` cancels.
pub(crate) fn complement<N: Quantity>(nll: N) -> N {
    (nll.clone() * 0.5_f64).tanh() * (probability(nll) + 1.0_f64)
}
