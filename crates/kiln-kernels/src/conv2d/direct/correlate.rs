//! Sums of shifted maps, held in registers.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use crate::vector::load;

/// Vectors of a tile, where there are as many.
const VECTORS: usize = 3;

/// Maps of a tile.
pub(super) fn maps_of_tile() -> usize {
    struct Maps;
    impl WithSimd for Maps {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            if has_many_registers::<S>() { MANY } else { FEW }
        }
    }
    pulp::Arch::new().dispatch(Maps)
}

/// Numbers of a vector.
pub(super) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    pulp::Arch::new().dispatch(Lanes)
}

const MANY: usize = 8;
const FEW: usize = 4;

/// Sums of a tile, vectors of the source and one weight fit the registers.
#[inline(always)]
fn has_many_registers<S: Simd>() -> bool {
    S::REGISTER_COUNT > MANY * VECTORS + VECTORS
}

/// `map[o][v] = start[o] + sum over k of weights[k][o] source[offsets[k] + starts[v] ..]`, each a vector, for the maps of
/// one tile.
pub(super) struct Correlate<'a> {
    pub(super) source: &'a [f32],
    pub(super) offsets: &'a [usize],
    pub(super) starts: &'a [usize],
    /// For every tile of maps the weights, `[offsets, maps_of_tile]`, zeros behind the last map.
    pub(super) weights: &'a [f32],
    /// What every map begins with; none is zero.
    pub(super) bias: Option<&'a [f32]>,
    /// Whether negative sums become zero.
    pub(super) rectified: bool,
    /// `[maps, vectors]`
    pub(super) maps: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if has_many_registers::<S>() { self.run::<S, MANY>(simd) } else { self.run::<S, FEW>(simd) }
    }
}

impl Correlate<'_> {
    #[inline(always)]
    fn run<S: Simd, const MAPS: usize>(self, simd: S) {
        let (weights, _) = self.weights.as_chunks::<MAPS>();
        let len = self.starts.len() * S::F32_LANES;
        let taps = self.offsets.len();
        for (index, starts) in self.starts.chunks(VECTORS).enumerate() {
            let first = index * VECTORS * S::F32_LANES;
            for (tile, maps) in self.maps.chunks_mut(MAPS * len).enumerate() {
                let weights = &weights[tile * taps..][..taps];
                let mut bias = [0.0; MAPS];
                if let Some(values) = self.bias {
                    let values = &values[tile * MAPS..];
                    bias.iter_mut().zip(values).for_each(|(start, value)| *start = *value);
                }
                let tile =
                    Tile { source: self.source, offsets: self.offsets, weights, bias, rectified: self.rectified };
                let maps = maps.chunks_exact_mut(len).map(|map| &mut map[first..]);
                match *starts {
                    [a, b, c] => tile.write::<S, 3>(simd, [a, b, c], maps),
                    [a, b] => tile.write::<S, 2>(simd, [a, b], maps),
                    [a] => tile.write::<S, 1>(simd, [a], maps),
                    _ => unreachable!("chunks of at most {VECTORS}"),
                }
            }
        }
    }
}

struct Tile<'a, const MAPS: usize> {
    source: &'a [f32],
    offsets: &'a [usize],
    weights: &'a [[f32; MAPS]],
    bias: [f32; MAPS],
    rectified: bool,
}

impl<const MAPS: usize> Tile<'_, MAPS> {
    #[inline(always)]
    fn write<'m, S: Simd, const N: usize>(
        &self,
        simd: S,
        starts: [usize; N],
        maps: impl Iterator<Item = &'m mut [MaybeUninit<f32>]>,
    ) {
        let sums = self.sums::<S, N>(simd, starts);
        let zero = simd.splat_f32s(0.0);
        for (map, sums) in maps.zip(&sums) {
            for (place, sum) in map.chunks_exact_mut(S::F32_LANES).zip(sums) {
                // A comparison that is false for what is not a number lets it through, as Burn's `relu` does.
                let is_negative = simd.less_than_f32s(*sum, zero);
                let sum = if self.rectified { simd.select_f32s(is_negative, zero, *sum) } else { *sum };
                let values: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&sum));
                place.iter_mut().zip(values).for_each(|(place, value)| _ = place.write(*value));
            }
        }
    }

    #[inline(always)]
    fn sums<S: Simd, const N: usize>(&self, simd: S, starts: [usize; N]) -> [[S::f32s; N]; MAPS] {
        let mut sums = [[simd.splat_f32s(0.0); N]; MAPS];
        for (sums, bias) in sums.iter_mut().zip(&self.bias) {
            *sums = [simd.splat_f32s(*bias); N];
        }
        for (offset, weights) in self.offsets.iter().zip(self.weights) {
            let mut source = [simd.splat_f32s(0.0); N];
            for vector in 0..N {
                source[vector] = load::<S>(self.source, offset + starts[vector]);
            }
            for map in 0..MAPS {
                let weight = simd.splat_f32s(weights[map]);
                for vector in 0..N {
                    sums[map][vector] = simd.mul_add_e_f32s(weight, source[vector], sums[map][vector]);
                }
            }
        }
        sums
    }
}
