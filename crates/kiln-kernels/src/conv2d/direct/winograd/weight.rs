//! The gradient by the weights, in the same products as the results.

use super::super::products::Products;
use super::transforms::Spread;
use super::{CACHED, SEEN, Scratch, Strips, TAPS, Winograd};
use crate::threads::for_each;

/// Parts that the images are summed in.
const MOST_PARTS: usize = 16;
/// Vectors that could be multiplied while the lanes of a sum are added up.
const VECTORS_OF_A_SUM: usize = 10;

impl Winograd {
    /// Whether [`Winograd::weight_gradient`] is faster than plain products.
    pub(in super::super) fn weight_gradient_pays(&self) -> bool {
        let images = self.images_of_products();
        let vectors = |rows| self.vectors(rows) + VECTORS_OF_A_SUM;
        let [own, plain] = [vectors(images * self.strips()), vectors(images * self.down.results)];
        self.pays() && self.is_worth(own, plain)
    }

    /// `dL/dW`, `[groups, sources, TAPS, TAPS, maps]`, of the gradient of the results:
    ///
    /// ```text
    /// dW_c = G^T sum over strips (B^T d_c) . (A g)
    /// ```
    ///
    /// What is not a finite number may come from a source that the weight does not meet.
    pub(in super::super) fn weight_gradient(&self, source: &[f32], upstream: &[f32]) -> Vec<f32> {
        let (of_source, of_result) = (self.groups * self.of_sources(), self.groups * self.of_maps());
        // Images are summed in parts, and the parts in their order: how many threads there are changes nothing.
        let (images_of_part, images_at_once) = (self.images_of_part(), self.images_of_products());
        let whole = Strips::new(self, images_at_once);
        let values = self.sources * TAPS * TAPS * self.maps;
        let parts = self.images.div_ceil(images_of_part);
        let mut sums = vec![0.0; parts * self.groups * values];
        let tasks: Vec<_> = sums.chunks_exact_mut(values).enumerate().collect();
        for_each(
            tasks,
            self.work / 2,
            || Scratch::new(self, &whole),
            |scratch, (index, sums): (usize, &mut [f32])| {
                let (part, group) = (index / self.groups, index % self.groups);
                let images = part * images_of_part..((part + 1) * images_of_part).min(self.images);
                let mut products = [(); SEEN].map(|()| vec![0.0; self.sources * TAPS * self.maps]);
                for first in images.clone().step_by(images_at_once) {
                    let images = first..(first + images_at_once).min(images.end);
                    let source = &source[images.start * of_source..images.end * of_source];
                    let upstream = &upstream[images.start * of_result..images.end * of_result];
                    if images.len() == images_at_once {
                        self.add_products(&whole, group, source, upstream, scratch, &mut products);
                    } else {
                        let last = Strips::new(self, images.len());
                        self.add_products(&last, group, source, upstream, scratch, &mut products);
                    }
                }
                self.join_taps(&products, sums);
            },
        );
        let (total, others) = sums.split_at_mut(self.groups * values);
        for part in others.chunks_exact(self.groups * values) {
            total.iter_mut().zip(part).for_each(|(total, value)| *total += *value);
        }
        sums.truncate(self.groups * values);
        sums
    }

    fn images_of_part(&self) -> usize {
        self.images.div_ceil(MOST_PARTS)
    }

    fn images_of_products(&self) -> usize {
        (2 * CACHED / self.numbers_of_image()).clamp(1, self.images_of_part())
    }

    /// Adds `(B^T d) . (A g)` of some images, `[sources, TAPS, maps]` for each of the six rows.
    fn add_products(
        &self,
        strips: &Strips,
        group: usize,
        source: &[f32],
        upstream: &[f32],
        scratch: &mut Scratch,
        products: &mut [Vec<f32>; SEEN],
    ) {
        self.see(strips, group, source, scratch);
        self.spread(strips, group, upstream, scratch);
        let (offsets, starts) = (strips.offsets.as_slice(), strips.cover.starts());
        for (row, sums) in products.iter_mut().enumerate() {
            let (sources, maps) = (&[scratch.seen[row].as_slice()], &[scratch.sums[row].as_slice()]);
            pulp::Arch::new().dispatch(Products { sources, maps, num_maps: self.maps, offsets, starts, sums });
        }
    }

    /// `A g` of the maps of a group, zeros in lanes that hold no place.
    fn spread(&self, strips: &Strips, group: usize, upstream: &[f32], scratch: &mut Scratch) {
        let (height, width) = (self.down.results, self.across.results);
        let len = strips.cover.len();
        scratch.sums.iter_mut().for_each(|sums| sums.resize(self.maps * len, 0.0));
        scratch.rows.iter_mut().for_each(|row| row[..len].fill(0.0));
        for map in 0..self.maps {
            for run in strips.cover.runs() {
                let (image, first, col) = self.place(run.place);
                let map = (image * self.groups + group) * self.maps + map;
                for (row, to) in scratch.rows.iter_mut().enumerate() {
                    let to = &mut to[run.start..run.start + run.len];
                    match first + row < height {
                        true => to.copy_from_slice(&upstream[(map * height + first + row) * width + col..][..run.len]),
                        false => to.fill(0.0),
                    }
                }
            }
            let rows = scratch.rows.each_ref().map(|row| &row[..len]);
            let spread = scratch.sums.each_mut().map(|sums| &mut sums[map * len..(map + 1) * len]);
            pulp::Arch::new().dispatch(Spread { rows, spread });
        }
    }

    /// `G^T` of the products.
    fn join_taps(&self, products: &[Vec<f32>; SEEN], sums: &mut [f32]) {
        let of_tap = TAPS * self.maps;
        for source in 0..self.sources {
            for at in 0..of_tap {
                let [a, b, c, d, e, f] = products.each_ref().map(|products| products[source * of_tap + at]);
                let (near, far) = ((b + c) / -6.0, d + e);
                let taps = [a / 4.0 + near + far / 24.0, (c - b) / 6.0 + (d - e) / 12.0, near + far / 6.0 + f];
                for (y, value) in taps.into_iter().enumerate() {
                    sums[(source * TAPS + y) * of_tap + at] = value;
                }
            }
        }
    }
}
