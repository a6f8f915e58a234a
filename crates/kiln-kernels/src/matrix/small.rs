//! Small products, which cost less than the copies that make large ones fast.

use std::any::TypeId;
use std::mem::MaybeUninit;

use super::tile::{self, Left, PIECE, Right};
use super::{Block, MatrixView, Start};
use crate::Real;
use crate::flex::written;
use crate::vector::{Kernel, vectorised};

/// Multiplications of the largest of them.
const LARGEST: usize = 1 << 21;

/// Terms that are added up one after another, at most.
const MOST_TERMS: usize = 1024;

/// Rows for which a transposed right matrix is worth being copied.
const FEWEST_ROWS: usize = 16;

/// Columns of it that are copied at once.
const PANEL: usize = 4 * PIECE;

/// `out <- left right + start`, if this is a product of `f32` for which it pays; `out` has contiguous rows.
pub(super) fn set_product<E: Real>(
    out: &mut Block<'_, E>,
    left: MatrixView<'_, E>,
    right: MatrixView<'_, E>,
    start: Start<'_, E>,
) -> bool {
    let (rows, inner, cols) = (left.rows, left.cols, right.cols);
    let is_small = inner <= MOST_TERMS && rows * inner * cols <= LARGEST;
    if !is_small || !cols.is_multiple_of(PIECE) || TypeId::of::<E>() != TypeId::of::<f32>() {
        return false;
    }
    let by_rows = right.col_stride == 1;
    if !by_rows && (right.row_stride != 1 || rows < FEWEST_ROWS || inner < PIECE) {
        return false;
    }
    let start = match start {
        Start::Zero => tile::Start::Zero,
        Start::EveryRow(values) => tile::Start::EveryRow(bytemuck::cast_slice(values)),
        Start::EveryCol(_) => return false,
    };
    let of_left = bytemuck::cast_slice(left.values);
    let left = Left { values: of_left, row_stride: left.row_stride, inner_stride: left.col_stride };
    let values: &[f32] = bytemuck::cast_slice(right.values);
    let mut out = out.cast::<f32>();
    if by_rows {
        let right = Right { values, stride: right.row_stride };
        // SAFETY: nothing is kept.
        unsafe { tile::multiply_into(&mut out, left, right, inner, start) };
        return true;
    }
    for first in (0..cols).step_by(PANEL) {
        let width = PANEL.min(cols - first);
        let columns = &values[first * right.col_stride..];
        let write =
            |panel: &mut [_]| vectorised(Transposed { columns, distance: right.col_stride, panel, width, inner });
        // SAFETY: `Transposed` writes every number of its panel.
        let panel = unsafe { written(inner * width, write) };
        let start = match start {
            tile::Start::EveryRow(values) => tile::Start::EveryRow(&values[first..][..width]),
            other => other,
        };
        let right = Right { values: &panel, stride: width };
        // SAFETY: nothing is kept.
        unsafe { tile::multiply_into(&mut out.cols(first..first + width), left, right, inner, start) };
    }
    true
}

/// `panel[k][col] = columns[col * distance + k]`
struct Transposed<'a, 'm> {
    columns: &'a [f32],
    distance: usize,
    panel: &'m mut [MaybeUninit<f32>],
    /// Columns, a multiple of [`PIECE`].
    width: usize,
    inner: usize,
}

impl Kernel for Transposed<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        assert_eq!(self.panel.len(), self.inner * self.width, "a panel of another size");
        for col in (0..self.width).step_by(PIECE) {
            let columns: [&[f32]; PIECE] =
                std::array::from_fn(|index| &self.columns[(col + index) * self.distance..][..self.inner]);
            for (k, row) in self.panel.chunks_exact_mut(self.width).enumerate() {
                let mut piece = [0.0; PIECE];
                for index in 0..PIECE {
                    piece[index] = columns[index][k];
                }
                row[col..][..PIECE].write_copy_of_slice(&piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{multiply, rows_of};
    use super::*;
    use crate::matrix::Threads;

    fn whole(count: usize) -> Vec<f32> {
        (0..count).map(|index| (index * 7 % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn small_products_are_those_of_large_ones_from_any_start() {
        for [rows, inner, cols] in [[1, 5, 16], [16, 16, 16], [17, 33, 48], [20, 18, 80], [64, 64, 128]] {
            let (left, right) = (whole(rows * inner), whole(inner * cols));
            let of_rows = whole(cols);
            for (left, right) in [
                (rows_of(&left, rows, inner), rows_of(&right, inner, cols)),
                (rows_of(&left, inner, rows).t(), rows_of(&right, inner, cols)),
                (rows_of(&left, rows, inner), rows_of(&right, cols, inner).t()),
            ] {
                let mut product = vec![0.0; rows * cols];
                multiply(&mut product, 0.0, 1.0, left, right, Threads::Caller);
                for start in [Start::Zero, Start::EveryRow(&of_rows)] {
                    let mut found = vec![f32::NAN; rows * cols];
                    let done = set_product(&mut Block::of_numbers(&mut found, rows, cols), left, right, start);
                    assert_eq!(done, right.col_stride == 1 || rows >= FEWEST_ROWS, "{rows} x {inner} x {cols}");
                    let expected = product.iter().enumerate().map(|(index, product)| match start {
                        Start::EveryRow(values) => product + values[index % cols],
                        _ => *product,
                    });
                    assert!(!done || found.into_iter().eq(expected), "{rows} x {inner} x {cols}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_pay_is_left_undone() {
        let values = whole(64 * 64);
        let mut place = vec![0.0; 64 * 64];
        let narrow = rows_of(&values[..64 * 10], 64, 10);
        assert!(!set_product(
            &mut Block::of_numbers(&mut place[..640], 64, 10),
            rows_of(&values, 64, 64),
            narrow,
            Start::Zero
        ));
        let double = vec![1.0f64; 64 * 64];
        let mut place = vec![0.0f64; 64 * 64];
        let all = rows_of(&double, 64, 64);
        assert!(!set_product(&mut Block::of_numbers(&mut place, 64, 64), all, all, Start::Zero));
    }
}
