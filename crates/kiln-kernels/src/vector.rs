//! Functions of many numbers at once, compiled for the instruction sets at hand.

use std::ops::Add;

/// Numbers that are worked on side by side.
pub const LANES: usize = 32;

/// Plain code over arrays of [`LANES`] numbers; `run` has to be inlined, so that it is compiled for each instruction set.
pub trait Kernel {
    /// What the code gives back.
    type Output;

    /// Runs the code.
    fn run(self) -> Self::Output;
}

/// A [`Kernel`] that multiplies and adds in the way of the instruction set.
pub trait FusedKernel {
    /// What the code gives back.
    type Output;

    /// Runs the code; to be inlined.
    fn run_with<M: MultiplyAdd>(self, arithmetic: M) -> Self::Output;
}

impl<K: Kernel> FusedKernel for K {
    type Output = K::Output;

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, _: M) -> K::Output {
        self.run()
    }
}

/// How an instruction set multiplies and adds.
pub trait MultiplyAdd: Copy {
    /// Whether 32 vectors of 16 numbers are at hand, and not 16 of 8.
    const IS_WIDE: bool;

    /// `a b + c`, rounded once where there is an instruction for it, else twice.
    fn multiply_add(self, a: f32, b: f32, c: f32) -> f32;
}

/// In one instruction.
#[derive(Clone, Copy)]
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
struct Fused<const IS_WIDE: bool>;

impl<const IS_WIDE: bool> MultiplyAdd for Fused<IS_WIDE> {
    const IS_WIDE: bool = IS_WIDE;

    #[inline(always)]
    fn multiply_add(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// In two instructions: without one for both, `mul_add` is a call of a slow function.
#[derive(Clone, Copy)]
pub(crate) struct Separate;

impl MultiplyAdd for Separate {
    const IS_WIDE: bool = false;

    #[inline(always)]
    fn multiply_add(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// Runs a kernel with the widest vectors of the processor.
pub fn vectorised<K: FusedKernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the feature.
            return unsafe { with_avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features.
            return unsafe { with_avx2(kernel) };
        }
    }
    if cfg!(target_arch = "aarch64") { kernel.run_with(Fused::<false>) } else { kernel.run_with(Separate) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline(never)]
fn with_avx512<K: FusedKernel>(kernel: K) -> K::Output {
    kernel.run_with(Fused::<true>)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn with_avx2<K: FusedKernel>(kernel: K) -> K::Output {
    kernel.run_with(Fused::<false>)
}

/// The end of a row that is shorter than all lanes, filled up.
#[inline(always)]
pub fn filled_up<T: Copy>(rest: &[T], filler: T) -> [T; LANES] {
    let mut lanes = [filler; LANES];
    lanes[..rest.len()].copy_from_slice(rest);
    lanes
}

/// The largest of the numbers and `least`; what is not a number is not larger.
#[inline(always)]
pub fn largest<T: Copy + PartialOrd>(numbers: &[T], least: T) -> T {
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let larger = |one: T, other: T| if one > other { one } else { other };
    let mut lanes = [least; LANES];
    for chunk in chunks.iter().chain([&filled_up(rest, least)]) {
        for lane in 0..LANES {
            lanes[lane] = larger(chunk[lane], lanes[lane]);
        }
    }
    halved(lanes, larger)
}

/// The sum of all lanes, by halves.
#[inline(always)]
pub fn sum_of<T: Copy + Add<Output = T>, const N: usize>(lanes: [T; N]) -> T {
    halved(lanes, |a, b| a + b)
}

/// All lanes, a power of two of them, together by halves.
#[inline(always)]
fn halved<T: Copy, const N: usize>(mut lanes: [T; N], join: impl Fn(T, T) -> T) -> T {
    let mut width = N / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = join(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// `exp(x)` and `exp(x) - 1` for `x <= 0`, each with an error of some 3e-7 of itself; below -87 they stay at their values
/// there, and what is not a number stays that.
///
/// `x = n log 2 + r`, `|r| <= log(2)/2`, and a Taylor polynomial of degree 7 for `exp(r) - 1`.
#[inline(always)]
pub fn exp_of_negative(x: f32) -> (f32, f32) {
    /// Adding and subtracting it rounds to an integer.
    const ROUNDER: f32 = 12_582_912.0;
    const LOG2_HIGH: f32 = 0.693_359_4;
    const LOG2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let n = (x * std::f32::consts::LOG2_E + ROUNDER) - ROUNDER;
    let r = (x - n * LOG2_HIGH) - n * LOG2_LOW;
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        p = p * r + coefficient;
    }
    let (above_one, scale) = (p * r, f32::from_bits(((n as i32 + 127) << 23) as u32));
    (above_one * scale + scale, above_one * scale + (scale - 1.0))
}

/// `exp(x)` for `x <= 0` in double precision, to rounding; below -700 it stays at its value there.
///
/// As [`exp_of_negative`], with degree 13.
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

/// `log(x)` for normal `x > 0`, with an error of some 2e-7 of itself or of 1e-7 where it is below one half.
///
/// `x = 2^n m`, `m` from `1/sqrt(2)` to `sqrt(2)`, and `log(m) = 2 atanh((m - 1) / (m + 1))`.
#[inline(always)]
pub fn log_of_positive(x: f32) -> f32 {
    /// Bits of `1/sqrt(2)`.
    const LOWEST: u32 = 0x3f35_04f3;
    const LOG2_HIGH: f32 = 0.693_359_4;
    const LOG2_LOW: f32 = -2.121_944_4e-4;
    let bits = x.to_bits();
    let exponent = (bits.wrapping_sub(LOWEST) as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32));
    let n = exponent as f32;
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut p = 2.0 / 9.0;
    for coefficient in [2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
        p = p * square + coefficient;
    }
    n * LOG2_HIGH + (n * LOG2_LOW + p * s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_agree_with_the_exact_ones() {
        for step in 0..8_600 {
            let x = -0.01 * step as f32;
            let (power, excess) = exp_of_negative(x);
            let exact = f64::from(x).exp();
            assert!((f64::from(power) / exact - 1.0).abs() < 3e-7, "exp({x})");
            assert!(
                (f64::from(excess) - f64::from(x).exp_m1()).abs() <= 3e-7 * f64::from(x).exp_m1().abs(),
                "expm1({x})"
            );
        }
        let tiny = -1e-12_f32;
        assert!((exp_of_negative(tiny).1 / tiny - 1.0).abs() < 1e-6);
        for step in 0..7_000 {
            let x = -0.1 * f64::from(step);
            assert!((double_exp_of_negative(x) / x.exp() - 1.0).abs() < 1e-14, "exp({x})");
        }
        assert_eq!(exp_of_negative(0.0), (1.0, 0.0));
        assert_eq!(double_exp_of_negative(0.0), 1.0);
        assert!(exp_of_negative(f32::NAN).0.is_nan() && double_exp_of_negative(f64::NAN).is_nan());
    }

    #[test]
    fn lanes_are_joined_by_halves() {
        let lanes: [f64; LANES] = std::array::from_fn(|lane| lane as f64);
        assert_eq!(sum_of(lanes), 496.0);
        assert_eq!(halved(lanes, f64::max), 31.0);
        assert_eq!(largest(&lanes[..31], f64::NEG_INFINITY), 30.0);
        assert_eq!(largest(&[[3.0, f64::NAN].as_slice(), &lanes[..]].concat(), 0.0), 31.0);
        assert_eq!(largest(&[], -1.0), -1.0);
        assert_eq!(filled_up(&[1, 2], 7)[..3], [1, 2, 7]);
    }

    #[test]
    fn logarithms_agree_with_the_exact_ones() {
        for step in 0..4000 {
            let x = (10.0_f64.powf(0.01 * f64::from(step) - 20.0)) as f32;
            let exact = f64::from(x).ln();
            assert!((f64::from(log_of_positive(x)) - exact).abs() < 2e-7 * exact.abs().max(0.5), "log({x})");
        }
        assert_eq!(log_of_positive(1.0), 0.0);
    }
}
