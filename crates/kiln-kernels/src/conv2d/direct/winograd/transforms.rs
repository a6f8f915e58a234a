//! What Winograd's F(4, 3) does to rows before and after they are multiplied.

use pulp::{Simd, WithSimd};

use super::super::correlate::load;
use super::{ROWS, SEEN};

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
        let Self { padded, width, mut seen } = self;
        let [two, four, five] = [2.0, 4.0, 5.0].map(|factor| simd.splat_f32s(factor));
        for (strip, start) in (0..seen[0].len()).step_by(width).enumerate() {
            let rows = &padded[strip * ROWS * width..][..SEEN * width];
            for x in (0..width).step_by(S::F32_LANES) {
                let row = |row: usize| read::<S>(simd, &rows[row * width..][..width], x);
                let (a, b, c, d, e, f) = (row(0), row(1), row(2), row(3), row(4), row(5));
                let (odd, even) = (simd.sub_f32s(d, b), simd.sub_f32s(e, c));
                let least = simd.mul_add_e_f32s(four, a, simd.sub_f32s(e, simd.mul_f32s(five, c)));
                let most = simd.mul_add_e_f32s(four, b, simd.sub_f32s(f, simd.mul_f32s(five, d)));
                let sums = simd.sub_f32s(simd.add_f32s(d, e), simd.mul_f32s(four, simd.add_f32s(b, c)));
                let differences = simd.mul_add_e_f32s(four, simd.sub_f32s(b, c), simd.sub_f32s(e, d));
                let odd = simd.mul_f32s(two, odd);
                let all = [least, sums, differences, simd.add_f32s(even, odd), simd.sub_f32s(even, odd), most];
                for (seen, values) in seen.iter_mut().zip(all) {
                    put::<S>(simd, &mut seen[start..start + width], x, values);
                }
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
        let Self { sums, mut rows, bias, rectified } = self;
        let [zero, two, four, eight, bias] = [0.0, 2.0, 4.0, 8.0, bias].map(|value| simd.splat_f32s(value));
        let mut lost = zero;
        for x in (0..rows[0].len()).step_by(S::F32_LANES) {
            let [a, b, c, d, e, f] = sums.map(|sums| load::<S>(sums, x));
            let (near, near_odd) = (simd.add_f32s(b, c), simd.sub_f32s(b, c));
            let (far, far_odd) = (simd.add_f32s(d, e), simd.sub_f32s(d, e));
            let (near, near_odd) = (simd.add_f32s(near, bias), simd.add_f32s(near_odd, bias));
            let all = [
                simd.add_f32s(simd.add_f32s(a, near), far),
                simd.mul_add_e_f32s(two, far_odd, near_odd),
                simd.mul_add_e_f32s(four, far, near),
                simd.add_f32s(simd.mul_add_e_f32s(eight, far_odd, near_odd), f),
            ];
            for (row, value) in rows.iter_mut().zip(all) {
                // Zero times what is not finite is no number, and stays that in every sum.
                lost = simd.mul_add_e_f32s(zero, value, lost);
                let value =
                    if rectified { simd.select_f32s(simd.less_than_f32s(value, zero), zero, value) } else { value };
                put::<S>(simd, row, x, value);
            }
        }
        simd.reduce_sum_f32s(lost) == 0.0
    }
}

/// A vector of a row, zeros behind its end.
#[inline(always)]
fn read<S: Simd>(simd: S, row: &[f32], at: usize) -> S::f32s {
    if at + S::F32_LANES <= row.len() { load::<S>(row, at) } else { simd.partial_load_f32s(&row[at..]) }
}

/// Writes a vector to a row, as far as it goes.
#[inline(always)]
fn put<S: Simd>(simd: S, row: &mut [f32], at: usize, values: S::f32s) {
    match row[at..].split_at_mut_checked(S::F32_LANES) {
        Some((whole, _)) => whole.copy_from_slice(bytemuck::cast_slice(std::slice::from_ref(&values))),
        None => simd.partial_store_f32s(&mut row[at..], values),
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
