//! Networks in other floating-point types.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, FloatDType, Tensor};

/// The network with all its values in the given type, on the same device and as trainable as before.
///
/// ```
/// use burn::tensor::{DType, Device, FloatDType, Tensor};
/// use kiln_nn::{MlpConfig, cast_floats};
///
/// let device = Device::flex();
/// let mlp = cast_floats(MlpConfig::new(4, vec![3], 2).init(&device)?, FloatDType::F64);
/// let outputs = mlp.forward(Tensor::ones([1, 4], (&device, DType::F64)));
/// assert_eq!(outputs.dtype(), DType::F64);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
pub fn cast_floats<M: Module>(module: M, dtype: FloatDType) -> M {
    let trains = module.devices().iter().any(Device::is_autodiff);
    // Outside of the graph, so that the results are leaves that an optimizer can update, and with the update of the
    // running statistics that the last training step set aside.
    let cast = module.valid().map(&mut Cast { dtype });
    if trains { cast.train() } else { cast }
}

struct Cast {
    dtype: FloatDType,
}

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(self.dtype))
    }
}
