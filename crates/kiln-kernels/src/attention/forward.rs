//! The output of one head: blocks of scores, whose softmax is carried on from block to block.

use super::block::{QUERIES, key_blocks, padded, query_blocks, right, sized, transposed, zeros};
use super::heads::{Head, Visible};
use crate::elementary::exp_of_negative;
use crate::matrix::Block;
use crate::matrix::tile::{Left, PIECE, Right, Sizes, multiply};
use crate::vector::{FusedKernel, MultiplyAdd, sum_of};

/// Memory of a thread.
#[derive(Default)]
pub(super) struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
    outputs: Vec<f32>,
}

/// `softmax(scale Q K^T) V` of some queries of a head, and for each query the logarithm of its sum of exponentials.
pub(super) struct HeadForward<'a> {
    pub(super) query: Head<'a>,
    pub(super) key: Head<'a>,
    pub(super) value: Head<'a>,
    pub(super) scale: f32,
    pub(super) visible: Visible,
    pub(super) out: Block<'a, f32>,
    pub(super) logs: &'a mut [f32],
    pub(super) scratch: &'a mut Scratch,
}

impl FusedKernel for HeadForward<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        let Self { query, key, value, scale, visible, mut out, logs, scratch } = self;
        let width = padded(query.width);
        let stride = transposed(key, scale, &mut scratch.keys);
        let value = right(value, &mut scratch.values);
        for (first, rows) in query_blocks(query.len) {
            let outputs = zeros(&mut scratch.outputs, rows * width);
            let mut softmax = [RunningSoftmax::EMPTY; QUERIES];
            let softmax = &mut softmax[..rows];
            let seen = visible.count(first + rows - 1, key.len);
            for (first_key, keys) in key_blocks(seen) {
                let cols = padded(keys);
                let left = Left { values: query.from(first).values, row_stride: query.stride, inner_stride: 1 };
                let keys_here = Right { values: &scratch.keys[first_key..], stride };
                let scores = sized(&mut scratch.scores, rows * cols);
                multiply::<false>(scores, left, keys_here, Sizes { rows, inner: query.width, cols });
                for (row, softmax) in softmax.iter_mut().enumerate() {
                    let scores = &mut scores[row * cols..][..cols];
                    let count = visible.count(first + row, key.len).saturating_sub(first_key).min(keys);
                    scores[count..].fill(f32::NEG_INFINITY);
                    softmax.take(m, scores, &mut outputs[row * width..][..width]);
                }
                let left = Left { values: scores, row_stride: cols, inner_stride: 1 };
                let values_here = Right { values: &value.values[first_key * value.stride..], stride: value.stride };
                multiply::<true>(outputs, left, values_here, Sizes { rows, inner: keys, cols: width });
            }
            for (row, softmax) in softmax.iter().enumerate() {
                let outputs = &mut outputs[row * width..][..query.width];
                let rate = 1.0 / softmax.sum;
                outputs.iter_mut().for_each(|output| *output *= rate);
                out.copy_row(first + row, outputs);
                logs[first + row] = softmax.max + softmax.sum.ln();
            }
        }
    }
}

/// The softmax of a row that comes in parts.
#[derive(Clone, Copy)]
struct RunningSoftmax {
    /// The largest score so far.
    max: f32,
    /// `sum exp(score - max)` so far.
    sum: f32,
}

impl RunningSoftmax {
    const EMPTY: Self = Self { max: f32::NEG_INFINITY, sum: 0.0 };

    /// Turns the row's next scores into exponentials less the new largest score, and scales what earlier ones gave.
    #[inline(always)]
    fn take<M: MultiplyAdd>(&mut self, m: M, scores: &mut [f32], outputs: &mut [f32]) {
        let (pieces, _) = scores.as_chunks_mut::<PIECE>();
        let mut largest = [self.max; PIECE];
        for piece in &*pieces {
            for lane in 0..PIECE {
                largest[lane] = if piece[lane] > largest[lane] { piece[lane] } else { largest[lane] };
            }
        }
        let max = largest.into_iter().fold(self.max, |max, score| if score > max { score } else { max });
        if max > self.max && self.sum != 0.0 {
            let factor = exp_of_negative(m, self.max - max);
            self.sum *= factor;
            outputs.iter_mut().for_each(|output| *output *= factor);
        }
        self.max = max;
        // Where no score is above minus infinity yet there is nothing to subtract, and every power is zero.
        let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
        let mut sums = [0.0; PIECE];
        for piece in pieces {
            for lane in 0..PIECE {
                piece[lane] = exp_of_negative(m, piece[lane] - shift);
                sums[lane] += piece[lane];
            }
        }
        self.sum += sum_of(sums);
    }
}
