//! Residual networks: the CIFAR family of depth 6n + 2, and ResNet-18 and -34.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, PaddingConfig2d};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, s};
use kiln_autodiff::{Numbers, Values};
use serde::{Deserialize, Serialize};

use crate::convnet::mean_of_pixels;
use crate::{Activation, InputShape, NetworkError, WeightDistribution, WeightStream};

/// Configuration of [`ResNet`].
#[derive(Config, Debug)]
pub struct ResNetConfig {
    /// Number of layers with weights: 6n + 2 from 8 to 56 (three stages of 16, 32, 64 channels), or 18 or 34 (four
    /// stages of 64 to 512 channels).
    pub depth: usize,
    /// `[channels, height, width]` of one image.
    pub image_shape: [usize; 3],
    /// Number of outputs.
    pub num_outputs: usize,
    /// How a block's input is fitted to its output; by default padding (option A) for depths 6n + 2 and a projection
    /// (option B) for 18 and 34.
    #[config(default = "None")]
    pub shortcut: Option<Shortcut>,
    /// First layers; by default those for large images where the depth is 18 or 34 and the image has at least 64
    /// pixels a side.
    #[config(default = "None")]
    pub stem: Option<Stem>,
    /// Channels of the first stage, even; by default 16 or, for depths 18 and 34, 64. Each stage doubles them.
    #[config(default = "None")]
    pub width: Option<usize>,
    /// Activation after every convolution and addition.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
}

/// How a block's input is fitted to an output with half the side and twice the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shortcut {
    /// Option A: every second pixel, and channels of zeros on both sides. Has no weights.
    Padding,
    /// Option B: 1x1 convolution with stride 2, and batch normalisation.
    Projection,
}

/// First layers of a [`ResNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// One 3x3 convolution.
    Small,
    /// A 7x7 convolution with stride 2 and a 3x3 max pooling with stride 2.
    Large,
}

/// Residual network of basic blocks, `activation(x' + BN(conv(activation(BN(conv(x))))))`, with global average pooling.
///
/// Tensor names are torchvision's. Weights named as in the usual CIFAR implementations (`linear`, `shortcut`) load too.
/// ResNet-20 with option A and ten classes has 269 722 parameters, ResNet-18 with 1000 classes 11 689 512.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::ResNetConfig;
///
/// let device = Device::flex();
/// let resnet = ResNetConfig::new(8, [3, 32, 32], 10).init_seeded(1, &device)?;
/// let features = resnet.features(Tensor::zeros([2, 3, 32, 32], &device));
/// assert_eq!(features.dims(), [2, 64]);
/// assert_eq!(resnet.head(features).dims(), [2, 10]);
/// assert!(ResNetConfig::new(21, [3, 32, 32], 10).init(&device).is_err());
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
///
/// Source: arXiv 1512.03385, sections 4.1 and 4.2.
#[derive(Module, Debug)]
pub struct ResNet {
    /// First convolution.
    pub conv1: Conv2d,
    /// Normalisation after it.
    pub bn1: BatchNorm,
    /// First stage.
    pub layer1: Vec<BasicBlock>,
    /// Second stage.
    pub layer2: Vec<BasicBlock>,
    /// Third stage.
    pub layer3: Vec<BasicBlock>,
    /// Fourth stage; empty for depths 6n + 2.
    pub layer4: Vec<BasicBlock>,
    /// Last layer.
    pub fc: Linear,
    image_shape: [usize; 3],
    #[module(skip)]
    stem: Stem,
    #[module(skip)]
    activation: Activation,
}

/// Two 3x3 convolutions with a shortcut around them.
#[derive(Module, Debug)]
pub struct BasicBlock {
    /// First convolution, with the block's stride.
    pub conv1: Conv2d,
    /// Normalisation after it.
    pub bn1: BatchNorm,
    /// Second convolution.
    pub conv2: Conv2d,
    /// Normalisation after it.
    pub bn2: BatchNorm,
    /// Projection of the shortcut (option B), where the shape changes.
    pub downsample: Option<(Conv2d, BatchNorm)>,
    stride: usize,
    padded_channels: usize,
    #[module(skip)]
    activation: Activation,
}

/// Depths that [`ResNetConfig`] knows.
const DEPTHS: [usize; 11] = [8, 14, 18, 20, 26, 32, 34, 38, 44, 50, 56];

impl ResNetConfig {
    /// A network with weights from the device's generator: He's normal initialisation by fan-out, as in torchvision.
    ///
    /// # Errors
    /// [`NetworkError`] for a depth that is none of 6n + 2 from 8 to 56, 18 or 34, and for an odd or zero width.
    pub fn init(&self, device: &Device) -> Result<ResNet, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A network with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`ResNetConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<ResNet, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    fn build(&self, weights: &mut WeightStream) -> Result<ResNet, NetworkError> {
        let [channels, height, width] = InputShape::from(&self.image_shape[..]).as_image("ResNet")?;
        NetworkError::require_count("outputs", self.num_outputs)?;
        let blocks = blocks_of_stages(self.depth)?;
        let wide = blocks.len() == 4;
        let first = self.width.unwrap_or(if wide { 64 } else { 16 });
        NetworkError::require_count("width", first)?;
        if !first.is_multiple_of(2) {
            return Err(NetworkError::out_of_range("width", first, "it must be even"));
        }
        let last = first << (blocks.len() - 1);
        NetworkError::require_weights("width", &[last, last, 9])?;
        NetworkError::require_weights("width", &[channels, first, 49])?;
        NetworkError::require_weights("outputs", &[last, self.num_outputs])?;
        let large = wide && height.min(width) >= 64;
        let stem = self.stem.unwrap_or(if large { Stem::Large } else { Stem::Small });
        let shortcut = self.shortcut.unwrap_or(if wide { Shortcut::Projection } else { Shortcut::Padding });

        let conv1 = match stem {
            Stem::Small => convolution(weights, [channels, first], 3, 1),
            Stem::Large => convolution(weights, [channels, first], 7, 2),
        };
        let bn1 = BatchNormConfig::new(first).init(weights.device());
        let mut channels = first;
        let mut stage = |index: usize| -> Vec<BasicBlock> {
            let channels_out = first << index;
            (0..blocks.get(index).copied().unwrap_or(0))
                .map(|block| {
                    let stride = if index > 0 && block == 0 { 2 } else { 1 };
                    let channels_in = std::mem::replace(&mut channels, channels_out);
                    BasicBlock::new(weights, [channels_in, channels_out], stride, shortcut, self.activation)
                })
                .collect()
        };
        let (layer1, layer2, layer3, layer4) = (stage(0), stage(1), stage(2), stage(3));
        Ok(ResNet {
            conv1,
            bn1,
            layer1,
            layer2,
            layer3,
            layer4,
            fc: weights.linear(channels, self.num_outputs),
            image_shape: self.image_shape,
            stem,
            activation: self.activation,
        })
    }
}

/// Number of blocks of each stage.
fn blocks_of_stages(depth: usize) -> Result<Vec<usize>, NetworkError> {
    match depth {
        18 => Ok(vec![2; 4]),
        34 => Ok(vec![3, 4, 6, 3]),
        8..=56 if depth % 6 == 2 => Ok(vec![(depth - 2) / 6; 3]),
        _ => {
            let nearest = DEPTHS.into_iter().min_by_key(|known| known.abs_diff(depth)).unwrap_or(DEPTHS[0]);
            let right = format!("a depth is 6n + 2 from 8 to 56, or 18 or 34; the nearest is {nearest}");
            Err(NetworkError::out_of_range("depth", depth, right))
        }
    }
}

/// A convolution without bias that keeps the size at stride 1, with He's normal initialisation by fan-out.
fn convolution(weights: &mut WeightStream, channels: [usize; 2], kernel: usize, stride: usize) -> Conv2d {
    let padding = kernel / 2;
    let config = Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .with_bias(false);
    let fan_out = channels[1] * kernel * kernel;
    weights.conv2d_with(config, WeightDistribution::Normal { std: (2.0 / fan_out as f64).sqrt() })
}

impl ResNet {
    /// The last stage's maps, averaged over the pixels.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, 64]` for depths 6n + 2, `[batch_size, 512]` for 18 and 34
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.features_in(&Values, images)
    }

    /// [`ResNet::features`] over any kind of number.
    pub fn features_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        mean_of_pixels(numbers, self.feature_maps_in(numbers, images))
    }

    /// The last stage's maps, before pooling.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, feature width, reduced height, reduced width]`
    pub fn feature_maps(&self, images: Tensor<4>) -> Tensor<4> {
        self.feature_maps_in(&Values, images)
    }

    /// [`ResNet::feature_maps`] over any kind of number.
    pub fn feature_maps_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<4> {
        let function = Some(self.activation.function());
        let mut maps = numbers.normalised_conv2d(&self.conv1, &self.bn1, images, None, function);
        if self.stem == Stem::Large {
            let pooling = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
            maps = numbers.max_pool2d(maps, pooling);
        }
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
            .into_iter()
            .flatten()
            .fold(maps, |maps, block| block.forward_in(numbers, maps))
    }

    /// The outputs, from features.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, feature width]`
    /// - output: `[batch_size, num_outputs]`
    pub fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.head_in(&Values, features)
    }

    /// [`ResNet::head`] over any kind of number.
    pub fn head_in<N: Numbers>(&self, numbers: &N, features: N::T<2>) -> N::T<2> {
        numbers.linear(&self.fc, features)
    }

    /// `head(features(images))`.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, num_outputs]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward_in(&Values, images)
    }

    /// [`ResNet::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        self.head_in(numbers, self.features_in(numbers, images))
    }

    /// `[channels, height, width]` of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }
}

impl BasicBlock {
    fn new(
        weights: &mut WeightStream,
        channels: [usize; 2],
        stride: usize,
        shortcut: Shortcut,
        activation: Activation,
    ) -> Self {
        let [channels_in, channels_out] = channels;
        let changes = stride != 1 || channels_in != channels_out;
        let projected = changes && shortcut == Shortcut::Projection;
        let norm = |weights: &WeightStream| BatchNormConfig::new(channels_out).init(weights.device());
        Self {
            conv1: convolution(weights, channels, 3, stride),
            bn1: norm(weights),
            conv2: convolution(weights, [channels_out, channels_out], 3, 1),
            bn2: norm(weights),
            downsample: projected.then(|| (convolution(weights, channels, 1, stride), norm(weights))),
            stride,
            padded_channels: (channels_out - channels_in) / 2,
            activation,
        }
    }

    /// The block's output.
    ///
    /// # Shapes
    /// - `maps`: `[batch_size, channels_in, height, width]`
    /// - output: `[batch_size, channels_out, ceil(height / stride), ceil(width / stride)]`
    pub fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        self.forward_in(&Values, maps)
    }

    /// [`BasicBlock::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, maps: N::T<4>) -> N::T<4> {
        let function = Some(self.activation.function());
        let hidden = numbers.normalised_conv2d(&self.conv1, &self.bn1, maps.clone(), None, function);
        let shortcut = self.shortcut_in(numbers, maps);
        numbers.normalised_conv2d(&self.conv2, &self.bn2, hidden, Some(shortcut), function)
    }

    fn shortcut_in<N: Numbers>(&self, numbers: &N, maps: N::T<4>) -> N::T<4> {
        if let Some((convolution, norm)) = &self.downsample {
            return numbers.normalised_conv2d(convolution, norm, maps, None, None);
        }
        let maps = if self.stride == 2 { numbers.slice(maps, s![.., .., ..;2, ..;2]) } else { maps };
        if self.padded_channels == 0 {
            return maps;
        }
        let value = numbers.value(&maps);
        let [batch_size, _, height, width] = value.dims();
        let zeros = Tensor::zeros([batch_size, self.padded_channels, height, width], (&value.device(), value.dtype()));
        let zeros = numbers.constant(zeros);
        numbers.cat(vec![zeros.clone(), maps, zeros], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn a_wrong_depth_is_refused_with_the_nearest_right_one() {
        let message = ResNetConfig::new(21, [3, 32, 32], 10).init(&Device::flex()).unwrap_err().to_string();
        assert_eq!(
            message,
            "depth = 21 is out of range: a depth is 6n + 2 from 8 to 56, or 18 or 34; the nearest is 20"
        );
        assert!(ResNetConfig::new(62, [3, 32, 32], 10).init(&Device::flex()).is_err());
        for depth in DEPTHS {
            let layers: usize = blocks_of_stages(depth).unwrap().iter().map(|blocks| 2 * blocks).sum();
            assert_eq!(layers + 2, depth);
        }
    }

    #[test]
    fn option_a_takes_every_second_pixel_between_channels_of_zeros() {
        let device = Device::flex();
        let mut weights = WeightStream::new(1, &device);
        let block = BasicBlock::new(&mut weights, [2, 4], 2, Shortcut::Padding, Activation::Relu);
        let maps = Tensor::<1, burn::tensor::Int>::arange(0..18, &device).float().reshape([1, 2, 3, 3]);
        let shortcut = block.shortcut_in(&Values, maps);
        let expected = [[
            [[0.0f32, 0.0], [0.0, 0.0]],
            [[0.0, 2.0], [6.0, 8.0]],
            [[9.0, 11.0], [15.0, 17.0]],
            [[0.0, 0.0], [0.0, 0.0]],
        ]];
        assert_eq!(shortcut.into_data(), TensorData::from(expected));
    }

    #[test]
    fn images_of_odd_and_tiny_sides_pass() {
        let device = Device::flex();
        for (shape, shortcut) in [([1, 7, 9], Shortcut::Padding), ([1, 3, 1], Shortcut::Projection)] {
            let config = ResNetConfig::new(8, shape, 3).with_width(Some(4)).with_shortcut(Some(shortcut));
            let resnet = config.init_seeded(1, &device).unwrap();
            let images = Tensor::ones([2, shape[0], shape[1], shape[2]], &device);
            assert_eq!(resnet.forward(images).dims(), [2, 3]);
        }
    }
}
