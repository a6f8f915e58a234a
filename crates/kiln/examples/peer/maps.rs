//! Single layers over maps: what `peers/nn/maps.py` does.

use std::time::Duration;

use burn::module::{Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use kiln::autodiff::{Function, Numbers, Values};
use serde_json::{Map, Value, json};

use crate::measure::{Bench, Outcome, clock, wave};

/// A layer, as it is found in networks.
enum Layer {
    Convolution(Conv2d),
    Normalised(BatchNorm),
    Largest(MaxPoolOptions<2>),
    Mean(AvgPoolOptions<2>),
}

impl Layer {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Convolution(layer) => Values.conv2d(layer, x),
            Self::Normalised(norm) => Values.normalised(norm, x, None, Some(Function::Relu)),
            Self::Largest(options) => Values.max_pool2d(x, options.clone()),
            Self::Mean(options) => Values.avg_pool2d(x, options.clone()),
        }
    }

    fn convolution([channels, outputs, kernel, stride]: [usize; 4], device: &Device) -> Self {
        let padding = kernel / 2;
        let config = Conv2dConfig::new([channels, outputs], [kernel; 2]).with_stride([stride; 2]);
        let padding = PaddingConfig2d::Explicit(padding, padding, padding, padding);
        Self::Convolution(config.with_padding(padding).init(device))
    }
}

/// Names and shapes of the layers, and how they are made.
type Case = (&'static str, [usize; 4], fn(&Device) -> Layer);

const CASES: [Case; 15] = [
    ("conv-1x28-32", [64, 1, 28, 28], |device| Layer::convolution([1, 32, 3, 1], device)),
    ("conv-32x14-64", [64, 32, 14, 14], |device| Layer::convolution([32, 64, 3, 1], device)),
    ("conv-3x32-16", [128, 3, 32, 32], |device| Layer::convolution([3, 16, 3, 1], device)),
    ("conv-16x32-16", [128, 16, 32, 32], |device| Layer::convolution([16, 16, 3, 1], device)),
    ("conv-16x32-32-stride-2", [128, 16, 32, 32], |device| Layer::convolution([16, 32, 3, 2], device)),
    ("conv-32x16-32", [128, 32, 16, 16], |device| Layer::convolution([32, 32, 3, 1], device)),
    ("conv-64x8-64", [128, 64, 8, 8], |device| Layer::convolution([64, 64, 3, 1], device)),
    ("conv-64x14-128-pointwise", [64, 64, 14, 14], |device| Layer::convolution([64, 128, 1, 1], device)),
    ("batch-norm-relu-16x32", [128, 16, 32, 32], |device| Layer::Normalised(BatchNormConfig::new(16).init(device))),
    ("batch-norm-relu-64x8", [128, 64, 8, 8], |device| Layer::Normalised(BatchNormConfig::new(64).init(device))),
    ("batch-norm-relu-rows-64x256", [64, 256, 1, 1], |device| {
        Layer::Normalised(BatchNormConfig::new(256).init(device))
    }),
    ("max-pool-32x28", [64, 32, 28, 28], |_| Layer::Largest(MaxPoolOptions::new([2, 2]))),
    ("max-pool-64x56-3-stride-2", [16, 64, 56, 56], |_| {
        Layer::Largest(MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]))
    }),
    ("avg-pool-32x28", [64, 32, 28, 28], |_| Layer::Mean(AvgPoolOptions::new([2, 2]))),
    ("mean-64x8", [128, 64, 8, 8], |_| Layer::Mean(AvgPoolOptions::new([8, 8]))),
];

/// The cases.
pub fn bench() -> Bench {
    CASES.into_iter().fold(Bench::new("nn/maps", values), |bench, (name, shape, layer)| {
        bench.case(format!("{name}-forward"), 1, move || Ok(forward(layer(&Device::flex()), shape))).case(
            format!("{name}-step"),
            1,
            move || Ok(step(layer(&Device::flex().autodiff()), shape)),
        )
    })
}

fn forward(layer: Layer, shape: [usize; 4]) -> impl FnMut() -> Outcome<Duration> {
    let x = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex());
    move || Ok(clock(|| layer.forward(x.clone())))
}

fn step(layer: Layer, shape: [usize; 4]) -> impl FnMut() -> Outcome<Duration> {
    let x = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex()).autodiff().require_grad();
    // Of a tensor with many entries Burn differentiates the sum: the upstream gradient is one everywhere.
    move || Ok(clock(|| layer.forward(x.clone()).backward()))
}

fn values() -> Outcome<Value> {
    let device = Device::flex().autodiff();
    let mut answer = Map::new();
    let mut convolution = Layer::convolution([3, 5, 3, 2], &device);
    if let Layer::Convolution(layer) = &mut convolution {
        layer.weight = Param::from_tensor(waves([5, 3, 3, 3], 0.5, 0.7, 0.0));
        layer.bias = Some(Param::from_tensor(waves([5], 0.5, 0.7, 1.0)));
    }
    let mut norm = BatchNormConfig::new(3).init(&device);
    norm.gamma = Param::from_tensor(waves([3], 0.5, 0.7, 0.0));
    norm.beta = Param::from_tensor(waves([3], 0.5, 0.7, 1.0));
    for running in [&mut norm.running_mean, &mut norm.running_var] {
        *running = RunningState::new(running.value().cast(DType::F64));
    }
    let largest = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
    let mean = AvgPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
    for (name, layer, shape) in [
        ("conv", convolution, [2, 3, 9, 11]),
        ("batch-norm-relu", Layer::Normalised(norm), [2, 3, 5, 7]),
        ("max-pool", Layer::Largest(largest), [2, 3, 9, 11]),
        ("avg-pool", Layer::Mean(mean), [2, 3, 9, 11]),
    ] {
        let x: Tensor<4> = waves(shape, 1.0, 0.37, 0.0).require_grad();
        let y = layer.forward(x.clone());
        let output: f64 = y.clone().inner().sum().into_scalar();
        let upstream: Tensor<4> = waves(y.dims(), 1.0, 0.9, 0.0);
        let gradient = x.grad(&(y * upstream).sum().backward()).ok_or("no gradient by the input")?;
        let gradient: f64 = (gradient * waves(shape, 1.0, 0.5, 0.0).inner()).sum().into_scalar();
        answer.insert(name.to_owned(), json!({ "output": output, "gradient": gradient }));
    }
    Ok(answer.into())
}

fn waves<const D: usize>(shape: [usize; D], scale: f64, frequency: f64, phase: f64) -> Tensor<D> {
    let numbers = wave(shape.iter().product(), scale, frequency, phase);
    Tensor::from_data(TensorData::new(numbers, shape), (&Device::flex().autodiff(), DType::F64))
}
