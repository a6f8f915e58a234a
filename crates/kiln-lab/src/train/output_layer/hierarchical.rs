//! Training with the hierarchical softmax.

use burn::tensor::{Int, Tensor};
use kiln_nn::Network;

use crate::train::{Batch, Objective};

/// Mean negative log-likelihood under the network's hierarchical softmax. A training step forms the logits of the clusters
/// and of one cluster for each row.
#[derive(Clone, Copy, Debug)]
pub struct HierarchicalObjective;

impl Objective for HierarchicalObjective {
    fn loss(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<1, Int>, step: u64) -> Tensor<1> {
        self.loss_and_logits(network, inputs, targets, step).0
    }

    fn loss_and_logits(
        &self,
        network: &Network,
        inputs: Tensor<2>,
        targets: Tensor<1, Int>,
        _step: u64,
    ) -> (Tensor<1>, Option<Tensor<2>>) {
        let log_probabilities = network.forward(inputs);
        let loss = -log_probabilities.clone().gather(1, targets.unsqueeze_dim(1)).mean();
        (loss, Some(log_probabilities))
    }

    /// # Panics
    /// Where the network's last layer is another one.
    fn training_loss_and_logits(&self, network: &Network, batch: &Batch) -> (Tensor<1>, Option<Tensor<2>>) {
        let Some(head) = network.hierarchical_head() else { panic!("the network has no hierarchical softmax") };
        let features = network.features(batch.inputs.clone());
        (head.negative_log_likelihood(features, batch.targets.classes()).mean(), None)
    }

    fn forms_outputs(&self) -> bool {
        false
    }
}
