//! Gradients of reverse mode against central differences, in double precision.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::closeness::{assert_close, values};

/// Asserts that the gradient of `function`, summed over its outputs, agrees with central differences at `input`.
///
/// ```text
/// df/dx_i = (f(x + h e_i) - f(x - h e_i)) / 2h        h = 1e-5 max(1, |x_i|)
/// ```
/// Everything runs in `f64`; `tolerance` is relative to the largest component of the gradient, or to 1 if that is larger.
///
/// # Shapes
/// - `input`: row-major `[rows, columns]` as `shape` says
/// - `function`: `[rows, columns]` to `[any]`
///
/// # Panics
/// When a component differs by more, with the component.
#[track_caller]
pub fn check_gradient(function: impl Fn(Tensor<2>) -> Tensor<1>, input: &[f64], shape: [usize; 2], tolerance: f64) {
    let reverse = gradient(&function, input, shape);
    let central = central_differences(&function, input, shape);
    let scale = central.iter().fold(1.0_f64, |largest, value| largest.max(value.abs()));
    let scaled = |values: &[f64]| values.iter().map(|value| value / scale).collect::<Vec<_>>();
    assert_close(&scaled(&reverse), &scaled(&central), tolerance);
}

/// Gradient of the sum of `function`'s outputs by reverse mode, row-major.
pub fn gradient(function: impl Fn(Tensor<2>) -> Tensor<1>, input: &[f64], shape: [usize; 2]) -> Vec<f64> {
    let device = Device::flex().autodiff();
    let input = matrix(input, shape, &device, DType::F64).require_grad();
    let gradients = function(input.clone()).sum().backward();
    let gradient = input.grad(&gradients).expect("the function depends on its input");
    values(&gradient)
}

/// A `[rows, columns]` tensor of the wanted float type.
pub(crate) fn matrix(data: &[f64], shape: [usize; 2], device: &Device, dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(data.to_vec(), shape).convert_dtype(dtype), (device, dtype))
}

fn central_differences(function: impl Fn(Tensor<2>) -> Tensor<1>, input: &[f64], shape: [usize; 2]) -> Vec<f64> {
    let device = Device::flex();
    let value_at = |index: usize, coordinate: f64| {
        let mut moved = input.to_vec();
        moved[index] = coordinate;
        values(&function(matrix(&moved, shape, &device, DType::F64))).iter().sum::<f64>()
    };
    (0..input.len())
        .map(|index| {
            let step = 1e-5 * input[index].abs().max(1.0);
            let (above, below) = (input[index] + step, input[index] - step);
            (value_at(index, above) - value_at(index, below)) / (above - below)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_a_right_gradient() {
        check_gradient(|x| (x.clone() * x).sum_dim(1).squeeze_dim::<1>(1), &[1.0, -2.0, 3.0, 0.5], [2, 2], 1e-8);
    }

    #[test]
    #[should_panic(expected = "not close")]
    fn refuses_a_gradient_that_was_cut() {
        check_gradient(|x| (x.clone().detach() * x).sum_dim(1).squeeze_dim::<1>(1), &[1.0, -2.0], [1, 2], 1e-6);
    }
}
