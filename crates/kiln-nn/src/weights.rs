//! Weights as safetensors, under the names and in the layout that PyTorch's models use.

use burn::module::Module;
use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::{
    ApplyError, BurnToPyTorchAdapter, FloatCastAdapter, ModuleAdapter, ModuleSnapshot, ModuleStore,
    PyTorchToBurnAdapter, SafetensorsStore,
};
use burn::tensor::{DType, TensorData};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Weights that cannot be written, read or put into a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WeightsError {
    /// The file cannot be read, or is no safetensors file.
    #[error("cannot read weights from `{}`: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write weights to `{}`: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The network has tensors that the file lacks.
    #[error(
        "`{}` lacks {} of the {total} tensors of this network, such as `{}`: it holds the weights of another network",
        path.display(), tensors.len(), tensors.first().map(String::as_str).unwrap_or_default()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensors that it lacks.
        tensors: Vec<String>,
        /// Number of tensors of the network.
        total: usize,
    },
    /// The file has tensors that the network lacks.
    #[error(
        "`{}` has {} tensors that this network lacks, such as `{}`: it holds the weights of another network",
        path.display(), tensors.len(), tensors.first().map(String::as_str).unwrap_or_default()
    )]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// The tensors that the network lacks.
        tensors: Vec<String>,
    },
    /// A tensor has another shape than the network's.
    #[error("tensor `{tensor}` in `{}` has shape {found:?}, but this network needs {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The network's shape, in PyTorch's layout.
        expected: Vec<usize>,
        /// The file's shape.
        found: Vec<usize>,
    },
    /// A tensor's values cannot be used.
    #[error("tensor `{tensor}` in `{}` cannot be used: {reason}", path.display())]
    Values {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Writes all weights and running statistics of a network, under the names and in the layout of PyTorch's models.
///
/// The file is written whole: under a temporary name, then renamed over `path`.
///
/// # Errors
/// [`WeightsError::Write`] where the file cannot be written.
///
/// ```
/// use burn::tensor::Device;
/// use kiln_nn::{MlpConfig, load_safetensors, save_safetensors};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("model.safetensors");
/// let device = Device::flex();
/// let trained = MlpConfig::new(4, vec![8], 3).init(&device)?;
/// save_safetensors(&trained, &path)?;
/// let restored = load_safetensors(MlpConfig::new(4, vec![8], 3).init(&device)?, &path)?;
/// assert_eq!(restored.head.weight.to_data(), trained.head.weight.to_data());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_safetensors<M: Module>(module: &M, path: impl AsRef<Path>) -> Result<(), WeightsError> {
    let path = path.as_ref();
    let mut store = SafetensorsStore::from_file(path)
        .overwrite(true)
        .skip_enum_variants(true)
        // One entry, and the one that PyTorch's tools look for: several would be written in any order, and the same
        // weights would not give the same bytes.
        .clear_metadata()
        .metadata("format", "pt")
        .with_to_adapter(BurnToPyTorchAdapter);
    // Running statistics keep a training step's update aside until they are next read; `valid` reads them.
    module
        .valid()
        .save_into(&mut store)
        .map_err(|error| WeightsError::Write { path: path.to_path_buf(), reason: error.to_string() })
}

/// The network with the weights of a file that [`save_safetensors`] or PyTorch wrote.
///
/// Every tensor of the network must be in the file and the other way round, but for what has no meaning here
/// (`num_batches_tracked`, stored attention masks, an output layer that is tied to the embedding). Values take the
/// network's own floating-point type, in which they must be finite, and variances not negative. Usual other names are
/// understood: a `module.` or `transformer.` in front, `linear` for `fc`, `shortcut` for `downsample`.
///
/// # Errors
/// [`WeightsError`], which names the file, the tensor and both shapes.
pub fn load_safetensors<M: Module>(mut module: M, path: impl AsRef<Path>) -> Result<M, WeightsError> {
    let path = path.as_ref();
    let owned = || path.to_path_buf();
    let expected = module.collect(None, Some(Box::new(BurnToPyTorchAdapter)), true);
    let shapes: HashMap<String, Vec<usize>> =
        expected.iter().map(|tensor| (tensor.name.clone(), tensor.shape.to_vec())).collect();
    let tensors = read_renamed(path, &shapes)?;

    let mut missing: Vec<String> = {
        let found: HashMap<&str, ()> = tensors.iter().map(|tensor| (tensor.name.as_str(), ())).collect();
        shapes.keys().filter(|name| !found.contains_key(name.as_str())).cloned().collect()
    };
    if !missing.is_empty() {
        missing.sort();
        return Err(WeightsError::Missing { path: owned(), tensors: missing, total: shapes.len() });
    }
    let mut unexpected: Vec<String> =
        tensors.iter().map(|tensor| &tensor.name).filter(|name| !shapes.contains_key(*name)).cloned().collect();
    if !unexpected.is_empty() {
        unexpected.sort();
        return Err(WeightsError::Unexpected { path: owned(), tensors: unexpected });
    }
    for tensor in &tensors {
        if let Some(expected) = shapes.get(&tensor.name).filter(|shape| tensor.shape.to_vec() != **shape) {
            let found = tensor.shape.to_vec();
            return Err(WeightsError::Shape {
                path: owned(),
                tensor: tensor.name.clone(),
                expected: expected.clone(),
                found,
            });
        }
    }

    if let Some(name) = twice(&tensors) {
        let reason = "the file has it twice, once under another name".to_string();
        return Err(WeightsError::Values { path: owned(), tensor: name, reason });
    }

    let Some(dtype) = expected.iter().map(|tensor| tensor.dtype).find(|dtype| dtype.is_float()) else {
        return Ok(module);
    };
    for tensor in &tensors {
        if let Some(reason) = unusable_values(tensor, dtype) {
            return Err(WeightsError::Values { path: owned(), tensor: tensor.name.clone(), reason });
        }
    }
    let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(dtype));
    let result = module.apply(tensors, None, Some(Box::new(adapter)), true);
    match result.errors.into_iter().next() {
        Some(error) => Err(unusable(owned(), error)),
        None => Ok(module),
    }
}

/// The file's tensors, renamed to those of the network where only the convention differs.
fn read_renamed(path: &Path, shapes: &HashMap<String, Vec<usize>>) -> Result<Vec<StoredTensor>, WeightsError> {
    let mut store = SafetensorsStore::from_file(path);
    let stored = store
        .get_all_tensors()
        .map_err(|error| WeightsError::Read { path: path.to_path_buf(), reason: error.to_string() })?;
    let is_tied = output_is_the_embedding(stored.values());
    Ok(stored
        .values()
        .filter_map(|tensor| {
            let mut tensor = tensor.clone();
            if !shapes.contains_key(&tensor.name) {
                match conventional_names(&tensor.name).into_iter().find(|name| shapes.contains_key(name)) {
                    Some(name) => tensor.name = name,
                    None if is_without_meaning(&tensor.name) => return None,
                    None if tensor.name == OUTPUT_LAYER && is_tied => return None,
                    None => {}
                }
            }
            Some(tensor)
        })
        .collect())
}

/// A name that two tensors have.
fn twice(tensors: &[StoredTensor]) -> Option<String> {
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_string())
}

/// What keeps a tensor from being weights of type `dtype`, if anything does.
fn unusable_values(tensor: &StoredTensor, dtype: DType) -> Option<String> {
    if !tensor.dtype.is_float() {
        return Some(format!("its values are {}, but this network needs {}", tensor.dtype.name(), dtype.name()));
    }
    let data = match tensor.to_bytes() {
        Ok(bytes) => TensorData::from_bytes(bytes, tensor.shape.clone(), tensor.dtype),
        Err(error) => return Some(error.to_string()),
    };
    // Of the values that the network will hold: those of a wider type may be too large for it.
    let data = if tensor.dtype == dtype { data } else { data.convert_dtype(dtype) };
    let lowest = if tensor.name.ends_with("running_var") { 0.0 } else { f64::NEG_INFINITY };
    let right = |value: f64| value.is_finite() && value >= lowest;
    let wrong = match data.as_slice::<f32>() {
        Ok(values) => values.iter().map(|&value| f64::from(value)).enumerate().find(|&(_, value)| !right(value)),
        Err(_) => data.iter::<f64>().enumerate().find(|&(_, value)| !right(value)),
    };
    wrong.map(|(place, value)| match value.is_finite() {
        true => format!("value {place} is {value}, but no variance is negative"),
        false => format!("value {place} is {value}, which is not finite"),
    })
}

/// Names that the same tensor has by other conventions.
fn conventional_names(name: &str) -> Vec<String> {
    let bare = ["module.", "model.", "transformer."]
        .into_iter()
        .fold(name, |name, prefix| name.strip_prefix(prefix).unwrap_or(name));
    let mut names = vec![bare.to_string()];
    if let Some(parameter) = bare.strip_prefix("linear.") {
        names.push(format!("fc.{parameter}"));
    }
    names.push(bare.replace(".shortcut.", ".downsample."));
    names
}

/// Whether a tensor that the network lacks may be left out.
fn is_without_meaning(name: &str) -> bool {
    name.ends_with("num_batches_tracked") || name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")
}

const OUTPUT_LAYER: &str = "lm_head.weight";

/// Whether a file repeats the embedding of its words as the output layer, value by value. A network without an output
/// layer of its own uses the embedding for it: any other output layer would be lost.
fn output_is_the_embedding<'a>(stored: impl Iterator<Item = &'a StoredTensor> + Clone) -> bool {
    let named = |ending: &str| stored.clone().find(|tensor| tensor.name.ends_with(ending));
    match (named(OUTPUT_LAYER), named("wte.weight")) {
        (Some(output), Some(embedding)) if (&output.shape, output.dtype) == (&embedding.shape, embedding.dtype) => {
            matches!((output.to_bytes(), embedding.to_bytes()), (Ok(output), Ok(embedding)) if output == embedding)
        }
        _ => false,
    }
}

fn unusable(path: PathBuf, error: ApplyError) -> WeightsError {
    match error {
        ApplyError::ShapeMismatch { path: tensor, expected, found } => {
            WeightsError::Shape { path, tensor, expected: expected.to_vec(), found: found.to_vec() }
        }
        ApplyError::DTypeMismatch { path: tensor, expected, found } => WeightsError::Values {
            path,
            tensor,
            reason: format!("its values are {}, but this network needs {}", found.name(), expected.name()),
        },
        ApplyError::AdapterError { path: tensor, message } | ApplyError::LoadError { path: tensor, message } => {
            WeightsError::Values { path, tensor, reason: message }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Network, NetworkConfig, ResNetConfig, Shortcut, Stem};
    use burn::tensor::{Device, Tensor};
    use kiln_check::random::{normal, uniform};

    fn names(module: &impl Module) -> Vec<String> {
        module.collect(None, Some(Box::new(BurnToPyTorchAdapter)), true).into_iter().map(|t| t.name).collect()
    }

    fn configs() -> Vec<NetworkConfig> {
        let mut mlp = NetworkConfig::mlp([6, 5]);
        if let NetworkConfig::Mlp { norm, activation, .. } = &mut mlp {
            (*norm, *activation) = (crate::MlpNorm::Batch, Activation::Tanh);
        }
        vec![mlp, NetworkConfig::lenet(), NetworkConfig::conv_net(), NetworkConfig::resnet(8), NetworkConfig::vit()]
    }

    #[test]
    fn every_network_comes_back_with_equal_outputs() {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::flex();
        for config in configs() {
            let path = folder.path().join("model.safetensors");
            let network = config.init_seeded(&[1, 8, 8], 3, 1, &device.clone().autodiff()).unwrap();
            let inputs = normal([4, 64], DType::F32) * 2.0 + 1.0;
            // One step in training mode moves the running statistics.
            network.forward(Tensor::from_inner(inputs.clone()));
            save_safetensors(&network, &path).unwrap();
            let other = config.init_seeded(&[1, 8, 8], 3, 2, &device).unwrap();
            let before = other.forward(inputs.clone()).into_data();
            let restored = load_safetensors(other, &path).unwrap();
            let expected = network.valid().forward(inputs.clone()).into_data();
            assert_ne!(before, expected, "{config:?}");
            assert_eq!(restored.forward(inputs).into_data(), expected, "{config:?}");
            let files = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(files, 1, "no temporary file stays behind");
        }
    }

    #[test]
    fn names_and_layouts_are_those_of_pytorch() {
        let device = Device::flex();
        let network = NetworkConfig::vit().init(&[1, 8, 8], 3, &device).unwrap();
        let found = names(&network);
        for name in [
            "patch_embed.proj.weight",
            "cls_token",
            "pos_embed",
            "blocks.0.norm1.weight",
            "blocks.3.attn.qkv.bias",
            "blocks.1.attn.proj.weight",
            "blocks.2.mlp.fc1.weight",
            "blocks.2.mlp.fc2.bias",
            "norm.bias",
            "head.weight",
        ] {
            assert!(found.iter().any(|n| n == name), "{name} is not in {found:?}");
        }
        let resnet = ResNetConfig::new(8, [3, 8, 8], 3)
            .with_shortcut(Some(Shortcut::Projection))
            .with_stem(Some(Stem::Small))
            .init(&device)
            .unwrap();
        let found = names(&resnet);
        for name in ["conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight", "layer3.0.downsample.1.bias"] {
            assert!(found.iter().any(|n| n == name), "{name} is not in {found:?}");
        }
        // PyTorch keeps a linear layer's weight as [outputs, inputs].
        let stored = resnet.collect(None, Some(Box::new(BurnToPyTorchAdapter)), true);
        let weight = stored.iter().find(|tensor| tensor.name == "fc.weight").unwrap();
        assert_eq!(weight.shape.to_vec(), [3, 64]);
    }

    #[test]
    fn names_of_other_conventions_are_understood() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cifar.safetensors");
        let config = ResNetConfig::new(8, [3, 8, 8], 3).with_shortcut(Some(Shortcut::Projection));
        let resnet = config.init_seeded(1, &device).unwrap();
        let mut store = SafetensorsStore::from_file(&path)
            .with_to_adapter(BurnToPyTorchAdapter)
            .with_key_remapping(r"^fc\.", "linear.")
            .with_key_remapping(r"\.downsample\.", ".shortcut.")
            .with_key_remapping(r"^", "module.");
        resnet.save_into(&mut store).unwrap();
        let restored = load_safetensors(config.init_seeded(2, &device).unwrap(), &path).unwrap();
        let images = uniform([2, 3, 8, 8], DType::F32);
        assert_eq!(restored.forward(images.clone()).into_data(), resnet.forward(images).into_data());
    }

    fn mlp(num_inputs: usize, hidden: &[usize]) -> Network {
        NetworkConfig::mlp(hidden).init(&[num_inputs], 2, &Device::flex()).unwrap()
    }

    #[test]
    fn weights_of_another_network_are_refused_with_file_tensor_and_shapes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        save_safetensors(&mlp(4, &[8]), &path).unwrap();
        let shape = load_safetensors(mlp(5, &[8]), &path).unwrap_err();
        assert_eq!(
            shape,
            WeightsError::Shape {
                path: path.clone(),
                tensor: "layers.0.weight".into(),
                expected: vec![8, 5],
                found: vec![8, 4],
            }
        );
        assert!(shape.to_string().contains("model.safetensors"), "{shape}");
        let missing = load_safetensors(mlp(4, &[8, 8]), &path).unwrap_err();
        assert!(missing.to_string().contains("lacks 2 of the 6 tensors"), "{missing}");
        let unexpected = load_safetensors(mlp(4, &[]), &path).unwrap_err();
        assert!(matches!(unexpected, WeightsError::Unexpected { ref tensors, .. } if tensors.len() == 2));
    }

    #[test]
    fn broken_files_are_refused_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        assert!(matches!(load_safetensors(mlp(4, &[8]), &path), Err(WeightsError::Read { .. })));
        save_safetensors(&mlp(4, &[8]), &path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 4, 9, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = load_safetensors(mlp(4, &[8]), &path).unwrap_err();
            assert!(matches!(error, WeightsError::Read { .. }), "{length} bytes: {error}");
        }
        let nowhere = folder.path().join("absent").join("model.safetensors");
        assert!(matches!(save_safetensors(&mlp(4, &[8]), &nowhere), Err(WeightsError::Write { .. })));
    }
}
