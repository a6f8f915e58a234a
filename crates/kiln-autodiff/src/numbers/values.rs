//! Plain values: every operation is one call.

use burn::module::Param;
use burn::tensor::Tensor;

use super::{Arithmetic, Elementwise};

/// Plain values. Every operation is the one call of Burn that it stands for, so that a network written over
/// [`Numbers`](crate::Numbers) trains as fast as one written over tensors. Linear layers and convolutions of images, and in
/// single precision attention, normalisation of layers, softmax and the usual activations, are kernels of `kiln-kernels` on
/// the processor, which are faster than Burn's and differ from them by rounding alone.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, Numbers, Values};
///
/// fn norm_squared<N: Numbers>(numbers: &N, x: N::T<1>) -> N::T<1> {
///     numbers.sum(numbers.mul(x.clone(), x))
/// }
///
/// let x = Tensor::from_floats([3.0, 4.0], &Device::flex());
/// assert_eq!(norm_squared(&Values, x).into_scalar::<f32>(), 25.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Values;

impl Arithmetic for Values {
    type T<const D: usize> = Tensor<D>;

    fn order(&self) -> usize {
        0
    }

    fn constant<const D: usize>(&self, value: Tensor<D>) -> Tensor<D> {
        value
    }

    fn parameter<const D: usize>(&self, parameter: &Param<Tensor<D>>) -> Tensor<D> {
        parameter.val()
    }

    fn value<const D: usize>(&self, x: &Tensor<D>) -> Tensor<D> {
        x.clone()
    }

    fn dims<const D: usize>(&self, x: &Tensor<D>) -> [usize; D] {
        x.dims()
    }

    fn linear_map<const D: usize, const E: usize>(
        &self,
        x: Tensor<D>,
        map: impl Fn(Tensor<D>) -> Tensor<E>,
    ) -> Tensor<E> {
        map(x)
    }

    fn row_map<const D: usize, const E: usize>(&self, x: Tensor<D>, map: impl Fn(Tensor<D>) -> Tensor<E>) -> Tensor<E> {
        map(x)
    }

    fn value_map<const D: usize, const E: usize, L: Fn(Tensor<D>) -> Tensor<E>>(
        &self,
        x: Tensor<D>,
        map: impl FnOnce(Tensor<D>) -> (Tensor<E>, L),
    ) -> Tensor<E> {
        map(x).0
    }

    fn bilinear<const D: usize, const E: usize, const F: usize>(
        &self,
        left: Tensor<D>,
        right: Tensor<E>,
        map: impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) -> Tensor<F> {
        map(left, right)
    }

    fn affine<const D: usize, const E: usize>(
        &self,
        x: Tensor<D>,
        weight: Tensor<E>,
        bias: Option<Tensor<1>>,
        _bias_axis: usize,
        map: impl Fn(Tensor<D>, Tensor<E>, Option<Tensor<1>>) -> Tensor<D>,
    ) -> Tensor<D> {
        map(x, weight, bias)
    }

    fn apply<const D: usize>(&self, function: &impl Elementwise, x: Tensor<D>) -> Tensor<D> {
        function.value(x)
    }

    fn add<const D: usize>(&self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        left + right
    }

    fn sub<const D: usize>(&self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        left - right
    }

    fn mul<const D: usize>(&self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        left * right
    }

    fn div<const D: usize>(&self, left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
        left / right
    }

    fn scale<const D: usize>(&self, x: Tensor<D>, factor: f64) -> Tensor<D> {
        x * factor
    }

    fn shift<const D: usize>(&self, x: Tensor<D>, offset: f64) -> Tensor<D> {
        x + offset
    }

    fn reshape<const D: usize, const E: usize>(&self, x: Tensor<D>, dims: [usize; E]) -> Tensor<E> {
        x.reshape(dims)
    }

    fn expand<const D: usize>(&self, x: Tensor<D>, dims: [usize; D]) -> Tensor<D> {
        x.expand(dims)
    }

    fn cat<const D: usize>(&self, tensors: Vec<Tensor<D>>, dim: usize) -> Tensor<D> {
        Tensor::cat(tensors, dim)
    }

    fn sum_dim<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        x.sum_dim(dim)
    }

    fn mean_dim<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        x.mean_dim(dim)
    }

    fn sum<const D: usize>(&self, x: Tensor<D>) -> Tensor<1> {
        x.sum()
    }

    fn mean<const D: usize>(&self, x: Tensor<D>) -> Tensor<1> {
        x.mean()
    }
}
