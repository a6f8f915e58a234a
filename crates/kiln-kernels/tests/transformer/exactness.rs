//! Random tensors of single precision, and how far results are from those of double precision.

use std::cell::Cell;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_check::values;

thread_local! {
    /// Every test has a thread of its own, and so the same numbers in every run.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Numbers of mean 0 and variance 1, nearly normal.
pub fn random<const D: usize>(dims: [usize; D]) -> Tensor<D> {
    let numbers: Vec<f32> = (0..dims.iter().product()).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect();
    Tensor::from_data(TensorData::new(numbers, dims), &Device::flex())
}

/// A number from 0 to 1, from the bits of splitmix64.
fn uniform() -> f32 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let bits = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
}

/// The same numbers in double precision, in a graph.
pub fn exact<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    tensor.clone().cast(DType::F64).autodiff().require_grad()
}

/// Asserts that no number is off by more than 1e-5 of the largest one.
#[track_caller]
pub fn assert_exact<const D: usize>(actual: &Tensor<D>, expected: &Tensor<D>) {
    assert_eq!(actual.dims(), expected.dims());
    assert_eq!(actual.dtype(), DType::F32);
    let (actual, expected) = (values(actual), values(expected));
    let largest = expected.iter().fold(1e-3_f64, |largest, value| largest.max(value.abs()));
    for (at, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
        let difference = (actual - expected).abs();
        assert!(difference <= 1e-5 * largest, "{actual} instead of {expected} at {at}");
    }
}

/// What `work` gives in pools of 1, 2 and 7 threads and outside of any is the same to the last bit.
#[track_caller]
pub fn assert_same_bits<const D: usize>(work: impl Fn() -> Vec<Tensor<D>> + Send + Sync) {
    let bits = || work().iter().map(|tensor| tensor.to_data().try_to_vec::<f32>().unwrap()).collect::<Vec<_>>();
    let expected = bits();
    for threads in [1, 2, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(bits) == expected, "{threads} threads");
    }
}
