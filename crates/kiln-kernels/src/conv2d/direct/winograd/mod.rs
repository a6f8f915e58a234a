//! Winograd's F(4, 3) down the columns of 3 x 3 convolutions with stride 1.

mod transforms;
mod weight;

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use super::correlate::{Correlate, lanes, maps_of_tile};
use super::cover::Cover;
use crate::conv2d::geometry::{Axis, Geometry};
use crate::flex::written;
use crate::threads::for_each;
use transforms::{Join, See};

/// Rows of the result that are computed together, rows of the source that they see, and taps of a kernel on an axis.
const ROWS: usize = 4;
const SEEN: usize = 6;
const TAPS: usize = 3;

/// Numbers of a task that stay in the second-level cache.
const CACHED: usize = 128 * 1024;
/// Fewer channels do not pay for what is done to every source and every map.
const FEWEST_CHANNELS: usize = 8;
/// Tasks below which threads would have nothing to do.
const FEWEST_TASKS: usize = 8;
/// The largest share of the multiplications of the plain sums, at which the rest is paid for.
const WORTH: f64 = 0.8;

/// Results that are sums over 3 x 3 neighbours, four rows at a time:
///
/// ```text
/// y = A^T sum_c (G w_c) . (B^T d_c)
/// ```
/// with six rows `d` of the source, the taps `w` of each of three columns, and a product that is a convolution along the row.
/// Six rows are multiplied where the plain sums multiply twelve. The largest error of layers with 16 to 128 channels is 1e-6
/// to 4e-6 of the largest result, two to three times that of plain sums. A number that is not finite would reach results that
/// do not see it.
///
/// Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308.
pub(super) struct Winograd {
    images: usize,
    groups: usize,
    sources: usize,
    maps: usize,
    down: Walk,
    across: Walk,
    work: usize,
}

/// Result `o` of an axis sees the sources `o - before`, `.. + 1`, `.. + 2`.
#[derive(Clone, Copy)]
struct Walk {
    sources: usize,
    before: usize,
    results: usize,
}

impl Winograd {
    /// Of the output, where the axes are of that kind.
    pub(super) fn of_output(geometry: &Geometry) -> Option<Self> {
        let walk = |axis: Axis| Walk { sources: axis.size, before: axis.before, results: axis.outputs };
        Self::new(geometry, [geometry.in_channels, geometry.out_channels], |axis| Some(walk(axis)))
    }

    /// Of the gradient by the input, a convolution of the output's gradient, where the axes are of that kind.
    pub(super) fn of_input_gradient(geometry: &Geometry) -> Option<Self> {
        let walk = |axis: Axis| {
            let before = (TAPS - 1).checked_sub(axis.before)?;
            Some(Walk { sources: axis.outputs, before, results: axis.size })
        };
        Self::new(geometry, [geometry.out_channels, geometry.in_channels], walk)
    }

    fn new(geometry: &Geometry, [sources, maps]: [usize; 2], walk: impl Fn(Axis) -> Option<Walk>) -> Option<Self> {
        let Geometry { images, groups, vertical, horizontal, .. } = *geometry;
        if !is_plain(&vertical) || !is_plain(&horizontal) {
            return None;
        }
        let (down, across) = (walk(vertical)?, walk(horizontal)?);
        Some(Self { images, groups, sources, maps, down, across, work: geometry.work() })
    }

    /// Whether it is faster than plain sums.
    pub(super) fn pays(&self) -> bool {
        if self.sources.min(self.maps) < FEWEST_CHANNELS || self.images < FEWEST_TASKS {
            return false;
        }
        let images = self.images_of_task();
        self.is_worth(self.vectors(images * self.strips()), images * self.vectors(self.down.results))
    }

    /// Whether products of six rows with so many vectors take little enough beside those of nine taps.
    fn is_worth(&self, own: usize, plain: usize) -> bool {
        (SEEN * TAPS * own) as f64 <= WORTH * (TAPS * TAPS * plain) as f64
    }

    /// That cover so many rows of a result.
    fn vectors(&self, rows: usize) -> usize {
        Cover::vectors([rows, self.across.results], self.width(), lanes())
    }

    /// Groups of four rows of a result.
    fn strips(&self) -> usize {
        self.down.results.div_ceil(ROWS)
    }

    /// Of a padded row of a source.
    fn width(&self) -> usize {
        self.across.results + TAPS - 1
    }

    fn images_of_task(&self) -> usize {
        (CACHED / self.numbers_of_image()).clamp(1, (self.images / FEWEST_TASKS).max(1))
    }

    /// What the rows of an image and those of its results take between the transforms.
    fn numbers_of_image(&self) -> usize {
        SEEN * (self.sources + self.maps) * self.strips() * self.width()
    }

    /// Numbers of the sources of a group.
    fn of_sources(&self) -> usize {
        self.sources * self.down.sources * self.across.sources
    }

    /// Numbers of the results of a group.
    fn of_maps(&self) -> usize {
        self.maps * self.down.results * self.across.results
    }

    /// Image, row of the result and column where a place of the strips begins.
    fn place(&self, place: usize) -> (usize, usize, usize) {
        let (strip, col) = (place / self.across.results, place % self.across.results);
        (strip / self.strips(), strip % self.strips() * ROWS, col)
    }

    /// The results, negative ones made zero where they are `rectified`; nothing where one is not finite.
    /// `weight_of(group, map, source, [y, x])` is the weight between two of them under a tap.
    pub(super) fn compute(
        &self,
        source: &[f32],
        weight_of: impl Fn(usize, usize, usize, [usize; 2]) -> f32,
        bias: Option<&[f32]>,
        rectified: bool,
    ) -> Option<Vec<f32>> {
        let weights = self.weights(weight_of);
        let images_of_task = self.images_of_task();
        let (of_source, of_image) = (self.groups * self.of_sources(), self.groups * self.of_maps());
        let whole = Strips::new(self, images_of_task);
        let last = Strips::new(self, self.images % images_of_task);
        let all_finite = AtomicBool::new(true);
        let write = |memory: &mut [MaybeUninit<f32>]| {
            let tasks = memory.chunks_mut(images_of_task * of_image).zip(source.chunks(images_of_task * of_source));
            for_each(
                tasks.collect(),
                self.work / 2,
                || Scratch::new(self, &whole),
                |scratch, (results, source)| {
                    let images = results.len() / of_image;
                    let strips = if images == images_of_task { &whole } else { &last };
                    let mut is_finite = true;
                    for group in 0..self.groups {
                        self.see(strips, group, source, scratch);
                        self.multiply(strips, &weights[group], scratch);
                        let bias = bias.map(|bias| &bias[group * self.maps..][..self.maps]);
                        is_finite &= self.write(strips, group, bias, rectified, scratch, results);
                    }
                    if !is_finite {
                        all_finite.store(false, Ordering::Relaxed);
                    }
                },
            );
        };
        // SAFETY: the strips of all maps make up the results.
        let results = unsafe { written(self.images * of_image, write) };
        all_finite.into_inner().then_some(results)
    }

    /// `G w`: for every group and each of the six rows, for every tile of maps `[sources, TAPS, maps of a tile]`.
    fn weights(&self, weight_of: impl Fn(usize, usize, usize, [usize; 2]) -> f32) -> Vec<[Vec<f32>; SEEN]> {
        let tile = maps_of_tile();
        let terms = self.sources * TAPS;
        let mut weights = Vec::with_capacity(self.groups);
        for group in 0..self.groups {
            let mut rows = [(); SEEN].map(|()| vec![0.0; self.maps.div_ceil(tile) * terms * tile]);
            for map in 0..self.maps {
                for source in 0..self.sources {
                    for x in 0..TAPS {
                        let place = (map / tile * terms + source * TAPS + x) * tile + map % tile;
                        let taps = [0, 1, 2].map(|y| weight_of(group, map, source, [y, x]));
                        rows.iter_mut().zip(of_rows(taps)).for_each(|(row, weight)| row[place] = weight);
                    }
                }
            }
            weights.push(rows);
        }
        weights
    }

    /// `B^T d` of the sources of a group.
    fn see(&self, strips: &Strips, group: usize, source: &[f32], scratch: &mut Scratch) {
        let Walk { sources: height, before: above, .. } = self.down;
        let Walk { sources: source_width, before: left, .. } = self.across;
        let width = self.width();
        let of_source = height * source_width;
        // Where the source lies in a padded row.
        let len = source_width.min(width - left);
        for (image, source) in source.chunks_exact(self.groups * self.sources * of_source).enumerate() {
            let source = &source[group * self.sources * of_source..][..self.sources * of_source];
            for (channel, source) in source.chunks_exact(of_source).enumerate() {
                for (row, padded) in
                    source.chunks_exact(source_width).zip(scratch.padded.chunks_exact_mut(width).skip(above))
                {
                    padded[left..left + len].copy_from_slice(&row[..len]);
                }
                let at = (channel * strips.rows + image * self.strips()) * width;
                let seen = scratch.seen.each_mut().map(|seen| &mut seen[at..at + self.strips() * width]);
                pulp::Arch::new().dispatch(See { padded: &scratch.padded, width, seen });
            }
        }
    }

    /// The sums over sources and columns, for each of the six rows.
    fn multiply(&self, strips: &Strips, weights: &[Vec<f32>; SEEN], scratch: &mut Scratch) {
        let len = self.maps * strips.cover.len();
        for ((source, weights), sums) in scratch.seen.iter().zip(weights).zip(&mut scratch.sums) {
            sums.clear();
            sums.reserve(len);
            let (offsets, starts) = (strips.offsets.as_slice(), strips.cover.starts());
            let maps = &mut sums.spare_capacity_mut()[..len];
            pulp::Arch::new().dispatch(Correlate {
                source,
                offsets,
                starts,
                weights,
                bias: None,
                rectified: false,
                maps,
            });
            // SAFETY: all vectors of all maps have been written.
            unsafe { sums.set_len(len) };
        }
    }

    /// `A^T` of the sums of a group; whether all are finite.
    fn write(
        &self,
        strips: &Strips,
        group: usize,
        bias: Option<&[f32]>,
        rectified: bool,
        scratch: &mut Scratch,
        results: &mut [MaybeUninit<f32>],
    ) -> bool {
        let (height, width) = (self.down.results, self.across.results);
        let len = strips.cover.len();
        let mut is_finite = true;
        for map in 0..self.maps {
            let sums = scratch.sums.each_ref().map(|sums| &sums[map * len..][..len]);
            let rows = scratch.rows.each_mut().map(|rows| &mut rows[..len]);
            let bias = bias.map_or(0.0, |bias| bias[map]);
            is_finite &= pulp::Arch::new().dispatch(Join { sums, rows, bias, rectified });
            for run in strips.cover.runs() {
                let (image, first, col) = self.place(run.place);
                let map = (image * self.groups + group) * self.maps + map;
                for (row, values) in (first..height).zip(&scratch.rows) {
                    let to = &mut results[(map * height + row) * width + col..][..run.len];
                    write_short(&values[run.start..run.start + run.len], to);
                }
            }
        }
        is_finite
    }
}

/// `G` of the three taps of a column:
///
/// ```text
///  1/4    0     0
/// -1/6  -1/6  -1/6
/// -1/6   1/6  -1/6
/// 1/24   1/12  1/6
/// 1/24  -1/12  1/6
///   0     0     1
/// ```
fn of_rows([top, middle, bottom]: [f32; TAPS]) -> [f32; SEEN] {
    let (outer, far) = ((top + bottom) / 6.0, top / 24.0 + bottom / 6.0);
    let (near_middle, far_middle) = (middle / 6.0, middle / 12.0);
    [top / 4.0, -outer - near_middle, -outer + near_middle, far + far_middle, far - far_middle, bottom]
}

/// Copies some numbers, without the call that long copies are worth.
#[inline(always)]
fn write_short(numbers: &[f32], to: &mut [MaybeUninit<f32>]) {
    let ((wholes, rest), (to_wholes, to_rest)) = (numbers.as_chunks::<8>(), to.as_chunks_mut::<8>());
    for (numbers, to) in wholes.iter().zip(to_wholes) {
        for at in 0..8 {
            to[at].write(numbers[at]);
        }
    }
    for (number, to) in rest.iter().zip(to_rest) {
        to.write(*number);
    }
}

/// Whether an axis is walked in steps of one under three neighbouring taps.
fn is_plain(axis: &Axis) -> bool {
    axis.taps == TAPS && axis.stride == 1 && axis.dilation == 1
}

/// The strips of some images, one below the other.
struct Strips {
    rows: usize,
    cover: Cover,
    offsets: Vec<usize>,
}

impl Strips {
    fn new(winograd: &Winograd, images: usize) -> Self {
        let (rows, width) = (images * winograd.strips(), winograd.width());
        let cover = Cover::new([rows, winograd.across.results], width, lanes());
        let offset = |source: usize| (0..TAPS).map(move |x| source * rows * width + x);
        Self { rows, cover, offsets: (0..winograd.sources).flat_map(offset).collect() }
    }
}

/// Memory of a thread.
struct Scratch {
    /// A source with zeros around it.
    padded: Vec<f32>,
    /// `B^T d`, for every source the strips.
    seen: [Vec<f32>; SEEN],
    /// For every map its vectors.
    sums: [Vec<f32>; SEEN],
    /// The vectors of one map.
    rows: [Vec<f32>; ROWS],
}

impl Scratch {
    fn new(winograd: &Winograd, strips: &Strips) -> Self {
        let width = winograd.width();
        let padded = winograd.strips() * ROWS + SEEN - ROWS;
        let padded = padded.max(winograd.down.before + winograd.down.sources);
        let seen = winograd.sources * strips.rows * width + lanes() + TAPS;
        Self {
            padded: vec![0.0; padded * width],
            seen: [(); SEEN].map(|()| vec![0.0; seen]),
            sums: [(); SEEN].map(|()| Vec::new()),
            rows: [(); ROWS].map(|()| vec![0.0; strips.cover.len()]),
        }
    }
}
