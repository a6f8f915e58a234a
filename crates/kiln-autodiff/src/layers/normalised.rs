//! Batch normalisation of plain values with what follows it, by our kernels where there are any, else by Burn's operations.

use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use kiln_kernels::batch_norm::{self, After, Saved};

use super::{Numbers, affine, kernels};
use crate::{Arithmetic, Function, Values, custom_gradient};

/// `f(batch_norm(conv2d(x)) + residual)`
pub(super) fn conv2d(
    layer: &Conv2d,
    norm: &BatchNorm,
    x: Tensor<4>,
    residual: Option<Tensor<4>>,
    function: Option<Function>,
) -> Tensor<4> {
    if is_outside_of_graphs(norm, &x) && layer.weight.val().inner().dtype() == x.dtype() {
        return folded(layer, norm, x, residual, function);
    }
    batch_norm(norm, Values.conv2d(layer, x), residual, function)
}

/// Whether neither the input nor the layers are in a graph, so that the running statistics hold and nothing is
/// differentiated.
fn is_outside_of_graphs(norm: &BatchNorm, x: &Tensor<4>) -> bool {
    !x.is_autodiff() && !norm.gamma.val().is_autodiff()
}

/// With `s = gamma / sqrt(variance + epsilon)`, `(W * x + b - mean) s + beta = (s W) * x + (b - mean) s + beta`: the
/// normalisation costs nothing.
fn folded(
    layer: &Conv2d,
    norm: &BatchNorm,
    x: Tensor<4>,
    residual: Option<Tensor<4>>,
    function: Option<Function>,
) -> Tensor<4> {
    let scale = norm.gamma.val() / (norm.running_var.value() + norm.epsilon).sqrt();
    let mean = norm.running_mean.value();
    let centre = match &layer.bias {
        Some(bias) => bias.val() - mean,
        None => -mean,
    };
    let offset = centre * scale.clone() + norm.beta.val();
    let channels = scale.dims()[0];
    let convolve = |convolution: fn(_, _, _, _) -> Tensor<4>, x| {
        affine::conv2d_by(&Values, layer, x, |x, weight, _, options| {
            let weight = weight * scale.clone().reshape([channels, 1, 1, 1]);
            convolution(x, weight, Some(offset.clone()), options)
        })
    };
    match (residual, function) {
        (None, Some(Function::Relu)) => convolve(kernels::rectified_conv2d, x),
        (residual, function) => finished(convolve(kernels::conv2d, x), residual, function),
    }
}

/// `f(y + residual)`
fn finished<const D: usize>(y: Tensor<D>, residual: Option<Tensor<D>>, function: Option<Function>) -> Tensor<D> {
    let moved = match residual {
        Some(residual) => y + residual,
        None => y,
    };
    match function {
        Some(function) => Values.apply(&function, moved),
        None => moved,
    }
}

/// `f(batch_norm(x) + residual)`
pub(super) fn batch_norm<const D: usize>(
    layer: &BatchNorm,
    x: Tensor<D>,
    residual: Option<Tensor<D>>,
    function: Option<Function>,
) -> Tensor<D> {
    let (gamma, beta) = (layer.gamma.val(), layer.beta.val());
    if !batch_norm::applies(&x, [&gamma, &beta], residual.as_ref()) {
        return finished(layer.forward(x), residual, function);
    }
    let rectified = function == Some(Function::Relu);
    let function = if rectified { None } else { function };
    if layer.training.is_enabled() && x.is_autodiff() {
        let normalised = trained(layer, x, residual, rectified);
        return finished(normalised, None, function);
    }
    if x.is_autodiff() || gamma.is_autodiff() {
        let function = if rectified { Some(Function::Relu) } else { function };
        return finished(layer.forward(x), residual, function);
    }
    let statistics = [layer.running_mean.value(), layer.running_var.value()];
    let after = After { residual, rectified };
    finished(batch_norm::apply(x, statistics, [gamma, beta], layer.epsilon, after), None, function)
}

/// With the statistics of the batch, which also move the running ones, as Burn moves them.
fn trained<const D: usize>(layer: &BatchNorm, x: Tensor<D>, residual: Option<Tensor<D>>, rectified: bool) -> Tensor<D> {
    let (gamma, beta, epsilon) = (layer.gamma.val(), layer.beta.val(), layer.epsilon);
    let mut statistics = None;
    let mut forward = |x: Tensor<D>, parameters: [Tensor<1>; 2], residual: Option<Tensor<D>>| {
        let has_residual = residual.is_some();
        let [gamma, beta] = parameters.clone();
        let trained = batch_norm::train(x.clone(), gamma, beta, epsilon, After { residual, rectified });
        let of_batch = [trained.mean, trained.variance];
        statistics = Some(of_batch.clone());
        let output = (rectified && has_residual).then(|| trained.output.clone());
        (trained.output, Saved { x, statistics: of_batch, parameters, epsilon, output, has_residual, rectified })
    };
    let normalised = match residual {
        Some(residual) => custom_gradient(
            (x, gamma, beta, residual),
            |(x, gamma, beta, residual)| forward(x, [gamma, beta], Some(residual)),
            |saved, upstream, _wanted| {
                let (of_x, of_gamma, of_beta, of_residual) = batch_norm::backward(saved, upstream);
                (Some(of_x), Some(of_gamma), Some(of_beta), of_residual)
            },
        ),
        None => custom_gradient(
            (x, gamma, beta),
            |(x, gamma, beta)| forward(x, [gamma, beta], None),
            |saved, upstream, _wanted| {
                let (of_x, of_gamma, of_beta, _) = batch_norm::backward(saved, upstream);
                (Some(of_x), Some(of_gamma), Some(of_beta))
            },
        ),
    };
    if let Some([mean, variance]) = statistics {
        for (running, of_batch) in [(&layer.running_mean, mean), (&layer.running_var, variance)] {
            let before = running.value_sync().inner() * (1.0 - layer.momentum);
            let moved = before + of_batch * layer.momentum;
            running.update(moved.autodiff());
        }
    }
    normalised
}
