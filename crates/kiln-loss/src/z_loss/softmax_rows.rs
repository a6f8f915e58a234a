//! Softmax over rows of `f32` scores.

use crate::rows::{Softmax, softmax};

/// What a row of exponentials leaves behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowSum {
    /// The largest score `max`.
    pub max: f32,
    /// `sum_k exp(o_k - max)`.
    pub sum: f32,
}

impl RowSum {
    /// `log sum_k exp(o_k)`.
    pub(super) fn log_normaliser(self) -> f32 {
        self.max + self.sum.ln()
    }

    /// The row sum of two parts of a row.
    pub(super) fn join(self, other: Self) -> Self {
        let max = self.max.max(other.max);
        Self { max, sum: self.sum * (self.max - max).exp() + other.sum * (other.max - max).exp() }
    }
}

/// Replaces every score by `exp(o_k - max)`.
pub(super) fn exponentiate(row: &mut [f32]) -> RowSum {
    let Softmax { max, sum, .. } = softmax(row, 1.0);
    RowSum { max, sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_not_a_number() {
        for length in [1, 31, 32, 33, 100] {
            for wrong in [f32::NAN, f32::INFINITY] {
                for place in [0, length / 2, length - 1] {
                    let mut row = vec![1.0; length];
                    row[place] = wrong;
                    assert!(exponentiate(&mut row).sum.is_nan(), "{wrong} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn sums_rows_of_any_length() {
        for length in [1, 31, 32, 33, 100] {
            let scores: Vec<f32> = (0..length).map(|index| ((index * 7) % 13) as f32 - 5.0).collect();
            let mut row = scores.clone();
            let exact: f64 = scores.iter().map(|score| f64::from(*score).exp()).sum();
            let whole = exponentiate(&mut row);
            assert!((f64::from(whole.log_normaliser()) - exact.ln()).abs() < 1e-5);
            let (left, right) = scores.split_at(length / 2);
            if !left.is_empty() {
                let joined = exponentiate(&mut left.to_vec()).join(exponentiate(&mut right.to_vec()));
                assert!((joined.log_normaliser() - whole.log_normaliser()).abs() < 1e-5);
            }
        }
    }
}
