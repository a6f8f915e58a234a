//! Layers that are one operation for plain values, against the composition of Burn's own.

use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, activation, module};
use kiln_autodiff::{Function, Numbers, Values};
use kiln_check::random::normal;
use kiln_check::{assert_close, values};

fn random<const D: usize>(dims: [usize; D]) -> Tensor<D> {
    normal(dims, DType::F64).autodiff()
}

fn layers(has_bias: bool) -> (Conv2d, BatchNorm) {
    let device = Device::flex().autodiff();
    let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
    let mut conv = Conv2dConfig::new([3, 4], [3, 3]).with_padding(same).with_bias(has_bias).init(&device);
    conv.weight = Param::from_tensor(random([4, 3, 3, 3]));
    conv.bias = has_bias.then(|| Param::from_tensor(random([4])));
    let mut norm = BatchNormConfig::new(4).init(&device);
    norm.gamma = Param::from_tensor(random([4]));
    norm.beta = Param::from_tensor(random([4]));
    norm.running_mean = RunningState::new(random([4]));
    norm.running_var = RunningState::new(random([4]).square() + 0.5);
    (conv, norm)
}

/// The composition of Burn's operations.
fn composed(conv: &Conv2d, norm: &BatchNorm, x: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
    let normalised = norm.forward(conv.forward(x));
    let moved = match residual {
        Some(residual) => normalised + residual,
        None => normalised,
    };
    if relu { activation::relu(moved) } else { moved }
}

fn fused(conv: &Conv2d, norm: &BatchNorm, x: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
    Values.normalised_conv2d(conv, norm, x, residual, relu.then_some(Function::Relu))
}

/// Whether something is added, and whether what is negative then becomes zero.
const AFTER: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

#[test]
fn training_gives_outputs_gradients_and_running_statistics_of_burn() {
    for (has_residual, relu) in AFTER {
        let (conv, norm) = layers(false);
        let (x, residual) = (random([3, 3, 6, 5]).require_grad(), random([3, 4, 6, 5]).require_grad());
        let upstream = random([3, 4, 6, 5]);
        let found = [fused, composed].map(|function| {
            // Running statistics move: each side has its own.
            let mut norm = norm.clone();
            norm.running_mean = RunningState::new(norm.running_mean.value());
            norm.running_var = RunningState::new(norm.running_var.value());
            let output = function(&conv, &norm, x.clone(), has_residual.then(|| residual.clone()), relu);
            let gradients = (output.clone() * upstream.clone()).sum().backward();
            let mut all = vec![values(&output), values(&x.grad(&gradients).unwrap())];
            all.push(values(&conv.weight.val().grad(&gradients).unwrap()));
            all.push(values(&norm.gamma.val().grad(&gradients).unwrap()));
            all.push(values(&norm.beta.val().grad(&gradients).unwrap()));
            all.extend(has_residual.then(|| values(&residual.grad(&gradients).unwrap())));
            all.push(values(&norm.running_mean.value_sync()));
            all.push(values(&norm.running_var.value_sync()));
            all
        });
        let [found, expected] = found;
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, expected, 1e-9);
        }
    }
}

#[test]
fn outside_of_graphs_the_normalisation_is_part_of_the_convolution() {
    for (has_residual, relu) in AFTER {
        for has_bias in [false, true] {
            let (conv, norm) = layers(has_bias);
            let (conv, norm) = (conv.valid(), norm.valid());
            let (x, residual) = (random([2, 3, 6, 5]).inner(), random([2, 4, 6, 5]).inner());
            let residual = has_residual.then_some(residual);
            let found = fused(&conv, &norm, x.clone(), residual.clone(), relu);
            assert_close(&values(&found), &values(&composed(&conv, &norm, x, residual, relu)), 1e-10);
        }
    }
}

#[test]
fn frozen_layers_keep_their_statistics_and_pass_gradients_on() {
    let (conv, norm) = layers(false);
    let norm = norm.freeze();
    let x = random([2, 3, 6, 5]).require_grad();
    let before = values(&norm.running_mean.value());
    let [found, expected] = [fused, composed].map(|function| {
        let output = function(&conv, &norm, x.clone(), None, true);
        values(&x.grad(&output.sum().backward()).unwrap())
    });
    assert_close(&found, &expected, 1e-9);
    assert_eq!(values(&norm.running_mean.value_sync()), before);
}

#[test]
fn a_rectified_convolution_is_a_convolution_and_a_relu() {
    for has_bias in [false, true] {
        let (conv, _) = layers(has_bias);
        let x = random([2, 3, 7, 20]).require_grad();
        let upstream = random([2, 4, 7, 20]);
        let [found, expected] = [true, false].map(|is_fused| {
            let output = match is_fused {
                true => Values.activated_conv2d(&conv, x.clone(), Function::Relu),
                false => activation::relu(conv.forward(x.clone())),
            };
            let gradients = (output.clone() * upstream.clone()).sum().backward();
            let of_bias = conv.bias.as_ref().map(|bias| values(&bias.val().grad(&gradients).unwrap()));
            let of_weight = values(&conv.weight.val().grad(&gradients).unwrap());
            (values(&output), values(&x.grad(&gradients).unwrap()), of_weight, of_bias.unwrap_or_default())
        });
        assert_close(&found.0, &expected.0, 1e-10);
        assert_close(&found.1, &expected.1, 1e-10);
        assert_close(&found.2, &expected.2, 1e-10);
        assert_close(&found.3, &expected.3, 1e-10);
        let other = Values.activated_conv2d(&conv, x.clone(), Function::Tanh);
        assert_close(&values(&other), &values(&conv.forward(x).tanh()), 1e-10);
    }
}

#[test]
fn poolings_have_the_gradients_of_burn() {
    let x = random([2, 3, 9, 8]).require_grad();
    let largest = MaxPoolOptions::new([3, 2]).with_stride([2, 2]).with_padding([1, 1]);
    let mean = AvgPoolOptions::new([3, 2]).with_stride([1, 2]).with_padding([1, 1]);
    let gradient = |output: Tensor<4>| values(&x.grad(&output.square().sum().backward()).unwrap());
    let pairs = [
        (Values.max_pool2d(x.clone(), largest.clone()), module::max_pool2d(x.clone(), largest)),
        (Values.avg_pool2d(x.clone(), mean.clone()), module::avg_pool2d(x.clone(), mean)),
        (Values.adaptive_avg_pool2d(x.clone(), [1, 1]), module::adaptive_avg_pool2d(x.clone(), [1, 1])),
        (Values.adaptive_avg_pool2d(x.clone(), [3, 4]), module::adaptive_avg_pool2d(x.clone(), [3, 4])),
        (Values.relu(x.clone()), activation::relu(x.clone())),
    ];
    for (found, expected) in pairs {
        assert_close(&values(&found), &values(&expected), 1e-12);
        assert_close(&gradient(found), &gradient(expected), 1e-12);
    }
}
