//! Random maps, and how far two of them are apart.

use burn::tensor::{DType, Tensor};
pub use kiln_check::random::normal as random;
use kiln_check::values;

/// Fails where the largest difference, relative to the largest value, is more than rounding.
pub fn assert_equal<const D: usize>(actual: &Tensor<D>, expected: &Tensor<D>, what: &str) {
    assert_eq!((actual.dims(), actual.dtype()), (expected.dims(), expected.dtype()), "{what}");
    let allowed = if actual.dtype() == DType::F64 { 1e-12 } else { 1e-5 };
    let (actual, expected) = (values(actual), values(expected));
    let largest = expected.iter().fold(1e-3, |largest: f64, value| largest.max(value.abs()));
    for (actual, expected) in actual.iter().zip(&expected) {
        assert!((actual - expected).abs() <= allowed * largest, "{what}: {actual} and {expected}");
    }
}

/// Fails where a number of threads changes the bits of what `compute` gives.
pub fn assert_same_bits_with_any_number_of_threads(compute: impl Fn() -> Vec<burn::tensor::TensorData> + Sync + Send) {
    let results = [1, 2, 5]
        .map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&compute));
    assert!(results[0] == results[1] && results[1] == results[2]);
}
