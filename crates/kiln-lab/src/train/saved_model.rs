//! A trained model on disk: `model.toml` and `model.safetensors` side by side.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use kiln_data::{ArrayDataset, Preprocessing, TargetEncoding, Task};
use kiln_nn::{Network, NetworkConfig, load_safetensors, save_safetensors};
use serde::{Deserialize, Serialize};

use super::{ImageTask, TrainConfig, gives_probabilities, predict_logits};
use crate::{LabError, write_whole};

/// Everything that predicting with a trained network needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SavedModel {
    /// Version of kiln that wrote it.
    pub kiln: String,
    /// SHA-256 of the data at the training, where it lay in files; see [`kiln_data::fingerprint`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<String>,
    /// How it was trained.
    pub training: TrainConfig,
    /// The network.
    pub network: NetworkConfig,
    /// What was done to the training rows.
    pub preprocessing: Preprocessing,
}

impl SavedModel {
    /// Name of the description in the model's folder.
    pub const DESCRIPTION: &'static str = "model.toml";
    /// Name of the weights in the model's folder.
    pub const WEIGHTS: &'static str = "model.safetensors";

    /// Writes the description and the weights to `folder`, each whole.
    ///
    /// # Errors
    /// [`LabError::Io`] when the folder cannot be written.
    pub fn save(&self, network: &Network, folder: &Path) -> Result<(), LabError> {
        save_safetensors(network, folder.join(Self::WEIGHTS)).map_err(LabError::method)?;
        let text = toml::to_string(self).map_err(LabError::method)?;
        write_whole(&folder.join(Self::DESCRIPTION), text.as_bytes())
    }

    /// Reads a model from its folder, or from its `model.toml`.
    ///
    /// # Errors
    /// [`LabError::Io`] when a file is missing, [`LabError::Corrupt`] when the description is none, and the weights'
    /// own error when they do not fit the network.
    pub fn load(path: &Path, device: &Device) -> Result<(Self, Network), LabError> {
        let description = description_of(path);
        let text = std::fs::read_to_string(&description).map_err(|error| LabError::io("read", &description, error))?;
        let model: Self =
            toml::from_str(&text).map_err(|error| LabError::corrupt("model description", &description, error))?;
        model.preprocessing.check().map_err(|reason| LabError::corrupt("model description", &description, reason))?;
        let shape = model.preprocessing.input_shape();
        let outputs = model.preprocessing.num_outputs();
        let network = model.network.init_seeded(&shape, outputs, 0, device).map_err(LabError::method)?;
        let network = load_safetensors(network, Self::folder(path).join(Self::WEIGHTS)).map_err(LabError::method)?;
        Ok((model, network.fork(device).valid()))
    }

    /// The folder of a model that is named by its folder or by one of its files.
    pub fn folder(path: &Path) -> &Path {
        if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) }
    }

    /// What the model predicts.
    pub fn task(&self) -> Task {
        match self.preprocessing.targets {
            TargetEncoding::Classes { .. } => Task::Classify,
            TargetEncoding::Values { .. } | TargetEncoding::Pixels => Task::Regress,
        }
    }

    /// Whether the model continues text.
    pub fn reads_text(&self) -> bool {
        self.preprocessing.is_text()
    }

    /// What the model makes of pictures, where it gives pictures.
    pub fn image_task(&self) -> Option<ImageTask> {
        self.training.image_task()
    }

    /// Whether the loss that the network was trained with makes its softmax a probability.
    pub fn gives_probabilities(&self) -> bool {
        self.task() == Task::Classify && self.training.loss.as_ref().is_none_or(gives_probabilities)
    }
}

/// Class probabilities of every example, `[example][class]`.
pub fn predict_probabilities(network: &Network, data: &ArrayDataset, device: &Device) -> Vec<Vec<f64>> {
    rows(softmax(predict_logits(network, data, device), 1))
}

/// Scores of every example, `[example][class]`.
pub fn predict_scores(network: &Network, data: &ArrayDataset, device: &Device) -> Vec<Vec<f64>> {
    rows(predict_logits(network, data, device))
}

/// Predicted numbers of every example in the units of the data, `[example][target]`.
pub fn predict_values(
    network: &Network,
    data: &ArrayDataset,
    targets: &TargetEncoding,
    device: &Device,
) -> Vec<Vec<f64>> {
    let outputs = predict_logits(network, data, device);
    let [_, width] = outputs.dims();
    let mut values: Vec<f32> = outputs.into_data().iter::<f32>().collect();
    targets.restore(&mut values);
    values.chunks(width).map(|row| row.iter().map(|&value| value.into()).collect()).collect()
}

fn rows(tensor: Tensor<2>) -> Vec<Vec<f64>> {
    let [_, width] = tensor.dims();
    let values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
    values.chunks(width).map(<[f64]>::to_vec).collect()
}

fn description_of(path: &Path) -> PathBuf {
    match path.extension() {
        Some(extension) if extension == "toml" => path.to_path_buf(),
        Some(extension) if extension == "safetensors" => path.with_file_name(SavedModel::DESCRIPTION),
        _ => path.join(SavedModel::DESCRIPTION),
    }
}
