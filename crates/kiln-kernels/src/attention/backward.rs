//! The gradients of one head. Scores are computed again, block by block.

use super::block::{key_blocks, padded, query_blocks, right, sized, transposed, zeros};
use super::heads::{Head, Visible};
use crate::elementary::exp_of_negative;
use crate::matrix::Block;
use crate::matrix::tile::{Left, Right, Sizes, multiply};
use crate::rows::sum_beside;
use crate::vector::{FusedKernel, MultiplyAdd};

/// Memory of a thread.
#[derive(Default)]
pub(super) struct Scratch {
    transposed_keys: Vec<f32>,
    transposed_values: Vec<f32>,
    padded: [Vec<f32>; 3],
    weights: Vec<f32>,
    slopes: Vec<f32>,
    means: Vec<f32>,
    query_gradient: Vec<f32>,
    key_gradient: Vec<f32>,
    value_gradient: Vec<f32>,
}

/// ```text
/// P = exp(scale Q K^T - logs)     dV = P^T G     dS = P (G V^T - sum_j G_j O_j)     dQ = scale dS K     dK = scale dS^T Q
/// ```
pub(super) struct HeadBackward<'a> {
    pub(super) query: Head<'a>,
    pub(super) key: Head<'a>,
    pub(super) value: Head<'a>,
    /// Output `O` of the head.
    pub(super) output: Head<'a>,
    /// Gradient `G` of the output.
    pub(super) upstream: Head<'a>,
    pub(super) logs: &'a [f32],
    pub(super) scale: f32,
    pub(super) visible: Visible,
    pub(super) of_query: Block<'a, f32>,
    pub(super) of_key: Block<'a, f32>,
    pub(super) of_value: Block<'a, f32>,
    pub(super) scratch: &'a mut Scratch,
}

impl FusedKernel for HeadBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        let Self { query, key, value, output, upstream, logs, scale, visible, .. } = self;
        let (mut of_query, mut of_key, mut of_value) = (self.of_query, self.of_key, self.of_value);
        let scratch = self.scratch;
        let inner = query.width;
        let width = padded(inner);
        let stride = transposed(key, scale, &mut scratch.transposed_keys);
        transposed(value, 1.0, &mut scratch.transposed_values);
        let [padded_queries, padded_keys, padded_upstream] = &mut scratch.padded;
        let right_queries = right(query, padded_queries);
        let right_keys = right(key, padded_keys);
        let right_upstream = right(upstream, padded_upstream);
        scratch.means.clear();
        for row in 0..query.len {
            scratch.means.push(sum_beside(upstream.row(row), output.row(row), |slope, output| slope * output));
        }
        let query_gradient = zeros(&mut scratch.query_gradient, query.len * width);
        for (first_key, keys) in key_blocks(key.len) {
            let cols = padded(keys);
            let key_gradient = zeros(&mut scratch.key_gradient, keys * width);
            let value_gradient = zeros(&mut scratch.value_gradient, keys * width);
            let transposed_keys = Right { values: &scratch.transposed_keys[first_key..], stride };
            let transposed_values = Right { values: &scratch.transposed_values[first_key..], stride };
            for (first, rows) in query_blocks(query.len) {
                if visible.count(first + rows - 1, key.len) <= first_key {
                    continue;
                }
                let sizes = Sizes { rows, inner, cols };
                let weights = sized(&mut scratch.weights, rows * cols);
                multiply::<false>(weights, left(query, first), transposed_keys, sizes);
                for (row, weights) in weights.chunks_exact_mut(cols).enumerate() {
                    let count = visible.count(first + row, key.len).saturating_sub(first_key).min(keys);
                    weights[count..].fill(f32::NEG_INFINITY);
                    let log = logs[first + row];
                    weights.iter_mut().for_each(|weight| *weight = exp_of_negative(m, *weight - log));
                }
                let by_keys = Sizes { rows: keys, inner: rows, cols: width };
                let upstream_here = rows_from(right_upstream, first);
                multiply::<true>(value_gradient, by_column(weights, cols), upstream_here, by_keys);
                let slopes = sized(&mut scratch.slopes, rows * cols);
                multiply::<false>(slopes, left(upstream, first), transposed_values, sizes);
                let rows_of_both = weights.chunks_exact_mut(cols).zip(slopes.chunks_exact(cols));
                for ((weights, slopes), mean) in rows_of_both.zip(&scratch.means[first..]) {
                    weights.iter_mut().zip(slopes).for_each(|(weight, slope)| *weight *= slope - mean);
                }
                let score_gradient = Left { values: weights, row_stride: cols, inner_stride: 1 };
                let by_queries = Sizes { rows, inner: keys, cols: width };
                let query_gradient = &mut query_gradient[first * width..];
                multiply::<true>(query_gradient, score_gradient, rows_from(right_keys, first_key), by_queries);
                let queries_here = rows_from(right_queries, first);
                multiply::<true>(key_gradient, by_column(weights, cols), queries_here, by_keys);
            }
            write(&mut of_key, first_key, key_gradient, [width, inner], scale);
            write(&mut of_value, first_key, value_gradient, [width, inner], 1.0);
        }
        write(&mut of_query, 0, query_gradient, [width, inner], scale);
    }
}

/// Rows of a head from `first` on, to be multiplied from the left.
#[inline(always)]
fn left(head: Head<'_>, first: usize) -> Left<'_> {
    Left { values: head.from(first).values, row_stride: head.stride, inner_stride: 1 }
}

/// The transpose of a matrix with rows of `cols` numbers.
#[inline(always)]
fn by_column(values: &[f32], cols: usize) -> Left<'_> {
    Left { values, row_stride: 1, inner_stride: cols }
}

#[inline(always)]
fn rows_from(right: Right<'_>, first: usize) -> Right<'_> {
    Right { values: &right.values[first * right.stride..], stride: right.stride }
}

/// Rows of `width` numbers times `scale`, the first `inner` of each, to the rows of the block from `first` on.
#[inline(always)]
fn write(out: &mut Block<'_, f32>, first: usize, values: &mut [f32], [width, inner]: [usize; 2], scale: f32) {
    for (row, values) in values.chunks_exact_mut(width).enumerate() {
        values.iter_mut().for_each(|value| *value *= scale);
        out.copy_row(first + row, &values[..inner]);
    }
}
