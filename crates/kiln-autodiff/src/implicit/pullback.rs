//! Products of a transposed Jacobian with a vector, by reverse mode.

use burn::tensor::Tensor;

use crate::NumericalError;

/// `(df/dx)' u` at `x`, zero where `f` does not depend on `x`.
///
/// Builds a graph of its own, so that it can be used within a backward pass.
pub(crate) fn pullback<const D: usize>(
    function: impl FnOnce(Tensor<1>) -> Tensor<D>,
    at: &Tensor<1>,
    cotangent: Tensor<D>,
) -> Tensor<1> {
    let x = at.clone().inner().autodiff().require_grad();
    let output = function(x.clone());
    let gradient = if output.is_tracked() { x.grad(&(output * cotangent).sum().backward()) } else { None };
    gradient.unwrap_or_else(|| at.zeros_like())
}

/// Refuses a value that is tracked although nothing tracked went into the function that made it.
///
/// Within a backward pass such a function would enter the graph that is being walked, and wait for it for ever.
pub(crate) fn require_untracked<const D: usize>(
    operation: &'static str,
    value: Tensor<D>,
) -> Result<Tensor<D>, NumericalError> {
    if value.is_tracked() { Err(NumericalError::CapturedGradient { operation }) } else { Ok(value.inner()) }
}
