//! Gauss-Newton products.

use burn::module::Module;
use burn::tensor::Tensor;

use super::gradient::gradient_at;
use super::hvp::hvp_inputs;
use super::tracked::with_leaves;
use crate::{Duals, Number, Tangent, TangentError};

/// The Gauss-Newton product `J' H J v`, with the Jacobian `J` of the network's outputs with respect to its parameters and
/// the Hessian `H` of the loss with respect to the outputs.
///
/// Positive semi-definite for a convex loss; equal to the Hessian where the network is linear in its parameters or the
/// loss has no slope. Layers take the mode that the module is in, as in [`hvp`](crate::hvp).
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, Duals, Numbers, Tangent, gnvp};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).with_bias(false).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let v = Tangent::from_flat(&layer, Tensor::from_floats([1.0, 0.0], &device))?;
/// let outputs = |layer: &Linear, numbers: &Duals| numbers.linear(layer, numbers.constant(inputs.clone()));
/// let product = gnvp(&layer, &v, outputs, |numbers, outputs| numbers.mean(numbers.square(outputs)))?;
/// assert_eq!(product.to_flat().into_data(), Tensor::<1>::from_floats([2.0, 4.0], &device).into_data());
/// # Ok::<(), kiln_autodiff::TangentError>(())
/// ```
///
/// # Errors
/// [`TangentError::Structure`] where the tangent was not made for this module.
pub fn gnvp<M: Module, const D: usize>(
    module: &M,
    tangent: &Tangent,
    outputs: impl FnOnce(&M, &Duals) -> Number<D>,
    loss: impl FnOnce(&Duals, Number<D>) -> Number<1>,
) -> Result<Tangent, TangentError> {
    tangent.check(module)?;
    let module = with_leaves(module);
    let duals = Duals::new().with_parameters(tangent);
    let outputs = outputs(&module, &duals);
    let moved: Tensor<D> = duals.tangent(&outputs).inner();
    let curved = hvp_inputs(loss, outputs.value(), moved);
    Ok(gradient_at(&module, &(outputs.value() * curved).sum()))
}
