//! Blocks of queries and keys that stay in the nearest cache, and how they are packed.

use super::heads::Head;
use crate::matrix::tile::{PIECE, Right};

/// Keys of a block; a multiple of [`PIECE`].
pub(super) const KEYS: usize = 256;
/// Most queries of a block.
pub(super) const QUERIES: usize = 72;

/// The queries in blocks of about the same size: first rows and numbers of rows.
pub(super) fn query_blocks(len: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let step = len.div_ceil(len.div_ceil(QUERIES).max(1)).max(1);
    (0..len).step_by(step).map(move |start| (start, step.min(len - start)))
}

/// The keys in blocks: first rows and numbers of rows.
pub(super) fn key_blocks(len: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..len).step_by(KEYS).map(move |start| (start, KEYS.min(len - start)))
}

/// A length that is a whole number of pieces.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(PIECE)
}

/// `[width, padded(len)]`: the head transposed and times `scale`, zeros after its rows.
pub(super) fn transposed(head: Head<'_>, scale: f32, into: &mut Vec<f32>) -> usize {
    let stride = padded(head.len);
    into.clear();
    into.resize(head.width * stride, 0.0);
    // Pieces of rows, so that every line of the cache that is written is written whole.
    for start in (0..head.len).step_by(PIECE) {
        let rows = PIECE.min(head.len - start);
        for (col, column) in into.chunks_exact_mut(stride).enumerate() {
            for (row, place) in column[start..start + rows].iter_mut().enumerate() {
                *place = scale * head.values[(start + row) * head.stride + col];
            }
        }
    }
    stride
}

/// The head as a right matrix with rows of whole pieces: where it lies, or copied with zeros after each row.
pub(super) fn right<'a>(head: Head<'a>, copy: &'a mut Vec<f32>) -> Right<'a> {
    if head.width.is_multiple_of(PIECE) {
        return Right { values: head.values, stride: head.stride };
    }
    let stride = padded(head.width);
    copy.clear();
    copy.resize(head.len * stride, 0.0);
    for (row, place) in copy.chunks_exact_mut(stride).enumerate() {
        place[..head.width].copy_from_slice(head.row(row));
    }
    Right { values: copy, stride }
}

/// Memory that is used again, whatever it holds.
pub(super) fn sized(memory: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    &mut memory[..len]
}

/// Zeros, in memory that is used again.
pub(super) fn zeros(memory: &mut Vec<f32>, len: usize) -> &mut [f32] {
    memory.clear();
    memory.resize(len, 0.0);
    memory
}
