//! Inner products of maps with shifted maps, for all pairs at once.

use pulp::{Simd, WithSimd};

use crate::vector::load;

/// Maps and shifts of a tile.
const MAPS: usize = 4;
const SHIFTS: usize = 6;
/// Shifts where there are few registers.
const FEW_SHIFTS: usize = 2;

/// `sums[k][o] += sum over images and vectors v of maps[o][v] . sources[offsets[k] + starts[v] ..]`
pub(super) struct Products<'a> {
    /// For every image the padded copies of its channels.
    pub(super) sources: &'a [&'a [f32]],
    /// For every image its maps, `[maps, vectors]`.
    pub(super) maps: &'a [&'a [f32]],
    pub(super) num_maps: usize,
    pub(super) offsets: &'a [usize],
    pub(super) starts: &'a [usize],
    /// `[offsets, maps]`
    pub(super) sums: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT > MAPS * SHIFTS + SHIFTS {
            self.run::<S, SHIFTS>(simd);
        } else {
            self.run::<S, FEW_SHIFTS>(simd);
        }
    }
}

impl Products<'_> {
    #[inline(always)]
    fn run<S: Simd, const K: usize>(self, simd: S) {
        let last = self.num_maps - 1;
        for (tile, offsets) in self.offsets.chunks(K).enumerate() {
            // A tile that is not full takes the last one again, and what comes of it is left out.
            let of_tile: [usize; K] = std::array::from_fn(|k| offsets[k.min(offsets.len() - 1)]);
            for first in (0..self.num_maps).step_by(MAPS) {
                let maps: [usize; MAPS] = std::array::from_fn(|map| (first + map).min(last));
                let products = self.tile::<S, K>(simd, of_tile, maps);
                for (k, products) in products.iter().enumerate().take(offsets.len()) {
                    let sums = &mut self.sums[(tile * K + k) * self.num_maps..][..self.num_maps];
                    sums[first..].iter_mut().zip(products).for_each(|(sum, product)| *sum += *product);
                }
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const K: usize>(&self, simd: S, offsets: [usize; K], maps: [usize; MAPS]) -> [[f32; MAPS]; K] {
        let mut sums = [[simd.splat_f32s(0.0); MAPS]; K];
        let len = self.starts.len() * S::F32_LANES;
        let reach = self.starts.last().map_or(0, |last| last + S::F32_LANES);
        for (source, all_maps) in self.sources.iter().zip(self.maps) {
            // Slices of the same lengths: one comparison for all of them keeps the sums in registers.
            let mut shifted: [&[f32]; K] = [&[]; K];
            for k in 0..K {
                shifted[k] = &source[offsets[k]..][..reach];
            }
            let mut values: [&[f32]; MAPS] = [&[]; MAPS];
            for map in 0..MAPS {
                values[map] = &all_maps[maps[map] * len..][..len];
            }
            for (vector, start) in self.starts.iter().enumerate() {
                let at = vector * S::F32_LANES;
                assert!(start + S::F32_LANES <= reach && at + S::F32_LANES <= len);
                let mut of_maps = [simd.splat_f32s(0.0); MAPS];
                for map in 0..MAPS {
                    of_maps[map] = load::<S>(values[map], at);
                }
                for k in 0..K {
                    let shifted = load::<S>(shifted[k], *start);
                    for map in 0..MAPS {
                        sums[k][map] = simd.mul_add_e_f32s(of_maps[map], shifted, sums[k][map]);
                    }
                }
            }
        }
        // Taken apart by constant indices alone, so that the vectors need no memory.
        let mut products = [[0.0; MAPS]; K];
        for k in 0..K {
            for map in 0..MAPS {
                products[k][map] = simd.reduce_sum_f32s(sums[k][map]);
            }
        }
        products
    }
}
