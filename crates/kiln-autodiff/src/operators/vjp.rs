//! Vector-Jacobian products.

use burn::tensor::Tensor;

use super::tracked::leaf;

/// `f(x)` and `J(x)' u`, by Burn's reverse mode.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::vjp;
///
/// let device = Device::flex();
/// let x = Tensor::<1>::from_floats([1.0, 2.0], &device);
/// let (_, gradient) = vjp(|x| x.clone() * x, x, |value| value.ones_like());
/// assert_eq!(gradient.into_data(), Tensor::<1>::from_floats([2.0, 4.0], &device).into_data());
/// ```
///
/// # Shapes
/// - `cotangent`: given the value, a tensor of its shape
/// - outputs: the value, and the gradient in the shape of `point`; both outside of the graph
///
/// # Panics
/// When the cotangent has another shape than the value.
pub fn vjp<const D: usize, const E: usize>(
    function: impl FnOnce(Tensor<D>) -> Tensor<E>,
    point: Tensor<D>,
    cotangent: impl FnOnce(&Tensor<E>) -> Tensor<E>,
) -> (Tensor<E>, Tensor<D>) {
    let point = leaf(point);
    let output = function(point.clone());
    let value = output.clone().inner();
    let cotangent = cotangent(&value);
    assert_eq!(cotangent.dims(), value.dims(), "the cotangent has another shape than the function's value");
    (value, gradient_of((output * cotangent).sum(), &point))
}

/// The gradient of a scalar with respect to a leaf; zero where it does not depend on it.
pub(super) fn gradient_of<const D: usize>(scalar: Tensor<1>, leaf: &Tensor<D>) -> Tensor<D> {
    let gradient = scalar.is_tracked().then(|| leaf.grad(&scalar.backward())).flatten();
    gradient.unwrap_or_else(|| leaf.clone().inner().zeros_like())
}
