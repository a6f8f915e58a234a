//! A small convolutional network with batch normalisation.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, PaddingConfig2d};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use kiln_autodiff::{Numbers, Values};

use crate::{Activation, InputShape, NetworkError, WeightStream};

/// Configuration of [`ConvNet`].
#[derive(Config, Debug)]
pub struct ConvNetConfig {
    /// `[channels, height, width]` of one image, at least 8 pixels a side.
    pub image_shape: [usize; 3],
    /// Number of outputs.
    pub num_outputs: usize,
    /// Channels of the three convolutions.
    #[config(default = "[32, 64, 128]")]
    pub channels: [usize; 3],
    /// Activation after every convolution.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Probability of dropping a feature during training, in `[0, 1)`.
    #[config(default = 0.0)]
    pub dropout: f64,
}

/// Three times 3x3 convolution, batch normalisation, activation and 2x2 max pooling; then global average pooling.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::ConvNetConfig;
///
/// let device = Device::flex();
/// let network = ConvNetConfig::new([3, 32, 32], 10).init_seeded(1, &device)?;
/// assert_eq!(network.features(Tensor::zeros([2, 3, 32, 32], &device)).dims(), [2, 128]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
#[derive(Module, Debug)]
pub struct ConvNet {
    /// The convolutions.
    pub convs: Vec<Conv2d>,
    /// The normalisation after each.
    pub norms: Vec<BatchNorm>,
    /// Last layer.
    pub head: Linear,
    dropout: Dropout,
    image_shape: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl ConvNetConfig {
    /// A network with weights from the device's generator: PyTorch's defaults, uniform on `+-1 / sqrt(fan_in)`.
    ///
    /// # Errors
    /// [`NetworkError`] for an image below 8 pixels, channels of zero or a dropout outside `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<ConvNet, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A network with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`ConvNetConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<ConvNet, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    fn build(&self, weights: &mut WeightStream) -> Result<ConvNet, NetworkError> {
        let [mut channels, height, width] = InputShape::from(&self.image_shape[..]).as_image("ConvNet")?;
        if height.min(width) < 8 {
            let right = "three poolings need images of at least 8 pixels a side";
            return Err(NetworkError::input_shape("ConvNet", &self.image_shape, right));
        }
        NetworkError::require_count("outputs", self.num_outputs)?;
        NetworkError::require_dropout(self.dropout)?;
        let mut convs = Vec::with_capacity(3);
        let mut norms = Vec::with_capacity(3);
        for channels_out in self.channels {
            NetworkError::require_count("channels", channels_out)?;
            NetworkError::require_weights("channels", &[channels, channels_out, 9])?;
            let config =
                Conv2dConfig::new([channels, channels_out], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
            convs.push(weights.conv2d(config.with_bias(false)));
            norms.push(BatchNormConfig::new(channels_out).init(weights.device()));
            channels = channels_out;
        }
        NetworkError::require_weights("outputs", &[channels, self.num_outputs])?;
        Ok(ConvNet {
            convs,
            norms,
            head: weights.linear(channels, self.num_outputs),
            dropout: DropoutConfig::new(self.dropout).init(),
            image_shape: self.image_shape,
            activation: self.activation,
        })
    }
}

impl ConvNet {
    /// The last maps, averaged over the pixels.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, last channels]`
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.features_in(&Values, images)
    }

    /// [`ConvNet::features`] over any kind of number.
    pub fn features_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        let mut maps = images;
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            maps = numbers.normalised_conv2d(conv, norm, maps, None, Some(self.activation.function()));
            maps = numbers.max_pool2d(maps, MaxPoolOptions::new([2, 2]));
        }
        numbers.dropout(&self.dropout, mean_of_pixels(numbers, maps))
    }

    /// The outputs, from features.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, last channels]`
    /// - output: `[batch_size, num_outputs]`
    pub fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.head_in(&Values, features)
    }

    /// [`ConvNet::head`] over any kind of number.
    pub fn head_in<N: Numbers>(&self, numbers: &N, features: N::T<2>) -> N::T<2> {
        numbers.linear(&self.head, features)
    }

    /// `head(features(images))`.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, num_outputs]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward_in(&Values, images)
    }

    /// [`ConvNet::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        self.head_in(numbers, self.features_in(numbers, images))
    }

    /// `[channels, height, width]` of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }
}

/// Each map's mean, `[batch_size, channels]`.
pub(crate) fn mean_of_pixels<N: Numbers>(numbers: &N, maps: N::T<4>) -> N::T<2> {
    numbers.flatten(numbers.adaptive_avg_pool2d(maps, [1, 1]), 1, 3)
}
