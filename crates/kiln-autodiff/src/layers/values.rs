//! Layers of plain values: Burn's own forward passes, but for those that have kernels of ours.

use burn::nn::conv::{Conv1d, ConvTranspose1d, ConvTranspose2d};
use burn::nn::norm::Normalization;
use burn::nn::{BatchNorm, Dropout, Embedding, GroupNorm, InstanceNorm, LayerNorm, RmsNorm};
use burn::tensor::ops::{AttentionModuleOptions, MaxPoolOptions};
use burn::tensor::{Int, Tensor, activation, module};

use super::{Numbers, dropout};
use crate::Values;

impl Numbers for Values {
    fn conv1d(&self, layer: &Conv1d, x: Tensor<3>) -> Tensor<3> {
        layer.forward(x)
    }

    fn conv_transpose1d(&self, layer: &ConvTranspose1d, x: Tensor<3>) -> Tensor<3> {
        layer.forward(x)
    }

    fn conv_transpose2d(&self, layer: &ConvTranspose2d, x: Tensor<4>) -> Tensor<4> {
        layer.forward(x)
    }

    fn max_pool1d(&self, x: Tensor<3>, options: MaxPoolOptions<1>) -> Tensor<3> {
        module::max_pool1d(x, options)
    }

    fn max_pool2d(&self, x: Tensor<4>, options: MaxPoolOptions<2>) -> Tensor<4> {
        module::max_pool2d(x, options)
    }

    fn batch_norm<const D: usize>(&self, layer: &BatchNorm, x: Tensor<D>) -> Tensor<D> {
        layer.forward(x)
    }

    fn layer_norm<const D: usize>(&self, layer: &LayerNorm, x: Tensor<D>) -> Tensor<D> {
        layer.forward(x)
    }

    fn group_norm<const D: usize>(&self, layer: &GroupNorm, x: Tensor<D>) -> Tensor<D> {
        layer.forward(x)
    }

    fn instance_norm<const D: usize>(&self, layer: &InstanceNorm, x: Tensor<D>) -> Tensor<D> {
        layer.forward(x)
    }

    fn rms_norm<const D: usize>(&self, layer: &RmsNorm, x: Tensor<D>) -> Tensor<D> {
        layer.forward(x)
    }

    fn normalisation<const D: usize>(&self, layer: &Normalization, x: Tensor<D>) -> Tensor<D> {
        layer.forward(x)
    }

    fn dropout<const D: usize>(&self, layer: &Dropout, x: Tensor<D>) -> Tensor<D> {
        dropout::forward(layer, x)
    }

    fn embedding(&self, layer: &Embedding, ids: Tensor<2, Int>) -> Tensor<3> {
        layer.forward(ids)
    }

    fn attention(
        &self,
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        options: AttentionModuleOptions,
    ) -> Tensor<4> {
        module::attention(query, key, value, None, None, options)
    }

    fn softmax<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        activation::softmax(x, dim)
    }

    fn log_softmax<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        activation::log_softmax(x, dim)
    }
}
