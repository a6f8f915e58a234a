//! Networks shared by several methods, each written once.
//!
//! Every classifier gives its penultimate representation and its last layer separately, because many methods need
//! them apart: `forward(x) = head(features(x))`.
//!
//! | network | for | weights' names |
//! |---|---|---|
//! | [`Mlp`] | rows of a table, flattened images | `layers.N`, `norms.N`, `head` |
//! | [`LeNet`] | small images | `conv1`, `conv2`, `fc1`, `fc2`, `fc3` |
//! | [`ConvNet`] | small images, with batch normalisation | `convs.N`, `norms.N`, `head` |
//! | [`ResNet`] | images; depths 8 to 56 (CIFAR), 18 and 34 | torchvision's |
//! | [`VisionTransformer`] | images; micro, tiny, small, base | timm's |
//! | [`Autoencoder`], [`VariationalAutoencoder`] | images through a code | `encoder`, `code` or `code.mean` and `code.log_variance`, `decoder` |
//! | [`SrCnn`] | enlarged images, made sharp | `conv1`, `conv2`, `conv3` |
//! | [`NgramLanguageModel`] | the next word from the last few | `encoder.embedding`, `encoder.layers.N`, `head` |
//! | [`DecoderTransformer`] | text | GPT-2's |
//! | [`NextWordModel`] | the next word, each context a row | `encoder`, `output` |
//!
//! Each forward pass is written once over `kiln_autodiff::Numbers`: `forward` evaluates it in tensors, `forward_in` in
//! dual numbers, jets and the like, for derivatives of second order and beyond.
//!
//! [`Network`] is any of the classifiers behind one face that takes flat rows, and [`NetworkConfig`] describes it in
//! a file or on a command line. [`save_safetensors`] and [`load_safetensors`] exchange weights with PyTorch.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use kiln_nn::NetworkConfig;
//!
//! let device = Device::flex();
//! let network = NetworkConfig::mlp([128, 64]).init_seeded(&[1, 8, 8], 10, 42, &device)?;
//! let features = network.features(Tensor::zeros([32, 64], &device));
//! let logits = network.head(features);
//! assert_eq!(logits.dims(), [32, 10]);
//! # Ok::<(), kiln_nn::NetworkError>(())
//! ```
//!
//! # Reproducible weights
//!
//! Burn draws initial weights lazily from one generator a device, which all threads share: two networks built at the
//! same time get different weights from run to run. Networks here draw from streams of their own instead
//! ([`WeightStream`]). `init_seeded(seed, device)` gives the same weights on every platform, in any order and from any
//! thread; `init(device)` takes its seed from the device's generator, so that `device.seed(..)` works as people expect.
//! Dropout draws from the device's generator too, unless a `kiln_autodiff::DropoutStream` gives the thread that trains
//! masks of its own.

mod activation;
mod autoencoder;
mod convnet;
mod decoder_transformer;
mod error;
mod float_type;
mod hierarchical_softmax;
mod image_coder;
mod input_shape;
mod lenet;
mod mlp;
mod network;
mod next_word;
mod ngram;
mod parameter_count;
mod resnet;
mod sr_cnn;
mod vision_transformer;
mod weight_stream;
mod weights;

pub use activation::Activation;
pub use autoencoder::{Autoencoder, AutoencoderConfig, CodeLayer, CoderLayers, GaussianCode, VariationalAutoencoder};
pub use convnet::{ConvNet, ConvNetConfig};
pub use decoder_transformer::{
    DecoderAttention, DecoderBlock, DecoderMlp, DecoderTransformer, DecoderTransformerConfig, Projection,
};
pub use error::NetworkError;
pub use float_type::cast_floats;
pub use hierarchical_softmax::{HierarchicalSoftmax, HierarchicalSoftmaxConfig};
pub use image_coder::{ImageDecoder, ImageEncoder};
pub use input_shape::InputShape;
pub use lenet::{LeNet, LeNetConfig};
pub use mlp::{Mlp, MlpConfig, MlpNorm};
pub use network::{Network, NetworkConfig};
pub use next_word::{NextWordConfig, NextWordModel, WordEncoder, WordEncoderConfig, WordOutput, WordOutputKind};
pub use ngram::{NgramConfig, NgramEncoder, NgramLanguageModel};
pub use parameter_count::parameter_count;
pub use resnet::{BasicBlock, ResNet, ResNetConfig, Shortcut, Stem};
pub use sr_cnn::{SrCnn, SrCnnConfig};
pub use vision_transformer::{
    EncoderAttention, EncoderBlock, EncoderMlp, PatchEmbedding, TokenPooling, VisionTransformer,
    VisionTransformerConfig, VisionTransformerSize,
};
pub use weight_stream::{WeightDistribution, WeightStream};
pub use weights::{WeightsError, load_safetensors, save_safetensors};
