//! Label-distributionally robust losses and some of their baselines, forward and backward: what `peers/loss/ldr.py` does.

use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use kiln::loss::comp_sum::CompSumLoss;
use kiln::loss::ldr::{AldrKlConfig, AldrMode, LdrKlConfig, LdrTopKConfig};
use kiln::loss::margin::{
    CrammerSingerLossConfig, LogisticMarginLossConfig, SmoothHingeLossConfig, SquaredHingeLossConfig,
    WestonWatkinsLossConfig,
};
use kiln::loss::robust::{
    ActivePassiveLossConfig, AsymmetricCrossEntropyLossConfig, AsymmetricUnhingedLossConfig, BrierLossConfig,
    CappedGceLossConfig, FocalLossConfig, JensenShannonLossConfig, NormalizedCrossEntropyLossConfig,
    ReverseCrossEntropyLossConfig, RobustLogLossConfig, SymmetricCrossEntropyLossConfig,
};
use kiln::loss::{ClassificationLoss, CrossEntropyLossConfig, TrainingMoment};
use serde_json::{Map, Value, json};

use crate::measure::{Bench, Outcome, clock, wave};

const SIZES: [(usize, usize); 3] = [(128, 1000), (256, 1000), (1024, 10)];
const NAMES: [&str; 8] =
    ["cross-entropy", "ldr-kl", "ldr-k", "aldr", "aldr-exact", "focal", "weston-watkins", "robust-log"];
/// Further baselines, as the reference values name them; the first word names the case.
const BASELINES: [&str; 16] = [
    "sce 0.5",
    "gce 0.7",
    "rce",
    "aul",
    "agce",
    "js 0.5",
    "nce",
    "mse",
    "mae",
    "capped-gce",
    "active-passive",
    "crammer-singer",
    "squared-hinge",
    "smooth-hinge",
    "logistic-margin",
    "smoothed",
];

/// The cases.
pub fn bench() -> Bench {
    let mut bench = Bench::new("loss/ldr", values);
    for (batch_size, num_classes) in SIZES {
        for label in NAMES.into_iter().chain(BASELINES) {
            let name = label.split(' ').next().unwrap_or(label);
            bench = bench.case(format!("{name}-{batch_size}x{num_classes}"), 1, move || {
                let (logits, targets) = batch(batch_size, num_classes);
                let loss = loss(label)?;
                let rows: Vec<usize> = (0..batch_size).collect();
                Ok(move || {
                    let logits = logits.clone().detach().require_grad();
                    Ok(clock(|| {
                        let moment = TrainingMoment { step: 0, epoch: 1, rows: &rows };
                        let value = loss.forward_in_training(logits.clone(), targets.clone(), &moment);
                        logits.grad(&value.backward())
                    }))
                })
            });
        }
    }
    bench
}

/// A loss by the name of its case, or by name and setting as in the reference values.
fn loss(name: &str) -> Outcome<Box<dyn ClassificationLoss>> {
    let (kind, setting) = name.split_once(' ').unwrap_or((name, ""));
    Ok(match kind {
        "cross-entropy" => Box::new(CrossEntropyLossConfig::new().init()?),
        "ldr-kl" => Box::new(LdrKlConfig::new().with_lambda(setting.parse().unwrap_or(1.0)).init()?),
        "ldr-k" => Box::new(LdrTopKConfig::new(setting.parse().unwrap_or(5)).init()?),
        "aldr" => Box::new(AldrKlConfig::new().init()?),
        "aldr-exact" => Box::new(AldrKlConfig::new().with_mode(AldrMode::Exact).init()?),
        "aldr-joint" => Box::new(AldrKlConfig::new().with_mode(AldrMode::Joint).init()?),
        "aldr-l1" => Box::new(AldrKlConfig::paper().init()?),
        "ldr-k-kl" => Box::new(LdrTopKConfig::new(setting.parse()?).with_lambda(0.5).init()?),
        "ldr-kl-softplus" => Box::new(LdrKlConfig::paper().init()?),
        "sce" => Box::new(SymmetricCrossEntropyLossConfig::new().with_balance(setting.parse()?).init()?),
        "gce" => Box::new(CompSumLoss::generalized_cross_entropy(setting.parse()?)?),
        "rce" => Box::new(ReverseCrossEntropyLossConfig::new().init()?),
        "aul" => Box::new(AsymmetricUnhingedLossConfig::new().init()?),
        "agce" => Box::new(AsymmetricCrossEntropyLossConfig::new().init()?),
        "js" => Box::new(JensenShannonLossConfig::new().with_weight(setting.parse()?).init()?),
        "nce" => Box::new(NormalizedCrossEntropyLossConfig::new().init()?),
        "mse" => Box::new(BrierLossConfig::new().init()?),
        "mae" => Box::new(CompSumLoss::mae()),
        "capped-gce" => Box::new(CappedGceLossConfig::new().init()?),
        "active-passive" => Box::new(ActivePassiveLossConfig::new().with_active(5.0).with_passive(5.0).init()?),
        "crammer-singer" => Box::new(CrammerSingerLossConfig::new().init()?),
        "squared-hinge" => Box::new(SquaredHingeLossConfig::new().init()?),
        "smooth-hinge" => Box::new(SmoothHingeLossConfig::new().init()?),
        "logistic-margin" => Box::new(LogisticMarginLossConfig::new().init()?),
        "smoothed" => Box::new(CrossEntropyLossConfig::new().with_label_smoothing(0.1).init()?),
        "focal" => Box::new(FocalLossConfig::new().init()?),
        "weston-watkins" => Box::new(WestonWatkinsLossConfig::new().init()?),
        "robust-log" => Box::new(RobustLogLossConfig::new().init()?),
        _ => return Err(format!("no loss '{kind}'").into()),
    })
}

fn batch(batch_size: usize, num_classes: usize) -> (Tensor<2>, Tensor<1, Int>) {
    let device = Device::flex().autodiff();
    let logits = Tensor::random([batch_size, num_classes], Distribution::Normal(0.0, 1.0), &device);
    let targets: Vec<i64> = (0..batch_size).map(|row| (row * 7 % num_classes) as i64).collect();
    (logits, Tensor::from_data(TensorData::new(targets, [batch_size]), &device))
}

fn values() -> Outcome<Value> {
    let losses = [
        "ldr-kl 0.1",
        "ldr-kl 1.0",
        "ldr-kl 10.0",
        "ldr-k 1",
        "ldr-k 2",
        "ldr-k 4",
        "focal 2",
        "weston-watkins 1",
        "robust-log 1",
        "ldr-k-kl 2",
        "ldr-kl-softplus 1.0",
        "aldr 1.0",
        "aldr-joint 1.0",
        "aldr-exact 1.0",
        "aldr-l1 1.0",
    ];
    let inputs = [
        ("worked", vec![2.0, 1.0, 0.5, -1.0], [1, 4], vec![1_i64]),
        ("waves", wave(80, 3.0, 0.37, 0.0), [8, 10], (0..8).map(|row| row * 3 % 10).collect()),
    ];
    let mut answer = Map::new();
    for (name, logits, shape, targets) in &inputs {
        for label in losses.into_iter().chain(BASELINES) {
            let device = Device::flex().autodiff();
            let logits = TensorData::new(logits.clone(), *shape);
            let logits = Tensor::<2>::from_data(logits, (&device, DType::F64)).require_grad();
            let targets = Tensor::<1, Int>::from_data(targets.as_slice(), &device);
            let rows: Vec<usize> = (0..shape[0]).collect();
            let moment = TrainingMoment { step: 0, epoch: 1, rows: &rows };
            let losses = loss(label)?.losses_in_training(logits.clone(), targets, &moment);
            let gradients = logits.grad(&losses.clone().sum().backward()).ok_or("no gradient")?;
            let gradients = numbers(gradients)?;
            let rows: Vec<&[f64]> = gradients.chunks(shape[1]).collect();
            answer.insert(format!("{name}/{label}"), json!({ "losses": numbers(losses)?, "gradients": rows }));
        }
    }
    Ok(Value::Object(answer))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Outcome<Vec<f64>> {
    tensor.try_into_vec_as::<f64>().map_err(|error| error.to_string().into())
}
