//! A network with everything that a step needs, as Burn's training stack wants it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use burn::train::{ClassificationOutput, InferenceStep, Interrupter, TrainOutput, TrainStep};
use kiln_nn::Network;

use super::fit::scalar;
use super::loss_memory::LossMemory;
use super::{Batch, BatchTargets, Objective, TrainingRule};
use crate::{
    JobContext, LabError,
    probe::{Moment, Watch},
};

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
    course: Mutex<Course>,
    memory: Option<LossMemory>,
}

/// What changes from step to step.
struct Course {
    watch: Watch,
    /// The step that was computed and waits for its update.
    pending: Option<Moment>,
    failure: Option<LabError>,
}

impl Procedure {
    /// A procedure whose network is shown to `watch` after every step.
    pub fn new(
        objective: Box<dyn Objective>,
        rule: Box<dyn TrainingRule>,
        context: Arc<JobContext>,
        total_steps: u64,
        watch: Watch,
    ) -> Self {
        let course = Mutex::new(Course { watch, pending: None, failure: None });
        Self { objective, rule, context, total_steps, interrupter: Interrupter::new(), course, memory: None }
    }

    /// Keeps what the objective remembers of the training rows in the files of `memory`.
    pub(super) fn remembering(mut self, memory: LossMemory) -> Self {
        self.memory = Some(memory);
        self
    }

    /// What stopped the training, if something did.
    pub fn take_failure(&self) -> Option<LabError> {
        self.lock().failure.take()
    }

    fn fail(&self, course: &mut Course, failure: LabError) {
        self.interrupter.stop(Some(&failure.to_string()));
        course.failure.get_or_insert(failure);
    }

    fn lock(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a batch whose update is to come.
    fn computed(&self, batch: &Batch, loss: f64) {
        let mut course = self.lock();
        if !loss.is_finite() {
            let failure = LabError::Diverged { step: batch.step, loss, job: String::new(), checkpoint: None };
            course.pending = None;
            self.fail(&mut course, failure);
            return;
        }
        self.context.progress(batch.step + 1, self.total_steps, loss);
        // Several devices may compute a batch each before one update.
        let ends_epoch = batch.last || course.pending.is_some_and(|pending| pending.ends_epoch);
        course.pending = Some(Moment { steps: batch.step + 1, epoch: batch.epoch as u64, ends_epoch });
    }

    /// The network after an update, which the probes have seen.
    fn updated(&self, network: Network) -> Network {
        let mut course = self.lock();
        let Some(moment) = course.pending.take() else { return network };
        let network = if moment.ends_epoch { self.objective.finish_epoch(network) } else { network };
        if let Err(failure) = course.watch.look(&network, moment, &self.context) {
            self.fail(&mut course, failure);
        }
        if let Some(memory) = self.memory.as_ref().filter(|_| moment.ends_epoch)
            && let Err(failure) = memory.save(self.objective.as_ref(), moment.epoch as usize)
        {
            self.fail(&mut course, failure);
        }
        network
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
        procedure.computed(&batch, scalar(&learned.loss));
        let rows = batch.inputs.dims()[0];
        let item = if procedure.objective.forms_outputs() {
            let outputs = || learned.logits.unwrap_or_else(|| self.network.forward(batch.inputs).detach());
            scored(learned.loss, rows, batch.targets, outputs)
        } else {
            unscored(learned.loss, rows)
        };
        TrainOutput { grads: learned.gradients, item }
    }

    fn optimize(self, optimizer: &mut ModuleOptimizer, rate: ModuleLearningRate, gradients: GradientsParams) -> Self {
        let network = self.procedure.rule.update(self.network, optimizer, rate, gradients);
        let network = self.procedure.updated(network);
        Self { network, procedure: self.procedure }
    }
}

impl InferenceStep for Trainee {
    type Input = Batch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Batch) -> ClassificationOutput {
        let (loss, outputs) = self.procedure.objective.on_batch(&self.network, &batch);
        scored(loss, batch.inputs.dims()[0], batch.targets, || {
            outputs.unwrap_or_else(|| self.network.forward(batch.inputs))
        })
    }
}

/// What the metrics get of a batch: its loss and, where targets are classes, the network's `outputs`, which are not computed
/// otherwise.
fn scored(
    loss: Tensor<1>,
    rows: usize,
    targets: BatchTargets,
    outputs: impl FnOnce() -> Tensor<2>,
) -> ClassificationOutput {
    match targets {
        BatchTargets::Classes(classes) => ClassificationOutput::new(weighted(loss, rows), outputs(), classes),
        BatchTargets::Values(_) | BatchTargets::Bags { .. } => unscored(loss, rows),
    }
}

/// What the metrics get of a batch whose outputs nobody looks at.
fn unscored(loss: Tensor<1>, rows: usize) -> ClassificationOutput {
    // Burn's own items are the only ones that a loop takes; nothing reads these two.
    let device = loss.device();
    ClassificationOutput::new(weighted(loss, rows), Tensor::zeros([1, 1], &device), Tensor::zeros([1], &device))
}

/// Burn's metric weighs a batch by the number of its losses: a last batch of one row must not count as a whole one.
fn weighted(loss: Tensor<1>, rows: usize) -> Tensor<1> {
    loss.expand([rows])
}
