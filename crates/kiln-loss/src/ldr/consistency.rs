//! Which losses order the classes right, and which are symmetric.
//!
//! A loss is top-k consistent when the scores that minimise its expectation under the class probabilities `q` have the
//! k most probable classes on top. [`LdrKl`](super::LdrKl) and [`AldrKl`](super::AldrKl) with `alpha > 1` are so for
//! every `k` at every temperature; the Crammer-Singer hinge is not. A loss is symmetric when its sum over all targets
//! does not depend on the scores, which makes it robust to uniform label noise; a symmetric loss that is top-1
//! consistent cannot be top-k consistent for every `k`.
//!
//! Source: arXiv 2112.14869, theorems 1 to 5.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::{ClassificationLoss, LossError};

/// Standard deviation, over the rows of `logits`, of the loss added up over all targets; 0 for a symmetric loss.
///
/// # Shapes
/// - `logits`: `[num_draws, num_classes]`
pub fn symmetry_defect(loss: &dyn ClassificationLoss, logits: Tensor<2>) -> f64 {
    let [draws, classes] = logits.dims();
    let device = logits.device();
    let mut sums = vec![0.0; draws];
    for class in 0..classes {
        let targets = Tensor::<1, Int>::full([draws], class as i64, &device);
        let losses = loss.forward_no_reduction(logits.clone(), targets).inner().to_data();
        sums.iter_mut().zip(losses.iter::<f64>()).for_each(|(sum, value)| *sum += value);
    }
    let mean = sums.iter().sum::<f64>() / draws as f64;
    (sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / draws as f64).sqrt()
}

/// Scores that minimise the expected loss `sum_y q_y psi(s, y)`, found by `steps` of descent from zero.
///
/// The steps shrink with the square root of their number, so that losses with kinks settle too. Losses that are not convex
/// may have their minimum at infinity; then the scores are those at which the descent stopped.
///
/// # Errors
/// [`LossError::Distribution`] where `probabilities` are not at least two that add up to 1.
pub fn risk_minimiser(
    loss: &dyn ClassificationLoss,
    probabilities: &[f64],
    rate: f64,
    steps: usize,
) -> Result<Vec<f64>, LossError> {
    check_distribution(probabilities)?;
    let tracked = Device::flex().autodiff();
    let mut scores = vec![0.0; probabilities.len()];
    for step in 1..=steps {
        let leaf = vector(&scores, &tracked).require_grad();
        let Some(slopes) = leaf.grad(&expected(loss, probabilities, leaf.clone()).backward()) else { break };
        let rate = rate / (step as f64).sqrt();
        scores.iter_mut().zip(slopes.to_data().iter::<f64>()).for_each(|(score, slope)| *score -= rate * slope);
    }
    Ok(scores)
}

/// Expected loss `sum_y q_y psi(s, y)` of one row of scores.
///
/// # Errors
/// [`LossError::Distribution`] where `probabilities` are not at least two that add up to 1, or not one a score.
pub fn risk(loss: &dyn ClassificationLoss, probabilities: &[f64], scores: &[f64]) -> Result<f64, LossError> {
    check_distribution(probabilities)?;
    if scores.len() != probabilities.len() {
        let reason = format!("{} of them for {} scores", probabilities.len(), scores.len());
        return Err(LossError::Distribution { what: "the class probabilities", reason });
    }
    let found = expected(loss, probabilities, vector(scores, &Device::flex()));
    Ok(found.into_data().iter::<f64>().sum())
}

/// The expected loss as a function of the scores.
fn expected(loss: &dyn ClassificationLoss, probabilities: &[f64], scores: Tensor<1>) -> Tensor<1> {
    let classes = probabilities.len();
    let device = scores.device();
    let every: Vec<i64> = (0..classes as i64).collect();
    let logits = scores.unsqueeze::<2>().repeat_dim(0, classes);
    let losses = loss.forward_no_reduction(logits, Tensor::<1, Int>::from_data(every.as_slice(), &device));
    (losses * vector(probabilities, &device.inner())).sum()
}

fn vector(values: &[f64], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (device, DType::F64))
}

/// Whether the minimiser of the expected loss puts every class above all that are less probable, by more than
/// `tolerance`.
///
/// # Errors
/// As [`risk_minimiser`].
pub fn orders_classes(loss: &dyn ClassificationLoss, probabilities: &[f64], tolerance: f64) -> Result<bool, LossError> {
    let scores = risk_minimiser(loss, probabilities, 1.0, 3000)?;
    Ok(ordered_classes(&scores, probabilities, tolerance) == scores.len() - 1)
}

/// How many of the most probable classes stand on top in their order, each above the next by more than `tolerance`; one class
/// less than there are where the order is right altogether, because the last one has nothing to be above.
///
/// # Panics
/// Where there is not one probability a score.
pub fn ordered_classes(scores: &[f64], probabilities: &[f64], tolerance: f64) -> usize {
    assert_eq!(scores.len(), probabilities.len(), "one probability a score");
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let right = |pair: &&[usize]| {
        let [likely, unlikely] = [pair[0], pair[1]];
        probabilities[likely] == probabilities[unlikely] || scores[likely] > scores[unlikely] + tolerance
    };
    order.windows(2).take_while(right).count()
}

fn check_distribution(probabilities: &[f64]) -> Result<(), LossError> {
    let wrong = |reason: String| LossError::Distribution { what: "the class probabilities", reason };
    if probabilities.len() < 2 {
        return Err(wrong(format!("{} classes, at least 2 are needed", probabilities.len())));
    }
    if let Some(value) = probabilities.iter().find(|value| !(value.is_finite() && **value >= 0.0)) {
        return Err(wrong(format!("{value} is not a probability")));
    }
    let sum: f64 = probabilities.iter().sum();
    if (sum - 1.0).abs() > 1e-9 {
        return Err(wrong(format!("they add up to {sum}")));
    }
    Ok(())
}
