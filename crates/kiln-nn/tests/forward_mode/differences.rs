//! Central differences, extrapolated to a step of zero.

use burn::tensor::Tensor;
use kiln_check::{assert_close, values};

/// Largest difference of a derivative from its extrapolated differences, relative to the largest entry.
pub const TOLERANCE: f64 = 1e-6;

/// Largest step of first differences: small beside the distance to a kink, and beside the square root of the epsilon of a
/// normalisation, the scale on which its derivatives change where a variance vanishes.
pub const STEP: f64 = 2e-5;

/// `f'(0)` along a line, by Richardson extrapolation of `(f(h) - f(-h)) / 2h` for three steps, each half the one before.
///
/// The error of a difference is a series in `h^2`: each column of the table takes one term away.
pub fn slope<const D: usize>(step: f64, function: impl Fn(f64) -> Tensor<D>) -> Vec<f64> {
    extrapolated(step, |h| values(&((function(h) - function(-h)) / (2.0 * h))))
}

/// `f''(0)` along a line, by Richardson extrapolation of `(f(h) - 2 f(0) + f(-h)) / h^2`.
pub fn curvature<const D: usize>(step: f64, function: impl Fn(f64) -> Tensor<D>) -> Vec<f64> {
    let centre = function(0.0) * 2.0;
    extrapolated(step, |h| values(&((function(h) + function(-h) - centre.clone()) / (h * h))))
}

fn extrapolated(step: f64, difference: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let mut column: Vec<Vec<f64>> = (0..3).map(|halvings| difference(step / f64::from(1u32 << halvings))).collect();
    let mut power = 4.0;
    while column.len() > 1 {
        let better =
            |pair: &[Vec<f64>]| pair[0].iter().zip(&pair[1]).map(|(a, b)| b + (b - a) / (power - 1.0)).collect();
        column = column.windows(2).map(better).collect();
        power *= 4.0;
    }
    column.remove(0)
}

/// The largest difference, relative to the largest expected entry.
pub fn relative_error(actual: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let size = expected.iter().fold(0.0f64, |size, value| size.max(value.abs()));
    actual.iter().zip(expected).fold(0.0, |worst: f64, (a, b)| worst.max((a - b).abs())) / size
}

#[track_caller]
pub fn assert_relatively_close(actual: &[f64], expected: &[f64]) {
    let size = expected.iter().fold(f64::MIN_POSITIVE, |size, value| size.max(value.abs()));
    let scaled = |values: &[f64]| values.iter().map(|value| value / size).collect::<Vec<_>>();
    assert_close(&scaled(actual), &scaled(expected), TOLERANCE);
}

#[test]
fn extrapolation_takes_two_powers_of_the_step_away() {
    let wave =
        |h: f64| Tensor::<1>::from_data([(1.0 + h).sin()], (&burn::tensor::Device::flex(), burn::tensor::DType::F64));
    assert_close(&slope(0.1, wave), &[1f64.cos()], 1e-9);
    assert_close(&curvature(0.1, wave), &[-1f64.sin()], 1e-9);
    assert!(relative_error(&slope(0.1, wave), &[1f64.cos() + 1e-3]) > 1e-3);
}
