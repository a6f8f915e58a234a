//! diffGrad against worked numbers and identities of its definition.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, Optimizer};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_check::random::{normal, uniform};
use kiln_check::{assert_close, values};
use kiln_optim::{AdaDelta, DiffGrad, DiffGradConfig, DiffGradFriction, DiffGradState, EpsPlacement, OptimError};

fn vector(values: &[f64], dtype: DType) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (&Device::flex(), dtype))
}

/// Positions after each of the gradients, from `start`.
fn positions(optimizer: &DiffGrad, rate: f64, start: &[f64], grads: &[Vec<f64>], dtype: DType) -> Vec<Vec<f64>> {
    let (mut tensor, mut state) = (vector(start, dtype), None);
    grads
        .iter()
        .map(|grad| {
            (tensor, state) = optimizer.step(rate, tensor.clone(), vector(grad, dtype), state.take());
            values(&tensor)
        })
        .collect()
}

#[test]
fn two_steps_by_hand() {
    let optimizer = DiffGradConfig::new().build().unwrap();
    for dtype in [DType::F32, DType::F64] {
        let trace = positions(&optimizer, 0.1, &[1.0], &[vec![1.0], vec![1.0]], dtype);
        // xi = sigmoid(1) = 0.7310586, then 0.5 because the gradient stood still.
        assert_close(&trace.concat(), &[0.926_894_1, 0.876_894_1], 1e-6);
    }
}

#[test]
fn amsgrad_divides_by_the_largest_moment_so_far() {
    let config = DiffGradConfig::new().with_beta_2(0.5).with_epsilon(0.0);
    for dtype in [DType::F32, DType::F64] {
        for (amsgrad, second_step) in [(false, 0.075_147_2), (true, 0.053_269_8)] {
            let optimizer = config.clone().with_amsgrad(amsgrad).build().unwrap();
            let trace = positions(&optimizer, 0.1, &[0.0], &[vec![2.0], vec![0.1]], dtype);
            assert_close(&trace.concat(), &[-0.088_079_7, -0.088_079_7 - second_step], 1e-6);
        }
    }
}

#[test]
fn the_previous_gradient_is_that_of_the_last_step() {
    let optimizer = DiffGradConfig::new().build().unwrap();
    let (first, second) = (0.3f64, -1.2f64);
    let trace = positions(&optimizer, 0.1, &[1.0], &[vec![first], vec![second]], DType::F64);
    let xi = 1.0 / (1.0 + (-(first - second).abs()).exp());
    let m = 0.9 * 0.1 * first + 0.1 * second;
    let v = 0.999 * 0.001 * first * first + 0.001 * second * second;
    let expected = 0.1 * xi * (m / (1.0 - 0.9f64.powi(2))) / (v / (1.0 - 0.999f64.powi(2))).sqrt();
    assert_close(&[trace[0][0] - trace[1][0]], &[expected], 1e-7);
}

#[test]
fn a_gradient_that_stands_still_gives_half_of_adams_step() {
    let config = DiffGradConfig::new().with_eps_placement(EpsPlacement::Paper);
    let grads = vec![vec![0.7, -2.0, 1e-3]; 10];
    let diffgrad = positions(&config.build().unwrap(), 0.01, &[0.0; 3], &grads, DType::F64);
    let adam = config.with_friction(DiffGradFriction::Constant(1.0)).build().unwrap();
    let adam = positions(&adam, 0.01, &[0.0; 3], &grads, DType::F64);
    for step in 1..10 {
        for i in 0..3 {
            let ratio = (diffgrad[step][i] - diffgrad[step - 1][i]) / (adam[step][i] - adam[step - 1][i]);
            assert!((ratio - 0.5).abs() < 1e-9, "step {step}: {ratio}");
        }
    }
}

#[test]
fn constant_friction_of_one_is_burns_adam() {
    let adam = AdamConfig::new().with_epsilon(1e-8).build();
    let diffgrad = DiffGradConfig::new()
        .with_friction(DiffGradFriction::Constant(1.0))
        .with_eps_placement(EpsPlacement::Paper)
        .build()
        .unwrap();
    let start = uniform([7, 5], DType::F32);
    let (mut ours, mut state) = (start.clone(), None);
    let (mut theirs, mut their_state) = (start, None);
    for _ in 0..50 {
        let grad = normal([7, 5], DType::F32);
        (ours, state) = diffgrad.step(1e-3, ours, grad.clone(), state);
        (theirs, their_state) = adam.step(1e-3, theirs, grad, their_state);
    }
    assert_close(&values(&ours), &values(&theirs), 1e-6);
}

#[test]
fn the_scale_of_the_loss_changes_the_method_but_not_adam() {
    let grads = (0..20).map(|i| vec![1e-3 * (0.5 + f64::from(i) * 1.3).sin()]).collect::<Vec<_>>();
    let scaled = grads.iter().map(|grad| vec![grad[0] * 1000.0]).collect::<Vec<_>>();
    let end = |friction, grads: &[Vec<f64>]| {
        let config = DiffGradConfig::new().with_friction(friction).with_epsilon(0.0);
        positions(&config.build().unwrap(), 0.01, &[0.0], grads, DType::F64)[19][0]
    };
    let change = |friction| (end(friction, &grads) / end(friction, &scaled) - 1.0).abs();
    assert!(change(DiffGradFriction::AbsSigmoid) > 0.1, "{}", change(DiffGradFriction::AbsSigmoid));
    assert!(change(DiffGradFriction::Constant(1.0)) < 1e-9);
    assert!(change(DiffGradFriction::Normalized) < 1e-9);
}

#[test]
fn the_placements_differ_through_epsilon_only() {
    let grads = vec![vec![0.5], vec![-0.2], vec![0.9]];
    let end = |placement, epsilon| {
        let config = DiffGradConfig::new().with_eps_placement(placement).with_epsilon(epsilon);
        positions(&config.build().unwrap(), 0.1, &[0.0], &grads, DType::F64)[2][0]
    };
    assert_close(&[end(EpsPlacement::Authors, 0.0)], &[end(EpsPlacement::Paper, 0.0)], 1e-14);
    // The first step by hand: eps against sqrt(v) = 0.5 sqrt(0.001), and against sqrt(vhat) = 0.5.
    let first = |placement| {
        let config = DiffGradConfig::new().with_eps_placement(placement).with_epsilon(0.1);
        positions(&config.build().unwrap(), 1.0, &[0.0], &[vec![0.5]], DType::F64)[0][0]
    };
    let xi = 1.0 / (1.0 + (-0.5f64).exp());
    let root = 0.001f64.sqrt();
    assert_close(&[first(EpsPlacement::Authors)], &[-xi * root * 0.5 / (0.5 * root + 0.1)], 1e-9);
    assert_close(&[first(EpsPlacement::Paper)], &[-xi * 0.5 / (0.5 + 0.1)], 1e-9);
}

#[test]
fn weight_decay_enters_the_change_of_the_gradient() {
    let config = DiffGradConfig::new().with_weight_decay(Some(WeightDecayConfig::new(0.5)));
    let optimizer = config.build().unwrap();
    let (tensor, state) = optimizer.step(0.1, vector(&[2.0], DType::F64), vector(&[0.3], DType::F64), None);
    let state = state.unwrap();
    assert_close(&values(&state.previous_grad), &[1.3], 1e-12);
    let xi = 1.0 / (1.0 + (-1.3f64).exp());
    assert_close(&values(&tensor), &[2.0 - 0.1 * xi], 1e-6);
}

#[test]
fn the_update_knows_no_neighbours() {
    let optimizer = DiffGradConfig::new().build().unwrap();
    let start = uniform([6, 5], DType::F32);
    let grads = (0..4).map(|_| normal::<2>([6, 5], DType::F32));
    let grads = grads.collect::<Vec<_>>();
    let (mut plain, mut state) = (start.clone(), None);
    let (mut flat, mut flat_state) = (start.clone().flatten::<1>(0, 1), None);
    let (mut turned, mut turned_state) = (start.transpose(), None);
    for grad in grads {
        (plain, state) = optimizer.step(0.01, plain, grad.clone(), state);
        (flat, flat_state) = optimizer.step(0.01, flat, grad.clone().flatten::<1>(0, 1), flat_state);
        (turned, turned_state) = optimizer.step(0.01, turned, grad.transpose(), turned_state);
    }
    assert_eq!(values(&plain), values(&flat));
    assert_eq!(values(&plain), values(&turned.transpose()));
}

#[test]
fn double_precision_agrees_with_single() {
    let grads = (0..30).map(|i| vec![(f64::from(i)).sin(), 5.0 * (f64::from(i) * 0.7).cos()]).collect::<Vec<_>>();
    for friction in [DiffGradFriction::AbsSigmoid, DiffGradFriction::Sigmoid, DiffGradFriction::Normalized] {
        let optimizer = DiffGradConfig::new().with_friction(friction).build().unwrap();
        let single = positions(&optimizer, 0.01, &[1.0, -1.0], &grads, DType::F32);
        let double = positions(&optimizer, 0.01, &[1.0, -1.0], &grads, DType::F64);
        assert_close(&single[29], &double[29], 2e-6);
    }
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let refused = |config: DiffGradConfig| match config.init().err() {
        Some(OptimError::InvalidHyperparameter { name, value, .. }) => (name, value),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(DiffGradConfig::new().with_beta_1(1.0)), ("beta_1", 1.0));
    assert_eq!(refused(DiffGradConfig::new().with_beta_2(-0.1)), ("beta_2", -0.1));
    assert_eq!(refused(DiffGradConfig::new().with_epsilon(-1e-8)), ("epsilon", -1e-8));
    let decay = Some(WeightDecayConfig::new(-1.0));
    assert_eq!(refused(DiffGradConfig::new().with_weight_decay(decay)), ("weight_decay", -1.0));
    for constant in [0.0, 1.5] {
        let config = DiffGradConfig::new().with_friction(DiffGradFriction::Constant(constant));
        assert_eq!(refused(config), ("friction", constant));
    }
}

#[test]
#[should_panic(expected = "learning_rate = -0.1 is out of range")]
fn a_negative_rate_panics() {
    let optimizer = DiffGradConfig::new().build().unwrap();
    let _ = optimizer.step(-0.1, vector(&[1.0], DType::F32), vector(&[1.0], DType::F32), None);
}

#[test]
#[should_panic(expected = "has shape [2], but its parameter has shape [3]")]
fn a_state_of_another_shape_panics_with_both_shapes() {
    let optimizer = DiffGradConfig::new().build().unwrap();
    let (_, state) = optimizer.step(0.1, vector(&[1.0; 2], DType::F32), vector(&[1.0; 2], DType::F32), None);
    let _ = optimizer.step(0.1, vector(&[1.0; 3], DType::F32), vector(&[1.0; 3], DType::F32), state);
}

#[test]
fn an_empty_parameter_is_left_alone() {
    let optimizer = DiffGradConfig::new().with_skip_nonfinite(true).build().unwrap();
    let (tensor, _) = optimizer.step(0.1, vector(&[], DType::F32), vector(&[], DType::F32), None);
    assert_eq!(tensor.dims(), [0]);
}

#[test]
fn public_types_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<DiffGrad>();
    shared::<AdaDelta>();
    shared::<DiffGradState<2>>();
}
