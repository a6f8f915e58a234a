//! Convolutions: linear in the input and in the weight.

use burn::nn::conv::{Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d};
use burn::nn::{PaddingConfig1d, PaddingConfig2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Tensor, module};

use super::{Numbers, kernels};

/// Axis of the channels.
const CHANNELS: usize = 1;

pub(super) fn conv1d<N: Numbers>(numbers: &N, layer: &Conv1d, x: N::T<3>) -> N::T<3> {
    let [_, _, length] = numbers.dims(&x);
    let padding = [padding_of_conv1d(layer, length)];
    let options = ConvOptions::new_with_padding([layer.stride], padding, [layer.dilation], layer.groups);
    let bias = layer.bias.as_ref().map(|bias| numbers.parameter(bias));
    let weight = numbers.parameter(&layer.weight);
    numbers.affine(x, weight, bias, CHANNELS, |x, weight, bias| module::conv1d(x, weight, bias, options.clone()))
}

pub(super) fn conv2d<N: Numbers>(numbers: &N, layer: &Conv2d, x: N::T<4>) -> N::T<4> {
    conv2d_by(numbers, layer, x, kernels::conv2d)
}

/// The convolution by a function of input, weight, bias and options.
pub(super) fn conv2d_by<N: Numbers>(
    numbers: &N,
    layer: &Conv2d,
    x: N::T<4>,
    convolve: impl Fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>, ConvOptions<2>) -> Tensor<4>,
) -> N::T<4> {
    let [_, _, height, width] = numbers.dims(&x);
    let padding = padding_of_conv2d(layer, height, width);
    let options = ConvOptions::new_with_padding(layer.stride, padding, layer.dilation, layer.groups);
    let bias = layer.bias.as_ref().map(|bias| numbers.parameter(bias));
    let weight = numbers.parameter(&layer.weight);
    numbers.affine(x, weight, bias, CHANNELS, |x, weight, bias| convolve(x, weight, bias, options.clone()))
}

/// Zeros before and after the sequence.
pub(crate) fn padding_of_conv1d(layer: &Conv1d, length: usize) -> (usize, usize) {
    match layer.padding {
        PaddingConfig1d::Valid => (0, 0),
        PaddingConfig1d::Same => same_padding(length, layer.kernel_size, layer.stride),
        PaddingConfig1d::Explicit(left, right) => (left, right),
    }
}

/// Zeros above and below, left and right of the image.
pub(crate) fn padding_of_conv2d(layer: &Conv2d, height: usize, width: usize) -> [(usize, usize); 2] {
    match layer.padding {
        PaddingConfig2d::Valid => [(0, 0); 2],
        PaddingConfig2d::Same => {
            let along = |axis: usize, size| same_padding(size, layer.kernel_size[axis], layer.stride[axis]);
            [along(0, height), along(1, width)]
        }
        PaddingConfig2d::Explicit(top, left, bottom, right) => [(top, bottom), (left, right)],
    }
}

/// Zeros before and after, so that the output has `ceil(size / stride)` entries; of an odd number, one more after.
fn same_padding(size: usize, kernel_size: usize, stride: usize) -> (usize, usize) {
    let covered = size.div_ceil(stride).saturating_sub(1) * stride + kernel_size;
    let total = if size == 0 { 0 } else { covered.saturating_sub(size) };
    (total / 2, total - total / 2)
}

pub(super) fn conv_transpose1d<N: Numbers>(numbers: &N, layer: &ConvTranspose1d, x: N::T<3>) -> N::T<3> {
    let options =
        ConvTransposeOptions::new([layer.stride], [layer.padding], [layer.padding_out], [layer.dilation], layer.groups);
    let bias = layer.bias.as_ref().map(|bias| numbers.parameter(bias));
    let weight = numbers.parameter(&layer.weight);
    numbers
        .affine(x, weight, bias, CHANNELS, |x, weight, bias| module::conv_transpose1d(x, weight, bias, options.clone()))
}

pub(super) fn conv_transpose2d<N: Numbers>(numbers: &N, layer: &ConvTranspose2d, x: N::T<4>) -> N::T<4> {
    let options =
        ConvTransposeOptions::new(layer.stride, layer.padding, layer.padding_out, layer.dilation, layer.groups);
    let bias = layer.bias.as_ref().map(|bias| numbers.parameter(bias));
    let weight = numbers.parameter(&layer.weight);
    numbers
        .affine(x, weight, bias, CHANNELS, |x, weight, bias| module::conv_transpose2d(x, weight, bias, options.clone()))
}
