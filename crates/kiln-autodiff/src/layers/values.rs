//! Layers of plain values: Burn's own forward passes, but for those that have kernels of ours.

use burn::module::Param;
use burn::nn::conv::{Conv1d, ConvTranspose1d, ConvTranspose2d};
use burn::nn::norm::Normalization;
use burn::nn::{BatchNorm, Dropout, Embedding, GroupNorm, InstanceNorm, LayerNorm, Linear, RmsNorm};
use burn::tensor::ops::{AttentionModuleOptions, MaxPoolOptions};
use burn::tensor::{Int, Tensor, module};

use kiln_kernels::layer_norm::Centre;

use super::{Numbers, attention, dropout, kernels, normalisation};
use crate::Values;
use crate::numbers::{Arithmetic, Function};

impl Numbers for Values {
    fn linear_activated<const D: usize>(&self, function: &Function, layer: &Linear, x: Tensor<D>) -> Tensor<D> {
        self.project_activated(function, x, layer.weight.val(), layer.bias.as_ref().map(Param::val))
    }

    fn project_activated<const D: usize>(
        &self,
        function: &Function,
        x: Tensor<D>,
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
    ) -> Tensor<D> {
        let by_kernel = |kernel| kernels::linear_activated(kernel, &x, &weight, bias.as_ref());
        function.kernel().and_then(by_kernel).unwrap_or_else(|| self.apply(function, self.project(x, weight, bias)))
    }

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
        let (gamma, beta) = (layer.gamma.val(), layer.beta.as_ref().map(Param::val));
        let epsilon = normalisation::epsilon_of(layer);
        kernels::layer_norm(&x, gamma, beta, epsilon, Centre::Mean).unwrap_or_else(|| layer.forward(x))
    }

    fn group_norm<const D: usize>(&self, layer: &GroupNorm, x: Tensor<D>) -> Tensor<D> {
        layer.forward(x)
    }

    fn instance_norm<const D: usize>(&self, layer: &InstanceNorm, x: Tensor<D>) -> Tensor<D> {
        layer.forward(x)
    }

    fn rms_norm<const D: usize>(&self, layer: &RmsNorm, x: Tensor<D>) -> Tensor<D> {
        kernels::layer_norm(&x, layer.gamma.val(), None, layer.epsilon, Centre::Zero)
            .unwrap_or_else(|| layer.forward(x))
    }

    fn normalisation<const D: usize>(&self, layer: &Normalization, x: Tensor<D>) -> Tensor<D> {
        match layer {
            Normalization::Layer(norm) => self.layer_norm(norm, x),
            Normalization::Rms(norm) => self.rms_norm(norm, x),
            other => other.forward(x),
        }
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
        kernels::attention(query, key, value, options)
    }

    fn self_attention(&self, qkv: Tensor<3>, num_heads: usize, is_causal: bool) -> Tensor<3> {
        kernels::self_attention(&qkv, num_heads, is_causal)
            .unwrap_or_else(|| attention::self_attention(self, qkv, num_heads, is_causal))
    }

    fn softmax<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        kernels::softmax(x, dim)
    }

    fn log_softmax<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        kernels::log_softmax(x, dim)
    }
}
