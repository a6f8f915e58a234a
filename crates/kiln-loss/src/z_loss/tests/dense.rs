//! The losses on logits.

use burn::tensor::{Int, Tensor};
use kiln_check::closeness::{assert_close, assert_near, values};
use kiln_check::gradient::{check_gradient, gradient};
use kiln_check::loss_suite;

use super::{indices, matrix, uniform};
use crate::{
    ClassificationLoss, Reduction, SphericalLoss, SphericalSoftmaxLossConfig, SquaredSphericalLossConfig,
    TaylorSoftmaxLossConfig, ZLoss, ZLossConfig,
};

fn z_loss(sharpness: f64, margin: f64) -> ZLoss {
    ZLossConfig::new().with_sharpness(sharpness).with_margin(margin).init().unwrap()
}

fn value(loss: &dyn ClassificationLoss, logits: &[f64], target: usize) -> f64 {
    values(&loss.forward(matrix(logits, logits.len()), indices(&[target])))[0]
}

fn slope(loss: &dyn ClassificationLoss, logits: &[f64], target: usize) -> Vec<f64> {
    gradient(|x| loss.forward_no_reduction(x, indices(&[target])), logits, [1, logits.len()])
}

#[test]
fn z_loss_gives_the_worked_numbers() {
    let logits = [1.0, 2.0, 3.0, 4.0];
    let paper = ZLossConfig::paper().init().unwrap();
    assert_near(value(&paper, &logits, 3), 0.232_235_21, 1e-8);
    assert_close(&slope(&paper, &logits, 3), &[-0.037_072_28, 0.018_536_14, 0.074_144_57, -0.055_608_42], 1e-8);
    let wide = z_loss(0.5, 2.0);
    assert_near(value(&wide, &logits, 0), 3.686_339_27, 1e-8);
    assert_close(&slope(&wide, &logits, 0), &[-0.225_847_83, 0.301_130_44, 0.075_282_61, -0.150_565_22], 1e-8);
}

#[test]
fn z_loss_has_half_the_slope_where_the_score_meets_the_margin() {
    let paper = ZLossConfig::paper().init().unwrap();
    assert_near(value(&paper, &[0.0, 1.0, 2.0], 1), 2.0_f64.ln(), 1e-12);
    assert_close(&slope(&paper, &[0.0, 1.0, 2.0], 1), &[0.204_124_145, -0.408_248_290, 0.204_124_145], 1e-8);
}

#[test]
fn z_loss_is_the_hinge_far_from_the_margin() {
    let logits = [1.0, 2.0, 3.0, 4.0];
    let score = 1.5 / 1.25_f64.sqrt();
    let steep = z_loss(1e3, 5.0);
    assert_near(value(&steep, &logits, 3), 5.0 - score, 1e-12);
    assert_near(value(&steep, &logits, 0), 5.0 + score, 1e-12);
    let beyond = z_loss(1e3, -5.0);
    assert_eq!(value(&beyond, &logits, 3), 0.0);
    assert_eq!(slope(&beyond, &logits, 3), [0.0; 4]);
}

#[test]
fn z_loss_ignores_shift_and_scale() {
    let logits = uniform(20, 2.0, 1);
    let loss = z_loss(0.7, 3.0);
    let expected = value(&loss, &logits, 4);
    for (scale, shift) in [(3.0, 0.0), (1.0, -50.0), (1e-8, 1e-8), (1e200, 1e199), (1e-200, 0.0)] {
        let moved: Vec<f64> = logits.iter().map(|logit| scale * logit + shift).collect();
        assert_near(value(&loss, &moved, 4), expected, 1e-10);
    }
    let gradient = slope(&loss, &logits, 4);
    assert!(gradient.iter().sum::<f64>().abs() < 1e-14);
    assert!(gradient.iter().zip(&logits).map(|(slope, logit)| slope * logit).sum::<f64>().abs() < 1e-14);
}

#[test]
fn z_loss_ignores_the_order_of_the_other_classes() {
    let logits = uniform(9, 1.0, 2);
    let mut swapped = logits.clone();
    swapped.swap(0, 8);
    swapped.swap(2, 5);
    let loss = z_loss(0.3, 5.0);
    assert_near(value(&loss, &logits, 4), value(&loss, &swapped, 4), 1e-14);
}

#[test]
fn z_loss_has_the_limits_of_its_sharpness() {
    let logits = uniform(9, 1.0, 3);
    let mean = logits.iter().sum::<f64>() / 9.0;
    let sigma = (logits.iter().map(|logit| (logit - mean).powi(2)).sum::<f64>() / 9.0).sqrt();
    let score = (logits[2] - mean) / sigma;
    assert_near(value(&z_loss(1e4, 3.0), &logits, 2), 3.0 - score, 1e-3);
    let flat = 1e-7;
    assert_near(value(&z_loss(flat, 3.0), &logits, 2) - 2.0_f64.ln() / flat, (3.0 - score) / 2.0, 1e-6);
}

#[test]
fn z_loss_gradient_equals_central_differences() {
    let logits = uniform(24, 2.0, 4);
    for (sharpness, margin) in [(0.1, 10.0), (1.0, 0.0), (3.0, -2.0)] {
        let loss = z_loss(sharpness, margin);
        check_gradient(|x| loss.forward_no_reduction(x, indices(&[0, 5, 3])), &logits, [3, 8], 1e-6);
    }
}

#[test]
fn equal_logits_have_no_gradient() {
    let loss = z_loss(0.5, 2.0);
    let expected = (1.0 + 1.0_f64.exp()).ln() / 0.5;
    for level in [0.0, 0.1, -7e9] {
        let logits = [level; 6];
        assert_near(value(&loss, &logits, 1), expected, 1e-12);
        assert_eq!(slope(&loss, &logits, 1), [0.0; 6]);
        let partials = loss.value_and_partials(level, 6.0 * level * level, 6.0 * level, 6);
        assert!(partials.degenerate);
        assert_eq!((partials.da, partials.dq, partials.ds), (0.0, 0.0, 0.0));
        assert_near(partials.loss, expected, 1e-12);
        assert_eq!(loss.value_and_centred_partials(level, 0.0, 6.0 * level, 6), partials);
    }
    let mixed = matrix(&[1.0, 1.0, 1.0, 2.0], 2);
    let flat: Vec<bool> = loss.degenerate(mixed).into_data().iter::<bool>().collect();
    assert_eq!(flat, [true, false]);
}

#[test]
fn every_member_passes_the_suite_of_reductions() {
    fn check<L: ClassificationLoss>(with: impl Fn(Reduction) -> L) {
        let [each, mean, sum] = [Reduction::None, Reduction::Mean, Reduction::Sum].map(|reduction| {
            let loss = with(reduction);
            move |logits: Tensor<2>, targets: Tensor<1, Int>| loss.forward(logits, targets)
        });
        loss_suite::check_reductions(each, mean, sum, 5);
    }
    check(|reduction| ZLossConfig::new().with_reduction(reduction).init().unwrap());
    check(|reduction| SphericalSoftmaxLossConfig::new().with_reduction(reduction).init().unwrap());
    check(|reduction| TaylorSoftmaxLossConfig::new().with_reduction(reduction).init().unwrap());
    check(|reduction| SquaredSphericalLossConfig::new().with_reduction(reduction).init().unwrap());
}

/// `dL/do_k = F_s + 2 F_q o_k + F_a [k = c]`, and the same with centred logits, against the gradient of the dense form.
fn partials_equal_the_dense_gradient<L: ClassificationLoss + SphericalLoss>(loss: &L) {
    for seed in 0..5 {
        let logits = uniform(11, 2.0, 100 + seed);
        let target = seed as usize;
        let q = logits.iter().map(|logit| logit * logit).sum();
        let partials = loss.value_and_partials(logits[target], q, logits.iter().sum(), logits.len());
        assert_near(partials.loss, value(loss, &logits, target), 1e-12);
        let mut recombined: Vec<f64> = logits.iter().map(|logit| partials.ds + 2.0 * partials.dq * logit).collect();
        recombined[target] += partials.da;
        let expected = slope(loss, &logits, target);
        assert_close(&recombined, &expected, 1e-12);

        let sum: f64 = logits.iter().sum();
        let centred: Vec<f64> = logits.iter().map(|logit| logit - sum / logits.len() as f64).collect();
        let squares = centred.iter().map(|logit| logit * logit).sum();
        let partials = loss.value_and_centred_partials(logits[target], squares, sum, logits.len());
        assert_near(partials.loss, value(loss, &logits, target), 1e-12);
        let mut recombined: Vec<f64> = centred.iter().map(|logit| partials.ds + 2.0 * partials.dq * logit).collect();
        recombined[target] += partials.da;
        assert_close(&recombined, &expected, 1e-12);
    }
}

#[test]
fn partials_of_every_member() {
    partials_equal_the_dense_gradient(&z_loss(0.1, 10.0));
    partials_equal_the_dense_gradient(&z_loss(2.0, -1.0));
    partials_equal_the_dense_gradient(&SphericalSoftmaxLossConfig::new().init().unwrap());
    partials_equal_the_dense_gradient(&TaylorSoftmaxLossConfig::new().init().unwrap());
    partials_equal_the_dense_gradient(&SquaredSphericalLossConfig::new().init().unwrap());
}

#[test]
fn every_member_passes_the_suite() {
    fn check(loss: &dyn ClassificationLoss) {
        loss_suite::check(|logits, targets| loss.forward_no_reduction(logits, targets), 5);
    }
    // Where all logits are equal, the Z-loss has no gradient.
    for loss in [z_loss(0.1, 10.0), z_loss(1.0, 0.0), z_loss(3.0, -2.0)] {
        loss_suite::check_except_at_ties(|logits, targets| loss.forward_no_reduction(logits, targets), 5);
    }
    check(&SphericalSoftmaxLossConfig::new().init().unwrap());
    check(&TaylorSoftmaxLossConfig::new().init().unwrap());
    check(&SquaredSphericalLossConfig::new().init().unwrap());
}

#[test]
fn logits_beyond_the_square_root_of_the_range_are_fine() {
    let logits = Tensor::<2>::from_floats([[1e30, -2e30, 0.0, 3e29]], &burn::tensor::Device::flex());
    let members: [&dyn ClassificationLoss; 3] = [
        &z_loss(0.1, 10.0),
        &SphericalSoftmaxLossConfig::new().init().unwrap(),
        &TaylorSoftmaxLossConfig::new().init().unwrap(),
    ];
    for loss in members {
        for target in 0..4 {
            let found: f32 = loss.forward(logits.clone(), indices(&[target])).into_scalar();
            assert!(found.is_finite(), "{loss:?} at target {target}: {found}");
        }
    }
}
