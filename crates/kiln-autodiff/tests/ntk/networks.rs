//! Small networks over numbers.

use burn::module::{Module, RunningState};
use burn::nn::conv::{Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig,
    Linear, LinearConfig, PaddingConfig1d, PaddingConfig2d, RmsNorm, RmsNormConfig,
};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Int, Tensor};
use kiln_autodiff::Numbers;

use crate::double_precision::{double, options};

/// Two hidden layers, the second of which is run twice where `twice` is set.
#[derive(Module, Debug)]
pub struct Perceptron {
    first: Linear,
    second: Linear,
    last: Linear,
    #[module(skip)]
    twice: bool,
}

impl Perceptron {
    pub fn new(twice: bool) -> Self {
        let device = Device::flex();
        let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(&device);
        double(Self { first: layer(4, 6), second: layer(6, 6), last: layer(6, 3), twice })
    }

    pub fn forward_in<N: Numbers>(&self, numbers: &N, x: N::T<2>) -> N::T<2> {
        let mut x = numbers.tanh(numbers.linear(&self.first, x));
        x = numbers.tanh(numbers.linear(&self.second, x));
        if self.twice {
            x = numbers.tanh(numbers.linear(&self.second, x));
        }
        numbers.linear(&self.last, x)
    }
}

/// Convolutions with stride, padding of all kinds, dilation and groups, and a residual connection.
#[derive(Module, Debug)]
pub struct Convnet {
    first: Conv2d,
    norm: BatchNorm,
    second: Conv2d,
    third: Conv2d,
    up: ConvTranspose2d,
    last: Linear,
    #[module(skip)]
    pools: bool,
}

impl Convnet {
    pub fn new(pools: bool) -> Self {
        let device = Device::flex();
        let first =
            Conv2dConfig::new([2, 4], [3, 2]).with_stride([2, 1]).with_padding(PaddingConfig2d::Explicit(1, 0, 2, 1));
        let second = Conv2dConfig::new([4, 4], [3, 3]).with_groups(2).with_padding(PaddingConfig2d::Same);
        let third = Conv2dConfig::new([4, 2], [2, 2]).with_dilation([2, 1]).with_bias(false);
        let mut net = double(Self {
            first: first.init(&device),
            norm: BatchNormConfig::new(4).init(&device),
            second: second.init(&device),
            third: third.init(&device),
            up: ConvTranspose2dConfig::new([2, 2], [2, 2]).init(&device),
            last: LinearConfig::new(if pools { 2 * 3 } else { 2 * 3 * 6 }, 2).init(&device),
            pools,
        });
        net.norm.running_mean = RunningState::new(Tensor::from_data([0.1, -0.2, 0.3, 0.0], options()));
        net.norm.running_var = RunningState::new(Tensor::from_data([0.5, 2.0, 1.5, 0.8], options()));
        net
    }

    /// Of images `[n, 2, 6, 6]`.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, x: N::T<4>) -> N::T<2> {
        let x = numbers.tanh(numbers.batch_norm(&self.norm, numbers.conv2d(&self.first, x)));
        let x = numbers.add(x.clone(), numbers.gelu(numbers.conv2d(&self.second, x)));
        let x = numbers.silu(numbers.conv2d(&self.third, x));
        let mut x = numbers.conv_transpose2d(&self.up, x);
        if self.pools {
            let options = MaxPoolOptions::new([1, 4]);
            x = numbers.max_pool2d(x, options);
        }
        let [examples, channels, height, width] = numbers.dims(&x);
        let flat = numbers.reshape(x, [examples, channels * height * width]);
        numbers.linear(&self.last, flat)
    }
}

/// A sequence of tokens through an embedding, normalisations, a convolution and dense layers at every position.
#[derive(Module, Debug)]
pub struct Sequence {
    embedding: Embedding,
    layer_norm: LayerNorm,
    mix: Conv1d,
    group_norm: GroupNorm,
    dense: Linear,
    rms_norm: RmsNorm,
    last: Linear,
}

impl Sequence {
    pub fn new() -> Self {
        let device = Device::flex();
        let mix = Conv1dConfig::new(4, 6, 3).with_padding(PaddingConfig1d::Same).with_stride(2);
        double(Self {
            embedding: EmbeddingConfig::new(7, 4).init(&device),
            layer_norm: LayerNormConfig::new(4).init(&device),
            mix: mix.init(&device),
            group_norm: GroupNormConfig::new(2, 6).init(&device),
            dense: LinearConfig::new(6, 5).init(&device),
            rms_norm: RmsNormConfig::new(5).init(&device),
            last: LinearConfig::new(5, 2).with_bias(false).init(&device),
        })
    }

    /// Of tokens `[n, length]`.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, tokens: Tensor<2, Int>) -> N::T<2> {
        let x = numbers.layer_norm(&self.layer_norm, numbers.embedding(&self.embedding, tokens));
        let x = numbers.conv1d(&self.mix, numbers.swap_dims(x, 1, 2));
        let x = numbers.tanh(numbers.group_norm(&self.group_norm, x));
        let x = numbers.linear(&self.dense, numbers.swap_dims(x, 1, 2));
        let x = numbers.rms_norm(&self.rms_norm, numbers.tanh(x));
        let x = numbers.squeeze_dim::<3, 2>(numbers.mean_dim(x, 1), 1);
        numbers.linear(&self.last, x)
    }
}

pub fn tokens(count: usize, length: usize, seed: i64) -> Tensor<2, Int> {
    let values: Vec<i64> = (0..(count * length) as i64).map(|index| (index * index * 5 + index + seed) % 7).collect();
    Tensor::<1, Int>::from_ints(values.as_slice(), &Device::flex()).reshape([count, length])
}
