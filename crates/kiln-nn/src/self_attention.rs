//! Scaled dot-product attention over a joint projection to queries, keys and values.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Tensor, module::attention};

/// `softmax(Q K^T / sqrt(head_dim)) V` for every head, heads side by side.
///
/// # Shapes
/// - `qkv`: `[batch_size, length, 3 * dimension]`: queries, keys, values, each with its heads side by side
/// - output: `[batch_size, length, dimension]`
pub(crate) fn self_attention(qkv: Tensor<3>, num_heads: usize, is_causal: bool) -> Tensor<3> {
    let [batch_size, length, joint] = qkv.dims();
    let dimension = joint / 3;
    let parts: [Tensor<4>; 3] = std::array::from_fn(|part| {
        qkv.clone()
            .narrow(2, part * dimension, dimension)
            .reshape([batch_size, length, num_heads, dimension / num_heads])
            .swap_dims(1, 2)
    });
    let [query, key, value] = parts;
    let options = AttentionModuleOptions { is_causal, ..Default::default() };
    attention(query, key, value, None, None, options).swap_dims(1, 2).reshape([batch_size, length, dimension])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::softmax;
    use burn::tensor::{Device, Distribution, Tolerance};

    #[test]
    fn one_causal_head_is_its_formula() {
        let device = Device::flex();
        let qkv = Tensor::<3>::random([1, 4, 6], Distribution::Default, &device);
        let part = |index: usize| qkv.clone().narrow(2, 2 * index, 2);
        let scores = part(0).matmul(part(1).transpose()) / 2f64.sqrt();
        let future = Tensor::<2>::ones([4, 4], &device).triu(1).mul_scalar(-1e9).unsqueeze();
        let expected = softmax(scores + future, 2).matmul(part(2));
        self_attention(qkv, 1, true)
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
        self_attention(qkv.clone(), 2, false)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    }
}
