//! Every network has the weights' names and the values of its counterpart in PyTorch.
//!
//! The files in `fixtures` are made by `peers/nn/fixtures.py`, which says how weights and inputs are made again.

use burn::module::Module;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use kiln_nn::{
    Activation, AutoencoderConfig, CoderLayers, ConvNetConfig, DecoderTransformerConfig, LeNetConfig, MlpConfig,
    MlpNorm, NgramConfig, ResNetConfig, Shortcut, SrCnnConfig, TokenPooling, VisionTransformerConfig, cast_floats,
    load_safetensors,
};
use safetensors::tensor::TensorView;
use serde::Deserialize;
use std::path::PathBuf;

/// Largest difference from PyTorch in double precision, in single and double precision.
const TOLERANCES: [(FloatDType, f64); 2] = [(FloatDType::F32, 1e-5), (FloatDType::F64, 1e-12)];

#[derive(Deserialize)]
struct Fixture {
    input_shape: Vec<usize>,
    /// Offset, scale and phase, or the words themselves.
    inputs: Vec<f64>,
    tensors: Vec<StoredTensor>,
    features: Vec<f64>,
    outputs: Vec<f64>,
}

#[derive(Deserialize)]
struct StoredTensor {
    name: String,
    shape: Vec<usize>,
    /// Offset, scale and phase; none for what has no meaning to a network.
    values: Option<[f64; 3]>,
}

impl Fixture {
    fn read(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.json"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// The network with PyTorch's weights, read from a file that PyTorch could have written.
    fn load<M: Module>(&self, network: M) -> M {
        let bytes: Vec<(&StoredTensor, Vec<u8>)> = self.tensors.iter().map(|tensor| (tensor, tensor.bytes())).collect();
        let views = bytes.iter().map(|(tensor, bytes)| {
            let dtype = if tensor.values.is_some() { safetensors::Dtype::F32 } else { safetensors::Dtype::I64 };
            (tensor.name.as_str(), TensorView::new(dtype, tensor.shape.clone(), bytes).unwrap())
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        safetensors::serialize_to_file(views, None, &path).unwrap();
        load_safetensors(network, path).unwrap()
    }

    fn inputs<const D: usize>(&self, dtype: FloatDType) -> Tensor<D> {
        let [offset, scale, phase] = self.inputs[..] else { panic!("inputs are no words") };
        let values = chirp(self.input_shape.iter().product(), [offset, scale, phase]);
        let data = TensorData::new(values, self.input_shape.clone());
        Tensor::<D>::from_data(data, (&Device::flex(), DType::F32)).cast(dtype)
    }

    fn words(&self) -> Tensor<2, Int> {
        let words: Vec<i64> = self.inputs.iter().map(|&word| word as i64).collect();
        Tensor::from_data(TensorData::new(words, self.input_shape.clone()), &Device::flex())
    }
}

impl StoredTensor {
    fn bytes(&self) -> Vec<u8> {
        let count = self.shape.iter().product();
        match self.values {
            Some(values) => chirp(count, values).into_iter().flat_map(f32::to_le_bytes).collect(),
            None => vec![1; 8 * count],
        }
    }
}

/// `offset + scale sin(0.37 i + 0.011 i^2 + phase)`
fn chirp(count: usize, [offset, scale, phase]: [f64; 3]) -> Vec<f32> {
    let value = |index: usize| {
        let index = index as f64;
        offset + scale * (0.37 * index + 0.011 * (index * index) + phase).sin()
    };
    (0..count).map(|index| value(index) as f32).collect()
}

#[track_caller]
fn assert_values<const D: usize>(actual: Tensor<D>, expected: &[f64], tolerance: f64) {
    let actual: Vec<f64> = actual.into_data().iter::<f64>().collect();
    assert_eq!(actual.len(), expected.len());
    let size = expected.iter().fold(1.0f64, |size, value| size.max(value.abs()));
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let difference = (actual - expected).abs() / size;
        assert!(difference <= tolerance, "value {index}: {actual} and PyTorch's {expected}, {difference:.1e} apart");
    }
}

/// Loads the fixture's weights into a network, and compares features and outputs in both precisions.
macro_rules! assert_is_pytorchs {
    ($name:expr, $config:expr, $inputs:expr) => {{
        let (fixture, config) = (Fixture::read($name), $config);
        for (dtype, tolerance) in TOLERANCES {
            let network = cast_floats(fixture.load(config.init_seeded(1, &Device::flex()).unwrap()), dtype);
            let inputs = $inputs(&fixture, dtype);
            let features = network.features(inputs);
            assert_values(features.clone(), &fixture.features, tolerance);
            assert_values(network.head(features), &fixture.outputs, tolerance);
        }
    }};
}

fn words(fixture: &Fixture, _dtype: FloatDType) -> Tensor<2, Int> {
    fixture.words()
}

#[test]
fn image_networks() {
    let fixture = Fixture::read("autoencoder");
    let config = AutoencoderConfig::new([2, 9, 8], CoderLayers::Convolutional { channels: vec![3, 4] })
        .with_code_size(5)
        .with_activation(Activation::Tanh);
    for (dtype, tolerance) in TOLERANCES {
        let network = cast_floats(fixture.load(config.init_seeded(1, &Device::flex()).unwrap()), dtype);
        let codes = network.encode(fixture.inputs(dtype));
        assert_values(codes.clone(), &fixture.features, tolerance);
        assert_values(network.decode(codes), &fixture.outputs, tolerance);
    }
    let fixture = Fixture::read("srcnn");
    let config = SrCnnConfig::new([1, 7, 9]).with_kernels([5, 1, 3]).with_channels([4, 3]);
    for (dtype, tolerance) in TOLERANCES {
        let network = cast_floats(fixture.load(config.init_seeded(1, &Device::flex()).unwrap()), dtype);
        assert_values(network.forward(fixture.inputs(dtype)), &fixture.outputs, tolerance);
    }
}

#[test]
fn perceptrons() {
    let norms = [
        ("mlp", MlpNorm::None, Activation::Relu),
        ("mlp-batch", MlpNorm::Batch, Activation::Gelu),
        ("mlp-layer", MlpNorm::Layer, Activation::Tanh),
    ];
    for (name, norm, activation) in norms {
        let config = MlpConfig::new(5, vec![7, 6], 3).with_norm(norm).with_activation(activation);
        assert_is_pytorchs!(name, config, Fixture::inputs::<2>);
    }
}

#[test]
fn lenet() {
    let config = LeNetConfig::new([2, 16, 20], 3).with_channels([4, 6]).with_hidden([10, 8]);
    assert_is_pytorchs!("lenet", config, Fixture::inputs::<4>);
}

#[test]
fn convnet() {
    let config = ConvNetConfig::new([3, 9, 14], 3).with_channels([4, 6, 8]).with_activation(Activation::LeakyRelu);
    assert_is_pytorchs!("convnet", config, Fixture::inputs::<4>);
}

#[test]
fn residual_networks() {
    let cifar = ResNetConfig::new(8, [3, 9, 10], 3).with_width(Some(4));
    assert_is_pytorchs!("resnet8-padding", cifar.clone().with_shortcut(Some(Shortcut::Padding)), Fixture::inputs::<4>);
    assert_is_pytorchs!("resnet8-projection", cifar.with_shortcut(Some(Shortcut::Projection)), Fixture::inputs::<4>);
    let imagenet = ResNetConfig::new(18, [3, 64, 66], 3).with_width(Some(4));
    assert_is_pytorchs!("resnet18", imagenet, Fixture::inputs::<4>);
}

#[test]
fn vision_transformers() {
    let config = VisionTransformerConfig::new([2, 8, 12], 3)
        .with_patch_size(4)
        .with_dimension(12)
        .with_depth(2)
        .with_num_heads(3)
        .with_mlp_ratio(2);
    assert_is_pytorchs!("vit-class-token", config.clone(), Fixture::inputs::<4>);
    assert_is_pytorchs!("vit-mean", config.with_pooling(TokenPooling::Mean), Fixture::inputs::<4>);
}

#[test]
fn ngram_language_model() {
    let config = NgramConfig::new(11, 3).with_embedding(4).with_hidden(vec![8, 6]).with_activation(Activation::Silu);
    assert_is_pytorchs!("ngram", config, words);
}

#[test]
fn gpt2() {
    let config = DecoderTransformerConfig::new(11, 6).with_dimension(12).with_depth(2).with_num_heads(3);
    assert_is_pytorchs!("gpt2-tied", config.clone(), words);
    assert_is_pytorchs!("gpt2-untied", config.with_tied(false), words);
}
