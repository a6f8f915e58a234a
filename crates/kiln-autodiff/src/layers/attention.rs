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

/// The joint projection taken apart into heads, and their outputs side by side.
pub(super) fn self_attention<N: Numbers>(numbers: &N, qkv: N::T<3>, num_heads: usize, is_causal: bool) -> N::T<3> {
    let [batch_size, length, joint] = numbers.dims(&qkv);
    let dimension = joint / 3;
    let parts: [N::T<4>; 3] = std::array::from_fn(|part| {
        let part = numbers.narrow(qkv.clone(), 2, part * dimension, dimension);
        let heads = numbers.reshape(part, [batch_size, length, num_heads, dimension / num_heads]);
        numbers.swap_dims(heads, 1, 2)
    });
    let [query, key, value] = parts;
    let options = AttentionModuleOptions { is_causal, ..Default::default() };
    let heads = numbers.attention(query, key, value, options);
    numbers.reshape(numbers.swap_dims(heads, 1, 2), [batch_size, length, dimension])
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Values;
    use burn::tensor::activation::softmax;
    use burn::tensor::{DType, Device, Tensor, Tolerance};
    use kiln_check::random::uniform;

    #[test]
    fn one_causal_head_is_its_formula() {
        let device = Device::flex();
        let qkv = uniform([1, 4, 6], DType::F32);
        let part = |index: usize| qkv.clone().narrow(2, 2 * index, 2);
        let scores = part(0).matmul(part(1).transpose()) / 2f64.sqrt();
        let future = Tensor::<2>::ones([4, 4], &device).triu(1).mul_scalar(-1e9).unsqueeze();
        let expected = softmax(scores + future, 2).matmul(part(2));
        Values
            .self_attention(qkv, 1, true)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }

    #[test]
    fn heads_lie_side_by_side() {
        let qkv = uniform([2, 3, 12], DType::F32);
        // Queries, keys and values of four numbers each; the first head has the first two of each.
        let head = |head: usize| {
            let part = |part: usize| qkv.clone().narrow(2, 4 * part + 2 * head, 2);
            let scores = part(0).matmul(part(1).transpose()) / 2f64.sqrt();
            softmax(scores, 2).matmul(part(2))
        };
        let expected = Tensor::cat(vec![head(0), head(1)], 2);
        Values
            .self_attention(qkv.clone(), 2, false)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }
}
