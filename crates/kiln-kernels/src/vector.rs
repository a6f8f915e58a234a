//! Functions of many numbers at once, compiled for the instruction sets at hand.

use std::ops::Add;

use pulp::Simd;

/// Numbers that are worked on side by side.
pub const LANES: usize = 32;

/// As [`LANES`], in rows that are often short: one vector of the widest instruction set.
pub(crate) const FEW_LANES: usize = 16;

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

/// The vector that begins at a number.
#[inline(always)]
pub(crate) fn load<S: Simd>(values: &[f32], at: usize) -> S::f32s {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&values[at..at + S::F32_LANES]))
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

/// The sum of `term` over all numbers, in `N` sums side by side.
#[inline(always)]
pub fn sum_of_terms<T: Copy + Default + Add<Output = T>, const N: usize>(numbers: &[T], term: impl Fn(T) -> T) -> T {
    let (chunks, rest) = numbers.as_chunks::<N>();
    let mut lanes = [T::default(); N];
    for chunk in chunks {
        for lane in 0..N {
            lanes[lane] = lanes[lane] + term(chunk[lane]);
        }
    }
    rest.iter().fold(sum_of(lanes), |sum, number| sum + term(*number))
}

/// The sum of `term` over the pairs of two slices of the same length, in `N` sums side by side.
#[inline(always)]
pub fn sum_of_pairs<T: Copy + Default + Add<Output = T>, const N: usize>(
    numbers: &[T],
    others: &[T],
    term: impl Fn(T, T) -> T,
) -> T {
    let ((chunks, rest), (other_chunks, other_rest)) = (numbers.as_chunks::<N>(), others.as_chunks::<N>());
    let mut lanes = [T::default(); N];
    for (chunk, others) in chunks.iter().zip(other_chunks) {
        for lane in 0..N {
            lanes[lane] = lanes[lane] + term(chunk[lane], others[lane]);
        }
    }
    rest.iter().zip(other_rest).fold(sum_of(lanes), |sum, (number, other)| sum + term(*number, *other))
}

/// The sum of all lanes, by halves.
#[inline(always)]
pub fn sum_of<T: Copy + Add<Output = T>, const N: usize>(lanes: [T; N]) -> T {
    halved(lanes, |a, b| a + b)
}

/// All lanes, a power of two of them and at most [`LANES`], together by halves.
#[inline(always)]
fn halved<T: Copy, const N: usize>(mut lanes: [T; N], join: impl Fn(T, T) -> T) -> T {
    const { assert!(N.is_power_of_two() && N <= LANES) };
    // Steps of fixed widths: lanes that a width finds only at run time would lie in memory, and their sums with them.
    macro_rules! halve {
        ($($width:literal)*) => {
            $(if N > $width {
                for lane in 0..$width {
                    lanes[lane] = join(lanes[lane], lanes[lane + $width]);
                }
            })*
        };
    }
    halve!(16 8 4 2 1);
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn sums_have_all_their_terms_for_any_length() {
        for length in 0..70 {
            let numbers: Vec<f64> = (0..length).map(f64::from).collect();
            let expected = numbers.iter().map(|number| number * number).sum::<f64>();
            assert_eq!(sum_of_terms::<_, LANES>(&numbers, |number| number * number), expected);
            assert_eq!(sum_of_pairs::<_, FEW_LANES>(&numbers, &numbers, |one, other| one * other), expected);
        }
    }
}
