//! The largest value of every window.

use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{DType, Tensor};

use super::{WORK_OF_VALUE, Windows, met, windows_meet};
use crate::conv2d::geometry::Axis;
use crate::flex::{element_type, tensor_of};
use crate::threads::for_each;
use crate::vector::{Kernel, vectorised};
use crate::{FlexSlice, Real};

/// For every window the tap that met its largest value.
pub struct Largest {
    taps: Vec<u8>,
}

/// Taps of the largest window that [`Largest`] can name.
const MOST_TAPS: usize = 256;

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
    let lines = &Lines::new(&windows.across);
    let first_taps = &first_taps(&windows.across);
    for_each(
        tasks,
        work,
        || vec![E::from_f64(f64::NEG_INFINITY); windows.down.size * lines.width],
        |pixels, (plane, (largest, taps))| {
            vectorised(LargestOfPlane { windows, lines, first_taps, plane, pixels, largest, taps });
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

/// Places that are worked on side by side.
const WIDE: usize = 16;

/// Where the pixels of a row lie, so that those of neighbouring places under the same tap are neighbours: sorted by phase,
/// first every `stride`th one, then those that follow them, and so on; with room for the padding, and for places that fill up
/// the last vector.
struct Lines {
    /// Pixels of each phase.
    of_phase: usize,
    /// Pixels of a row.
    width: usize,
    /// Where the pixel of the first place lies under each tap; those of the others follow it.
    of_taps: Vec<usize>,
}

impl Lines {
    fn new(axis: &Axis) -> Self {
        let phases = axis.stride.min(axis.taps);
        let last = (axis.before + axis.size).div_ceil(axis.stride);
        let of_phase = last.max(axis.outputs.next_multiple_of(WIDE) + (axis.taps - 1) / axis.stride);
        let of_taps = (0..axis.taps).map(|tap| tap % axis.stride * of_phase + tap / axis.stride).collect();
        Self { of_phase, width: phases * of_phase, of_taps }
    }

    /// Puts the pixels of a row in their places. The others stay as they are.
    #[inline(always)]
    fn sort<E: Real>(&self, axis: &Axis, row: &[E], sorted: &mut [E]) {
        for (phase, sorted) in sorted.chunks_exact_mut(self.of_phase).enumerate() {
            // The first pixel of the phase, counted from the padding, that lies in the row.
            let first = axis.before + (phase + axis.stride - axis.before % axis.stride) % axis.stride;
            let row = &row[(first - axis.before).min(axis.size)..];
            every_nth(row, axis.stride, &mut sorted[first / axis.stride..]);
        }
    }
}

/// Copies the first number, and then one every `step`.
#[inline(always)]
fn every_nth<E: Real>(numbers: &[E], step: usize, to: &mut [E]) {
    match step {
        1 => to[..numbers.len()].copy_from_slice(numbers),
        2 => {
            let (chunks, rest) = numbers.as_chunks::<{ 2 * WIDE }>();
            let (places, places_of_rest) = to.as_chunks_mut::<WIDE>();
            for (chunk, places) in chunks.iter().zip(places.iter_mut()) {
                *places = std::array::from_fn(|place| chunk[2 * place]);
            }
            let places = places[chunks.len()..].as_flattened_mut().iter_mut().chain(places_of_rest);
            places.zip(rest.iter().step_by(2)).for_each(|(place, number)| *place = *number);
        }
        _ => to.iter_mut().zip(numbers.iter().step_by(step)).for_each(|(place, number)| *place = *number),
    }
}

/// For every place of a row, filled up to whole vectors, the first tap that meets a pixel.
fn first_taps(axis: &Axis) -> Vec<[u32; WIDE]> {
    let first = |place: usize| if place < axis.outputs { met(axis, place).start as u32 } else { 0 };
    let blocks = 0..axis.outputs.div_ceil(WIDE);
    blocks.map(|block| std::array::from_fn(|place| first(block * WIDE + place))).collect()
}

struct LargestOfPlane<'a, E> {
    windows: Windows,
    lines: &'a Lines,
    first_taps: &'a [[u32; WIDE]],
    plane: &'a [E],
    /// Room for the [`Lines`] of all rows, filled with negative infinity: what no pixel is written to is padding.
    pixels: &'a mut [E],
    largest: &'a mut [E],
    taps: &'a mut [u8],
}

impl<E: Real> Kernel for LargestOfPlane<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (down, across) = (self.windows.down, self.windows.across);
        let (lines, pixels) = (self.lines, self.pixels);
        for (row, line) in self.plane.chunks_exact(across.size).zip(pixels.chunks_exact_mut(lines.width)) {
            lines.sort(&across, row, line);
        }
        let rows = self.largest.chunks_exact_mut(across.outputs).zip(self.taps.chunks_exact_mut(across.outputs));
        for (row, (largest, taps)) in rows.enumerate() {
            let rows_met = met(&down, row);
            let met = &pixels[down.pixel(row, rows_met.start) * lines.width..][..rows_met.len() * lines.width];
            let places = largest.chunks_mut(WIDE).zip(taps.chunks_mut(WIDE)).zip(self.first_taps).enumerate();
            for (block, ((largest, taps), first)) in places {
                let first_of_row = (rows_met.start * across.taps) as u32;
                let (values, of_taps) = lines.largest(met, block * WIDE, first_of_row, first);
                largest.copy_from_slice(&values[..largest.len()]);
                taps.copy_from_slice(&of_taps[..taps.len()]);
            }
        }
    }
}

impl Lines {
    /// The largest values of neighbouring places in some lines, and the taps that met them. Numbers of taps count from the
    /// first one of the first line; a place has met the `first` tap that meets a pixel, for in a window of nothing but
    /// negative infinity none is larger.
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn largest<E: Real>(
        &self,
        lines: &[E],
        start: usize,
        first_of_lines: u32,
        first: &[u32; WIDE],
    ) -> ([E; WIDE], [u8; WIDE]) {
        let mut largest = [E::from_f64(f64::NEG_INFINITY); WIDE];
        let mut met = first.map(|tap| tap + first_of_lines);
        let mut tap = first_of_lines;
        for line in lines.chunks_exact(self.width) {
            for of_tap in &self.of_taps {
                let pixels: [E; WIDE] = line[of_tap + start..][..WIDE].as_chunks().0[0];
                for place in 0..WIDE {
                    // What is not a number equals nothing, itself included, and is kept.
                    let is_larger = (pixels[place] > largest[place]) | (pixels[place] != pixels[place]);
                    largest[place] = if is_larger { pixels[place] } else { largest[place] };
                    met[place] = if is_larger { tap } else { met[place] };
                }
                tap += 1;
            }
        }
        (largest, met.map(|tap| tap as u8))
    }
}
