//! The mean value of every window.

use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{DType, Tensor};

use super::{WORK_OF_VALUE, Windows, met, windows_meet};
use crate::flex::{element_type, tensor_of};
use crate::rows::{numbers_of_task, rows_of_task};
use crate::threads::{for_each, share};
use crate::vector::{FEW_LANES, Kernel, sum_of_terms, vectorised};
use crate::{FlexSlice, Real};

/// Whether [`mean`] takes these images: `f32` or `f64` on the Flex device, in its graph or outside, windows that all meet the
/// image, and no incomplete windows.
pub fn mean_applies(x: &Tensor<4>, options: &AvgPoolOptions<2>) -> bool {
    element_type(x).is_some() && !options.ceil_mode && windows_meet(x, options.kernel_size, options.padding)
}

/// The mean of every window, with the zeros of the padding where `options.count_include_pad` is set.
///
/// # Shapes
/// Those of [`super::max`].
///
/// # Panics
/// Where [`mean_applies`] is false, and for tensors in a graph.
pub fn mean(x: Tensor<4>, options: &AvgPoolOptions<2>) -> Tensor<4> {
    let windows = Windows::new(x.dims(), options.kernel_size, options.stride, options.padding);
    match x.dtype() {
        DType::F64 => mean_in::<f64>(x, windows, options.count_include_pad),
        _ => mean_in::<f32>(x, windows, options.count_include_pad),
    }
}

fn mean_in<E: Real>(x: Tensor<4>, windows: Windows, counts_padding: bool) -> Tensor<4> {
    let dims = windows.output_dims(x.dims());
    let x = FlexSlice::<E>::new(x);
    let shares = windows.shares(counts_padding);
    let mut means = vec![E::default(); dims.iter().product()];
    if windows.are_whole_maps() {
        let pieces = x.values().chunks(numbers_of_task(windows.pixels()));
        let tasks = pieces.zip(means.chunks_mut(rows_of_task(windows.pixels()))).collect();
        share(tasks, |(planes, means)| vectorised(MeansOfMaps { planes, share: shares[0], means }));
        return tensor_of(means, dims);
    }
    let planes = x.values().chunks_exact(windows.pixels());
    let tasks: Vec<_> = planes.zip(means.chunks_exact_mut(windows.places())).collect();
    let work = x.values().len() * WORK_OF_VALUE;
    for_each(
        tasks,
        work,
        || (),
        |(), (plane, means)| {
            vectorised(MeanOfPlane { windows, plane, shares: &shares, means });
        },
    );
    tensor_of(means, dims)
}

/// The gradient of [`mean`]: every pixel of a window gets its share.
///
/// # Shapes
/// - `upstream`: that of the output
/// - output: `dims`, those of the input
///
/// # Panics
/// Where the shapes do not fit those of the forward pass.
pub fn mean_backward(dims: [usize; 4], options: &AvgPoolOptions<2>, upstream: Tensor<4>) -> Tensor<4> {
    let windows = Windows::new(dims, options.kernel_size, options.stride, options.padding);
    assert_eq!(upstream.dims(), windows.output_dims(dims), "avg_pool2d: the gradient of an output of another shape");
    match upstream.dtype() {
        DType::F64 => mean_backward_in::<f64>(dims, windows, options.count_include_pad, upstream),
        _ => mean_backward_in::<f32>(dims, windows, options.count_include_pad, upstream),
    }
}

fn mean_backward_in<E: Real>(
    dims: [usize; 4],
    windows: Windows,
    counts_padding: bool,
    upstream: Tensor<4>,
) -> Tensor<4> {
    let upstream = FlexSlice::<E>::new(upstream);
    let shares = windows.shares(counts_padding);
    let mut gradient = vec![E::default(); dims.iter().product()];
    if windows.are_whole_maps() {
        let pieces = gradient.chunks_mut(numbers_of_task(windows.pixels()));
        let tasks = pieces.zip(upstream.values().chunks(rows_of_task(windows.pixels()))).collect();
        share(tasks, |(planes, upstream)| vectorised(SharesOfMaps { upstream, share: shares[0], planes }));
        return tensor_of(gradient, dims);
    }
    let tasks: Vec<_> =
        gradient.chunks_exact_mut(windows.pixels()).zip(upstream.values().chunks_exact(windows.places())).collect();
    let work = upstream.values().len() * WORK_OF_VALUE;
    for_each(
        tasks,
        work,
        || vec![E::default(); windows.across.outputs],
        |row, (plane, upstream)| {
            vectorised(SharesOfPlane { windows, upstream, shares: &shares, row, plane });
        },
    );
    tensor_of(gradient, dims)
}

/// The means of whole maps.
struct MeansOfMaps<'a, E> {
    planes: &'a [E],
    /// What each pixel counts.
    share: E,
    means: &'a mut [E],
}

impl<E: Real> Kernel for MeansOfMaps<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let planes = self.planes.chunks_exact(self.planes.len() / self.means.len());
        for (mean, plane) in self.means.iter_mut().zip(planes) {
            *mean = sum_of_terms::<_, FEW_LANES>(plane, |value| value) * self.share;
        }
    }
}

/// Their gradients.
struct SharesOfMaps<'a, E> {
    upstream: &'a [E],
    /// What each pixel counts.
    share: E,
    planes: &'a mut [E],
}

impl<E: Real> Kernel for SharesOfMaps<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let planes = self.planes.chunks_exact_mut(self.planes.len() / self.upstream.len());
        planes.zip(self.upstream).for_each(|(plane, g)| plane.fill(*g * self.share));
    }
}

struct MeanOfPlane<'a, E> {
    windows: Windows,
    plane: &'a [E],
    shares: &'a [E],
    means: &'a mut [E],
}

impl<E: Real> Kernel for MeanOfPlane<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (down, across) = (self.windows.down, self.windows.across);
        for (row, means) in self.means.chunks_exact_mut(across.outputs).enumerate() {
            for y in met(&down, row) {
                let line = &self.plane[down.pixel(row, y) * across.size..][..across.size];
                for x in 0..across.taps {
                    let inside = across.inside(x);
                    if !inside.is_empty() {
                        let pixels = &line[across.pixel(inside.start, x)..];
                        add_steps(pixels, across.stride, &mut means[inside]);
                    }
                }
            }
        }
        self.means.iter_mut().zip(self.shares).for_each(|(mean, share)| *mean = *mean * *share);
    }
}

/// Adds to every sum the pixel that it meets: the first one, and then one every `step`.
#[inline(always)]
fn add_steps<E: Real>(pixels: &[E], step: usize, sums: &mut [E]) {
    match step {
        1 => sums.iter_mut().zip(pixels).for_each(|(sum, pixel)| *sum += *pixel),
        2 => {
            // All but the last one have a neighbour.
            let last = sums.len() - 1;
            let (pairs, _) = pixels[..2 * last].as_chunks::<2>();
            sums[..last].iter_mut().zip(pairs).for_each(|(sum, pair)| *sum += pair[0]);
            sums[last] += pixels[2 * last];
        }
        _ => sums.iter_mut().zip(pixels.iter().step_by(step)).for_each(|(sum, pixel)| *sum += *pixel),
    }
}

struct SharesOfPlane<'a, E> {
    windows: Windows,
    upstream: &'a [E],
    shares: &'a [E],
    row: &'a mut [E],
    plane: &'a mut [E],
}

impl<E: Real> Kernel for SharesOfPlane<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (down, across) = (self.windows.down, self.windows.across);
        let rows = self.upstream.chunks_exact(across.outputs).zip(self.shares.chunks_exact(across.outputs));
        for (row, (upstream, shares)) in rows.enumerate() {
            let of_places = self.row.iter_mut().zip(upstream.iter().zip(shares));
            of_places.for_each(|(of_pixel, (g, share))| *of_pixel = *g * *share);
            for y in met(&down, row) {
                let line = &mut self.plane[down.pixel(row, y) * across.size..][..across.size];
                for x in 0..across.taps {
                    let inside = across.inside(x);
                    if !inside.is_empty() {
                        let pixels = line[across.pixel(inside.start, x)..].iter_mut().step_by(across.stride);
                        pixels.zip(&self.row[inside]).for_each(|(pixel, share)| *pixel += *share);
                    }
                }
            }
        }
    }
}
