//! Scaled dot-product attention.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Device, Int, Tensor};

use super::Numbers;

pub(super) fn attention<N: Numbers>(
    numbers: &N,
    query: N::T<4>,
    key: N::T<4>,
    value: N::T<4>,
    options: AttentionModuleOptions,
) -> N::T<4> {
    let [.., head_dim] = numbers.dims(&query);
    let scale = options.scale.unwrap_or_else(|| 1.0 / (head_dim as f64).sqrt());
    let mut scores = numbers.bilinear(numbers.scale(query, scale), key, |query, key| query.matmul(key.swap_dims(2, 3)));
    if let Some(softcap) = options.softcap {
        scores = numbers.scale(numbers.tanh(numbers.scale(scores, 1.0 / softcap)), softcap);
    }
    if options.is_causal {
        scores = without_future(numbers, scores);
    }
    numbers.matmul(numbers.softmax(scores, 3), value)
}

/// Minus infinity, without derivatives, where a key lies after its query; the last ones of both are aligned.
fn without_future<N: Numbers>(numbers: &N, scores: N::T<4>) -> N::T<4> {
    numbers.value_map(scores, |scores| {
        let dims = scores.dims();
        let future = future(dims[2], dims[3], &scores.device().inner()).unsqueeze::<4>().expand(dims);
        let masked = scores.mask_fill(future.clone(), f32::NEG_INFINITY);
        (masked, move |tangent: Tensor<4>| tangent.mask_fill(future.clone(), 0.0))
    })
}

/// `[queries, keys]`: whether the key lies after the query.
fn future(queries: usize, keys: usize, device: &Device) -> Tensor<2, Bool> {
    let offset = keys as i64 - queries as i64;
    let last_visible = Tensor::<1, Int>::arange(offset..offset + queries as i64, device).unsqueeze_dim::<2>(1);
    let key = Tensor::<1, Int>::arange(0..keys as i64, device).unsqueeze_dim::<2>(0);
    key.expand([queries, keys]).greater(last_visible.expand([queries, keys]))
}
