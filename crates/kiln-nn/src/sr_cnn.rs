//! A convolutional network that sharpens enlarged pictures.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};
use kiln_autodiff::{Numbers, Values};

use crate::{InputShape, NetworkError, WeightStream};

/// Configuration of [`SrCnn`]: 9-1-5 with 64 and 32 channels, added to its input.
#[derive(Config, Debug)]
pub struct SrCnnConfig {
    /// `[channels, height, width]` of one image; the luma alone is one channel.
    pub image_shape: [usize; 3],
    /// Sides of the three kernels, odd: 9-1-5 or 9-5-5.
    #[config(default = "[9, 1, 5]")]
    pub kernels: [usize; 3],
    /// Channels of the two hidden layers.
    #[config(default = "[64, 32]")]
    pub channels: [usize; 2],
    /// Whether the last layer's output is added to the input, which is then the picture before any training; the paper's
    /// network gives the picture itself.
    #[config(default = true)]
    pub residual: bool,
}

/// SRCNN: three convolutions from an enlarged, blurred image to a sharp one of the same size.
///
/// ```text
/// y = [x +] W3 * relu(W2 * relu(W1 * x + b1) + b2) + b3
/// ```
/// Pixels beyond the border repeat the border's. Nothing in the network depends on the size of the image: `forward` takes
/// any, and `image_shape` only says how flat rows are cut.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::SrCnnConfig;
///
/// let device = Device::flex();
/// let network = SrCnnConfig::new([1, 32, 32]).init_seeded(1, &device)?;
/// assert_eq!(network.forward(Tensor::zeros([2, 1, 50, 70], &device)).dims(), [2, 1, 50, 70]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
///
/// Source: arXiv 1501.00092, section 3; trained by perceptual similarity in arXiv 1511.06409.
#[derive(Module, Debug)]
pub struct SrCnn {
    /// Patches to features.
    pub conv1: Conv2d,
    /// Features to those of the sharp image.
    pub conv2: Conv2d,
    /// Features to pixels.
    pub conv3: Conv2d,
    residual: bool,
    image_shape: [usize; 3],
}

impl SrCnnConfig {
    /// The network as published, without the addition of its input.
    pub fn paper(image_shape: [usize; 3]) -> Self {
        Self::new(image_shape).with_residual(false)
    }

    /// A network with weights from the device's generator: PyTorch's defaults, uniform on `+-1 / sqrt(fan_in)`.
    ///
    /// # Errors
    /// [`NetworkError`] for kernels of an even side, channels of zero, or what is no image.
    pub fn init(&self, device: &Device) -> Result<SrCnn, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A network with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`SrCnnConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<SrCnn, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    fn build(&self, weights: &mut WeightStream) -> Result<SrCnn, NetworkError> {
        let [channels, ..] = InputShape::from(&self.image_shape[..]).as_image("SRCNN")?;
        const LARGEST: usize = 63;
        if let Some(even) = self.kernels.iter().find(|&&side| side % 2 == 0 || side > LARGEST) {
            return Err(NetworkError::out_of_range("kernels", even, format!("odd sides of at most {LARGEST} pixels")));
        }
        let [first, second] = self.channels;
        let mut conv = |from: usize, to: usize, side: usize| {
            NetworkError::require_count("channels", to)?;
            NetworkError::require_weights("channels", &[from, to, side * side])?;
            Ok(weights.conv2d(Conv2dConfig::new([from, to], [side, side])))
        };
        Ok(SrCnn {
            conv1: conv(channels, first, self.kernels[0])?,
            conv2: conv(first, second, self.kernels[1])?,
            conv3: conv(second, channels, self.kernels[2])?,
            residual: self.residual,
            image_shape: self.image_shape,
        })
    }
}

impl SrCnn {
    /// The sharp images.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`, of any height and width
    /// - output: as `images`; values may leave `[0, 1]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.forward_in(&Values, images)
    }

    /// [`SrCnn::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<4> {
        let border = self.reach();
        let sides = [(0, 0), (0, 0), (border, border), (border, border)];
        let extended = numbers.linear_map(images.clone(), |images: Tensor<4>| images.pad(sides, PadMode::Edge));
        let hidden = numbers.relu(numbers.conv2d(&self.conv1, extended));
        let hidden = numbers.relu(numbers.conv2d(&self.conv2, hidden));
        let output = numbers.conv2d(&self.conv3, hidden);
        if self.residual { numbers.add(images, output) } else { output }
    }

    /// How many pixels away, up and down, left and right, an input pixel still reaches an output pixel.
    pub fn reach(&self) -> usize {
        [&self.conv1, &self.conv2, &self.conv3].iter().map(|conv| conv.kernel_size[0] / 2).sum()
    }

    /// `[channels, height, width]` of one image of a flat row.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::DType;
    use kiln_check::random;

    fn network(config: SrCnnConfig) -> SrCnn {
        config.init_seeded(1, &Device::flex()).unwrap()
    }

    #[test]
    fn an_output_pixel_sees_its_surroundings_and_no_more() {
        let device = Device::flex();
        for (kernels, reach) in [([9, 1, 5], 6), ([9, 5, 5], 8)] {
            let network = network(SrCnnConfig::paper([1, 9, 9]).with_kernels(kernels).with_channels([4, 3]));
            assert_eq!(network.reach(), reach);
            let image = random::normal([1, 1, 25, 25], DType::F32);
            let output =
                |image: Tensor<4>| network.forward(image).slice([0..1, 0..1, 12..13, 12..13]).into_scalar::<f32>();
            let moved = |distance: usize| {
                let point = Tensor::ones([1, 1, 1, 1], &device);
                output(image.clone().slice_assign([0..1, 0..1, 12..13, 12 + distance..13 + distance], point))
            };
            assert_ne!(moved(reach), output(image.clone()), "{kernels:?}");
            assert_eq!(moved(reach + 1), output(image.clone()), "{kernels:?}");
        }
    }

    #[test]
    fn flat_images_stay_flat_up_to_the_border() {
        let device = Device::flex();
        let output = network(SrCnnConfig::new([1, 8, 8])).forward(Tensor::full([1, 1, 8, 8], 0.4, &device));
        let values: Vec<f32> = output.into_data().iter::<f32>().collect();
        assert!(values.iter().all(|value| (value - values[0]).abs() < 1e-6), "{values:?}");
    }

    #[test]
    fn weights_of_zero_give_the_input_and_the_paper_s_network_nothing() {
        let device = Device::flex();
        let image = random::normal([1, 1, 8, 8], DType::F32);
        for (config, expected) in [
            (SrCnnConfig::new([1, 8, 8]), image.clone()),
            (SrCnnConfig::paper([1, 8, 8]), Tensor::zeros([1, 1, 8, 8], &device)),
        ] {
            let mut network = network(config);
            network.conv3.weight = network.conv3.weight.map(|weight| weight.zeros_like());
            network.conv3.bias = network.conv3.bias.map(|bias| bias.map(|bias| bias.zeros_like()));
            assert_eq!(network.forward(image.clone()).into_data(), expected.into_data());
        }
    }

    #[test]
    fn even_kernels_are_refused() {
        let error = SrCnnConfig::new([1, 8, 8]).with_kernels([9, 2, 5]).init_seeded(1, &Device::flex()).unwrap_err();
        assert!(error.to_string().starts_with("kernels = 2 is out of range: odd sides"), "{error}");
    }
}
