//! A small convolutional network in the manner of LeNet-5.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use kiln_autodiff::{Numbers, Values};

use crate::{Activation, InputShape, NetworkError, WeightStream};

/// Configuration of [`LeNet`].
#[derive(Config, Debug)]
pub struct LeNetConfig {
    /// `[channels, height, width]` of one image.
    pub image_shape: [usize; 3],
    /// Number of outputs.
    pub num_outputs: usize,
    /// Channels of the two convolutions.
    #[config(default = "[6, 16]")]
    pub channels: [usize; 2],
    /// Widths of the two hidden layers.
    #[config(default = "[120, 84]")]
    pub hidden: [usize; 2],
    /// Side of the kernels, odd. Images must be at least `2 kernel_size + 2` pixels wide and high; see
    /// [`LeNetConfig::for_image`].
    #[config(default = 5)]
    pub kernel_size: usize,
    /// Activation after every layer but the last.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
}

/// LeNet-like convnet: two convolutions, each followed by an activation and a 2x2 max pooling, then three linear layers.
///
/// The first convolution keeps the image's size, the second loses `kernel_size - 1` pixels. With the defaults, one
/// channel of 28 x 28 pixels and ten classes it has 61 706 parameters.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::LeNetConfig;
///
/// let device = Device::flex();
/// let lenet = LeNetConfig::new([1, 28, 28], 10).init_seeded(1, &device)?;
/// assert_eq!(lenet.forward(Tensor::zeros([2, 1, 28, 28], &device)).dims(), [2, 10]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
///
/// Source: LeCun et al., Gradient-based learning applied to document recognition, 1998, with ReLU and max pooling.
#[derive(Module, Debug)]
pub struct LeNet {
    /// First convolution.
    pub conv1: Conv2d,
    /// Second convolution.
    pub conv2: Conv2d,
    /// First hidden layer.
    pub fc1: Linear,
    /// Second hidden layer, whose output are the features.
    pub fc2: Linear,
    /// Last layer.
    pub fc3: Linear,
    image_shape: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl LeNetConfig {
    /// A configuration whose kernels fit the image: 5x5, or 3x3 for images below 12 pixels.
    pub fn for_image(image_shape: [usize; 3], num_outputs: usize) -> Self {
        let smallest = image_shape[1].min(image_shape[2]);
        Self::new(image_shape, num_outputs).with_kernel_size(if smallest < 12 { 3 } else { 5 })
    }

    /// A network with weights from the device's generator: PyTorch's defaults, uniform on `+-1 / sqrt(fan_in)`.
    ///
    /// # Errors
    /// [`NetworkError`] for an even kernel size, a width of zero or an image that is too small for the kernels.
    pub fn init(&self, device: &Device) -> Result<LeNet, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A network with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`LeNetConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<LeNet, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    fn build(&self, weights: &mut WeightStream) -> Result<LeNet, NetworkError> {
        let [channels_in, height, width] = InputShape::from(&self.image_shape[..]).as_image("LeNet")?;
        let kernel = self.kernel_size;
        if kernel.is_multiple_of(2) {
            return Err(NetworkError::out_of_range("kernel_size", kernel, "it must be odd, such as 3 or 5"));
        }
        NetworkError::require_count("kernel_size", kernel)?;
        if height.min(width) < 2 * kernel + 2 {
            let right = format!("kernels of {kernel} pixels need images of at least {} pixels", 2 * kernel + 2);
            return Err(NetworkError::input_shape("LeNet", &self.image_shape, right));
        }
        let [first, second] = self.channels;
        for (setting, values) in [("channels", self.channels), ("hidden", self.hidden)] {
            values.into_iter().try_for_each(|value| NetworkError::require_count(setting, value))?;
        }
        NetworkError::require_count("outputs", self.num_outputs)?;
        let side = |side: usize| (side / 2 + 1 - kernel) / 2;
        let flat = second * side(height) * side(width);
        for (setting, sides) in [
            ("channels", &[channels_in, first, kernel, kernel][..]),
            ("channels", &[first, second, kernel, kernel]),
            ("hidden", &[flat, self.hidden[0]]),
            ("hidden", &self.hidden),
            ("outputs", &[self.hidden[1], self.num_outputs]),
        ] {
            NetworkError::require_weights(setting, sides)?;
        }
        let padding = kernel / 2;
        let same = PaddingConfig2d::Explicit(padding, padding, padding, padding);
        Ok(LeNet {
            conv1: weights.conv2d(Conv2dConfig::new([channels_in, first], [kernel, kernel]).with_padding(same)),
            conv2: weights.conv2d(Conv2dConfig::new([first, second], [kernel, kernel])),
            fc1: weights.linear(flat, self.hidden[0]),
            fc2: weights.linear(self.hidden[0], self.hidden[1]),
            fc3: weights.linear(self.hidden[1], self.num_outputs),
            image_shape: self.image_shape,
            activation: self.activation,
        })
    }
}

impl LeNet {
    /// The last hidden layer's output.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, 84]` with the default widths
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.features_in(&Values, images)
    }

    /// [`LeNet::features`] over any kind of number.
    pub fn features_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        let mut maps = images;
        for conv in [&self.conv1, &self.conv2] {
            let activated = numbers.activated_conv2d(conv, maps, self.activation.function());
            maps = numbers.max_pool2d(activated, MaxPoolOptions::new([2, 2]));
        }
        [&self.fc1, &self.fc2].into_iter().fold(numbers.flatten(maps, 1, 3), |hidden, layer| {
            self.activation.forward_in(numbers, numbers.linear(layer, hidden))
        })
    }

    /// The outputs, from features.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, 84]` with the default widths
    /// - output: `[batch_size, num_outputs]`
    pub fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.head_in(&Values, features)
    }

    /// [`LeNet::head`] over any kind of number.
    pub fn head_in<N: Numbers>(&self, numbers: &N, features: N::T<2>) -> N::T<2> {
        numbers.linear(&self.fc3, features)
    }

    /// `head(features(images))`.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, num_outputs]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward_in(&Values, images)
    }

    /// [`LeNet::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        self.head_in(numbers, self.features_in(numbers, images))
    }

    /// `[channels, height, width]` of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }
}
