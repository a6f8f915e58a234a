//! Initial weights from a stream of the network's own.

use burn::module::{Param, ParamId};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Distribution, Shape, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Normal, Uniform};

/// Gives every parameter of a network a seed of its own, in the order in which the parameters are asked for.
///
/// A parameter's values depend on the stream's seed and on its place in the stream alone: not on the device, on other
/// threads, or on when the (lazy) parameter is first read. The generator is ChaCha with 8 rounds, the same on every
/// platform.
///
/// ```
/// use burn::tensor::Device;
/// use kiln_nn::WeightStream;
///
/// let device = Device::flex();
/// let one = WeightStream::new(7, &device).linear(4, 2);
/// let other = WeightStream::new(7, &device).linear(4, 2);
/// assert_eq!(one.weight.to_data(), other.weight.to_data());
/// ```
#[derive(Debug)]
pub struct WeightStream {
    seeds: ChaCha8Rng,
    device: Device,
}

/// What a parameter is filled with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WeightDistribution {
    /// The same value everywhere.
    Constant(f64),
    /// Uniform on `[-limit, limit)`.
    Uniform {
        /// Largest magnitude.
        limit: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Normal with mean 0, drawn again while outside of two standard deviations.
    TruncatedNormal {
        /// Standard deviation before the truncation.
        std: f64,
    },
}

impl WeightStream {
    /// A stream whose parameters live on `device`.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { seeds: ChaCha8Rng::seed_from_u64(seed), device: device.clone() }
    }

    /// A stream whose seed is drawn from the device's own generator.
    pub fn from_device(device: &Device) -> Self {
        // Two draws of 24 bits, which 32-bit floats hold exactly.
        let draws = Tensor::<1>::random([2], Distribution::Uniform(0.0, 1.0), &device.clone().inner());
        let seed = draws
            .into_data()
            .iter::<f64>()
            .fold(0u64, |seed, draw| (seed << 24) | ((draw * f64::from(1u32 << 24)) as u64 & 0xff_ffff));
        Self::new(seed, device)
    }

    /// The device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The next parameter.
    pub fn parameter<const D: usize>(
        &mut self,
        shape: [usize; D],
        distribution: WeightDistribution,
    ) -> Param<Tensor<D>> {
        let seed: u64 = self.seeds.random();
        let shape = Shape::from(shape);
        let filled = shape.clone();
        Param::uninitialized(
            ParamId::new(),
            move |device, require_grad| {
                let values = distribution.values(seed, filled.num_elements());
                let tensor = Tensor::from_data(TensorData::new(values, filled), device);
                if require_grad { tensor.require_grad() } else { tensor }
            },
            self.device.clone(),
            true,
            shape,
        )
    }

    /// A linear layer with PyTorch's initial weights: weight and bias uniform on `+-1 / sqrt(d_input)`.
    pub fn linear(&mut self, d_input: usize, d_output: usize) -> Linear {
        let distribution = WeightDistribution::Uniform { limit: 1.0 / (d_input as f64).sqrt() };
        Linear {
            weight: self.parameter([d_input, d_output], distribution),
            bias: Some(self.parameter([d_output], distribution)),
        }
    }

    /// A linear layer with the given weights and a bias of zeros.
    pub fn linear_with(&mut self, d_input: usize, d_output: usize, distribution: WeightDistribution) -> Linear {
        Linear {
            weight: self.parameter([d_input, d_output], distribution),
            bias: Some(self.parameter([d_output], WeightDistribution::Constant(0.0))),
        }
    }

    /// A convolution with PyTorch's initial weights: weight and bias uniform on `+-1 / sqrt(fan_in)`.
    pub fn conv2d(&mut self, config: Conv2dConfig) -> Conv2d {
        let fan_in = config.channels[0] / config.groups * config.kernel_size.iter().product::<usize>();
        self.conv2d_with(config, WeightDistribution::Uniform { limit: 1.0 / (fan_in as f64).sqrt() })
    }

    /// A convolution whose weight and bias, if it has one, come from the given distribution.
    pub fn conv2d_with(&mut self, config: Conv2dConfig, distribution: WeightDistribution) -> Conv2d {
        let [height, width] = config.kernel_size;
        let shape = [config.channels[1], config.channels[0] / config.groups, height, width];
        let channels_out = config.channels[1];
        let bias = config.bias;
        // The layer's own weights stay lazy and are never drawn.
        let mut layer = config.init(&self.device);
        layer.weight = self.parameter(shape, distribution);
        layer.bias = bias.then(|| self.parameter([channels_out], distribution));
        layer
    }

    /// A transposed convolution with PyTorch's initial weights: weight and bias uniform on `+-1 / sqrt(fan)`, where the
    /// fan is that of the convolution in the other direction.
    pub fn conv_transpose2d(&mut self, config: ConvTranspose2dConfig) -> ConvTranspose2d {
        let [channels_in, channels_out] = config.channels;
        let [height, width] = config.kernel_size;
        let outputs = channels_out / config.groups;
        let distribution = WeightDistribution::Uniform { limit: 1.0 / ((outputs * height * width) as f64).sqrt() };
        let bias = config.bias;
        // The layer's own weights stay lazy and are never drawn.
        let mut layer = config.init(&self.device);
        layer.weight = self.parameter([channels_in, outputs, height, width], distribution);
        layer.bias = bias.then(|| self.parameter([channels_out], distribution));
        layer
    }

    /// An embedding table with normally distributed entries.
    pub fn embedding(&mut self, num_embeddings: usize, dimension: usize, std: f64) -> Embedding {
        Embedding { weight: self.parameter([num_embeddings, dimension], WeightDistribution::Normal { std }) }
    }
}

impl WeightDistribution {
    fn values(&self, seed: u64, count: usize) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        match *self {
            Self::Constant(value) => vec![value as f32; count],
            Self::Uniform { limit } => match Uniform::new(-limit, limit) {
                Ok(uniform) => (0..count).map(|_| rng.sample(uniform) as f32).collect(),
                Err(_) => vec![0.0; count],
            },
            Self::Normal { std } => match Normal::new(0.0, std) {
                Ok(normal) => (0..count).map(|_| rng.sample(normal) as f32).collect(),
                Err(_) => vec![0.0; count],
            },
            Self::TruncatedNormal { std } => {
                let draw = |rng: &mut ChaCha8Rng| loop {
                    let value: f64 = rng.sample(rand_distr::StandardNormal);
                    if value.abs() <= 2.0 {
                        break (value * std) as f32;
                    }
                };
                (0..count).map(|_| draw(&mut rng)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_do_not_depend_on_the_order_in_which_they_are_read() {
        let device = Device::flex();
        let mut stream = WeightStream::new(3, &device);
        let (first, second) = (stream.linear(5, 4), stream.linear(5, 4));
        let late = second.weight.to_data();
        let early = first.weight.to_data();
        let mut stream = WeightStream::new(3, &device);
        assert_eq!(stream.linear(5, 4).weight.to_data(), early);
        assert_eq!(stream.linear(5, 4).weight.to_data(), late);
        assert_ne!(early, late);
        assert_ne!(WeightStream::new(4, &device).linear(5, 4).weight.to_data(), early);
    }

    #[test]
    fn values_are_stable_across_releases() {
        let uniform = WeightDistribution::Uniform { limit: 1.0 }.values(1, 2);
        assert_eq!(uniform, [-0.195_028_68, -0.839_232_56]);
        let normal = WeightDistribution::Normal { std: 1.0 }.values(1, 2);
        assert_eq!(normal, [-0.23484705, -1.4108177]);
    }

    #[test]
    fn distributions_have_their_moments() {
        let moments = |distribution: WeightDistribution| {
            let values = distribution.values(11, 40_000);
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 40_000.0;
            let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / 40_000.0;
            let largest = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            (mean, variance.sqrt(), f64::from(largest))
        };
        let (mean, std, largest) = moments(WeightDistribution::Uniform { limit: 0.5 });
        assert!(mean.abs() < 0.005 && (std - 0.5 / 3f64.sqrt()).abs() < 0.005 && largest <= 0.5);
        let (mean, std, largest) = moments(WeightDistribution::Normal { std: 2.0 });
        assert!(mean.abs() < 0.04 && (std - 2.0).abs() < 0.03 && largest > 6.0);
        // A normal cut at two standard deviations has 0.8796 of its standard deviation left.
        let (mean, std, largest) = moments(WeightDistribution::TruncatedNormal { std: 1.0 });
        assert!(mean.abs() < 0.02 && (std - 0.8796).abs() < 0.01 && largest <= 2.0);
    }
}
