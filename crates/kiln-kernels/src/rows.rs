//! Tensors as rows of their last axis, worked on by several threads.

use std::mem::MaybeUninit;

use burn::tensor::Tensor;

use crate::FlexSlice;
use crate::flex::{tensor_of, written};
use crate::threads::share;
use crate::vector::sum_of;

/// Numbers that are worth a task of their own.
const TASK: usize = 1 << 14;

/// Lanes of a row that are worked on side by side.
pub(crate) const LANES: usize = 16;

/// Rows of `cols` numbers that make up a task. They follow from the size alone.
pub(crate) fn rows_of_task(cols: usize) -> usize {
    (TASK / cols.max(1)).max(1)
}

/// A new tensor with all numbers changed by whole rows: `change` is given some rows, one after the other, of the length of
/// the last axis.
pub(crate) fn changed<const D: usize>(x: Tensor<D>, change: impl Fn(&mut [f32], usize) + Sync) -> Tensor<D> {
    let dims = x.dims();
    let cols = dims[D - 1];
    let x = FlexSlice::<f32>::new(x);
    let write = |y: &mut [MaybeUninit<f32>]| {
        let size = (rows_of_task(cols) * cols).max(1);
        let tasks = x.values().chunks(size).zip(y.chunks_mut(size)).collect();
        // Rows that have just been copied are in the nearest cache.
        share(tasks, |(x, y)| change(y.write_copy_of_slice(x), cols));
    };
    // SAFETY: every number is copied.
    tensor_of(unsafe { written(x.values().len(), write) }, dims)
}

/// The tensor with all its numbers changed by whole rows, beside the same rows of another tensor; in place where nobody else
/// holds it.
///
/// # Panics
/// Where the shapes differ.
pub(crate) fn changed_beside<const D: usize>(
    x: Tensor<D>,
    other: Tensor<D>,
    change: impl Fn(&mut [f32], &[f32], usize) + Sync,
) -> Tensor<D> {
    assert_eq!(x.dims(), other.dims(), "the shape of the output and that of its gradient differ");
    let cols = x.dims()[D - 1];
    let (mut slice, other) = (FlexSlice::<f32>::new(x), FlexSlice::<f32>::new(other));
    if cols > 0 {
        let size = rows_of_task(cols) * cols;
        let tasks = slice.values_mut().chunks_mut(size).zip(other.values().chunks(size)).collect();
        share(tasks, |(rows, others)| change(rows, others, cols));
    }
    slice.into_tensor()
}

/// Every number of a row changed: by pieces of [`LANES`] numbers, of which the last overlaps the one before.
#[inline(always)]
pub(crate) fn change_row(row: &mut [f32], change: impl Fn(f32) -> f32) {
    let Some(mut last) = row.last_chunk::<LANES>().copied() else {
        let mut piece = [0.0; LANES];
        piece[..row.len()].copy_from_slice(row);
        change_piece(&mut piece, &change);
        return row.copy_from_slice(&piece[..row.len()]);
    };
    change_piece(&mut last, &change);
    row.as_chunks_mut::<LANES>().0.iter_mut().for_each(|piece| change_piece(piece, &change));
    if let Some(place) = row.last_chunk_mut::<LANES>() {
        *place = last;
    }
}

#[inline(always)]
fn change_piece(piece: &mut [f32; LANES], change: &impl Fn(f32) -> f32) {
    for number in piece {
        *number = change(*number);
    }
}

/// The sum of `term` over the numbers of a row, by lanes.
#[inline(always)]
pub(crate) fn sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (pieces, rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for piece in pieces {
        for lane in 0..LANES {
            sums[lane] += term(piece[lane]);
        }
    }
    sum_of(sums) + rest.iter().map(|number| term(*number)).sum::<f32>()
}

/// The sum of `term` over the numbers of two rows of the same length, by lanes.
#[inline(always)]
pub(crate) fn sum_beside(row: &[f32], other: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let ((pieces, rest), (others, other_rest)) = (row.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (piece, other) in pieces.iter().zip(others) {
        for lane in 0..LANES {
            sums[lane] += term(piece[lane], other[lane]);
        }
    }
    sum_of(sums) + rest.iter().zip(other_rest).map(|(number, other)| term(*number, *other)).sum::<f32>()
}
