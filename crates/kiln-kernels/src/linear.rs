//! The linear layer, `y = x W + b`.

use std::mem::MaybeUninit;

use burn::tensor::{DType, Tensor, module};
use rayon::prelude::*;

use crate::Real;
use crate::activation::{Function, apply, apply_with_slope};
use crate::flex::{FlexMatrix, FlexSlice, element_type, tensor_of, written};
use crate::matrix::{Block, MatrixView, Start};
use crate::threads::{SMALLEST_HALF, join};

/// Gradients by input, weight and bias; none where it was not wanted.
pub type Gradients<const D: usize> = (Option<Tensor<D>>, Option<Tensor<2>>, Option<Tensor<1>>);

/// Whether the kernel computes this layer: all tensors are `f32`, or all are `f64`, on the Flex device. They may be in
/// its graph; [`forward`] and [`backward`] take what [`Tensor::inner`] gives.
pub fn applies<const D: usize>(x: &Tensor<D>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> bool {
    let element = element_type(x);
    element.is_some() && element_type(weight) == element && bias.is_none_or(|bias| element_type(bias) == element)
}

/// `y = x W + b`
///
/// By the kernel for tensors outside the graph to which it [`applies`], else by Burn's [`module::linear`].
///
/// # Shapes
/// - `x`: `[.., inputs]`
/// - `weight`: `[inputs, outputs]`, transposed views included
/// - `bias`: `[outputs]`
/// - output: `[.., outputs]`
///
/// # Panics
/// Where the shapes do not fit.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_kernels::linear;
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let weight = Tensor::<2>::from_floats([[1.0, 0.0, -1.0], [1.0, 1.0, 1.0]], &device);
/// let y = linear::forward(x, weight, Some(Tensor::from_floats([0.5, 0.0, 0.0], &device)));
/// assert_eq!(y.try_into_vec_as::<f32>().unwrap(), [3.5, 2.0, 1.0]);
/// ```
pub fn forward<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let is_in_graph = x.is_autodiff() || weight.is_autodiff() || bias.as_ref().is_some_and(Tensor::is_autodiff);
    if is_in_graph || !applies(&x, &weight, bias.as_ref()) {
        return module::linear(x, weight, bias);
    }
    match x.dtype() {
        DType::F64 => forward_in::<f64, D>(x, weight, bias),
        _ => forward_in::<f32, D>(x, weight, bias),
    }
}

fn forward_in<E: Real, const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let mut dims = x.dims();
    check(&dims, &weight, bias.as_ref());
    dims[D - 1] = weight.dims()[1];
    let (x, weight, bias) = (FlexMatrix::<E>::new(x), FlexMatrix::new(weight), bias.map(FlexSlice::<E>::new));
    tensor_of(product(x.view(), weight.view(), bias.as_ref().map(FlexSlice::values)), dims)
}

/// `y = f(x W + b)`, and with it the slopes of `f` where they are wanted: `f` is applied to every part of the product while
/// that is in the cache.
///
/// # Shapes
/// Those of [`forward`]; the slopes have the shape of the output.
///
/// # Panics
/// Where the shapes do not fit, where the tensors are not `f32` or the kernel does not apply to them, and for tensors in a
/// graph.
pub fn forward_activated<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    function: Function,
    wants_slopes: bool,
) -> (Tensor<D>, Option<Tensor<D>>) {
    let mut dims = x.dims();
    check(&dims, &weight, bias.as_ref());
    dims[D - 1] = weight.dims()[1];
    let (x, weight, bias) = (FlexMatrix::<f32>::new(x), FlexMatrix::new(weight), bias.map(FlexSlice::<f32>::new));
    let (left, right, bias) = (x.view(), weight.view(), bias.as_ref().map(FlexSlice::values));
    let (rows, cols) = (left.num_rows(), right.num_cols());
    let finish = |out: &mut Block<'_, f32>, slopes: Option<&mut Block<'_, f32>>| match slopes {
        None => (0..out.num_rows()).for_each(|row| apply(function, out.row_mut(row))),
        Some(slopes) => {
            for row in 0..out.num_rows() {
                slopes.copy_row(row, out.row_mut(row));
                apply_with_slope(function, out.row_mut(row), slopes.row_mut(row));
            }
        }
    };
    let mut slopes = None;
    let write = |memory: &mut [MaybeUninit<f32>]| {
        let out = Block::of_rows(memory, rows, cols);
        let parts = Parts { left, right, bias, largest: largest_part(left, right), finish: &finish };
        if !wants_slopes {
            return parts.write(out, None);
        }
        let write_slopes = |memory: &mut [MaybeUninit<f32>]| parts.write(out, Some(Block::of_rows(memory, rows, cols)));
        // SAFETY: as below; each part has its slopes.
        slopes = Some(unsafe { written(rows * cols, write_slopes) });
    };
    // SAFETY: the parts of the product make up the whole.
    let y = unsafe { written(rows * cols, write) };
    (tensor_of(y, dims), slopes.map(|slopes| tensor_of(slopes, dims)))
}

/// The gradients of [`forward`], of an `upstream` gradient of its output:
///
/// ```text
/// dL/dx = g W^T        dL/dW = x^T g        dL/db = sum of the rows of g
/// ```
/// Only those that are `wanted` (by input, weight, bias) are computed.
///
/// # Shapes
/// - `upstream`: `[.., outputs]`
/// - the gradients have the shapes of what they belong to
///
/// # Panics
/// Where the shapes do not fit, and where the tensors are in a graph or the kernel does not apply to them.
pub fn backward<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    upstream: Tensor<D>,
    wanted: [bool; 3],
) -> Gradients<D> {
    match upstream.dtype() {
        DType::F64 => backward_in::<f64, D>(x, weight, upstream, wanted),
        _ => backward_in::<f32, D>(x, weight, upstream, wanted),
    }
}

fn backward_in<E: Real, const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    upstream: Tensor<D>,
    [of_x, of_weight, of_bias]: [bool; 3],
) -> Gradients<D> {
    let (x_dims, weight_dims) = (x.dims(), weight.dims());
    let mut dims = x_dims;
    dims[D - 1] = weight_dims[1];
    assert_eq!(upstream.dims(), dims, "linear: the shape of the output and that of its gradient differ");
    let upstream = FlexMatrix::<E>::with_contiguous_rows(upstream);
    let (x, weight) = (FlexMatrix::<E>::new(x), FlexMatrix::<E>::new(weight));
    let g = upstream.view();

    let input_gradient = || of_x.then(|| product(g, weight.view().t(), None));
    let weight_gradient = || of_weight.then(|| product(x.view().t(), g, None));
    let work = g.num_rows() * g.num_cols() * weight_dims[0];
    let (x, weight) = if of_x && of_weight && work > SMALLEST_HALF {
        join(input_gradient, weight_gradient)
    } else {
        (input_gradient(), weight_gradient())
    };
    (
        x.map(|values| tensor_of(values, x_dims)),
        weight.map(|values| tensor_of(values, weight_dims)),
        of_bias.then(|| tensor_of(sum_of_rows(g), [weight_dims[1]])),
    )
}

fn check<const D: usize>(dims: &[usize; D], weight: &Tensor<2>, bias: Option<&Tensor<1>>) {
    let [inputs, outputs] = weight.dims();
    let bias_len = bias.map_or(outputs, |bias| bias.dims()[0]);
    assert!(
        dims[D - 1] == inputs && bias_len == outputs,
        "linear: an input of shape {dims:?}, a weight of shape {:?} and a bias of {bias_len} do not fit",
        [inputs, outputs]
    );
}

/// Parts that a large product is cut into.
const MOST_PARTS: usize = 16;

/// Multiplications of a part.
fn largest_part<E: Real>(left: MatrixView<'_, E>, right: MatrixView<'_, E>) -> usize {
    let work = left.num_rows() * right.num_cols() * left.num_cols();
    SMALLEST_HALF.max(work.div_ceil(MOST_PARTS))
}

/// `left right`, plus the bias in every row.
fn product<E: Real>(left: MatrixView<'_, E>, right: MatrixView<'_, E>, bias: Option<&[E]>) -> Vec<E> {
    let (rows, cols) = (left.num_rows(), right.num_cols());
    let parts = Parts { left, right, bias, largest: largest_part(left, right), finish: &leave::<E> };
    let write = |memory: &mut [MaybeUninit<E>]| parts.write(Block::of_rows(memory, rows, cols), None);
    // SAFETY: the parts of the product make up the whole.
    unsafe { written(rows * cols, write) }
}

/// The finish of a product that is whole already.
fn leave<E>(_: &mut Block<'_, E>, _: Option<&mut Block<'_, E>>) {}

/// A product that is made in parts, each finished while it is in the cache.
#[derive(Clone, Copy)]
struct Parts<'a, E, F> {
    left: MatrixView<'a, E>,
    right: MatrixView<'a, E>,
    bias: Option<&'a [E]>,
    /// Multiplications of a part.
    largest: usize,
    finish: &'a F,
}

impl<E: Real, F: Fn(&mut Block<'_, E>, Option<&mut Block<'_, E>>) + Sync> Parts<'_, E, F> {
    /// Halves the product until its parts are small enough. Where it is cut depends on the sizes alone, and so does the
    /// order in which a part sums. What lies `beside` the product is cut with it.
    fn write(self, mut out: Block<'_, E>, mut beside: Option<Block<'_, E>>) {
        let Self { left, right, bias, largest, .. } = self;
        let (rows, cols) = (out.num_rows(), out.num_cols());
        let work = rows * cols * left.num_cols();
        if work <= largest || (rows <= ROW_STEP && cols <= COL_STEP) {
            out.set_product(left, right, bias.map_or(Start::Zero, Start::EveryRow));
            return (self.finish)(&mut out, beside.as_mut());
        }
        let halves = if cols >= rows.max(2 * COL_STEP) || rows <= ROW_STEP {
            let at = half(cols, COL_STEP);
            let biases = bias.map(|bias| bias.split_at(at)).unzip();
            let beside = beside.map(|beside| beside.split_cols(at)).unzip();
            let first = Self { right: right.cols(0..at), bias: biases.0, ..self };
            let second = Self { right: right.cols(at..cols), bias: biases.1, ..self };
            (out.split_cols(at), beside, first, second)
        } else {
            let at = half(rows, ROW_STEP);
            let beside = beside.map(|beside| beside.split_rows(at)).unzip();
            let (first, second) = (Self { left: left.rows(0..at), ..self }, Self { left: left.rows(at..rows), ..self });
            (out.split_rows(at), beside, first, second)
        };
        let ((out, other_out), (beside, other_beside), first, second) = halves;
        join(|| first.write(out, beside), || second.write(other_out, other_beside));
    }
}

/// Rows and columns that the products inside handle at once, on the widest instruction set: parts are multiples of them.
const ROW_STEP: usize = 12;
const COL_STEP: usize = 64;

/// About half of a length that is larger than `step`, as a multiple of it.
fn half(length: usize, step: usize) -> usize {
    (length.div_ceil(2)).next_multiple_of(step).min((length - 1) / step * step)
}

/// Sums of the columns, in chunks of rows that depend on the size alone.
fn sum_of_rows<E: Real>(matrix: MatrixView<'_, E>) -> Vec<E> {
    const CHUNK: usize = 64 * 1024;
    let (rows, cols) = (matrix.num_rows(), matrix.num_cols());
    let chunk = (CHUNK / cols.max(1)).max(1);
    let sum_of = |rows: std::ops::Range<usize>| {
        let mut sums = vec![E::default(); cols];
        rows.for_each(|row| add(&mut sums, matrix.row(row)));
        sums
    };
    if rows <= chunk {
        return sum_of(0..rows);
    }
    let parts: Vec<Vec<E>> = (0..rows.div_ceil(chunk))
        .into_par_iter()
        .map(|part| sum_of(part * chunk..((part + 1) * chunk).min(rows)))
        .collect();
    let mut sums = vec![E::default(); cols];
    parts.iter().for_each(|part| add(&mut sums, part));
    sums
}

fn add<E: Real>(sums: &mut [E], values: &[E]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
}
