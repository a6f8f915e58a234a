//! The layers that have kernels of our own on the processor, as nodes of Burn's graph.

use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Tensor, activation, module};
use kiln_kernels::{activation as kernel, conv2d, linear, pool, rectify};

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

/// `max(0, x)`, by our kernel where there is one, else by Burn's.
pub(crate) fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !rectify::applies(&x) {
        return activation::relu(x);
    }
    custom_gradient(
        (x,),
        |(x,)| {
            let y = rectify::forward(x);
            (y.clone(), y)
        },
        |y, upstream, _wanted| (Some(rectify::backward(y, upstream)),),
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
    let for_backward = options.clone();
    with_gradients_of_conv2d(
        [x, weight],
        bias,
        for_backward,
        |[x, weight], bias| (conv2d::forward(x, weight, bias, &options), ()),
        |(), upstream| upstream,
    )
}

/// `max(0, y)` of a convolution's output `y`, in one node where there is a kernel for it.
pub(super) fn rectified_conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions<2>,
) -> Tensor<4> {
    if !conv2d::applies(&x, &weight, bias.as_ref()) {
        return activation::relu(module::conv2d(x, weight, bias, options));
    }
    let for_backward = options.clone();
    with_gradients_of_conv2d(
        [x, weight],
        bias,
        for_backward,
        |[x, weight], bias| {
            let y = conv2d::forward_rectified(x, weight, bias, &options);
            (y.clone(), y)
        },
        rectify::backward,
    )
}

/// A node with the gradients of a convolution. `forward` gives the output and what `before` needs, which makes of the
/// upstream gradient that of the convolution's own output.
fn with_gradients_of_conv2d<S: Send + 'static>(
    [x, weight]: [Tensor<4>; 2],
    bias: Option<Tensor<1>>,
    options: ConvOptions<2>,
    forward: impl FnOnce([Tensor<4>; 2], Option<Tensor<1>>) -> (Tensor<4>, S),
    before: impl FnOnce(S, Tensor<4>) -> Tensor<4> + Send + 'static,
) -> Tensor<4> {
    match bias {
        Some(bias) => custom_gradient(
            (x, weight, bias),
            |(x, weight, bias)| {
                let (y, saved) = forward([x.clone(), weight.clone()], Some(bias));
                (y, (x, weight, saved))
            },
            move |(x, weight, saved), upstream, wanted| {
                conv2d::backward(x, weight, before(saved, upstream), &options, wanted)
            },
        ),
        None => custom_gradient(
            (x, weight),
            |(x, weight)| {
                let (y, saved) = forward([x.clone(), weight.clone()], None);
                (y, (x, weight, saved))
            },
            move |(x, weight, saved), upstream, [of_x, of_weight]| {
                let (upstream, wanted) = (before(saved, upstream), [of_x, of_weight, false]);
                let (of_x, of_weight, _) = conv2d::backward(x, weight, upstream, &options, wanted);
                (of_x, of_weight)
            },
        ),
    }
}

/// Burn's maximum pooling of images, by our kernel where there is one, else by Burn's.
pub(super) fn max_pool2d(x: Tensor<4>, options: MaxPoolOptions<2>) -> Tensor<4> {
    if !pool::max_applies(&x, &options) {
        return module::max_pool2d(x, options);
    }
    let (dims, for_backward) = (x.dims(), options.clone());
    custom_gradient(
        (x,),
        |(x,)| pool::max(x, &options),
        move |largest, upstream, _wanted| (Some(pool::max_backward(dims, &for_backward, largest, upstream)),),
    )
}

/// Burn's average pooling of images, by our kernel where there is one, else by Burn's.
pub(super) fn avg_pool2d(x: Tensor<4>, options: AvgPoolOptions<2>) -> Tensor<4> {
    if !pool::mean_applies(&x, &options) {
        return module::avg_pool2d(x, options);
    }
    let (dims, for_backward) = (x.dims(), options.clone());
    custom_gradient(
        (x,),
        |(x,)| (pool::mean(x, &options), ()),
        move |(), upstream, _wanted| (Some(pool::mean_backward(dims, &for_backward, upstream)),),
    )
}
