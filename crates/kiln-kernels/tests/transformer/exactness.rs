//! Random tensors of single precision, and how far results are from those of double precision.

use burn::tensor::{DType, Tensor};
use kiln_check::random::normal;
use kiln_check::values;

pub fn random<const D: usize>(dims: [usize; D]) -> Tensor<D> {
    normal(dims, DType::F32)
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
