//! Training steps of two convolutional networks, on images without pattern: what `peers/train/convnets.py` does.

use std::time::Duration;

use burn::module::{Module, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use kiln::autodiff::{Function, Numbers, Values};
use kiln::data::split::permutation;
use kiln::loss::{ClassificationLoss, CrossEntropyLossConfig};
use kiln::nn::{ResNet, ResNetConfig};
use kiln::optim::{AdamConfig, SgdConfig, step};
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome, clock, noise};
use crate::training::{WaveWeights, loss_curve};

const IMAGES: usize = 1280;

/// The cases.
pub fn bench() -> Bench {
    Bench::new("train/convnets", values)
        .case("resnet20", 1, || {
            let network = ResNetConfig::new(20, [3, 32, 32], 10).init_seeded(1, &Device::flex().autodiff())?;
            let sgd = SgdConfig::new().init()?;
            Ok(training(network, |network, images| network.forward(images), sgd, 0.05, 128, [3, 32, 32]))
        })
        .case("convnet", 1, || {
            let network = Convnet::new(&Device::flex().autodiff());
            let adam = AdamConfig::new().init()?;
            Ok(training(network, |network, images| network.forward(images), adam, 1e-3, 64, [1, 28, 28]))
        })
}

/// Two convolutions, each followed by a ReLU and a 2x2 pooling, and two dense layers.
#[derive(Module, Debug)]
struct Convnet {
    first: Conv2d,
    second: Conv2d,
    hidden: Linear,
    last: Linear,
}

impl Convnet {
    fn new(device: &Device) -> Self {
        let convolution = |channels| {
            let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
            Conv2dConfig::new(channels, [3, 3]).with_padding(same).init(device)
        };
        Self {
            first: convolution([1, 32]),
            second: convolution([32, 64]),
            hidden: LinearConfig::new(64 * 7 * 7, 128).init(device),
            last: LinearConfig::new(128, 10).init(device),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let maps = [&self.first, &self.second].into_iter().fold(images, |maps, layer| {
            let activated = Values.activated_conv2d(layer, maps, Function::Relu);
            Values.max_pool2d(activated, MaxPoolOptions::new([2, 2]))
        });
        let hidden = Values.relu(Values.linear(&self.hidden, maps.flatten(1, 3)));
        Values.linear(&self.last, hidden)
    }
}

/// A pass over all images, shuffled, which trains the network on.
fn training<M: Module>(
    network: M,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
    mut optimizer: ModuleOptimizer,
    learning_rate: f64,
    batch_size: usize,
    shape: [usize; 3],
) -> impl FnMut() -> Outcome<Duration> {
    let device = Device::flex().autodiff();
    let size: usize = shape.iter().product();
    let pixels: Vec<f32> = noise(IMAGES * size, 1.0, 1).into_iter().map(|pixel| pixel as f32).collect();
    let mut network = Some(network);
    let mut pass = 0;
    move || {
        let loss = CrossEntropyLossConfig::new().init()?;
        let mut trained = network.take().ok_or("the network was lost")?;
        pass += 1;
        let mut trained_on = None;
        let duration = clock(|| {
            for rows in permutation(IMAGES, pass).chunks(batch_size) {
                let of_batch: Vec<f32> = rows.iter().flat_map(|row| &pixels[row * size..][..size]).copied().collect();
                let dims = [rows.len(), shape[0], shape[1], shape[2]];
                let images = Tensor::<4>::from_data(TensorData::new(of_batch, dims), &device);
                let classes: Vec<i64> = rows.iter().map(|row| (row % 10) as i64).collect();
                let targets = Tensor::<1, Int>::from_data(classes.as_slice(), &device);
                let value = loss.forward(forward(&trained, images), targets);
                let gradients = GradientsParams::from_grads(value.backward(), &trained);
                trained = step(&mut optimizer, learning_rate, trained, gradients);
            }
            trained_on = Some(trained);
        });
        network = trained_on;
        Ok(duration)
    }
}

fn values() -> Outcome<Value> {
    let device = Device::flex().autodiff();
    let mut resnet = ResNetConfig::new(8, [3, 16, 16], 10).init(&device)?;
    let mut weights = WaveWeights::for_module(&resnet);
    set_waves(&mut resnet, &mut weights);
    let mut small = Convnet::new(&device);
    let mut weights = WaveWeights::for_module(&small);
    for layer in [&mut small.first, &mut small.second] {
        layer.weight = weights.parameter(layer.weight.dims());
        layer.bias = Some(weights.parameter([layer.weight.dims()[0]]));
    }
    [&mut small.hidden, &mut small.last].into_iter().for_each(|layer| weights.linear(layer));
    let (sgd, adam) = (SgdConfig::new().init()?, AdamConfig::new().init()?);
    Ok(json!({
        "resnet8": { "losses": loss_curve(resnet, ResNet::forward, [8, 3, 16, 16], 3, sgd, 0.05)? },
        "convnet": { "losses": loss_curve(small, Convnet::forward, [8, 1, 28, 28], 3, adam, 1e-3)? },
    }))
}

/// The wave over all parameters of a residual network, in PyTorch's order.
fn set_waves(resnet: &mut ResNet, weights: &mut WaveWeights) {
    let set = |conv: &mut Conv2d, norm: &mut BatchNorm, weights: &mut WaveWeights| {
        conv.weight = weights.parameter(conv.weight.dims());
        norm.gamma = weights.parameter(norm.gamma.dims());
        norm.beta = weights.parameter(norm.beta.dims());
        for running in [&mut norm.running_mean, &mut norm.running_var] {
            *running = RunningState::new(running.value().cast(DType::F64));
        }
    };
    set(&mut resnet.conv1, &mut resnet.bn1, weights);
    for block in [&mut resnet.layer1, &mut resnet.layer2, &mut resnet.layer3].into_iter().flatten() {
        set(&mut block.conv1, &mut block.bn1, weights);
        set(&mut block.conv2, &mut block.bn2, weights);
    }
    weights.linear(&mut resnet.fc);
}
