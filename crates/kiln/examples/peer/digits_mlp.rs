//! Trains the network 64-256-256-10 on digits with the library alone: what `peers/train/digits_mlp.py` does.

use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::Device;
use kiln::nn::{MlpConfig, NetworkConfig};
use kiln::optim::AdamConfig;
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome};
use crate::training::{WaveWeights, loss_curve, training};

/// The cases.
pub fn bench() -> Bench {
    let bench = Bench::new("train/digits_mlp", values);
    bench.case("adam", 1, || training("digits", NetworkConfig::mlp([256, 256]), 20))
}

fn values() -> Outcome<Value> {
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0).with_nesterov(true);
    Ok(json!({
        "adam": { "losses": curve(AdamConfig::new().init()?, 1e-3)? },
        "sgd": { "losses": curve(SgdConfig::new().init(), 0.1)? },
        "nesterov": { "losses": curve(SgdConfig::new().with_momentum(Some(momentum)).init(), 0.05)? },
    }))
}

fn curve(optimizer: ModuleOptimizer, learning_rate: f64) -> Outcome<Vec<f64>> {
    let mut network = MlpConfig::new(64, vec![256, 256], 10).init(&Device::flex().autodiff())?;
    let mut weights = WaveWeights::for_module(&network);
    network.layers.iter_mut().for_each(|layer| weights.linear(layer));
    weights.linear(&mut network.head);
    loss_curve(network, |network, inputs| network.forward(inputs), [64, 64], 10, optimizer, learning_rate)
}
