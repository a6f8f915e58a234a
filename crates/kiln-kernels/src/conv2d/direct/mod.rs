//! Convolutions in `f32` without unfolding: a padded copy of each image stays in the processor's cache, every tap of a
//! kernel is a shift in it, and the sums stay in registers.

mod correlate;
mod cover;
mod planes;
mod products;
mod walk;
mod winograd;

use std::mem::MaybeUninit;
use std::ops::Range;

use correlate::{Correlate, lanes, maps_of_tile};
use cover::Cover;
use planes::Planes;
use products::Products;
use walk::Walk;
use winograd::Winograd;

use super::geometry::Geometry;
use crate::flex::written;
use crate::threads::for_each;

/// Whether this way is the faster one: at least half of what its vectors compute is wanted.
pub(super) fn suits(geometry: &Geometry) -> bool {
    let places = [geometry.vertical.outputs, geometry.horizontal.outputs];
    let is_empty = geometry.images * geometry.out_channels * geometry.in_channels * geometry.pixels() == 0;
    if is_empty || lanes() == 1 {
        return false;
    }
    let width = geometry.horizontal.outputs + (geometry.horizontal.taps - 1) * geometry.horizontal.dilation;
    2 * geometry.places() >= Cover::vectors(places, width, lanes()) * lanes()
}

/// `y = W * x + b`, negative sums made zero where it is `rectified`.
pub(super) fn output(
    geometry: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    rectified: bool,
) -> Vec<f32> {
    let [vertical, horizontal] = [geometry.vertical, geometry.horizontal].map(Walk::of_outputs);
    let sum = Sum {
        images: geometry.images,
        groups: geometry.groups,
        sources: geometry.in_channels,
        maps: geometry.out_channels,
        places: geometry.places(),
        width: geometry.horizontal.outputs,
        work: geometry.work(),
    };
    let weight_of = |group, output, input, tap| weight[place_of_weight(geometry, group, output, input, tap)];
    let fast = Winograd::of_output(geometry).filter(Winograd::pays);
    if let Some(output) = fast.and_then(|winograd| winograd.compute(x, weight_of, bias, rectified)) {
        return output;
    }
    sum.compute(&vertical, &horizontal, x, weight_of, bias, rectified)
}

/// `dL/dx`: every pixel sums the gradients of the outputs that it was met by, each times its weight.
pub(super) fn input_gradient(geometry: &Geometry, weight: &[f32], upstream: &[f32]) -> Vec<f32> {
    let [vertical, horizontal] = [geometry.vertical, geometry.horizontal].map(Walk::of_inputs);
    let sum = Sum {
        images: geometry.images,
        groups: geometry.groups,
        sources: geometry.out_channels,
        maps: geometry.in_channels,
        places: geometry.pixels(),
        width: geometry.horizontal.size,
        work: geometry.work(),
    };
    let weight_of = |group, input, output, tap| weight[place_of_weight(geometry, group, output, input, tap)];
    // The gradient is a convolution under the taps in reversed order.
    let reversed = |group, input, output, [y, x]: [usize; 2]| weight_of(group, input, output, [2 - y, 2 - x]);
    let fast = Winograd::of_input_gradient(geometry).filter(Winograd::pays);
    if let Some(gradient) = fast.and_then(|winograd| winograd.compute(upstream, reversed, None, false)) {
        return gradient;
    }
    sum.compute(&vertical, &horizontal, upstream, weight_of, None, false)
}

/// Where the weight between two channels of a group under a tap lies.
fn place_of_weight(geometry: &Geometry, group: usize, output: usize, input: usize, [y, x]: [usize; 2]) -> usize {
    let kernel = group * geometry.out_channels + output;
    kernel * geometry.weights() + input * geometry.taps() + y * geometry.horizontal.taps + x
}

/// Sizes of an output or an input gradient: for every image and group, `maps` that are sums over `sources`.
struct Sum {
    images: usize,
    groups: usize,
    sources: usize,
    maps: usize,
    /// Of a map.
    places: usize,
    /// Of a row of a map.
    width: usize,
    work: usize,
}

/// Places of the maps that are summed under the same taps.
struct Part {
    cover: Cover,
    offsets: Vec<usize>,
    /// For every group and tile of maps, `[offsets, maps of a tile]`.
    weights: Vec<f32>,
    width: usize,
    first: [usize; 2],
    step: [usize; 2],
}

/// Tasks that there are at least, where the maps of an image can be shared out.
const FEWEST_TASKS: usize = 32;

impl Sum {
    /// `weight_of(group, map, source, [y, x])` is the weight between two of them under a tap.
    fn compute(
        &self,
        vertical: &Walk,
        horizontal: &Walk,
        source: &[f32],
        weight_of: impl Fn(usize, usize, usize, [usize; 2]) -> f32,
        bias: Option<&[f32]>,
        rectified: bool,
    ) -> Vec<f32> {
        let planes = Planes::new(vertical, horizontal);
        let parts = self.parts(vertical, horizontal, &planes, weight_of);
        let reach = parts.iter().map(|part| part.offsets.iter().max().unwrap_or(&0) + part.cover.reach()).max();
        let copied = self.sources * planes.of_channel();
        let room = copied.max(reach.unwrap_or(0));
        let of_source = source.len() / (self.images * self.groups).max(1);
        let write = |memory: &mut [MaybeUninit<f32>]| {
            for_each(
                self.tasks(memory),
                self.work,
                || (vec![0.0; room], Vec::new()),
                |(copies, vectors), Task { image, group, maps, memory }| {
                    let source = &source[(image * self.groups + group) * of_source..][..of_source];
                    planes.fill(source, &mut copies[..copied]);
                    let bias = bias.map(|bias| &bias[group * self.maps..][maps.clone()]);
                    for part in &parts {
                        self.write_part(part, group, maps.clone(), copies, bias, rectified, vectors, memory);
                    }
                },
            );
        };
        // SAFETY: the parts of a map make up its places, and the tasks all maps.
        unsafe { written(self.images * self.groups * self.maps * self.places, write) }
    }

    /// The parts of every map: one for each pair of targets of the axes.
    fn parts(
        &self,
        vertical: &Walk,
        horizontal: &Walk,
        planes: &Planes,
        weight_of: impl Fn(usize, usize, usize, [usize; 2]) -> f32,
    ) -> Vec<Part> {
        let (tile, lanes) = (maps_of_tile(), lanes());
        let mut parts = Vec::new();
        for down in &vertical.targets {
            for across in &horizontal.targets {
                let mut offsets = Vec::new();
                let mut met = Vec::new();
                for source in 0..self.sources {
                    for y in &down.taps {
                        for x in &across.taps {
                            offsets.push(planes.offset(source, *y, *x));
                            met.push((source, [y.tap, x.tap]));
                        }
                    }
                }
                let tiles = self.maps.div_ceil(tile);
                let mut weights = vec![0.0; self.groups * tiles * met.len() * tile];
                for group in 0..self.groups {
                    for map in 0..self.maps {
                        let of_tile = (group * tiles + map / tile) * met.len() * tile + map % tile;
                        for (k, (source, tap)) in met.iter().enumerate() {
                            weights[of_tile + k * tile] = weight_of(group, map, *source, *tap);
                        }
                    }
                }
                let cover = Cover::new([down.count, across.count], planes.width(), lanes);
                let (first, step) = ([down.first, across.first], [down.step, across.step]);
                parts.push(Part { cover, offsets, weights, width: across.count, first, step });
            }
        }
        parts
    }

    /// Cuts the result into tasks, by its sizes alone.
    fn tasks<'m>(&self, memory: &'m mut [MaybeUninit<f32>]) -> Vec<Task<'m>> {
        let tile = maps_of_tile();
        let shares = FEWEST_TASKS.div_ceil((self.images * self.groups).max(1));
        let maps_of_task = self.maps.div_ceil(shares).next_multiple_of(tile);
        let mut tasks = Vec::new();
        let mut rest = memory;
        for image in 0..self.images {
            for group in 0..self.groups {
                for start in (0..self.maps).step_by(maps_of_task) {
                    let maps = start..(start + maps_of_task).min(self.maps);
                    let (memory, others) = rest.split_at_mut(maps.len() * self.places);
                    rest = others;
                    tasks.push(Task { image, group, maps, memory });
                }
            }
        }
        tasks
    }

    /// Writes the places of a part in some of the maps, which begin a tile.
    #[allow(clippy::too_many_arguments)]
    fn write_part(
        &self,
        part: &Part,
        group: usize,
        maps: Range<usize>,
        source: &[f32],
        bias: Option<&[f32]>,
        rectified: bool,
        vectors: &mut Vec<f32>,
        memory: &mut [MaybeUninit<f32>],
    ) {
        let tile = maps_of_tile();
        let of_tile = part.offsets.len() * tile;
        let first_tile = group * self.maps.div_ceil(tile) + maps.start / tile;
        let weights = &part.weights[first_tile * of_tile..][..maps.len().div_ceil(tile) * of_tile];
        let (offsets, starts) = (part.offsets.as_slice(), part.cover.starts());
        let correlate = |maps: &mut [MaybeUninit<f32>]| {
            pulp::Arch::new().dispatch(Correlate { source, offsets, starts, weights, bias, rectified, maps });
        };
        if part.cover.len() == self.places && part.cover.is_exact() {
            return correlate(memory);
        }
        vectors.clear();
        vectors.reserve(maps.len() * part.cover.len());
        correlate(&mut vectors.spare_capacity_mut()[..maps.len() * part.cover.len()]);
        // SAFETY: all vectors of all maps have been written.
        unsafe { vectors.set_len(maps.len() * part.cover.len()) };
        for (vectors, map) in vectors.chunks_exact(part.cover.len()).zip(memory.chunks_exact_mut(self.places)) {
            part.gather(vectors, map, self.width);
        }
    }
}

impl Part {
    /// Writes the places of this part, of a map whose rows are `width` long.
    fn gather(&self, vectors: &[f32], map: &mut [MaybeUninit<f32>], width: usize) {
        if self.step == [1, 1] {
            return self.cover.gather(vectors, map);
        }
        let ([top, left], [down, across]) = (self.first, self.step);
        self.cover.gather_into(vectors, |place, values| {
            let (row, col) = (place / self.width, place % self.width);
            let places = map[(top + row * down) * width + left + col * across..].iter_mut().step_by(across);
            places.zip(values).for_each(|(place, value)| _ = place.write(*value));
        });
    }
}

/// Some maps of an image and group, and the memory that they are written to.
struct Task<'m> {
    image: usize,
    group: usize,
    maps: Range<usize>,
    memory: &'m mut [MaybeUninit<f32>],
}

/// Parts that the images are summed in, values that these parts together may have, and numbers of copies and maps that stay
/// in the second-level cache.
const MOST_PARTS: usize = 16;
const MOST_VALUES: usize = 1 << 23;
const CACHED: usize = 192 * 1024;

/// `dL/dW`, `[groups, weights, out_channels]`: for every weight the product of the output's gradient and the inputs that it
/// met.
///
/// A lane without a place multiplies a zero by the pixel that lies there. Where that pixel is infinite or not a number, the
/// product is not a number either, and a weight has one that its pixels do not give it.
pub(super) fn weight_gradient(geometry: &Geometry, x: &[f32], upstream: &[f32]) -> Vec<f32> {
    if let Some(winograd) = Winograd::of_output(geometry).filter(Winograd::weight_gradient_pays) {
        return winograd.weight_gradient(x, upstream);
    }
    let [vertical, horizontal] = [geometry.vertical, geometry.horizontal].map(Walk::of_outputs);
    let planes = Planes::new(&vertical, &horizontal);
    let cover = Cover::new([geometry.vertical.outputs, geometry.horizontal.outputs], planes.width(), lanes());
    let is_exact = cover.len() == geometry.places() && cover.is_exact();
    let (outputs, weights, places) = (geometry.out_channels, geometry.weights(), geometry.places());
    let of_image = geometry.in_channels * geometry.pixels();
    let mut offsets = Vec::with_capacity(weights);
    for channel in 0..geometry.in_channels {
        for y in &vertical.targets[0].taps {
            offsets.extend(horizontal.targets[0].taps.iter().map(|x| planes.offset(channel, *y, *x)));
        }
    }
    let copied = geometry.in_channels * planes.of_channel();
    let room = copied.max(offsets.iter().max().unwrap_or(&0) + cover.reach());
    let of_maps = outputs * cover.len();

    // Images are summed in parts, and the parts in their order: how many threads there are changes nothing.
    let values = geometry.groups * weights * outputs;
    let images_of_part = geometry.images.div_ceil(MOST_PARTS.min((MOST_VALUES / values).max(1))).max(1);
    let num_parts = geometry.images.div_ceil(images_of_part);
    let images_at_once = (CACHED / (room + of_maps)).clamp(1, images_of_part);
    let mut sums = vec![0.0; num_parts * values];
    let tasks = sums.chunks_exact_mut(weights * outputs).enumerate().collect();
    for_each(
        tasks,
        geometry.work(),
        || (vec![0.0; images_at_once * room], vec![0.0; if is_exact { 0 } else { images_at_once * of_maps }]),
        |(copies, spread), (index, sums): (usize, &mut [f32])| {
            let (part, group) = (index / geometry.groups, index % geometry.groups);
            let images = part * images_of_part..((part + 1) * images_of_part).min(geometry.images);
            for first in images.clone().step_by(images_at_once) {
                let images = first..(first + images_at_once).min(images.end);
                let upstream_of = |image: usize| {
                    &upstream[(image * geometry.groups + group) * outputs * places..][..outputs * places]
                };
                for (copies, image) in copies.chunks_exact_mut(room).zip(images.clone()) {
                    let x = &x[(image * geometry.groups + group) * of_image..][..of_image];
                    planes.fill(x, &mut copies[..copied]);
                }
                for (spread, image) in spread.chunks_exact_mut(of_maps).zip(images.clone()) {
                    let maps = upstream_of(image).chunks_exact(places);
                    maps.zip(spread.chunks_exact_mut(cover.len()))
                        .for_each(|(map, vectors)| cover.spread(map, vectors));
                }
                let sources: Vec<&[f32]> = copies.chunks_exact(room).take(images.len()).collect();
                let maps: Vec<&[f32]> = if is_exact {
                    images.map(upstream_of).collect()
                } else {
                    spread.chunks_exact(of_maps).take(images.len()).collect()
                };
                let (sources, maps) = (sources.as_slice(), maps.as_slice());
                let (offsets, starts) = (offsets.as_slice(), cover.starts());
                pulp::Arch::new().dispatch(Products { sources, maps, num_maps: outputs, offsets, starts, sums });
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
