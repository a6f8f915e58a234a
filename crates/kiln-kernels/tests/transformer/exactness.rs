//! Random tensors of single precision, and results that have to be the same to the last bit.

use burn::tensor::{DType, Tensor};
use kiln_check::random::normal;

pub fn random<const D: usize>(dims: [usize; D]) -> Tensor<D> {
    normal(dims, DType::F32)
}

/// The same numbers in double precision, in a graph.
pub fn exact<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    tensor.clone().cast(DType::F64).autodiff().require_grad()
}

/// Most roundings of a product that is summed over `count` numbers in 16 lanes, which are added up at the end.
pub fn in_lanes(count: usize) -> usize {
    1 + count / 16 + 5 + count % 16
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
