//! How good a model is, in the figures of its task.

use burn::tensor::Device;
use kiln_data::{ArrayDataset, Preprocessing, Task};
use kiln_nn::Network;
use serde::{Deserialize, Serialize};

use super::{Evaluation, RegressionEvaluation, predict_probabilities, predict_values, task_of};

/// Figures of a model on some rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figures {
    /// Of classes.
    Classes(Evaluation),
    /// Of numbers.
    Values(RegressionEvaluation),
}

impl Figures {
    /// Whether every figure is finite: where a network gives no finite outputs, some are not.
    pub fn are_finite(&self) -> bool {
        match self {
            Self::Classes(found) => {
                [found.log_loss, found.brier, found.calibration_error].iter().all(|f| f.is_finite())
            }
            Self::Values(found) => found.targets.iter().all(|target| target.rmse.is_finite() && target.mae.is_finite()),
        }
    }

    /// Judges `network` on the rows of `data`; `preprocessing` is that of the rows that it learnt from.
    pub fn of(network: &Network, data: &ArrayDataset, preprocessing: &Preprocessing, device: &Device) -> Self {
        match task_of(data) {
            Task::Classify => {
                Self::Classes(Evaluation::new(&predict_probabilities(network, data, device), &data.labels()))
            }
            Task::Regress => {
                let predicted = predict_values(network, data, &preprocessing.targets, device);
                Self::Values(RegressionEvaluation::new(&predicted, &true_values(data), data.class_names()))
            }
        }
    }

    /// The figures of numbers, where they are such.
    pub fn values(self) -> Option<RegressionEvaluation> {
        match self {
            Self::Values(found) => Some(found),
            Self::Classes(_) => None,
        }
    }
}

/// The numbers to predict of every row, in the units of the data, `[example][target]`.
pub fn true_values(data: &ArrayDataset) -> Vec<Vec<f64>> {
    (0..data.len()).map(|row| data.values(row).into_iter().map(f64::from).collect()).collect()
}
