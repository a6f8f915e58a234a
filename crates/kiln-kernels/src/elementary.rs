//! Elementary functions, written so that a loop over many numbers is compiled for vectors; of single precision where the name
//! says nothing else.
//!
//! Each is plain arithmetic without branches. The errors are largest errors in units of the last place of the exact value,
//! as the tests measure them against double precision.

use crate::vector::MultiplyAdd;

/// Adding and subtracting it rounds a number below `2^22` to an integer; in between, the lowest bits are that integer.
const ROUNDER: f32 = 12_582_912.0;
/// `log 2` as a sum: the first part has 15 bits, so that its product with an exponent is exact.
const LOG2_HIGH: f32 = 0.693_359_4;
const LOG2_LOW: f32 = -2.121_944_4e-4;

/// A polynomial, coefficients from the lowest power to the highest.
#[inline(always)]
fn polynomial<const N: usize, M: MultiplyAdd>(m: M, coefficients: [f32; N], x: f32) -> f32 {
    let mut value = coefficients[N - 1];
    for power in (0..N - 1).rev() {
        value = m.multiply_add(value, x, coefficients[power]);
    }
    value
}

/// `n` and `exp(r) - 1` where `x + rest = n log 2 + r`, for `|x|` of at most some hundreds and `|rest|` below a tenth.
#[inline(always)]
fn reduced<M: MultiplyAdd>(m: M, x: f32, rest: f32) -> (i32, f32) {
    const COEFFICIENTS: [f32; 5] = [0.499_999_94, 0.166_665_2, 0.041_668_408, 0.008_368_9, 0.001_381_420_9];
    let shifted = m.multiply_add(x, std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = m.multiply_add(n, -LOG2_LOW, m.multiply_add(n, -LOG2_HIGH, x)) + rest;
    // Read from the bits: a cast of `n`, which has to answer for every number, is not compiled for vectors.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    (n, m.multiply_add(r * r, polynomial(m, COEFFICIENTS, r), r))
}

/// `2^n` for `n` from -126 to 127; any number elsewhere, as where the exponent is not a number.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// `exp(x)` over the whole range, with an error of 1.3 units in the last place.
#[inline(always)]
pub fn exp<M: MultiplyAdd>(m: M, x: f32) -> f32 {
    let x = if x < -105.0 { -105.0 } else { x };
    let x = if x > 90.0 { 90.0 } else { x };
    let (n, excess) = reduced(m, x, 0.0);
    // In two steps, for the powers that are no normal numbers.
    let half = n >> 1;
    (1.0 + excess) * power_of_two(half) * power_of_two(n - half)
}

/// Below it [`exp_of_negative`] is zero. The powers there are hardly normal numbers any more: to have them would take a second
/// multiplication everywhere.
const LOWEST_EXPONENT: f32 = -87.0;

/// `exp(x)` for `x <= 0`, with the error of [`exp`] down to `x = -87`; zero below, which is off by at most 1.7e-38.
#[inline(always)]
pub fn exp_of_negative<M: MultiplyAdd>(m: M, x: f32) -> f32 {
    exp_of_negative_sum(m, x, 0.0)
}

/// `exp(x + rest)` for `x <= 0` and a small `rest`.
#[inline(always)]
fn exp_of_negative_sum<M: MultiplyAdd>(m: M, x: f32, rest: f32) -> f32 {
    let (excess, scale) = excess_and_scale(m, x, rest);
    if x < LOWEST_EXPONENT { 0.0 } else { m.multiply_add(excess, scale, scale) }
}

/// [`exp_of_negative`], and `exp(x) - 1` with an error of 3e-7 of itself.
#[inline(always)]
pub fn exp_of_negative_and_excess<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
    let (excess, scale) = excess_and_scale(m, x, 0.0);
    let power = if x < LOWEST_EXPONENT { 0.0 } else { m.multiply_add(excess, scale, scale) };
    (power, m.multiply_add(excess, scale, scale - 1.0))
}

/// `e` and `s` of `exp(x + rest) = s (1 + e)`, for `x` not below the lowest exponent.
#[inline(always)]
fn excess_and_scale<M: MultiplyAdd>(m: M, x: f32, rest: f32) -> (f32, f32) {
    let within = if x < LOWEST_EXPONENT { LOWEST_EXPONENT } else { x };
    let (n, excess) = reduced(m, within, rest);
    (excess, power_of_two(n))
}

/// `exp(x)` for `x <= 0` in double precision, to rounding; below -700 it stays at its value there.
///
/// `x = n log 2 + r`, `|r| <= log(2)/2`, and a Taylor polynomial of degree 13.
#[inline(always)]
pub fn double_exp_of_negative(x: f64) -> f64 {
    /// Adding it leaves an integer in the lowest bits, subtracting it again rounds to that.
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    const LOG2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LOG2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = if x < -700.0 { -700.0 } else { x };
    let shifted = x * std::f64::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (x - n * LOG2_HIGH) - n * LOG2_LOW;
    let mut p = 1.0 / 6_227_020_800.0;
    for coefficient in [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        p = p * r + coefficient;
    }
    p * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

/// `log(x)` over the whole range, with an error of 1.3 units in the last place; not a number below zero.
#[inline(always)]
pub fn log<M: MultiplyAdd>(m: M, x: f32) -> f32 {
    let is_subnormal = x < f32::MIN_POSITIVE;
    let value = log_of_normal(m, if is_subnormal { x * 8_388_608.0 } else { x }, if is_subnormal { 23.0 } else { 0.0 });
    let value = if x == f32::INFINITY { x } else { value };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x < 0.0 || x.is_nan() { f32::NAN } else { value }
}

/// [`log`] of a normal number above zero; of zero it is finite, so that `x log x` is zero there.
#[inline(always)]
pub fn log_of_positive<M: MultiplyAdd>(m: M, x: f32) -> f32 {
    log_of_normal(m, x, 0.0)
}

/// `log(x / 2^doublings)` of a normal number above zero.
///
/// `x = 2^n m`, `m` from `1/sqrt(2)` to `sqrt(2)`, and `log(m) = 2 atanh((m - 1) / (m + 1))`.
#[inline(always)]
fn log_of_normal<M: MultiplyAdd>(m: M, x: f32, doublings: f32) -> f32 {
    /// Bits of `1/sqrt(2)`.
    const LOWEST: u32 = 0x3f35_04f3;
    const COEFFICIENTS: [f32; 4] = [2.0, 0.666_668_2, 0.399_747_82, 0.299_260_05];
    let bits = x.to_bits();
    let exponent = (bits.wrapping_sub(LOWEST) as i32) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32));
    let n = exponent as f32 - doublings;
    // log(m) = f - s (f - 2 s^2 (..)) with f = m - 1, whose first term is exact.
    let f = mantissa - 1.0;
    let s = f / (mantissa + 1.0);
    let square = s * s;
    let rest = square * polynomial(m, [COEFFICIENTS[1], COEFFICIENTS[2], COEFFICIENTS[3]], square);
    let low = m.multiply_add(s, rest - f, n * LOG2_LOW);
    m.multiply_add(n, LOG2_HIGH, f + low)
}

/// `2 / sqrt(pi) int_0^x exp(-t^2) dt`, with an error of 2 units in the last place.
#[inline(always)]
pub fn erf<M: MultiplyAdd>(m: M, x: f32) -> f32 {
    /// From here on `1 - exp(-x - x g(x))` with a polynomial `g`, below `x + x h(x^2)` with another one.
    const BOUND: f32 = 0.921_875;
    const NEAR: [f32; 6] = [0.128_379_15, -0.376_124_95, 0.112_818_19, -0.026_766_69, 0.004_993_268, -0.000_599_122_7];
    const FAR: [f32; 6] = [0.128_513_81, 0.635_720_13, 0.105_259_46, -0.022_888_448, 0.003_214_487, -0.000_213_928_56];
    let size = x.abs();
    let near = m.multiply_add(x, polynomial(m, NEAR, x * x), x);
    let within = if size > 4.0 { 4.0 } else { size };
    let exponent = m.multiply_add(-within, polynomial(m, FAR, within), -within);
    let far = (1.0 - exp_of_negative(m, exponent)).copysign(x);
    if size < BOUND {
        near
    } else if x.is_nan() {
        x
    } else {
        far
    }
}

/// `exp(-x^2 / 2)` and `Phi(-|x|)` of the normal distribution function `Phi`.
///
/// `Phi(-a) = exp(-a^2 / 2) q(1 / (1 + 0.26 a))` with a polynomial `q`: small values keep their digits.
#[inline(always)]
fn normal_tail<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
    const COEFFICIENTS: [f32; 10] = [
        -7.166_363e-6,
        0.103_906_6,
        0.101_715_48,
        0.109_481_36,
        0.031_208_256,
        0.200_116_26,
        -0.200_809_64,
        0.290_980_96,
        -0.170_518_19,
        0.033_926_07,
    ];
    let size = x.abs();
    let size = if size > 14.0 { 14.0 } else { size };
    // The square of the leading bits is exact, and the rest is a small exponent.
    let leading = f32::from_bits(size.to_bits() & 0xffff_f000);
    let rest = -0.5 * (size - leading) * (size + leading);
    let power = exp_of_negative_sum(m, -0.5 * leading * leading, rest);
    let t = 1.0 / m.multiply_add(0.26, size, 1.0);
    (power, power * polynomial(m, COEFFICIENTS, t))
}

/// `x Phi(x)`, with an error of 5e-7 of itself, and its slope `Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi)`, with the normal distribution function `Phi`.
#[inline(always)]
pub fn gelu<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
    const DENSITY: f32 = 0.398_942_3;
    let (power, tail) = normal_tail(m, x);
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    // Beyond the range of the exponential the tail is zero, and so is its product with an infinite x.
    let value = if x < -14.0 { 0.0 } else { x * below };
    let slope = m.multiply_add(if x.abs() > 14.0 { 0.0 } else { x } * DENSITY, power, below);
    if x.is_nan() { (x, x) } else { (value, slope) }
}

/// `0.5 x (1 + tanh(u))` with `u = sqrt(2 / pi) (x + 0.044715 x^3)`, and its slope.
///
/// The error is 1.5e-6 of itself down to `x = -3`; further down that of the exponent `2 u` grows with it.
#[inline(always)]
pub fn gelu_tanh<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
    /// `2 sqrt(2 / pi)`
    const SCALE: f32 = 1.595_769_2;
    const CUBIC: f32 = 0.044_715;
    // Beyond these the function is zero or x.
    let within = if x < -16.0 { -16.0 } else { x };
    let within = if within > 16.0 { 16.0 } else { within };
    let square = within * within;
    // (1 + tanh(u)) / 2 = sigmoid(2 u)
    let (sigmoid, rest) = sigmoid(m, SCALE * within * m.multiply_add(CUBIC, square, 1.0));
    let inner_slope = SCALE * m.multiply_add(3.0 * CUBIC, square, 1.0);
    let slope = sigmoid * m.multiply_add(within * inner_slope, rest, 1.0);
    let value = if x < -16.0 { 0.0 } else { x * sigmoid };
    (value, slope)
}

/// `x sigmoid(x)`, with an error of 4e-7 of itself, and its slope.
#[inline(always)]
pub fn silu<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
    // The smallest numbers that are not zero are of no use times minus infinity.
    let within = if x < -104.0 { -104.0 } else { x };
    let (sigmoid, rest) = sigmoid(m, within);
    let finite = if within > 104.0 { 104.0 } else { within };
    (within * sigmoid, sigmoid * m.multiply_add(finite, rest, 1.0))
}

/// `tanh(x)`, with an error of 4e-7 of itself.
///
/// ```text
/// tanh(x) = -e / (e + 2)        e = exp(-2 x) - 1 for x >= 0, and its negative for -x
/// ```
#[inline(always)]
pub fn tanh<M: MultiplyAdd>(m: M, x: f32) -> f32 {
    let (_, excess) = exp_of_negative_and_excess(m, -2.0 * x.abs());
    (-excess / (excess + 2.0)).copysign(x)
}

/// `1 / (1 + exp(-x))`, with an error of 4e-7 of itself, and what it lacks of one.
#[inline(always)]
pub fn sigmoid<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
    let power = exp(m, -x.abs());
    let larger = 1.0 / (1.0 + power);
    let smaller = power * larger;
    if x < 0.0 { (smaller, larger) } else { (larger, smaller) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{FRAC_1_SQRT_2, PI};

    use super::*;
    use crate::vector::{FusedKernel, Separate, vectorised};

    type Pair = (f32, f32);

    struct Map<'a, F>(&'a [f32], F);

    /// A function of one number, for any way to multiply and add.
    trait Scalar {
        fn of<M: MultiplyAdd>(&self, m: M, x: f32) -> Pair;
    }

    impl<F: Scalar> FusedKernel for Map<'_, F> {
        type Output = Vec<Pair>;

        #[inline(always)]
        fn run_with<M: MultiplyAdd>(self, m: M) -> Vec<Pair> {
            self.0.iter().map(|x| self.1.of(m, *x)).collect()
        }
    }

    macro_rules! scalar {
        ($name:ident, $m:ident, $x:ident, $value:expr) => {
            #[derive(Clone, Copy)]
            struct $name;
            impl Scalar for $name {
                #[inline(always)]
                fn of<M: MultiplyAdd>(&self, $m: M, $x: f32) -> Pair {
                    $value
                }
            }
        };
    }

    scalar!(Exp, m, x, (exp(m, x), exp_of_negative(m, -x.abs())));
    scalar!(ExpAndExcess, m, x, exp_of_negative_and_excess(m, x));
    scalar!(LogOfPositive, m, x, (log_of_positive(m, x), 0.0));
    scalar!(Log, m, x, (log(m, x), 0.0));
    scalar!(Erf, m, x, (erf(m, x), 0.0));
    scalar!(Gelu, m, x, gelu(m, x));
    scalar!(GeluTanh, m, x, gelu_tanh(m, x));
    scalar!(Silu, m, x, silu(m, x));

    /// What the processor's own instruction set and one without fused instructions give.
    fn both(x: &[f32], function: impl Scalar + Copy) -> [Vec<Pair>; 2] {
        [vectorised(Map(x, function)), Map(x, function).run_with(Separate)]
    }

    fn grid(from: f32, to: f32) -> Vec<f32> {
        (0..=200_003).map(|step| from + (to - from) * (step as f32 / 200_003.0)).collect()
    }

    fn unit_in_the_last_place(x: f64) -> f64 {
        2f64.powf(x.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor() - 23.0)
    }

    fn assert_within_units(from: f32, to: f32, units: f64, function: impl Scalar + Copy, exact: fn(f64) -> f64) {
        let x = grid(from, to);
        for found in both(&x, function) {
            for (x, (found, _)) in x.iter().zip(found) {
                let expected = exact(f64::from(*x));
                let off = (f64::from(found) - expected).abs() / unit_in_the_last_place(expected);
                assert!(off <= units, "{x}: {found} instead of {expected}, {off} units");
            }
        }
    }

    /// Values within `share` of themselves, slopes within 1e-6.
    fn assert_near(from: f32, to: f32, share: f64, function: impl Scalar + Copy, exact: fn(f64) -> (f64, f64)) {
        let x = grid(from, to);
        for found in both(&x, function) {
            for (x, (value, slope)) in x.iter().zip(found) {
                let (exact_value, exact_slope) = exact(f64::from(*x));
                let off = (f64::from(value) - exact_value).abs();
                assert!(off <= share * exact_value.abs(), "{x}: {value} instead of {exact_value}");
                assert!((f64::from(slope) - exact_slope).abs() < 1e-6, "{x}: slope {slope} instead of {exact_slope}");
            }
        }
    }

    /// Of a size: by its series near zero, by a continued fraction for the rest to one elsewhere.
    fn exact_erf_and_rest(size: f64) -> (f64, f64) {
        if size < 2.5 {
            let (mut term, mut sum) = (size, size);
            for n in 1..200 {
                term *= -size * size / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            let erf = sum * 2.0 / PI.sqrt();
            return (erf, 1.0 - erf);
        }
        let fraction = (1..=200).rev().fold(0.0, |tail, k| 0.5 * f64::from(k) / (size + tail));
        let rest = (-size * size).exp() / (size + fraction) / PI.sqrt();
        (1.0 - rest, rest)
    }

    fn exact_erf(x: f64) -> f64 {
        exact_erf_and_rest(x.abs()).0.copysign(x)
    }

    fn exact_gelu(x: f64) -> (f64, f64) {
        let tail = 0.5 * exact_erf_and_rest(x.abs() * FRAC_1_SQRT_2).1;
        let below = if x < 0.0 { tail } else { 1.0 - tail };
        (x * below, below + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt())
    }

    fn exact_gelu_tanh(x: f64) -> (f64, f64) {
        let scale = 2.0 * (2.0 / PI).sqrt();
        let sigmoid = 1.0 / (1.0 + (-scale * (x + 0.044715 * x * x * x)).exp());
        (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid) * scale * (1.0 + 3.0 * 0.044715 * x * x)))
    }

    fn exact_silu(x: f64) -> (f64, f64) {
        let sigmoid = 1.0 / (1.0 + (-x).exp());
        (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid)))
    }

    #[test]
    fn exponentials_are_exact_to_a_unit_and_a_third() {
        for (from, to) in [(-103.0, -87.0), (-87.0, 88.7), (-1.0, 1.0)] {
            assert_within_units(from, to, 1.3, Exp, f64::exp);
        }
        for found in both(&grid(-86.9, 0.0), Exp) {
            for (x, (exp, of_negative)) in grid(-86.9, 0.0).iter().zip(found) {
                assert!((of_negative / exp - 1.0).abs() < 3e-7, "{x}");
            }
        }
    }

    #[test]
    fn powers_below_the_lowest_exponent_are_zero_and_their_excess_is_not_lost_near_zero() {
        let x = [&grid(-104.0, -87.0)[..], &grid(-87.0, 0.0), &grid(-1e-6, 0.0), &[f32::NEG_INFINITY, -1e-12]].concat();
        for found in both(&x, ExpAndExcess) {
            for (x, (power, excess)) in x.iter().zip(found) {
                let (exact, exact_excess) = (f64::from(*x).exp(), f64::from(*x).exp_m1());
                let off = (f64::from(power) - exact).abs();
                assert!(if *x < -87.0 { power == 0.0 && off < 1.7e-38 } else { off <= 1.6e-7 * exact }, "exp({x})");
                assert!((f64::from(excess) - exact_excess).abs() <= 3e-7 * exact_excess.abs(), "expm1({x})");
            }
        }
    }

    #[test]
    fn exponentials_of_double_precision_are_exact_to_rounding() {
        for step in 0..7_000 {
            let x = -0.1 * f64::from(step);
            assert!((double_exp_of_negative(x) / x.exp() - 1.0).abs() < 1e-14, "exp({x})");
        }
        assert!(double_exp_of_negative(0.0) == 1.0 && double_exp_of_negative(f64::NAN).is_nan());
    }

    #[test]
    fn logarithms_are_exact_to_a_unit_and_a_third() {
        for (from, to) in [(1e-44, 1e-38), (1e-38, 1e-30), (1e-3, 0.7), (0.6, 1.5), (1.0, 1e30)] {
            assert_within_units(from, to, 1.3, Log, f64::ln);
        }
        for (from, to) in [(1.2e-38, 1e-30), (1e-3, 0.7), (0.6, 1.5), (1.0, 1e30)] {
            assert_within_units(from, to, 1.3, LogOfPositive, f64::ln);
        }
        assert!(both(&[0.0], LogOfPositive).iter().all(|found| found[0].0.is_finite()));
    }

    #[test]
    fn the_error_function_is_exact_to_two_units() {
        for (from, to) in [(-6.0, 6.0), (0.0, 1e-3), (0.85, 0.95)] {
            assert_within_units(from, to, 2.0, Erf, exact_erf);
        }
    }

    #[test]
    fn activations_and_their_slopes_agree_with_double_precision() {
        for (from, to) in [(-13.0, -3.0), (-3.0, 3.0), (3.0, 20.0)] {
            assert_near(from, to, 6e-7, Gelu, exact_gelu);
            assert_near(from, to, 4e-7, Silu, exact_silu);
        }
        assert_near(-3.0, 20.0, 1.5e-6, GeluTanh, exact_gelu_tanh);
        assert_near(-9.0, -3.0, 2e-5, GeluTanh, exact_gelu_tanh);
    }

    /// A function, what both ways give, and what they should.
    type Case = (&'static str, [Vec<Pair>; 2], [f32; 8]);

    #[test]
    fn the_ends_of_the_range_have_their_limits() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let x = [inf, -inf, 0.0, f32::MAX, f32::MIN, -1.0, 200.0, -200.0];
        let expected: [Case; 6] = [
            ("exp", both(&x, Exp), [inf, 0.0, 1.0, inf, 0.0, 0.367_879_45, inf, 0.0]),
            ("log", both(&x, Log), [inf, nan, -inf, f32::MAX.ln(), nan, nan, 200f32.ln(), nan]),
            ("erf", both(&x, Erf), [1.0, -1.0, 0.0, 1.0, -1.0, -0.842_700_8, 1.0, -1.0]),
            ("gelu", both(&x, Gelu), [inf, 0.0, 0.0, f32::MAX, 0.0, -0.158_655_26, 200.0, 0.0]),
            ("gelu-tanh", both(&x, GeluTanh), [inf, 0.0, 0.0, f32::MAX, 0.0, -0.158_808, 200.0, 0.0]),
            ("silu", both(&x, Silu), [inf, 0.0, 0.0, f32::MAX, 0.0, -0.268_941_43, 200.0, 0.0]),
        ];
        for (name, ways, expected) in expected {
            for found in ways {
                for ((x, (found, slope)), expected) in x.iter().zip(found).zip(expected) {
                    let is_near = (found - expected).abs() <= 4e-7 * expected.abs();
                    let is_right = found == expected || is_near || (found.is_nan() && expected.is_nan());
                    assert!(is_right && !slope.is_nan(), "{name}({x}) = {found} with slope {slope}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_that() {
        fn is_kept(function: impl Scalar + Copy) -> bool {
            both(&[f32::NAN], function).iter().all(|found| found[0].0.is_nan())
        }
        assert!(is_kept(Exp) && is_kept(Log) && is_kept(Erf) && is_kept(Gelu) && is_kept(GeluTanh) && is_kept(Silu));
    }
}
