//! When probes look, and at what.

use std::fmt;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use kiln_nn::Network;

use super::{Cadence, Probe, ProbeView};
use crate::train::{BatchTargets, Examples};
use crate::{JobContext, LabError};

/// The probes of a training with the rows that they look at: the same ones at every look, so that one look can be
/// compared with the next.
pub struct Watch {
    probes: Vec<Box<dyn Probe>>,
    inputs: Tensor<2>,
    targets: BatchTargets,
    steps: u64,
    epochs: u64,
}

/// How far a training has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Steps that are done, over all epochs.
    pub steps: u64,
    /// The epoch to which the last of them belongs, from 1.
    pub epoch: u64,
    /// Whether it ended that epoch.
    pub ends_epoch: bool,
}

impl Watch {
    /// Most rows that probes look at.
    pub const ROWS: usize = 256;

    /// Probes that look at rows of `data`, spread evenly over it.
    pub fn new(probes: Vec<Box<dyn Probe>>, data: &dyn Examples, device: &Device) -> Self {
        let count = if probes.is_empty() { 1 } else { Self::ROWS }.min(data.len());
        let rows: Vec<usize> = (0..count).map(|row| row * data.len() / count).collect();
        let (inputs, targets) = data.examples(&rows, 1, device);
        Self { probes, inputs, targets, steps: 0, epochs: 0 }
    }

    /// Shows `network`, as the last step has left it, to the probes whose turn it is.
    ///
    /// # Errors
    /// That of the first probe that could not write what it saw.
    pub fn look(&mut self, network: &Network, moment: Moment, context: &JobContext) -> Result<(), LabError> {
        // Devices that train side by side report the same moment several times.
        let new_step = moment.steps > self.steps;
        let new_epoch = moment.ends_epoch && moment.epoch > self.epochs;
        let due = |probe: &dyn Probe| match probe.cadence() {
            Cadence::Epoch => new_epoch,
            Cadence::Steps(distance) => new_step && moment.steps.is_multiple_of(distance.max(1)),
        };
        self.steps = self.steps.max(moment.steps);
        self.epochs = if new_epoch { moment.epoch } else { self.epochs };
        if !self.probes.iter().any(|probe| due(probe.as_ref())) {
            return Ok(());
        }
        let plain = network.valid();
        for probe in self.probes.iter_mut().filter(|probe| due(probe.as_ref())) {
            probe.observe(&ProbeView {
                network: &plain,
                inputs: self.inputs.clone(),
                targets: self.targets.clone(),
                step: moment.steps,
                epoch: moment.epoch,
                context,
            })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.probes.iter().map(|probe| probe.name()).collect();
        f.debug_struct("Watch").field("probes", &names).field("rows", &self.inputs.dims()[0]).finish()
    }
}
