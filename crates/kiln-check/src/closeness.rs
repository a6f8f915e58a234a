//! Comparison of values, with messages that show where and by how much they differ.

use burn::tensor::Tensor;

/// Asserts that `|actual - expected| <= tolerance * max(1, |expected|)` element by element.
///
/// Equal infinities are close; NaN is close to nothing.
///
/// # Panics
/// When the lengths differ or any pair differs by more; the message shows the worst pair and how many there are.
#[track_caller]
pub fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{} values were computed, {} expected", actual.len(), expected.len());
    let excess = |index: usize| {
        let (a, e) = (actual[index], expected[index]);
        if a == e {
            return 0.0;
        }
        let relative = (a - e).abs() / e.abs().max(1.0);
        if relative.is_nan() { f64::INFINITY } else { relative }
    };
    let wrong: Vec<usize> = (0..actual.len()).filter(|&index| excess(index) > tolerance).collect();
    let Some(&worst) = wrong.iter().max_by(|&&a, &&b| excess(a).total_cmp(&excess(b))) else { return };
    panic!(
        "{} of {} values are not close (tolerance {tolerance:e})\n  worst at {worst}: {} instead of {}, off by {:e}\n  \
         actual:   {}\n  expected: {}",
        wrong.len(),
        actual.len(),
        actual[worst],
        expected[worst],
        excess(worst),
        excerpt(actual),
        excerpt(expected),
    );
}

/// Asserts that one number is close to another, in the sense of [`assert_close`].
#[track_caller]
pub fn assert_near(actual: f64, expected: f64, tolerance: f64) {
    assert_close(&[actual], &[expected], tolerance);
}

/// The largest difference between the values of two tensors of one shape and type, relative to the largest expected one.
///
/// Where a number is not one, neither is the distance.
///
/// # Panics
/// Where shapes or types differ.
#[track_caller]
pub fn distance<const D: usize>(actual: &Tensor<D>, expected: &Tensor<D>) -> f64 {
    assert_eq!((actual.dims(), actual.dtype()), (expected.dims(), expected.dtype()));
    let (actual, expected) = (values(actual), values(expected));
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let differences = actual.iter().zip(&expected).map(|(actual, expected)| (actual - expected).abs());
    // Not `f64::max`, which leaves undefined numbers out.
    differences.fold(0.0, |most, difference| if difference <= most { most } else { difference }) / largest
}

/// The values of a tensor as `f64`, row by row, without its autodiff graph.
pub fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().inner().to_data().iter::<f64>().collect()
}

fn excerpt(values: &[f64]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = values.iter().take(SHOWN).map(|value| format!("{value:.9}")).collect();
    let rest = if values.len() > SHOWN { ", ..." } else { "" };
    format!("[{}{rest}]", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_is_close() {
        assert_close(&[1.0, 1e6 + 0.5, f64::INFINITY], &[1.0 + 1e-7, 1e6, f64::INFINITY], 1e-6);
        assert_near(0.0, 1e-9, 1e-8);
    }

    #[test]
    #[should_panic(expected = "1 of 2 values are not close")]
    fn refuses_what_is_not() {
        assert_close(&[1.0, 2.0], &[1.0, 2.1], 1e-3);
    }

    #[test]
    #[should_panic(expected = "not close")]
    fn refuses_nan() {
        assert_near(f64::NAN, f64::NAN, 1.0);
    }

    #[test]
    #[should_panic(expected = "2 values were computed, 1 expected")]
    fn refuses_another_length() {
        assert_close(&[1.0, 2.0], &[1.0], 1.0);
    }
}
