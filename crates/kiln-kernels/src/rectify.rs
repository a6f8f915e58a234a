//! The rectified linear unit, `max(0, x)`.

use burn::tensor::{DType, Tensor};

use crate::Real;
use crate::flex::element_type;
use crate::rows::{TASK, changed, changed_beside};
use crate::vector::{Kernel, vectorised};

/// Whether the kernels take `x`: a tensor of `f32` or `f64` on the Flex device, in its graph or outside.
pub fn applies<const D: usize>(x: &Tensor<D>) -> bool {
    element_type(x).is_some()
}

/// `max(0, x)`, in the tensor's own memory where nobody else holds it. What is not a number stays that.
///
/// # Panics
/// Where [`applies`] is false, and for a tensor in a graph.
pub fn forward<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match x.dtype() {
        DType::F64 => changed::<f64, D>(x, TASK, rectify),
        _ => changed::<f32, D>(x, TASK, rectify),
    }
}

/// The gradient of [`forward`], of an `upstream` gradient: zero where the `output` is zero. Where the output is not a number
/// the gradient passes, so that what is wrong is seen. In the upstream gradient's own memory where nobody else holds it.
///
/// # Panics
/// Where the shapes differ, where [`applies`] is false, and for tensors in a graph.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_kernels::rectify;
///
/// let device = Device::flex();
/// let output = rectify::forward(Tensor::<1>::from_floats([-1.0, 0.0, 2.0], &device));
/// let gradient = rectify::backward(output, Tensor::from_floats([3.0, 4.0, 5.0], &device));
/// assert_eq!(gradient.try_into_vec_as::<f32>().unwrap(), [0.0, 0.0, 5.0]);
/// ```
pub fn backward<const D: usize>(output: Tensor<D>, upstream: Tensor<D>) -> Tensor<D> {
    match upstream.dtype() {
        DType::F64 => backward_in::<f64, D>(output, upstream),
        _ => backward_in::<f32, D>(output, upstream),
    }
}

fn backward_in<E: Real, const D: usize>(output: Tensor<D>, upstream: Tensor<D>) -> Tensor<D> {
    changed_beside::<E, D>(upstream, output, TASK, |gradients, outputs| vectorised(Pass { gradients, outputs }))
}

/// `max(0, x)` of one number.
#[inline(always)]
pub(crate) fn rectified<E: Real>(x: E) -> E {
    if x <= E::default() { E::default() } else { x }
}

/// What passes of the gradient by the rectified `x`, which may itself be rectified already.
#[inline(always)]
pub(crate) fn passed<E: Real>(gradient: E, x: E) -> E {
    if x <= E::default() { E::default() } else { gradient }
}

/// `max(0, x)` of many numbers, in place.
pub(crate) fn rectify<E: Real>(values: &mut [E]) {
    vectorised(Rectify(values));
}

struct Rectify<'a, E>(&'a mut [E]);

impl<E: Real> Kernel for Rectify<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|x| *x = rectified(*x));
    }
}

struct Pass<'a, E> {
    gradients: &'a mut [E],
    outputs: &'a [E],
}

impl<E: Real> Kernel for Pass<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.gradients
            .iter_mut()
            .zip(self.outputs)
            .for_each(|(gradient, output)| *gradient = passed(*gradient, *output));
    }
}
