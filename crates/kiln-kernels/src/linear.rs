//! The linear layer, `y = x W + b`.

use std::mem::MaybeUninit;

use burn::tensor::{DType, Tensor, module};

use crate::Real;
use crate::activation::{Function, apply, apply_with_slope};
use crate::flex::{FlexMatrix, FlexSlice, element_type, tensor_of, written};
use crate::matrix::{Block, MatrixView, Start, Written};
use crate::threads::{SMALLEST_HALF, share};

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
    let [y] = products([Some((x.view(), weight.view(), bias.as_ref().map(FlexSlice::values)))]);
    tensor_of(y.expect("a product that was asked for"), dims)
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
    let finish = |mut out: Written<'_, '_, f32>, slopes: Option<&mut Block<'_, f32>>| match slopes {
        None => (0..out.num_rows()).for_each(|row| apply(function, out.row_mut(row))),
        Some(slopes) => {
            for row in 0..out.num_rows() {
                let out = out.row_mut(row);
                let slopes = slopes.copy_row(row, out);
                apply_with_slope(function, out, slopes);
            }
        }
    };
    let mut slopes = None;
    let write = |memory: &mut [MaybeUninit<f32>]| {
        let whole = Part { out: Block::of_rows(memory, rows, cols), beside: None, left, right, bias };
        if !wants_slopes {
            return share(whole.cut(), |part| part.compute(&finish));
        }
        let write_slopes = |memory: &mut [MaybeUninit<f32>]| {
            let whole = Part { beside: Some(Block::of_rows(memory, rows, cols)), ..whole };
            share(whole.cut(), |part| part.compute(&finish));
        };
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

    let [x, weight] =
        products([of_x.then_some((g, weight.view().t(), None)), of_weight.then_some((x.view().t(), g, None))]);
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

/// Factors of a product, and a bias that is added to its every row.
type Factors<'a, E> = (MatrixView<'a, E>, MatrixView<'a, E>, Option<&'a [E]>);

/// Products that all threads work on together.
fn products<E: Real, const N: usize>(factors: [Option<Factors<'_, E>>; N]) -> [Option<Vec<E>>; N] {
    let len = |(left, right, _): &Factors<'_, E>| left.num_rows() * right.num_cols();
    let mut products =
        factors.each_ref().map(|factors| factors.as_ref().map(|factors| Vec::with_capacity(len(factors))));
    let mut parts = Vec::new();
    for (product, factors) in products.iter_mut().flatten().zip(factors.iter().flatten()) {
        let memory = &mut product.spare_capacity_mut()[..len(factors)];
        let (left, right, bias) = *factors;
        let out = Block::of_rows(memory, left.num_rows(), right.num_cols());
        parts.extend(Part { out, beside: None, left, right, bias }.cut());
    }
    share(parts, |part| part.compute(&|_, _| {}));
    for (product, factors) in products.iter_mut().flatten().zip(factors.iter().flatten()) {
        // SAFETY: the capacity is there, and the parts, all of which have been computed, make up the whole.
        unsafe { product.set_len(len(factors)) };
    }
    products
}

/// A part of a product, and of what lies beside it.
struct Part<'a, E> {
    out: Block<'a, E>,
    beside: Option<Block<'a, E>>,
    left: MatrixView<'a, E>,
    right: MatrixView<'a, E>,
    bias: Option<&'a [E]>,
}

impl<E: Real> Part<'_, E> {
    /// Halves the part until its parts are small enough. Where it is cut depends on the sizes alone, and so does the order
    /// in which a part sums.
    fn cut(self) -> Vec<Self> {
        let mut parts = Vec::new();
        let work = self.work();
        let largest = (work / 2).clamp(SMALLEST_HALF, 2 * SMALLEST_HALF).max(work.div_ceil(MOST_PARTS));
        self.cut_into(&mut parts, largest);
        parts
    }

    /// Its multiplications.
    fn work(&self) -> usize {
        self.out.num_rows() * self.out.num_cols() * self.left.num_cols()
    }

    fn cut_into(self, parts: &mut Vec<Self>, largest: usize) {
        let (rows, cols) = (self.out.num_rows(), self.out.num_cols());
        if self.work() <= largest || (rows <= ROW_STEP && cols <= COL_STEP) {
            return parts.push(self);
        }
        let Self { out, beside, left, right, bias } = self;
        let (first, second) = if cols >= rows.max(2 * COL_STEP) || rows <= ROW_STEP {
            let at = half(cols, COL_STEP);
            let (out, other_out) = out.split_cols(at);
            let (beside, other_beside) = beside.map(|beside| beside.split_cols(at)).unzip();
            let (bias, other_bias) = bias.map(|bias| bias.split_at(at)).unzip();
            let first = Self { out, beside, left, right: right.cols(0..at), bias };
            (first, Self { out: other_out, beside: other_beside, left, right: right.cols(at..cols), bias: other_bias })
        } else {
            let at = half(rows, ROW_STEP);
            let (out, other_out) = out.split_rows(at);
            let (beside, other_beside) = beside.map(|beside| beside.split_rows(at)).unzip();
            let first = Self { out, beside, left: left.rows(0..at), right, bias };
            (first, Self { out: other_out, beside: other_beside, left: left.rows(at..rows), right, bias })
        };
        first.cut_into(parts, largest);
        second.cut_into(parts, largest);
    }

    /// Computes the part, and lets `finish` change it while it is in the cache.
    fn compute(mut self, finish: &impl Fn(Written<'_, '_, E>, Option<&mut Block<'_, E>>)) {
        let start = self.bias.map_or(Start::Zero, Start::EveryRow);
        finish(self.out.set_product(self.left, self.right, start), self.beside.as_mut());
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
    let mut parts = vec![Vec::new(); rows.div_ceil(chunk)];
    share(parts.iter_mut().enumerate().collect(), |(part, sums): (usize, &mut Vec<E>)| {
        *sums = sum_of(part * chunk..((part + 1) * chunk).min(rows));
    });
    let mut sums = vec![E::default(); cols];
    parts.iter().for_each(|part| add(&mut sums, part));
    sums
}

fn add<E: Real>(sums: &mut [E], values: &[E]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
}
