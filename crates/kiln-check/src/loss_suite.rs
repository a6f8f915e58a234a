//! The conformance suite of every loss on logits and class indices.

use burn::tensor::{DType, Device, Int, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::closeness::{assert_close, values};
use crate::gradient::{check_gradient, gradient, matrix};

/// What a loss looks like to the suite: logits `[batch_size, num_classes]`, targets `[batch_size]` to `[batch_size]`.
pub trait PerExampleLoss: Fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1> {}

impl<F: Fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1>> PerExampleLoss for F {}

/// Checks all that is true of every differentiable loss on logits:
///
/// - gradients equal central differences at random logits, at ties and where one class is certain;
/// - values and gradients stay finite at logits of +-80, in single precision too;
/// - an example's loss depends neither on its place in the batch nor on the other examples;
/// - single precision agrees with double precision.
///
/// # Panics
/// At the first property that does not hold.
#[track_caller]
pub fn check(loss: impl PerExampleLoss, num_classes: usize) {
    gradients_equal_central_differences(&loss, num_classes);
    extreme_logits_stay_finite(&loss, num_classes);
    examples_are_independent(&loss, num_classes);
    single_precision_agrees_with_double(&loss, num_classes);
}

const ROWS: usize = 6;

#[track_caller]
fn gradients_equal_central_differences(loss: &impl PerExampleLoss, classes: usize) {
    let targets = some_targets(classes);
    let at = |logits: &[f64]| {
        check_gradient(|x| loss(x, indices(&targets, &Device::flex())), logits, [ROWS, classes], 1e-6);
    };
    at(&random_logits(classes, 1.0));
    at(&random_logits(classes, 4.0));
    at(&vec![0.25; ROWS * classes]);
    at(&certain_logits(classes, 8.0));
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
        let in_double = gradient(|x| loss(x, indices(&targets, &Device::flex())), &logits, [ROWS, classes]);
        assert!(in_double.iter().all(|value| value.is_finite()), "gradient at extreme logits: {in_double:?}");
        for dtype in [DType::F32, DType::F64] {
            let device = Device::flex().autodiff();
            let input = matrix(&logits, [ROWS, classes], &device, dtype).require_grad();
            let output = loss(input.clone(), indices(&targets, &device));
            let found = values(&output);
            assert!(found.iter().all(|value| value.is_finite()), "{dtype:?} losses at extreme logits: {found:?}");
            let slopes = values(&input.grad(&output.sum().backward()).expect("the loss depends on the logits"));
            assert!(slopes.iter().all(|value| value.is_finite()), "{dtype:?} gradient at extreme logits: {slopes:?}");
        }
    }
}

#[track_caller]
fn examples_are_independent(loss: &impl PerExampleLoss, classes: usize) {
    let device = Device::flex();
    let (logits, targets) = (random_logits(classes, 2.0), some_targets(classes));
    let whole = losses(loss, &logits, &targets, classes, DType::F64);
    let reversed: Vec<f64> = logits.chunks(classes).rev().flatten().copied().collect();
    let reversed_targets: Vec<i64> = targets.iter().rev().copied().collect();
    let mut back = losses(loss, &reversed, &reversed_targets, classes, DType::F64);
    back.reverse();
    assert_close(&back, &whole, 1e-12);
    for (row, target) in targets.iter().enumerate() {
        let alone = matrix(&logits[row * classes..(row + 1) * classes], [1, classes], &device, DType::F64);
        assert_close(&values(&loss(alone, indices(&[*target], &device))), &whole[row..=row], 1e-12);
    }
}

#[track_caller]
fn single_precision_agrees_with_double(loss: &impl PerExampleLoss, classes: usize) {
    let (logits, targets) = (random_logits(classes, 2.0), some_targets(classes));
    let single = losses(loss, &logits, &targets, classes, DType::F32);
    let double = losses(loss, &logits, &targets, classes, DType::F64);
    assert_close(&single, &double, 1e-4);
}

fn losses(loss: &impl PerExampleLoss, logits: &[f64], targets: &[i64], classes: usize, dtype: DType) -> Vec<f64> {
    let device = Device::flex();
    values(&loss(matrix(logits, [targets.len(), classes], &device, dtype), indices(targets, &device)))
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

    #[test]
    fn accepts_cross_entropy() {
        check(|logits, targets| -at_target(log_softmax(logits, 1), targets), 5);
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
}
