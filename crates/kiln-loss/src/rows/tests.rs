use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use kiln_check::random::normal;
use kiln_check::values;

use super::HostRows;
use crate::comp_sum::CompSumLossConfig;
use crate::ldr::{AldrKlConfig, AldrMode, LdrKlConfig, LdrTopKConfig};
use crate::margin::{
    CrammerSingerLossConfig, LogisticMarginLossConfig, SmoothHingeLossConfig, SquaredHingeLossConfig,
    WestonWatkinsLossConfig,
};
use crate::robust::{
    ActivePassiveLossConfig, BrierLossConfig, FocalLossConfig, JensenShannonLossConfig,
    NormalizedCrossEntropyLossConfig, PassiveLoss, RobustLogLossConfig,
};
use crate::{
    ClassificationLoss, CrossEntropyLossConfig, LossError, SphericalSoftmaxLossConfig, SquaredSphericalLossConfig,
    TaylorSoftmaxLossConfig, ZLossConfig,
};

fn boxed<L: ClassificationLoss + 'static>(loss: Result<L, LossError>) -> Box<dyn ClassificationLoss> {
    Box::new(loss.unwrap())
}

/// One loss of each way of computing.
fn all() -> Vec<Box<dyn ClassificationLoss>> {
    // Those with weights are tried on as many classes.
    let weights: Vec<f64> = (0..31).map(|class| 0.1 * f64::from(class)).collect();
    let adaptive = |mode| boxed(AldrKlConfig::new().with_mode(mode).init());
    let mixed = |loss| boxed(ActivePassiveLossConfig::new().with_active(0.7).with_passive(0.4).with_loss(loss).init());
    vec![
        boxed(LdrKlConfig::new().init()),
        boxed(LdrKlConfig::new().with_lambda(100.0).init()),
        boxed(LdrTopKConfig::new(5).init()),
        boxed(LdrTopKConfig::new(3).with_lambda(0.5).init()),
        adaptive(AldrMode::Exact),
        adaptive(AldrMode::Joint),
        boxed(WestonWatkinsLossConfig::new().init()),
        boxed(SquaredHingeLossConfig::new().init()),
        boxed(SmoothHingeLossConfig::new().init()),
        boxed(LogisticMarginLossConfig::new().init()),
        boxed(RobustLogLossConfig::new().init()),
        boxed(CrossEntropyLossConfig::new().init()),
        boxed(CrossEntropyLossConfig::new().with_label_smoothing(0.3).init()),
        boxed(CrossEntropyLossConfig::new().with_class_weights(Some(weights.clone())).init()),
        boxed(CrossEntropyLossConfig::new().with_label_smoothing(0.3).with_class_weights(Some(weights)).init()),
        boxed(CrammerSingerLossConfig::new().init()),
        boxed(NormalizedCrossEntropyLossConfig::new().init()),
        mixed(PassiveLoss::ReverseCrossEntropy),
        mixed(PassiveLoss::Mae),
        mixed(PassiveLoss::AsymmetricUnhinged),
        mixed(PassiveLoss::AsymmetricCrossEntropy),
        boxed(BrierLossConfig::new().init()),
        boxed(ZLossConfig::new().init()),
        boxed(SphericalSoftmaxLossConfig::new().init()),
        boxed(TaylorSoftmaxLossConfig::new().init()),
        boxed(SquaredSphericalLossConfig::new().init()),
        boxed(FocalLossConfig::new().init()),
        boxed(JensenShannonLossConfig::new().init()),
        boxed(CompSumLossConfig::new().with_tau(1.7).init()),
    ]
}

fn losses_and_gradient(loss: &dyn ClassificationLoss, logits: &Tensor<2>, dtype: DType) -> [Vec<f64>; 2] {
    let [rows, classes] = logits.dims();
    let device = Device::flex().autodiff();
    let data = logits.to_data().convert_dtype(dtype);
    let logits = Tensor::<2>::from_data(data, (&device, dtype)).require_grad();
    let targets: Vec<i64> = (0..rows).map(|row| (row * 7 % classes) as i64).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [rows]), &device);
    let losses = loss.forward_no_reduction(logits.clone(), targets);
    // Another weight for each row, so that the gradients are scaled.
    let weights: Vec<f32> = (0..rows).map(|row| 1.0 + row as f32).collect();
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [rows]).convert_dtype(dtype), (&device, dtype));
    let gradient = logits.grad(&(losses.clone() * weights).sum().backward()).unwrap();
    [values(&losses), values(&gradient)]
}

#[test]
fn rows_agree_with_tensors_of_double_precision() {
    // Few rows of few classes, more of them than stand side by side, and rows that are worked on one by one.
    for [rows, classes] in [[3, 2], [2, 31], [37, 10], [3, 100], [33, 300]] {
        let logits = normal([rows, classes], DType::F32) * 2.0;
        for loss in all().into_iter().filter(|loss| loss.check_classes(classes).is_ok()) {
            let [losses, gradient] = losses_and_gradient(&loss, &logits, DType::F32);
            let [exact, exact_gradient] = losses_and_gradient(&loss, &logits, DType::F64);
            for (row, (found, exact)) in losses.iter().zip(&exact).enumerate() {
                let off = (found - exact).abs();
                assert!(off < 1e-5 * (1.0 + exact.abs()), "{loss:?}, row {row}: {found} instead of {exact}");
            }
            for (at, (found, exact)) in gradient.iter().zip(&exact_gradient).enumerate() {
                let weight = 1.0 + (at / classes) as f64;
                let off = (found - exact).abs();
                assert!(off < 2e-5 * weight, "{loss:?}, {at} of {rows} x {classes}: {found} instead of {exact}");
            }
        }
    }
}

#[test]
fn infinite_logits_cost_what_they_cost_in_tensors() {
    let inf = f32::INFINITY;
    // The target of the rows are classes 0, 1, 2, 0, 1, 2.
    let logits =
        [[inf, inf, 0.0], [0.0, -inf, 1.0], [inf, 0.0, 1.0], [inf, 0.0, 1.0], [-inf, 1.0, -inf], [-inf, -inf, -inf]];
    let logits = Tensor::<2>::from_data(logits, &Device::flex());
    let loss = CrammerSingerLossConfig::new().init().unwrap();
    let [losses, _] = losses_and_gradient(&loss, &logits, DType::F32);
    let [exact, _] = losses_and_gradient(&loss, &logits, DType::F64);
    for (row, (found, exact)) in losses.iter().zip(&exact).enumerate() {
        assert!(found == exact || found.is_nan() && exact.is_nan(), "row {row}: {found} instead of {exact}");
    }
    assert!(losses[0].is_nan() && losses[2] == f64::INFINITY && losses[4] == 0.0, "{losses:?}");
}

#[test]
fn rows_are_for_single_precision_on_the_processor() {
    let device = Device::flex();
    let targets = Tensor::<1, Int>::zeros([2], &device);
    assert!(HostRows::of(&Tensor::zeros([2, 3], &device), &targets).is_some());
    assert!(HostRows::of(&Tensor::zeros([2, 3], &device.clone().autodiff()), &targets).is_some());
    assert!(HostRows::of(&Tensor::zeros([2, 3], (&device, DType::F64)), &targets).is_none());
    assert!(HostRows::of(&Tensor::zeros([0, 3], &device), &Tensor::zeros([0], &device)).is_none());
}

#[test]
fn a_view_of_a_tensor_is_not_changed() {
    let device = Device::flex();
    let logits = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]], &device).transpose();
    let mut rows = HostRows::of(&logits, &Tensor::from_data([0_i64, 1], &device)).unwrap();
    let found = rows.map(
        || (),
        |(), place, row, target| {
            let answer = (place, row.to_vec(), target);
            row.fill(9.0);
            answer
        },
    );
    assert_eq!(found, [(0, vec![1.0, 3.0, 0.0], 0), (1, vec![2.0, 4.0, 1.0], 1)]);
    assert_eq!(values(&logits), [1.0, 3.0, 0.0, 2.0, 4.0, 1.0]);
}
