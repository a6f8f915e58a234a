//! Random tensors that are the same in every run of a test.

use std::cell::RefCell;

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

thread_local! {
    /// Every test has a thread of its own, and so the same numbers whatever runs beside it.
    static RANDOM: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Normal numbers of mean 0 and variance 1 on the Flex device, the next ones at each call on a thread.
pub fn normal<const D: usize>(dims: [usize; D], dtype: DType) -> Tensor<D> {
    let count = dims.iter().product();
    let numbers: Vec<f64> = RANDOM.with_borrow_mut(|random| {
        let mut next = || {
            // Box and Muller; a uniform number from above zero keeps the logarithm finite.
            let (radius, angle) = (1.0 - random.random::<f64>(), random.random::<f64>());
            (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
        };
        (0..count).map(|_| next()).collect()
    });
    Tensor::from_data(TensorData::new(numbers, dims).convert_dtype(dtype), (&Device::flex(), dtype))
}

#[cfg(test)]
mod tests {
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
    }
}
