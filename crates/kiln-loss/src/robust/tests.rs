use burn::tensor::{DType, Device, Int, Tensor};
use kiln_check::random::cases;
use kiln_check::{assert_close, assert_near, gradient, loss_suite, values};
use proptest::prelude::*;

use super::*;
use crate::comp_sum::CompSumLoss;
use crate::{ClassificationLoss, CrossEntropyLoss, LossError, TrainingMoment};

fn value(loss: &dyn ClassificationLoss, scores: [f64; 3], class: i64) -> f64 {
    let logits = Tensor::<2>::from_data([scores], (&Device::flex(), DType::F64));
    values(&loss.forward_no_reduction(logits, Tensor::from_ints([class], &Device::flex())))[0]
}

fn slopes(loss: &dyn ClassificationLoss, scores: [f64; 3], class: i64) -> Vec<f64> {
    let target = Tensor::<1, Int>::from_ints([class], &Device::flex());
    gradient(|x| loss.forward_no_reduction(x, target.clone()), &scores, [1, 3])
}

fn boxed<L: ClassificationLoss + 'static>(loss: Result<L, LossError>) -> Box<dyn ClassificationLoss> {
    Box::new(loss.unwrap())
}

/// Every loss of the module, with the value at the scores `[2, 1, 0.5]` and the target 1.
fn all() -> Vec<(Box<dyn ClassificationLoss>, f64)> {
    let mixed = |loss| boxed(ActivePassiveLossConfig::new().with_loss(loss).init());
    vec![
        (boxed(FocalLossConfig::new().init()), FOCAL),
        (boxed(FocalLossConfig::new().with_gamma(0.5).init()), FOCAL_HALF),
        (boxed(SymmetricCrossEntropyLossConfig::new().init()), SYMMETRIC),
        (boxed(ReverseCrossEntropyLossConfig::new().init()), REVERSE),
        (boxed(AsymmetricUnhingedLossConfig::new().init()), UNHINGED),
        (boxed(AsymmetricCrossEntropyLossConfig::new().init()), ASYMMETRIC),
        (boxed(JensenShannonLossConfig::new().with_weight(0.3).init()), JENSEN_SHANNON),
        (boxed(NormalizedCrossEntropyLossConfig::new().init()), NORMALIZED),
        (boxed(BrierLossConfig::new().init()), BRIER),
        (boxed(RobustLogLossConfig::new().init()), ROBUST_LOG),
        (boxed(CappedGceLossConfig::new().with_kappa(0.1).init()), GCE),
        (boxed(TruncatedGceLossConfig::new().init()), GCE),
        (mixed(PassiveLoss::ReverseCrossEntropy), 5.0 * NORMALIZED + 5.0 * REVERSE),
        (mixed(PassiveLoss::Mae), 5.0 * NORMALIZED + 5.0 * 0.768_776_102_377_851),
        (mixed(PassiveLoss::AsymmetricUnhinged), 5.0 * NORMALIZED + 5.0 * UNHINGED),
        (mixed(PassiveLoss::AsymmetricCrossEntropy), 5.0 * NORMALIZED + 5.0 * ASYMMETRIC),
    ]
}

const FOCAL: f64 = 0.865_466_399_905;
const FOCAL_HALF: f64 = 1.283_956_764_853;
const SYMMETRIC: f64 = 2.269_736_596_810;
const REVERSE: f64 = 7.080_689_572_741;
const UNHINGED: f64 = 1.783_510_741_585;
const ASYMMETRIC: f64 = 1.461_119_615_561;
const JENSEN_SHANNON: f64 = 1.248_471_118_878;
const NORMALIZED: f64 = 0.376_144_048_373;
const BRIER: f64 = 1.005_737_304_652;
const ROBUST_LOG: f64 = 0.794_599_184_050;
const GCE: f64 = 0.916_034_853_712;
const CAP: f64 = 0.549_182_561_896;

#[test]
fn losses_have_the_worked_values() {
    for (loss, expected) in all() {
        let found = value(&loss, [2.0, 1.0, 0.5], 1);
        assert!((found - expected).abs() < 1e-9, "{loss:?}: {found} instead of {expected}");
    }
}

#[test]
fn losses_pass_the_suite() {
    for (loss, _) in all() {
        loss_suite::check(|logits, targets| loss.forward_no_reduction(logits, targets), 5);
    }
    let capped = CappedGceLossConfig::new().init().unwrap();
    loss_suite::check(|logits, targets| capped.forward_no_reduction(logits, targets), 5);
}

#[test]
fn losses_have_their_limits() {
    let scores = [0.3, -1.2, 2.2];
    for class in 0..3 {
        let cross_entropy = value(&CrossEntropyLoss::default(), scores, class);
        let mae = value(&CompSumLoss::mae(), scores, class);
        let focal = FocalLossConfig::new().with_gamma(0.0).init().unwrap();
        assert_near(value(&focal, scores, class), cross_entropy, 1e-12);
        let symmetric = |balance| SymmetricCrossEntropyLossConfig::new().with_balance(balance).init().unwrap();
        assert_near(value(&symmetric(0.0), scores, class), cross_entropy, 1e-12);
        assert_near(value(&symmetric(1.0), scores, class), 4.0 * mae, 1e-12);
        let divergence = |weight| JensenShannonLossConfig::new().with_weight(weight).init().unwrap();
        assert_near(value(&divergence(1e-7), scores, class), cross_entropy, 1e-5);
        // At w = 1 - r the loss is 1 - p + (-(1 - r) log1p(-r (1 - p)) + r p (log p - log1p(-r (1 - p)))) / (-r log r).
        let (r, p) = (1e-12_f64, 1.0 - mae);
        let log_mixture = (-r * mae).ln_1p();
        let expected = mae + (-(1.0 - r) * log_mixture + r * p * (p.ln() - log_mixture)) / (-r * r.ln());
        assert_near(value(&divergence(1.0 - r), scores, class), expected, 1e-4);
        let unhinged = AsymmetricUnhingedLossConfig::new().with_q(1.0).init().unwrap();
        assert_near(value(&unhinged, scores, class), mae, 1e-12);
        let uncapped = CappedGceLossConfig::new().with_kappa(0.0).init().unwrap();
        let gce = CompSumLoss::generalized_cross_entropy(0.7).unwrap();
        assert_near(value(&uncapped, scores, class), value(&gce, scores, class), 1e-12);
        assert_close(&slopes(&uncapped, scores, class), &slopes(&gce, scores, class), 1e-12);
    }
}

#[test]
fn a_capped_example_has_no_gradient() {
    let capped = CappedGceLossConfig::new().init().unwrap();
    assert_near(value(&capped, [2.0, 1.0, 0.5], 1), CAP, 1e-9);
    assert_close(&slopes(&capped, [2.0, 1.0, 0.5], 1), &[0.0; 3], 0.0);
    let gce = CompSumLoss::generalized_cross_entropy(0.7).unwrap();
    assert_close(&slopes(&capped, [2.0, 1.0, 0.5], 0), &slopes(&gce, [2.0, 1.0, 0.5], 0), 1e-12);
}

#[test]
fn truncation_follows_the_rows() {
    let loss = TruncatedGceLossConfig::new().with_start(1).with_every(2).init().unwrap();
    let scores = [[3.0, 0.0], [3.0, 0.0], [3.0, 0.0]];
    let step = |rows: &[usize], targets: &[i64], epoch| {
        let logits = Tensor::<2>::from_data(scores, &Device::flex()).slice([0..rows.len(), 0..2]);
        let moment = TrainingMoment { step: 0, epoch, rows };
        values(&loss.losses_in_training(logits, Tensor::from_data(targets, &Device::flex()), &moment))
    };
    let whole = step(&[0, 1, 2], &[0, 1, 0], 1);
    assert!(whole[1] > 1.0 && whole[0] < 0.1 && loss.kept() == 1.0, "{whole:?}");
    // Row 1 was believed to be wrong at the end of epoch 1; the order of the batch does not matter.
    let second = step(&[1, 2], &[1, 0], 2);
    assert_eq!((second[0], second[1]), (0.0, whole[2]));
    assert!((loss.kept() - 2.0 / 3.0).abs() < 1e-12);
    // What is remembered can be carried to another loss of the same settings.
    let again = TruncatedGceLossConfig::new().with_start(1).with_every(2).init().unwrap();
    again.remember(loss.memory().unwrap()).unwrap();
    assert_eq!((again.kept(), again.memory()), (loss.kept(), loss.memory()));
    for wrong in [vec![], vec![1.0, 0.5], vec![0.5], vec![1.0, 2.0, 1.0], vec![1.0, 0.5, 0.3], vec![f32::NAN]] {
        assert!(matches!(again.remember(wrong.clone()), Err(LossError::Memory { .. })), "{wrong:?}");
    }
    // Nothing is decided in epoch 3; in epoch 4 row 1 comes back, because its label was right in epoch 3.
    assert_eq!(step(&[1], &[0], 3), [0.0]);
    assert!(step(&[1], &[0], 4)[0] > 0.0);
}

#[test]
fn settings_out_of_range_are_refused_with_their_value() {
    let errors = [
        FocalLossConfig::new().with_gamma(-0.1).init().err(),
        FocalLossConfig::new().with_gamma(f64::NAN).init().err(),
        SymmetricCrossEntropyLossConfig::new().with_balance(1.1).init().err(),
        SymmetricCrossEntropyLossConfig::new().with_log_zero(0.0).init().err(),
        ReverseCrossEntropyLossConfig::new().with_log_zero(-4.0).init().err(),
        AsymmetricUnhingedLossConfig::new().with_a(1.0).init().err(),
        AsymmetricUnhingedLossConfig::new().with_q(0.0).init().err(),
        AsymmetricCrossEntropyLossConfig::new().with_a(0.0).init().err(),
        JensenShannonLossConfig::new().with_weight(0.0).init().err(),
        JensenShannonLossConfig::new().with_weight(1.0).init().err(),
        RobustLogLossConfig::new().with_offset(0.0).init().err(),
        CappedGceLossConfig::new().with_q(1.5).init().err(),
        CappedGceLossConfig::new().with_kappa(1.0).init().err(),
        TruncatedGceLossConfig::new().with_every(0).init().err(),
        ActivePassiveLossConfig::new().with_active(-1.0).init().err(),
    ];
    for error in errors {
        assert!(matches!(error, Some(LossError::Setting { .. })), "{error:?}");
    }
    let error = FocalLossConfig::new().with_gamma(-0.1).init().unwrap_err().to_string();
    assert_eq!(error, "focal: gamma = -0.1 is out of range, it must be a finite number of at least 0");
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn symmetric_losses_add_up_to_a_constant(scores in proptest::array::uniform3(-20.0..20.0_f64)) {
        let sum = |loss: &dyn ClassificationLoss| (0..3).map(|class| value(loss, scores, class)).sum::<f64>();
        prop_assert!((sum(&NormalizedCrossEntropyLoss) - 1.0).abs() < 1e-9);
        let reverse = ReverseCrossEntropyLossConfig::new().init().unwrap();
        prop_assert!((sum(&reverse) - 2.0 * 1e4_f64.ln()).abs() < 1e-9);
        let robust = RobustLogLossConfig::new().with_offset(0.5).init().unwrap();
        prop_assert!((sum(&robust) - 3.0 * 3.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn losses_are_not_negative_and_their_gradients_add_up_to_zero(
        scores in proptest::array::uniform3(-20.0..20.0_f64),
        class in 0..3_i64,
    ) {
        for (loss, _) in all() {
            prop_assert!(value(&loss, scores, class) >= -1e-9, "{:?}", loss);
            prop_assert!(slopes(&loss, scores, class).iter().sum::<f64>().abs() < 1e-9, "{:?}", loss);
        }
    }
}
