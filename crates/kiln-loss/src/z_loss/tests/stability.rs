//! Stabilisation, guards and storage of the factored layer.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{classes, largest_difference, matrix, uniform};
use crate::{
    FactoredSphericalConfig, FactoredSphericalLayer, LayerError, Partials, SphericalLoss, SquaredSphericalLossConfig,
    ZLossConfig,
};

fn weights(layer: &FactoredSphericalLayer<f64>) -> Vec<f64> {
    layer.weight_rows(&(0..layer.config().n_classes).collect::<Vec<_>>()).unwrap().concat()
}

/// A layer with a conditioned `U`, made by many steps along one direction without stabilisation.
fn stretched(steps: u64, d: usize) -> FactoredSphericalLayer<f64> {
    let config = FactoredSphericalConfig::new(d, 40).with_init_std(0.1).with_stabilize_every(usize::MAX);
    let mut layer = config.with_resync_every(0).init_as::<f64>(1).unwrap();
    let loss = SquaredSphericalLossConfig::new().init().unwrap();
    for step in 0..steps {
        let mut hidden = uniform(d, 0.05, step);
        hidden[0] += 1.0;
        layer.step(matrix(&hidden, d), &[step as usize % 40], &loss, 0.15).unwrap();
    }
    layer
}

#[test]
fn stabilisation_keeps_the_weights() {
    let mut layer = stretched(4, 8);
    let before = weights(&layer);
    assert!(layer.diagnostics().condition_number > 20.0, "{:?}", layer.diagnostics());
    layer.stabilise().unwrap();
    let after = layer.diagnostics();
    assert!(after.condition_number <= 4.0, "{after:?}");
    assert_eq!((after.stabilisations, after.unfactorisations), (1, 0));
    assert!(after.singular_values_reset >= 1);
    let largest = before.iter().fold(0.0_f64, |most, weight| most.max(weight.abs()));
    assert!(largest_difference(&weights(&layer), &before) < 1e-12 * largest);

    layer.unfactorise();
    assert!((layer.diagnostics().condition_number - 1.0).abs() < 1e-12);
    assert!(largest_difference(&weights(&layer), &before) < 1e-12 * largest);
    assert!(layer.resync() < 1e-10);
}

#[test]
fn steps_after_a_stabilisation_use_the_new_inverse() {
    let (mut plain, mut stabilised) = (stretched(10, 8), stretched(10, 8));
    stabilised.stabilise().unwrap();
    let loss = ZLossConfig::new().init().unwrap();
    for step in 0..20 {
        let hidden = matrix(&uniform(24, 1.0, 50 + step), 8);
        let targets = classes(3, 40, step);
        plain.step(hidden.clone(), &targets, &loss, 0.1).unwrap();
        stabilised.step(hidden, &targets, &loss, 0.1).unwrap();
    }
    assert!(largest_difference(&weights(&plain), &weights(&stabilised)) < 1e-9);
}

#[test]
fn too_many_outside_values_multiply_the_factors_out() {
    let mut layer = stretched(12, 1);
    let before = weights(&layer);
    layer.stabilise().unwrap();
    assert_eq!(layer.diagnostics().unfactorisations, 1);
    assert!(largest_difference(&weights(&layer), &before) < 1e-12);
}

#[test]
fn growth_triggers_a_stabilisation_before_the_schedule_does() {
    assert!(stretched(100, 8).diagnostics().stabilisations >= 2);
}

#[test]
fn long_training_stays_stable() {
    let config =
        FactoredSphericalConfig::new(8, 200).with_init_std(0.1).with_stabilize_every(50).with_resync_every(500);
    let mut layer = config.init(2).unwrap();
    let loss = ZLossConfig::new().init().unwrap();
    for step in 0..3000 {
        let hidden = matrix(&uniform(8 * 8, 1.0, step), 8);
        layer.step(hidden, &classes(8, 200, step), &loss, 0.1).unwrap();
    }
    let found = layer.diagnostics();
    assert!(found.condition_number < 100.0, "{found:?}");
    assert!(found.last_drift.unwrap() < 1e-4, "{found:?}");
    assert_eq!((found.steps, found.resyncs), (3000, 6));
}

#[test]
fn a_batch_that_is_too_much_is_halved() {
    let config = FactoredSphericalConfig::new(3, 10).with_bias(false);
    let mut layer = config.init_as::<f64>(4).unwrap();
    let loss = SquaredSphericalLossConfig::new().init().unwrap();
    // 2 lr |h|^2 / 4 = 0.5 for each of four equal examples: 2 together, 1 in pairs, 0.5 alone
    let hidden = [1.0, 0.0, 0.0].repeat(4);
    let out = layer.step(matrix(&hidden, 3), &[1, 2, 3, 4], &loss, 1.0).unwrap();
    assert!(out.loss_mean.is_finite());
    assert_eq!(layer.diagnostics().split_batches, 3);
    assert!(layer.resync() < 1e-12);

    let error = layer.step(matrix(&hidden[..3], 3), &[1], &loss, 1.0).unwrap_err();
    assert!(matches!(error, LayerError::StepTooLong { .. }), "{error}");
}

#[test]
fn a_step_that_fails_in_its_second_half_changes_nothing() {
    let loss = SquaredSphericalLossConfig::new().init().unwrap();
    let mut layer = FactoredSphericalConfig::new(3, 10).with_bias(false).init_as::<f64>(4).unwrap();
    layer.step(matrix(&uniform(6, 1.0, 1), 3), &[7, 2], &loss, 0.1).unwrap();
    let untouched = layer.clone();
    // The second example alone is too long a step; the first one is not.
    let hidden = [0.5, 0.0, 0.2, 0.0, 3.0, 0.0];
    let error = layer.step(matrix(&hidden, 3), &[1, 1], &loss, 0.5).unwrap_err();
    assert!(matches!(error, LayerError::StepTooLong { .. }), "{error}");
    assert_eq!(weights(&layer), weights(&untouched));
    assert_eq!(layer.diagnostics(), untouched.diagnostics());

    let (mut after, mut as_if_never) = (layer, untouched);
    for layer in [&mut after, &mut as_if_never] {
        layer.step(matrix(&uniform(6, 1.0, 2), 3), &[1, 3], &loss, 0.1).unwrap();
        assert!(layer.resync() < 1e-14);
    }
    assert_eq!(weights(&after), weights(&as_if_never));
}

/// Squared error that calls an example without logits degenerate, and is not a number when it is asked for the last time.
#[derive(Debug)]
struct Fickle {
    calls_left: AtomicUsize,
}

impl SphericalLoss for Fickle {
    fn value_and_partials(&self, a: f64, q: f64, _s: f64, _num_classes: usize) -> Partials {
        let last = self.calls_left.fetch_sub(1, Ordering::Relaxed) == 1;
        let loss = if last { f64::NAN } else { q - 2.0 * a + 1.0 };
        Partials { loss, da: -2.0, dq: 1.0, ds: 0.0, degenerate: q == 0.0 }
    }
}

#[test]
fn a_halved_batch_counts_and_names_its_examples_once() {
    let config = FactoredSphericalConfig::new(3, 10).with_bias(false).with_init_std(0.1);
    let mut layer = config.init_as::<f64>(4).unwrap();
    // 2 lr |h|^2 / 4 = 0.5 for each of the last three: all four, the first two, the last two, the third, the fourth
    let mut hidden = [1.0, 0.0, 0.0].repeat(4);
    hidden[0] = 0.0;
    let step = |layer: &mut FactoredSphericalLayer<f64>, calls| {
        let loss = Fickle { calls_left: AtomicUsize::new(calls) };
        layer.step(matrix(&hidden, 3), &[1, 2, 3, 4], &loss, 1.0).map(drop)
    };
    let untouched = layer.clone();
    let error = step(&mut layer, 4 + 2 + 2 + 1 + 1).unwrap_err();
    assert!(matches!(error, LayerError::LossValue { example: 3, .. }), "{error}");
    assert_eq!((weights(&layer), layer.diagnostics()), (weights(&untouched), untouched.diagnostics()));

    step(&mut layer, usize::MAX).unwrap();
    assert_eq!((layer.diagnostics().split_batches, layer.diagnostics().degenerate_examples), (2, 1));
}

#[test]
fn orthogonal_examples_are_not_halved_for_their_trace() {
    let mut layer = FactoredSphericalConfig::new(4, 10).with_bias(false).init_as::<f64>(4).unwrap();
    let loss = SquaredSphericalLossConfig::new().init().unwrap();
    let mut hidden = vec![0.0; 16];
    hidden.iter_mut().step_by(5).for_each(|value| *value = 1.0);
    // trace 4 * 0.3 = 1.2, Frobenius norm 0.6
    layer.step(matrix(&hidden, 4), &[1, 2, 3, 4], &loss, 0.6).unwrap();
    assert_eq!(layer.diagnostics().split_batches, 0);
    assert!(layer.resync() < 1e-12);
}

#[test]
fn equal_logits_are_counted_and_change_nothing() {
    let weights_of_ones = vec![1.0_f64; 12];
    let config = FactoredSphericalConfig::new(3, 4).with_bias(false);
    let mut layer = config.init_from_weights(weights_of_ones.clone()).unwrap();
    let loss = ZLossConfig::new().init().unwrap();
    let out = layer.step(matrix(&[1.0, 2.0, 3.0], 3), &[2], &loss, 0.1).unwrap();
    assert!((out.loss_mean - 10.0 * (1.0 + 1.0_f64.exp()).ln()).abs() < 1e-9);
    assert_eq!(layer.diagnostics().degenerate_examples, 1);
    assert!(largest_difference(&weights(&layer), &weights_of_ones) < 1e-15);
}

#[test]
fn logits_that_differ_by_rounding_alone_count_as_equal() {
    // The third feature is a fixed multiple of the second, in the weights and in the hidden vectors, and stays that.
    let (classes_count, ratio) = (40, 0.3_f64.sqrt());
    let (first, second) = (uniform(classes_count, 1.0, 1), uniform(classes_count, 1.0, 2));
    let given = first.iter().zip(&second).flat_map(|(first, second)| [*first, *second, ratio * second]).collect();
    let config = FactoredSphericalConfig::new(3, classes_count).with_bias(false);
    let mut layer = config.init_from_weights::<f64>(given).unwrap();
    let loss = ZLossConfig::new().init().unwrap();
    for step in 0..200 {
        let hidden =
            uniform(8, 1.0, step).chunks(2).flat_map(|row| [row[0], row[1], ratio * row[1]]).collect::<Vec<_>>();
        layer.step(matrix(&hidden, 3), &classes(4, classes_count, step), &loss, 0.5).unwrap();
    }
    assert_eq!(layer.diagnostics().degenerate_examples, 0);
    let before = weights(&layer);
    layer.step(matrix(&[0.0, ratio, -1.0], 3), &[5], &loss, 0.5).unwrap();
    assert_eq!(layer.diagnostics().degenerate_examples, 1);
    assert!(largest_difference(&weights(&layer), &before) < 1e-12);
}

#[test]
fn a_saved_layer_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.safetensors");
    let mut layer = FactoredSphericalConfig::new(6, 30).with_init_std(0.1).with_stabilize_every(7).init(9).unwrap();
    let loss = ZLossConfig::new().init().unwrap();
    let run = |layer: &mut FactoredSphericalLayer, steps: std::ops::Range<u64>| {
        for step in steps {
            layer.step(matrix(&uniform(24, 1.0, step), 6), &classes(4, 30, step), &loss, 0.05).unwrap();
        }
    };
    run(&mut layer, 0..10);
    layer.save(&path).unwrap();
    let mut restored = FactoredSphericalLayer::load(&path).unwrap();
    assert_eq!(restored.diagnostics(), layer.diagnostics());
    run(&mut layer, 10..25);
    run(&mut restored, 10..25);
    let all: Vec<usize> = (0..30).collect();
    assert_eq!(layer.weight_rows(&all).unwrap(), restored.weight_rows(&all).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let config = FactoredSphericalConfig::new(3, 5000);
    let rows = |seed| config.init(seed).unwrap().weight_rows(&[0, 1023, 1024, 4999]).unwrap();
    assert_eq!(rows(1), rows(1));
    assert_ne!(rows(1), rows(2));
    let first = rows(1);
    assert_ne!(first[1], first[2], "blocks of rows draw different numbers");
}
