//! The factored layer against the same SGD on a dense matrix.

use super::{classes, hidden_gradient, largest_difference, matrix, relative_difference, uniform};
use crate::{
    FactoredSphericalConfig, FactoredSphericalLayer, LayerScalar, MeanOverTargets, SparseTargetLoss,
    SphericalSoftmaxLossConfig, SquaredSphericalLossConfig, SquaredToKHot, TaylorSoftmaxLossConfig, ZLossConfig,
};

/// What one comparison runs.
struct Case {
    classes: usize,
    d_hidden: usize,
    bias: bool,
    examples: usize,
    per_example: usize,
    learning_rate: f64,
    weight_decay: f64,
    steps: usize,
    /// Hidden values lie in `common - spread` to `common + spread`.
    common: f64,
    spread: f64,
}

const CASE: Case = Case {
    classes: 50,
    d_hidden: 6,
    bias: false,
    examples: 3,
    per_example: 1,
    learning_rate: 0.1,
    weight_decay: 0.0,
    steps: 300,
    common: 0.0,
    spread: 1.0,
};

/// `W`, row by row, and the textbook's SGD step on it.
struct DenseLayer {
    weights: Vec<f64>,
    width: usize,
}

impl DenseLayer {
    /// Returns the mean loss and its gradient by the hidden vectors, and updates the weights.
    fn step(&mut self, hidden: &[f64], targets: &[usize], case: &Case, loss: &dyn SparseTargetLoss) -> (f64, Vec<f64>) {
        let (width, examples) = (self.width, hidden.len() / self.width);
        let share = 1.0 / examples as f64;
        let mut total = 0.0;
        let mut weight_gradient: Vec<f64> = self.weights.iter().map(|weight| case.weight_decay * weight).collect();
        let mut hidden_gradient = vec![0.0; hidden.len()];
        for example in 0..examples {
            let vector = &hidden[example * width..(example + 1) * width];
            let listed = &targets[example * case.per_example..(example + 1) * case.per_example];
            let logits: Vec<f64> =
                self.weights.chunks(width).map(|row| row.iter().zip(vector).map(|(w, h)| w * h).sum()).collect();
            let at_targets: Vec<f64> = listed.iter().map(|&class| logits[class]).collect();
            let sum: f64 = logits.iter().sum();
            let centred: Vec<f64> = logits.iter().map(|logit| logit - sum / case.classes as f64).collect();
            let squares = centred.iter().map(|logit| logit * logit).sum();
            let mut da = vec![0.0; listed.len()];
            let partials = loss.value_and_centred_sparse_partials(&at_targets, squares, sum, case.classes, &mut da);
            total += share * partials.loss;
            let mut slopes: Vec<f64> = centred.iter().map(|logit| partials.ds + 2.0 * partials.dq * logit).collect();
            listed.iter().zip(&da).for_each(|(&class, da)| slopes[class] += da);
            for (class, slope) in slopes.iter().enumerate() {
                for feature in 0..width {
                    weight_gradient[class * width + feature] += share * slope * vector[feature];
                    hidden_gradient[example * width + feature] += share * slope * self.weights[class * width + feature];
                }
            }
        }
        for (weight, gradient) in self.weights.iter_mut().zip(&weight_gradient) {
            *weight -= case.learning_rate * gradient;
        }
        (total, hidden_gradient)
    }
}

fn with_bias(hidden: &[f64], d_hidden: usize, bias: bool) -> Vec<f64> {
    hidden.chunks(d_hidden).flat_map(|row| row.iter().copied().chain(bias.then_some(1.0))).collect()
}

fn weights<E: LayerScalar>(layer: &FactoredSphericalLayer<E>) -> Vec<f64> {
    let all: Vec<usize> = (0..layer.config().n_classes).collect();
    layer.weight_rows(&all).unwrap().concat()
}

/// Runs both layers side by side and returns the factored one; `tolerance` is relative to the largest value.
fn compare<E: LayerScalar>(case: &Case, loss: &dyn SparseTargetLoss, tolerance: f64) -> FactoredSphericalLayer<E> {
    let config = FactoredSphericalConfig::new(case.d_hidden, case.classes)
        .with_bias(case.bias)
        .with_init_std(0.1)
        .with_weight_decay(case.weight_decay)
        .with_resync_every(0);
    let mut layer = config.init_as::<E>(11).unwrap();
    let width = case.d_hidden + usize::from(case.bias);
    let mut dense = DenseLayer { weights: weights(&layer), width };
    for step in 0..case.steps {
        let seed = 1000 + step as u64;
        let hidden = uniform(case.examples * case.d_hidden, case.spread, seed);
        let hidden: Vec<f64> = hidden.iter().map(|value| case.common + value).collect();
        let mut targets = classes(case.examples * case.per_example, case.classes, seed);
        if step % 3 == 0 && case.examples > 1 {
            targets[case.per_example] = targets[0];
        }
        let (expected_loss, expected_gradient) =
            dense.step(&with_bias(&hidden, case.d_hidden, case.bias), &targets, case, loss);
        let expected_gradient: Vec<f64> =
            expected_gradient.chunks(width).flat_map(|row| &row[..case.d_hidden]).copied().collect();
        let mut found_loss = 0.0;
        let found_gradient = hidden_gradient(&hidden, case.d_hidden, |hidden| {
            let out = layer.step_sparse(hidden, &targets, case.per_example, loss, case.learning_rate).unwrap();
            found_loss = out.loss_mean;
            out.surrogate
        });
        assert!((found_loss - expected_loss).abs() < tolerance * expected_loss.abs().max(1.0), "loss at step {step}");
        let difference = relative_difference(&found_gradient, &expected_gradient);
        assert!(difference < tolerance, "hidden gradient at step {step}: off by {difference:e}");
    }
    let difference = relative_difference(&weights(&layer), &dense.weights);
    assert!(difference < tolerance, "weights differ by {difference:e} of the largest");
    assert_eq!(layer.diagnostics().split_batches, 0);
    let drift = layer.resync();
    assert!(drift < tolerance, "the bookkeeping drifted by {drift:e}");
    layer
}

#[test]
fn equals_dense_sgd_for_every_member_of_the_family() {
    let z = ZLossConfig::new().with_sharpness(0.5).with_margin(3.0).init().unwrap();
    compare::<f64>(&CASE, &MeanOverTargets(&z), 1e-10);
    let taylor = TaylorSoftmaxLossConfig::new().init().unwrap();
    compare::<f64>(&CASE, &MeanOverTargets(&taylor), 1e-10);
    let spherical = SphericalSoftmaxLossConfig::new().with_eps(0.1).init().unwrap();
    compare::<f64>(&CASE, &MeanOverTargets(&spherical), 1e-10);
    let squared = SquaredSphericalLossConfig::new().init().unwrap();
    compare::<f64>(&CASE, &MeanOverTargets(&squared), 1e-10);
}

#[test]
fn equals_dense_sgd_for_every_shape_of_batch() {
    let z = ZLossConfig::new().with_sharpness(0.5).with_margin(3.0).init().unwrap();
    let z = MeanOverTargets(&z);
    let taylor = TaylorSoftmaxLossConfig::new().init().unwrap();
    let taylor = MeanOverTargets(&taylor);
    for loss in [&z as &dyn SparseTargetLoss, &taylor] {
        compare::<f64>(&Case { examples: 1, ..CASE }, loss, 1e-10);
        compare::<f64>(&Case { examples: 6, ..CASE }, loss, 1e-10);
        compare::<f64>(&Case { examples: 20, ..CASE }, loss, 1e-10);
        compare::<f64>(&Case { bias: true, ..CASE }, loss, 1e-10);
        compare::<f64>(&Case { weight_decay: 0.01, ..CASE }, loss, 1e-10);
        compare::<f64>(&Case { per_example: 2, ..CASE }, loss, 1e-10);
        let everything =
            Case { examples: 9, per_example: 3, bias: true, weight_decay: 0.01, learning_rate: 0.2, ..CASE };
        compare::<f64>(&everything, loss, 1e-10);
    }
    compare::<f64>(&Case { per_example: 2, ..CASE }, &SquaredToKHot, 1e-10);
}

/// A loss without the squares: `beta = 0`, so that `M = I`.
#[derive(Debug)]
struct Linear;

impl crate::SphericalLoss for Linear {
    fn value_and_partials(&self, a: f64, _q: f64, s: f64, _num_classes: usize) -> crate::Partials {
        crate::Partials { loss: 0.01 * s - a, da: -1.0, dq: 0.0, ds: 0.01, degenerate: false }
    }
}

#[test]
fn equals_dense_sgd_without_curvature() {
    compare::<f64>(&CASE, &MeanOverTargets(&Linear), 1e-10);
    compare::<f64>(&Case { examples: 8, bias: true, ..CASE }, &MeanOverTargets(&Linear), 1e-10);
}

#[test]
fn equals_dense_sgd_in_single_precision() {
    let z = ZLossConfig::new().init().unwrap();
    let case = Case { classes: 300, d_hidden: 24, bias: true, examples: 16, learning_rate: 1.0, steps: 200, ..CASE };
    compare::<f32>(&case, &MeanOverTargets(&z), 1e-4);
}

#[test]
fn equals_dense_sgd_in_single_precision_where_the_factor_shrinks_fast() {
    // 2 lr |h|^2 = 0.5, nearly all of it along one direction: a factor of 2 at every step.
    let squared = SquaredSphericalLossConfig::new().init().unwrap();
    let wide = Case { classes: 300, d_hidden: 24, bias: true, examples: 16, common: 1.0, spread: 0.1, ..CASE };
    let layer = compare::<f32>(&Case { learning_rate: 0.01, ..wide }, &MeanOverTargets(&squared), 1e-4);
    assert!(layer.diagnostics().stabilisations >= 40, "{:?}", layer.diagnostics());
}

#[test]
fn the_z_loss_hardly_moves_the_factor() {
    let z = ZLossConfig::new().init().unwrap();
    let mut layer = FactoredSphericalConfig::new(32, 10_000).init(1).unwrap();
    for step in 0..200 {
        let hidden = matrix(&uniform(16 * 32, 1.0, step), 32);
        layer.step(hidden, &classes(16, 10_000, step), &z, 1.0).unwrap();
    }
    // As the schedule says, and none besides.
    assert_eq!(layer.diagnostics().stabilisations, 2);
}

/// The largest difference of the weights from those of dense SGD, relative to what the classes differ by, after 1000 steps
/// on the Z-loss from weights that have much more in common than they differ.
fn difference_with_a_common_offset<E: LayerScalar>(offset: f64) -> f64 {
    let case = Case { classes: 300, d_hidden: 12, examples: 8, ..CASE };
    let common = uniform(case.d_hidden, offset, 1);
    let apart = uniform(case.classes * case.d_hidden, 0.1, 2);
    let given = apart.chunks(case.d_hidden).flat_map(|row| row.iter().zip(&common).map(|(own, common)| own + common));
    let config = FactoredSphericalConfig::new(case.d_hidden, case.classes).with_bias(false).with_resync_every(0);
    let mut layer = config.init_from_weights::<E>(given.map(E::from_f64).collect()).unwrap();
    let mut dense = DenseLayer { weights: weights(&layer), width: case.d_hidden };
    let loss = ZLossConfig::new().with_sharpness(0.5).with_margin(3.0).init().unwrap();
    for step in 0..1000 {
        let hidden = uniform(case.examples * case.d_hidden, 1.0, 1000 + step);
        let targets = classes(case.examples, case.classes, 1000 + step);
        dense.step(&hidden, &targets, &case, &MeanOverTargets(&loss));
        layer.step(matrix(&hidden, case.d_hidden), &targets, &loss, case.learning_rate).unwrap();
    }
    assert_eq!(layer.diagnostics().degenerate_examples, 0);
    let apart = |weights: Vec<f64>| {
        let mut mean = vec![0.0; case.d_hidden];
        for row in weights.chunks(case.d_hidden) {
            mean.iter_mut().zip(row).for_each(|(mean, weight)| *mean += weight / case.classes as f64);
        }
        weights.iter().enumerate().map(|(index, weight)| weight - mean[index % case.d_hidden]).collect::<Vec<_>>()
    };
    relative_difference(&apart(weights(&layer)), &apart(dense.weights))
}

#[test]
fn what_the_classes_have_in_common_does_not_hide_their_differences() {
    let single = difference_with_a_common_offset::<f32>(1e2);
    assert!(single < 1e-5, "{single:e}");
    let double = difference_with_a_common_offset::<f64>(1e5);
    assert!(double < 1e-7, "{double:e}");
}

#[test]
fn squared_error_reproduces_least_squares() {
    // With one-hot targets, SGD on |W h - y|^2 is W <- W - 2 lr (W h - y) h^T.
    let (d, classes) = (4, 7);
    let mut layer = FactoredSphericalConfig::new(d, classes).with_bias(false).init_as::<f64>(3).unwrap();
    let mut expected = weights(&layer);
    let loss = SquaredSphericalLossConfig::new().init().unwrap();
    for step in 0..50 {
        let hidden = uniform(d, 1.0, step);
        let target = step as usize % classes;
        for (class, row) in expected.chunks_mut(d).enumerate() {
            let error = row.iter().zip(&hidden).map(|(w, h)| w * h).sum::<f64>() - f64::from(u8::from(class == target));
            row.iter_mut().zip(&hidden).for_each(|(w, h)| *w -= 2.0 * 0.05 * error * h);
        }
        layer.step(matrix(&hidden, d), &[target], &loss, 0.05).unwrap();
    }
    assert!(largest_difference(&weights(&layer), &expected) < 1e-12);
}

#[test]
fn scores_and_top_k_agree_with_the_weights() {
    let (d, classes) = (5, 2500);
    let mut layer = FactoredSphericalConfig::new(d, classes).with_init_std(0.1).init(5).unwrap();
    let loss = ZLossConfig::new().init().unwrap();
    let mut hidden = vec![0.1; 3 * d];
    hidden.iter_mut().step_by(d + 1).for_each(|value| *value = 2.0);
    for _ in 0..50 {
        layer.step(matrix(&hidden, d), &[0, 1700, 2499], &loss, 1.0).unwrap();
    }
    let scores: Vec<f64> = layer.scores(matrix(&hidden, d)).unwrap().into_data().iter::<f64>().collect();
    let rows = layer.weight_rows(&(0..classes).collect::<Vec<_>>()).unwrap();
    let augmented = with_bias(&hidden, d, true);
    let largest = scores.iter().fold(0.0_f64, |most, score| most.max(score.abs()));
    for (example, vector) in augmented.chunks(d + 1).enumerate() {
        for (class, row) in rows.iter().enumerate() {
            let expected: f64 = row.iter().zip(vector).map(|(w, h)| w * h).sum();
            assert!((scores[example * classes + class] - expected).abs() < 1e-5 * largest);
        }
    }
    let best = layer.top_k(matrix(&hidden, d), 4).unwrap();
    assert_eq!(best.iter().map(|list| list[0].0).collect::<Vec<_>>(), [0, 1700, 2499]);
    for (example, list) in best.iter().enumerate() {
        let mut order: Vec<usize> = (0..classes).collect();
        let row = &scores[example * classes..(example + 1) * classes];
        order.sort_by(|&left, &right| row[right].total_cmp(&row[left]).then(left.cmp(&right)));
        assert_eq!(list.iter().map(|(class, _)| *class).collect::<Vec<_>>(), order[..4]);
        assert!(list.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }
}
