//! Networks and data of the derivatives' cases, with the numbers that `peers/autodiff/networks.py` gives them.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use kiln::autodiff::Numbers;

use crate::measure::noise;

/// Dense layers with tanh between them.
#[derive(Module, Debug)]
pub struct Perceptron {
    layers: Vec<Linear>,
}

impl Perceptron {
    /// With so many units in each layer.
    pub fn new(widths: &[usize], dtype: DType) -> Self {
        let layers = widths.windows(2).enumerate().map(|(index, pair)| dense(pair[0], pair[1], index as u64, dtype));
        Self { layers: layers.collect() }
    }

    /// Of `[n, inputs]`.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, x: N::T<2>) -> N::T<2> {
        let (last, hidden) = self.layers.split_last().expect("at least one layer");
        numbers.linear(last, hidden.iter().fold(x, |x, layer| numbers.tanh(numbers.linear(layer, x))))
    }
}

/// Two convolutions and a dense layer, for images of 16 x 16 pixels and 10 classes.
#[derive(Module, Debug)]
pub struct Convnet {
    first: Conv2d,
    second: Conv2d,
    last: Linear,
}

impl Convnet {
    /// 8 channels at every pixel, then 16 at every other one.
    pub fn new(dtype: DType) -> Self {
        let convolution = |channels: [usize; 2], stride: usize, seed: u64| {
            let config = Conv2dConfig::new(channels, [3, 3]).with_stride([stride, stride]);
            let mut layer = config.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(&Device::flex());
            let scale = (3.0 / (9 * channels[0]) as f64).sqrt();
            layer.weight = Param::from_tensor(values([channels[1], channels[0], 3, 3], scale, 2 * seed, dtype));
            layer.bias = Some(Param::from_tensor(values([channels[1]], 0.1, 2 * seed + 1, dtype)));
            layer
        };
        Self {
            first: convolution([1, 8], 1, 10),
            second: convolution([8, 16], 2, 11),
            last: dense(16 * 8 * 8, 10, 12, dtype),
        }
    }

    /// Of `[n, 1, 16, 16]`.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, x: N::T<4>) -> N::T<2> {
        let x = numbers.tanh(numbers.conv2d(&self.first, x));
        let x = numbers.tanh(numbers.conv2d(&self.second, x));
        numbers.linear(&self.last, numbers.flatten(x, 1, 3))
    }
}

fn dense(inputs: usize, outputs: usize, seed: u64, dtype: DType) -> Linear {
    let mut layer = LinearConfig::new(inputs, outputs).init(&Device::flex());
    layer.weight = Param::from_tensor(values([inputs, outputs], (3.0 / inputs as f64).sqrt(), 2 * seed, dtype));
    layer.bias = Some(Param::from_tensor(values([outputs], 0.1, 2 * seed + 1, dtype)));
    layer
}

/// Numbers between `-scale` and `scale`.
pub fn values<const D: usize>(dims: [usize; D], scale: f64, seed: u64, dtype: DType) -> Tensor<D> {
    let entries = noise(dims.iter().product(), scale, seed);
    Tensor::from_data(TensorData::new(entries, dims).convert_dtype(dtype), (&Device::flex(), dtype))
}

/// The classes `7 i mod 10`.
pub fn classes(count: usize) -> Tensor<1, Int> {
    let classes: Vec<i64> = (0..count as i64).map(|index| 7 * index % 10).collect();
    Tensor::from_ints(classes.as_slice(), &Device::flex())
}
