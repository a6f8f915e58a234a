//! Pooling of images: the largest or the mean value of every window.

use std::ops::Range;

use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{DType, Tensor};

use crate::conv2d::geometry::Axis;
use crate::flex::{element_type, tensor_of};
use crate::threads::for_each;
use crate::vector::{Kernel, LANES, sum_of_terms, vectorised};
use crate::{FlexSlice, Real};

/// For every window the tap that met its largest value.
pub struct Largest {
    taps: Vec<u8>,
}

/// Taps of the largest window that [`Largest`] can name.
const MOST_TAPS: usize = 256;

/// Values of a map that are worth the work of about as many multiplications.
const WORK_OF_VALUE: usize = 4;

/// Whether [`max`] takes these images: `f32` or `f64` on the Flex device, in its graph or outside, windows of at most 256
/// pixels that all meet the image, and no incomplete windows.
pub fn max_applies(x: &Tensor<4>, options: &MaxPoolOptions<2>) -> bool {
    let [height, width] = options.kernel_size;
    element_type(x).is_some()
        && !options.ceil_mode
        && height * width <= MOST_TAPS
        && options.dilation == [1, 1]
        && windows_meet(x, options.kernel_size, options.padding)
}

/// The largest value of every window, and where it was met: the last of those that are not a number, where there are any,
/// else the first of equal ones.
///
/// # Shapes
/// - `x`: `[batch_size, channels, height, width]`
/// - output: `[batch_size, channels, (height + padding - window height) / stride + 1, ..]`
///
/// # Panics
/// Where [`max_applies`] is false, and for tensors in a graph.
pub fn max(x: Tensor<4>, options: &MaxPoolOptions<2>) -> (Tensor<4>, Largest) {
    let windows = Windows::new(x.dims(), options.kernel_size, options.stride, options.padding);
    match x.dtype() {
        DType::F64 => max_in::<f64>(x, windows),
        _ => max_in::<f32>(x, windows),
    }
}

fn max_in<E: Real>(x: Tensor<4>, windows: Windows) -> (Tensor<4>, Largest) {
    let dims = windows.output_dims(x.dims());
    let x = FlexSlice::<E>::new(x);
    let (mut largest, mut taps) = (vec![E::default(); dims.iter().product()], vec![0; dims.iter().product()]);
    let places = windows.places();
    let planes = x.values().chunks_exact(windows.pixels());
    let tasks: Vec<_> = planes.zip(largest.chunks_exact_mut(places).zip(taps.chunks_exact_mut(places))).collect();
    let work = x.values().len() * WORK_OF_VALUE;
    let met = &Met::of_row(&windows.across);
    for_each(
        tasks,
        work,
        || (vec![0; windows.across.outputs], vec![E::default(); windows.pixels()]),
        |(row_taps, phases), (plane, (largest, taps))| {
            vectorised(LargestOfPlane { windows, met, plane, phases, largest, taps, row_taps });
        },
    );
    (tensor_of(largest, dims), Largest { taps })
}

/// The gradient of [`max`]: that of a window goes to its largest value.
///
/// # Shapes
/// - `upstream`: that of the output
/// - output: `dims`, those of the input
///
/// # Panics
/// Where the shapes do not fit those of the forward pass.
pub fn max_backward(dims: [usize; 4], options: &MaxPoolOptions<2>, largest: Largest, upstream: Tensor<4>) -> Tensor<4> {
    let windows = Windows::new(dims, options.kernel_size, options.stride, options.padding);
    assert_eq!(upstream.dims(), windows.output_dims(dims), "max_pool2d: the gradient of an output of another shape");
    match upstream.dtype() {
        DType::F64 => max_backward_in::<f64>(dims, windows, &largest, upstream),
        _ => max_backward_in::<f32>(dims, windows, &largest, upstream),
    }
}

fn max_backward_in<E: Real>(dims: [usize; 4], windows: Windows, largest: &Largest, upstream: Tensor<4>) -> Tensor<4> {
    let upstream = FlexSlice::<E>::new(upstream);
    let mut gradient = vec![E::default(); dims.iter().product()];
    let places = windows.places();
    let sources = upstream.values().chunks_exact(places).zip(largest.taps.chunks_exact(places));
    let tasks: Vec<_> = gradient.chunks_exact_mut(windows.pixels()).zip(sources).collect();
    let work = upstream.values().len() * WORK_OF_VALUE;
    let (down, across) = (windows.down, windows.across);
    // From the pixel of a window's first tap, which may lie in the padding, to those of the others.
    let steps: Vec<usize> =
        (0..down.taps * across.taps).map(|tap| tap / across.taps * across.size + tap % across.taps).collect();
    let padding = down.before * across.size + across.before;
    for_each(
        tasks,
        work,
        || (),
        |(), (plane, (upstream, taps))| {
            let mut windows = upstream.iter().zip(taps);
            for row in 0..down.outputs {
                let first = row * down.stride * across.size;
                for (col, (g, tap)) in windows.by_ref().take(across.outputs).enumerate() {
                    plane[first + col * across.stride + steps[usize::from(*tap)] - padding] += *g;
                }
            }
        },
    );
    tensor_of(gradient, dims)
}

/// Whether [`mean`] takes these images: `f32` or `f64` on the Flex device, in its graph or outside, windows that all meet the
/// image, and no incomplete windows.
pub fn mean_applies(x: &Tensor<4>, options: &AvgPoolOptions<2>) -> bool {
    element_type(x).is_some() && !options.ceil_mode && windows_meet(x, options.kernel_size, options.padding)
}

/// The mean of every window, with the zeros of the padding where `options.count_include_pad` is set.
///
/// # Shapes
/// Those of [`max`].
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

/// Whether every window meets at least one pixel, and there is one.
fn windows_meet(x: &Tensor<4>, kernel: [usize; 2], padding: [(usize, usize); 2]) -> bool {
    let [batch_size, channels, height, width] = x.dims();
    let meets = |axis: usize, size: usize| {
        let (before, after) = padding[axis];
        before < kernel[axis] && after < kernel[axis] && size > 0 && size + before + after >= kernel[axis]
    };
    batch_size * channels > 0 && meets(0, height) && meets(1, width)
}

/// The windows of a map.
#[derive(Debug, Clone, Copy)]
struct Windows {
    down: Axis,
    across: Axis,
}

impl Windows {
    fn new(dims: [usize; 4], kernel: [usize; 2], stride: [usize; 2], padding: [(usize, usize); 2]) -> Self {
        let axis = |axis: usize| Axis::new(dims[2 + axis], kernel[axis], stride[axis], 1, padding[axis]);
        Self { down: axis(0), across: axis(1) }
    }

    fn output_dims(&self, [batch_size, channels, ..]: [usize; 4]) -> [usize; 4] {
        [batch_size, channels, self.down.outputs, self.across.outputs]
    }

    fn pixels(&self) -> usize {
        self.down.size * self.across.size
    }

    fn places(&self) -> usize {
        self.down.outputs * self.across.outputs
    }

    /// Whether the only window of a map is the map.
    fn are_whole_maps(&self) -> bool {
        [self.down, self.across].iter().all(|axis| axis.taps == axis.size && axis.before == 0 && axis.outputs == 1)
    }

    /// What each pixel of a window counts, for every place.
    fn shares<E: Real>(&self, counts_padding: bool) -> Vec<E> {
        let counted = |axis: &Axis, output| if counts_padding { axis.taps } else { met(axis, output).len() };
        let cols: Vec<usize> = (0..self.across.outputs).map(|col| counted(&self.across, col)).collect();
        let rows = (0..self.down.outputs).map(|row| counted(&self.down, row));
        rows.flat_map(|row| cols.iter().map(move |col| E::from_f64(1.0 / (row * col) as f64))).collect()
    }
}

/// What the places of a row meet under a tap.
struct Met {
    tap: usize,
    /// The places that meet a pixel.
    places: Range<usize>,
    /// Where the pixel of the first of them lies in a row that is sorted by phase; those of the others follow it.
    first: usize,
}

impl Met {
    /// Under each tap that meets anything.
    fn of_row(axis: &Axis) -> Vec<Self> {
        let of_tap = |tap: usize| {
            let places = axis.inside(tap);
            let pixel = axis.pixel(places.start, tap);
            let first = start_of_phase(axis, pixel % axis.stride) + pixel / axis.stride;
            Self { tap, places, first }
        };
        (0..axis.taps).filter(|tap| !axis.inside(*tap).is_empty()).map(of_tap).collect()
    }
}

struct LargestOfPlane<'a, E> {
    windows: Windows,
    met: &'a [Met],
    plane: &'a [E],
    /// Room for as many pixels.
    phases: &'a mut [E],
    largest: &'a mut [E],
    taps: &'a mut [u8],
    row_taps: &'a mut [u32],
}

impl<E: Real> Kernel for LargestOfPlane<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (down, across) = (self.windows.down, self.windows.across);
        // Neighbouring places see every `stride`th pixel: sorted by phase, these are neighbours.
        let pixels = if across.stride == 1 { self.plane } else { sorted_by_phase(&across, self.plane, self.phases) };
        let rows = self.largest.chunks_exact_mut(across.outputs).zip(self.taps.chunks_exact_mut(across.outputs));
        for (row, (largest, taps)) in rows.enumerate() {
            self.row_taps.fill(NONE);
            for y in met(&down, row) {
                let line = &pixels[down.pixel(row, y) * across.size..][..across.size];
                for Met { tap, places, first } in self.met {
                    let tap = (y * across.taps + tap) as u32;
                    let (largest, met) = (&mut largest[places.clone()], &mut self.row_taps[places.clone()]);
                    take_larger(&line[*first..first + places.len()], tap, largest, met);
                }
            }
            taps.iter_mut().zip(self.row_taps.iter()).for_each(|(tap, met)| *tap = *met as u8);
        }
    }
}

/// The pixels of every row, first every `stride`th one from the first on, then those from the second on, and so on.
#[inline(always)]
fn sorted_by_phase<'p, E: Real>(axis: &Axis, plane: &[E], phases: &'p mut [E]) -> &'p [E] {
    for (line, sorted) in plane.chunks_exact(axis.size).zip(phases.chunks_exact_mut(axis.size)) {
        if axis.stride == 2 {
            let (even, odd) = sorted.split_at_mut(axis.size.div_ceil(2));
            let (pairs, last) = line.as_chunks::<2>();
            for place in 0..odd.len() {
                (even[place], odd[place]) = (pairs[place][0], pairs[place][1]);
            }
            if let [pixel] = last {
                even[odd.len()] = *pixel;
            }
            continue;
        }
        for phase in 0..axis.stride.min(axis.size) {
            let sorted = &mut sorted[start_of_phase(axis, phase)..];
            line[phase..].iter().step_by(axis.stride).zip(sorted).for_each(|(pixel, to)| *to = *pixel);
        }
    }
    phases
}

/// Where the pixels of a phase begin in a sorted row.
fn start_of_phase(axis: &Axis, phase: usize) -> usize {
    (0..phase).map(|phase| (axis.size - phase).div_ceil(axis.stride)).sum()
}

/// No tap has met a pixel yet.
const NONE: u32 = u32::MAX;

/// Places that are worked on side by side.
const WIDE: usize = 16;

/// For every place its pixel under `tap`, where that is larger.
#[inline(always)]
fn take_larger<E: Real>(pixels: &[E], tap: u32, largest: &mut [E], met: &mut [u32]) {
    let len = pixels.len();
    if len < WIDE {
        for place in 0..len {
            take(pixels[place], tap, &mut largest[place], &mut met[place]);
        }
        return;
    }
    let mut start = 0;
    loop {
        let (pixels, largest) = (&pixels[start..start + WIDE], &mut largest[start..start + WIDE]);
        let met = &mut met[start..start + WIDE];
        for place in 0..WIDE {
            take(pixels[place], tap, &mut largest[place], &mut met[place]);
        }
        if start + WIDE == len {
            return;
        }
        // The last vector begins where it ends with the row: to take a pixel again changes nothing.
        start = (start + WIDE).min(len - WIDE);
    }
}

#[inline(always)]
// What is not a number equals nothing, itself included, and is kept.
#[allow(clippy::eq_op)]
fn take<E: Real>(pixel: E, tap: u32, largest: &mut E, met: &mut u32) {
    let is_larger = (*met == NONE) | (pixel > *largest) | (pixel != pixel);
    *largest = if is_larger { pixel } else { *largest };
    *met = if is_larger { tap } else { *met };
}

/// The taps under which a window meets the image.
#[inline(always)]
fn met(axis: &Axis, output: usize) -> Range<usize> {
    let first = output * axis.stride;
    let start = axis.before.saturating_sub(first);
    start..(axis.size + axis.before - first).min(axis.taps)
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
        if self.windows.are_whole_maps() {
            self.means[0] = sum_of_terms::<_, LANES>(self.plane, |value| value) * self.shares[0];
            return;
        }
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
        if self.windows.are_whole_maps() {
            return self.plane.fill(self.upstream[0] * self.shares[0]);
        }
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
