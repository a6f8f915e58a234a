//! Softmax and its logarithm over the last axis.

use burn::tensor::{DType, Tensor};

use crate::elementary::{exp_of_negative, log};
use crate::flex::element_type;
use crate::rows::{change_row, changed, changed_beside, numbers_of_task, sum, sum_beside};
use crate::vector::{FusedKernel, MultiplyAdd, largest, vectorised};

/// Whether these kernels take `x`: a tensor of `f32` on the Flex device, in its graph or outside.
pub fn applies<const D: usize>(x: &Tensor<D>) -> bool {
    element_type(x) == Some(DType::F32)
}

/// `y_i = exp(x_i - max) / sum_j exp(x_j - max)` over the last axis.
///
/// # Panics
/// Where [`applies`] is false, and for a tensor in a graph.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_kernels::softmax;
///
/// let y = softmax::forward(Tensor::<1>::from_floats([0.0, 0.0], &Device::flex()));
/// assert_eq!(y.try_into_vec_as::<f32>().unwrap(), [0.5, 0.5]);
/// ```
pub fn forward<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let cols = x.dims()[D - 1];
    changed(x, numbers_of_task(cols), |rows| vectorised(Softmax { rows, cols }))
}

/// The gradient of [`forward`], `y_i (g_i - sum_j y_j g_j)`, of an `upstream` gradient `g` of its output `y`.
///
/// # Panics
/// As [`forward`].
pub fn backward<const D: usize>(y: Tensor<D>, upstream: Tensor<D>) -> Tensor<D> {
    let cols = y.dims()[D - 1];
    changed_beside(upstream, y, numbers_of_task(cols), |rows, outputs| {
        vectorised(SoftmaxGradient { rows, outputs, cols })
    })
}

/// `y_i = x_i - max - log sum_j exp(x_j - max)` over the last axis.
///
/// # Panics
/// As [`forward`].
pub fn log_forward<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let cols = x.dims()[D - 1];
    changed(x, numbers_of_task(cols), |rows| vectorised(LogSoftmax { rows, cols }))
}

/// The gradient of [`log_forward`], `g_i - exp(y_i) sum_j g_j`, of an `upstream` gradient `g` of its output `y`.
///
/// # Panics
/// As [`forward`].
pub fn log_backward<const D: usize>(y: Tensor<D>, upstream: Tensor<D>) -> Tensor<D> {
    let cols = y.dims()[D - 1];
    changed_beside(upstream, y, numbers_of_task(cols), |rows, outputs| {
        vectorised(LogSoftmaxGradient { rows, outputs, cols })
    })
}

struct Softmax<'a> {
    rows: &'a mut [f32],
    cols: usize,
}

impl FusedKernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        for row in self.rows.chunks_exact_mut(self.cols) {
            let max = largest(row, f32::NEG_INFINITY);
            change_row(row, |x| exp_of_negative(m, x - max));
            let rate = 1.0 / sum(row, |power| power);
            row.iter_mut().for_each(|x| *x *= rate);
        }
    }
}

struct SoftmaxGradient<'a> {
    rows: &'a mut [f32],
    outputs: &'a [f32],
    cols: usize,
}

impl FusedKernel for SoftmaxGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, _: M) {
        for (row, outputs) in self.rows.chunks_exact_mut(self.cols).zip(self.outputs.chunks_exact(self.cols)) {
            let mean = sum_beside(row, outputs, |g, y| g * y);
            row.iter_mut().zip(outputs).for_each(|(g, y)| *g = y * (*g - mean));
        }
    }
}

struct LogSoftmax<'a> {
    rows: &'a mut [f32],
    cols: usize,
}

impl FusedKernel for LogSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        for row in self.rows.chunks_exact_mut(self.cols) {
            let max = largest(row, f32::NEG_INFINITY);
            let log_sum = log(m, sum(row, |x| exp_of_negative(m, x - max)));
            row.iter_mut().for_each(|x| *x = (*x - max) - log_sum);
        }
    }
}

struct LogSoftmaxGradient<'a> {
    rows: &'a mut [f32],
    outputs: &'a [f32],
    cols: usize,
}

impl FusedKernel for LogSoftmaxGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        for (row, outputs) in self.rows.chunks_exact_mut(self.cols).zip(self.outputs.chunks_exact(self.cols)) {
            let total = sum(row, |g| g);
            row.iter_mut().zip(outputs).for_each(|(g, y)| *g = m.multiply_add(-exp_of_negative(m, *y), total, *g));
        }
    }
}
