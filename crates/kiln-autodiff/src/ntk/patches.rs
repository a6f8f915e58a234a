//! Layers as products of matrices at every position: inputs and sensitivities laid out by groups and positions.

use burn::tensor::ops::PadMode;
use burn::tensor::{Slice, Tensor};

use super::recorder::{Form, RecordedLayer, Window};

/// How large one example of a dense layer or a convolution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) groups: usize,
    /// Places at which the weight is used.
    pub(super) positions: usize,
    /// Inputs of the weight, in one group.
    pub(super) inputs: usize,
    /// Outputs of the weight, in one group.
    pub(super) outputs: usize,
}

impl Sizes {
    /// Of a layer that multiplies matrices; none for a scale.
    pub(super) fn of(layer: &RecordedLayer) -> Option<Self> {
        let [_, channels, positions, inputs] = layer.input.dims();
        let [_, out_channels, out_height, out_width] = layer.output_dims;
        match layer.form {
            Form::Dense { .. } => Some(Self { groups: 1, positions, inputs, outputs: out_width }),
            Form::Convolution { window, .. } => Some(Self {
                groups: window.groups,
                positions: out_height * out_width,
                inputs: channels / window.groups * window.kernel[0] * window.kernel[1],
                outputs: out_channels / window.groups,
            }),
            Form::Scale { .. } => None,
        }
    }
}

/// Inputs of the weight at every position, `[n, groups, positions, inputs]`.
pub(super) fn inputs_by_position(layer: &RecordedLayer) -> Tensor<4> {
    match layer.form {
        Form::Convolution { window, .. } => patches(layer.input.clone(), &window, layer.output_dims),
        Form::Dense { .. } | Form::Scale { .. } => layer.input.clone(),
    }
}

/// Sensitivities of the layer's outputs at every position, `[n, groups, positions, outputs]`.
pub(super) fn sensitivities_by_position(layer: &RecordedLayer) -> Tensor<4> {
    let sensitivity = layer.take_sensitivity();
    match layer.form {
        Form::Convolution { window, .. } => {
            let [examples, channels, height, width] = layer.output_dims;
            let by_channel = [examples, window.groups, channels / window.groups, height * width];
            sensitivity.reshape(by_channel).swap_dims(2, 3)
        }
        Form::Dense { .. } | Form::Scale { .. } => sensitivity,
    }
}

/// What the kernel sees in every place.
fn patches(input: Tensor<4>, window: &Window, output_dims: [usize; 4]) -> Tensor<4> {
    let [examples, channels, ..] = input.dims();
    let [_, _, height, width] = output_dims;
    let [rows, columns] = window.padding;
    let padded = if window.padding == [(0, 0); 2] {
        input
    } else {
        input.pad([(0, 0), (0, 0), rows, columns], PadMode::Constant(0.0))
    };
    let along = |axis: usize, offset: usize, count: usize| {
        let start = (offset * window.dilation[axis]) as isize;
        let end = start + ((count - 1) * window.stride[axis]) as isize + 1;
        Slice::new(start, Some(end), window.stride[axis] as isize)
    };
    let seen_from = |row: usize, column: usize| {
        let places = [Slice::full(), Slice::full(), along(0, row, height), along(1, column, width)];
        padded.clone().slice(places).reshape([examples, channels, 1, height * width])
    };
    let offsets = (0..window.kernel[0]).flat_map(|row| (0..window.kernel[1]).map(move |column| (row, column)));
    let seen = Tensor::cat(offsets.map(|(row, column)| seen_from(row, column)).collect(), 2);
    let inputs = channels / window.groups * window.kernel[0] * window.kernel[1];
    seen.reshape([examples, window.groups, inputs, height * width]).swap_dims(2, 3)
}
