//! Convolutions as products of matrices: the kernels times the unfolded images, tile by tile.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::geometry::Geometry;
use super::unfold::{fold, unfold};
use crate::Real;
use crate::flex::written;
use crate::matrix::{Block, MatrixView, Start, Threads, multiply, rows_of};
use crate::rectify::rectify;
use crate::threads::for_each;

/// Bytes of an unfolded tile: it stays in the second-level cache between its making and its use.
const TILE_BYTES: usize = 256 * 1024;

/// Tiles of many places keep the products long, those of few leave room for channels.
const FEWEST_PLACES: usize = 128;
const MOST_PLACES: usize = 1024;

/// How the columns are cut. It depends on the sizes alone.
struct Tiling {
    /// Places of a tile.
    places: usize,
    /// Channels of a tile.
    channels: usize,
    /// From one row of a tile to the next.
    stride: usize,
}

impl Tiling {
    fn new<E>(geometry: &Geometry) -> Self {
        /// Numbers of a line of the cache, in single precision.
        const LINE: usize = 16;
        const BLOCK: usize = 64;
        let budget = TILE_BYTES / size_of::<E>();
        let (places, weights) = (geometry.places().max(1), geometry.weights().max(1));
        let tiles = places.div_ceil((budget / weights).clamp(FEWEST_PLACES, MOST_PLACES));
        let places = if tiles == 1 { places } else { places.div_ceil(tiles).next_multiple_of(BLOCK) };
        let channels = (budget / (places * geometry.taps())).clamp(1, geometry.in_channels.max(1));
        // An odd number of cache lines: the rows of a tile do not compete for the same places of the cache.
        let lines = places.div_ceil(LINE) | 1;
        Self { places, channels, stride: lines * LINE }
    }

    fn tiles(&self, geometry: &Geometry) -> impl Iterator<Item = Range<usize>> + use<> {
        parts(geometry.places(), self.places)
    }

    fn channel_blocks(&self, geometry: &Geometry) -> impl Iterator<Item = Range<usize>> + use<> {
        parts(geometry.in_channels, self.channels)
    }

    /// Room for the columns of one tile.
    fn scratch<E: Real>(&self, geometry: &Geometry) -> Vec<E> {
        let rows = if geometry.is_pointwise() { 0 } else { self.channels * geometry.taps() };
        vec![E::default(); rows * self.stride]
    }
}

/// `0..length` in parts of `size`, the last one shorter.
fn parts(length: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length).step_by(size).map(move |start| start..(start + size).min(length))
}

/// `y = W * x + b`, what is negative made zero where it is `rectified`.
pub(super) fn output<E: Real>(
    geometry: &Geometry,
    x: &[E],
    weight: &[E],
    bias: Option<&[E]>,
    rectified: bool,
) -> Vec<E> {
    let tiling = Tiling::new::<E>(geometry);
    let (outputs, weights, places) = (geometry.out_channels, geometry.weights(), geometry.places());
    let write = |memory: &mut [MaybeUninit<E>]| {
        let mut tasks = Vec::new();
        let mut rest = memory;
        for image in 0..geometry.images {
            for group in 0..geometry.groups {
                let (maps, others) = rest.split_at_mut(outputs * places);
                rest = others;
                let mut maps = Block::of_rows(maps, outputs, places);
                for tile in tiling.tiles(geometry) {
                    let (block, others) = maps.split_cols(tile.len());
                    maps = others;
                    tasks.push((image, group, tile, block));
                }
            }
        }
        for_each(
            tasks,
            geometry.work(),
            || tiling.scratch(geometry),
            |columns, (image, group, tile, mut block)| {
                let kernels = group_of(weight, group, outputs * weights);
                let kernels = rows_of(kernels, outputs, weights);
                let start = bias.map_or(Start::Zero, |bias| Start::EveryCol(group_of(bias, group, outputs)));
                let kernels_of = |channels: &Range<usize>| {
                    kernels.cols(channels.start * geometry.taps()..channels.end * geometry.taps())
                };
                let mut channel_blocks = tiling.channel_blocks(geometry);
                // Without input channels the product is empty, and the output the bias.
                let first = channel_blocks.next().unwrap_or(0..0);
                let kernels = kernels_of(&first);
                let pixels = columns_of(geometry, &tiling, x, [image, group], first, tile.clone(), columns);
                let mut maps = block.set_product(kernels, pixels, start);
                for channels in channel_blocks {
                    let kernels = kernels_of(&channels);
                    let pixels = columns_of(geometry, &tiling, x, [image, group], channels, tile.clone(), columns);
                    maps.add_product(kernels, pixels);
                }
                if rectified {
                    (0..maps.num_rows()).for_each(|map| rectify(maps.row_mut(map)));
                }
            },
        );
    };
    // SAFETY: the tiles of all maps make up the output.
    unsafe { written(geometry.images * geometry.groups * outputs * places, write) }
}

/// The pixels under some channels' taps at the places of a tile, a row for each channel and tap: those of the image itself
/// where they lie there, else unfolded into `memory`.
fn columns_of<'a, E: Real>(
    geometry: &Geometry,
    tiling: &Tiling,
    x: &'a [E],
    [image, group]: [usize; 2],
    channels: Range<usize>,
    tile: Range<usize>,
    memory: &'a mut [E],
) -> MatrixView<'a, E> {
    let (pixels, rows) = (geometry.pixels(), channels.len() * geometry.taps());
    let image = group_of(x, image * geometry.groups + group, geometry.in_channels * pixels);
    let image = &image[channels.start * pixels..channels.end * pixels];
    if geometry.is_pointwise() {
        return rows_of(image, rows, pixels).cols(tile);
    }
    let memory = &mut memory[..rows * tiling.stride];
    unfold(geometry, image, tile.clone(), memory, tiling.stride);
    MatrixView::strided(memory, [rows, tile.len()], [tiling.stride, 1])
}

/// `dL/dx = fold(W^T g)`, of a weight `[groups, weights, out_channels]`: products read it faster so.
pub(super) fn input_gradient<E: Real>(geometry: &Geometry, weight: &[E], upstream: &[E]) -> Vec<E> {
    let tiling = Tiling::new::<E>(geometry);
    let (outputs, weights, places) = (geometry.out_channels, geometry.weights(), geometry.places());
    let (pixels, taps) = (geometry.pixels(), geometry.taps());
    let mut gradient = vec![E::default(); geometry.images * geometry.groups * geometry.in_channels * pixels];
    let mut tasks = Vec::new();
    let mut rest = gradient.as_mut_slice();
    for image in 0..geometry.images {
        for group in 0..geometry.groups {
            for channels in tiling.channel_blocks(geometry) {
                let (part, others) = rest.split_at_mut(channels.len() * pixels);
                rest = others;
                tasks.push((image, group, channels, part));
            }
        }
    }
    for_each(
        tasks,
        geometry.work(),
        || tiling.scratch(geometry),
        |columns, (image, group, channels, part)| {
            let rows = channels.start * taps..channels.end * taps;
            let kernels = rows_of(group_of(weight, group, weights * outputs), weights, outputs).rows(rows.clone());
            let g = group_of(upstream, image * geometry.groups + group, outputs * places);
            let g = rows_of(g, outputs, places);
            if geometry.is_pointwise() {
                return multiply(part, 0.0, 1.0, kernels, g, Threads::Caller);
            }
            for tile in tiling.tiles(geometry) {
                let columns = &mut columns[..rows.len() * tiling.stride];
                let (mut block, _) = Block::of_numbers(columns, rows.len(), tiling.stride).split_cols(tile.len());
                block.set_product(kernels, g.cols(tile.clone()), Start::Zero);
                fold(geometry, columns, tiling.stride, tile, part);
            }
        },
    );
    gradient
}

/// Parts that the images are summed in, and values that these parts together may have.
const MOST_PARTS: usize = 16;
const MOST_VALUES: usize = 1 << 23;

/// `dL/dW = sum over images of g unfold(x)^T`, `[groups, weights, out_channels]`
pub(super) fn weight_gradient<E: Real>(geometry: &Geometry, x: &[E], upstream: &[E]) -> Vec<E> {
    let tiling = Tiling::new::<E>(geometry);
    let (outputs, weights, places) = (geometry.out_channels, geometry.weights(), geometry.places());
    let (taps, values) = (geometry.taps(), geometry.groups * weights * outputs);
    // Images are summed in parts, and the parts in their order: how many threads there are changes nothing.
    let images_of_part = geometry.images.div_ceil(MOST_PARTS.min((MOST_VALUES / values).max(1))).max(1);
    let num_parts = geometry.images.div_ceil(images_of_part).max(1);
    let mut sums = vec![E::default(); num_parts * values];
    let mut tasks = Vec::new();
    let mut rest = sums.as_mut_slice();
    for images in parts(geometry.images, images_of_part) {
        for group in 0..geometry.groups {
            for channels in tiling.channel_blocks(geometry) {
                let (sum, others) = rest.split_at_mut(channels.len() * taps * outputs);
                rest = others;
                tasks.push((images.clone(), group, channels, sum));
            }
        }
    }
    for_each(
        tasks,
        geometry.work(),
        || tiling.scratch(geometry),
        |columns, (images, group, channels, sum)| {
            for image in images {
                let g = group_of(upstream, image * geometry.groups + group, outputs * places);
                let g = rows_of(g, outputs, places);
                for tile in tiling.tiles(geometry) {
                    let at = [image, group];
                    let columns = columns_of(geometry, &tiling, x, at, channels.clone(), tile.clone(), columns);
                    multiply(sum, 1.0, 1.0, columns, g.cols(tile).t(), Threads::Caller);
                }
            }
        },
    );
    let (total, others) = sums.split_at_mut(values);
    for part in others.chunks_exact(values) {
        total.iter_mut().zip(part).for_each(|(total, value)| *total += *value);
    }
    sums.truncate(values);
    sums
}

/// Entry `index` of a slice of entries of `len`.
fn group_of<E>(values: &[E], index: usize, len: usize) -> &[E] {
    &values[index * len..(index + 1) * len]
}
