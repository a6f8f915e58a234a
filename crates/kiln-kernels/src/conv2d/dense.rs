//! Convolutions as products of matrices: the kernels times the unfolded images, tile by tile.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::geometry::Geometry;
use super::unfold::{fold, unfold};
use crate::Real;
use crate::flex::written;
use crate::matrix::{Block, MatrixView, Start, rows_of};
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
        const LANES: usize = 16;
        const BLOCK: usize = 64;
        let budget = TILE_BYTES / size_of::<E>();
        let (places, weights) = (geometry.places().max(1), geometry.weights().max(1));
        let tiles = places.div_ceil((budget / weights).clamp(FEWEST_PLACES, MOST_PLACES));
        let places = if tiles == 1 { places } else { places.div_ceil(tiles).next_multiple_of(BLOCK) };
        let channels = (budget / (places * geometry.taps())).clamp(1, geometry.in_channels.max(1));
        // An odd number of cache lines: the rows of a tile do not compete for the same places of the cache.
        let lines = places.div_ceil(LANES) | 1;
        Self { places, channels, stride: lines * LANES }
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

/// `y = W * x + b`
pub(super) fn output<E: Real>(geometry: &Geometry, x: &[E], weight: &[E], bias: Option<&[E]>) -> Vec<E> {
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
                let mut start = bias.map_or(Start::Zero, |bias| Start::EveryCol(group_of(bias, group, outputs)));
                if geometry.in_channels == 0 {
                    return block.set_product(kernels, rows_of(&[], 0, tile.len()), start);
                }
                let mut is_first = true;
                for channels in tiling.channel_blocks(geometry) {
                    let kernels = kernels.cols(channels.start * geometry.taps()..channels.end * geometry.taps());
                    let columns = columns_of(geometry, &tiling, x, [image, group], channels, tile.clone(), columns);
                    if is_first {
                        block.set_product(kernels, columns, std::mem::replace(&mut start, Start::Zero));
                        is_first = false;
                    } else {
                        // SAFETY: the first product has written every element.
                        unsafe { block.add_product(kernels, columns) }
                    }
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
                return Block::of_numbers(part, rows.len(), pixels).set_product(kernels, g, Start::Zero);
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
            let mut sum = Block::of_numbers(sum, channels.len() * taps, outputs);
            for image in images {
                let g = group_of(upstream, image * geometry.groups + group, outputs * places);
                let g = rows_of(g, outputs, places);
                for tile in tiling.tiles(geometry) {
                    let at = [image, group];
                    let columns = columns_of(geometry, &tiling, x, at, channels.clone(), tile.clone(), columns);
                    // SAFETY: the sums are numbers from the start.
                    unsafe { sum.add_product(columns, g.cols(tile).t()) }
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
