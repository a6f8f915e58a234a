//! EnsLoss forward and backward, and training steps of a small network: what `peers/loss/ens_loss.py` does.

use std::time::Duration;

use burn::module::Module;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use kiln::loss::ens_loss::{EnsLoss, EnsLossConfig};
use kiln::loss::margin::{MarginLoss, MarginLossConfig};
use kiln::nn::{Mlp, MlpConfig, MlpNorm};
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome, clock};

const BATCH_SIZE: usize = 128;

/// One of the two losses of margins.
enum Loss {
    Logistic(MarginLoss),
    Ensemble(EnsLoss),
}

impl Loss {
    fn of(name: &str) -> Outcome<Self> {
        Ok(match name {
            "ens" => Self::Ensemble(EnsLossConfig::new().init()?),
            _ => Self::Logistic(MarginLossConfig::new().init()?),
        })
    }

    fn mean(&mut self, scores: Tensor<1>, signs: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Logistic(loss) => loss.forward_margins(scores * signs).mean(),
            Self::Ensemble(loss) => loss.forward_margins(scores * signs),
        }
    }
}

/// The cases.
pub fn bench() -> Bench {
    let mut bench = Bench::new("loss/ens_loss", values);
    for name in ["bce", "ens"] {
        for batch_size in [128, 1024] {
            bench = bench.case(format!("{name}-{batch_size}"), 1, move || {
                let device = Device::flex().autodiff();
                let scores = Tensor::<1>::random([batch_size], Distribution::Normal(0.0, 1.0), &device);
                let signs = signs(batch_size, &device);
                let mut loss = Loss::of(name)?;
                Ok(move || {
                    let scores = scores.clone().detach().require_grad();
                    Ok(clock(|| scores.grad(&loss.mean(scores.clone(), signs.clone()).backward())))
                })
            });
        }
        bench = bench.case(format!("step-{name}"), 1, move || training_step(name));
    }
    bench
}

/// Forward, backward and update of a 64-256-256-256-1 network with batch normalisation.
fn training_step(name: &'static str) -> Outcome<impl FnMut() -> Outcome<Duration>> {
    let device = Device::flex().autodiff();
    let config = MlpConfig::new(64, vec![256, 256, 256], 1).with_norm(MlpNorm::Batch);
    let mut network: Option<Mlp> = Some(config.init_seeded(1, &device)?.train());
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let inputs = Tensor::<2>::random([BATCH_SIZE, 64], Distribution::Normal(0.0, 1.0), &device);
    let signs = signs(BATCH_SIZE, &device);
    let mut loss = Loss::of(name)?;
    Ok(move || {
        let before = network.take().ok_or("the network was lost")?;
        Ok(clock(|| {
            let scores = before.forward(inputs.clone()).squeeze_dim::<1>(1);
            let gradients = GradientsParams::from_grads(loss.mean(scores, signs.clone()).backward(), &before);
            network = Some(optimizer.step(0.01, before, gradients));
        }))
    })
}

fn signs(batch_size: usize, device: &Device) -> Tensor<1> {
    let signs: Vec<f32> = (0..batch_size).map(|row| if row * 7 % 3 == 0 { 1.0 } else { -1.0 }).collect();
    Tensor::from_data(TensorData::new(signs, [batch_size]), device)
}

fn values() -> Outcome<Value> {
    let device = Device::flex();
    let margins = Tensor::<1>::from_data([-2.0_f64, 0.5, 3.0, 1.5], (&device, DType::F64));
    let loss = EnsLossConfig::new().init()?;
    let found = loss.derivatives_from_draws(margins.clone(), &[0.2, 5.0, 0.7, 1.3])?;
    let mean = numbers((found.clone() * margins).mean())?;
    Ok(json!({ "worked": { "derivatives": numbers(found)?, "loss": mean[0] } }))
}

fn numbers(tensor: Tensor<1>) -> Outcome<Vec<f64>> {
    tensor.try_into_vec_as::<f64>().map_err(|error| error.to_string().into())
}
