//! Tensors as rows of their last axis, worked on by several threads.

use std::mem::MaybeUninit;

use burn::tensor::Tensor;

use crate::flex::{tensor_of, written};
use crate::threads::share;
use crate::vector::{FEW_LANES as LANES, sum_of_pairs, sum_of_terms};
use crate::{FlexSlice, Real};

/// Numbers that are worth a task of their own.
pub(crate) const TASK: usize = 1 << 14;

/// Rows of `cols` numbers that make up a task. They follow from the size alone.
pub(crate) fn rows_of_task(cols: usize) -> usize {
    (TASK / cols.max(1)).max(1)
}

/// Numbers of a task of whole rows.
pub(crate) fn numbers_of_task(cols: usize) -> usize {
    (rows_of_task(cols) * cols).max(1)
}

/// The tensor with all its numbers changed, in pieces of so many of them: in place where nobody else holds it, else while
/// they are copied.
pub(crate) fn changed<E: Real, const D: usize>(
    x: Tensor<D>,
    piece: usize,
    change: impl Fn(&mut [E]) + Sync,
) -> Tensor<D> {
    let dims = x.dims();
    let mut x = FlexSlice::<E>::new(x);
    if let Some(values) = x.own_values_mut() {
        share(values.chunks_mut(piece).collect(), change);
        return x.into_tensor();
    }
    let write = |y: &mut [MaybeUninit<E>]| {
        let tasks = x.values().chunks(piece).zip(y.chunks_mut(piece)).collect();
        // What has just been copied is in the nearest cache.
        share(tasks, |(x, y)| change(y.write_copy_of_slice(x)));
    };
    // SAFETY: every number is copied.
    tensor_of(unsafe { written(x.values().len(), write) }, dims)
}

/// As [`changed`], beside the same numbers of another tensor.
///
/// # Panics
/// Where the shapes differ.
pub(crate) fn changed_beside<E: Real, const D: usize>(
    x: Tensor<D>,
    other: Tensor<D>,
    piece: usize,
    change: impl Fn(&mut [E], &[E]) + Sync,
) -> Tensor<D> {
    let dims = x.dims();
    assert_eq!(other.dims(), dims, "the shape of the output and that of its gradient differ");
    let (mut x, other) = (FlexSlice::<E>::new(x), FlexSlice::<E>::new(other));
    if let Some(values) = x.own_values_mut() {
        let tasks = values.chunks_mut(piece).zip(other.values().chunks(piece)).collect();
        share(tasks, |(x, other)| change(x, other));
        return x.into_tensor();
    }
    let write = |y: &mut [MaybeUninit<E>]| {
        let numbers = x.values().chunks(piece).zip(other.values().chunks(piece));
        share(numbers.zip(y.chunks_mut(piece)).collect(), |((x, other), y)| change(y.write_copy_of_slice(x), other));
    };
    // SAFETY: every number is copied.
    tensor_of(unsafe { written(x.values().len(), write) }, dims)
}

/// Every number of a row changed: by pieces of as many numbers as a vector has, of which the last overlaps the one before.
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
    sum_of_terms::<_, LANES>(row, term)
}

/// The sum of `term` over the numbers of two rows of the same length, by lanes.
#[inline(always)]
pub(crate) fn sum_beside(row: &[f32], other: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    sum_of_pairs::<_, LANES>(row, other, term)
}
