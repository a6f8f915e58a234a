//! Autoencoders of images: a code of few numbers, and the image from it.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use kiln_autodiff::{Numbers, Values};
use serde::{Deserialize, Serialize};

use crate::image_coder::{ImageDecoder, ImageEncoder};
use crate::{Activation, NetworkError, WeightStream};

/// Configuration of [`Autoencoder`] and [`VariationalAutoencoder`].
#[derive(Config, Debug)]
pub struct AutoencoderConfig {
    /// `[channels, height, width]` of one image.
    pub image_shape: [usize; 3],
    /// The encoder's layers; the decoder mirrors them.
    pub layers: CoderLayers,
    /// Numbers of a code.
    #[config(default = 96)]
    pub code_size: usize,
    /// Activation after every layer but those that give the code and the image.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
}

/// Layers between an image and its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CoderLayers {
    /// Fully connected layers of the flat image.
    FullyConnected {
        /// Widths of the hidden layers from the image on; none gives a linear encoder.
        hidden: Vec<usize>,
    },
    /// Convolutions of 5x5 with stride 2, each halving the sides; transposed ones in the decoder.
    Convolutional {
        /// Channels of the convolutions from the image on, at least one.
        channels: Vec<usize>,
    },
}

impl AutoencoderConfig {
    /// Fully connected layers of 384 and a code of 96: 1024-384-96-384-1024 for a grey image of 32x32.
    pub fn fully_connected(image_shape: [usize; 3]) -> Self {
        Self::new(image_shape, CoderLayers::FullyConnected { hidden: vec![384] })
    }

    /// Convolutions of 128, 256 and 512 channels and a code of 512, as published for images of 96x96.
    pub fn conv(image_shape: [usize; 3]) -> Self {
        Self::new(image_shape, CoderLayers::Convolutional { channels: vec![128, 256, 512] }).with_code_size(512)
    }

    /// Convolutions of 16, 32 and 64 channels and a code of 96, for small images and few cores.
    pub fn small_conv(image_shape: [usize; 3]) -> Self {
        Self::new(image_shape, CoderLayers::Convolutional { channels: vec![16, 32, 64] })
    }

    /// An autoencoder with weights from the device's generator: PyTorch's defaults, uniform on `+-1 / sqrt(fan_in)`.
    ///
    /// # Errors
    /// [`NetworkError`] for a width, channels or a code of zero, no convolution at all, or what is no image.
    pub fn init(&self, device: &Device) -> Result<Autoencoder, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// An autoencoder with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`AutoencoderConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<Autoencoder, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    /// A variational autoencoder with weights from the device's generator.
    ///
    /// # Errors
    /// Those of [`AutoencoderConfig::init`].
    pub fn init_variational(&self, device: &Device) -> Result<VariationalAutoencoder, NetworkError> {
        self.build_variational(&mut WeightStream::from_device(device))
    }

    /// A variational autoencoder with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`AutoencoderConfig::init`].
    pub fn init_variational_seeded(&self, seed: u64, device: &Device) -> Result<VariationalAutoencoder, NetworkError> {
        self.build_variational(&mut WeightStream::new(seed, device))
    }

    fn build(&self, weights: &mut WeightStream) -> Result<Autoencoder, NetworkError> {
        let (encoder, width) = self.encoder(weights)?;
        Ok(Autoencoder { encoder, code: weights.linear(width, self.code_size), decoder: self.decoder(weights)? })
    }

    fn build_variational(&self, weights: &mut WeightStream) -> Result<VariationalAutoencoder, NetworkError> {
        let (encoder, width) = self.encoder(weights)?;
        let mean = weights.linear(width, self.code_size);
        let code = GaussianCode { mean, log_variance: weights.linear(width, self.code_size) };
        Ok(VariationalAutoencoder { encoder, code, decoder: self.decoder(weights)? })
    }

    /// The encoder, and the width of its output.
    fn encoder(&self, weights: &mut WeightStream) -> Result<(ImageEncoder, usize), NetworkError> {
        NetworkError::require_count("code", self.code_size)?;
        let encoder = ImageEncoder::build(self.image_shape, &self.layers, self.activation, weights)?;
        let width = encoder.width();
        NetworkError::require_weights("code", &[width, self.code_size])?;
        Ok((encoder, width))
    }

    fn decoder(&self, weights: &mut WeightStream) -> Result<ImageDecoder, NetworkError> {
        ImageDecoder::build(self.image_shape, &self.layers, self.code_size, self.activation, weights)
    }
}

/// An image through a code: `x^ = decode(encode(x))`, with pixels in `(0, 1)` by a sigmoid.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::AutoencoderConfig;
///
/// let device = Device::flex();
/// let network = AutoencoderConfig::small_conv([1, 32, 32]).init_seeded(1, &device)?;
/// let codes = network.encode(Tensor::zeros([4, 1, 32, 32], &device));
/// assert_eq!(codes.dims(), [4, 96]);
/// assert_eq!(network.decode(codes).dims(), [4, 1, 32, 32]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
///
/// Source: arXiv 1511.06409, sections 3.1 and 3.2.
#[derive(Module, Debug)]
pub struct Autoencoder<C: Module = Linear> {
    /// Image to the values from which the code is formed.
    pub encoder: ImageEncoder,
    /// Those to the code: a linear layer, or the two of a Gaussian code.
    pub code: C,
    /// Code to image.
    pub decoder: ImageDecoder,
}

/// An autoencoder whose code is a Gaussian: `q(z|x) = N(mean(x), diag(exp(log_variance(x))))`, `x^ = decode(z)`.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use kiln_nn::AutoencoderConfig;
///
/// let device = Device::flex();
/// let network = AutoencoderConfig::fully_connected([1, 8, 8]).with_code_size(5).init_variational_seeded(1, &device)?;
/// let (mean, log_variance) = network.encode(Tensor::zeros([4, 1, 8, 8], &device));
/// let noise = Tensor::random(mean.dims(), Distribution::Normal(0.0, 1.0), &device);
/// let drawn = mean + log_variance.mul_scalar(0.5).exp() * noise;
/// assert_eq!(network.decode(drawn).dims(), [4, 1, 8, 8]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
///
/// Source: arXiv 1312.6114; trained by an expected loss in arXiv 1511.06409, section 3.3.
pub type VariationalAutoencoder = Autoencoder<GaussianCode>;

/// The layers that form a Gaussian code.
#[derive(Module, Debug)]
pub struct GaussianCode {
    /// To the means.
    pub mean: Linear,
    /// To the logarithms of the variances.
    pub log_variance: Linear,
}

/// What forms a code, of which one is the likeliest.
pub trait CodeLayer: Module {
    /// The likeliest code.
    ///
    /// # Shapes
    /// - `hidden`: `[batch_size, width]`, what the encoder gives
    /// - output: `[batch_size, code_size]`
    fn likeliest_in<N: Numbers>(&self, numbers: &N, hidden: N::T<2>) -> N::T<2>;
}

/// There is but one code.
impl CodeLayer for Linear {
    fn likeliest_in<N: Numbers>(&self, numbers: &N, hidden: N::T<2>) -> N::T<2> {
        numbers.linear(self, hidden)
    }
}

/// The means.
impl CodeLayer for GaussianCode {
    fn likeliest_in<N: Numbers>(&self, numbers: &N, hidden: N::T<2>) -> N::T<2> {
        numbers.linear(&self.mean, hidden)
    }
}

impl Autoencoder {
    /// The codes of images.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, code_size]`
    pub fn encode(&self, images: Tensor<4>) -> Tensor<2> {
        self.likeliest_in(&Values, images)
    }
}

impl VariationalAutoencoder {
    /// Means and logarithms of the variances of the codes of images.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - outputs: `[batch_size, code_size]` each
    pub fn encode(&self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        self.encode_in(&Values, images)
    }

    /// [`VariationalAutoencoder::encode`] over any kind of number.
    pub fn encode_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> (N::T<2>, N::T<2>) {
        let hidden = self.encoder.forward_in(numbers, images);
        (numbers.linear(&self.code.mean, hidden.clone()), numbers.linear(&self.code.log_variance, hidden))
    }
}

impl<C: CodeLayer> Autoencoder<C> {
    /// The likeliest codes of images, over any kind of number: the codes themselves, or the means where they are Gaussian.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, code_size]`
    pub fn likeliest_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        self.code.likeliest_in(numbers, self.encoder.forward_in(numbers, images))
    }

    /// The images of codes.
    ///
    /// # Shapes
    /// - `codes`: `[batch_size, code_size]`
    /// - output: `[batch_size, channels, height, width]`, in `(0, 1)`
    pub fn decode(&self, codes: Tensor<2>) -> Tensor<4> {
        self.decode_in(&Values, codes)
    }

    /// [`Autoencoder::decode`] over any kind of number.
    pub fn decode_in<N: Numbers>(&self, numbers: &N, codes: N::T<2>) -> N::T<4> {
        self.decoder.forward_in(numbers, codes)
    }

    /// The images of the likeliest codes of images.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: as `images`, in `(0, 1)`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.forward_in(&Values, images)
    }

    /// [`Autoencoder::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<4> {
        self.decode_in(numbers, self.likeliest_in(numbers, images))
    }

    /// `[channels, height, width]` of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.encoder.image_shape()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameter_count;
    use burn::tensor::DType;
    use kiln_check::random::normal;

    #[test]
    fn sizes_are_those_of_the_page() {
        let device = Device::flex();
        let dense = AutoencoderConfig::fully_connected([1, 32, 32]).init_seeded(1, &device).unwrap();
        let expected = 1024 * 384 + 384 + 384 * 96 + 96 + 96 * 384 + 384 + 384 * 1024 + 1024;
        assert_eq!(parameter_count(&dense), expected);
        let conv = AutoencoderConfig::conv([1, 96, 96]).init_seeded(1, &device).unwrap();
        let convolutions = 25 * (128 + 128 * 256 + 256 * 512);
        let [across, code] = [512 * 12 * 12, 512];
        let biases = (128 + 256 + 512) + code + across + (256 + 128 + 1);
        assert_eq!(parameter_count(&conv), 2 * convolutions + 2 * across * code + biases);
    }

    #[test]
    fn images_of_any_side_come_back_in_their_size_and_between_0_and_1() {
        let device = Device::flex();
        for shape in [[1, 28, 28], [3, 9, 13], [1, 1, 5], [1, 8, 7]] {
            let [channels, height, width] = shape;
            let images = normal([2, channels, height, width], DType::F32) * 9.0;
            for config in [AutoencoderConfig::small_conv(shape), AutoencoderConfig::fully_connected(shape)] {
                let network = config.init_seeded(1, &device).unwrap();
                let outputs = network.forward(images.clone());
                assert_eq!(outputs.dims(), [2, channels, height, width]);
                assert!(outputs.into_data().iter::<f32>().all(|value| (0.0..=1.0).contains(&value)), "{config}");
                let variational = config.init_variational_seeded(1, &device).unwrap();
                let (mean, log_variance) = variational.encode(images.clone());
                assert_eq!((mean.dims(), log_variance.dims()), ([2, config.code_size], [2, config.code_size]));
                assert_eq!(variational.decode(mean).into_data(), variational.forward(images.clone()).into_data());
            }
        }
    }

    #[test]
    fn what_no_autoencoder_can_have_is_refused() {
        let device = Device::flex();
        let refused = |config: AutoencoderConfig| config.init_seeded(1, &device).unwrap_err().to_string();
        let dense = || AutoencoderConfig::fully_connected([1, 8, 8]);
        assert!(refused(dense().with_code_size(0)).contains("code = 0"));
        let none = AutoencoderConfig::new([1, 8, 8], CoderLayers::Convolutional { channels: Vec::new() });
        assert!(refused(none).contains("channels = none is out of range: at least one convolution"));
        let zero = AutoencoderConfig::new([1, 8, 8], CoderLayers::Convolutional { channels: vec![4, 0] });
        assert!(refused(zero).contains("channels = 0"));
        let zero = AutoencoderConfig::new([1, 8, 8], CoderLayers::FullyConnected { hidden: vec![0] });
        assert!(refused(zero).contains("hidden = 0"));
    }
}
