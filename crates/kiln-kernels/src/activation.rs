//! Activations and other functions of many numbers at once.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use burn::tensor::{DType, Tensor};

use crate::FlexSlice;
use crate::elementary;
use crate::flex::{element_type, tensor_of, written};
use crate::rectify::{passed, rectified};
use crate::rows::{TASK, changed, changed_beside};
use crate::threads::share;
use crate::vector::{FusedKernel, MultiplyAdd, vectorised};

/// Functions that are computed together with their slopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `max(0, x)`
    Relu,
    /// `x Phi(x)` with the normal distribution function `Phi`, with an error of some 5e-7 of itself
    Gelu,
    /// `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, with an error of some 1e-6 of itself down to `x = -3`
    GeluTanh,
    /// `x sigmoid(x)`, with an error of some 3e-7 of itself
    Silu,
    /// `exp(x)`, within 1.3 units in the last place
    Exp,
    /// `log(x)`, within 1.3 units in the last place
    Log,
    /// `2 / sqrt(pi) int_0^x exp(-t^2) dt`, within 2 units in the last place
    Erf,
}

/// Whether these kernels take `x`: a tensor of `f32` on the Flex device, in its graph or outside.
pub fn applies<const D: usize>(x: &Tensor<D>) -> bool {
    element_type(x) == Some(DType::F32)
}

/// The function of every number.
///
/// # Panics
/// Where [`applies`] is false, and for a tensor in a graph.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_kernels::activation::{self, Function};
///
/// let y = activation::forward(Function::Relu, Tensor::<1>::from_floats([-1.0, 2.0], &Device::flex()));
/// assert_eq!(y.try_into_vec_as::<f32>().unwrap(), [0.0, 2.0]);
/// ```
pub fn forward<const D: usize>(function: Function, x: Tensor<D>) -> Tensor<D> {
    changed(x, TASK, |values| apply(function, values))
}

/// The function of every number, and its slope there.
///
/// # Panics
/// As [`forward`].
pub fn forward_with_slope<const D: usize>(function: Function, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
    let dims = x.dims();
    let x = FlexSlice::<f32>::new(x);
    let mut slopes = Vec::new();
    let write = |y: &mut [MaybeUninit<f32>]| {
        let write_slopes = |slopes: &mut [MaybeUninit<f32>]| {
            let tasks = x.values().chunks(TASK).zip(y.chunks_mut(TASK)).zip(slopes.chunks_mut(TASK)).collect();
            share(tasks, |((x, y), slopes)| {
                apply_with_slope(function, y.write_copy_of_slice(x), slopes.write_copy_of_slice(x));
            });
        };
        // SAFETY: every number is copied.
        slopes = unsafe { written(x.values().len(), write_slopes) };
    };
    // SAFETY: every number is copied.
    let y = unsafe { written(x.values().len(), write) };
    (tensor_of(y, dims), tensor_of(slopes, dims))
}

/// The gradient of a function with these `slopes`, of an `upstream` gradient of its output: their product.
///
/// # Panics
/// Where the shapes differ, where [`applies`] is false, and for tensors in a graph.
pub fn backward<const D: usize>(slopes: Tensor<D>, upstream: Tensor<D>) -> Tensor<D> {
    changed_beside(upstream, slopes, TASK, |upstream: &mut [f32], slopes| {
        upstream.iter_mut().zip(slopes).for_each(|(upstream, slope)| *upstream *= slope);
    })
}

/// The function of these numbers, in place.
pub(crate) fn apply(function: Function, x: &mut [f32]) {
    match function {
        Function::Relu => vectorised(Map::<Relu>(x, PhantomData)),
        Function::Gelu => vectorised(Map::<Gelu>(x, PhantomData)),
        Function::GeluTanh => vectorised(Map::<GeluTanh>(x, PhantomData)),
        Function::Silu => vectorised(Map::<Silu>(x, PhantomData)),
        Function::Exp => vectorised(Map::<Exp>(x, PhantomData)),
        Function::Log => vectorised(Map::<Log>(x, PhantomData)),
        Function::Erf => vectorised(Map::<Erf>(x, PhantomData)),
    }
}

/// The function of these numbers, in place, and its slopes.
pub(crate) fn apply_with_slope(function: Function, x: &mut [f32], slopes: &mut [f32]) {
    match function {
        Function::Relu => vectorised(MapWithSlope::<Relu>(x, slopes, PhantomData)),
        Function::Gelu => vectorised(MapWithSlope::<Gelu>(x, slopes, PhantomData)),
        Function::GeluTanh => vectorised(MapWithSlope::<GeluTanh>(x, slopes, PhantomData)),
        Function::Silu => vectorised(MapWithSlope::<Silu>(x, slopes, PhantomData)),
        Function::Exp => vectorised(MapWithSlope::<Exp>(x, slopes, PhantomData)),
        Function::Log => vectorised(MapWithSlope::<Log>(x, slopes, PhantomData)),
        Function::Erf => vectorised(MapWithSlope::<Erf>(x, slopes, PhantomData)),
    }
}

/// A function of one number, with its slope. What is not used of the two is not computed.
trait Scalar {
    fn value_and_slope<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32);
}

struct Relu;
struct Gelu;
struct GeluTanh;
struct Silu;
struct Exp;
struct Log;
struct Erf;

impl Scalar for Relu {
    #[inline(always)]
    fn value_and_slope<M: MultiplyAdd>(_: M, x: f32) -> (f32, f32) {
        (rectified(x), passed(1.0, x))
    }
}

impl Scalar for Gelu {
    #[inline(always)]
    fn value_and_slope<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
        elementary::gelu(m, x)
    }
}

impl Scalar for GeluTanh {
    #[inline(always)]
    fn value_and_slope<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
        elementary::gelu_tanh(m, x)
    }
}

impl Scalar for Silu {
    #[inline(always)]
    fn value_and_slope<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
        elementary::silu(m, x)
    }
}

impl Scalar for Exp {
    #[inline(always)]
    fn value_and_slope<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
        let y = elementary::exp(m, x);
        (y, y)
    }
}

impl Scalar for Log {
    #[inline(always)]
    fn value_and_slope<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
        (elementary::log(m, x), 1.0 / x)
    }
}

impl Scalar for Erf {
    #[inline(always)]
    fn value_and_slope<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
        (elementary::erf(m, x), std::f32::consts::FRAC_2_SQRT_PI * elementary::exp(m, -x * x))
    }
}

struct Map<'a, F>(&'a mut [f32], PhantomData<F>);

impl<F: Scalar> FusedKernel for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        self.0.iter_mut().for_each(|x| *x = F::value_and_slope(m, *x).0);
    }
}

struct MapWithSlope<'a, F>(&'a mut [f32], &'a mut [f32], PhantomData<F>);

impl<F: Scalar> FusedKernel for MapWithSlope<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        for (x, slope) in self.0.iter_mut().zip(self.1) {
            (*x, *slope) = F::value_and_slope(m, *x);
        }
    }
}

/// `tanh(x)`, with an error of some 4e-7 of itself.
///
/// # Panics
/// Where [`applies`] is false, and for a tensor in a graph.
pub fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    changed(x, TASK, |values| vectorised(Tanh(values)))
}

/// `1 / (1 + exp(-x))`, with an error of some 4e-7 of itself.
///
/// # Panics
/// Where [`applies`] is false, and for a tensor in a graph.
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    changed(x, TASK, |values| vectorised(Sigmoid(values)))
}

struct Tanh<'a>(&'a mut [f32]);

impl FusedKernel for Tanh<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        self.0.iter_mut().for_each(|x| *x = elementary::tanh(m, *x));
    }
}

struct Sigmoid<'a>(&'a mut [f32]);

impl FusedKernel for Sigmoid<'_> {
    type Output = ();

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) {
        self.0.iter_mut().for_each(|x| *x = elementary::sigmoid(m, *x).0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn of(values: &[f32], function: fn(Tensor<1>) -> Tensor<1>) -> Vec<f32> {
        function(Tensor::from_floats(values, &Device::flex())).try_into_vec_as().unwrap()
    }

    fn assert_exact(function: fn(Tensor<1>) -> Tensor<1>, exact: fn(f64) -> f64) {
        // More than a task, so that several threads take part, and no multiple of a vector.
        let grid: Vec<f32> = (-20_003..20_003).map(|step| step as f32 * 1e-3).collect();
        let tiny = [1e-30, -1e-12, 1e-6, -3e-4].map(|x: f32| x);
        for values in [&grid[..], &tiny, &[0.1]] {
            for (x, found) in values.iter().zip(of(values, function)) {
                let expected = exact(f64::from(*x));
                let error = (f64::from(found) - expected).abs();
                assert!(error <= 4e-7 * expected.abs(), "{x}: {found} and {expected}");
            }
        }
        assert!(of(&[f32::NAN], function)[0].is_nan());
    }

    #[test]
    fn the_hyperbolic_tangent_is_exact_to_rounding_and_odd() {
        assert_exact(tanh, f64::tanh);
        assert_eq!(of(&[f32::INFINITY, f32::NEG_INFINITY, 0.0, 100.0], tanh), [1.0, -1.0, 0.0, 1.0]);
        assert!(of(&[-0.0], tanh)[0].is_sign_negative());
    }

    #[test]
    fn the_logistic_function_is_exact_to_rounding_and_ends_at_its_limits() {
        assert_exact(sigmoid, |x| 1.0 / (1.0 + (-x).exp()));
        let ends = of(&[f32::INFINITY, f32::NEG_INFINITY, 0.0], sigmoid);
        assert_eq!(ends, [1.0, 0.0, 0.5]);
    }

    #[test]
    fn views_and_shared_tensors_are_left_as_they_are() {
        let x = Tensor::<2>::from_floats([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], &Device::flex());
        let turned = tanh(x.clone().transpose());
        let expected = tanh(x.clone()).transpose();
        assert_eq!(turned.into_data(), expected.into_data());
        assert_eq!(
            x.to_data(),
            Tensor::<2>::from_floats([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], &Device::flex()).into_data()
        );
        assert_eq!(tanh(Tensor::<2>::zeros([0, 3], &Device::flex())).dims(), [0, 3]);
    }

    #[test]
    fn other_types_are_left_to_burn() {
        let device = Device::flex();
        assert!(applies(&Tensor::<1>::zeros([2], &device.clone().autodiff())));
        assert!(!applies(&Tensor::<1>::zeros([2], (&device, DType::F64))));
    }
}
