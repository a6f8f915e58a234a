//! Loading an optimizer's saved state, checked against the module that it belongs to.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::ModuleOptimizer;
use burn::store::burn_pack::{Reader, Tensor as StoredTensor};
use burn::tensor::{DType, Tensor};

use crate::OptimError;

/// Restores an optimizer's state from a file that [`ModuleOptimizer::save`] wrote.
///
/// Burn's own `load` does not know the module: a state of another shape shows itself as a panic in the next step, a state
/// of another optimizer is dropped without a word. Here every state tensor is compared with its parameter first, and as
/// many tensors must arrive as the file has. State of parameters that the module does not have is kept unseen, as Burn
/// keeps it.
///
/// # Errors
/// [`OptimError::StateUnreadable`] where the file is missing or damaged, [`OptimError::StateShape`] and
/// [`OptimError::StateType`] where a tensor does not fit its parameter, [`OptimError::StateEntry`] where the file
/// contradicts itself, [`OptimError::StateForeign`] where another optimizer wrote it.
pub fn load_state<M: Module>(
    optimizer: ModuleOptimizer,
    module: &M,
    path: impl AsRef<Path>,
) -> Result<ModuleOptimizer, OptimError> {
    let path = path.as_ref();
    let unreadable = |error: String| OptimError::StateUnreadable(format!("{}: {error}", path.display()));
    let reader = Reader::from_file(path).map_err(|error| unreadable(error.to_string()))?;
    let mut expected = Expected { path, parameters: Parameters::of(module), ranks: stored_ranks(&reader) };
    let tensors = reader.into_tensors().map_err(|error| unreadable(error.to_string()))?;
    tensors.iter().try_for_each(|tensor| expected.check_tensor(tensor))?;
    expected.check_ranks()?;

    let loaded = optimizer.load(path).map_err(|error| unreadable(error.to_string()))?;
    let (taken, total) = (loaded.to_record().len(), tensors.len());
    if taken != total {
        return Err(OptimError::StateForeign { path: path.to_path_buf(), taken, total });
    }
    Ok(loaded)
}

/// What the file says of each parameter's rank.
fn stored_ranks(reader: &Reader) -> BTreeMap<u64, Option<usize>> {
    let entries = reader.scalars().iter().filter_map(|(name, rank)| {
        let id = name.strip_suffix(RANK)?.strip_suffix('.')?.parse().ok()?;
        Some((id, usize::try_from(*rank).ok()))
    });
    entries.collect()
}

/// Burn's name for the rank of a parameter.
const RANK: &str = "__rank";
/// Largest rank of a tensor of Burn's optimizers.
const HIGHEST_RANK: usize = 8;

/// What the entries of a file are held against.
struct Expected<'a> {
    path: &'a Path,
    parameters: BTreeMap<u64, Parameter>,
    ranks: BTreeMap<u64, Option<usize>>,
}

/// A floating-point parameter of the module.
struct Parameter {
    path: String,
    shape: Vec<usize>,
    dtype: DType,
}

impl Expected<'_> {
    fn check_tensor(&mut self, tensor: &StoredTensor) -> Result<(), OptimError> {
        let (id, field) = match tensor.name.split_once('.') {
            Some((id, field)) if tensor.param_id.is_some_and(|number| number.to_string() == id) => {
                (tensor.param_id, field)
            }
            _ => return Err(self.contradiction(&tensor.name, "it does not begin with the number of its parameter")),
        };
        let Some(id) = id else { return Ok(()) };
        let shape = tensor.shape.to_vec();
        let Some(parameter) = self.parameters.get(&id) else {
            let rank = self.ranks.entry(id).or_insert(Some(shape.len()));
            return match *rank == Some(shape.len()) && tensor.dtype.is_float() {
                true => Ok(()),
                false => {
                    Err(self.contradiction(&tensor.name, "it is no floating-point tensor of its parameter's rank"))
                }
            };
        };
        let (path, parameter_path, field) = (self.path.to_path_buf(), parameter.path.clone(), field.to_string());
        if shape != parameter.shape {
            let parameter_shape = parameter.shape.clone();
            return Err(OptimError::StateShape {
                path,
                parameter: parameter_path,
                field,
                parameter_shape,
                state_shape: shape,
            });
        }
        if tensor.dtype != parameter.dtype {
            let (parameter_type, state_type) = (parameter.dtype.name(), tensor.dtype.name());
            return Err(OptimError::StateType { path, parameter: parameter_path, field, parameter_type, state_type });
        }
        Ok(())
    }

    /// Burn takes the rank of a state from the file, and panics where the tensors have another.
    fn check_ranks(&self) -> Result<(), OptimError> {
        for (id, rank) in &self.ranks {
            let entry = format!("{id}.{RANK}");
            let parameter = self.parameters.get(id).map(|parameter| parameter.shape.len());
            match (*rank, parameter) {
                (Some(rank), Some(right)) if rank != right => {
                    return Err(
                        self.contradiction(&entry, &format!("it is {rank}, but the parameter has rank {right}"))
                    );
                }
                (Some(rank), _) if rank > HIGHEST_RANK => {
                    return Err(self.contradiction(&entry, &format!("{rank} is above {HIGHEST_RANK}")));
                }
                (Some(_), _) => {}
                (None, _) => return Err(self.contradiction(&entry, "it is no rank")),
            }
        }
        Ok(())
    }

    fn contradiction(&self, entry: &str, reason: &str) -> OptimError {
        OptimError::StateEntry { path: self.path.to_path_buf(), entry: entry.to_string(), reason: reason.to_string() }
    }
}

/// Reads the floating-point parameters of a module, by their numbers.
#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    found: BTreeMap<u64, Parameter>,
}

impl Parameters {
    fn of<M: Module>(module: &M) -> BTreeMap<u64, Parameter> {
        let mut parameters = Self::default();
        module.visit(&mut parameters);
        parameters.found
    }
}

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let parameter = Parameter { path: self.path.join("."), shape: value.dims().to_vec(), dtype: value.dtype() };
        self.found.insert(param.id.val(), parameter);
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
    fn the_state_of_another_optimizer_is_refused() {
        let (module, optimizer) = trained(&Device::flex().autodiff());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.bpk");
        optimizer.save(&path).unwrap();
        let error = load_state(crate::AdaDeltaConfig::new().init().unwrap(), &module, &path).err().unwrap();
        assert_eq!(error, OptimError::StateForeign { path, taken: 0, total: 3 });
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
