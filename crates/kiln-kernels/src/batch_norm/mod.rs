//! Batch normalisation of maps and of rows, together with what often follows it: an addition and a rectification.

mod channel;
mod maps;
mod rows;

use std::mem::MaybeUninit;

use burn::tensor::{DType, Tensor};

use crate::flex::{element_type, tensor_of, written};
use crate::rectify;
use crate::{FlexSlice, Real};
use channel::{Affine, Spread, Sums};
use maps::{Layer, Maps};

/// Entries of a channel in one example that are worth the kernel, where there is more than one.
const FEWEST_PIXELS: usize = 8;

/// What is done to the normalised maps.
#[derive(Debug, Clone)]
pub struct After<const D: usize> {
    /// Added to them.
    pub residual: Option<Tensor<D>>,
    /// Whether what is negative then becomes zero.
    pub rectified: bool,
}

/// Maps normalised with the statistics of their batch.
pub struct Trained<const D: usize> {
    /// The normalised maps, `[batch_size, channels, ..]`.
    pub output: Tensor<D>,
    /// Mean of each channel.
    pub mean: Tensor<1>,
    /// Mean squared distance from it.
    pub variance: Tensor<1>,
}

/// Whether the kernels take these maps: one pixel a channel or some, all tensors of `f32`, or all of `f64`, on the Flex
/// device. They may be in its graph; the functions here take what [`Tensor::inner`] gives.
pub fn applies<const D: usize>(x: &Tensor<D>, parameters: [&Tensor<1>; 2], residual: Option<&Tensor<D>>) -> bool {
    let dims = x.dims();
    let element = element_type(x);
    let pixels = dims.iter().skip(2).product::<usize>();
    D > 1
        && dims[0] * dims[1] > 0
        && (pixels == 1 || pixels >= FEWEST_PIXELS)
        && element.is_some()
        && parameters.iter().all(|parameter| element_type(*parameter) == element)
        && residual.is_none_or(|residual| element_type(residual) == element && residual.dims() == dims)
}

/// Normalisation with the statistics of the batch:
///
/// ```text
/// y = f((x - mean) gamma / sqrt(variance + epsilon) + beta + residual)
/// ```
/// with mean and variance (that of the batch itself, divided by its size) over examples and pixels, and `f` the identity or
/// `max(0, .)`.
///
/// # Shapes
/// - `x`, residual and output: `[batch_size, channels, ..]`
/// - `gamma`, `beta`: `[channels]`
///
/// # Panics
/// Where the shapes do not fit, where [`applies`] is false, and for tensors in a graph.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_kernels::batch_norm::{After, train};
///
/// let device = Device::flex();
/// let x = Tensor::<1>::from_floats([3.0, 5.0, 3.0, 5.0, 3.0, 5.0, 3.0, 5.0], &device).reshape([1, 1, 8]);
/// let (gamma, beta) = (Tensor::ones([1], &device), Tensor::zeros([1], &device));
/// let y = train(x, gamma, beta, 1e-12, After { residual: None, rectified: true });
/// assert_eq!(y.mean.into_scalar::<f32>(), 4.0);
/// assert_eq!(y.output.try_into_vec_as::<f32>().unwrap()[..2], [0.0, 1.0]);
/// ```
pub fn train<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    after: After<D>,
) -> Trained<D> {
    match x.dtype() {
        DType::F64 => train_in::<f64, D>(x, gamma, beta, epsilon, after),
        _ => train_in::<f32, D>(x, gamma, beta, epsilon, after),
    }
}

fn train_in<E: Real, const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    after: After<D>,
) -> Trained<D> {
    let dims = x.dims();
    check(&dims, [&gamma, &beta], after.residual.as_ref());
    let maps = maps_of(dims);
    let x = FlexSlice::<E>::new(x);
    let [gamma, beta] = [gamma, beta].map(FlexSlice::<E>::new);
    let spreads = if maps.pixels == 1 { rows::spreads(x.values(), maps.channels) } else { maps.spreads(x.values()) };
    let affine = |(channel, spread): (usize, &Spread)| {
        Affine::new(spread.mean, spread.variance(), epsilon, gamma.values()[channel], beta.values()[channel])
    };
    let affines: Vec<_> = spreads.iter().enumerate().map(affine).collect();
    let output = finished(maps, &affines, &x, after);
    let each = |of: fn(&Spread) -> f64| {
        tensor_of(spreads.iter().map(|spread| E::from_f64(of(spread))).collect::<Vec<E>>(), [maps.channels])
    };
    Trained { output: tensor_of(output, dims), mean: each(|spread| spread.mean), variance: each(Spread::variance) }
}

/// Normalisation with known statistics: [`train`] with the given mean and variance.
///
/// # Shapes
/// Those of [`train`]; `mean`, `variance`: `[channels]`
///
/// # Panics
/// As [`train`].
pub fn apply<const D: usize>(
    x: Tensor<D>,
    [mean, variance]: [Tensor<1>; 2],
    [gamma, beta]: [Tensor<1>; 2],
    epsilon: f64,
    after: After<D>,
) -> Tensor<D> {
    match x.dtype() {
        DType::F64 => apply_in::<f64, D>(x, [mean, variance, gamma, beta], epsilon, after),
        _ => apply_in::<f32, D>(x, [mean, variance, gamma, beta], epsilon, after),
    }
}

fn apply_in<E: Real, const D: usize>(
    x: Tensor<D>,
    parameters: [Tensor<1>; 4],
    epsilon: f64,
    after: After<D>,
) -> Tensor<D> {
    let dims = x.dims();
    check(&dims, parameters.each_ref(), after.residual.as_ref());
    let maps = maps_of(dims);
    let [mean, variance, gamma, beta] = parameters.map(FlexSlice::<E>::new);
    let affine = |channel: usize| {
        let at = |values: &FlexSlice<E>| values.values()[channel];
        Affine::new(at(&mean).to_f64(), at(&variance).to_f64(), epsilon, at(&gamma), at(&beta))
    };
    let affines: Vec<_> = (0..maps.channels).map(affine).collect();
    tensor_of(finished(maps, &affines, &FlexSlice::<E>::new(x), after), dims)
}

fn finished<E: Real, const D: usize>(maps: Maps, affines: &[Affine<E>], x: &FlexSlice<E>, after: After<D>) -> Vec<E> {
    let residual = after.residual.map(FlexSlice::<E>::new);
    let residual = residual.as_ref().map(FlexSlice::values);
    if maps.pixels == 1 {
        rows::finished(affines, x.values(), residual, after.rectified)
    } else {
        maps.finished(affines, x.values(), residual, after.rectified)
    }
}

fn maps_of<const D: usize>(dims: [usize; D]) -> Maps {
    Maps { examples: dims[0], channels: dims[1], pixels: dims[2..].iter().product() }
}

/// What [`backward`] needs of a call of [`train`].
pub struct Saved<const D: usize> {
    /// The input.
    pub x: Tensor<D>,
    /// The statistics of the batch.
    pub statistics: [Tensor<1>; 2],
    /// `gamma` and `beta`.
    pub parameters: [Tensor<1>; 2],
    /// What was added inside the square root.
    pub epsilon: f64,
    /// The output, where something was added and rectified: its zeros do not follow from the rest.
    pub output: Option<Tensor<D>>,
    /// Whether something was added.
    pub has_residual: bool,
    /// Whether the output was rectified.
    pub rectified: bool,
}

/// Gradients by input, `gamma`, `beta` and residual.
pub type Gradients<const D: usize> = (Tensor<D>, Tensor<1>, Tensor<1>, Option<Tensor<D>>);

/// The gradients of [`train`]. With `u = (x - mean) / sqrt(variance + epsilon)` and `h` the upstream gradient where the
/// output was not rectified, zero elsewhere:
///
/// ```text
/// dL/dgamma = sum(h u)    dL/dbeta = sum(h)    dL/dresidual = h
/// dL/dx = gamma / sqrt(variance + epsilon) (h - mean(h) - u mean(h u))
/// ```
///
/// # Panics
/// Where the shapes do not fit.
pub fn backward<const D: usize>(saved: Saved<D>, upstream: Tensor<D>) -> Gradients<D> {
    match upstream.dtype() {
        DType::F64 => backward_in::<f64, D>(saved, upstream),
        _ => backward_in::<f32, D>(saved, upstream),
    }
}

fn backward_in<E: Real, const D: usize>(saved: Saved<D>, upstream: Tensor<D>) -> Gradients<D> {
    let dims = saved.x.dims();
    assert_eq!(upstream.dims(), dims, "batch_norm: the shape of the output and that of its gradient differ");
    check(&dims, saved.statistics.each_ref(), saved.output.as_ref());
    check(&dims, saved.parameters.each_ref(), None);
    let maps = maps_of(dims);
    let [mean, variance] = saved.statistics.map(FlexSlice::<E>::new);
    let [gamma, beta] = saved.parameters.map(FlexSlice::<E>::new);
    let at = |values: &FlexSlice<E>, channel: usize| values.values()[channel];
    let affine = |channel| {
        let (mean, variance) = (at(&mean, channel).to_f64(), at(&variance, channel).to_f64());
        Affine::new(mean, variance, saved.epsilon, at(&gamma, channel), at(&beta, channel))
    };
    let affines: Vec<_> = (0..maps.channels).map(affine).collect();
    let x = FlexSlice::<E>::new(saved.x);
    let (of_x, sums, of_residual) = if maps.pixels == 1 {
        backward_of_rows(&affines, &x, saved.output, saved.rectified, saved.has_residual, upstream)
    } else {
        let finished = saved.output.map(FlexSlice::<E>::new);
        let finished = finished.as_ref().map(FlexSlice::values);
        let layer = Layer { maps, affines, x: x.values(), finished, rectified: saved.rectified };
        backward_of_maps(&layer, saved.has_residual, upstream)
    };
    let of_channels = |of: fn(&Sums) -> f64| {
        tensor_of(sums.iter().map(|sums| E::from_f64(of(sums))).collect::<Vec<E>>(), [maps.channels])
    };
    (of_x, of_channels(|sums| sums.along), of_channels(|sums| sums.total), of_residual)
}

/// The gradients by input and residual of maps of one pixel, and the sums over each channel.
fn backward_of_rows<E: Real, const D: usize>(
    affines: &[Affine<E>],
    x: &FlexSlice<E>,
    output: Option<Tensor<D>>,
    rectified: bool,
    has_residual: bool,
    upstream: Tensor<D>,
) -> (Tensor<D>, Vec<Sums>, Option<Tensor<D>>) {
    let (upstream, rectified) = match output {
        Some(output) => (rectify::backward(output, upstream), false),
        None => (upstream, rectified),
    };
    let of_residual = has_residual.then(|| upstream.clone());
    let mut of_x = FlexSlice::<E>::new(upstream);
    let sums = rows::backward(affines, x.values(), rectified, of_x.values_mut());
    (of_x.into_tensor(), sums, of_residual)
}

/// As [`backward_of_rows`], of maps of some pixels.
fn backward_of_maps<E: Real, const D: usize>(
    layer: &Layer<'_, E>,
    has_residual: bool,
    upstream: Tensor<D>,
) -> (Tensor<D>, Vec<Sums>, Option<Tensor<D>>) {
    let dims = upstream.dims();
    let mut upstream = FlexSlice::<E>::new(upstream);
    let sums = layer.sums(upstream.values());
    if !has_residual {
        // The gradient takes the place of the upstream gradient, which goes no further.
        layer.propagate(&sums, upstream.values_mut(), None);
        return (upstream.into_tensor(), sums, None);
    }
    let write = |memory: &mut [MaybeUninit<E>]| layer.propagate(&sums, upstream.values_mut(), Some(memory));
    // SAFETY: the output is as long as the upstream gradient, and `propagate` writes every entry of it.
    let of_x = unsafe { written(dims.iter().product(), write) };
    (tensor_of(of_x, dims), sums, Some(upstream.into_tensor()))
}

/// Asserts that there is a number for every channel, and that what lies beside the maps has their shape.
fn check<const D: usize, const N: usize>(dims: &[usize; D], of_channels: [&Tensor<1>; N], beside: Option<&Tensor<D>>) {
    for vector in of_channels {
        let channels = vector.dims();
        assert!(
            channels[0] == dims[1],
            "batch_norm: maps of shape {dims:?} and channels of shape {channels:?} do not fit"
        );
    }
    if let Some(beside) = beside.map(Tensor::dims) {
        assert!(beside == *dims, "batch_norm: maps of shape {dims:?} and others of shape {beside:?} do not fit");
    }
}
