//! Activations of many numbers at once.

use burn::tensor::{DType, Tensor};

use crate::FlexSlice;
use crate::flex::element_type;
use crate::threads::share;
use crate::vector::{Kernel, exp_of_negative, vectorised};

/// Numbers that are worth a task of their own.
const TASK: usize = 1 << 14;

/// Whether this kernel takes `x`: a tensor of `f32` on the Flex device, in its graph or outside.
pub fn applies<const D: usize>(x: &Tensor<D>) -> bool {
    element_type(x) == Some(DType::F32)
}

/// `tanh(x)`, with an error of some 4e-7 of itself.
///
/// ```text
/// tanh(x) = -e / (e + 2)        e = exp(-2 x) - 1 for x >= 0, and its negative for -x
/// ```
///
/// # Panics
/// Where [`applies`] is false, and for a tensor in a graph.
pub fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    mapped(x, |values| vectorised(Tanh(values)))
}

/// `1 / (1 + exp(-x))`, with an error of some 4e-7 of itself down to `x = -87`, below which it stays at its value there.
///
/// # Panics
/// Where [`applies`] is false, and for a tensor in a graph.
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    mapped(x, |values| vectorised(Sigmoid(values)))
}

/// The tensor with every task of its numbers changed, on all threads where there are several tasks.
fn mapped<const D: usize>(x: Tensor<D>, change: impl Fn(&mut [f32]) + Sync + Send) -> Tensor<D> {
    let mut slice = FlexSlice::<f32>::new(x);
    let values = slice.values_mut();
    if values.len() <= TASK {
        change(values);
    } else {
        share(values.chunks_mut(TASK).collect(), change);
    }
    slice.into_tensor()
}

struct Tanh<'a>(&'a mut [f32]);

impl Kernel for Tanh<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for x in self.0 {
            let (_, excess) = exp_of_negative(-2.0 * x.abs());
            *x = (-excess / (excess + 2.0)).copysign(*x);
        }
    }
}

struct Sigmoid<'a>(&'a mut [f32]);

impl Kernel for Sigmoid<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for x in self.0 {
            let (power, _) = exp_of_negative(-x.abs());
            *x = if *x < 0.0 { power } else { 1.0 } / (1.0 + power);
        }
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
        assert!(ends[0] == 1.0 && ends[1] < 2e-38 && ends[2] == 0.5, "{ends:?}");
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
