//! The convolution of images.

mod dense;
mod depthwise;
mod geometry;
mod unfold;

use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, module};
use rayon::prelude::*;

use crate::Real;
use crate::flex::{FlexSlice, element_type, tensor_of};
use geometry::Geometry;

/// Gradients by input, weight and bias; none where it was not wanted.
pub type Gradients = (Option<Tensor<4>>, Option<Tensor<4>>, Option<Tensor<1>>);

/// Whether the kernel computes this convolution: all tensors are `f32`, or all are `f64`, on the Flex device. They may be
/// in its graph; [`forward`] and [`backward`] take what [`Tensor::inner`] gives.
pub fn applies(x: &Tensor<4>, weight: &Tensor<4>, bias: Option<&Tensor<1>>) -> bool {
    let element = element_type(x);
    element.is_some() && element_type(weight) == element && bias.is_none_or(|bias| element_type(bias) == element)
}

/// Burn's convolution: any stride, padding, dilation and groups.
///
/// ```text
/// y[n, o, p] = b[o] + sum_{c, t} W[o, c, t] x[n, c, p stride + t dilation - padding]
/// ```
/// By the kernel for tensors outside the graph to which it [`applies`], else by Burn's [`module::conv2d`]. The kernel
/// unfolds the images tile by tile, so that a tile is multiplied while it is in the processor's cache; convolutions of
/// single pixels and depthwise ones are not unfolded at all.
///
/// # Shapes
/// - `x`: `[batch_size, channels_in, height, width]`
/// - `weight`: `[channels_out, channels_in / groups, kernel height, kernel width]`
/// - `bias`: `[channels_out]`
/// - output: `[batch_size, channels_out, (height + padding - dilation (kernel height - 1) - 1) / stride + 1, ..]`
///
/// # Panics
/// Where the shapes do not fit.
///
/// ```
/// use burn::tensor::ops::ConvOptions;
/// use burn::tensor::{Device, Tensor};
/// use kiln_kernels::conv2d;
///
/// let device = Device::flex();
/// let image = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0]]]], &device);
/// let differences = Tensor::<4>::from_floats([[[[-1.0, 1.0]]]], &device);
/// let y = conv2d::forward(image, differences, None, &ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
/// assert_eq!(y.try_into_vec_as::<f32>().unwrap(), [1.0, 1.0]);
/// ```
pub fn forward(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, options: &ConvOptions<2>) -> Tensor<4> {
    let is_in_graph = x.is_autodiff() || weight.is_autodiff() || bias.as_ref().is_some_and(Tensor::is_autodiff);
    if is_in_graph || !applies(&x, &weight, bias.as_ref()) {
        return module::conv2d(x, weight, bias, options.clone());
    }
    match x.dtype() {
        DType::F64 => forward_in::<f64>(x, weight, bias, options),
        _ => forward_in::<f32>(x, weight, bias, options),
    }
}

fn forward_in<E: Real>(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: &ConvOptions<2>,
) -> Tensor<4> {
    let geometry = Geometry::new(x.dims(), weight.dims(), options);
    let dims = geometry.output_dims();
    if let Some(bias) = &bias {
        assert_eq!(bias.dims(), [dims[1]], "conv2d: the bias does not fit {} output channels", dims[1]);
    }
    let (x, weight, bias) = (FlexSlice::<E>::new(x), FlexSlice::<E>::new(weight), bias.map(FlexSlice::<E>::new));
    let output = if geometry.is_depthwise() { depthwise::output } else { dense::output };
    tensor_of(output(&geometry, x.values(), weight.values(), bias.as_ref().map(FlexSlice::values)), dims)
}

/// The gradients of [`forward`], of an `upstream` gradient of its output. Only those that are `wanted` (by input, weight,
/// bias) are computed.
///
/// # Shapes
/// - `upstream`: that of the output
/// - the gradients have the shapes of what they belong to
///
/// # Panics
/// Where the shapes do not fit, and where the tensors are in a graph or the kernel does not apply to them.
pub fn backward(
    x: Tensor<4>,
    weight: Tensor<4>,
    upstream: Tensor<4>,
    options: &ConvOptions<2>,
    wanted: [bool; 3],
) -> Gradients {
    match upstream.dtype() {
        DType::F64 => backward_in::<f64>(x, weight, upstream, options, wanted),
        _ => backward_in::<f32>(x, weight, upstream, options, wanted),
    }
}

fn backward_in<E: Real>(
    x: Tensor<4>,
    weight: Tensor<4>,
    upstream: Tensor<4>,
    options: &ConvOptions<2>,
    [of_x, of_weight, of_bias]: [bool; 3],
) -> Gradients {
    let (x_dims, weight_dims) = (x.dims(), weight.dims());
    let geometry = Geometry::new(x_dims, weight_dims, options);
    assert_eq!(
        upstream.dims(),
        geometry.output_dims(),
        "conv2d: the shape of the output and that of its gradient differ"
    );
    let g = FlexSlice::<E>::new(upstream);
    let has_no_weights = weight_dims.contains(&0);
    let by_weight = [geometry.groups, geometry.weights(), geometry.out_channels];
    let input_gradient = || {
        if has_no_weights {
            return Tensor::zeros(x_dims, (&Device::flex(), E::DTYPE));
        }
        if geometry.is_depthwise() {
            let weight = FlexSlice::<E>::new(weight);
            return tensor_of(depthwise::input_gradient(&geometry, weight.values(), g.values()), x_dims);
        }
        let [groups, weights, outputs] = by_weight;
        let weight = FlexSlice::<E>::new(weight.reshape([groups, outputs, weights]).swap_dims(1, 2));
        tensor_of(dense::input_gradient(&geometry, weight.values(), g.values()), x_dims)
    };
    let weight_gradient = || {
        if has_no_weights {
            return Tensor::zeros(weight_dims, (&Device::flex(), E::DTYPE));
        }
        let x = FlexSlice::<E>::new(x);
        if geometry.is_depthwise() {
            return tensor_of(depthwise::weight_gradient(&geometry, x.values(), g.values()), weight_dims);
        }
        let gradient = tensor_of::<E, 3>(dense::weight_gradient(&geometry, x.values(), g.values()), by_weight);
        gradient.swap_dims(1, 2).reshape(weight_dims)
    };
    (
        of_x.then(input_gradient),
        of_weight.then(weight_gradient),
        of_bias.then(|| tensor_of(sums_of_channels(&geometry, g.values()), [weight_dims[0]])),
    )
}

/// The sum of each channel over images and places.
fn sums_of_channels<E: Real>(geometry: &Geometry, maps: &[E]) -> Vec<E> {
    const SMALLEST: usize = 16 * 1024;
    let (channels, places) = (geometry.groups * geometry.out_channels, geometry.places());
    let values_of_channel = (geometry.images * places).max(1);
    (0..channels)
        .into_par_iter()
        .with_min_len(SMALLEST.div_ceil(values_of_channel))
        .map(|channel| maps.chunks_exact(places).skip(channel).step_by(channels).map(sum).sum())
        .collect()
}

/// The sum, in as many sums as a vector of the processor has lanes.
fn sum<E: Real>(values: &[E]) -> E {
    const LANES: usize = 16;
    let mut sums = [E::default(); LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += *value);
    }
    sums.iter().chain(rest).copied().sum()
}
