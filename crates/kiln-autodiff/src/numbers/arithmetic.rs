//! The few operations that every kind of number implements.

use burn::module::Param;
use burn::tensor::Tensor;
use std::fmt::Debug;

use super::Elementwise;

/// The core of [`Numbers`](crate::Numbers): everything else is written in terms of these operations.
///
/// A new operation needs no new kind of number. It is linear ([`Arithmetic::linear_map`], or
/// [`Arithmetic::row_map`] where it treats the rows apart, which is faster), bilinear ([`Arithmetic::bilinear`]), element
/// by element ([`Arithmetic::apply`]), or linear once the value is known ([`Arithmetic::value_map`]).
pub trait Arithmetic: Sized {
    /// A tensor of rank `D` of these numbers.
    type T<const D: usize>: Clone + Debug;

    /// Largest order of derivatives that these numbers carry; 0 for plain values.
    fn order(&self) -> usize;

    /// A number whose derivatives are zero.
    fn constant<const D: usize>(&self, value: Tensor<D>) -> Self::T<D>;

    /// A parameter of a module, with the derivative that these numbers give it.
    fn parameter<const D: usize>(&self, parameter: &Param<Tensor<D>>) -> Self::T<D>;

    /// The value alone.
    fn value<const D: usize>(&self, x: &Self::T<D>) -> Tensor<D>;

    /// Shape of the value.
    fn dims<const D: usize>(&self, x: &Self::T<D>) -> [usize; D];

    /// A linear map of the tensor.
    fn linear_map<const D: usize, const E: usize>(
        &self,
        x: Self::T<D>,
        map: impl Fn(Tensor<D>) -> Tensor<E>,
    ) -> Self::T<E>;

    /// A linear map that treats the entries of the leading axis apart: `map([a; b]) = [map(a); map(b)]`.
    fn row_map<const D: usize, const E: usize>(
        &self,
        x: Self::T<D>,
        map: impl Fn(Tensor<D>) -> Tensor<E>,
    ) -> Self::T<E>;

    /// A function whose derivative is a linear map that depends on the value: `map(value) = (f(value), derivative)`.
    ///
    /// Right at any order where `f` is linear in pieces (maximum pooling), elsewhere only at order 1.
    fn value_map<const D: usize, const E: usize, L: Fn(Tensor<D>) -> Tensor<E>>(
        &self,
        x: Self::T<D>,
        map: impl FnOnce(Tensor<D>) -> (Tensor<E>, L),
    ) -> Self::T<E>;

    /// `map(left, right)`, linear in each operand.
    fn bilinear<const D: usize, const E: usize, const F: usize>(
        &self,
        left: Self::T<D>,
        right: Self::T<E>,
        map: impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) -> Self::T<F>;

    /// `map(x, weight, bias)`, linear in `x` (whose leading axis it treats apart) and in `weight`; the bias is added
    /// along `bias_axis` of the output.
    fn affine<const D: usize, const E: usize>(
        &self,
        x: Self::T<D>,
        weight: Self::T<E>,
        bias: Option<Self::T<1>>,
        bias_axis: usize,
        map: impl Fn(Tensor<D>, Tensor<E>, Option<Tensor<1>>) -> Tensor<D>,
    ) -> Self::T<D>;

    /// A function of every element.
    fn apply<const D: usize>(&self, function: &impl Elementwise, x: Self::T<D>) -> Self::T<D>;

    /// `left + right`, shapes broadcast.
    fn add<const D: usize>(&self, left: Self::T<D>, right: Self::T<D>) -> Self::T<D>;

    /// `left - right`, shapes broadcast.
    fn sub<const D: usize>(&self, left: Self::T<D>, right: Self::T<D>) -> Self::T<D>;

    /// `left * right` element by element, shapes broadcast.
    fn mul<const D: usize>(&self, left: Self::T<D>, right: Self::T<D>) -> Self::T<D>;

    /// `left / right` element by element, shapes broadcast.
    fn div<const D: usize>(&self, left: Self::T<D>, right: Self::T<D>) -> Self::T<D>;

    /// `x * factor`.
    fn scale<const D: usize>(&self, x: Self::T<D>, factor: f64) -> Self::T<D>;

    /// `x + offset`.
    fn shift<const D: usize>(&self, x: Self::T<D>, offset: f64) -> Self::T<D>;

    /// The same elements in another shape.
    fn reshape<const D: usize, const E: usize>(&self, x: Self::T<D>, dims: [usize; E]) -> Self::T<E>;

    /// The tensor in a larger shape, to which it broadcasts.
    fn expand<const D: usize>(&self, x: Self::T<D>, dims: [usize; D]) -> Self::T<D>;

    /// Tensors side by side along `dim`.
    fn cat<const D: usize>(&self, tensors: Vec<Self::T<D>>, dim: usize) -> Self::T<D>;

    /// The sum along `dim`, which stays with length 1.
    fn sum_dim<const D: usize>(&self, x: Self::T<D>, dim: usize) -> Self::T<D>;

    /// The mean along `dim`, which stays with length 1.
    fn mean_dim<const D: usize>(&self, x: Self::T<D>, dim: usize) -> Self::T<D>;

    /// The sum of all elements, `[1]`.
    fn sum<const D: usize>(&self, x: Self::T<D>) -> Self::T<1>;

    /// The mean of all elements, `[1]`.
    fn mean<const D: usize>(&self, x: Self::T<D>) -> Self::T<1>;
}
