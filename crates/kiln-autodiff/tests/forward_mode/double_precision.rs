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

/// The module with all its values in double precision. Those that Burn has drawn at random are others, the same ones in
/// every run.
pub fn double<M: Module>(module: M) -> M {
    module.map(&mut Redrawn { count: 0 })
}

struct Redrawn {
    /// Tensors that have been drawn.
    count: u64,
}

impl ModuleMapper for Redrawn {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|drawn| {
            let is_constant = drawn.clone().max().equal(drawn.clone().min()).into_scalar::<bool>();
            if is_constant {
                return drawn.cast(FloatDType::F64);
            }
            self.count += 1;
            tensor(drawn.dims(), 1000 + self.count) * 0.5
        })
    }
}
