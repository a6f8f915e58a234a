//! What a training minimises.

use burn::tensor::{Int, Tensor};
use kiln_loss::{ClassificationLoss, LossError, RegressionLoss};
use kiln_nn::Network;

use super::Batch;

/// A scalar to minimise on a batch.
///
/// Every [`ClassificationLoss`] is one, and [`RegressionObjective`] learns numbers. Objectives that look at the inputs too, such as adversarial ones, implement
/// [`loss`](Objective::loss) themselves.
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

    /// What the objective remembers of the training rows, for a checkpoint; nothing where it has no memory.
    fn memory(&self) -> Option<Vec<f32>> {
        None
    }

    /// Goes on with what [`memory`](Objective::memory) gave.
    ///
    /// # Errors
    /// [`LossError::Memory`] where it cannot have given that.
    fn remember(&self, _memory: Vec<f32>) -> Result<(), LossError> {
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

    fn memory(&self) -> Option<Vec<f32>> {
        ClassificationLoss::memory(self)
    }

    fn remember(&self, memory: Vec<f32>) -> Result<(), LossError> {
        ClassificationLoss::remember(self, memory)
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
