//! The layers that have kernels of our own on the processor, as nodes of Burn's graph.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, activation, module};
use kiln_kernels::{activation as kernel, conv2d, linear};

use crate::custom_gradient;

/// `tanh(x)`, by our kernel where there is one, else by Burn's.
pub(crate) fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !kernel::applies(&x) {
        return activation::tanh(x);
    }
    // dy/dx = 1 - y^2
    custom_gradient(
        (x,),
        |(x,)| {
            let y = kernel::tanh(x);
            (y.clone(), y)
        },
        |y, upstream, _wanted| (Some((y.square().neg() + 1.0) * upstream),),
    )
}

/// `1 / (1 + exp(-x))`, by our kernel where there is one, else by Burn's.
pub(crate) fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !kernel::applies(&x) {
        return activation::sigmoid(x);
    }
    // dy/dx = y (1 - y)
    custom_gradient(
        (x,),
        |(x,)| {
            let y = kernel::sigmoid(x);
            (y.clone(), y)
        },
        |y, upstream, _wanted| (Some((y.clone() - y.square()) * upstream),),
    )
}

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

/// Burn's convolution of images, by our kernel where there is one, else by Burn's.
pub(super) fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, options: ConvOptions<2>) -> Tensor<4> {
    if !conv2d::applies(&x, &weight, bias.as_ref()) {
        return module::conv2d(x, weight, bias, options);
    }
    let forward = |x: &Tensor<4>, weight: &Tensor<4>, bias: Option<Tensor<1>>| {
        conv2d::forward(x.clone(), weight.clone(), bias, &options)
    };
    let for_backward = options.clone();
    match bias {
        Some(bias) => custom_gradient(
            (x, weight, bias),
            |(x, weight, bias)| (forward(&x, &weight, Some(bias)), (x, weight)),
            move |(x, weight), upstream, wanted| conv2d::backward(x, weight, upstream, &for_backward, wanted),
        ),
        None => custom_gradient(
            (x, weight),
            |(x, weight)| (forward(&x, &weight, None), (x, weight)),
            move |(x, weight), upstream, [of_x, of_weight]| {
                let wanted = [of_x, of_weight, false];
                let (of_x, of_weight, _) = conv2d::backward(x, weight, upstream, &for_backward, wanted);
                (of_x, of_weight)
            },
        ),
    }
}
