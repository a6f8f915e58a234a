//! Learning from the means of bags: what `peers/loss/aggregate_responses.py` does.

use std::time::Duration;

use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use kiln::loss::RegressionLoss;
use kiln::loss::aggregate::{BagLoss, BagLossConfig, BagLossKind, BagSystem};
use kiln::nn::{Mlp, MlpConfig};
use serde_json::{Map, Value, json};

use crate::measure::{Bench, Outcome, clock, wave};

const BAG_SIZE: usize = 8;
const ROWS: [usize; 2] = [1024, 16384];
const CLASSES: usize = 10;
const RHOS: [f64; 8] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0];
const FEATURES: [usize; 2] = [50, 150];
const PATH_ROWS: usize = 4096;

/// The cases.
pub fn bench() -> Bench {
    let mut bench = Bench::new("loss/aggregate_responses", values);
    for rows in ROWS {
        for name in ["mse", "bags", "uniform", "proportions"] {
            bench = bench.case(format!("{name}-{rows}"), 1, move || loss_case(name, rows));
        }
    }
    for name in ["mse", "bags"] {
        bench = bench.case(format!("step-{name}"), 1, move || training_step(name));
    }
    for features in FEATURES {
        bench = bench.case(format!("path-{features}"), 1, move || path(features));
    }
    bench
}

/// A loss with what it is compared with.
struct Batch {
    bags: BagLoss,
    bag_of_row: Tensor<1, Int>,
    responses: Tensor<2>,
    targets: Tensor<2>,
}

impl Batch {
    fn new(rows: usize, width: usize, device: &Device) -> Outcome<Self> {
        let kind = if width == 1 { BagLossKind::Squared } else { BagLossKind::CrossEntropy };
        let bag_of_row = bag_of_row(rows, device);
        let responses = Tensor::<2>::random([rows / BAG_SIZE, width], Distribution::Uniform(0.0, 1.0), device);
        let responses = responses.clone() / responses.sum_dim(1);
        let targets = responses.clone().select(0, bag_of_row.clone());
        Ok(Self { bags: BagLossConfig::new().with_kind(kind).init()?, bag_of_row, responses, targets })
    }

    fn loss(&self, name: &str, predictions: Tensor<2>) -> Tensor<1> {
        let [rows, width] = predictions.dims();
        match name {
            "mse" => RegressionLoss::Mse.forward(predictions, self.targets.clone()),
            "uniform" => {
                let in_bags = predictions.reshape([rows / BAG_SIZE, BAG_SIZE, width]);
                self.bags.forward_uniform(in_bags, self.responses.clone())
            }
            _ => self.bags.forward(predictions, self.bag_of_row.clone(), self.responses.clone()),
        }
    }
}

fn bag_of_row(rows: usize, device: &Device) -> Tensor<1, Int> {
    let bags: Vec<i64> = (0..rows).map(|row| (row / BAG_SIZE) as i64).collect();
    Tensor::from_data(bags.as_slice(), device)
}

fn loss_case(name: &'static str, rows: usize) -> Outcome<impl FnMut() -> Outcome<Duration>> {
    let device = Device::flex().autodiff();
    let width = if name == "proportions" { CLASSES } else { 1 };
    let batch = Batch::new(rows, width, &device)?;
    let predictions = Tensor::<2>::random([rows, width], Distribution::Normal(0.0, 1.0), &device);
    Ok(move || {
        let predictions = predictions.clone().detach().require_grad();
        Ok(clock(|| predictions.grad(&batch.loss(name, predictions.clone()).backward())))
    })
}

/// Forward, backward and update of a 64-256-256-1 network.
fn training_step(name: &'static str) -> Outcome<impl FnMut() -> Outcome<Duration>> {
    let device = Device::flex().autodiff();
    let mut network: Option<Mlp> = Some(MlpConfig::new(64, vec![256, 256], 1).init_seeded(1, &device)?);
    let mut optimizer = SgdConfig::new().init();
    let inputs = Tensor::<2>::random([ROWS[0], 64], Distribution::Normal(0.0, 1.0), &device);
    let batch = Batch::new(ROWS[0], 1, &device)?;
    Ok(move || {
        let before = network.take().ok_or("the network was lost")?;
        Ok(clock(|| {
            let loss = batch.loss(name, before.forward(inputs.clone()));
            let gradients = GradientsParams::from_grads(loss.backward(), &before);
            network = Some(optimizer.step(0.01, before, gradients));
        }))
    })
}

/// The linear model at all shares.
fn path(features: usize) -> Outcome<impl FnMut() -> Outcome<Duration>> {
    let options = (&Device::flex(), DType::F64);
    let x = Tensor::<2>::random([PATH_ROWS, features], Distribution::Normal(0.0, 1.0), options);
    let y = Tensor::<2>::random([PATH_ROWS / BAG_SIZE, 1], Distribution::Normal(0.0, 1.0), options);
    let bags: Vec<usize> = (0..PATH_ROWS).map(|row| row / BAG_SIZE).collect();
    Ok(move || {
        let mut failure = None;
        let taken = clock(|| {
            let system = BagSystem::new(x.clone(), &bags, y.clone());
            failure = system.and_then(|system| system.path(&RHOS, 0.0)).err();
        });
        failure.map_or(Ok(taken), |error| Err(error.into()))
    })
}

fn values() -> Outcome<Value> {
    let plain = Device::flex();
    let of = |values: Vec<f64>, shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F64))
    };
    let bag_of_row = Tensor::<1, Int>::from_ints([1, 3, 0, 1, 2, 3, 3, 2, 1, 3], &plain);
    let mut answer = Map::new();
    for (name, kind, width) in [("squared", BagLossKind::Squared, 2), ("proportions", BagLossKind::CrossEntropy, 3)] {
        let responses = of(wave(4 * width, 0.4, 0.9, 0.0), [4, width]) + 0.5;
        let responses = match kind {
            BagLossKind::CrossEntropy => responses.clone() / responses.sum_dim(1),
            _ => responses,
        };
        for rho in [0.0, 0.3, 1.0] {
            let loss = BagLossConfig::new().with_kind(kind).with_rho(rho).init()?;
            let predictions = of(wave(10 * width, 3.0, 0.37, 0.0), [10, width]).autodiff().require_grad();
            let found = loss.forward(predictions.clone(), bag_of_row.clone().autodiff(), responses.clone().autodiff());
            let gradients = predictions.grad(&found.backward()).ok_or("no gradient")?;
            let gradients = numbers(gradients)?;
            let rows: Vec<&[f64]> = gradients.chunks(width).collect();
            answer.insert(format!("{name} {rho:?}"), json!({ "loss": numbers(found)?[0], "gradients": rows }));
        }
    }
    let x = of(wave(240, 1.0, 0.71, 0.0), [60, 4]) + of(wave(240, 0.5, 2.3, 0.0), [60, 4]);
    let bags: Vec<usize> = (0..60).map(|row| row / 4).collect();
    let system = BagSystem::new(x, &bags, of(wave(15, 2.0, 1.1, 0.0), [15, 1]))?;
    for rho in [0.0, 0.3, 1.0] {
        answer.insert(format!("linear {rho:?}"), json!(numbers(system.solve(rho, 0.0)?)?));
    }
    Ok(Value::Object(answer))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Outcome<Vec<f64>> {
    tensor.try_into_vec_as::<f64>().map_err(|error| error.to_string().into())
}
