//! Scaled dot-product attention over a joint projection to queries, keys and values.

use burn::tensor::ops::AttentionModuleOptions;
use kiln_autodiff::Numbers;

/// `softmax(Q K^T / sqrt(head_dim)) V` for every head, heads side by side.
///
/// # Shapes
/// - `qkv`: `[batch_size, length, 3 * dimension]`: queries, keys, values, each with its heads side by side
/// - output: `[batch_size, length, dimension]`
pub(crate) fn self_attention<N: Numbers>(numbers: &N, qkv: N::T<3>, num_heads: usize, is_causal: bool) -> N::T<3> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::softmax;
    use burn::tensor::{Device, Distribution, Tensor, Tolerance};
    use kiln_autodiff::Values;

    #[test]
    fn one_causal_head_is_its_formula() {
        let device = Device::flex();
        let qkv = Tensor::<3>::random([1, 4, 6], Distribution::Default, &device);
        let part = |index: usize| qkv.clone().narrow(2, 2 * index, 2);
        let scores = part(0).matmul(part(1).transpose()) / 2f64.sqrt();
        let future = Tensor::<2>::ones([4, 4], &device).triu(1).mul_scalar(-1e9).unsqueeze();
        let expected = softmax(scores + future, 2).matmul(part(2));
        self_attention(&Values, qkv, 1, true)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }

    #[test]
    fn heads_lie_side_by_side() {
        let device = Device::flex();
        let qkv = Tensor::<3>::random([2, 3, 12], Distribution::Default, &device);
        // Queries, keys and values of four numbers each; the first head has the first two of each.
        let head = |head: usize| {
            let part = |part: usize| qkv.clone().narrow(2, 4 * part + 2 * head, 2);
            let scores = part(0).matmul(part(1).transpose()) / 2f64.sqrt();
            softmax(scores, 2).matmul(part(2))
        };
        let expected = Tensor::cat(vec![head(0), head(1)], 2);
        self_attention(&Values, qkv.clone(), 2, false)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }
}
