//! The layers that have kernels of our own on the processor, as nodes of Burn's graph.

use burn::tensor::ops::{AttentionModuleOptions, ConvOptions};
use burn::tensor::{DType, Tensor, activation, module};
use kiln_kernels::activation::Function;
use kiln_kernels::layer_norm::{self, Centre};
use kiln_kernels::{activation as kernel, attention, conv2d, linear, softmax};

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

/// A function of every number, by our kernel where there is one, else by Burn's.
pub(crate) fn activated<const D: usize>(
    function: Function,
    x: Tensor<D>,
    by_burn: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    if !kernel::applies(&x) {
        return by_burn(x);
    }
    let is_tracked = x.is_tracked();
    custom_gradient(
        (x,),
        |(x,)| {
            if !is_tracked {
                return (kernel::forward(function, x), None);
            }
            match slope_of_output::<D>(function) {
                Some(_) => {
                    let y = kernel::forward(function, x);
                    (y.clone(), Some(y))
                }
                None => {
                    let (y, slopes) = kernel::forward_with_slope(function, x);
                    (y, Some(slopes))
                }
            }
        },
        move |saved, upstream, _wanted| (saved.map(|saved| activation_gradient(function, saved, upstream)),),
    )
}

/// How the gradient of a function is made of its output and the upstream gradient, where that can be done.
fn slope_of_output<const D: usize>(function: Function) -> Option<fn(Tensor<D>, Tensor<D>) -> Tensor<D>> {
    match function {
        Function::Relu => Some(kernel::relu_backward),
        Function::Exp => Some(kernel::backward),
        _ => None,
    }
}

/// The gradient by the input, from the output where that says enough, else from the slopes.
fn activation_gradient<const D: usize>(function: Function, saved: Tensor<D>, upstream: Tensor<D>) -> Tensor<D> {
    slope_of_output(function).unwrap_or(kernel::backward)(saved, upstream)
}

/// `f(x W + b)`, by our kernel where there is one; none where it is left to a linear layer and a function after it.
pub(super) fn linear_activated<const D: usize>(
    function: Function,
    x: &Tensor<D>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<D>> {
    if D == 1 || x.dtype() != DType::F32 || !linear::applies(x, weight, bias) {
        return None;
    }
    let bias = bias?.clone();
    let wants_slopes =
        slope_of_output::<D>(function).is_none() && (x.is_tracked() || weight.is_tracked() || bias.is_tracked());
    Some(custom_gradient(
        (x.clone(), weight.clone(), bias),
        |(x, weight, bias)| {
            let (y, slopes) = linear::forward_activated(x.clone(), weight.clone(), Some(bias), function, wants_slopes);
            let saved = slopes.unwrap_or_else(|| y.clone());
            (y, (x, weight, saved))
        },
        move |(x, weight, saved), upstream, wanted| {
            linear::backward(x, weight, activation_gradient(function, saved, upstream), wanted)
        },
    ))
}

/// Softmax over the last axis, by our kernel where there is one, else by Burn's.
pub(super) fn softmax<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    if dim != D - 1 || !softmax::applies(&x) {
        return activation::softmax(x, dim);
    }
    custom_gradient(
        (x,),
        |(x,)| {
            let y = softmax::forward(x);
            (y.clone(), y)
        },
        |y, upstream, _wanted| (Some(softmax::backward(y, upstream)),),
    )
}

/// Logarithm of the softmax over the last axis, by our kernel where there is one, else by Burn's.
pub(super) fn log_softmax<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    if dim != D - 1 || !softmax::applies(&x) {
        return activation::log_softmax(x, dim);
    }
    custom_gradient(
        (x,),
        |(x,)| {
            let y = softmax::log_forward(x);
            (y.clone(), y)
        },
        |y, upstream, _wanted| (Some(softmax::log_backward(y, upstream)),),
    )
}

/// Layer or RMS normalisation over the last axis, by our kernel; none where it is left to Burn's.
pub(super) fn layer_norm<const D: usize>(
    x: &Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
    centre: Centre,
) -> Option<Tensor<D>> {
    if !layer_norm::applies(x, &gamma, beta.as_ref()) {
        return None;
    }
    let x = x.clone();
    Some(match beta {
        Some(beta) => custom_gradient(
            (x, gamma, beta),
            |(x, gamma, beta)| {
                let (y, statistics) = layer_norm::forward(x.clone(), gamma.clone(), Some(beta), epsilon, centre);
                (y, (x, gamma, statistics))
            },
            move |(x, gamma, statistics), upstream, wanted| {
                layer_norm::backward(x, gamma, &statistics, upstream, centre, wanted)
            },
        ),
        None => custom_gradient(
            (x, gamma),
            |(x, gamma)| {
                let (y, statistics) = layer_norm::forward(x.clone(), gamma.clone(), None, epsilon, centre);
                (y, (x, gamma, statistics))
            },
            move |(x, gamma, statistics), upstream, [of_x, of_gamma]| {
                let wanted = [of_x, of_gamma, false];
                let (of_x, of_gamma, _) = layer_norm::backward(x, gamma, &statistics, upstream, centre, wanted);
                (of_x, of_gamma)
            },
        ),
    })
}

/// Attention, by our kernel where there is one, else by Burn's.
pub(super) fn attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    options: AttentionModuleOptions,
) -> Tensor<4> {
    if !attention::applies(&query, &key, &value, &options) {
        return module::attention(query, key, value, None, None, options);
    }
    custom_gradient(
        (query, key, value),
        |(query, key, value)| {
            let attended = attention::forward(query.clone(), key.clone(), value.clone(), &options);
            (attended.output.clone(), ([query, key, value], attended))
        },
        move |(inputs, attended), upstream, _wanted| {
            let [of_query, of_key, of_value] = attention::backward(inputs, attended, upstream, &options);
            (Some(of_query), Some(of_key), Some(of_value))
        },
    )
}

/// Attention of queries, keys and values side by side, by our kernel; none where it is left to their parts.
pub(super) fn self_attention(qkv: &Tensor<3>, num_heads: usize, is_causal: bool) -> Option<Tensor<3>> {
    attention::applies_to_joint(qkv).then(|| {
        custom_gradient(
            (qkv.clone(),),
            |(qkv,)| {
                let attended = attention::forward_joint(qkv.clone(), num_heads, is_causal);
                (attended.output.clone(), (qkv, attended))
            },
            move |(qkv, attended), upstream, _wanted| {
                (Some(attention::backward_joint(qkv, attended, upstream, num_heads, is_causal)),)
            },
        )
    })
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
