//! Softmax and its logarithm, in closed form for first derivatives.

use burn::tensor::{Tensor, activation};

use super::Numbers;
use crate::custom_gradient;

/// Softmax; its first derivatives are `y (t - sum_j y_j t_j)`.
pub(super) fn softmax<N: Numbers, const D: usize>(numbers: &N, x: N::T<D>, dim: usize) -> N::T<D> {
    if numbers.order() > 1 {
        let powers = numbers.exp(without_largest(numbers, x, dim));
        let sum = numbers.sum_dim(powers.clone(), dim);
        return numbers.div(powers, sum);
    }
    numbers.value_map(x, |x| {
        let y = activation::softmax(x.clone().inner(), dim);
        let saved = y.clone();
        let value = custom_gradient(
            (x.clone(),),
            |_| (saved.clone(), saved),
            move |y, upstream, _wanted| (Some(moved(&y, upstream, dim)),),
        );
        (value, move |tangent| softmax_slope(x.clone(), y.clone(), tangent, dim))
    })
}

/// `y (t - sum_j y_j t_j)` for `y = softmax(x)`, symmetric in its use of `t`.
fn moved<const D: usize>(y: &Tensor<D>, tangent: Tensor<D>, dim: usize) -> Tensor<D> {
    let weighted = y.clone() * tangent;
    let sum = weighted.clone().sum_dim(dim);
    weighted - y.clone() * sum
}

/// [`moved`] as one node of the graph: for an upstream gradient `g`, the gradient with respect to `x` is that map of
/// `g t - g (y't) - t (y'g)`.
fn softmax_slope<const D: usize>(x: Tensor<D>, y: Tensor<D>, tangent: Tensor<D>, dim: usize) -> Tensor<D> {
    custom_gradient(
        (x, tangent),
        |(_, tangent)| (moved(&y, tangent.clone(), dim), (y, tangent)),
        move |(y, tangent), upstream, [point_wanted, tangent_wanted]| {
            let by_point = || {
                let mean = |t: &Tensor<D>| (y.clone() * t.clone()).sum_dim(dim);
                let (a, b) = (mean(&upstream), mean(&tangent));
                let bent = upstream.clone() * (tangent.clone() - b) - tangent.clone() * a;
                moved(&y, bent, dim)
            };
            (point_wanted.then(by_point), tangent_wanted.then(|| moved(&y, upstream.clone(), dim)))
        },
    )
}

/// Logarithm of the softmax; its first derivatives are `t - sum_j exp(y_j) t_j`.
pub(super) fn log_softmax<N: Numbers, const D: usize>(numbers: &N, x: N::T<D>, dim: usize) -> N::T<D> {
    if numbers.order() > 1 {
        let x = without_largest(numbers, x, dim);
        let sum = numbers.sum_dim(numbers.exp(x.clone()), dim);
        return numbers.sub(x, numbers.log(sum));
    }
    numbers.value_map(x, |x| {
        let y = activation::log_softmax(x.clone().inner(), dim);
        let probabilities = y.clone().exp();
        let saved = probabilities.clone();
        let value = custom_gradient(
            (x.clone(),),
            |_| (y, saved),
            move |probabilities, upstream, _wanted| (Some(transposed(&probabilities, upstream, dim)),),
        );
        (value, move |tangent| log_softmax_slope(x.clone(), probabilities.clone(), tangent, dim))
    })
}

/// `g - p sum_j g_j`, the transposed derivative of the logarithm of the softmax.
fn transposed<const D: usize>(probabilities: &Tensor<D>, upstream: Tensor<D>, dim: usize) -> Tensor<D> {
    let sum = upstream.clone().sum_dim(dim);
    upstream - probabilities.clone() * sum
}

/// `z = t - p't` as one node of the graph: for an upstream gradient `g`, the gradient with respect to `x` is
/// `-p z sum_j g_j`.
fn log_softmax_slope<const D: usize>(
    x: Tensor<D>,
    probabilities: Tensor<D>,
    tangent: Tensor<D>,
    dim: usize,
) -> Tensor<D> {
    custom_gradient(
        (x, tangent),
        |(_, tangent)| {
            let mean = (probabilities.clone() * tangent.clone()).sum_dim(dim);
            let slope = tangent - mean;
            (slope.clone(), (probabilities, slope))
        },
        move |(probabilities, slope), upstream, [point_wanted, tangent_wanted]| {
            let by_point = || -(probabilities.clone() * slope * upstream.clone().sum_dim(dim));
            (point_wanted.then(by_point), tangent_wanted.then(|| transposed(&probabilities, upstream.clone(), dim)))
        },
    )
}

/// `x` less its largest entry along `dim`, which changes neither function but keeps the exponentials in range.
fn without_largest<N: Numbers, const D: usize>(numbers: &N, x: N::T<D>, dim: usize) -> N::T<D> {
    let largest = numbers.value(&x).inner().max_dim(dim);
    numbers.sub(x, numbers.constant(largest))
}
