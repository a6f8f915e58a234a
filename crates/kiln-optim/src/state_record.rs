//! Loading an optimizer's saved state, checked against the module that it belongs to.

use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::ModuleOptimizer;
use burn::store::burn_pack::Reader;
use burn::tensor::Tensor;

use crate::OptimError;

/// Restores an optimizer's state from a file that [`ModuleOptimizer::save`] wrote.
///
/// Burn's own `load` does not know the module, and a state of another shape shows itself as a panic in the next step.
/// Here every state tensor is compared with its parameter first. State of parameters that the module does not have is ignored, as
/// Burn ignores it.
///
/// # Errors
/// [`OptimError::StateUnreadable`] where the file is missing or damaged, [`OptimError::StateShape`] with both shapes where a
/// tensor does not fit.
pub fn load_state<M: Module>(
    optimizer: ModuleOptimizer,
    module: &M,
    path: impl AsRef<Path>,
) -> Result<ModuleOptimizer, OptimError> {
    let path = path.as_ref();
    let unreadable = |error: String| OptimError::StateUnreadable(format!("{}: {error}", path.display()));
    let reader = Reader::from_file(path).map_err(|error| unreadable(error.to_string()))?;
    let mut shapes = ParameterShapes::default();
    module.visit(&mut shapes);
    for tensor in reader.into_tensors().map_err(|error| unreadable(error.to_string()))? {
        let parameter = tensor.param_id.and_then(|id| shapes.found.get(&id));
        if let Some((parameter, parameter_shape)) = parameter
            && tensor.shape.to_vec() != *parameter_shape
        {
            let field = tensor.name.split_once('.').map_or(tensor.name.as_str(), |(_, field)| field);
            return Err(OptimError::StateShape {
                parameter: parameter.clone(),
                field: field.to_string(),
                parameter_shape: parameter_shape.clone(),
                state_shape: tensor.shape.to_vec(),
            });
        }
    }
    optimizer.load(path).map_err(|error| unreadable(error.to_string()))
}

/// Path and shape of every floating-point parameter, by its number.
#[derive(Default)]
struct ParameterShapes {
    path: Vec<String>,
    found: HashMap<u64, (String, Vec<usize>)>,
}

impl ModuleVisitor for ParameterShapes {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.insert(param.id.val(), (self.path.join("."), param.val().dims().to_vec()));
    }

    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DiffGradConfig;
    use burn::module::ParamId;
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::GradientsParams;
    use burn::tensor::Device;

    fn trained(device: &Device) -> (Linear, ModuleOptimizer) {
        let module = LinearConfig::new(3, 2).with_bias(false).init(device);
        let mut optimizer = DiffGradConfig::new().init().unwrap();
        let loss = module.forward(Tensor::<2>::ones([4, 3], device)).sum();
        let grads = GradientsParams::from_grads(loss.backward(), &module);
        (optimizer.step(0.1, module, grads), optimizer)
    }

    #[test]
    fn a_state_of_another_shape_is_refused_with_both_shapes() {
        let device = Device::flex().autodiff();
        let (module, optimizer) = trained(&device);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.bpk");
        optimizer.save(&path).unwrap();
        assert!(load_state(DiffGradConfig::new().init().unwrap(), &module, &path).is_ok());

        let id: ParamId = module.weight.id;
        let other = Linear { weight: Param::initialized(id, Tensor::zeros([5, 2], &device)), ..module };
        let error = load_state(DiffGradConfig::new().init().unwrap(), &other, &path).err().unwrap();
        let message = error.to_string();
        assert!(message.contains("[3, 2]") && message.contains("[5, 2]") && message.contains("weight"), "{message}");
    }

    #[test]
    fn missing_and_damaged_files_are_refused() {
        let (module, _) = trained(&Device::flex().autodiff());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.bpk");
        let load = || load_state(DiffGradConfig::new().init().unwrap(), &module, &path).err().unwrap();
        assert!(matches!(load(), OptimError::StateUnreadable(_)));
        std::fs::write(&path, b"not a record").unwrap();
        assert!(load().to_string().contains("state.bpk"));
    }
}
