//! What Winograd's F(4, 3) does to rows before and after they are multiplied.

use pulp::{Simd, WithSimd};

use super::{ROWS, SEEN};
use crate::vector::load;

/// `B^T` of the six rows that each strip of a padded source sees:
///
/// ```text
/// 4  0 -5  0 1 0
/// 0 -4 -4  1 1 0
/// 0  4 -4 -1 1 0
/// 0 -2 -1  2 1 0
/// 0  2 -1 -2 1 0
/// 0  4  0 -5 0 1
/// ```
pub(super) struct See<'a> {
    pub(super) padded: &'a [f32],
    /// Of a padded row.
    pub(super) width: usize,
    /// Each of the six for the strips one after another.
    pub(super) seen: [&'a mut [f32]; SEEN],
}

impl WithSimd for See<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { padded, width, seen: [first, second, third, fourth, fifth, sixth] } = self;
        let (two, four, five) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(5.0));
        let strips = first.len() / width;
        for strip in 0..strips {
            let rows = &padded[strip * ROWS * width..][..SEEN * width];
            let of_strip = strip * width..(strip + 1) * width;
            let mut x = 0;
            while x < width {
                let (a, b) = (read::<S>(simd, rows, 0, width, x), read::<S>(simd, rows, 1, width, x));
                let (c, d) = (read::<S>(simd, rows, 2, width, x), read::<S>(simd, rows, 3, width, x));
                let (e, f) = (read::<S>(simd, rows, 4, width, x), read::<S>(simd, rows, 5, width, x));
                let (even, odd) = (simd.sub_f32s(e, c), simd.mul_f32s(two, simd.sub_f32s(d, b)));
                let least = simd.mul_add_e_f32s(four, a, simd.sub_f32s(e, simd.mul_f32s(five, c)));
                let most = simd.mul_add_e_f32s(four, b, simd.sub_f32s(f, simd.mul_f32s(five, d)));
                let sums = simd.sub_f32s(simd.add_f32s(d, e), simd.mul_f32s(four, simd.add_f32s(b, c)));
                let differences = simd.mul_add_e_f32s(four, simd.sub_f32s(b, c), simd.sub_f32s(e, d));
                put::<S>(simd, &mut first[of_strip.clone()], x, least);
                put::<S>(simd, &mut second[of_strip.clone()], x, sums);
                put::<S>(simd, &mut third[of_strip.clone()], x, differences);
                put::<S>(simd, &mut fourth[of_strip.clone()], x, simd.add_f32s(even, odd));
                put::<S>(simd, &mut fifth[of_strip.clone()], x, simd.sub_f32s(even, odd));
                put::<S>(simd, &mut sixth[of_strip.clone()], x, most);
                x += S::F32_LANES;
            }
        }
    }
}

/// `A^T` of six rows of sums, whole vectors of them, and the bias; whether all results are finite:
///
/// ```text
/// 1 1  1 1  1 0
/// 0 1 -1 2 -2 0
/// 0 1  1 4  4 0
/// 0 1 -1 8 -8 1
/// ```
pub(super) struct Join<'a> {
    pub(super) sums: [&'a [f32]; SEEN],
    pub(super) rows: [&'a mut [f32]; ROWS],
    pub(super) bias: f32,
    /// Whether negative results become zero.
    pub(super) rectified: bool,
}

impl WithSimd for Join<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let Self { sums, rows: [first, second, third, fourth], bias, rectified } = self;
        let (zero, bias) = (simd.splat_f32s(0.0), simd.splat_f32s(bias));
        let (two, four, eight) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(8.0));
        let mut lost = zero;
        let mut x = 0;
        while x < first.len() {
            let (a, b, c) = (load::<S>(sums[0], x), load::<S>(sums[1], x), load::<S>(sums[2], x));
            let (d, e, f) = (load::<S>(sums[3], x), load::<S>(sums[4], x), load::<S>(sums[5], x));
            let (near, near_odd) = (simd.add_f32s(simd.add_f32s(b, c), bias), simd.add_f32s(simd.sub_f32s(b, c), bias));
            let (far, far_odd) = (simd.add_f32s(d, e), simd.sub_f32s(d, e));
            let all = (
                simd.add_f32s(simd.add_f32s(a, near), far),
                simd.mul_add_e_f32s(two, far_odd, near_odd),
                simd.mul_add_e_f32s(four, far, near),
                simd.add_f32s(simd.mul_add_e_f32s(eight, far_odd, near_odd), f),
            );
            // Zero times what is not finite is no number, and stays that in every sum.
            lost = simd.mul_add_e_f32s(zero, simd.add_f32s(all.0, all.1), lost);
            lost = simd.mul_add_e_f32s(zero, simd.add_f32s(all.2, all.3), lost);
            put::<S>(simd, first, x, rectify::<S>(simd, all.0, rectified));
            put::<S>(simd, second, x, rectify::<S>(simd, all.1, rectified));
            put::<S>(simd, third, x, rectify::<S>(simd, all.2, rectified));
            put::<S>(simd, fourth, x, rectify::<S>(simd, all.3, rectified));
            x += S::F32_LANES;
        }
        simd.reduce_sum_f32s(lost) == 0.0
    }
}

/// `A` of four rows, whole vectors of them.
pub(super) struct Spread<'a> {
    pub(super) rows: [&'a [f32]; ROWS],
    pub(super) spread: [&'a mut [f32]; SEEN],
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, spread: [first, second, third, fourth, fifth, sixth] } = self;
        let (two, four) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0));
        let mut x = 0;
        while x < first.len() {
            let (a, b) = (load::<S>(rows[0], x), load::<S>(rows[1], x));
            let (c, d) = (load::<S>(rows[2], x), load::<S>(rows[3], x));
            let (even, odd) = (simd.add_f32s(a, c), simd.add_f32s(b, d));
            let (far_even, far_odd) =
                (simd.mul_add_e_f32s(four, c, a), simd.mul_f32s(two, simd.mul_add_e_f32s(four, d, b)));
            put::<S>(simd, first, x, a);
            put::<S>(simd, second, x, simd.add_f32s(even, odd));
            put::<S>(simd, third, x, simd.sub_f32s(even, odd));
            put::<S>(simd, fourth, x, simd.add_f32s(far_even, far_odd));
            put::<S>(simd, fifth, x, simd.sub_f32s(far_even, far_odd));
            put::<S>(simd, sixth, x, d);
            x += S::F32_LANES;
        }
    }
}

#[inline(always)]
fn rectify<S: Simd>(simd: S, values: S::f32s, rectified: bool) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    if rectified { simd.select_f32s(simd.less_than_f32s(values, zero), zero, values) } else { values }
}

/// A vector of one of some rows, zeros behind its end.
#[inline(always)]
fn read<S: Simd>(simd: S, rows: &[f32], row: usize, width: usize, at: usize) -> S::f32s {
    let row = &rows[row * width..(row + 1) * width];
    if at + S::F32_LANES <= width { load::<S>(row, at) } else { simd.partial_load_f32s(&row[at..]) }
}

/// Writes a vector to a row, as far as it goes.
#[inline(always)]
fn put<S: Simd>(simd: S, row: &mut [f32], at: usize, values: S::f32s) {
    let end = at + S::F32_LANES;
    if end <= row.len() {
        row[at..end].copy_from_slice(bytemuck::cast_slice(std::slice::from_ref(&values)));
    } else {
        simd.partial_store_f32s(&mut row[at..], values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The direct sum of three neighbouring rows, and the same by way of the two transforms and `G`.
    #[test]
    fn four_rows_are_sums_over_three_neighbours() {
        for width in [1, 7, 16, 35] {
            let padded: Vec<f32> = (0..10 * width).map(|at| ((at * 29 % 17) as f32 - 8.0) * 0.25).collect();
            let [top, middle, bottom] = [0.5_f32, -1.25, 2.0];
            let mut seen = [(); SEEN].map(|()| vec![0.0; 2 * width]);
            let [a, b, c, d, e, f] = seen.each_mut().map(Vec::as_mut_slice);
            pulp::Arch::new().dispatch(See { padded: &padded, width, seen: [a, b, c, d, e, f] });
            let weights = super::super::of_rows([top, middle, bottom]);
            // Whole vectors, of both strips.
            let len = (2 * width).next_multiple_of(64);
            let sums = std::array::from_fn::<_, SEEN, _>(|row| {
                let mut sums: Vec<f32> = seen[row].iter().map(|seen| seen * weights[row]).collect();
                sums.resize(len, 0.0);
                sums
            });
            let mut rows = [(); ROWS].map(|()| vec![0.0; len]);
            let join = |rows: &mut [Vec<f32>; ROWS], sums: &[Vec<f32>; SEEN]| {
                let (rows, sums) = (rows.each_mut().map(Vec::as_mut_slice), sums.each_ref().map(Vec::as_slice));
                pulp::Arch::new().dispatch(Join { sums, rows, bias: 0.125, rectified: false })
            };
            assert!(join(&mut rows, &sums));
            for strip in 0..2 {
                for (row, found) in rows.iter().enumerate() {
                    for x in 0..width {
                        let at = |down: usize| padded[(strip * ROWS + row + down) * width + x];
                        let expected = 0.125 + top * at(0) + middle * at(1) + bottom * at(2);
                        assert!(
                            (found[strip * width + x] - expected).abs() < 1e-5,
                            "{width}, strip {strip}, row {row}"
                        );
                    }
                }
            }
            let mut wrong = sums;
            wrong[3][0] = f32::INFINITY;
            assert!(!join(&mut rows, &wrong));
        }
    }
}
