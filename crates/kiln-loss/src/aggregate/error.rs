//! What learning from aggregate responses refuses.

use thiserror::Error;

/// Bags, responses or settings that cannot be worked with.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum AggregateError {
    /// A setting lies outside its range.
    #[error("{name} = {value} is out of range, it must be {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would be right, in words.
        expected: &'static str,
    },
    /// Two things that should describe the same rows or bags do not.
    #[error("{what}: found {found}, expected {expected}")]
    Shape {
        /// What was given.
        what: &'static str,
        /// Its size.
        found: usize,
        /// What would be right.
        expected: usize,
    },
    /// A bag that has a response and no row.
    #[error("bag {bag} of {bags} has a response and no row")]
    EmptyBag {
        /// The bag, from 0.
        bag: usize,
        /// Number of responses.
        bags: usize,
    },
    /// A row in a bag without a response.
    #[error("row {row} is in bag {bag}, and there are responses for the bags 0..{bags} only")]
    NoResponse {
        /// The row, from 0.
        row: usize,
        /// Its bag.
        bag: usize,
        /// Number of responses.
        bags: usize,
    },
    /// A number that is infinite or not a number.
    #[error("{what} {value} at place {place} is not finite")]
    NotFinite {
        /// What it is.
        what: &'static str,
        /// Its place, from 0.
        place: usize,
        /// The value.
        value: f64,
    },
    /// A response that the loss cannot have come from.
    #[error("the response {value} of bag {bag} is not {expected}")]
    Response {
        /// The bag, from 0.
        bag: usize,
        /// The response.
        value: f64,
        /// What would be right, in words.
        expected: &'static str,
    },
    /// A range that responses cannot be clipped to.
    #[error("the range from {low:?} to {high:?}: {expected}")]
    Range {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// What would be right, in words.
        expected: &'static str,
    },
    /// Class proportions of a bag that are none.
    #[error("the class proportions of bag {bag} sum to {sum}, they must sum to 1 and none may be negative")]
    Proportions {
        /// The bag, from 0.
        bag: usize,
        /// Their sum.
        sum: f64,
    },
    /// A linear system with more than one solution.
    #[error(
        "the system is singular at rho = {rho}: {bags} bags of {rows} rows do not determine {features} coefficients; take rho above 0, a \
         ridge above 0, or the solution of least norm"
    )]
    Singular {
        /// Share of the instance-level loss.
        rho: f64,
        /// Number of bags.
        bags: usize,
        /// Number of rows.
        rows: usize,
        /// Number of coefficients.
        features: usize,
    },
    /// Too few bags to tell noise from signal.
    #[error("{bags} bags cannot tell the noise of {features} coefficients: more bags than coefficients are needed")]
    TooFewBags {
        /// Number of bags.
        bags: usize,
        /// Number of coefficients.
        features: usize,
    },
    /// Fewer bags than a cross-validation has parts.
    #[error("{bags} bags cannot be divided into {folds} parts: at least one bag a part is needed")]
    TooFewToDivide {
        /// Number of bags.
        bags: usize,
        /// Number of parts.
        folds: usize,
    },
    /// The operating system gives no random numbers, without which no release is private.
    #[error("the operating system gives no random numbers: {reason}")]
    NoEntropy {
        /// What it said.
        reason: String,
    },
}

/// `value` if `valid`, otherwise the error that names it.
pub(super) fn require(
    valid: bool,
    name: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<f64, AggregateError> {
    if valid { Ok(value) } else { Err(AggregateError::Setting { name, value, expected }) }
}
