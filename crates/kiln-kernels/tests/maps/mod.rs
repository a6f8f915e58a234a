//! Random maps, and results that have to be the same to the last bit.

pub use kiln_check::random::normal as random;

/// Fails where a number of threads changes the bits of what `compute` gives.
pub fn assert_same_bits_with_any_number_of_threads(compute: impl Fn() -> Vec<burn::tensor::TensorData> + Sync + Send) {
    let results = [1, 2, 5]
        .map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&compute));
    assert!(results[0] == results[1] && results[1] == results[2]);
}
