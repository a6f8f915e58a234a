//! The conformance suite of every loss on logits and class indices.

use burn::tensor::{DType, Device, Int, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::closeness::{assert_close, values};
use crate::gradient::{assert_close_to_scale, check_gradient, gradient_as, matrix};

/// What a loss looks like to the suite: logits `[batch_size, num_classes]`, targets `[batch_size]` to `[batch_size]`.
pub trait PerExampleLoss: Fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1> {}

impl<F: Fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1>> PerExampleLoss for F {}

/// Checks all that is true of every differentiable loss on logits:
///
/// - gradients equal central differences at random logits, at ties and where one class is certain;
/// - values and gradients stay finite at logits of +-80, in single precision too;
/// - an example's loss and gradient depend neither on its place in the batch nor on the other examples;
/// - values and gradients in single precision agree with those in double precision.
///
/// # Panics
/// At the first property that does not hold.
#[track_caller]
pub fn check(loss: impl PerExampleLoss, num_classes: usize) {
    check_except_at_ties(&loss, num_classes);
    gradients_equal_central_differences(&loss, num_classes, &vec![0.25; ROWS * num_classes]);
}

/// [`check`] for losses that have a kink, or no gradient at all, where all logits are equal; there their values and
/// gradients need only be finite.
///
/// # Panics
/// At the first property that does not hold.
#[track_caller]
pub fn check_except_at_ties(loss: impl PerExampleLoss, num_classes: usize) {
    gradients_equal_central_differences(&loss, num_classes, &random_logits(num_classes, 1.0));
    gradients_equal_central_differences(&loss, num_classes, &random_logits(num_classes, 4.0));
    gradients_equal_central_differences(&loss, num_classes, &certain_logits(num_classes, 8.0));
    extreme_logits_stay_finite(&loss, num_classes);
    examples_are_independent(&loss, num_classes);
    single_precision_agrees_with_double(&loss, num_classes);
}

/// Checks that the reductions `mean` and `sum` of a loss, logits and targets to `[1]`, are the mean and the sum of its
/// losses `each`, in value and in gradient.
///
/// For losses without class weights: with them, the mean divides by the weights of the targets.
///
/// # Panics
/// When one is not.
#[track_caller]
pub fn check_reductions(
    each: impl PerExampleLoss,
    mean: impl PerExampleLoss,
    sum: impl PerExampleLoss,
    num_classes: usize,
) {
    let (logits, targets) = (random_logits(num_classes, 2.0), some_targets(num_classes));
    let (losses, slopes) = losses_and_gradient(&each, &logits, &targets, num_classes, DType::F64);
    assert_eq!(losses.len(), ROWS, "one loss for each example");
    let total: f64 = losses.iter().sum();
    let shares: Vec<f64> = slopes.iter().map(|slope| slope / ROWS as f64).collect();
    let found = losses_and_gradient(&sum, &logits, &targets, num_classes, DType::F64);
    assert_close(&found.0, &[total], 1e-12);
    assert_close(&found.1, &slopes, 1e-12);
    let found = losses_and_gradient(&mean, &logits, &targets, num_classes, DType::F64);
    assert_close(&found.0, &[total / ROWS as f64], 1e-12);
    assert_close(&found.1, &shares, 1e-12);
}

const ROWS: usize = 6;

#[track_caller]
fn gradients_equal_central_differences(loss: &impl PerExampleLoss, classes: usize, logits: &[f64]) {
    let targets = some_targets(classes);
    check_gradient(|x| loss(x, indices(&targets, &Device::flex())), logits, [ROWS, classes], 1e-6);
}

#[track_caller]
fn extreme_logits_stay_finite(loss: &impl PerExampleLoss, classes: usize) {
    let targets = some_targets(classes);
    // Scores of +-80 at once: a probability of exp(-160) is zero in single precision.
    let opposed =
        certain_logits(classes, 80.0).into_iter().map(|score| if score == 80.0 { score } else { score - 80.0 });
    let extremes =
        [certain_logits(classes, 80.0), certain_logits(classes, -80.0), opposed.collect(), vec![80.0; ROWS * classes]];
    for logits in extremes {
        for dtype in [DType::F32, DType::F64] {
            let (found, slopes) = losses_and_gradient(loss, &logits, &targets, classes, dtype);
            assert!(found.iter().all(|value| value.is_finite()), "{dtype:?} losses at extreme logits: {found:?}");
            assert!(slopes.iter().all(|value| value.is_finite()), "{dtype:?} gradient at extreme logits: {slopes:?}");
        }
    }
}

#[track_caller]
fn examples_are_independent(loss: &impl PerExampleLoss, classes: usize) {
    let (logits, targets) = (random_logits(classes, 2.0), some_targets(classes));
    let (whole, slopes) = losses_and_gradient(loss, &logits, &targets, classes, DType::F64);
    let device = Device::flex();
    let without_graph = loss(matrix(&logits, [ROWS, classes], &device, DType::F64), indices(&targets, &device));
    assert_close(&values(&without_graph), &whole, 1e-12);
    let reverse_rows = |values: &[f64]| values.chunks(classes).rev().flatten().copied().collect::<Vec<_>>();
    let reversed_targets: Vec<i64> = targets.iter().rev().copied().collect();
    let (mut back, back_slopes) =
        losses_and_gradient(loss, &reverse_rows(&logits), &reversed_targets, classes, DType::F64);
    back.reverse();
    assert_close(&back, &whole, 1e-12);
    assert_close(&reverse_rows(&back_slopes), &slopes, 1e-12);
    for (row, target) in targets.iter().enumerate() {
        let own = row * classes..(row + 1) * classes;
        let alone = losses_and_gradient(loss, &logits[own.clone()], &[*target], classes, DType::F64);
        assert_close(&alone.0, &whole[row..=row], 1e-12);
        assert_close(&alone.1, &slopes[own], 1e-12);
    }
}

#[track_caller]
fn single_precision_agrees_with_double(loss: &impl PerExampleLoss, classes: usize) {
    let (logits, targets) = (random_logits(classes, 2.0), some_targets(classes));
    let single = losses_and_gradient(loss, &logits, &targets, classes, DType::F32);
    let double = losses_and_gradient(loss, &logits, &targets, classes, DType::F64);
    assert_close(&single.0, &double.0, 1e-4);
    assert_close_to_scale(&single.1, &double.1, 1e-4);
}

fn losses_and_gradient(
    loss: &impl PerExampleLoss,
    logits: &[f64],
    targets: &[i64],
    classes: usize,
    dtype: DType,
) -> (Vec<f64>, Vec<f64>) {
    let run = |logits: Tensor<2>| {
        let targets = indices(targets, &logits.device());
        let output = loss(logits, targets);
        let losses = values(&output);
        (output, losses)
    };
    let (gradient, losses) = gradient_as(run, logits, [targets.len(), classes], dtype);
    (losses, gradient)
}

fn random_logits(classes: usize, scale: f64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    (0..ROWS * classes).map(|_| scale * random.random_range(-1.5..1.5)).collect()
}

/// Row `i` favours class `i mod classes` by `margin`; the other classes differ slightly.
fn certain_logits(classes: usize, margin: f64) -> Vec<f64> {
    (0..ROWS * classes)
        .map(|index| {
            let (row, class) = (index / classes, index % classes);
            if class == row % classes { margin } else { 0.01 * class as f64 }
        })
        .collect()
}

/// Every class comes up; half the rows of [`certain_logits`] are right and half are wrong.
fn some_targets(classes: usize) -> Vec<i64> {
    (0..ROWS).map(|row| ((row + row % 2) % classes) as i64).collect()
}

fn indices(targets: &[i64], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(targets, device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::{log_softmax, softmax};

    fn at_target(values: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        values.gather(1, targets.unsqueeze_dim(1)).squeeze_dim::<1>(1)
    }

    fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        -at_target(log_softmax(logits, 1), targets)
    }

    /// `sum_{y'} max(0, s_y' - s_y)`.
    fn hinge_at_zero(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let own = logits.clone().gather(1, targets.unsqueeze_dim(1));
        (logits - own).clamp_min(0.0).sum_dim(1).squeeze_dim::<1>(1)
    }

    #[test]
    fn accepts_cross_entropy() {
        check(cross_entropy, 5);
        check_reductions(cross_entropy, |x, y| cross_entropy(x, y).mean(), |x, y| cross_entropy(x, y).sum(), 5);
    }

    #[test]
    fn accepts_a_kink_at_ties() {
        check_except_at_ties(hinge_at_zero, 5);
    }

    #[test]
    #[should_panic(expected = "not close")]
    fn refuses_a_kink_at_ties() {
        check(hinge_at_zero, 5);
    }

    #[test]
    #[should_panic(expected = "losses at extreme logits")]
    fn refuses_the_logarithm_of_a_softmax() {
        check(|logits, targets| -at_target(softmax(logits, 1).log(), targets), 5);
    }

    #[test]
    #[should_panic(expected = "not close")]
    fn refuses_a_loss_that_mixes_examples() {
        check(
            |logits, targets| {
                let centre = logits.clone().mean_dim(0);
                -at_target(log_softmax(logits - centre, 1), targets)
            },
            5,
        );
    }

    #[test]
    #[should_panic(expected = "not close")]
    fn refuses_cancellation_in_single_precision() {
        check(
            |logits, targets| {
                const LARGE: f64 = 1e4;
                let rough = |x: Tensor<2>| if x.dtype() == DType::F32 { (x + LARGE) - LARGE } else { x };
                cross_entropy(rough(logits), targets)
            },
            5,
        );
    }

    #[test]
    #[should_panic(expected = "not close")]
    fn refuses_a_mean_that_is_a_sum() {
        let sum = |x: Tensor<2>, y: Tensor<1, Int>| cross_entropy(x, y).sum();
        check_reductions(cross_entropy, sum, sum, 5);
    }
}
