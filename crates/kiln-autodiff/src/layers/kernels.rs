//! The layers that have kernels of our own on the processor, as nodes of Burn's graph.

use burn::tensor::{Tensor, module};
use kiln_kernels::linear;

use crate::custom_gradient;

/// `x W + b`, by our kernel where there is one, else by Burn's.
pub(super) fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    if !linear::applies(&x, &weight, bias.as_ref()) {
        return module::linear(x, weight, bias);
    }
    match bias {
        Some(bias) => custom_gradient(
            (x, weight, bias),
            |(x, weight, bias)| (linear::forward(x.clone(), weight.clone(), Some(bias)), (x, weight)),
            |(x, weight), upstream, wanted| linear::backward(x, weight, upstream, wanted),
        ),
        None => custom_gradient(
            (x, weight),
            |(x, weight)| (linear::forward(x.clone(), weight.clone(), None), (x, weight)),
            |(x, weight), upstream, [of_x, of_weight]| {
                let (of_x, of_weight, _) = linear::backward(x, weight, upstream, [of_x, of_weight, false]);
                (of_x, of_weight)
            },
        ),
    }
}
