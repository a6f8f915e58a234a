//! Networks whose layers are kernels in single precision have the outputs and gradients of Burn's operations in double
//! precision.

use burn::module::Module;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor};
use kiln_autodiff::Tangent;
use kiln_check::random;
use kiln_check::{assert_close, values};
use kiln_nn::{
    Activation, DecoderTransformerConfig, MlpConfig, MlpNorm, TokenPooling, VisionTransformerConfig, cast_floats,
};

/// Outputs, and the gradient of the sum of their squares.
fn outputs_and_gradient<M: Module, const D: usize>(network: &M, outputs: Tensor<D>) -> [Vec<f64>; 2] {
    let gradients = outputs.clone().powi_scalar(2).sum().backward();
    [values(&outputs), values(&Tangent::from_gradients(network, &gradients).to_flat())]
}

#[track_caller]
fn assert_same<M: Module, const D: usize>(network: M, forward: impl Fn(&M, FloatDType) -> Tensor<D>) {
    let double = cast_floats(network.clone(), FloatDType::F64);
    let actual = outputs_and_gradient(&network, forward(&network, FloatDType::F32));
    let expected = outputs_and_gradient(&double, forward(&double, FloatDType::F64));
    for (actual, expected) in actual.iter().zip(&expected) {
        let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let parts = |values: &[f64]| values.iter().map(|value| value / largest).collect::<Vec<_>>();
        assert_close(&parts(actual), &parts(expected), 1e-5);
    }
}

fn normal<const D: usize>(dims: [usize; D]) -> Tensor<D> {
    random::normal(dims, DType::F32).autodiff()
}

#[test]
fn perceptrons() {
    for activation in Activation::ALL {
        for norm in [MlpNorm::None, MlpNorm::Layer] {
            let config = MlpConfig::new(5, vec![37, 18], 3).with_norm(norm).with_activation(activation);
            let x = normal([33, 5]);
            let network = config.init_seeded(1, &Device::flex().autodiff()).unwrap();
            assert_same(network, |network, dtype| network.forward(x.clone().cast(dtype)));
        }
    }
}

#[test]
fn vision_transformers() {
    for pooling in [TokenPooling::ClassToken, TokenPooling::Mean] {
        let config = VisionTransformerConfig::new([2, 28, 28], 10)
            .with_patch_size(4)
            .with_dimension(48)
            .with_depth(2)
            .with_pooling(pooling);
        let images = normal([5, 2, 28, 28]);
        let network = config.init_seeded(1, &Device::flex().autodiff()).unwrap();
        assert_same(network, |network, dtype| network.forward(images.clone().cast(dtype)));
    }
}

#[test]
fn causal_transformers() {
    let config = DecoderTransformerConfig::new(11, 90).with_dimension(24).with_depth(2).with_num_heads(3);
    let device = Device::flex().autodiff();
    let tokens = Tensor::<1, Int>::arange(0..160, &device).remainder_scalar(11).reshape([2, 80]);
    let network = config.init_seeded(1, &device).unwrap();
    assert_same(network, |network, _| network.forward(tokens.clone()));
}
