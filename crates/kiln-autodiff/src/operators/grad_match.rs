//! Gradients through gradients of a network.

use burn::module::Module;
use burn::tensor::Tensor;

use super::gradient::gradient_at;
use super::tracked::{leaf, with_leaves};
use super::vjp::{gradient_of, vjp};
use crate::{Duals, Number, Tangent};

/// A function of parameter gradients, differentiated with respect to the network's inputs.
#[derive(Debug, Clone)]
pub struct GradientMatch<const D: usize> {
    /// `phi(g)`, `[1]`.
    pub value: Tensor<1>,
    /// `d phi(g) / d inputs`, in the shape of the inputs.
    pub gradient: Tensor<D>,
    /// The parameter gradient `g`.
    pub parameter_gradient: Tangent,
}

/// The gradient, with respect to the inputs `x`, of a function `phi` of the gradient with respect to the parameters.
///
/// ```text
/// g(x) = dL/dtheta       v = dphi/dg       d phi(g(x)) / dx = d/dx (v' dL/dtheta)
/// ```
/// The bracket is the derivative of the loss in the direction `v` of the parameters: one pass in dual numbers, and one
/// backward. What gradient matching, dataset condensation and gradient penalties need.
///
/// `phi` sees the gradient as one flat vector, parameter after parameter as [`Tangent::parameters`] lists them.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, Numbers, grad_of_grad_match};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).with_bias(false).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// // The loss x w has the gradient x, whose squared norm has the gradient 2 x.
/// let result = grad_of_grad_match(
///     &layer,
///     inputs,
///     |layer, numbers, inputs| numbers.sum(numbers.linear(layer, inputs)),
///     |gradient| gradient.square().sum(),
/// );
/// assert_eq!(result.value.into_scalar::<f32>(), 5.0);
/// assert_eq!(result.gradient.into_data(), Tensor::<2>::from_floats([[2.0, 4.0]], &device).into_data());
/// ```
///
/// # Shapes
/// - `inputs`: any
/// - `loss`: to `[1]`
/// - `matching`: `[number of parameters]` to `[1]`
pub fn grad_of_grad_match<M: Module, const D: usize>(
    module: &M,
    inputs: Tensor<D>,
    loss: impl Fn(&M, &Duals, Number<D>) -> Number<1>,
    matching: impl FnOnce(Tensor<1>) -> Tensor<1>,
) -> GradientMatch<D> {
    let module = with_leaves(module);
    let constant = Number::constant(inputs.clone().inner().autodiff(), 1);
    let parameter_gradient = gradient_at(&module, &loss(&module, &Duals::new(), constant).value());
    let (value, direction) = vjp(matching, parameter_gradient.to_flat(), Tensor::ones_like);
    let direction = parameter_gradient.with_flat(direction).expect("a gradient has the length of its argument");

    let duals = Duals::new().with_parameters(&direction);
    let inputs = leaf(inputs);
    let slope = duals.tangent(&loss(&module, &duals, Number::constant(inputs.clone(), 1)));
    GradientMatch { value, gradient: gradient_of(slope, &inputs), parameter_gradient }
}
