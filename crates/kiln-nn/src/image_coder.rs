//! The two halves of an autoencoder: an image to numbers, and numbers to an image.

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use kiln_autodiff::Numbers;

use crate::{Activation, CoderLayers, InputShape, NetworkError, WeightStream};

/// Side of a kernel.
const KERNEL: usize = 5;
const STRIDE: usize = 2;
/// Zeros around an image, with which a convolution gives half the side, rounded up.
const PADDING: usize = 2;

/// Images to flat numbers: fully connected layers or convolutions, each with its activation.
#[derive(Module, Debug)]
pub struct ImageEncoder {
    /// Fully connected layers, or none.
    pub layers: Vec<Linear>,
    /// Convolutions, or none.
    pub convs: Vec<Conv2d>,
    image_shape: [usize; 3],
    width: usize,
    #[module(skip)]
    activation: Activation,
}

impl ImageEncoder {
    pub(crate) fn build(
        image_shape: [usize; 3],
        layers: &CoderLayers,
        activation: Activation,
        weights: &mut WeightStream,
    ) -> Result<Self, NetworkError> {
        let maps = shapes_of_maps(image_shape, layers)?;
        let (mut dense, mut convs) = (Vec::new(), Vec::new());
        let mut width = image_shape.iter().product();
        match layers {
            CoderLayers::FullyConnected { hidden } => {
                for &next in hidden {
                    dense.push(linear(weights, "hidden", width, next)?);
                    width = next;
                }
            }
            CoderLayers::Convolutional { .. } => {
                for pair in maps.windows(2) {
                    let config = Conv2dConfig::new([pair[0][0], pair[1][0]], [KERNEL, KERNEL])
                        .with_stride([STRIDE, STRIDE])
                        .with_padding(PaddingConfig2d::Explicit(PADDING, PADDING, PADDING, PADDING));
                    convs.push(weights.conv2d(config));
                }
                width = maps[maps.len() - 1].iter().product();
            }
        }
        Ok(Self { layers: dense, convs, image_shape, width, activation })
    }

    /// The numbers of images, over any kind of number.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, width]`
    pub fn forward_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        let mut maps = images;
        for conv in &self.convs {
            maps = self.activation.forward_in(numbers, numbers.conv2d(conv, maps));
        }
        let mut hidden = numbers.flatten(maps, 1, 3);
        for layer in &self.layers {
            hidden = self.activation.forward_in(numbers, numbers.linear(layer, hidden));
        }
        hidden
    }

    /// Width of the output.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `[channels, height, width]` of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }
}

/// Codes to images: the layers of an [`ImageEncoder`] backwards, with transposed convolutions for convolutions, and a
/// sigmoid at the end.
#[derive(Module, Debug)]
pub struct ImageDecoder {
    /// Fully connected layers; before convolutions one, which gives their first maps.
    pub layers: Vec<Linear>,
    /// Transposed convolutions, or none.
    pub convs: Vec<ConvTranspose2d>,
    /// `[channels, height, width]` of the first maps; of the image where there is no convolution.
    maps: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl ImageDecoder {
    pub(crate) fn build(
        image_shape: [usize; 3],
        layers: &CoderLayers,
        code_size: usize,
        activation: Activation,
        weights: &mut WeightStream,
    ) -> Result<Self, NetworkError> {
        let maps = shapes_of_maps(image_shape, layers)?;
        let innermost = maps[maps.len() - 1];
        let mut widths = vec![code_size];
        if let CoderLayers::FullyConnected { hidden } = layers {
            widths.extend(hidden.iter().rev());
        }
        widths.push(innermost.iter().product());
        let dense =
            widths.windows(2).map(|pair| linear(weights, "code", pair[0], pair[1])).collect::<Result<_, _>>()?;
        let convs = maps.windows(2).rev().map(|pair| weights.conv_transpose2d(widening(pair[1], pair[0]))).collect();
        Ok(Self { layers: dense, convs, maps: innermost, activation })
    }

    /// The images of codes, over any kind of number.
    ///
    /// # Shapes
    /// - `codes`: `[batch_size, code_size]`
    /// - output: `[batch_size, channels, height, width]`, in `(0, 1)`
    pub fn forward_in<N: Numbers>(&self, numbers: &N, codes: N::T<2>) -> N::T<4> {
        let total = self.layers.len() + self.convs.len();
        let mut done = 0;
        let mut hidden = codes;
        for layer in &self.layers {
            done += 1;
            hidden = numbers.linear(layer, hidden);
            hidden = if done < total { self.activation.forward_in(numbers, hidden) } else { numbers.sigmoid(hidden) };
        }
        let [batch_size, _] = numbers.dims(&hidden);
        let [channels, height, width] = self.maps;
        let mut maps = numbers.reshape(hidden, [batch_size, channels, height, width]);
        for conv in &self.convs {
            done += 1;
            maps = numbers.conv_transpose2d(conv, maps);
            maps = if done < total { self.activation.forward_in(numbers, maps) } else { numbers.sigmoid(maps) };
        }
        maps
    }
}

/// `[channels, height, width]` of the image and of the output of each convolution.
fn shapes_of_maps(image_shape: [usize; 3], layers: &CoderLayers) -> Result<Vec<[usize; 3]>, NetworkError> {
    let mut maps = vec![InputShape::from(&image_shape[..]).as_image("an autoencoder")?];
    match layers {
        CoderLayers::FullyConnected { .. } => {}
        CoderLayers::Convolutional { channels } if channels.is_empty() => {
            return Err(NetworkError::out_of_range("channels", "none", "at least one convolution"));
        }
        CoderLayers::Convolutional { channels } => {
            for &channels in channels {
                let [before, height, width] = maps[maps.len() - 1];
                NetworkError::require_count("channels", channels)?;
                NetworkError::require_weights("channels", &[before, channels, KERNEL * KERNEL])?;
                maps.push([channels, height.div_ceil(STRIDE), width.div_ceil(STRIDE)]);
            }
        }
    }
    Ok(maps)
}

fn linear(weights: &mut WeightStream, setting: &'static str, from: usize, to: usize) -> Result<Linear, NetworkError> {
    NetworkError::require_count(setting, to)?;
    NetworkError::require_weights(setting, &[from, to])?;
    Ok(weights.linear(from, to))
}

/// The transposed convolution from small maps to the larger ones that a convolution has halved.
fn widening(small: [usize; 3], large: [usize; 3]) -> ConvTranspose2dConfig {
    // Without further rows, 2 n - 1 come out of n.
    let further = |axis: usize| large[axis] - (STRIDE * small[axis] - 1);
    ConvTranspose2dConfig::new([small[0], large[0]], [KERNEL, KERNEL])
        .with_stride([STRIDE, STRIDE])
        .with_padding([PADDING, PADDING])
        .with_padding_out([further(1), further(2)])
}
