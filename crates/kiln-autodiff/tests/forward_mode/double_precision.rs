//! Tensors and modules in double precision.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

/// Values without pattern in about `[-1.4, 1.4]`, the same for the same seed.
pub fn tensor<const D: usize>(dims: [usize; D], seed: u64) -> Tensor<D> {
    let count: usize = dims.iter().product();
    let value = |index: usize| {
        let x = (index as f64 + 1.0) * 12.9898 + seed as f64 * 78.233;
        1.4 * (x.sin() * 43_758.545_3).fract()
    };
    Tensor::from_data(TensorData::new((0..count).map(value).collect::<Vec<f64>>(), dims), options())
}

pub fn options() -> (&'static Device, DType) {
    static DEVICE: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    (DEVICE.get_or_init(Device::flex), DType::F64)
}

/// The module with all its values in double precision.
pub fn double<M: Module>(module: M) -> M {
    module.map(&mut Cast)
}

struct Cast;

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(FloatDType::F64))
    }
}
