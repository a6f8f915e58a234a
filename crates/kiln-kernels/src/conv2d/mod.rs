//! The convolution of images.

mod dense;
mod depthwise;
mod direct;
pub(crate) mod geometry;
mod unfold;

use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, module};

use crate::Real;
use crate::flex::{FlexSlice, element_type, tensor_of};
use crate::threads::{SMALLEST_HALF, share};
use crate::vector::{FEW_LANES, sum_of_terms};
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
/// By the kernel for tensors outside the graph to which it [`applies`], else by Burn's [`module::conv2d`]. In `f32` a padded
/// copy of an image stays in the processor's cache, in which every tap is a shift, and the sums stay in registers; under
/// 3 x 3 taps with stride 1 the columns of batches are convolved by Winograd's F(4, 3), which multiplies half as often and
/// rounds a little more. Maps whose rows would leave most of a vector empty, and `f64`, are unfolded tile by tile for
/// products of matrices; depthwise convolutions are sums of shifted images.
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
        DType::F64 => forward_in::<f64>(x, weight, bias, options, false),
        _ => forward_in::<f32>(x, weight, bias, options, false),
    }
}

/// `max(0, y)` of the output `y` of [`forward`], which is written once.
///
/// # Shapes
/// Those of [`forward`].
///
/// # Panics
/// Where the shapes do not fit, where the kernel does not apply, and for tensors in a graph.
pub fn forward_rectified(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: &ConvOptions<2>,
) -> Tensor<4> {
    match x.dtype() {
        DType::F64 => forward_in::<f64>(x, weight, bias, options, true),
        _ => forward_in::<f32>(x, weight, bias, options, true),
    }
}

fn forward_in<E: Real>(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: &ConvOptions<2>,
    rectified: bool,
) -> Tensor<4> {
    let geometry = Geometry::new(x.dims(), weight.dims(), options);
    let dims = geometry.output_dims();
    if let Some(bias) = &bias {
        assert_eq!(bias.dims(), [dims[1]], "conv2d: the bias does not fit {} output channels", dims[1]);
    }
    let (x, weight, bias) = (FlexSlice::<E>::new(x), FlexSlice::<E>::new(weight), bias.map(FlexSlice::<E>::new));
    let (x, weight, bias) = (x.values(), weight.values(), bias.as_ref().map(FlexSlice::values));
    match Way::of::<E>(&geometry) {
        Way::Direct => {
            let bias = bias.map(bytemuck::cast_slice);
            let [x, weight] = [x, weight].map(bytemuck::cast_slice);
            tensor_of(direct::output(&geometry, x, weight, bias, rectified), dims)
        }
        Way::Depthwise => tensor_of(depthwise::output(&geometry, x, weight, bias, rectified), dims),
        Way::Unfolded => tensor_of(dense::output(&geometry, x, weight, bias, rectified), dims),
    }
}

/// How a convolution is computed.
enum Way {
    /// One channel at a time.
    Depthwise,
    /// By shifts of padded copies, in `f32`.
    Direct,
    /// By a product of matrices.
    Unfolded,
}

impl Way {
    fn of<E: Real>(geometry: &Geometry) -> Self {
        if geometry.is_depthwise() {
            Self::Depthwise
        } else if E::DTYPE == DType::F32 && direct::suits(geometry) {
            Self::Direct
        } else {
            Self::Unfolded
        }
    }
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
        match Way::of::<E>(&geometry) {
            Way::Direct => {
                let weight = FlexSlice::<E>::new(weight);
                let [weight, g] = [weight.values(), g.values()].map(bytemuck::cast_slice);
                tensor_of(direct::input_gradient(&geometry, weight, g), x_dims)
            }
            Way::Depthwise => {
                let weight = FlexSlice::<E>::new(weight);
                tensor_of(depthwise::input_gradient(&geometry, weight.values(), g.values()), x_dims)
            }
            Way::Unfolded => {
                let [groups, weights, outputs] = by_weight;
                let weight = FlexSlice::<E>::new(weight.reshape([groups, outputs, weights]).swap_dims(1, 2));
                tensor_of(dense::input_gradient(&geometry, weight.values(), g.values()), x_dims)
            }
        }
    };
    let weight_gradient = || {
        if has_no_weights {
            return Tensor::zeros(weight_dims, (&Device::flex(), E::DTYPE));
        }
        let x = FlexSlice::<E>::new(x);
        let gradient: Tensor<3> = match Way::of::<E>(&geometry) {
            Way::Depthwise => {
                return tensor_of(depthwise::weight_gradient(&geometry, x.values(), g.values()), weight_dims);
            }
            Way::Direct => {
                let [pixels, slopes] = [x.values(), g.values()].map(bytemuck::cast_slice);
                let gradient = direct::weight_gradient(&geometry, pixels, slopes);
                // What is no finite number may have come from a pixel that the weight does not meet.
                if gradient.iter().all(|value| value.is_finite()) {
                    tensor_of(gradient, by_weight)
                } else {
                    tensor_of(dense::weight_gradient(&geometry, x.values(), g.values()), by_weight)
                }
            }
            Way::Unfolded => tensor_of(dense::weight_gradient(&geometry, x.values(), g.values()), by_weight),
        };
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
    let (channels, places) = (geometry.groups * geometry.out_channels, geometry.places());
    let mut sums = vec![E::default(); channels];
    let together = (SMALLEST_HALF / 16).div_ceil((geometry.images * places).max(1));
    share(sums.chunks_mut(together).enumerate().collect(), |(part, sums): (usize, &mut [E])| {
        for (channel, sum) in (part * together..).zip(sums) {
            let planes = maps.chunks_exact(places).skip(channel).step_by(channels);
            *sum = planes.map(|plane| sum_of_terms::<_, FEW_LANES>(plane, |value| value)).sum();
        }
    });
    sums
}
