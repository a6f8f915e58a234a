//! Functions that bring their own backward rule.
//!
//! A solver, a fused loss or a straight-through estimator knows its derivative better than the graph of its forward
//! pass does. Here such a function becomes one node of Burn's graph, on every device.

mod inputs;
mod node;

use std::convert::Infallible;

use burn::tensor::Tensor;

pub use inputs::GradientInputs;

/// A function with its own backward rule.
///
/// ```text
/// y = forward(x_1, .., x_N)        dL/dx_i = backward(saved, dL/dy)_i
/// ```
/// `forward` runs outside the graph and returns the value together with whatever the backward rule needs. `backward` runs
/// at most once, and only where one of the inputs is tracked; it gets what was saved, the upstream gradient and, for each
/// input, whether its gradient is wanted. A gradient that is `None` is zero; one that is not wanted is dropped.
/// All tensors that either of them sees are outside the graph; inside `backward` a graph of its own may be built and
/// differentiated, as long as it uses no tensor that is tracked outside.
///
/// `inputs` is a tuple of up to six tensors, of any ranks, or an array of tensors of one rank.
///
/// # Panics
/// Where a gradient does not have the shape of its input.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::custom_gradient;
///
/// // The logarithm of a sum of exponentials; its gradient is the softmax, which the forward pass has at hand.
/// let x = Tensor::<1>::from_data([1.0, 2.0], &Device::flex().autodiff()).require_grad();
/// let y = custom_gradient(
///     (x.clone(),),
///     |(x,)| {
///         let sum = x.clone().exp().sum();
///         (sum.clone().log(), x.exp() / sum)
///     },
///     |softmax, upstream, _wanted| (Some(softmax * upstream),),
/// );
/// let gradient = x.grad(&y.backward()).unwrap();
/// assert!((gradient.sum().into_scalar::<f32>() - 1.0).abs() < 1e-6);
/// ```
pub fn custom_gradient<I: GradientInputs, S: Send + 'static, const D: usize>(
    inputs: I,
    forward: impl FnOnce(I) -> (Tensor<D>, S),
    backward: impl FnOnce(S, Tensor<D>, I::Wanted) -> I::Gradients + Send + 'static,
) -> Tensor<D> {
    match try_custom_gradient(inputs, |inputs| Ok::<_, Infallible>(forward(inputs)), backward) {
        Ok(output) => output,
        Err(impossible) => match impossible {},
    }
}

/// [`custom_gradient`] of a function that can fail.
///
/// # Errors
/// Those of `forward`.
pub fn try_custom_gradient<I: GradientInputs, S: Send + 'static, E, const D: usize>(
    inputs: I,
    forward: impl FnOnce(I) -> Result<(Tensor<D>, S), E>,
    backward: impl FnOnce(S, Tensor<D>, I::Wanted) -> I::Gradients + Send + 'static,
) -> Result<Tensor<D>, E> {
    let (output, saved) = forward(inputs.plain())?;
    let output = output.inner();
    Ok(match inputs.checkpointing() {
        None => output,
        Some(strategy) if !inputs.is_tracked() => output.autodiff().with_gradient_checkpointing_strategy(strategy),
        Some(strategy) => inputs.attach(strategy, output, move |upstream, wanted| backward(saved, upstream, wanted)),
    })
}

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
pub fn with_known_gradient(input: Tensor<2>, values: Tensor<1>, gradient: impl FnOnce() -> Tensor<2>) -> Tensor<1> {
    let gradient = if input.is_tracked() { Some(gradient()) } else { None };
    custom_gradient(
        (input,),
        |_| (values, gradient),
        |gradient, upstream, _wanted| (gradient.map(|gradient| gradient * upstream.unsqueeze_dim(1)),),
    )
}

/// `values` forwards, the gradient of `surrogate` backwards.
///
/// The straight-through estimator: `values` are what a function without a useful derivative (rounding, sampling,
/// thresholding) makes of its input, and `surrogate` is a differentiable function of the same input. The output equals
/// `values` bit for bit.
///
/// Source: arXiv 1308.3432.
///
/// # Panics
/// Where the shapes differ.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::straight_through;
///
/// let x = Tensor::<1>::from_data([0.2, 1.7], &Device::flex().autodiff()).require_grad();
/// let rounded = straight_through(x.clone().round(), x.clone());
/// let gradient = x.grad(&rounded.sum().backward()).unwrap();
/// assert_eq!(gradient.try_into_vec_as::<f32>().unwrap(), [1.0, 1.0]);
/// ```
pub fn straight_through<const D: usize>(values: Tensor<D>, surrogate: Tensor<D>) -> Tensor<D> {
    let (value_shape, surrogate_shape) = (values.dims(), surrogate.dims());
    assert_eq!(value_shape, surrogate_shape, "straight_through: values and surrogate differ in shape");
    custom_gradient((surrogate,), |_| (values, ()), |(), upstream, _wanted| (Some(upstream),))
}

/// The same values, with `rule` applied to the gradient that flows back through them.
///
/// Gradient reversal is `map_gradient(x, |gradient| -gradient)`; clipping and scaling are written in the same way.
pub fn map_gradient<const D: usize>(
    tensor: Tensor<D>,
    rule: impl FnOnce(Tensor<D>) -> Tensor<D> + Send + 'static,
) -> Tensor<D> {
    custom_gradient((tensor,), |(values,)| (values, ()), move |(), upstream, _wanted| (Some(rule(upstream)),))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_check::{assert_close, check_gradient, values as read};

    #[test]
    fn a_known_gradient_is_scaled_by_what_comes_from_above() {
        let device = Device::flex().autodiff();
        let input = Tensor::<2>::from_floats([[1.0, f32::NEG_INFINITY], [3.0, 4.0]], &device).require_grad();
        let slopes = Tensor::<2>::from_floats([[0.5, 0.0], [2.0, -1.0]], &Device::flex());
        let losses = Tensor::<1>::from_floats([7.0, 8.0], &Device::flex());
        let upstream = Tensor::<1>::from_floats([10.0, 100.0], &device);
        let output = with_known_gradient(input.clone(), losses, || slopes);
        assert_close(&read(&output), &[7.0, 8.0], 0.0);
        let gradient = input.grad(&(output * upstream).sum().backward()).unwrap();
        assert_close(&read(&gradient), &[5.0, 0.0, 200.0, -100.0], 1e-6);
    }

    #[test]
    fn without_a_graph_the_gradient_is_not_computed() {
        let plain = Tensor::<2>::zeros([2, 2], &Device::flex());
        let output = with_known_gradient(plain, Tensor::ones([2], &Device::flex()), || unreachable!());
        assert_close(&read(&output), &[1.0, 1.0], 0.0);
        let untracked = Tensor::<2>::zeros([2, 2], &Device::flex().autodiff());
        let output = with_known_gradient(untracked, Tensor::ones([2], &Device::flex()), || unreachable!());
        assert!(output.is_autodiff() && !output.is_tracked());
    }

    #[test]
    fn a_function_of_three_ranks_has_the_gradient_of_its_composition() {
        let product = |x: Tensor<2>| {
            let scale = x.clone().slice([0..1, 0..1]).reshape([1]);
            let cube = x.clone().reshape([1, 2, 2]).exp();
            custom_gradient(
                (scale, x, cube),
                |(scale, x, cube)| {
                    let output = x.clone() * cube.clone().squeeze_dim::<2>(0) * scale.clone().unsqueeze::<2>();
                    (output.sum_dim(1).squeeze_dim::<1>(1), (scale, x, cube))
                },
                |(scale, x, cube), upstream, wanted| {
                    assert_eq!(wanted, [true; 3]);
                    let (cube, scale) = (cube.squeeze_dim::<2>(0), scale.unsqueeze::<2>());
                    let upstream = upstream.unsqueeze_dim::<2>(1);
                    let to_scale = (x.clone() * cube.clone() * upstream.clone()).sum();
                    let to_cube = (x * upstream.clone() * scale.clone()).unsqueeze::<3>();
                    (Some(to_scale), Some(cube * upstream * scale), Some(to_cube))
                },
            )
        };
        check_gradient(product, &[0.5, -1.0, 0.3, 2.0], [2, 2], 1e-8);
    }

    #[test]
    fn a_rule_may_differentiate_a_graph_of_its_own() {
        let cubes = |x: Tensor<2>| {
            custom_gradient(
                (x,),
                |(x,)| (x.clone().powi_scalar(3).sum_dim(1).squeeze_dim::<1>(1), x),
                |x, upstream, _wanted| {
                    let x = x.autodiff().require_grad();
                    let inner = (x.clone().powi_scalar(3).sum_dim(1).squeeze_dim::<1>(1) * upstream.autodiff()).sum();
                    (x.grad(&inner.backward()),)
                },
            )
        };
        check_gradient(cubes, &[0.5, -1.0, 0.3, 2.0], [2, 2], 1e-8);
    }

    #[test]
    fn an_array_of_inputs_gives_each_its_gradient_and_none_is_zero() {
        let device = Device::flex().autodiff();
        let inputs = [1.0f32, 2.0, 3.0].map(|x| Tensor::<1>::from_floats([x], &device).require_grad());
        let [x, y, z] = inputs.clone();
        let frozen = z.set_require_grad(false);
        let output = custom_gradient(
            [x * 1, y * 1, frozen],
            |[x, y, z]| (x.clone() * y.clone() + z, x),
            |x, upstream, wanted| {
                assert_eq!(wanted, [true, true, false]);
                [None, Some(x * upstream), None]
            },
        );
        let gradients = output.backward();
        assert_close(&read(&inputs[0].grad(&gradients).unwrap()), &[0.0], 0.0);
        assert_close(&read(&inputs[1].grad(&gradients).unwrap()), &[1.0], 0.0);
        assert!(inputs[2].grad(&gradients).is_none());
    }

    #[test]
    fn plain_and_tracked_inputs_mix() {
        let x = Tensor::<1>::from_floats([2.0], &Device::flex().autodiff()).require_grad();
        let y = Tensor::<1>::from_floats([5.0], &Device::flex());
        let output = custom_gradient(
            (y, x.clone()),
            |(y, x)| (x * y.clone(), y),
            |y, upstream, wanted| {
                assert_eq!(wanted, [false, true]);
                (None, Some(y * upstream))
            },
        );
        assert_close(&read(&x.grad(&output.backward()).unwrap()), &[5.0], 0.0);
    }

    #[test]
    fn checkpointing_graphs_take_custom_rules() {
        let device = Device::flex().autodiff().gradient_checkpointing();
        let x = Tensor::<1>::from_floats([2.0], &device).require_grad();
        let output = map_gradient(x.clone().exp(), |gradient| gradient * 3) * 2;
        let gradient = x.grad(&output.backward()).unwrap();
        assert_close(&read(&gradient), &[6.0 * 2f64.exp()], 1e-6);
    }

    #[test]
    fn straight_through_gives_values_bit_for_bit_and_the_surrogates_gradient() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_floats([0.3, -1.6], &device).require_grad();
        let output = straight_through(x.clone().sign() * 0.1, x.clone().tanh());
        assert_eq!(output.clone().inner().try_into_vec_as::<f32>().unwrap(), [0.1, -0.1]);
        let gradient = x.grad(&output.sum().backward()).unwrap();
        let slope = |x: f64| 1.0 - x.tanh().powi(2);
        assert_close(&read(&gradient), &[slope(0.3), slope(-1.6)], 1e-6);
    }

    #[test]
    #[should_panic(expected = "the gradient of an input of shape [2] has shape [1]")]
    fn a_gradient_of_another_shape_is_refused() {
        let x = Tensor::<1>::from_floats([0.3, -1.6], &Device::flex().autodiff()).require_grad();
        map_gradient(x, |gradient| gradient.slice(0..1)).sum().backward();
    }
}
