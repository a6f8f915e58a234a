//! The operations and layers that networks are made of, over any kind of number.

mod affine;
mod attention;
mod dropout;
pub(crate) mod kernels;
pub mod loss;
mod normalisation;
mod normalised;
mod pooling;
mod softmax;
mod standardised;
mod values;

use burn::module::Param;
use burn::nn::conv::{Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d};
use burn::nn::norm::Normalization;
use burn::nn::{BatchNorm, Dropout, Embedding, GroupNorm, InstanceNorm, LayerNorm, Linear, RmsNorm};
use burn::tensor::ops::{AttentionModuleOptions, AvgPoolOptions, MaxPoolOptions, PadMode};
use burn::tensor::{Int, Slice, Tensor, module};

pub(crate) use affine::{padding_of_conv1d, padding_of_conv2d};
pub use dropout::DropoutStream;

use crate::numbers::{Algebra, Arithmetic, Forward, Function};

/// Numbers that a network's forward pass is written over: [`Values`](crate::Values), [`Duals`](crate::Duals),
/// [`Jets`](crate::Jets), [`Laplacians`](crate::Laplacians) or [`Hessians`](crate::Hessians).
///
/// Operations are named as Burn's and take the same shapes. Layers take their parameters through
/// [`Arithmetic::parameter`], so that parameters carry derivatives where these numbers give them any.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Duals, Numbers, Values};
///
/// fn forward<N: Numbers>(layer: &Linear, numbers: &N, inputs: N::T<2>) -> N::T<2> {
///     numbers.tanh(numbers.linear(layer, inputs))
/// }
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(3, 2).init(&device);
/// let inputs = Tensor::<2>::ones([5, 3], &device);
/// let outputs = forward(&layer, &Values, inputs.clone());
///
/// let duals = Duals::new();
/// let moved = forward(&layer, &duals, duals.variable(inputs.clone(), inputs));
/// assert_eq!(moved.value().into_data(), outputs.into_data());
/// assert_eq!(duals.tangent(&moved).dims(), [5, 2]);
/// ```
pub trait Numbers: Arithmetic {
    /// Burn's linear layer.
    fn linear<const D: usize>(&self, layer: &Linear, x: Self::T<D>) -> Self::T<D> {
        let bias = layer.bias.as_ref().map(|bias| self.parameter(bias));
        self.project(x, self.parameter(&layer.weight), bias)
    }

    /// `x W + b` for a weight `[inputs, outputs]` and a bias `[outputs]`.
    fn project<const D: usize>(&self, x: Self::T<D>, weight: Self::T<2>, bias: Option<Self::T<1>>) -> Self::T<D> {
        if D == 1 {
            // One row: the leading axis of a vector is not one of rows.
            let [inputs, outputs] = self.dims(&weight);
            let output = self.project::<2>(self.reshape(x, [1, inputs]), weight, bias);
            return self.reshape(output, [outputs; D]);
        }
        self.affine(x, weight, bias, D - 1, kernels::linear)
    }

    /// `f(x W + b)` of Burn's linear layer.
    fn linear_activated<const D: usize>(&self, function: &Function, layer: &Linear, x: Self::T<D>) -> Self::T<D> {
        self.apply(function, self.linear(layer, x))
    }

    /// `f(x W + b)`: what [`Numbers::project`] and [`Arithmetic::apply`] give one after the other.
    fn project_activated<const D: usize>(
        &self,
        function: &Function,
        x: Self::T<D>,
        weight: Self::T<2>,
        bias: Option<Self::T<1>>,
    ) -> Self::T<D> {
        self.apply(function, self.project(x, weight, bias))
    }

    /// Burn's convolution of sequences.
    fn conv1d(&self, layer: &Conv1d, x: Self::T<3>) -> Self::T<3> {
        affine::conv1d(self, layer, x)
    }

    /// Burn's convolution of images.
    fn conv2d(&self, layer: &Conv2d, x: Self::T<4>) -> Self::T<4> {
        affine::conv2d(self, layer, x)
    }

    /// `f(conv2d(x))`: one operation where `f` is `max(0, .)` and the numbers are plain values.
    fn activated_conv2d(&self, layer: &Conv2d, x: Self::T<4>, function: Function) -> Self::T<4> {
        self.apply(&function, self.conv2d(layer, x))
    }

    /// `f(batch_norm(conv2d(x)) + residual)`, what residual networks are made of; without a function or a residual, without
    /// that step. Plain values take fewer passes over the maps for it, and where the running statistics hold and nothing is
    /// differentiated the normalisation becomes part of the convolution's weights.
    fn normalised_conv2d(
        &self,
        layer: &Conv2d,
        norm: &BatchNorm,
        x: Self::T<4>,
        residual: Option<Self::T<4>>,
        function: Option<Function>,
    ) -> Self::T<4> {
        self.normalised(norm, self.conv2d(layer, x), residual, function)
    }

    /// `f(batch_norm(x) + residual)`, without a function or a residual without that step.
    fn normalised<const D: usize>(
        &self,
        norm: &BatchNorm,
        x: Self::T<D>,
        residual: Option<Self::T<D>>,
        function: Option<Function>,
    ) -> Self::T<D> {
        let normalised = self.batch_norm(norm, x);
        let moved = match residual {
            Some(residual) => self.add(normalised, residual),
            None => normalised,
        };
        match function {
            Some(function) => self.apply(&function, moved),
            None => moved,
        }
    }

    /// Burn's transposed convolution of sequences.
    fn conv_transpose1d(&self, layer: &ConvTranspose1d, x: Self::T<3>) -> Self::T<3> {
        affine::conv_transpose1d(self, layer, x)
    }

    /// Burn's transposed convolution of images.
    fn conv_transpose2d(&self, layer: &ConvTranspose2d, x: Self::T<4>) -> Self::T<4> {
        affine::conv_transpose2d(self, layer, x)
    }

    /// Maximum pooling of sequences. Derivatives are those of the entry that is largest in value.
    fn max_pool1d(&self, x: Self::T<3>, options: MaxPoolOptions<1>) -> Self::T<3> {
        pooling::max_pool1d(self, x, options)
    }

    /// Maximum pooling of images. Derivatives are those of the pixel that is largest in value.
    fn max_pool2d(&self, x: Self::T<4>, options: MaxPoolOptions<2>) -> Self::T<4> {
        pooling::max_pool2d(self, x, options)
    }

    /// Average pooling of sequences.
    fn avg_pool1d(&self, x: Self::T<3>, options: AvgPoolOptions<1>) -> Self::T<3> {
        self.row_map(x, |x| module::avg_pool1d(x, options.clone()))
    }

    /// Average pooling of images.
    fn avg_pool2d(&self, x: Self::T<4>, options: AvgPoolOptions<2>) -> Self::T<4> {
        self.row_map(x, |x| module::avg_pool2d(x, options.clone()))
    }

    /// Average pooling of sequences to a length.
    fn adaptive_avg_pool1d(&self, x: Self::T<3>, length: usize) -> Self::T<3> {
        self.row_map(x, |x| module::adaptive_avg_pool1d(x, length))
    }

    /// Average pooling of images to a size.
    fn adaptive_avg_pool2d(&self, x: Self::T<4>, size: [usize; 2]) -> Self::T<4> {
        self.row_map(x, |x| module::adaptive_avg_pool2d(x, size))
    }

    /// Burn's batch normalisation, in the mode that Burn would take: with the statistics of the batch where the layer's
    /// training flag is set and the tensors live on an autodiff device, else with the running ones.
    ///
    /// Only plain values move the running statistics.
    fn batch_norm<const D: usize>(&self, layer: &BatchNorm, x: Self::T<D>) -> Self::T<D> {
        normalisation::batch_norm(self, layer, x)
    }

    /// Burn's layer normalisation.
    fn layer_norm<const D: usize>(&self, layer: &LayerNorm, x: Self::T<D>) -> Self::T<D> {
        normalisation::layer_norm(self, layer, x)
    }

    /// Burn's group normalisation.
    fn group_norm<const D: usize>(&self, layer: &GroupNorm, x: Self::T<D>) -> Self::T<D> {
        normalisation::group_norm(self, layer, x)
    }

    /// Burn's instance normalisation.
    fn instance_norm<const D: usize>(&self, layer: &InstanceNorm, x: Self::T<D>) -> Self::T<D> {
        normalisation::instance_norm(self, layer, x)
    }

    /// Burn's RMS normalisation. Plain values take the root in single precision, as Burn does, all others in their own.
    fn rms_norm<const D: usize>(&self, layer: &RmsNorm, x: Self::T<D>) -> Self::T<D> {
        normalisation::rms_norm(self, layer, x)
    }

    /// `x gamma + beta` along `axis`, for vectors of that axis's length: what follows a normalisation.
    fn scale_and_shift<const D: usize>(
        &self,
        x: Self::T<D>,
        gamma: Option<&Param<Tensor<1>>>,
        beta: Option<&Param<Tensor<1>>>,
        axis: usize,
    ) -> Self::T<D> {
        normalisation::scale_and_shift(self, x, gamma, beta, axis)
    }

    /// Any of Burn's normalisations.
    ///
    /// # Panics
    /// For numbers with derivatives, where Burn has added a kind of normalisation that is not among those above.
    fn normalisation<const D: usize>(&self, layer: &Normalization, x: Self::T<D>) -> Self::T<D> {
        match layer {
            Normalization::Identity(_) => x,
            Normalization::Batch(norm) => self.batch_norm(norm, x),
            Normalization::Group(norm) => self.group_norm(norm, x),
            Normalization::Instance(norm) => self.instance_norm(norm, x),
            Normalization::Layer(norm) => self.layer_norm(norm, x),
            Normalization::Rms(norm) => self.rms_norm(norm, x),
            other => panic!("this normalisation has no derivatives here yet: {other:?}"),
        }
    }

    /// Burn's dropout, with the masks of a [`DropoutStream`] where there is one. Only plain values may drop anything.
    ///
    /// # Panics
    /// For numbers with derivatives, where the layer would drop values: every evaluation would draw another mask, and
    /// the derivatives would be those of no function.
    fn dropout<const D: usize>(&self, layer: &Dropout, x: Self::T<D>) -> Self::T<D> {
        assert!(
            !dropout::drops(layer, &self.value(&x)),
            "dropout of probability {} draws another mask at every evaluation, so that it has no derivatives: use the \
             module's `valid()`, or a probability of 0",
            layer.prob
        );
        x
    }

    /// Burn's embedding: row `ids[i]` of the table in place `i`.
    fn embedding(&self, layer: &Embedding, ids: Tensor<2, Int>) -> Self::T<3> {
        let table = self.parameter(&layer.weight);
        self.linear_map(table, |table| module::embedding(table, ids.clone()))
    }

    /// `softmax(Q K^T scale) V` of every head.
    ///
    /// # Shapes
    /// - `query`: `[batch_size, num_heads, length, head_dim]`; `key` and `value` may have another length
    /// - output: `[batch_size, num_heads, length, head_dim]`
    fn attention(
        &self,
        query: Self::T<4>,
        key: Self::T<4>,
        value: Self::T<4>,
        options: AttentionModuleOptions,
    ) -> Self::T<4> {
        attention::attention(self, query, key, value, options)
    }

    /// [`Numbers::attention`] of every position to all, or with `is_causal` to itself and those before it, from a joint
    /// projection: queries, keys and values side by side, each with its heads side by side.
    ///
    /// # Shapes
    /// - `qkv`: `[batch_size, length, 3 * num_heads * head_dim]`
    /// - output: `[batch_size, length, num_heads * head_dim]`
    fn self_attention(&self, qkv: Self::T<3>, num_heads: usize, is_causal: bool) -> Self::T<3> {
        attention::self_attention(self, qkv, num_heads, is_causal)
    }

    /// `exp(x_i) / sum_j exp(x_j)` along `dim`.
    fn softmax<const D: usize>(&self, x: Self::T<D>, dim: usize) -> Self::T<D> {
        softmax::softmax(self, x, dim)
    }

    /// `x_i - log sum_j exp(x_j)` along `dim`.
    fn log_softmax<const D: usize>(&self, x: Self::T<D>, dim: usize) -> Self::T<D> {
        softmax::log_softmax(self, x, dim)
    }

    /// Product of matrices, or of batches of matrices of equal size.
    fn matmul<const D: usize>(&self, left: Self::T<D>, right: Self::T<D>) -> Self::T<D> {
        self.bilinear(left, right, Tensor::matmul)
    }

    /// `max(0, x)`
    fn relu<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Relu, x)
    }

    /// `x` for `x >= 0`, else `slope x`
    fn leaky_relu<const D: usize>(&self, x: Self::T<D>, slope: f64) -> Self::T<D> {
        self.apply(&Function::LeakyRelu(slope), x)
    }

    /// `x Phi(x)` with the normal distribution function `Phi`
    fn gelu<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Gelu, x)
    }

    /// `x sigmoid(x)`
    fn silu<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Silu, x)
    }

    /// `tanh(x)`
    fn tanh<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Tanh, x)
    }

    /// `1 / (1 + exp(-x))`
    fn sigmoid<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Sigmoid, x)
    }

    /// `log(1 + exp(x))`
    fn softplus<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Softplus, x)
    }

    /// `exp(x)`
    fn exp<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Exp, x)
    }

    /// `log(x)`
    fn log<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Log, x)
    }

    /// `sqrt(x)`
    fn sqrt<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Sqrt, x)
    }

    /// `x^2`
    fn square<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Square, x)
    }

    /// `x^p`
    fn powf<const D: usize>(&self, x: Self::T<D>, power: f64) -> Self::T<D> {
        self.apply(&Function::Power(power), x)
    }

    /// `sin(x)`
    fn sin<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Sin, x)
    }

    /// `cos(x)`
    fn cos<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.apply(&Function::Cos, x)
    }

    /// `-x`
    fn neg<const D: usize>(&self, x: Self::T<D>) -> Self::T<D> {
        self.row_map(x, Tensor::neg)
    }

    /// The axes `start..=end` as one.
    fn flatten<const D: usize, const E: usize>(&self, x: Self::T<D>, start: usize, end: usize) -> Self::T<E> {
        let dims = self.dims(&x);
        let mut flat = [0; E];
        flat[..start].copy_from_slice(&dims[..start]);
        flat[start] = dims[start..=end].iter().product();
        flat[start + 1..].copy_from_slice(&dims[end + 1..]);
        self.reshape(x, flat)
    }

    /// Without the axis `dim`, whose length is 1.
    fn squeeze_dim<const D: usize, const E: usize>(&self, x: Self::T<D>, dim: usize) -> Self::T<E> {
        let dims = self.dims(&x);
        assert_eq!(dims[dim], 1, "axis {dim} of shape {dims:?} cannot be squeezed");
        let mut squeezed = [0; E];
        squeezed[..dim].copy_from_slice(&dims[..dim]);
        squeezed[dim..].copy_from_slice(&dims[dim + 1..]);
        self.reshape(x, squeezed)
    }

    /// With a new axis of length 1 before axis `dim`.
    fn unsqueeze_dim<const D: usize, const E: usize>(&self, x: Self::T<D>, dim: usize) -> Self::T<E> {
        let dims = self.dims(&x);
        let mut lifted = [1; E];
        lifted[..dim].copy_from_slice(&dims[..dim]);
        lifted[dim + 1..].copy_from_slice(&dims[dim..]);
        self.reshape(x, lifted)
    }

    /// Two axes exchanged.
    fn swap_dims<const D: usize>(&self, x: Self::T<D>, first: usize, second: usize) -> Self::T<D> {
        match first.min(second) {
            0 => self.linear_map(x, |x| x.swap_dims(first, second)),
            _ => self.row_map(x, |x| x.swap_dims(first, second)),
        }
    }

    /// The axes in another order.
    fn permute<const D: usize>(&self, x: Self::T<D>, axes: [usize; D]) -> Self::T<D> {
        let axes = axes.map(|axis| axis as isize);
        match axes[0] {
            0 => self.row_map(x, |x| x.permute(axes)),
            _ => self.linear_map(x, |x| x.permute(axes)),
        }
    }

    /// `length` entries of axis `dim` from `start`.
    fn narrow<const D: usize>(&self, x: Self::T<D>, dim: usize, start: usize, length: usize) -> Self::T<D> {
        match dim {
            0 => self.linear_map(x, |x| x.narrow(dim, start, length)),
            _ => self.row_map(x, |x| x.narrow(dim, start, length)),
        }
    }

    /// Ranges of every axis, with steps.
    fn slice<const D: usize>(&self, x: Self::T<D>, slices: [Slice; D]) -> Self::T<D> {
        self.linear_map(x, |x| x.slice(slices))
    }

    /// The entries of axis `dim` at `indices`.
    fn select<const D: usize>(&self, x: Self::T<D>, dim: usize, indices: Tensor<1, Int>) -> Self::T<D> {
        match dim {
            0 => self.linear_map(x, |x| x.select(dim, indices.clone())),
            _ => self.row_map(x, |x| x.select(dim, indices.clone())),
        }
    }

    /// Entry `indices[..]` along axis `dim` in every place.
    fn gather<const D: usize>(&self, x: Self::T<D>, dim: usize, indices: Tensor<D, Int>) -> Self::T<D> {
        self.linear_map(x, |x| x.gather(dim, indices.clone()))
    }

    /// With `before` and `after` zeros on each axis.
    fn pad<const D: usize>(&self, x: Self::T<D>, padding: [(usize, usize); D]) -> Self::T<D> {
        self.linear_map(x, |x| x.pad(padding, PadMode::Constant(0.0)))
    }
}

impl<A: Algebra> Numbers for Forward<A> {}
