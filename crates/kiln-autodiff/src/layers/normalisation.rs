//! Normalisations: standardised along some axes, then scaled and shifted.

use burn::module::{Content, DisplaySettings, ModuleDisplay, Param};
use burn::nn::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RmsNorm};
use burn::tensor::Tensor;

use super::Numbers;
use super::standardised::{Centre, Standardised};
use crate::numbers::Function;

pub(super) fn batch_norm<N: Numbers, const D: usize>(numbers: &N, layer: &BatchNorm, x: N::T<D>) -> N::T<D> {
    let dims = numbers.dims(&x);
    let pixels = dims[2..].iter().product();
    let trains = layer.training.is_enabled() && numbers.value(&x).is_autodiff();
    let x = numbers.reshape(x, [dims[0], dims[1], pixels]);
    let y = if trains {
        let standardised = standardise(numbers, x, &[2, 0], layer.epsilon);
        numbers.scale_and_shift(standardised, Some(&layer.gamma), Some(&layer.beta), 1)
    } else {
        with_running_statistics(numbers, layer, x)
    };
    numbers.reshape(y, dims)
}

/// `(x - mean) gamma / sqrt(variance + epsilon) + beta`, one multiplication for each pixel.
fn with_running_statistics<N: Numbers>(numbers: &N, layer: &BatchNorm, x: N::T<3>) -> N::T<3> {
    let (gamma, beta) = (numbers.parameter(&layer.gamma), numbers.parameter(&layer.beta));
    let mean = numbers.constant(layer.running_mean.value().inner());
    let rate = (layer.running_var.value().inner() + layer.epsilon).sqrt().recip();
    let scale = numbers.mul(gamma, numbers.constant(rate));
    let offset = numbers.sub(beta, numbers.mul(mean, scale.clone()));
    multiply_and_add(numbers, x, Some(scale), Some(offset), 1)
}

pub(super) fn layer_norm<N: Numbers, const D: usize>(numbers: &N, layer: &LayerNorm, x: N::T<D>) -> N::T<D> {
    let standardised = standardise(numbers, x, &[D - 1], epsilon_of(layer));
    numbers.scale_and_shift(standardised, Some(&layer.gamma), layer.beta.as_ref(), D - 1)
}

/// The epsilon of a layer normalisation. Its field is private, its display is not, and shows all digits.
pub(super) fn epsilon_of(layer: &LayerNorm) -> f64 {
    layer
        .custom_content(Content::new(DisplaySettings::new()))
        .and_then(|content| content.attributes.into_iter().find(|attribute| attribute.name == "epsilon"))
        .and_then(|attribute| attribute.value.parse().ok())
        .expect("Burn's layer normalisation displays its epsilon")
}

pub(super) fn group_norm<N: Numbers, const D: usize>(numbers: &N, layer: &GroupNorm, x: N::T<D>) -> N::T<D> {
    let y = standardise_groups(numbers, x, layer.num_groups, layer.epsilon);
    numbers.scale_and_shift(y, layer.gamma.as_ref(), layer.beta.as_ref(), 1)
}

pub(super) fn instance_norm<N: Numbers, const D: usize>(numbers: &N, layer: &InstanceNorm, x: N::T<D>) -> N::T<D> {
    let y = standardise_groups(numbers, x, layer.num_channels, layer.epsilon);
    numbers.scale_and_shift(y, layer.gamma.as_ref(), layer.beta.as_ref(), 1)
}

fn standardise_groups<N: Numbers, const D: usize>(numbers: &N, x: N::T<D>, num_groups: usize, epsilon: f64) -> N::T<D> {
    let dims = numbers.dims(&x);
    let size = dims[1..].iter().product::<usize>() / num_groups;
    let groups = numbers.reshape(x, [dims[0], num_groups, size]);
    numbers.reshape(standardise(numbers, groups, &[2], epsilon), dims)
}

pub(super) fn rms_norm<N: Numbers, const D: usize>(numbers: &N, layer: &RmsNorm, x: N::T<D>) -> N::T<D> {
    let last = D - 1;
    let normalised = if numbers.order() > 1 {
        divided_by_root(numbers, x.clone(), numbers.mean_dim(numbers.square(x), last), layer.epsilon)
    } else {
        Standardised::apply(numbers, x, &[last], layer.epsilon, Centre::Zero)
    };
    numbers.scale_and_shift(normalised, Some(&layer.gamma), None, last)
}

/// `y = (x - mean(x)) / sqrt(variance(x) + epsilon)` over `axes`.
fn standardise<N: Numbers, const D: usize>(numbers: &N, x: N::T<D>, axes: &[usize], epsilon: f64) -> N::T<D> {
    if numbers.order() <= 1 {
        return Standardised::apply(numbers, x, axes, epsilon, Centre::Mean);
    }
    let mean = |x: N::T<D>| axes.iter().fold(x, |x, &axis| numbers.mean_dim(x, axis));
    let centred = numbers.sub(x.clone(), mean(x));
    let variance = mean(numbers.square(centred.clone()));
    divided_by_root(numbers, centred, variance, epsilon)
}

/// `x / sqrt(variance + epsilon)`.
fn divided_by_root<N: Numbers, const D: usize>(numbers: &N, x: N::T<D>, variance: N::T<D>, epsilon: f64) -> N::T<D> {
    let rate = numbers.apply(&Function::Power(-0.5), numbers.shift(variance, epsilon));
    numbers.mul(x, rate)
}

pub(super) fn scale_and_shift<N: Numbers, const D: usize>(
    numbers: &N,
    x: N::T<D>,
    gamma: Option<&Param<Tensor<1>>>,
    beta: Option<&Param<Tensor<1>>>,
    axis: usize,
) -> N::T<D> {
    let number = |parameter: Option<&Param<Tensor<1>>>| parameter.map(|parameter| numbers.parameter(parameter));
    multiply_and_add(numbers, x, number(gamma), number(beta), axis)
}

/// `x gamma + beta` along `axis`.
fn multiply_and_add<N: Numbers, const D: usize>(
    numbers: &N,
    x: N::T<D>,
    gamma: Option<N::T<1>>,
    beta: Option<N::T<1>>,
    axis: usize,
) -> N::T<D> {
    let along = |vector: N::T<1>| {
        let mut dims = [1; D];
        dims[axis] = numbers.dims(&vector)[0];
        numbers.reshape(vector, dims)
    };
    let scaled = match gamma {
        Some(gamma) => numbers.mul(x, along(gamma)),
        None => x,
    };
    match beta {
        Some(beta) => numbers.add(scaled, along(beta)),
        None => scaled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LayerNormConfig;
    use burn::tensor::Device;

    #[test]
    fn the_epsilon_of_a_layer_normalisation_is_read_back_exactly() {
        for epsilon in [1e-5, 1e-6, 1e-12, 0.123_456_789_012_345_67] {
            let layer = LayerNormConfig::new(3).with_epsilon(epsilon).init(&Device::flex());
            assert_eq!(epsilon_of(&layer), epsilon);
        }
    }
}
