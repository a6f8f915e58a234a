//! Products of small matrices that lie in the caches, with the numbers of a row side by side.

use pulp::{Arch, Simd, WithSimd};

use super::Block;
use crate::vector::load;

/// Rows of the right matrix and of the product are read and written in pieces of so many numbers.
pub(crate) const PIECE: usize = 16;

/// The left matrix: element `(row, k)` is `values[row * row_stride + k * inner_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) inner_stride: usize,
}

/// The right matrix: element `(k, col)` is `values[k * stride + col]`.
#[derive(Clone, Copy)]
pub(crate) struct Right<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

/// `rows`, `inner` and `cols` of a product; `cols` is a multiple of [`PIECE`].
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) cols: usize,
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    Zero,
    /// What is in its place.
    Kept,
    /// The same numbers in every row.
    EveryRow(&'a [f32]),
}

/// `out <- left right`, or `out <- out + left right` where `ADDS`, for an `out` with rows of `sizes.cols` numbers.
///
/// # Panics
/// Where a matrix ends before its last element.
pub(crate) fn multiply<const ADDS: bool>(out: &mut [f32], left: Left<'_>, right: Right<'_>, sizes: Sizes) {
    let Sizes { rows, inner, cols } = sizes;
    assert!(out.len() >= rows * cols, "a product of {rows} x {cols} does not fit");
    let mut out = Block::of_numbers(&mut out[..rows * cols], rows, cols);
    let start = if ADDS { Start::Kept } else { Start::Zero };
    // SAFETY: the block is a slice of numbers.
    unsafe { multiply_into(&mut out, left, right, inner, start) }
}

/// `out <- left right + start`, for an `out` with contiguous rows, of a multiple of [`PIECE`] numbers each.
///
/// # Safety
/// Where the start is kept, every element of `out` has been written.
///
/// # Panics
/// Where a matrix ends before its last element.
pub(super) unsafe fn multiply_into(
    out: &mut Block<'_, f32>,
    left: Left<'_>,
    right: Right<'_>,
    inner: usize,
    start: Start<'_>,
) {
    check(out, left, right, inner, start);
    let start = match start {
        Start::Zero => Beginning { at: ZEROS.as_ptr(), row_stride: 0, col_mask: 0 },
        Start::Kept => Beginning { at: out.start, row_stride: out.row_stride, col_mask: usize::MAX },
        Start::EveryRow(values) => Beginning { at: values.as_ptr(), row_stride: 0, col_mask: usize::MAX },
    };
    Arch::new().dispatch(Product { out, left, right, inner, start });
}

/// Asserts that every element of the matrices is in its slice.
fn check(out: &Block<'_, f32>, left: Left<'_>, right: Right<'_>, inner: usize, start: Start<'_>) {
    let (rows, cols) = (out.num_rows(), out.num_cols());
    assert!(cols <= 1 || out.col_stride == 1, "rows that are not contiguous");
    assert!(cols.is_multiple_of(PIECE), "rows of {cols} numbers are not whole pieces");
    if rows > 0 && inner > 0 && cols > 0 {
        assert!((rows - 1) * left.row_stride + (inner - 1) * left.inner_stride < left.values.len(), "left ends early");
        assert!((inner - 1) * right.stride + cols <= right.values.len(), "right ends early");
    }
    if let Start::EveryRow(values) = start {
        assert_eq!(values.len(), cols, "{} values for rows of {cols}", values.len());
    }
}

/// Where the numbers lie that the product is added to: those of a place at `row * row_stride + (col & col_mask)`. One way to
/// read them for every [`Start`] keeps what is done with a tile short, and with it the tile in registers.
#[derive(Clone, Copy)]
struct Beginning {
    at: *const f32,
    row_stride: usize,
    col_mask: usize,
}

/// As many zeros as a tile has columns, at most.
static ZEROS: [f32; MOST_COLUMNS] = [0.0; MOST_COLUMNS];
const MOST_COLUMNS: usize = 4 * PIECE;

struct Product<'a, 'm> {
    out: &'a mut Block<'m, f32>,
    left: Left<'a>,
    right: Right<'a>,
    inner: usize,
    start: Beginning,
}

impl WithSimd for Product<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let cols = if self.out.num_rows() == 0 { 0 } else { self.out.num_cols() };
        let mut col = 0;
        // Tiles whose sums, a row of the right matrix and a number of the left one fit the registers.
        if S::REGISTER_COUNT > 6 * 4 + 4 {
            col = self.columns::<S, 6, 4>(simd, col, cols);
            col = self.columns::<S, 8, 1>(simd, col, cols);
        } else {
            col = self.columns::<S, 6, 2>(simd, col, cols);
            col = self.columns::<S, 6, 1>(simd, col, cols);
        }
        debug_assert_eq!(col, cols, "whole pieces are whole vectors");
    }
}

impl Product<'_, '_> {
    /// From a column on as many of `WIDTH` vectors as there are: rows in steps of `ROWS`, then of four, two and one. The
    /// column behind them.
    #[inline(always)]
    fn columns<S: Simd, const ROWS: usize, const WIDTH: usize>(
        &mut self,
        simd: S,
        mut col: usize,
        cols: usize,
    ) -> usize {
        let rows = self.out.num_rows();
        while col + WIDTH * S::F32_LANES <= cols {
            let mut row = 0;
            while row + ROWS <= rows {
                self.tile::<S, ROWS, WIDTH>(simd, row, col);
                row += ROWS;
            }
            if row + 4 <= rows {
                self.tile::<S, 4, WIDTH>(simd, row, col);
                row += 4;
            }
            if row + 2 <= rows {
                self.tile::<S, 2, WIDTH>(simd, row, col);
                row += 2;
            }
            if row < rows {
                self.tile::<S, 1, WIDTH>(simd, row, col);
            }
            col += WIDTH * S::F32_LANES;
        }
        col
    }

    /// `ROWS` rows of `WIDTH` vectors.
    // Sums are taken apart by constant indices alone, so that the vectors need no memory.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const WIDTH: usize>(&mut self, simd: S, row: usize, col: usize) {
        const { assert!(WIDTH * S::F32_LANES <= MOST_COLUMNS) };
        let sums = self.sums::<S, ROWS, WIDTH>(simd, row, col);
        for r in 0..ROWS {
            let start = self.start.at.wrapping_add((row + r) * self.start.row_stride + (col & self.start.col_mask));
            let place = self.out.start.wrapping_add((row + r) * self.out.row_stride + col);
            for vector in 0..WIDTH {
                let at = vector * S::F32_LANES;
                // SAFETY: the tile lies in the block, which is borrowed mutably, has contiguous rows and whose numbers, where
                // they are kept, have been written; `check` has asserted that a row of the start has as many; and of zeros
                // there are as many as a tile has columns. Any number may be stored anywhere as bytes of its vector.
                unsafe {
                    let start: S::f32s = start.wrapping_add(at).cast::<S::f32s>().read_unaligned();
                    let sum = simd.add_f32s(start, sums[r][vector]);
                    place.wrapping_add(at).cast::<S::f32s>().write_unaligned(sum);
                }
            }
        }
    }

    /// The sums of a tile, which stay in the processor's registers: nothing in the loop can fail.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn sums<S: Simd, const ROWS: usize, const WIDTH: usize>(
        &self,
        simd: S,
        row: usize,
        col: usize,
    ) -> [[S::f32s; WIDTH]; ROWS] {
        let (left, right) = (self.left, self.right);
        let mut sums = [[simd.splat_f32s(0.0); WIDTH]; ROWS];
        let first = row * left.row_stride;
        for k in 0..self.inner {
            let at = k * right.stride + col;
            // SAFETY: `check` has asserted that the last row's last element is in the slice, `k < inner`, and the columns of
            // the tile are columns of the product.
            let numbers = unsafe { right.values.get_unchecked(at..at + WIDTH * S::F32_LANES) };
            let mut others = [simd.splat_f32s(0.0); WIDTH];
            for vector in 0..WIDTH {
                others[vector] = load::<S>(numbers, vector * S::F32_LANES);
            }
            for r in 0..ROWS {
                let at = first + r * left.row_stride + k * left.inner_stride;
                // SAFETY: as above, and `row + r < rows`.
                let factor = simd.splat_f32s(unsafe { *left.values.get_unchecked(at) });
                for vector in 0..WIDTH {
                    sums[r][vector] = simd.mul_add_e_f32s(factor, others[vector], sums[r][vector]);
                }
            }
        }
        sums
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
                for (cols, gap, shift) in [(16, 0, 0), (32, 3, 1), (48, 16, 5), (64, 1, 3), (144, 0, 2)] {
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
