//! The exponential function in `f32`, branch-free so that a compiler turns a loop over it into vector instructions.

/// Arguments beyond this are treated as if they were this; `exp` of it is still a normal number, on both sides.
const LIMIT: f32 = 80.0;

/// `exp(x)` for `|x| <= 80`, clamped beyond, with a relative error below 2e-7.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`: the factor `2^n` goes straight into the exponent bits, `exp(r)` is a polynomial of
/// degree 7 whose remainder is below 6e-9. There is no fused multiply-add in it, so every machine computes the same bits.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // 1.5 * 2^23: adding it rounds to the nearest integer, which then stands in the lowest mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with few enough bits that `n * LN_2_HIGH` is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;

    let x = if x < LIMIT { x } else { LIMIT };
    let x = if x > -LIMIT { x } else { -LIMIT };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut polynomial = 1.0 / 5040.0;
    polynomial = polynomial * r + 1.0 / 720.0;
    polynomial = polynomial * r + 1.0 / 120.0;
    polynomial = polynomial * r + 1.0 / 24.0;
    polynomial = polynomial * r + 1.0 / 6.0;
    polynomial = polynomial * r + 0.5;
    polynomial = polynomial * r + 1.0;
    polynomial = polynomial * r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    polynomial * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_friction_coefficient_is_within_1e_7_of_the_exact_one() {
        let mut worst = 0.0f64;
        for i in 0..=2_000_000 {
            let change = i as f32 * 2e-5;
            let xi = 1.0 / (1.0 + exp(-change));
            let exact = 1.0 / (1.0 + (-f64::from(change)).exp());
            worst = worst.max((f64::from(xi) - exact).abs());
        }
        assert!(worst < 1e-7, "{worst}");
    }

    #[test]
    fn relative_error_over_the_whole_range() {
        for i in -80_000..=80_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2e-7, "exp({x})");
        }
    }

    #[test]
    fn zero_is_exact_and_the_ends_are_clamped() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), exp(80.0));
        assert_eq!(exp(f32::NEG_INFINITY), exp(-80.0));
    }
}
