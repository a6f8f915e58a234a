//! Jacobian-vector products.

use burn::tensor::Tensor;

use crate::{Duals, Number};

/// `f(x)` and `J(x) v`, in one pass forward in dual numbers.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, Numbers, jvp};
///
/// let device = Device::flex();
/// let x = Tensor::<1>::from_floats([1.0, 2.0], &device);
/// let v = Tensor::<1>::from_floats([1.0, 0.0], &device);
/// let (value, derivative) = jvp(|numbers, x| numbers.sum(numbers.square(x)), x, v);
/// assert_eq!(value.into_scalar::<f32>(), 5.0);
/// assert_eq!(derivative.into_scalar::<f32>(), 2.0);
/// ```
///
/// # Shapes
/// - `point` and `direction`: equal
/// - outputs: both that of the function's value
///
/// # Panics
/// When the direction has another shape than the point.
pub fn jvp<const D: usize, const E: usize>(
    function: impl FnOnce(&Duals, Number<D>) -> Number<E>,
    point: Tensor<D>,
    direction: Tensor<D>,
) -> (Tensor<E>, Tensor<E>) {
    let duals = Duals::new();
    let output = function(&duals, duals.variable(point, direction));
    (output.value(), duals.tangent(&output))
}
