//! Trains a LeNet-like convnet on MNIST with the library alone: what `peers/train/mnist_convnet.py` does.

use burn::tensor::Device;
use kiln::nn::{LeNetConfig, NetworkConfig};
use kiln::optim::AdamConfig;
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome};
use crate::training::{WaveWeights, loss_curve, training};

/// The cases.
pub fn bench() -> Bench {
    let bench = Bench::new("train/mnist_convnet", values);
    bench.case("adam", 1, || training("mnist", NetworkConfig::lenet(), 3))
}

fn values() -> Outcome<Value> {
    let mut network = LeNetConfig::new([1, 28, 28], 10).init(&Device::flex().autodiff())?;
    let mut weights = WaveWeights::for_module(&network);
    for conv in [&mut network.conv1, &mut network.conv2] {
        conv.weight = weights.parameter(conv.weight.dims());
        conv.bias = Some(weights.parameter([conv.weight.dims()[0]]));
    }
    for layer in [&mut network.fc1, &mut network.fc2, &mut network.fc3] {
        weights.linear(layer);
    }
    let adam = AdamConfig::new().init()?;
    let losses = loss_curve(network, |network, images| network.forward(images), [16, 1, 28, 28], 5, adam, 1e-3)?;
    Ok(json!({ "adam": { "losses": losses } }))
}
