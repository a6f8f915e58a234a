//! Elementary functions of single precision, written so that a loop over many numbers is compiled for vectors.
//!
//! Each is plain arithmetic without branches. The errors are largest errors in units of the last place of the exact value,
//! as the tests measure them against double precision.

use crate::vector::MultiplyAdd;

/// Adding and subtracting it rounds a number below `2^22` to an integer.
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
    const COEFFICIENTS: [f32; 5] = [0.499_999_93, 0.166_665_19, 0.041_668_406, 0.008_368_9, 0.001_381_420_9];
    let n = m.multiply_add(x, std::f32::consts::LOG2_E, ROUNDER) - ROUNDER;
    let r = m.multiply_add(n, -LOG2_LOW, m.multiply_add(n, -LOG2_HIGH, x)) + rest;
    (n as i32, m.multiply_add(r * r, polynomial(m, COEFFICIENTS, r), r))
}

/// `2^n` for `n` from -126 to 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) << 23) as u32)
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

/// `exp(x)` for `x <= 0`, with the error of [`exp`]; zero where that is below the smallest normal number.
#[inline(always)]
pub fn exp_of_negative<M: MultiplyAdd>(m: M, x: f32) -> f32 {
    exp_of_negative_sum(m, x, 0.0)
}

/// `exp(x + rest)` for `x <= 0` and a small `rest`.
#[inline(always)]
fn exp_of_negative_sum<M: MultiplyAdd>(m: M, x: f32, rest: f32) -> f32 {
    let within = if x < -87.0 { -87.0 } else { x };
    let (n, excess) = reduced(m, within, rest);
    let scale = power_of_two(n);
    let power = m.multiply_add(excess, scale, scale);
    if x < -87.0 { 0.0 } else { power }
}

/// `log(x)` over the whole range, with an error of 1.7 units in the last place; not a number below zero.
///
/// `x = 2^n m`, `m` from `1/sqrt(2)` to `sqrt(2)`, and `log(m) = 2 atanh((m - 1) / (m + 1))`.
#[inline(always)]
pub fn log<M: MultiplyAdd>(m: M, x: f32) -> f32 {
    /// Bits of `1/sqrt(2)`.
    const LOWEST: u32 = 0x3f35_04f3;
    const COEFFICIENTS: [f32; 4] = [2.0, 0.666_668_15, 0.399_747_82, 0.299_260_05];
    let is_subnormal = x < f32::MIN_POSITIVE;
    let bits = (if is_subnormal { x * 8_388_608.0 } else { x }).to_bits();
    let exponent = (bits.wrapping_sub(LOWEST) as i32) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32));
    let n = exponent as f32 - if is_subnormal { 23.0 } else { 0.0 };
    // log(m) = f - s (f - 2 s^2 (..)) with f = m - 1, whose first term is exact.
    let f = mantissa - 1.0;
    let s = f / (mantissa + 1.0);
    let square = s * s;
    let rest = square * polynomial(m, [COEFFICIENTS[1], COEFFICIENTS[2], COEFFICIENTS[3]], square);
    let low = m.multiply_add(s, rest - f, n * LOG2_LOW);
    let value = m.multiply_add(n, LOG2_HIGH, f + low);
    let value = if x == f32::INFINITY { x } else { value };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x < 0.0 || x.is_nan() { f32::NAN } else { value }
}

/// `2 / sqrt(pi) int_0^x exp(-t^2) dt`, with an error of 1.6 units in the last place.
#[inline(always)]
pub fn erf<M: MultiplyAdd>(m: M, x: f32) -> f32 {
    /// From here on `1 - exp(-x g(x))` with a polynomial `g`, below `x h(x^2)` with another one.
    const BOUND: f32 = 0.921_875;
    const NEAR: [f32; 6] = [1.128_379_1 - 1.0, -0.376_124_94, 0.112_818_19, -0.026_766_69, 0.004_993_268, -0.000_599_122_7];
    const FAR: [f32; 6] = [1.128_513_8, 0.635_720_13, 0.105_259_46, -0.022_888_449, 0.003_214_487, -0.000_213_928_57];
    let size = x.abs();
    let near = m.multiply_add(x, polynomial(m, NEAR, x * x), x);
    let within = if size > 4.0 { 4.0 } else { size };
    let far = (1.0 - exp_of_negative(m, -within * polynomial(m, FAR, within))).copysign(x);
    if size < BOUND { near } else if x.is_nan() { x } else { far }
}

/// `exp(-x^2 / 2)` and `Phi(-|x|)` of the normal distribution function `Phi`.
///
/// `Phi(-a) = exp(-a^2 / 2) q(1 / (1 + 0.26 a))` with a polynomial `q`: small values keep their digits.
#[inline(always)]
fn normal_tail<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
    const COEFFICIENTS: [f32; 10] = [
        -7.166_363e-6, 0.103_906_6, 0.101_715_48, 0.109_481_36, 0.031_208_256, 0.200_116_26, -0.200_809_64, 0.290_980_96,
        -0.170_518_19, 0.033_926_07,
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

/// `x Phi(x)` and its slope `Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi)`, with the normal distribution function `Phi`.
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

/// `x sigmoid(x)` and its slope.
#[inline(always)]
pub fn silu<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
    // The smallest numbers that are not zero are of no use times minus infinity.
    let within = if x < -104.0 { -104.0 } else { x };
    let (sigmoid, rest) = sigmoid(m, within);
    let finite = if within > 104.0 { 104.0 } else { within };
    (within * sigmoid, sigmoid * m.multiply_add(finite, rest, 1.0))
}

/// `1 / (1 + exp(-x))`, and what it lacks of one.
#[inline(always)]
fn sigmoid<M: MultiplyAdd>(m: M, x: f32) -> (f32, f32) {
    let power = exp(m, -x.abs());
    let larger = 1.0 / (1.0 + power);
    let smaller = power * larger;
    if x < 0.0 { (smaller, larger) } else { (larger, smaller) }
}
