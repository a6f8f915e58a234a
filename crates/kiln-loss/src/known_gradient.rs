//! Losses whose gradient is known in closed form skip the graph of their forward pass.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata};
use burn::tensor::{Shape, Tensor};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};

/// `values` as a function of `input`, with the Jacobian rows that `gradient` gives.
///
/// `values[i]` depends on row `i` of `input` only, and `gradient()[i]` is its derivative. One node of the graph holds
/// the gradient, so that the backward pass is one multiplication. `gradient` is called only where it is needed.
///
/// # Shapes
/// - `input`: `[batch_size, num_classes]`
/// - `values`: `[batch_size]`, outside the graph
/// - `gradient`: `[batch_size, num_classes]`, outside the graph
/// - output: `[batch_size]`
pub(crate) fn with_known_gradient(
    input: Tensor<2>,
    values: Tensor<1>,
    gradient: impl FnOnce() -> Tensor<2>,
) -> Tensor<1> {
    if !input.is_autodiff() {
        return values;
    }
    if !input.is_tracked() {
        return values.autodiff();
    }
    let gradient = gradient();
    let parts = (
        input.clone().try_into_primitive::<Autodiff<Flex>>(),
        values.clone().try_into_primitive::<Flex>(),
        gradient.clone().try_into_primitive::<Flex>(),
    );
    match parts {
        (Ok(input), Ok(values), Ok(gradient)) => {
            Tensor::from_primitive::<Autodiff<Flex>>(attach::<Flex>(input, values, gradient))
        }
        _ => attach_by_composition(input, values, gradient),
    }
}

/// One node whose backward pass is `upstream[i] * gradient[i, :]`.
fn attach<B: Backend>(
    input: FloatTensor<Autodiff<B>>,
    values: FloatTensor<B>,
    gradient: FloatTensor<B>,
) -> FloatTensor<Autodiff<B>> {
    #[derive(Debug)]
    struct KnownGradient;

    impl<B: Backend> Backward<B, 1> for KnownGradient {
        type State = FloatTensor<B>;

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
            let gradient = ops.state;
            let rows = gradient.shape()[0];
            unary::<B, _>(ops.parents, ops.node, grads, |upstream| {
                B::float_mul(gradient, B::float_reshape(upstream, Shape::new([rows, 1])))
            });
        }
    }

    match KnownGradient.prepare::<NoCheckpointing>([input.node()]).compute_bound().stateful() {
        OpsKind::Tracked(node) => node.finish(gradient, values),
        OpsKind::UnTracked(node) => node.finish(values),
    }
}

/// The same by differentiable operations: a linear term that is zero in value.
///
/// Logits of minus infinity (classes that are masked out) are clamped, their gradient is zero.
fn attach_by_composition(input: Tensor<2>, values: Tensor<1>, gradient: Tensor<2>) -> Tensor<1> {
    const LARGE: f32 = 1e30;
    let input = input.clamp(-LARGE, LARGE);
    let origin = input.clone().inner();
    let zero = ((input - origin) * gradient).sum_dim(1).squeeze_dim::<1>(1);
    zero + values
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_check::{assert_close, values as read};

    #[test]
    fn both_ways_give_the_same_gradient() {
        let device = Device::flex().autodiff();
        let input = Tensor::<2>::from_floats([[1.0, f32::NEG_INFINITY], [3.0, 4.0]], &device).require_grad();
        let slopes = Tensor::<2>::from_floats([[0.5, 0.0], [2.0, -1.0]], &Device::flex());
        let losses = Tensor::<1>::from_floats([7.0, 8.0], &Device::flex());
        let upstream = Tensor::<1>::from_floats([10.0, 100.0], &device);
        let by_node = with_known_gradient(input.clone(), losses.clone(), || slopes.clone());
        let by_composition = attach_by_composition(input.clone(), losses, slopes);
        for output in [by_node, by_composition] {
            assert_close(&read(&output), &[7.0, 8.0], 0.0);
            let gradients = (output * upstream.clone()).sum().backward();
            let gradient = input.grad(&gradients).unwrap();
            assert_close(&read(&gradient), &[5.0, 0.0, 200.0, -100.0], 1e-6);
        }
    }

    #[test]
    fn without_a_graph_the_gradient_is_not_computed() {
        let input = Tensor::<2>::zeros([2, 2], &Device::flex());
        let output = with_known_gradient(input, Tensor::ones([2], &Device::flex()), || unreachable!());
        assert_close(&read(&output), &[1.0, 1.0], 0.0);
    }
}
