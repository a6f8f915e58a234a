//! A network with everything that a step needs, as Burn's training stack wants it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::train::{ClassificationOutput, InferenceStep, Interrupter, TrainOutput, TrainStep};
use kiln_nn::Network;

use super::fit::scalar;
use super::{Batch, Objective, TrainingRule};
use crate::{JobContext, LabError, Probe, ProbeView};

/// A network on its way through a training.
#[derive(Module, Debug)]
pub struct Trainee {
    /// The network.
    pub network: Network,
    #[module(skip)]
    procedure: Arc<Procedure>,
}

impl Trainee {
    /// A network that follows `procedure`.
    pub fn new(network: Network, procedure: Arc<Procedure>) -> Self {
        Self { network, procedure }
    }
}

/// How a training goes: what it minimises, by which rule, and who watches.
pub struct Procedure {
    /// What is minimised.
    pub objective: Box<dyn Objective>,
    /// How a batch changes the network.
    pub rule: Box<dyn TrainingRule>,
    /// Metrics and progress.
    pub context: Arc<JobContext>,
    /// Number of steps of the whole training.
    pub total_steps: u64,
    /// Stops the training.
    pub interrupter: Interrupter,
    watch: Mutex<Watch>,
}

#[derive(Default)]
struct Watch {
    probes: Vec<Box<dyn Probe>>,
    failure: Option<LabError>,
}

impl Procedure {
    /// A procedure watched by `probes`, which see the network at the last batch of every epoch.
    pub fn new(
        objective: Box<dyn Objective>,
        rule: Box<dyn TrainingRule>,
        context: Arc<JobContext>,
        total_steps: u64,
        probes: Vec<Box<dyn Probe>>,
    ) -> Self {
        let watch = Mutex::new(Watch { probes, failure: None });
        Self { objective, rule, context, total_steps, interrupter: Interrupter::new(), watch }
    }

    /// What stopped the training, if something did.
    pub fn take_failure(&self) -> Option<LabError> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).failure.take()
    }

    fn fail(&self, watch: &mut Watch, failure: LabError) {
        self.interrupter.stop(Some(&failure.to_string()));
        watch.failure.get_or_insert(failure);
    }

    fn observe(&self, network: &Network, batch: &Batch, loss: f64) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if !loss.is_finite() {
            let failure = LabError::Diverged { step: batch.step, loss, job: String::new(), checkpoint: None };
            self.fail(&mut watch, failure);
            return;
        }
        self.context.progress(batch.step + 1, self.total_steps, loss);
        if !batch.last || watch.probes.is_empty() {
            return;
        }
        let plain = network.valid();
        let mut failures = Vec::new();
        for probe in &mut watch.probes {
            let view = ProbeView {
                network: &plain,
                inputs: batch.inputs.clone().inner(),
                targets: batch.targets.clone().inner(),
                step: batch.step,
                epoch: batch.epoch as u64,
                context: &self.context,
            };
            failures.extend(probe.observe(&view).err());
        }
        for failure in failures {
            self.fail(&mut watch, failure);
        }
    }
}

impl fmt::Debug for Procedure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Procedure").field("rule", &self.rule).field("total_steps", &self.total_steps).finish()
    }
}

impl TrainStep for Trainee {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> TrainOutput<ClassificationOutput> {
        let procedure = &self.procedure;
        let learned = procedure.rule.learn(&self.network, procedure.objective.as_ref(), &batch);
        procedure.observe(&self.network, &batch, scalar(&learned.loss));
        let item = ClassificationOutput::new(learned.loss, learned.logits, batch.targets);
        TrainOutput { grads: learned.gradients, item }
    }

    fn optimize(self, optimizer: &mut ModuleOptimizer, rate: ModuleLearningRate, gradients: GradientsParams) -> Self {
        let network = self.procedure.rule.update(self.network, optimizer, rate, gradients);
        Self { network, procedure: self.procedure }
    }
}

impl InferenceStep for Trainee {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        let (inputs, targets) = (batch.inputs, batch.targets.clone());
        let objective = self.procedure.objective.as_ref();
        let (loss, logits) = objective.loss_and_logits(&self.network, inputs, targets, batch.step);
        ClassificationOutput::new(loss, logits, batch.targets)
    }
}
