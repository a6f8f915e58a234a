//! The rectified linear unit, `max(0, x)`.

use burn::tensor::{DType, Tensor};

use crate::flex::element_type;
use crate::threads::share;
use crate::vector::{Kernel, vectorised};
use crate::{FlexSlice, Real};

/// Numbers that are worth a task of their own.
const TASK: usize = 1 << 15;

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
        DType::F64 => forward_in::<f64, D>(x),
        _ => forward_in::<f32, D>(x),
    }
}

fn forward_in<E: Real, const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let mut x = FlexSlice::<E>::new(x);
    let tasks = x.values_mut().chunks_mut(TASK).collect();
    share(tasks, |values| vectorised(Rectify(values)));
    x.into_tensor()
}

struct Rectify<'a, E>(&'a mut [E]);

impl<E: Real> Kernel for Rectify<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|x| *x = if *x < E::default() { E::default() } else { *x });
    }
}

/// The gradient of [`forward`]: the upstream gradient where the `output` is above zero, in its own memory where nobody else
/// holds it.
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
    assert_eq!(output.dims(), upstream.dims(), "relu: the shape of the output and that of its gradient differ");
    match upstream.dtype() {
        DType::F64 => backward_in::<f64, D>(output, upstream),
        _ => backward_in::<f32, D>(output, upstream),
    }
}

fn backward_in<E: Real, const D: usize>(output: Tensor<D>, upstream: Tensor<D>) -> Tensor<D> {
    let (output, mut upstream) = (FlexSlice::<E>::new(output), FlexSlice::<E>::new(upstream));
    let tasks = upstream.values_mut().chunks_mut(TASK).zip(output.values().chunks(TASK)).collect();
    share(tasks, |(gradients, outputs)| vectorised(Pass { gradients, outputs }));
    upstream.into_tensor()
}

struct Pass<'a, E> {
    gradients: &'a mut [E],
    outputs: &'a [E],
}

impl<E: Real> Kernel for Pass<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let pairs = self.gradients.iter_mut().zip(self.outputs);
        pairs.for_each(|(g, y)| *g = if *y > E::default() { *g } else { E::default() });
    }
}
