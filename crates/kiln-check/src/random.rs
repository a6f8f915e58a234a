//! Random tensors and random cases that are the same in every run of a test.

use std::cell::RefCell;

use burn::tensor::{DType, Device, Tensor, TensorData};
use proptest::test_runner::{Config, RngSeed};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

thread_local! {
    /// Every test has a thread of its own, and so the same numbers whatever runs beside it.
    static RANDOM: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Normal numbers of mean 0 and variance 1 on the Flex device, the next ones at each call on a thread.
///
/// Burn's own generator is one for all threads: what a test draws from it depends on the tests that run beside it.
pub fn normal<const D: usize>(dims: [usize; D], dtype: DType) -> Tensor<D> {
    drawn(dims, dtype, |random| {
        // Box and Muller; a uniform number from above zero keeps the logarithm finite.
        let (radius, angle) = (1.0 - random.random::<f64>(), random.random::<f64>());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    })
}

/// Numbers from 0 to 1 that are drawn as those of [`normal`].
pub fn uniform<const D: usize>(dims: [usize; D], dtype: DType) -> Tensor<D> {
    drawn(dims, dtype, |random| random.random())
}

fn drawn<const D: usize>(dims: [usize; D], dtype: DType, next: impl Fn(&mut ChaCha8Rng) -> f64) -> Tensor<D> {
    let count: usize = dims.iter().product();
    let numbers: Vec<f64> = RANDOM.with_borrow_mut(|random| (0..count).map(|_| next(random)).collect());
    Tensor::from_data(TensorData::new(numbers, dims).convert_dtype(dtype), (&Device::flex(), dtype))
}

/// Settings of a property test with `count` cases, the same ones in every run; the variable `PROPTEST_RNG_SEED` has others.
pub fn cases(count: u32) -> Config {
    let config = Config::with_cases(count);
    let rng_seed = if config.rng_seed == RngSeed::Random { RngSeed::Fixed(0) } else { config.rng_seed };
    Config { rng_seed, ..config }
}

#[cfg(test)]
mod tests {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::values;

    #[test]
    fn threads_draw_the_same_normal_numbers() {
        let draw = || values(&normal([10_000], DType::F32));
        let [one, other] = [draw, draw].map(|draw| std::thread::spawn(draw).join().unwrap());
        assert_eq!(one, other);
        let mean = one.iter().sum::<f64>() / 1e4;
        let variance = one.iter().map(|number| number * number).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean}, {variance}");
        assert_ne!(values(&normal([3], DType::F64)), values(&normal([3], DType::F64)));
        assert!(values(&uniform([1000], DType::F64)).iter().all(|number| (0.0..1.0).contains(number)));
    }

    #[test]
    fn property_tests_draw_the_same_cases() {
        let draw = || {
            let mut runner = TestRunner::new(cases(1));
            (0..10).map(|_| (0..1_000_000_i32).new_tree(&mut runner).unwrap().current()).collect::<Vec<i32>>()
        };
        assert_eq!(draw(), draw());
    }
}
