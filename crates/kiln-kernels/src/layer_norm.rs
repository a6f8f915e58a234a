//! Layer normalisation and RMS normalisation over the last axis.

use std::mem::MaybeUninit;

use burn::tensor::{DType, Tensor};

use crate::FlexSlice;
use crate::flex::{element_type, tensor_of, written};
use crate::rows::{rows_of_task, sum, sum_beside};
use crate::threads::share;
use crate::vector::{FusedKernel, MultiplyAdd, vectorised};

/// What is subtracted before the division by the root mean square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centre {
    /// The mean: layer normalisation.
    Mean,
    /// Nothing: RMS normalisation.
    Zero,
}

/// What the backward pass needs of each row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowStatistics {
    mean: f32,
    /// `1 / sqrt(mean((x - mean)^2) + epsilon)`
    rate: f32,
}

/// Gradients by input, scale `gamma` and offset `beta`; none where it was not wanted.
pub type Gradients<const D: usize> = (Option<Tensor<D>>, Option<Tensor<1>>, Option<Tensor<1>>);

/// Whether these kernels take the tensors: all are `f32` on the Flex device, in its graph or outside.
pub fn applies<const D: usize>(x: &Tensor<D>, gamma: &Tensor<1>, beta: Option<&Tensor<1>>) -> bool {
    let is_ours = element_type(x) == Some(DType::F32) && element_type(gamma) == Some(DType::F32);
    is_ours && beta.is_none_or(|beta| element_type(beta) == Some(DType::F32))
}

/// `y = (x - centre) rate gamma + beta` with `rate = 1 / sqrt(mean((x - centre)^2) + epsilon)` over the last axis.
///
/// # Shapes
/// - `x` and output: `[.., features]`
/// - `gamma`, `beta`: `[features]`
///
/// # Panics
/// Where the shapes do not fit, where [`applies`] is false, and for tensors in a graph.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_kernels::layer_norm::{self, Centre};
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_floats([[1.0, 3.0]], &device);
/// let (y, _) = layer_norm::forward(x, Tensor::ones([2], &device), None, 0.0, Centre::Mean);
/// assert_eq!(y.try_into_vec_as::<f32>().unwrap(), [-1.0, 1.0]);
/// ```
pub fn forward<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
    centre: Centre,
) -> (Tensor<D>, Vec<RowStatistics>) {
    let dims = x.dims();
    let cols = dims[D - 1];
    check(&dims, &gamma, beta.as_ref());
    let rows = dims[..D - 1].iter().product::<usize>();
    let [x, gamma] = [FlexSlice::<f32>::new(x), FlexSlice::new(gamma)];
    let beta = beta.map(FlexSlice::<f32>::new);
    let (gamma, beta) = (gamma.values(), beta.as_ref().map(FlexSlice::values));
    let mut statistics = vec![RowStatistics { mean: 0.0, rate: 0.0 }; rows];
    let write = |y: &mut [MaybeUninit<f32>]| {
        let size = rows_of_task(cols);
        let numbers = x.values().chunks((size * cols).max(1)).zip(y.chunks_mut((size * cols).max(1)));
        let tasks = numbers.zip(statistics.chunks_mut(size)).collect();
        share(tasks, |((x, y), statistics)| {
            vectorised(Normalise { x, y, statistics, gamma, beta, epsilon: epsilon as f32, centre });
        });
    };
    // SAFETY: every number of every row is written.
    let y = unsafe { written(rows * cols, write) };
    (tensor_of(y, dims), statistics)
}

/// The gradients of [`forward`], of an `upstream` gradient `g` of its output:
///
/// ```text
/// z = (x - centre) rate        h = g gamma
/// dL/dx = rate (h - mean(h) - z mean(h z))        dL/dgamma = sum of the rows of g z        dL/dbeta = sum of the rows of g
/// ```
/// Without a centre, `mean(h)` is left out. Only those that are `wanted` (by input, scale, offset) are given back.
///
/// # Panics
/// As [`forward`].
pub fn backward<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    statistics: &[RowStatistics],
    upstream: Tensor<D>,
    centre: Centre,
    [of_x, of_gamma, of_beta]: [bool; 3],
) -> Gradients<D> {
    let dims = x.dims();
    assert_eq!(upstream.dims(), dims, "layer_norm: the shape of the output and that of its gradient differ");
    let cols = dims[D - 1];
    check(&dims, &gamma, None);
    let [x, gamma] = [FlexSlice::<f32>::new(x), FlexSlice::new(gamma)];
    let mut slopes = FlexSlice::<f32>::new(upstream);
    let size = rows_of_task(cols);
    let mut sums = vec![0.0f32; statistics.len().div_ceil(size) * 2 * cols];
    if cols > 0 {
        let numbers = x.values().chunks(size * cols).zip(slopes.values_mut().chunks_mut(size * cols));
        let tasks = numbers.zip(statistics.chunks(size)).zip(sums.chunks_mut(2 * cols)).collect();
        share(tasks, |(((x, slopes), statistics), sums)| {
            let (of_gamma, of_beta) = sums.split_at_mut(cols);
            vectorised(Gradient { x, slopes, statistics, gamma: gamma.values(), centre, of_gamma, of_beta });
        });
    }
    let mut total = vec![0.0; 2 * cols];
    for part in sums.chunks_exact((2 * cols).max(1)) {
        total.iter_mut().zip(part).for_each(|(total, sum)| *total += sum);
    }
    let offsets = total.split_off(cols);
    (
        of_x.then(|| slopes.into_tensor()),
        of_gamma.then(|| tensor_of(total, [cols])),
        of_beta.then(|| tensor_of(offsets, [cols])),
    )
}

fn check<const D: usize>(dims: &[usize; D], gamma: &Tensor<1>, beta: Option<&Tensor<1>>) {
    let cols = dims[D - 1];
    let fits = gamma.dims()[0] == cols && beta.is_none_or(|beta| beta.dims()[0] == cols);
    assert!(fits, "layer_norm: an input of shape {dims:?} and a scale of {} numbers do not fit", gamma.dims()[0]);
}

struct Normalise<'a> {
    x: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
    statistics: &'a mut [RowStatistics],
    gamma: &'a [f32],
    beta: Option<&'a [f32]>,
    epsilon: f32,
    centre: Centre,
}

impl FusedKernel for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        let cols = self.gamma.len();
        if cols == 0 {
            return;
        }
        let count = cols as f32;
        let rows = self.x.chunks_exact(cols).zip(self.y.chunks_exact_mut(cols));
        for ((x, y), statistics) in rows.zip(self.statistics) {
            let mean = match self.centre {
                Centre::Mean => sum(x, |x| x) / count,
                Centre::Zero => 0.0,
            };
            let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
            let rate = 1.0 / (variance + self.epsilon).sqrt();
            *statistics = RowStatistics { mean, rate };
            let scaled = y.iter_mut().zip(x).zip(self.gamma);
            match self.beta {
                Some(beta) => scaled.zip(beta).for_each(|(((y, x), gamma), beta)| {
                    y.write(m.multiply_add((x - mean) * rate, *gamma, *beta));
                }),
                None => scaled.for_each(|((y, x), gamma)| {
                    y.write((x - mean) * rate * gamma);
                }),
            }
        }
    }
}

struct Gradient<'a> {
    x: &'a [f32],
    /// The upstream gradient, replaced by the one by `x`.
    slopes: &'a mut [f32],
    statistics: &'a [RowStatistics],
    gamma: &'a [f32],
    centre: Centre,
    of_gamma: &'a mut [f32],
    of_beta: &'a mut [f32],
}

impl FusedKernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        let Self { gamma, of_gamma, of_beta, .. } = self;
        let cols = gamma.len();
        let count = cols as f32;
        let rows = self.x.chunks_exact(cols).zip(self.slopes.chunks_exact_mut(cols));
        for ((x, slopes), statistics) in rows.zip(self.statistics) {
            let RowStatistics { mean, rate } = *statistics;
            let sums = of_gamma.iter_mut().zip(&mut *of_beta);
            for ((((of_gamma, of_beta), slope), x), gamma) in sums.zip(&mut *slopes).zip(x).zip(gamma) {
                *of_gamma = m.multiply_add(*slope, (x - mean) * rate, *of_gamma);
                *of_beta += *slope;
                *slope *= gamma;
            }
            let along = sum_beside(slopes, x, |slope, x| slope * (x - mean)) * rate / count;
            let offset = match self.centre {
                Centre::Mean => sum(slopes, |slope| slope) / count,
                Centre::Zero => 0.0,
            };
            for (slope, x) in slopes.iter_mut().zip(x) {
                *slope = rate * (*slope - offset - (x - mean) * rate * along);
            }
        }
    }
}
