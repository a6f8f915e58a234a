//! The loss on bags as what a training minimises.

use burn::tensor::{Int, Tensor};
use kiln_loss::aggregate::BagLoss;
use kiln_nn::Network;

use crate::LabError;
use crate::train::{Batch, Objective};

/// The interpolating loss in a training; what is measured on the validation rows is the error of the bags' means alone, for more
/// is not known of them.
#[derive(Clone, Copy, Debug)]
pub struct BagObjective {
    training: BagLoss,
    judging: BagLoss,
}

impl BagObjective {
    /// Minimises `loss`.
    ///
    /// # Errors
    /// [`LabError::Method`], which a loss that exists does not give.
    pub fn new(loss: BagLoss) -> Result<Self, LabError> {
        Ok(Self { training: loss, judging: loss.at(0.0).map_err(LabError::method)? })
    }

    fn of(loss: &BagLoss, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        let outputs = network.forward(batch.inputs.clone());
        let (bag_of_row, responses) = batch.targets.bags();
        (loss.forward(outputs.clone(), bag_of_row, responses), Some(outputs))
    }
}

impl Objective for BagObjective {
    /// Each row is a bag of its own.
    fn loss(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<1, Int>, _step: u64) -> Tensor<1> {
        let outputs = network.forward(inputs);
        let [rows, width] = outputs.dims();
        let bag_of_row = Tensor::arange(0..rows as i64, &outputs.device());
        self.judging.forward(outputs, bag_of_row, targets.one_hot(width).float())
    }

    fn on_batch(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        Self::of(&self.judging, network, batch)
    }

    fn training_loss_and_logits(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        Self::of(&self.training, network, batch)
    }
}
