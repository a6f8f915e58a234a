//! Gradients of single examples.

use burn::module::Module;
use burn::tensor::Tensor;

use super::gradient::gradient_at;
use super::tracked::with_leaves;

/// The gradient of every example's loss with respect to all parameters of a module.
///
/// One pass forward and one backward an example: batch normalisation in training mode sees batches of one.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::per_example_gradients;
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).with_bias(false).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
/// let gradients = per_example_gradients(&layer, 2, |layer, example| {
///     layer.forward(inputs.clone().narrow(0, example, 1)).sum()
/// });
/// assert_eq!(gradients.into_data(), inputs.into_data());
/// ```
///
/// # Shapes
/// - `loss`: of the example with this number, in `0..num_examples`, `[1]`
/// - output: `[num_examples, number of parameters]`, parameters as [`Tangent::parameters`](crate::Tangent::parameters) lists them
///
/// # Panics
/// When there are no examples.
pub fn per_example_gradients<M: Module>(
    module: &M,
    num_examples: usize,
    loss: impl Fn(&M, usize) -> Tensor<1>,
) -> Tensor<2> {
    let module = with_leaves(module);
    let gradients = (0..num_examples).map(|example| gradient_at(&module, &loss(&module, example)).to_flat());
    Tensor::stack(gradients.collect(), 0)
}

/// The Euclidean norm of every example's gradient: [`per_example_gradients`] without storing them.
///
/// # Shapes
/// - output: `[num_examples]`
///
/// # Panics
/// When there are no examples.
pub fn per_example_gradient_norms<M: Module>(
    module: &M,
    num_examples: usize,
    loss: impl Fn(&M, usize) -> Tensor<1>,
) -> Tensor<1> {
    let module = with_leaves(module);
    let norm = |example| gradient_at(&module, &loss(&module, example)).to_flat().square().sum().sqrt();
    Tensor::cat((0..num_examples).map(norm).collect(), 0)
}
