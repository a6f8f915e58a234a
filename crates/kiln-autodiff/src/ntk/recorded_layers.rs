//! The layers that a [`Recorder`] notes; all others are those of plain values.

use burn::module::{Param, ParamId};
use burn::nn::conv::{Conv1d, Conv2d};
use burn::nn::{BatchNorm, Dropout, Linear};
use burn::tensor::Tensor;
use burn::tensor::ops::{AttentionModuleOptions, MaxPoolOptions};

use super::recorder::{Form, Recorder, Window};
use crate::Numbers;
use crate::layers::{padding_of_conv1d, padding_of_conv2d};
use crate::numbers::Values;

impl Numbers for Recorder {
    fn linear<const D: usize>(&self, layer: &Linear, x: Tensor<D>) -> Tensor<D> {
        let parameters = parameters(&layer.weight, layer.bias.as_ref());
        if D == 1 {
            // The leading axis of a vector is not one of rows.
            parameters.iter().for_each(|&parameter| self.note_elsewhere(parameter));
        }
        if D == 1 || !self.records(&parameters) {
            return Values.linear(layer, x);
        }
        let dims = x.dims();
        let positions = dims[1..D - 1].iter().product();
        let input = x.clone().reshape([dims[0], 1, positions, dims[D - 1]]);
        let output = Values.linear(layer, x);
        let output_dims = [dims[0], 1, positions, output.dims()[D - 1]];
        self.record(parameters, Form::Dense { bias: layer.bias.is_some() }, input, output, output_dims)
    }

    fn conv1d(&self, layer: &Conv1d, x: Tensor<3>) -> Tensor<3> {
        let parameters = parameters(&layer.weight, layer.bias.as_ref());
        if !self.records(&parameters) {
            return Values.conv1d(layer, x);
        }
        let [examples, channels, length] = x.dims();
        let window = Window {
            kernel: [1, layer.kernel_size],
            stride: [1, layer.stride],
            dilation: [1, layer.dilation],
            padding: [(0, 0), padding_of_conv1d(layer, length)],
            groups: layer.groups,
        };
        let input = x.clone().reshape([examples, channels, 1, length]);
        let output = Values.conv1d(layer, x);
        let [_, out_channels, out_length] = output.dims();
        let form = Form::Convolution { window, bias: layer.bias.is_some() };
        self.record(parameters, form, input, output, [examples, out_channels, 1, out_length])
    }

    fn conv2d(&self, layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
        let parameters = parameters(&layer.weight, layer.bias.as_ref());
        if !self.records(&parameters) {
            return Values.conv2d(layer, x);
        }
        let [_, _, height, width] = x.dims();
        let window = Window {
            kernel: layer.kernel_size,
            stride: layer.stride,
            dilation: layer.dilation,
            padding: padding_of_conv2d(layer, height, width),
            groups: layer.groups,
        };
        let output = Values.conv2d(layer, x.clone());
        let output_dims = output.dims();
        let form = Form::Convolution { window, bias: layer.bias.is_some() };
        self.record(parameters, form, x, output, output_dims)
    }

    fn max_pool1d(&self, x: Tensor<3>, options: MaxPoolOptions<1>) -> Tensor<3> {
        Values.max_pool1d(x, options)
    }

    fn max_pool2d(&self, x: Tensor<4>, options: MaxPoolOptions<2>) -> Tensor<4> {
        Values.max_pool2d(x, options)
    }

    /// With the running statistics, as a scale after constants.
    fn batch_norm<const D: usize>(&self, layer: &BatchNorm, x: Tensor<D>) -> Tensor<D> {
        let along = |vector: Tensor<1>| {
            let mut dims = [1; D];
            dims[1] = vector.dims()[0];
            vector.reshape(dims)
        };
        let mean = layer.running_mean.value().inner();
        let rate = (layer.running_var.value().inner() + layer.epsilon).sqrt().recip();
        let standardised = (x - along(mean)) * along(rate);
        self.scale_and_shift(standardised, Some(&layer.gamma), Some(&layer.beta), 1)
    }

    fn scale_and_shift<const D: usize>(
        &self,
        x: Tensor<D>,
        gamma: Option<&Param<Tensor<1>>>,
        beta: Option<&Param<Tensor<1>>>,
        axis: usize,
    ) -> Tensor<D> {
        let parameters: Vec<ParamId> = gamma.iter().chain(&beta).map(|parameter| parameter.id).collect();
        if axis == 0 {
            parameters.iter().for_each(|&parameter| self.note_elsewhere(parameter));
        }
        if parameters.is_empty() || axis == 0 || !self.records(&parameters) {
            return Values.scale_and_shift(x, gamma, beta, axis);
        }
        let dims = x.dims();
        let around = [dims[0], dims[1..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product()];
        let form = Form::Scale { gamma: gamma.is_some(), beta: beta.is_some() };
        let output = Values.scale_and_shift(x.clone(), gamma, beta, axis);
        self.record(parameters, form, x.reshape(around), output, around)
    }

    fn dropout<const D: usize>(&self, layer: &Dropout, x: Tensor<D>) -> Tensor<D> {
        Values.dropout(layer, x)
    }

    fn attention(
        &self,
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        options: AttentionModuleOptions,
    ) -> Tensor<4> {
        Values.attention(query, key, value, options)
    }

    fn softmax<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        Values.softmax(x, dim)
    }

    fn log_softmax<const D: usize>(&self, x: Tensor<D>, dim: usize) -> Tensor<D> {
        Values.log_softmax(x, dim)
    }
}

fn parameters<const D: usize>(weight: &Param<Tensor<D>>, bias: Option<&Param<Tensor<1>>>) -> Vec<ParamId> {
    std::iter::once(weight.id).chain(bias.map(|bias| bias.id)).collect()
}
