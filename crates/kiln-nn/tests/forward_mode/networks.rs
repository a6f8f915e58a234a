//! The classifiers under test, in double precision.

use burn::module::Module;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use kiln_nn::{
    Activation, MlpNorm, Network, NetworkConfig, Shortcut, TokenPooling, VisionTransformerSize, cast_floats,
};

pub fn mlp(norm: MlpNorm, activation: Activation) -> NetworkConfig {
    NetworkConfig::Mlp { hidden: vec![12, 7], activation, dropout: 0.0, norm }
}

pub fn resnet(depth: usize, shortcut: Shortcut, activation: Activation) -> NetworkConfig {
    NetworkConfig::ResNet { depth, shortcut: Some(shortcut), width: Some(4), activation }
}

pub fn vit(pooling: TokenPooling, activation: Activation) -> NetworkConfig {
    NetworkConfig::Vit { size: VisionTransformerSize::Micro, patch_size: None, pooling, activation, dropout: 0.0 }
}

/// Networks without a kink.
pub fn smooth() -> Vec<NetworkConfig> {
    vec![
        NetworkConfig::mlp([]),
        mlp(MlpNorm::None, Activation::Tanh),
        mlp(MlpNorm::Batch, Activation::Gelu),
        mlp(MlpNorm::Layer, Activation::Softplus),
        resnet(8, Shortcut::Padding, Activation::Silu),
        resnet(8, Shortcut::Projection, Activation::Gelu),
        resnet(18, Shortcut::Projection, Activation::Silu),
        vit(TokenPooling::ClassToken, Activation::Gelu),
        vit(TokenPooling::Mean, Activation::GeluTanh),
    ]
}

/// Every kind of network with smooth and with other activations; pooling takes the largest pixels.
pub fn all() -> Vec<NetworkConfig> {
    let mut networks = smooth();
    networks.extend([
        NetworkConfig::LeNet { activation: Activation::Silu },
        NetworkConfig::ConvNet { channels: [4, 6, 8], activation: Activation::Gelu, dropout: 0.0 },
        NetworkConfig::lenet(),
        NetworkConfig::ConvNet { channels: [4, 6, 8], activation: Activation::Relu, dropout: 0.0 },
        resnet(8, Shortcut::Padding, Activation::Relu),
        resnet(18, Shortcut::Projection, Activation::Relu),
    ]);
    networks.extend(Activation::ALL.map(|activation| mlp(MlpNorm::None, activation)));
    networks
}

/// The network for `1 x side x side` pixels and three classes, for inference unless the device is one of autodiff.
pub fn init(config: &NetworkConfig, side: usize, device: &Device) -> Network {
    let network = config.init_seeded(&[1, side, side], 3, 1, device);
    let network = cast_floats(network.unwrap_or_else(|error| panic!("{config:?}: {error}")), FloatDType::F64);
    if device.is_autodiff() { network } else { network.valid() }
}

/// Values without pattern in about `[-1.4, 1.4]`.
pub fn tensor(dims: [usize; 2], seed: u64) -> Tensor<2> {
    let value = |index: usize| 1.4 * ((index as f64 * 12.9898 + seed as f64 * 78.233).sin() * 43_758.545_3).fract();
    let values: Vec<f64> = (0..dims[0] * dims[1]).map(value).collect();
    Tensor::from_data(TensorData::new(values, dims), (&Device::flex(), DType::F64))
}

/// Classes of a batch of four.
pub fn targets() -> Tensor<1, Int> {
    Tensor::from_ints([2, 0, 1, 1], &Device::flex())
}
