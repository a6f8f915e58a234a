//! Products of small matrices that lie in the nearest cache, with the numbers of a row side by side.

use crate::vector::MultiplyAdd;

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
#[inline(always)]
pub(super) fn multiply<M: MultiplyAdd, const ADDS: bool>(
    m: M,
    out: &mut [f32],
    left: Left<'_>,
    right: Right<'_>,
    sizes: Sizes,
) {
    let Sizes { rows, inner, cols } = sizes;
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(cols.is_multiple_of(PIECE) && out.len() >= rows * cols, "a product of {rows} x {cols} does not fit");
    if inner > 0 {
        assert!((rows - 1) * left.row_stride + (inner - 1) * left.inner_stride < left.values.len(), "left ends early");
        assert!((inner - 1) * right.stride + cols <= right.values.len(), "right ends early");
    }
    for col in (0..cols).step_by(PIECE) {
        if M::IS_WIDE {
            columns::<M, 8, ADDS>(m, out, left, right, sizes, col);
        } else {
            columns::<M, 6, ADDS>(m, out, left, right, sizes, col);
        }
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
        for r in 0..ROWS {
            let at = first + r * left.row_stride + k * left.inner_stride;
            // SAFETY: `multiply`, whose part this is, has asserted that the last row's last element is in the slice,
            // and `row + r < sizes.rows`, `k < sizes.inner`.
            let factor = unsafe { *left.values.get_unchecked(at) };
            for c in 0..PIECE {
                sums[r][c] = m.multiply_add(factor, others[c], sums[r][c]);
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
