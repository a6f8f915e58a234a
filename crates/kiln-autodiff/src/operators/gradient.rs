//! Gradients over the parameters of a module.

use burn::module::Module;
use burn::tensor::Tensor;

use super::tracked::with_leaves;
use crate::Tangent;

/// The loss and its gradient with respect to all parameters of a module, on whatever device the module lives.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::gradient;
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).with_bias(false).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let (_, slope) = gradient(&layer, |layer| layer.forward(inputs.clone()).sum());
/// assert_eq!(slope.to_flat().into_data(), Tensor::<1>::from_floats([1.0, 2.0], &device).into_data());
/// ```
///
/// # Shapes
/// - `loss` and the first output: `[1]`
pub fn gradient<M: Module>(module: &M, loss: impl FnOnce(&M) -> Tensor<1>) -> (Tensor<1>, Tangent) {
    let module = with_leaves(module);
    let loss = loss(&module);
    let gradient = gradient_at(&module, &loss);
    (loss.inner(), gradient)
}

/// The gradient of a scalar with respect to the parameters of a module whose parameters are leaves.
pub(crate) fn gradient_at<M: Module>(module: &M, scalar: &Tensor<1>) -> Tangent {
    if scalar.is_tracked() { Tangent::from_gradients(module, &scalar.backward()) } else { Tangent::zeros_like(module) }
}
