//! Maximum pooling: linear once the largest entries are known.

use burn::tensor::module::{max_pool1d_with_indices, max_pool2d_with_indices};
use burn::tensor::ops::MaxPoolOptions;

use super::Numbers;

pub(super) fn max_pool1d<N: Numbers>(numbers: &N, x: N::T<3>, options: MaxPoolOptions<1>) -> N::T<3> {
    numbers.value_map(x, |x| {
        let (largest, indices) = max_pool1d_with_indices(x, options);
        (largest, move |tangent| tangent.gather(2, indices.clone()))
    })
}

pub(super) fn max_pool2d<N: Numbers>(numbers: &N, x: N::T<4>, options: MaxPoolOptions<2>) -> N::T<4> {
    numbers.value_map(x, |x| {
        let [batch_size, channels, height, width] = x.dims();
        let (largest, indices) = max_pool2d_with_indices(x, options);
        let dims = largest.dims();
        // The indices count the pixels of a map row by row.
        let indices = indices.reshape([batch_size, channels, dims[2] * dims[3]]);
        (largest, move |tangent| {
            let pixels = tangent.reshape([batch_size, channels, height * width]);
            pixels.gather(2, indices.clone()).reshape(dims)
        })
    })
}
