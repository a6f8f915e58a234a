//! The ranges of hyperparameters, checked once when an optimizer is built.

use crate::OptimError;

/// Refuses a learning rate that is negative, infinite or not a number.
///
/// Burn hands the rate to every `step`, which cannot return an error; a program checks it here first. The optimizers of this
/// crate panic in `step` with the same message.
///
/// # Errors
/// [`OptimError::InvalidHyperparameter`] where the rate is out of range.
pub fn check_learning_rate(learning_rate: f64) -> Result<f64, OptimError> {
    non_negative("learning_rate", learning_rate)
}

/// Panics where [`check_learning_rate`] refuses.
pub(crate) fn assert_learning_rate(learning_rate: f64) {
    if let Err(error) = check_learning_rate(learning_rate) {
        panic!("{error}");
    }
}

/// Accepts `[0, inf)`.
pub(crate) fn non_negative(name: &'static str, value: f64) -> Result<f64, OptimError> {
    within(name, value, "finite and at least 0", |value| value >= 0.0 && value.is_finite())
}

/// Accepts `(0, inf)`.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64, OptimError> {
    within(name, value, "finite and above 0", |value| value > 0.0 && value.is_finite())
}

/// Accepts `[0, 1)`.
pub(crate) fn fraction_below_one(name: &'static str, value: f64) -> Result<f64, OptimError> {
    within(name, value, "at least 0 and below 1", |value| (0.0..1.0).contains(&value))
}

/// A fraction that is still below one in single precision, in which Burn keeps it: 0.99999999 is not.
pub(crate) fn single_precision_fraction(name: &'static str, value: f64) -> Result<f32, OptimError> {
    fraction_below_one(name, f64::from(value as f32)).map(|value| value as f32)
}

/// Accepts `(0, 1]`.
pub(crate) fn fraction_above_zero(name: &'static str, value: f64) -> Result<f64, OptimError> {
    within(name, value, "above 0 and at most 1", |value| value > 0.0 && value <= 1.0)
}

fn within(
    name: &'static str,
    value: f64,
    allowed: &'static str,
    accepts: impl Fn(f64) -> bool,
) -> Result<f64, OptimError> {
    if accepts(value) { Ok(value) } else { Err(OptimError::InvalidHyperparameter { name, value, allowed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_each_range() {
        assert!(non_negative("x", 0.0).is_ok() && non_negative("x", -1e-300).is_err());
        assert!(positive("x", 0.0).is_err() && positive("x", f64::INFINITY).is_err());
        assert!(fraction_below_one("x", 0.0).is_ok() && fraction_below_one("x", 1.0).is_err());
        assert!(fraction_above_zero("x", 0.0).is_err() && fraction_above_zero("x", 1.0).is_ok());
        for check in [non_negative, positive, fraction_below_one, fraction_above_zero] {
            assert!(check("x", f64::NAN).is_err());
        }
    }

    #[test]
    fn the_message_names_value_and_range() {
        let message = check_learning_rate(-0.5).unwrap_err().to_string();
        assert_eq!(message, "learning_rate = -0.5 is out of range: it must be finite and at least 0");
    }
}
