//! One step of diffGrad, of our Adam and of Burn's, over 10 million parameters: what `peers/optim/diffgrad.py` does.

use burn::module::{Module, Param};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use kiln::optim::{DiffGradConfig, EpsPlacement};
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome, clock, wave};

const PARAMETERS: usize = 10_000_000;

/// Nothing but parameters.
#[derive(Module, Debug)]
struct Parameters {
    tensors: Vec<Param<Tensor<1>>>,
}

/// The cases.
pub fn bench() -> Bench {
    let mut bench = Bench::new("optim/diffgrad", values);
    for tensors in [1, 200] {
        bench = bench
            .case(format!("diffgrad-{tensors}"), 1, move || Ok(step(DiffGradConfig::new().init()?, tensors, ours)))
            .case(format!("adam-{tensors}"), 1, move || Ok(step(kiln::optim::AdamConfig::new().init()?, tensors, ours)))
            .case(format!("sgd-{tensors}"), 1, move || Ok(step(kiln::optim::SgdConfig::new().init()?, tensors, ours)))
            .case(format!("burn-adam-{tensors}"), 1, move || {
                Ok(step(AdamConfig::new().with_epsilon(1e-8).init(), tensors, burns))
            });
    }
    bench
}

/// One step of the optimizer. The gradients are new tensors every time, as a backward pass makes them, and making them is
/// not timed.
fn step(
    mut optimizer: ModuleOptimizer,
    tensors: usize,
    step: fn(&mut ModuleOptimizer, Parameters, GradientsParams) -> Parameters,
) -> impl FnMut() -> Outcome<std::time::Duration> {
    let device = Device::flex();
    let normal =
        |deviation: f64| Tensor::<1>::random([PARAMETERS / tensors], Distribution::Normal(0.0, deviation), &device);
    let gradients: Vec<Tensor<1>> = (0..tensors).map(|_| normal(0.01)).collect();
    let initial = (0..tensors).map(|_| Param::from_tensor(normal(1.0).autodiff())).collect();
    let mut module = Some(Parameters { tensors: initial });
    move || {
        let before = module.take().ok_or("the module was lost")?;
        let mut fresh = GradientsParams::new();
        for (parameter, gradient) in before.tensors.iter().zip(&gradients) {
            fresh.register(parameter.id, gradient.clone() * 1.0001);
        }
        Ok(clock(|| module = Some(step(&mut optimizer, before, fresh))))
    }
}

fn ours(optimizer: &mut ModuleOptimizer, module: Parameters, gradients: GradientsParams) -> Parameters {
    kiln::optim::step(optimizer, 1e-3, module, gradients)
}

fn burns(optimizer: &mut ModuleOptimizer, module: Parameters, gradients: GradientsParams) -> Parameters {
    optimizer.step(1e-3, module, gradients)
}

fn values() -> Outcome<Value> {
    let default = DiffGradConfig::new();
    let paper = default.clone().with_eps_placement(EpsPlacement::Paper);
    let decayed = default.clone().with_weight_decay(Some(WeightDecayConfig::new(0.1)));
    let waves = |config: &DiffGradConfig, learning_rate: f64| {
        trajectory(config, learning_rate, wave(12, 1.0, 0.37, 0.0), |step| wave(12, 1.0, 0.9, step as f64))
    };
    Ok(json!({
        "authors": waves(&default, 1e-3)?,
        "paper": waves(&paper, 1e-3)?,
        "authors lr=0.1 eps=0.001": waves(&default.clone().with_epsilon(1e-3), 0.1)?,
        "paper lr=0.1 eps=0.001": waves(&paper.with_epsilon(1e-3), 0.1)?,
        "weight-decay=0.1": waves(&decayed, 0.01)?,
        "worked": trajectory(&default, 0.1, vec![1.0], |_| vec![1.0])?,
    }))
}

/// Parameters in f64 after each of five steps.
fn trajectory(
    config: &DiffGradConfig,
    learning_rate: f64,
    start: Vec<f64>,
    gradient: impl Fn(usize) -> Vec<f64>,
) -> Outcome<Vec<Vec<f64>>> {
    let device = Device::flex();
    let double = |values: Vec<f64>| {
        let shape = [values.len()];
        Tensor::<1>::from_data(TensorData::new(values, shape), (&device, DType::F64))
    };
    let mut optimizer = config.init()?;
    let mut module = Parameters { tensors: vec![Param::from_tensor(double(start).autodiff())] };
    let mut path = Vec::new();
    for step in 0..5 {
        let mut gradients = GradientsParams::new();
        gradients.register(module.tensors[0].id, double(gradient(step)));
        module = optimizer.step(learning_rate, module, gradients);
        let values = module.tensors[0].val().inner().try_into_vec_as::<f64>();
        path.push(values.map_err(|error| error.to_string())?);
    }
    Ok(path)
}
