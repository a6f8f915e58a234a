//! The layers that the factored one is compared with, and the metrics.

use burn::tensor::{Tensor, activation::log_softmax};
use kiln_check::closeness::{assert_close, assert_near};
use proptest::prelude::*;

use super::{classes, hidden_gradient, indices, matrix, uniform};
use crate::{HierarchicalSoftmax2Config, LayerError, LogSoftmaxLayerConfig, rank_metrics, rank_of};

#[test]
fn log_softmax_layer_equals_autodiff() {
    let (d, classes_count, examples) = (3, 1300, 5);
    let mut layer = LogSoftmaxLayerConfig::new(d, classes_count).with_init_std(0.5).init(1).unwrap();
    let before: Vec<f64> = layer.weights().iter().map(|weight| f64::from(*weight)).collect();
    let hidden = uniform(examples * d, 1.0, 2);
    let targets = vec![0, 511, 512, 1299, 512];

    let rows: Vec<f64> = hidden.chunks(d).flat_map(|row| row.iter().copied().chain([1.0])).collect();
    let loss_of = |weights: &[f64]| {
        let logits = matrix(&rows, d + 1).matmul(matrix(weights, d + 1).transpose());
        let scores = log_softmax(logits, 1).gather(1, indices(&targets).unsqueeze_dim(1));
        -scores.mean().into_scalar::<f64>()
    };
    let expected_loss = loss_of(&before);
    let mut found_loss = 0.0;
    let gradient = hidden_gradient(&hidden, d, |hidden| {
        let out = layer.step(hidden, &targets, 0.5).unwrap();
        found_loss = out.loss_mean;
        out.surrogate
    });
    assert_near(found_loss, expected_loss, 1e-5);

    let after: Vec<f64> = layer.weights().iter().map(|weight| f64::from(*weight)).collect();
    let expected_step = kiln_check::gradient::gradient(
        |weights| {
            let logits = matrix(&rows, d + 1).matmul(weights.transpose());
            -log_softmax(logits, 1).gather(1, indices(&targets).unsqueeze_dim(1)).squeeze_dim::<1>(1)
        },
        &before,
        [classes_count, d + 1],
    );
    let share = 0.5 / examples as f64;
    let expected: Vec<f64> = before.iter().zip(&expected_step).map(|(old, slope)| old - share * slope).collect();
    assert_close(&after, &expected, 1e-6);

    let expected_gradient = kiln_check::gradient::gradient(
        |hidden| {
            let plain: Vec<f64> = before.chunks(d + 1).flat_map(|row| row[..d].to_vec()).collect();
            let bias: Vec<f64> = before.chunks(d + 1).map(|row| row[d]).collect();
            let logits = hidden.matmul(matrix(&plain, d).transpose()) + matrix(&bias, classes_count);
            -log_softmax(logits, 1).gather(1, indices(&targets).unsqueeze_dim(1)).squeeze_dim::<1>(1)
        },
        &hidden,
        [examples, d],
    );
    let expected_gradient: Vec<f64> = expected_gradient.iter().map(|value| value / examples as f64).collect();
    assert_close(&gradient, &expected_gradient, 1e-6);
}

#[test]
fn hierarchical_softmax_is_a_distribution_and_learns_its_gradient() {
    let (d, count, examples) = (4, 23, 6);
    let mut layer = HierarchicalSoftmax2Config::new(d, count).with_init_std(0.5).init(1).unwrap();
    let hidden = uniform(examples * d, 1.0, 3);
    let targets = classes(examples, count, 4);
    let log_likelihood = |layer: &crate::HierarchicalSoftmax2, hidden: &[f64]| {
        let scores: Vec<f64> = layer.scores(matrix(hidden, d)).unwrap().into_data().iter::<f64>().collect();
        for row in scores.chunks(count) {
            assert_near(row.iter().map(|score| score.exp()).sum(), 1.0, 1e-5);
        }
        targets.iter().enumerate().map(|(example, target)| scores[example * count + target]).sum::<f64>()
            / examples as f64
    };
    let before = layer.clone();
    let start = log_likelihood(&layer, &hidden);
    let rate = 1e-2;
    let mut loss = 0.0;
    let gradient = hidden_gradient(&hidden, d, |hidden| {
        let out = layer.step(hidden, &targets, rate).unwrap();
        loss = out.loss_mean;
        out.surrogate
    });
    assert_near(loss, -start, 1e-5);
    for index in [0, 5, 13, 23] {
        let mut moved = hidden.clone();
        moved[index] += 1e-2;
        let forward = -log_likelihood(&before, &moved);
        moved[index] -= 2e-2;
        let difference = (forward + log_likelihood(&before, &moved)) / 2e-2;
        assert_near(gradient[index], difference, 2e-4);
    }
    for _ in 0..2000 {
        layer.step(matrix(&hidden, d), &targets, 0.5).unwrap();
    }
    assert!(log_likelihood(&layer, &hidden) > -0.05);
}

#[test]
fn the_example_whose_loss_is_not_finite_is_named_and_nothing_changes() {
    let (d, count) = (3, 600);
    let mut hidden = uniform(4 * d, 1.0, 3);
    let good = matrix(&hidden, d);
    hidden[2 * d..3 * d].fill(3e38);
    let scores_of =
        |scores: Result<Tensor<2>, LayerError>| scores.unwrap().into_data().iter::<f64>().collect::<Vec<_>>();

    let mut dense = LogSoftmaxLayerConfig::new(d, count).with_init_std(5.0).init(1).unwrap();
    let before = scores_of(dense.scores(good.clone()));
    let error = dense.step(matrix(&hidden, d), &[0, 1, 2, 599], 0.1).unwrap_err();
    assert!(matches!(error, LayerError::LossValue { example: 2, .. }), "{error}");
    assert_eq!(scores_of(dense.scores(good.clone())), before);

    let mut hierarchical = HierarchicalSoftmax2Config::new(d, count).with_init_std(5.0).init(1).unwrap();
    let before = scores_of(hierarchical.scores(good.clone()));
    let error = hierarchical.step(matrix(&hidden, d), &[0, 1, 2, 599], 0.1).unwrap_err();
    assert!(matches!(error, LayerError::LossValue { example: 2, .. }), "{error}");
    assert_eq!(scores_of(hierarchical.scores(good)), before);
}

#[test]
fn ties_count_half() {
    assert_eq!(rank_of(&[1.0, 2.0, 3.0], 2), 1.0);
    assert_eq!(rank_of(&[1.0, 2.0, 3.0], 0), 3.0);
    assert_eq!(rank_of(&[2.0, 2.0, 2.0], 1), 2.0);
    assert_eq!(rank_of(&[5.0, 2.0, 2.0, 1.0], 1), 2.5);
    let scores = matrix(&[5.0, 2.0, 2.0, 1.0, 0.0, 1.0, 2.0, 3.0], 4);
    let metrics = rank_metrics(scores, &[1, 3], &[1, 2, 3]).unwrap();
    assert_eq!(metrics.top_k_error, [(1, 0.5), (2, 0.5), (3, 0.0)]);
    assert_near(metrics.mean_reciprocal_rank, (1.0 / 2.5 + 1.0) / 2.0, 1e-12);
}

proptest! {
    #[test]
    fn ranks_stay_in_range(scores in prop::collection::vec(-5_i32..5, 1..40), pick in any::<prop::sample::Index>()) {
        let target = pick.index(scores.len());
        let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
        let rank = rank_of(&scores, target);
        prop_assert!(rank >= 1.0 && rank <= scores.len() as f64);
    }
}
