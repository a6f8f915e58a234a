//! What a training minimises.

use std::path::Path;

use burn::tensor::{Int, Tensor};
use kiln_loss::{ClassificationLoss, RegressionLoss};
use kiln_nn::Network;

use super::Batch;
use crate::{LabError, files};

/// A scalar to minimise on a batch.
///
/// Every [`ClassificationLoss`] is one, and [`RegressionObjective`] learns numbers. Objectives that look at the inputs too, such
/// as adversarial ones, implement [`loss`](Objective::loss) themselves.
pub trait Objective: Send + Sync {
    /// Loss of a batch, with its graph.
    ///
    /// # Shapes
    /// - `inputs`: `[batch_size, num_features]`
    /// - `targets`: `[batch_size]`
    /// - output: `[1]`
    ///
    /// `step` counts the optimizer steps from 0; objectives that draw random numbers seed them with it.
    fn loss(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<1, Int>, step: u64) -> Tensor<1>;

    /// Loss of a batch as [`loss`](Objective::loss) gives it, and the network's logits `[batch_size, num_classes]` on the
    /// inputs where the loss came by them.
    fn loss_and_logits(
        &self,
        network: &Network,
        inputs: Tensor<2>,
        targets: Tensor<1, Int>,
        step: u64,
    ) -> (Tensor<1>, Option<Tensor<2>>) {
        (self.loss(network, inputs, targets, step), None)
    }

    /// Loss of a batch with its graph, and the network's outputs `[batch_size, num_outputs]` where the loss came by them.
    ///
    /// As [`loss_and_logits`](Objective::loss_and_logits) of the classes, unless the objective takes other targets too.
    fn on_batch(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        self.loss_and_logits(network, batch.inputs.clone(), batch.targets.classes(), batch.step)
    }

    /// As [`on_batch`](Objective::on_batch), for a step of a training: objectives that draw random numbers
    /// or remember rows do so here and in no evaluation.
    fn training_loss_and_logits(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        self.on_batch(network, batch)
    }

    /// Whether its value on the validation rows can choose the epoch; where not, their accuracy does.
    fn measures_progress(&self) -> bool {
        true
    }

    /// Whether a step of a training forms the outputs of all classes. Where it does not, nobody asks for the accuracy on the
    /// training rows, which would form them again.
    fn forms_outputs(&self) -> bool {
        true
    }

    /// The network at the end of an epoch, as it is judged and kept: an objective that trains weights of its own puts them
    /// in.
    fn finish_epoch(&self, network: Network) -> Network {
        network
    }

    /// Whether there is something to keep in a checkpoint besides the network: what the objective remembers of the
    /// training rows, or weights of its own.
    fn has_memory(&self) -> bool {
        false
    }

    /// Writes that into `file`, whole.
    ///
    /// # Errors
    /// [`LabError::Io`] when the file cannot be written.
    fn save_memory(&self, _file: &Path) -> Result<(), LabError> {
        Ok(())
    }

    /// Goes on with what [`save_memory`](Objective::save_memory) has written.
    ///
    /// # Errors
    /// [`LabError::Io`] when the file cannot be read, [`LabError::Corrupt`] when it holds something else.
    fn load_memory(&self, _file: &Path) -> Result<(), LabError> {
        Ok(())
    }
}

impl<L: ClassificationLoss> Objective for L {
    fn loss(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<1, Int>, _step: u64) -> Tensor<1> {
        self.forward(network.forward(inputs), targets)
    }

    fn loss_and_logits(
        &self,
        network: &Network,
        inputs: Tensor<2>,
        targets: Tensor<1, Int>,
        _step: u64,
    ) -> (Tensor<1>, Option<Tensor<2>>) {
        let logits = network.forward(inputs);
        (self.forward(logits.clone(), targets), Some(logits))
    }

    fn training_loss_and_logits(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        let logits = network.forward(batch.inputs.clone());
        let loss = self.forward_in_training(logits.clone(), batch.targets.classes(), &batch.moment());
        (loss, Some(logits))
    }

    fn measures_progress(&self) -> bool {
        ClassificationLoss::measures_progress(self)
    }

    fn has_memory(&self) -> bool {
        self.memory().is_some()
    }

    /// Single-precision numbers, little-endian, one after the other.
    fn save_memory(&self, file: &Path) -> Result<(), LabError> {
        files::write_numbers(file, &self.memory().unwrap_or_default())
    }

    fn load_memory(&self, file: &Path) -> Result<(), LabError> {
        const WHAT: &str = "memory of the loss";
        let memory = files::read_numbers(WHAT, file)?;
        self.remember(memory).map_err(|error| LabError::corrupt(WHAT, file, error))
    }
}

/// A loss on numbers; a class counts as its index.
#[derive(Clone, Copy, Debug)]
pub struct RegressionObjective(pub RegressionLoss);

impl Objective for RegressionObjective {
    fn loss(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<1, Int>, _step: u64) -> Tensor<1> {
        self.0.forward(network.forward(inputs), targets.float().unsqueeze_dim(1))
    }

    fn on_batch(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        let outputs = network.forward(batch.inputs.clone());
        (self.0.forward(outputs.clone(), batch.targets.values()), Some(outputs))
    }
}
