use burn::tensor::{DType, Device, Int, Tensor};
use kiln_check::{assert_close, assert_near, check_gradient, loss_suite, values};

use super::*;
use crate::comp_sum::{CompSumLossConfig, CompSumPhi2};
use crate::robust::FocalLossConfig;
use crate::{ClassificationLoss, CrossEntropyLoss, LossError};

const PHIS: [MarginPhi; 12] = [
    MarginPhi::Logistic,
    MarginPhi::Hinge,
    MarginPhi::Exponential,
    MarginPhi::Squared,
    MarginPhi::SquaredHinge,
    MarginPhi::Focal(2.0),
    MarginPhi::Focal(0.5),
    MarginPhi::HingeTail(HingeTail::Exponential),
    MarginPhi::HingeTail(HingeTail::Inverse),
    MarginPhi::HingeTail(HingeTail::InverseLog),
    MarginPhi::HingeTail(HingeTail::Log),
    MarginPhi::HingeTail(HingeTail::SquareRoot),
];

fn value(loss: &dyn ClassificationLoss, scores: &[f64], class: i64) -> f64 {
    let logits = Tensor::<1>::from_data(scores, (&Device::flex(), DType::F64)).unsqueeze::<2>();
    values(&loss.forward_no_reduction(logits, Tensor::from_ints([class], &Device::flex())))[0]
}

fn margin_loss(phi: MarginPhi) -> MarginLoss {
    MarginLossConfig::new().with_phi(phi).init().unwrap()
}

fn line(z: &[f64]) -> Tensor<1> {
    Tensor::from_data(z, (&Device::flex(), DType::F64))
}

#[test]
fn multi_class_losses_have_the_worked_values() {
    // Gaps of class 1 with margin 1: 2, 0, 1/2.
    let scores = [2.0, 1.0, 0.5];
    assert_near(value(&CrammerSingerLossConfig::new().init().unwrap(), &scores, 1), 2.0, 1e-12);
    assert_near(value(&WestonWatkinsLossConfig::new().init().unwrap(), &scores, 1), 2.5 / 3.0, 1e-12);
    assert_near(value(&SquaredHingeLossConfig::new().init().unwrap(), &scores, 1), 4.25 / 3.0, 1e-12);
    assert_near(value(&SmoothHingeLossConfig::new().init().unwrap(), &scores, 1), 1.625 / 3.0, 1e-12);
    let logistic = value(&LogisticMarginLossConfig::new().init().unwrap(), &scores, 1);
    assert_near(logistic, (1.0_f64.exp().ln_1p() + (-0.5_f64).exp().ln_1p()) / 3.0, 1e-12);
    // A target that wins by more than the margin costs nothing.
    assert_eq!(value(&CrammerSingerLossConfig::new().with_margin(0.5).init().unwrap(), &scores, 0), 0.0);
    assert_eq!(value(&WestonWatkinsLossConfig::new().with_margin(0.5).init().unwrap(), &scores, 0), 0.0);
}

#[test]
fn multi_class_losses_pass_the_suite() {
    for margin in [0.3, 1.0] {
        let losses: [Box<dyn ClassificationLoss>; 3] = [
            Box::new(WestonWatkinsLossConfig::new().with_margin(margin).init().unwrap()),
            Box::new(SquaredHingeLossConfig::new().with_margin(margin).init().unwrap()),
            Box::new(LogisticMarginLossConfig::new().with_margin(margin).init().unwrap()),
        ];
        for loss in losses {
            loss_suite::check(|logits, targets| loss.forward_no_reduction(logits, targets), 5);
        }
        let rival = CrammerSingerLossConfig::new().with_margin(margin).init().unwrap();
        loss_suite::check_except_at_ties(|logits, targets| rival.forward_no_reduction(logits, targets), 5);
    }
    // The curvature of the smooth hinge jumps where a gap is 0 or 1, as at ties with margin 1.
    let smooth = SmoothHingeLossConfig::new().with_margin(0.3).init().unwrap();
    loss_suite::check(|logits, targets| smooth.forward_no_reduction(logits, targets), 5);
}

#[test]
fn the_hinges_agree_for_two_classes_and_with_comp_sum() {
    for scores in [[0.3, -0.1], [2.0, -1.0], [-1.0, 0.5]] {
        for class in 0..2 {
            let hinge = value(&margin_loss(MarginPhi::Hinge), &scores, class);
            assert_near(value(&CrammerSingerLossConfig::new().init().unwrap(), &scores, class), hinge, 1e-12);
            let pairwise = value(&WestonWatkinsLossConfig::new().init().unwrap(), &scores, class);
            assert_near(2.0 * pairwise, hinge, 1e-12);
            let squared = value(&margin_loss(MarginPhi::SquaredHinge), &scores, class);
            assert_near(squared, hinge * hinge, 1e-12);
            let sum = CompSumLossConfig::new().with_tau(0.0).with_phi2(CompSumPhi2::Hinge(1.0)).init().unwrap();
            assert_near(value(&sum, &scores, class), hinge, 1e-12);
            let cross_entropy = value(&CrossEntropyLoss::default(), &scores, class);
            assert_near(value(&margin_loss(MarginPhi::Logistic), &scores, class), cross_entropy, 1e-12);
            for gamma in [0.5, 2.0] {
                let focal = FocalLossConfig::new().with_gamma(gamma).init().unwrap();
                let binary = value(&margin_loss(MarginPhi::Focal(gamma)), &scores, class);
                assert_near(binary, value(&focal, &scores, class), 1e-12);
            }
        }
    }
}

#[test]
fn functions_of_the_margin_have_their_values() {
    let cases = [
        (MarginPhi::Exponential, -0.5, 0.5_f64.exp()),
        (MarginPhi::Squared, 3.0, 4.0),
        (MarginPhi::HingeTail(HingeTail::Exponential), 2.0, (-1.0_f64).exp() - 1.0),
        (MarginPhi::HingeTail(HingeTail::Inverse), 4.0, -0.75),
        (MarginPhi::HingeTail(HingeTail::InverseLog), 2.0, -0.648_411_174),
        (MarginPhi::HingeTail(HingeTail::Log), 2.0, -std::f64::consts::LN_2),
        (MarginPhi::HingeTail(HingeTail::SquareRoot), 5.0, -4.0),
        (MarginPhi::HingeTail(HingeTail::Log), -0.5, 1.5),
    ];
    for (phi, z, expected) in cases {
        assert_near(values(&phi.value(line(&[z])))[0], expected, 1e-6);
    }
    for phi in PHIS {
        let found = margin_loss(phi);
        check_gradient(
            |x| found.forward_margins(x.squeeze_dim::<1>(1)),
            &[-3.0, -0.7, 0.0, 0.4, 1.7, 5.0],
            [6, 1],
            1e-6,
        );
    }
}

#[test]
fn functions_of_the_margin_are_calibrated_and_their_slopes_never_fall_where_they_are_convex() {
    let grid: Vec<f64> = (-200..=200).map(|step| f64::from(step) / 20.0).collect();
    for phi in PHIS {
        let slopes = values(&phi.slope(line(&grid)));
        assert!(slopes[200] < 0.0, "{phi:?} at 0: {}", slopes[200]);
        let convex = !matches!(phi, MarginPhi::Focal(_) | MarginPhi::HingeTail(HingeTail::SquareRoot));
        assert_eq!(slopes.is_sorted(), convex, "{phi:?}");
    }
}

#[test]
fn the_exponential_loss_can_be_clipped_however_wrong_the_scores_are() {
    let device = Device::flex().autodiff();
    let scores = Tensor::<1>::full([64], -100.0, &device);
    let weights = Tensor::<1>::full([100], 1.0, &device).require_grad();
    let scores = scores * weights.clone().mean();
    let loss = margin_loss(MarginPhi::Exponential).forward_scores(scores, Tensor::ones([64], &device)).unwrap();
    let slopes = weights.grad(&loss.backward()).unwrap();
    let squares: f32 = slopes.clone().square().sum().into_scalar();
    assert!(squares.is_finite() && squares > 0.0, "{squares}");
    let clipped = values(&(slopes * (10.0 / squares.sqrt())));
    assert_near(clipped.iter().map(|slope| slope * slope).sum::<f64>().sqrt(), 10.0, 1e-3);
}

#[test]
fn margin_losses_pass_the_suite() {
    for phi in PHIS {
        let loss = margin_loss(phi);
        for classes in [2, 4] {
            // Margins of +-1, where hinges have their kink, come up nowhere in the suite.
            loss_suite::check(|logits, targets| loss.forward_no_reduction(logits, targets), classes);
        }
    }
}

#[test]
fn scores_and_two_logits_give_the_same() {
    let device = Device::flex();
    let targets = Tensor::<1, Int>::from_ints([1, 0, 1], &device);
    let logits = Tensor::<2>::from_data([[0.2, 0.7], [-1.0, 2.0], [0.5, -0.5]], &device);
    for phi in PHIS {
        let two = values(&margin_loss(phi).forward(logits.clone(), targets.clone()));
        let scores = Tensor::<1>::from_data([0.5, 3.0, -1.0], &device);
        assert_close(&values(&margin_loss(phi).forward_scores(scores, targets.clone()).unwrap()), &two, 1e-5);
    }
}

#[test]
fn bad_batches_and_settings_are_refused() {
    let device = Device::flex();
    let loss = margin_loss(MarginPhi::Hinge);
    let scores = |values: &[f32]| Tensor::<1>::from_data(values, &device);
    let targets = |values: &[i64]| Tensor::<1, Int>::from_data(values, &device);
    let error = loss.forward_scores(scores(&[0.0, 1.0, 2.0]), targets(&[2, 0, -1])).unwrap_err();
    assert_eq!(error.to_string(), "margin loss: the targets must be 0 or 1, found -1, 0, 2");
    let error = loss.forward_scores(scores(&[0.0, f32::NAN]), targets(&[1, 0])).unwrap_err();
    assert!(matches!(error, LossError::Score { row: 1, .. }), "{error}");
    let error = loss.forward_scores(scores(&[0.0]), targets(&[1, 0])).unwrap_err();
    assert!(matches!(error, LossError::Length { expected: 1, actual: 2, .. }), "{error}");
    let error = loss.forward_scores(scores(&[]), targets(&[])).unwrap_err();
    assert!(matches!(error, LossError::Empty { .. }), "{error}");
    assert!(MarginLossConfig::new().with_phi(MarginPhi::Focal(-1.0)).init().is_err());
    for margin in [-0.1, f64::INFINITY] {
        assert!(CrammerSingerLossConfig::new().with_margin(margin).init().is_err());
        assert!(WestonWatkinsLossConfig::new().with_margin(margin).init().is_err());
    }
}
