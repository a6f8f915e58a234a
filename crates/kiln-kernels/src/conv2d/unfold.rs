//! Images as columns: one row for every channel and tap, one column for every place of the output.

use std::ops::Range;

use super::geometry::Geometry;
use crate::Real;

/// Writes the pixels that the taps meet at some of the places.
///
/// # Shapes
/// - `image`: a number of channels, each of [`Geometry::pixels`]
/// - `columns`: for each channel and tap a row of `stride` values, of which the first `places.len()` are written
pub(super) fn unfold<E: Real>(
    geometry: &Geometry,
    image: &[E],
    places: Range<usize>,
    columns: &mut [E],
    stride: usize,
) {
    for (index, row) in columns.chunks_exact_mut(stride).enumerate() {
        let (channel, tap) = channel_and_tap(geometry, index);
        let row = &mut row[..places.len()];
        let plane = &image[channel * geometry.pixels()..][..geometry.pixels()];
        if geometry.keeps_width() {
            let run = run_across_lines(geometry, tap, &places);
            row[..run.places.start].fill(E::default());
            row[run.places.end..].fill(E::default());
            row[run.places.clone()].copy_from_slice(&plane[run.first_pixel..][..run.places.len()]);
            clear_sides(geometry, tap, &places, row);
            continue;
        }
        row.fill(E::default());
        for run in runs(geometry, tap, &places) {
            let (row, pixels) = (&mut row[run.places], &plane[run.first_pixel..]);
            match geometry.horizontal.stride {
                1 => row.copy_from_slice(&pixels[..row.len()]),
                step => row.iter_mut().zip(pixels.iter().step_by(step)).for_each(|(value, pixel)| *value = *pixel),
            }
        }
    }
}

/// The transpose of [`unfold`]: adds every value to the pixel that it would have come from. The columns are scratch.
pub(super) fn fold<E: Real>(
    geometry: &Geometry,
    columns: &mut [E],
    stride: usize,
    places: Range<usize>,
    image: &mut [E],
) {
    for (index, row) in columns.chunks_exact_mut(stride).enumerate() {
        let (channel, tap) = channel_and_tap(geometry, index);
        let row = &mut row[..places.len()];
        let plane = &mut image[channel * geometry.pixels()..][..geometry.pixels()];
        if geometry.keeps_width() {
            clear_sides(geometry, tap, &places, row);
            let run = run_across_lines(geometry, tap, &places);
            let pixels = plane[run.first_pixel..].iter_mut();
            pixels.zip(&row[run.places]).for_each(|(pixel, value)| *pixel += *value);
            continue;
        }
        for run in runs(geometry, tap, &places) {
            let (row, pixels) = (&row[run.places], &mut plane[run.first_pixel..]);
            match geometry.horizontal.stride {
                1 => pixels.iter_mut().zip(row).for_each(|(pixel, value)| *pixel += *value),
                step => pixels.iter_mut().step_by(step).zip(row).for_each(|(pixel, value)| *pixel += *value),
            }
        }
    }
}

/// Row and column of a weight in its kernel.
pub(super) type Tap = [usize; 2];

fn channel_and_tap(geometry: &Geometry, row: usize) -> (usize, Tap) {
    let (taps, across) = (geometry.taps(), geometry.horizontal.taps);
    (row / taps, [row % taps / across, row % across])
}

/// Places that follow one another, counted from the first one of the block, and the pixel that the first of them meets.
pub(super) struct Run {
    pub(super) places: Range<usize>,
    pub(super) first_pixel: usize,
}

/// The places of a block at which the tap meets a pixel, line by line.
pub(super) fn runs(geometry: &Geometry, [y, x]: Tap, block: &Range<usize>) -> impl Iterator<Item = Run> + use<> {
    let (vertical, horizontal) = (geometry.vertical, geometry.horizontal);
    let (width, block) = (horizontal.outputs, block.clone());
    let (down, across) = (vertical.inside(y), horizontal.inside(x));
    let lines = down.start.max(block.start / width)..down.end.min(block.end.div_ceil(width));
    lines.filter_map(move |line| {
        let start = (line * width + across.start).max(block.start);
        let end = (line * width + across.end).min(block.end);
        (start < end).then(|| Run {
            places: start - block.start..end - block.start,
            first_pixel: vertical.pixel(line, y) * horizontal.size + horizontal.pixel(start - line * width, x),
        })
    })
}

/// Where lines of the output are as long as those of the image: the places of a block whose line meets the image, as one
/// run. Those beside the image meet the pixel at the other end of a neighbouring line; [`clear_sides`] is about them.
fn run_across_lines(geometry: &Geometry, [y, x]: Tap, block: &Range<usize>) -> Run {
    let (vertical, horizontal) = (geometry.vertical, geometry.horizontal);
    let (down, width) = (vertical.inside(y), horizontal.size);
    // The pixel of place `p` is `p + forth - back`; beside the first and the last line it may lie outside of the image.
    let back = vertical.before * width + horizontal.before;
    let forth = y * vertical.dilation * width + x * horizontal.dilation;
    let start = block.start.max(down.start * width).max(back.saturating_sub(forth));
    let end = block.end.min(down.end * width).min((geometry.pixels() + back).saturating_sub(forth));
    if start >= end {
        return Run { places: 0..0, first_pixel: 0 };
    }
    Run { places: start - block.start..end - block.start, first_pixel: start + forth - back }
}

/// Zeros at the places of a block at which the tap lies beside the image.
fn clear_sides<E: Real>(geometry: &Geometry, [_, x]: Tap, block: &Range<usize>, row: &mut [E]) {
    let (width, across) = (geometry.horizontal.outputs, geometry.horizontal.inside(x));
    if across == (0..width) {
        return;
    }
    for line in block.start / width..block.end.div_ceil(width) {
        for beside in [0..across.start, across.end..width] {
            let start = (line * width + beside.start).max(block.start);
            let end = (line * width + beside.end).min(block.end);
            if start < end {
                row[start - block.start..end - block.start].fill(E::default());
            }
        }
    }
}
