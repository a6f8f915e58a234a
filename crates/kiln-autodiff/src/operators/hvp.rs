//! Hessian-vector products, reverse over forward.

use burn::module::Module;
use burn::tensor::Tensor;

use super::gradient::gradient_at;
use super::tracked::{leaf, with_leaves};
use super::vjp::gradient_of;
use crate::{Duals, Number, Tangent, TangentError};

/// The product `H v` of the Hessian of a loss with respect to all parameters of a module.
///
/// ```text
/// H v = d/dtheta (v' dL/dtheta)
/// ```
/// The loss is evaluated in dual numbers whose parameters move along `v`; its derivative is then differentiated
/// backwards. Layers take the mode that the module is in: call `valid()` first for inference. The module is not
/// changed, its running statistics neither.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, Numbers, Tangent, hvp, layers::loss};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).with_bias(false).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let v = Tangent::from_flat(&layer, Tensor::from_floats([1.0, 0.0], &device))?;
/// // The loss (x w)^2 has the Hessian 2 x x'.
/// let product = hvp(&layer, &v, |layer, numbers| {
///     let outputs = numbers.linear(layer, numbers.constant(inputs.clone()));
///     numbers.mean(numbers.square(outputs))
/// })?;
/// assert_eq!(product.to_flat().into_data(), Tensor::<1>::from_floats([2.0, 4.0], &device).into_data());
/// # Ok::<(), kiln_autodiff::TangentError>(())
/// ```
///
/// # Errors
/// [`TangentError::Structure`] where the tangent was not made for this module.
pub fn hvp<M: Module>(
    module: &M,
    tangent: &Tangent,
    loss: impl FnOnce(&M, &Duals) -> Number<1>,
) -> Result<Tangent, TangentError> {
    tangent.check(module)?;
    let module = with_leaves(module);
    let duals = Duals::new().with_parameters(tangent);
    let slope = duals.tangent(&loss(&module, &duals));
    Ok(gradient_at(&module, &slope))
}

/// The product `H v` of the Hessian of a scalar function with respect to its argument.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, Numbers, hvp_inputs};
///
/// let device = Device::flex();
/// let x = Tensor::<1>::from_floats([1.0, 2.0], &device);
/// let v = Tensor::<1>::from_floats([1.0, 1.0], &device);
/// let product = hvp_inputs(|numbers, x| numbers.sum(numbers.powf(x, 3.0)), x, v);
/// assert_eq!(product.into_data(), Tensor::<1>::from_floats([6.0, 12.0], &device).into_data());
/// ```
///
/// # Shapes
/// - `point`, `direction` and output: equal
/// - function's value: `[1]`
///
/// # Panics
/// When the direction has another shape than the point.
pub fn hvp_inputs<const D: usize>(
    function: impl FnOnce(&Duals, Number<D>) -> Number<1>,
    point: Tensor<D>,
    direction: Tensor<D>,
) -> Tensor<D> {
    let duals = Duals::new();
    let point = leaf(point);
    let output = function(&duals, duals.variable(point.clone(), direction));
    gradient_of(duals.tangent(&output), &point)
}
