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
    let device = Device::flex();
    let value_at = |input: &[f64]| values(&function(matrix(input, shape, &device, DType::F64))).iter().sum();
    assert_close_to_scale(&reverse, &central_differences(value_at, input), tolerance);
}

/// Gradient of the sum of `function`'s outputs by reverse mode, row-major.
pub fn gradient(function: impl Fn(Tensor<2>) -> Tensor<1>, input: &[f64], shape: [usize; 2]) -> Vec<f64> {
    gradient_and(|input| (function(input), ()), input, shape).0
}

/// [`gradient`] of a function that gives back something besides its outputs.
pub fn gradient_and<T>(
    function: impl FnOnce(Tensor<2>) -> (Tensor<1>, T),
    input: &[f64],
    shape: [usize; 2],
) -> (Vec<f64>, T) {
    gradient_as(function, input, shape, DType::F64)
}

/// [`gradient_and`] in the wanted float type.
pub(crate) fn gradient_as<T>(
    function: impl FnOnce(Tensor<2>) -> (Tensor<1>, T),
    input: &[f64],
    shape: [usize; 2],
    dtype: DType,
) -> (Vec<f64>, T) {
    let device = Device::flex().autodiff();
    let input = matrix(input, shape, &device, dtype).require_grad();
    let (output, besides) = function(input.clone());
    let gradient = input.grad(&output.sum().backward()).expect("the function depends on its input");
    (values(&gradient), besides)
}

/// Derivatives of a plain function by central differences, with the steps of [`check_gradient`].
pub fn central_differences(function: impl Fn(&[f64]) -> f64, input: &[f64]) -> Vec<f64> {
    let value_at = |index: usize, coordinate: f64| {
        let mut moved = input.to_vec();
        moved[index] = coordinate;
        function(&moved)
    };
    (0..input.len())
        .map(|index| {
            let step = 1e-5 * input[index].abs().max(1.0);
            let (above, below) = (input[index] + step, input[index] - step);
            (value_at(index, above) - value_at(index, below)) / (above - below)
        })
        .collect()
}

/// [`assert_close`] with a tolerance that is relative to the largest expected value, or to 1 if that is larger.
#[track_caller]
pub(crate) fn assert_close_to_scale(actual: &[f64], expected: &[f64], tolerance: f64) {
    let scale = expected.iter().fold(1.0_f64, |largest, value| largest.max(value.abs()));
    let scaled = |values: &[f64]| values.iter().map(|value| value / scale).collect::<Vec<_>>();
    assert_close(&scaled(actual), &scaled(expected), tolerance);
}

/// A `[rows, columns]` tensor of the wanted float type.
pub(crate) fn matrix(data: &[f64], shape: [usize; 2], device: &Device, dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(data.to_vec(), shape).convert_dtype(dtype), (device, dtype))
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

    #[test]
    fn central_differences_of_a_plain_function() {
        assert_close(&central_differences(|x| x[0] * x[0] * x[1], &[3.0, 0.5]), &[3.0, 9.0], 1e-9);
    }
}
