//! The seam at which a training rule takes over the step.

use std::fmt::Debug;

use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use kiln_nn::Network;

use super::{Batch, Objective};

/// How a batch changes a network. Both training loops, [`fit`](super::fit()) and [`train`](super::train), take their steps
/// by one.
///
/// The usual rule is [`Backpropagation`]. Rules without a backward pass, with preconditioned gradients, with inner
/// loops, or that learn their hyperparameters on the way replace one or both halves of the step; loaders, metrics,
/// checkpoints, early stopping and probes stay the same.
pub trait TrainingRule: Debug + Send + Sync {
    /// What the batch says: its loss and one gradient, or whatever takes its place, for each parameter.
    fn learn(&self, network: &Network, objective: &dyn Objective, batch: &Batch) -> Learned;

    /// The network after the step.
    fn update(
        &self,
        network: Network,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Network {
        kiln_optim::step(optimizer, rate, network, gradients)
    }
}

/// What a rule has found on a batch.
pub struct Learned {
    /// Loss of the batch, `[1]`.
    pub loss: Tensor<1>,
    /// The network's outputs `[batch_size, num_outputs]`, where the rule came by them; metrics that need them compute them otherwise.
    pub logits: Option<Tensor<2>>,
    /// One entry for each parameter that the step changes.
    pub gradients: GradientsParams,
}

/// The gradient of the objective by reverse-mode differentiation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backpropagation;

impl TrainingRule for Backpropagation {
    fn learn(&self, network: &Network, objective: &dyn Objective, batch: &Batch) -> Learned {
        let (loss, logits) = objective.training_loss_and_logits(network, batch);
        let gradients = GradientsParams::from_grads(loss.backward(), network);
        Learned { loss, logits, gradients }
    }
}
