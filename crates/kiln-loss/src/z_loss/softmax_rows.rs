//! Softmax over rows of `f32` scores, vectorised for the processor at hand.

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
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the feature.
            return unsafe { exponentiate_avx512(row) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features.
            return unsafe { exponentiate_avx2(row) };
        }
    }
    exponentiate_portable(row)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn exponentiate_avx512(row: &mut [f32]) -> RowSum {
    exponentiate_portable(row)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn exponentiate_avx2(row: &mut [f32]) -> RowSum {
    exponentiate_portable(row)
}

/// The same in plain code, which the functions above compile for their instruction sets.
#[inline(always)]
fn exponentiate_portable(row: &mut [f32]) -> RowSum {
    const LANES: usize = 32;
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in chunks.iter() {
        for lane in 0..LANES {
            largest[lane] = if chunk[lane] > largest[lane] { chunk[lane] } else { largest[lane] };
        }
    }
    let max = largest.iter().chain(rest.iter()).fold(f32::NEG_INFINITY, |most, value| most.max(*value));
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            chunk[lane] = exp_of_negative(chunk[lane] - max);
            sums[lane] += chunk[lane];
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for value in rest {
        *value = exp_of_negative(*value - max);
        sum += *value;
    }
    RowSum { max, sum }
}

/// `exp(x)` for `x <= 0`, with a relative error below 3e-7; below -87 it stays at the value there, near 1e-38, and what is
/// not a number stays that.
///
/// `x = n log 2 + r`, `|r| <= log(2)/2`, and a Taylor polynomial of degree 7 for `exp(r)`.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    /// Adding and subtracting it rounds to an integer.
    const ROUNDER: f32 = 12_582_912.0;
    const LOG2_HIGH: f32 = 0.693_359_4;
    const LOG2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let n = (x * std::f32::consts::LOG2_E + ROUNDER) - ROUNDER;
    let r = (x - n * LOG2_HIGH) - n * LOG2_LOW;
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + coefficient;
    }
    p * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_exact_exponential() {
        for step in 0..8_600 {
            let x = -0.01 * step as f32;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp_of_negative(x)) / exact - 1.0).abs() < 3e-7, "exp({x})");
        }
    }

    #[test]
    fn keeps_what_is_not_a_number() {
        assert!(exp_of_negative(f32::NAN).is_nan());
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
