//! Products of small matrices that lie in the nearest cache, with the numbers of a row side by side.

use crate::vector::{FusedKernel, MultiplyAdd, vectorised};

/// Rows of the right matrix and of the product are read and written in pieces of so many numbers.
pub(super) const PIECE: usize = 16;

/// The left matrix: element `(row, k)` is `values[row * row_stride + k * inner_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) inner_stride: usize,
}

/// The right matrix: element `(k, col)` is `values[k * stride + col]`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

/// `rows`, `inner` and `cols` of a product; `cols` is a multiple of [`PIECE`].
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) rows: usize,
    pub(super) inner: usize,
    pub(super) cols: usize,
}

/// `out <- left right`, or `out <- out + left right` where `ADDS`, for an `out` with rows of `sizes.cols` numbers.
///
/// # Panics
/// Where a matrix ends before its last element.
pub(super) fn multiply<const ADDS: bool>(out: &mut [f32], left: Left<'_>, right: Right<'_>, sizes: Sizes) {
    vectorised(Product::<ADDS> { out, left, right, sizes });
}

/// A kernel of its own: where the compiler knows the strides it makes slow code of the loops below.
struct Product<'a, const ADDS: bool> {
    out: &'a mut [f32],
    left: Left<'a>,
    right: Right<'a>,
    sizes: Sizes,
}

impl<const ADDS: bool> FusedKernel for Product<'_, ADDS> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        let Self { out, left, right, sizes } = self;
        check(out, left, right, sizes);
        if sizes.rows == 0 {
            return;
        }
        for col in (0..sizes.cols).step_by(PIECE) {
            if M::IS_WIDE {
                columns::<M, 8, ADDS>(m, out, left, right, sizes, col);
            } else {
                columns::<M, 6, ADDS>(m, out, left, right, sizes, col);
            }
        }
    }
}

/// Asserts that every element of the three matrices is in its slice.
fn check(out: &[f32], left: Left<'_>, right: Right<'_>, sizes: Sizes) {
    let Sizes { rows, inner, cols } = sizes;
    assert!(cols.is_multiple_of(PIECE) && out.len() >= rows * cols, "a product of {rows} x {cols} does not fit");
    if rows > 0 && inner > 0 && cols > 0 {
        assert!((rows - 1) * left.row_stride + (inner - 1) * left.inner_stride < left.values.len(), "left ends early");
        assert!((inner - 1) * right.stride + cols <= right.values.len(), "right ends early");
    }
}

/// One piece of all rows: rows in steps of `ROWS`, then of four, two and one.
#[inline(always)]
fn columns<M: MultiplyAdd, const ROWS: usize, const ADDS: bool>(
    m: M,
    out: &mut [f32],
    left: Left<'_>,
    right: Right<'_>,
    sizes: Sizes,
    col: usize,
) {
    let mut row = 0;
    while row + ROWS <= sizes.rows {
        tile::<M, ROWS, ADDS>(m, out, left, right, sizes, [row, col]);
        row += ROWS;
    }
    if row + 4 <= sizes.rows {
        tile::<M, 4, ADDS>(m, out, left, right, sizes, [row, col]);
        row += 4;
    }
    if row + 2 <= sizes.rows {
        tile::<M, 2, ADDS>(m, out, left, right, sizes, [row, col]);
        row += 2;
    }
    if row < sizes.rows {
        tile::<M, 1, ADDS>(m, out, left, right, sizes, [row, col]);
    }
}

/// `ROWS` rows of one piece, which stay in the processor's registers.
#[inline(always)]
fn tile<M: MultiplyAdd, const ROWS: usize, const ADDS: bool>(
    m: M,
    out: &mut [f32],
    left: Left<'_>,
    right: Right<'_>,
    sizes: Sizes,
    [row, col]: [usize; 2],
) {
    let mut sums = [[0.0; PIECE]; ROWS];
    let first = row * left.row_stride;
    for k in 0..sizes.inner {
        let others: &[f32; PIECE] = right.values[k * right.stride + col..].first_chunk().expect("a piece of the row");
        for (r, sums) in sums.iter_mut().enumerate() {
            let at = first + r * left.row_stride + k * left.inner_stride;
            // SAFETY: `check` has asserted that the last row's last element is in the slice,
            // and `row + r < sizes.rows`, `k < sizes.inner`.
            let factor = unsafe { *left.values.get_unchecked(at) };
            for c in 0..PIECE {
                sums[c] = m.multiply_add(factor, others[c], sums[c]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let place: &mut [f32; PIECE] =
            out[(row + r) * sizes.cols + col..].first_chunk_mut().expect("a piece of the row");
        for c in 0..PIECE {
            place[c] = if ADDS { place[c] + sums[c] } else { sums[c] };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, whose products and sums are exact.
    fn whole(count: usize) -> Vec<f32> {
        (0..count).map(|index| (index * 7 % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn products_of_all_sizes_strides_and_alignments_are_exact() {
        for rows in (0..20).chain([33]) {
            for inner in [0, 1, 2, 3, 7, 16, 33] {
                for (cols, gap, shift) in [(16, 0, 0), (32, 3, 1), (48, 16, 5)] {
                    for is_transposed in [false, true] {
                        let sizes = Sizes { rows, inner, cols };
                        let (row_stride, inner_stride) = if is_transposed { (1, rows + gap) } else { (inner + gap, 1) };
                        // Slices that end with the last element.
                        let of_left = whole(shift + last(rows, row_stride, inner, inner_stride));
                        let of_right = whole(shift + last(inner, cols + gap, cols, 1));
                        let left = Left { values: &of_left[shift..], row_stride, inner_stride };
                        let right = Right { values: &of_right[shift..], stride: cols + gap };
                        let mut memory = vec![100.0; shift + rows * cols];
                        let out = &mut memory[shift..];
                        multiply::<true>(out, left, right, sizes);
                        assert_eq!(out, expected(left, right, sizes, 100.0), "{rows} x {inner} x {cols}");
                        multiply::<false>(out, left, right, sizes);
                        assert_eq!(out, expected(left, right, sizes, 0.0), "{rows} x {inner} x {cols}");
                    }
                }
            }
        }
    }

    fn last(rows: usize, row_stride: usize, cols: usize, col_stride: usize) -> usize {
        if rows * cols == 0 { 0 } else { (rows - 1) * row_stride + (cols - 1) * col_stride + 1 }
    }

    fn expected(left: Left<'_>, right: Right<'_>, sizes: Sizes, start: f32) -> Vec<f32> {
        let Sizes { rows, inner, cols } = sizes;
        let term = |row: usize, col: usize, k: usize| {
            left.values[row * left.row_stride + k * left.inner_stride] * right.values[k * right.stride + col]
        };
        let places = (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col)));
        places.map(|(row, col)| (0..inner).fold(start, |sum, k| sum + term(row, col, k))).collect()
    }

    #[test]
    #[should_panic(expected = "left ends early")]
    fn a_left_matrix_that_is_too_short_is_refused() {
        let (short, right) = ([0.0; 5], [0.0; 48]);
        let left = Left { values: &short, row_stride: 3, inner_stride: 1 };
        multiply::<false>(
            &mut [0.0; 32],
            left,
            Right { values: &right, stride: 16 },
            Sizes { rows: 2, inner: 3, cols: 16 },
        );
    }
}
