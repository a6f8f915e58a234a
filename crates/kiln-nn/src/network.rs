//! Any network behind one face that takes flat rows.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use kiln_autodiff::{Numbers, Values};
use serde::{Deserialize, Serialize};

use crate::{
    Activation, Autoencoder, AutoencoderConfig, CoderLayers, ConvNet, ConvNetConfig, DecoderTransformerConfig,
    HierarchicalSoftmax, InputShape, LeNet, LeNetConfig, Mlp, MlpConfig, MlpNorm, NetworkError, NextWordConfig,
    NextWordModel, NgramConfig, ResNet, ResNetConfig, Shortcut, SrCnn, SrCnnConfig, TokenPooling,
    VariationalAutoencoder, VisionTransformer, VisionTransformerConfig, VisionTransformerSize, WordEncoderConfig,
    WordOutput, WordOutputKind, parameter_count,
};

/// A classifier, a regressor or a network from image to image on flat rows; it knows the shape of its own inputs.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::NetworkConfig;
///
/// let device = Device::flex();
/// let network = NetworkConfig::lenet().init_seeded(&[1, 28, 28], 10, 1, &device)?;
/// assert_eq!(network.forward(Tensor::zeros([4, 784], &device)).dims(), [4, 10]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Network {
    /// Multi-layer perceptron.
    Mlp(Mlp),
    /// LeNet-like convnet.
    LeNet(LeNet),
    /// Small convnet with batch normalisation.
    ConvNet(ConvNet),
    /// Residual network.
    ResNet(ResNet),
    /// Vision transformer.
    VisionTransformer(VisionTransformer),
    /// Language model; a row is the numbers of a context's words.
    NextWord(NextWordModel),
    /// Autoencoder; its features are the codes, its outputs the flat images.
    Autoencoder(Autoencoder),
    /// Variational autoencoder; its features are the means of the codes, its outputs the flat images of these.
    VariationalAutoencoder(VariationalAutoencoder),
    /// Sharpens images; its features are the images as they come in.
    SrCnn(SrCnn),
}

/// Description of a [`Network`], but for the shape of the data. As TOML: `kind = "mlp"`, `hidden = [128]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NetworkConfig {
    /// Multi-layer perceptron, see [`MlpConfig`].
    Mlp {
        /// Widths of the hidden layers; none gives a linear model.
        #[serde(default = "default_hidden")]
        hidden: Vec<usize>,
        /// Activation after every hidden layer.
        #[serde(default)]
        activation: Activation,
        /// Probability of dropping a hidden unit, in `[0, 1)`.
        #[serde(default)]
        dropout: f64,
        /// Normalisation of the hidden layers.
        #[serde(default)]
        norm: MlpNorm,
    },
    /// LeNet-like convnet, see [`LeNetConfig`]; kernels of 5x5, or of 3x3 for images below 12 pixels.
    #[serde(rename = "lenet")]
    LeNet {
        /// Activation after every layer but the last.
        #[serde(default)]
        activation: Activation,
    },
    /// Three convolutions with batch normalisation, see [`ConvNetConfig`].
    #[serde(rename = "convnet")]
    ConvNet {
        /// Channels of the three convolutions.
        #[serde(default = "default_channels")]
        channels: [usize; 3],
        /// Activation after every convolution.
        #[serde(default)]
        activation: Activation,
        /// Probability of dropping a feature, in `[0, 1)`.
        #[serde(default)]
        dropout: f64,
    },
    /// Residual network, see [`ResNetConfig`].
    #[serde(rename = "resnet")]
    ResNet {
        /// 6n + 2 from 8 to 56, or 18 or 34.
        #[serde(default = "default_depth")]
        depth: usize,
        /// How shortcuts change shape; by default padding for depths 6n + 2 and projection for 18 and 34.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shortcut: Option<Shortcut>,
        /// Channels of the first stage; by default 16 or, for depths 18 and 34, 64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        width: Option<usize>,
        /// Activation after every convolution and addition.
        #[serde(default)]
        activation: Activation,
    },
    /// Vision transformer, see [`VisionTransformerConfig`].
    Vit {
        /// Micro, tiny, small or base.
        #[serde(default)]
        size: VisionTransformerSize,
        /// Side of a patch in pixels; by default one that suits the image.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patch_size: Option<usize>,
        /// What becomes of the tokens after the last block.
        #[serde(default)]
        pooling: TokenPooling,
        /// Activation of the blocks' hidden layers.
        #[serde(default = "default_vit_activation")]
        activation: Activation,
        /// Probability of dropping a value after every projection, in `[0, 1)`.
        #[serde(default)]
        dropout: f64,
    },
    /// Feed-forward language model, see [`NextWordModel`] and [`NgramConfig`]; inputs are the numbers `0..=num_outputs` of
    /// words.
    Ngram {
        /// Width of a word's embedding.
        embedding: usize,
        /// Widths of the hidden layers, at least one.
        hidden: Vec<usize>,
        /// Activation after every hidden layer.
        #[serde(default)]
        activation: Activation,
        /// Probability of dropping a hidden unit, in `[0, 1)`.
        #[serde(default)]
        dropout: f64,
        /// From features to words.
        #[serde(default)]
        output: WordOutputKind,
    },
    /// Causal transformer as a language model, see [`NextWordModel`] and [`DecoderTransformerConfig`]; inputs are the numbers
    /// `0..=num_outputs` of words.
    Decoder {
        /// Width of a token.
        dimension: usize,
        /// Number of blocks.
        depth: usize,
        /// Number of attention heads; divides the dimension.
        num_heads: usize,
        /// Width of a block's hidden layer, in widths of a token.
        mlp_ratio: usize,
        /// Activation of the blocks' hidden layers.
        #[serde(default)]
        activation: Activation,
        /// Probability of dropping a value after the embedding and after every projection, in `[0, 1)`.
        #[serde(default)]
        dropout: f64,
        /// From features to words.
        #[serde(default)]
        output: WordOutputKind,
    },
    /// Image to image through a code, see [`AutoencoderConfig`]. There are as many outputs as pixels.
    Autoencoder {
        /// The encoder's layers; the decoder mirrors them.
        layers: CoderLayers,
        /// Numbers of a code.
        code: usize,
        /// Activation after every layer but those that give the code and the image.
        #[serde(default)]
        activation: Activation,
        /// Whether a code is a Gaussian.
        #[serde(default)]
        variational: bool,
    },
    /// Enlarged images to sharp ones, see [`SrCnnConfig`]. There are as many outputs as pixels.
    #[serde(rename = "srcnn")]
    SrCnn {
        /// Sides of the three kernels.
        kernels: [usize; 3],
        /// Channels of the two hidden layers.
        channels: [usize; 2],
        /// Whether the output is added to the input.
        residual: bool,
    },
}

fn default_hidden() -> Vec<usize> {
    vec![128]
}

fn default_channels() -> [usize; 3] {
    [32, 64, 128]
}

fn default_depth() -> usize {
    20
}

fn default_vit_activation() -> Activation {
    Activation::Gelu
}

impl NetworkConfig {
    /// A multi-layer perceptron with ReLU.
    pub fn mlp(hidden: impl Into<Vec<usize>>) -> Self {
        Self::Mlp { hidden: hidden.into(), activation: Activation::Relu, dropout: 0.0, norm: MlpNorm::None }
    }

    /// A LeNet-like convnet with ReLU.
    pub fn lenet() -> Self {
        Self::LeNet { activation: Activation::Relu }
    }

    /// Three convolutions of 32, 64 and 128 channels with batch normalisation and ReLU.
    pub fn conv_net() -> Self {
        Self::ConvNet { channels: default_channels(), activation: Activation::Relu, dropout: 0.0 }
    }

    /// A residual network with ReLU: 6n + 2 layers from 8 to 56, or 18 or 34.
    pub fn resnet(depth: usize) -> Self {
        Self::ResNet { depth, shortcut: None, width: None, activation: Activation::Relu }
    }

    /// A micro vision transformer with a class token.
    pub fn vit() -> Self {
        Self::Vit {
            size: VisionTransformerSize::Micro,
            patch_size: None,
            pooling: TokenPooling::ClassToken,
            activation: Activation::Gelu,
            dropout: 0.0,
        }
    }

    /// The network's name in files and on the command line, such as `mlp`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mlp { .. } => "mlp",
            Self::LeNet { .. } => "lenet",
            Self::ConvNet { .. } => "convnet",
            Self::ResNet { .. } => "resnet",
            Self::Vit { .. } => "vit",
            Self::Ngram { .. } => "ngram",
            Self::Decoder { .. } => "decoder",
            Self::Autoencoder { .. } => "autoencoder",
            Self::SrCnn { .. } => "srcnn",
        }
    }

    /// A network for inputs of `input_shape` (`[features]` or `[channels, height, width]`) with weights from the
    /// device's generator.
    ///
    /// # Errors
    /// [`NetworkError`] where the network cannot take such inputs or a setting is out of range.
    pub fn init(&self, input_shape: &[usize], num_outputs: usize, device: &Device) -> Result<Network, NetworkError> {
        self.build(input_shape, num_outputs, None, device)
    }

    /// A network with the weights of `seed`: the same on every platform and from any thread.
    ///
    /// # Errors
    /// Those of [`NetworkConfig::init`].
    pub fn init_seeded(
        &self,
        input_shape: &[usize],
        num_outputs: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Network, NetworkError> {
        self.build(input_shape, num_outputs, Some(seed), device)
    }

    fn build(
        &self,
        input_shape: &[usize],
        num_outputs: usize,
        seed: Option<u64>,
        device: &Device,
    ) -> Result<Network, NetworkError> {
        let shape = InputShape::from(input_shape);
        macro_rules! init {
            ($config:expr) => {{
                let config = $config;
                match seed {
                    Some(seed) => config.init_seeded(seed, device),
                    None => config.init(device),
                }
            }};
        }
        match self {
            Self::Mlp { hidden, activation, dropout, norm } => init!(
                MlpConfig::new(shape.num_features(), hidden.clone(), num_outputs)
                    .with_activation(*activation)
                    .with_dropout(*dropout)
                    .with_norm(*norm)
            )
            .map(Network::Mlp),
            Self::LeNet { activation } => {
                let image = shape.as_image("LeNet")?;
                init!(LeNetConfig::for_image(image, num_outputs).with_activation(*activation)).map(Network::LeNet)
            }
            Self::ConvNet { channels, activation, dropout } => init!(
                ConvNetConfig::new(shape.as_image("ConvNet")?, num_outputs)
                    .with_channels(*channels)
                    .with_activation(*activation)
                    .with_dropout(*dropout)
            )
            .map(Network::ConvNet),
            Self::ResNet { depth, shortcut, width, activation } => init!(
                ResNetConfig::new(*depth, shape.as_image("ResNet")?, num_outputs)
                    .with_shortcut(*shortcut)
                    .with_width(*width)
                    .with_activation(*activation)
            )
            .map(Network::ResNet),
            Self::Vit { size, patch_size, pooling, activation, dropout } => {
                let image = shape.as_image("a vision transformer")?;
                let mut config = VisionTransformerConfig::of_size(*size, image, num_outputs)
                    .with_pooling(*pooling)
                    .with_activation(*activation)
                    .with_dropout(*dropout);
                if let Some(patch_size) = patch_size {
                    config.patch_size = *patch_size;
                }
                init!(config).map(Network::VisionTransformer)
            }
            Self::Ngram { embedding, hidden, activation, dropout, output } => {
                let encoder = NgramConfig::new(num_outputs + 1, shape.num_features())
                    .with_embedding(*embedding)
                    .with_hidden(hidden.clone())
                    .with_activation(*activation)
                    .with_dropout(*dropout);
                let encoder = WordEncoderConfig::Ngram(encoder);
                init!(NextWordConfig::new(encoder, num_outputs).with_output(*output)).map(Network::NextWord)
            }
            Self::Decoder { dimension, depth, num_heads, mlp_ratio, activation, dropout, output } => {
                let encoder = DecoderTransformerConfig::new(num_outputs + 1, shape.num_features())
                    .with_dimension(*dimension)
                    .with_depth(*depth)
                    .with_num_heads(*num_heads)
                    .with_mlp_ratio(*mlp_ratio)
                    .with_activation(*activation)
                    .with_dropout(*dropout);
                let encoder = WordEncoderConfig::Decoder(encoder);
                init!(NextWordConfig::new(encoder, num_outputs).with_output(*output)).map(Network::NextWord)
            }
            Self::Autoencoder { layers, code, activation, variational } => {
                let image = image_of_outputs(&shape, "an autoencoder", num_outputs)?;
                let config =
                    AutoencoderConfig::new(image, layers.clone()).with_code_size(*code).with_activation(*activation);
                match (variational, seed) {
                    (false, _) => init!(config).map(Network::Autoencoder),
                    (true, Some(seed)) => {
                        config.init_variational_seeded(seed, device).map(Network::VariationalAutoencoder)
                    }
                    (true, None) => config.init_variational(device).map(Network::VariationalAutoencoder),
                }
            }
            Self::SrCnn { kernels, channels, residual } => {
                let image = image_of_outputs(&shape, "SRCNN", num_outputs)?;
                init!(SrCnnConfig::new(image).with_kernels(*kernels).with_channels(*channels).with_residual(*residual))
                    .map(Network::SrCnn)
            }
        }
    }
}

/// The image that goes in and comes out; refused where there are not as many outputs as it has pixels.
fn image_of_outputs(shape: &InputShape, network: &'static str, num_outputs: usize) -> Result<[usize; 3], NetworkError> {
    let image = shape.as_image(network)?;
    if shape.num_features() != num_outputs {
        let right = format!("an image of {} values comes out", shape.num_features());
        return Err(NetworkError::out_of_range("outputs", num_outputs, right));
    }
    Ok(image)
}

impl Network {
    /// The penultimate representation.
    ///
    /// # Shapes
    /// - `inputs`: `[batch_size, num_features]`, images flattened channel by channel, row by row
    /// - output: `[batch_size, feature width]`
    pub fn features(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.features_in(&Values, inputs)
    }

    /// [`Network::features`] over any kind of number.
    pub fn features_in<N: Numbers>(&self, numbers: &N, inputs: N::T<2>) -> N::T<2> {
        match self {
            Self::Mlp(network) => network.features_in(numbers, inputs),
            Self::LeNet(network) => network.features_in(numbers, images(numbers, inputs, network.image_shape())),
            Self::ConvNet(network) => network.features_in(numbers, images(numbers, inputs, network.image_shape())),
            Self::ResNet(network) => network.features_in(numbers, images(numbers, inputs, network.image_shape())),
            Self::VisionTransformer(network) => {
                network.features_in(numbers, images(numbers, inputs, network.image_shape()))
            }
            Self::NextWord(network) => network.features_in(numbers, numbers.value(&inputs).int()),
            Self::Autoencoder(network) => network.likeliest_in(numbers, images(numbers, inputs, network.image_shape())),
            Self::VariationalAutoencoder(network) => {
                network.likeliest_in(numbers, images(numbers, inputs, network.image_shape()))
            }
            Self::SrCnn(_) => inputs,
        }
    }

    /// The outputs, from features.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, feature width]`
    /// - output: `[batch_size, num_outputs]`
    pub fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.head_in(&Values, features)
    }

    /// [`Network::head`] over any kind of number.
    pub fn head_in<N: Numbers>(&self, numbers: &N, features: N::T<2>) -> N::T<2> {
        match self {
            Self::Mlp(network) => network.head_in(numbers, features),
            Self::LeNet(network) => network.head_in(numbers, features),
            Self::ConvNet(network) => network.head_in(numbers, features),
            Self::ResNet(network) => network.head_in(numbers, features),
            Self::VisionTransformer(network) => network.head_in(numbers, features),
            Self::NextWord(network) => network.head_in(numbers, features),
            Self::Autoencoder(network) => numbers.flatten(network.decode_in(numbers, features), 1, 3),
            Self::VariationalAutoencoder(network) => numbers.flatten(network.decode_in(numbers, features), 1, 3),
            Self::SrCnn(network) => {
                let images = images(numbers, features, network.image_shape());
                numbers.flatten(network.forward_in(numbers, images), 1, 3)
            }
        }
    }

    /// `head(features(inputs))`.
    ///
    /// # Shapes
    /// - `inputs`: `[batch_size, num_features]`
    /// - output: `[batch_size, num_outputs]`
    pub fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.forward_in(&Values, inputs)
    }

    /// [`Network::forward`] over any kind of number.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kiln_autodiff::Duals;
    /// use kiln_nn::NetworkConfig;
    ///
    /// let device = Device::flex();
    /// let network = NetworkConfig::mlp([16]).init_seeded(&[4], 3, 1, &device)?;
    /// let inputs = Tensor::<2>::ones([5, 4], &device);
    /// let duals = Duals::new();
    /// let outputs = network.forward_in(&duals, duals.variable(inputs.clone(), inputs));
    /// assert_eq!(duals.tangent(&outputs).dims(), [5, 3]);
    /// # Ok::<(), kiln_nn::NetworkError>(())
    /// ```
    pub fn forward_in<N: Numbers>(&self, numbers: &N, inputs: N::T<2>) -> N::T<2> {
        self.head_in(numbers, self.features_in(numbers, inputs))
    }

    /// The last layer, where it is a linear one.
    pub fn linear_head(&self) -> Option<&Linear> {
        match self {
            Self::Mlp(network) => Some(&network.head),
            Self::LeNet(network) => Some(&network.fc3),
            Self::ConvNet(network) => Some(&network.head),
            Self::ResNet(network) => Some(&network.fc),
            Self::VisionTransformer(network) => Some(&network.head),
            Self::NextWord(network) => match &network.output {
                WordOutput::Linear(layer) => Some(layer),
                WordOutput::Hierarchical(_) => None,
            },
            Self::Autoencoder(_) | Self::VariationalAutoencoder(_) | Self::SrCnn(_) => None,
        }
    }

    /// The same network with another last layer; as it is where that is not a linear one.
    pub fn with_linear_head(mut self, head: Linear) -> Self {
        match &mut self {
            Self::Mlp(network) => network.head = head,
            Self::LeNet(network) => network.fc3 = head,
            Self::ConvNet(network) => network.head = head,
            Self::ResNet(network) => network.fc = head,
            Self::VisionTransformer(network) => network.head = head,
            Self::NextWord(NextWordModel { output: output @ WordOutput::Linear(_), .. }) => {
                *output = WordOutput::Linear(head);
            }
            Self::NextWord(_) | Self::Autoencoder(_) | Self::VariationalAutoencoder(_) | Self::SrCnn(_) => {}
        }
        self
    }

    /// The last layer, where it is a hierarchical softmax.
    pub fn hierarchical_head(&self) -> Option<&HierarchicalSoftmax> {
        match self {
            Self::NextWord(NextWordModel { output: WordOutput::Hierarchical(layer), .. }) => Some(layer),
            _ => None,
        }
    }

    /// The network itself, where it is a variational autoencoder.
    pub fn variational(&self) -> Option<&VariationalAutoencoder> {
        match self {
            Self::VariationalAutoencoder(network) => Some(network),
            _ => None,
        }
    }

    /// The network itself, where it sharpens images of any size.
    pub fn sr_cnn(&self) -> Option<&SrCnn> {
        match self {
            Self::SrCnn(network) => Some(network),
            _ => None,
        }
    }

    /// Number of trainable values.
    pub fn num_parameters(&self) -> usize {
        parameter_count(self)
    }
}

/// Flat rows as images.
fn images<N: Numbers>(numbers: &N, rows: N::T<2>, [channels, height, width]: [usize; 3]) -> N::T<4> {
    let [batch_size, num_features] = numbers.dims(&rows);
    assert_eq!(
        num_features,
        channels * height * width,
        "rows of {num_features} values are not images of shape [{channels}, {height}, {width}]"
    );
    numbers.reshape(rows, [batch_size, channels, height, width])
}
