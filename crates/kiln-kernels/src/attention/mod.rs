//! Scaled dot-product attention, `softmax(scale Q K^T) V` of every head.
//!
//! A head is worked on by one thread. Its scores are made in blocks that stay in the nearest cache, and the softmax is
//! carried on from block to block (arXiv 2205.14135), so that no matrix of all scores is ever held. The backward pass
//! makes the scores again, from the inputs and one number for each query.

mod backward;
mod block;
mod forward;
mod heads;

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Tensor};

use crate::flex::{FlexMatrix, element_type, tensor_of, written};
use crate::matrix::{Block, MatrixView};
use crate::threads::share;
use crate::vector::vectorised;
use backward::HeadBackward;
use forward::HeadForward;
use heads::{Heads, Visible};

/// Most tasks that the heads are shared out in.
const TASKS: usize = 64;
/// Queries of a task.
const TASK_QUERIES: usize = 4 * block::QUERIES;

/// What the backward pass needs beside the inputs: the output, and `log sum_j exp(score_j)` of each query of each head.
#[derive(Debug, Clone)]
pub struct Attended<const D: usize> {
    /// The output.
    pub output: Tensor<D>,
    logs: Vec<f32>,
}

/// Whether the kernel computes this attention: all tensors are `f32` on the Flex device, none is empty, scores are not
/// capped, and under a causal mask every query sees a key.
pub fn applies(query: &Tensor<4>, key: &Tensor<4>, value: &Tensor<4>, options: &AttentionModuleOptions) -> bool {
    let is_ours = |tensor: &Tensor<4>| element_type(tensor) == Some(DType::F32) && !tensor.dims().contains(&0);
    let [.., queries, _] = query.dims();
    let [.., keys, _] = key.dims();
    [query, key, value].into_iter().all(is_ours)
        && query.dims()[3] == value.dims()[3]
        && options.softcap.is_none()
        && (!options.is_causal || queries <= keys)
}

/// As [`applies`], for queries, keys and values in one tensor.
pub fn applies_to_joint(qkv: &Tensor<3>) -> bool {
    element_type(qkv) == Some(DType::F32) && !qkv.dims().contains(&0)
}

/// `softmax(scale Q K^T) V` of every head, with `scale = 1 / sqrt(head_dim)` unless the options have another one. Under a
/// causal mask query `i` sees the keys up to its own, the last ones of both aligned.
///
/// # Shapes
/// - `query`: `[batch_size, num_heads, queries, head_dim]`
/// - `key`, `value`: `[batch_size, num_heads, keys, head_dim]`
/// - output: `[batch_size, num_heads, queries, head_dim]`
///
/// # Panics
/// Where the shapes do not fit, and where [`applies`] is false or a tensor is in a graph.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use kiln_kernels::attention;
///
/// let query = Tensor::<4>::random([1, 2, 5, 8], Distribution::Default, &Device::flex());
/// let value = Tensor::ones([1, 2, 5, 8], &Device::flex());
/// let attended = attention::forward(query.clone(), query, value, &Default::default());
/// assert_eq!(attended.output.dims(), [1, 2, 5, 8]);
/// ```
pub fn forward(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, options: &AttentionModuleOptions) -> Attended<4> {
    let dims = query.dims();
    let parts = [query, key, value].map(Separate::new);
    let heads = parts.each_ref().map(Separate::heads);
    check(&parts);
    let (scale, visible) = scale_and_mask(dims[3], heads[0].len(), heads[1].len(), options);
    let num_heads = dims[0] * dims[1];
    let mut logs = vec![0.0; num_heads * dims[2]];
    let write = |memory: &mut [_]| {
        let out = Block::of_rows(memory, num_heads * dims[2], dims[3]);
        attend(heads, cut(out, [num_heads, 1]), &mut logs, scale, visible);
    };
    // SAFETY: the heads make up the whole, and every row of a head is written.
    let output = unsafe { written(dims.iter().product(), write) };
    Attended { output: tensor_of(output, dims), logs }
}

/// The gradients of [`forward`] by query, key and value, of an `upstream` gradient of its output.
///
/// # Panics
/// As [`forward`].
pub fn backward(
    inputs: [Tensor<4>; 3],
    attended: Attended<4>,
    upstream: Tensor<4>,
    options: &AttentionModuleOptions,
) -> [Tensor<4>; 3] {
    let dims = inputs.each_ref().map(Tensor::dims);
    assert_eq!(upstream.dims(), dims[0], "attention: the shape of the output and that of its gradient differ");
    let parts = inputs.map(Separate::new);
    check(&parts);
    let heads = parts.each_ref().map(Separate::heads);
    let (output, upstream) = (Separate::new(attended.output), Separate::new(upstream));
    let (scale, visible) = scale_and_mask(dims[0][3], heads[0].len(), heads[1].len(), options);
    let num_heads = dims[0][0] * dims[0][1];
    let [len, other_len, _] = dims.map(|dims| dims.iter().product::<usize>());
    let mut gradients = [len, other_len, other_len].map(|len| vec![0.0; len]);
    let mut blocks = gradients
        .iter_mut()
        .zip(dims)
        .map(|(memory, dims)| cut(Block::of_numbers(memory, num_heads * dims[2], dims[3]), [num_heads, 1]));
    let blocks = std::array::from_fn(|_| blocks.next().expect("three gradients"));
    differentiate(heads, [output.heads(), upstream.heads()], &attended.logs, blocks, scale, visible);
    let [of_query, of_key, of_value] = gradients;
    [tensor_of(of_query, dims[0]), tensor_of(of_key, dims[1]), tensor_of(of_value, dims[2])]
}

/// [`forward`] of queries, keys and values side by side, each with its heads side by side.
///
/// # Shapes
/// - `qkv`: `[batch_size, length, 3 * num_heads * head_dim]`
/// - output: `[batch_size, length, num_heads * head_dim]`
///
/// # Panics
/// Where the heads do not divide the last axis, and where [`applies_to_joint`] is false or the tensor is in a graph.
pub fn forward_joint(qkv: Tensor<3>, num_heads: usize, is_causal: bool) -> Attended<3> {
    let joint = Joint::new(qkv, num_heads);
    let Joint { batch_size, len, width, .. } = joint;
    let (scale, visible) = scale_and_mask(width, len, len, &causal(is_causal));
    let mut logs = vec![0.0; batch_size * num_heads * len];
    let write = |memory: &mut [_]| {
        let out = Block::of_rows(memory, batch_size * len, num_heads * width);
        attend(joint.heads(), cut(out, [batch_size, num_heads]), &mut logs, scale, visible);
    };
    // SAFETY: the heads make up the whole, and every row of a head is written.
    let output = unsafe { written(batch_size * len * num_heads * width, write) };
    Attended { output: tensor_of(output, [batch_size, len, num_heads * width]), logs }
}

/// The gradient of [`forward_joint`] by `qkv`.
///
/// # Panics
/// As [`forward_joint`].
pub fn backward_joint(
    qkv: Tensor<3>,
    attended: Attended<3>,
    upstream: Tensor<3>,
    num_heads: usize,
    is_causal: bool,
) -> Tensor<3> {
    let dims = qkv.dims();
    assert_eq!(
        upstream.dims(),
        attended.output.dims(),
        "attention: the shape of the output and that of its gradient differ"
    );
    let joint = Joint::new(qkv, num_heads);
    let Joint { batch_size, len, width, .. } = joint;
    let (scale, visible) = scale_and_mask(width, len, len, &causal(is_causal));
    let [output, upstream] = [attended.output, upstream].map(FlexMatrix::with_contiguous_rows);
    let given = [&output, &upstream].map(|matrix| Heads::new(matrix.view(), len, [num_heads, 0, width]));
    let write = |memory: &mut [_]| {
        let mut parts = Block::of_rows(memory, batch_size * len, 3 * num_heads * width);
        let mut blocks = [Vec::new(), Vec::new(), Vec::new()];
        for part in &mut blocks {
            let (first, rest) = parts.split_cols(num_heads * width);
            *part = cut(first, [batch_size, num_heads]);
            parts = rest;
        }
        differentiate(joint.heads(), given, &attended.logs, blocks, scale, visible);
    };
    // SAFETY: the heads of the three parts make up the whole, and every row of a head is written.
    tensor_of(unsafe { written(dims.iter().product(), write) }, dims)
}

fn causal(is_causal: bool) -> AttentionModuleOptions {
    AttentionModuleOptions { is_causal, ..Default::default() }
}

fn scale_and_mask(width: usize, queries: usize, keys: usize, options: &AttentionModuleOptions) -> (f32, Visible) {
    let scale = options.scale.unwrap_or_else(|| 1.0 / (width as f64).sqrt());
    (scale as f32, Visible::new(options.is_causal, queries, keys))
}

/// A tensor `[batch_size, num_heads, len, head_dim]`.
struct Separate {
    matrix: FlexMatrix<f32>,
    dims: [usize; 4],
}

impl Separate {
    fn new(tensor: Tensor<4>) -> Self {
        let dims = tensor.dims();
        Self { matrix: FlexMatrix::with_contiguous_rows(tensor), dims }
    }

    fn heads(&self) -> Heads<'_> {
        Heads::new(self.matrix.view(), self.dims[2], [1, 0, self.dims[3]])
    }
}

fn check([query, key, value]: &[Separate; 3]) {
    let [query, key, value] = [query.dims, key.dims, value.dims];
    let fits = query[..2] == key[..2] && query[3] == key[3] && key == value;
    assert!(fits, "attention: queries {query:?}, keys {key:?} and values {value:?} do not fit");
}

/// A tensor `[batch_size, len, 3 * num_heads * width]`.
struct Joint {
    matrix: FlexMatrix<f32>,
    batch_size: usize,
    len: usize,
    num_heads: usize,
    width: usize,
}

impl Joint {
    fn new(qkv: Tensor<3>, num_heads: usize) -> Self {
        let [batch_size, len, joint] = qkv.dims();
        let fits = num_heads > 0 && joint.is_multiple_of(3 * num_heads);
        assert!(fits, "attention: queries, keys and values of {num_heads} heads do not fit {joint} numbers");
        let width = joint / (3 * num_heads);
        Self { matrix: FlexMatrix::with_contiguous_rows(qkv), batch_size, len, num_heads, width }
    }

    fn heads(&self) -> [Heads<'_>; 3] {
        let view: MatrixView<'_, f32> = self.matrix.view();
        [0, 1, 2]
            .map(|part| Heads::new(view, self.len, [self.num_heads, part * self.num_heads * self.width, self.width]))
    }
}

/// The block in `groups` of rows, each cut into `side_by_side` columns.
fn cut<'a>(mut block: Block<'a, f32>, [groups, side_by_side]: [usize; 2]) -> Vec<Block<'a, f32>> {
    let (len, width) = (block.num_rows() / groups, block.num_cols() / side_by_side);
    let mut blocks = Vec::with_capacity(groups * side_by_side);
    for _ in 0..groups {
        let (mut group, rest) = block.split_rows(len);
        for _ in 0..side_by_side {
            let (head, others) = group.split_cols(width);
            blocks.push(head);
            group = others;
        }
        block = rest;
    }
    blocks
}

/// Queries of one head.
struct Part<'a> {
    head: usize,
    first: usize,
    out: Block<'a, f32>,
    logs: &'a mut [f32],
}

fn attend(
    [query, key, value]: [Heads<'_>; 3],
    outputs: Vec<Block<'_, f32>>,
    logs: &mut [f32],
    scale: f32,
    visible: Visible,
) {
    let mut parts = Vec::new();
    for ((head, mut out), mut logs) in outputs.into_iter().enumerate().zip(logs.chunks_mut(query.len())) {
        let mut first = 0;
        while !logs.is_empty() {
            let rows = TASK_QUERIES.min(logs.len());
            let (part, rest) = out.split_rows(rows);
            let (logs_here, logs_rest) = logs.split_at_mut(rows);
            parts.push(Part { head, first, out: part, logs: logs_here });
            (out, logs, first) = (rest, logs_rest, first + rows);
        }
    }
    share(grouped(parts), |parts| {
        let mut scratch = forward::Scratch::default();
        for Part { head, first, out, logs } in parts {
            let query = query.head(head).part(first, logs.len());
            let (key, value, visible) = (key.head(head), value.head(head), visible.from(first));
            vectorised(HeadForward { query, key, value, scale, visible, out, logs, scratch: &mut scratch });
        }
    });
}

fn differentiate(
    [query, key, value]: [Heads<'_>; 3],
    [output, upstream]: [Heads<'_>; 2],
    logs: &[f32],
    [of_query, of_key, of_value]: [Vec<Block<'_, f32>>; 3],
    scale: f32,
    visible: Visible,
) {
    let blocks = of_query.into_iter().zip(of_key).zip(of_value).enumerate();
    share(grouped(blocks.collect()), |heads| {
        let mut scratch = backward::Scratch::default();
        for (head, ((of_query, of_key), of_value)) in heads {
            vectorised(HeadBackward {
                query: query.head(head),
                key: key.head(head),
                value: value.head(head),
                output: output.head(head),
                upstream: upstream.head(head),
                logs: &logs[head * query.len()..][..query.len()],
                scale,
                visible,
                of_query,
                of_key,
                of_value,
                scratch: &mut scratch,
            });
        }
    });
}

/// In at most [`TASKS`] groups.
fn grouped<T>(items: Vec<T>) -> Vec<Vec<T>> {
    let size = items.len().div_ceil(TASKS).max(1);
    let mut items = items.into_iter();
    std::iter::from_fn(|| Some(items.by_ref().take(size).collect::<Vec<_>>()).filter(|group| !group.is_empty()))
        .collect()
}
