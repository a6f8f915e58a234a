//! Training on Burn's own stack: its loop, metrics, checkpointers, early stopping and execution strategies.

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::{ExecutionStrategy, Learner, SupervisedTraining};
use kiln_data::Splits;
use kiln_nn::Network;

use super::checkpoint::{RECORDS, WholeFileCheckpointer, network_file, network_record, newest_whole_epoch};
use super::disk_queue::DiskQueue;
use super::history::{HistoryLogger, KeepNewestAndBest, Patience, course_length, recorded_epochs};
use super::loss_memory::LossMemory;
use super::renderer::SilentRenderer;
use super::{
    EpochChoice, EpochLoader, EpochMeans, Examples, FitSettings, History, Objective, PreparedRows, Procedure, Trainee,
    TrainingRule,
};
use crate::{JobContext, LabError, Probe, probe::Watch};

/// Everything that [`train`] needs besides the data.
pub struct Training {
    /// The network to start from.
    pub network: Network,
    /// What is minimised.
    pub objective: Box<dyn Objective>,
    /// How a batch changes the network.
    pub rule: Box<dyn TrainingRule>,
    /// How gradients become steps.
    pub optimizer: ModuleOptimizer,
    /// How long and how fast.
    pub settings: FitSettings,
    /// Stop when no epoch was better on the validation rows for so many epochs.
    pub patience: Option<usize>,
    /// Who watches.
    pub probes: Vec<Box<dyn Probe>>,
    /// Where the work is done: one device, or several with Burn's data-parallel strategies.
    pub strategy: ExecutionStrategy,
}

/// A finished training.
pub struct Trained {
    /// The network of the best epoch on the validation rows, without gradient tracking.
    pub network: Network,
    /// That epoch: the one with the lowest loss or, where the value of the loss means nothing, with the highest accuracy.
    pub best: EpochMeans,
    /// All epochs.
    pub epochs: Vec<EpochMeans>,
}

/// Trains on `splits.train`, choosing the epoch on `splits.validation`; checkpoints go to `folder`. Numbers to predict are
/// learnt on the scale that the splits' preprocessing gives them.
///
/// # Errors
/// As [`train_on`].
pub fn train(
    training: Training,
    splits: &Splits,
    folder: &Path,
    context: Arc<JobContext>,
) -> Result<Trained, LabError> {
    let prepared = |data| Arc::new(PreparedRows::new(data, &splits.preprocessing.targets));
    train_on(training, prepared(&splits.train), prepared(&splits.validation), folder, context)
}

/// Trains on the rows of `train`, choosing the epoch on those of `validation`; checkpoints go to `folder`.
///
/// Where `folder` holds checkpoints of an earlier call with the same settings, the training goes on after the newest
/// whole one and gives the figures of an uninterrupted training, bit for bit.
///
/// # Errors
/// [`LabError::Diverged`] when the loss stops being finite, [`LabError::Corrupt`] for a checkpoint that cannot be
/// read, [`LabError::Io`] when `folder` cannot be written.
pub fn train_on(
    training: Training,
    train: Arc<dyn Examples>,
    validation: Arc<dyn Examples>,
    folder: &Path,
    context: Arc<JobContext>,
) -> Result<Trained, LabError> {
    let settings = training.settings;
    std::fs::create_dir_all(folder).map_err(|error| LabError::io("create", folder, error))?;
    let resumed = newest_whole_epoch(folder, course_length(folder))?;
    let history = History::after(recorded_epochs(folder, resumed.unwrap_or(0))?).choosing(
        match training.objective.measures_progress() || !train.has_classes() {
            true => EpochChoice::LowestLoss,
            false => EpochChoice::HighestAccuracy,
        },
    );
    let device = training.strategy.main_device().clone();
    let steps_per_epoch = train.len().div_ceil(workers(&training.strategy)).div_ceil(settings.batch_size);
    let total_steps = steps_per_epoch * settings.epochs;
    let queue = Arc::new(DiskQueue::new());
    let memory = LossMemory::beside(folder, queue.clone());
    if let Some(epoch) = resumed {
        memory.restore(training.objective.as_ref(), epoch)?;
        context.resume_metrics((epoch * steps_per_epoch) as u64)?;
    }
    let watch = Watch::new(training.probes, validation.as_ref(), &device.clone().inner());
    let procedure = Procedure::new(training.objective, training.rule, context.clone(), total_steps as u64, watch);
    let procedure = Arc::new(procedure.remembering(memory));
    let network = training.network.fork(&device.clone().autodiff()).train();
    let trainee = Trainee::new(network, procedure.clone());

    let finished = resumed.is_some_and(|epoch| {
        epoch >= settings.epochs || training.patience.is_some_and(|patience| history.is_exhausted(epoch, patience))
    });
    if !finished {
        let (has_classes, forms_outputs) = (train.has_classes(), procedure.objective.forms_outputs());
        let (train, validation) = loaders(train, validation, &settings, resumed.unwrap_or(0) + 1, &device);
        let mut supervised = SupervisedTraining::new(folder, train, validation)
            .metrics((LossMetric::new(),))
            .with_metric_logger(HistoryLogger::new(
                history.clone(),
                context,
                steps_per_epoch as u64,
                folder,
                queue.clone(),
            ))
            .with_application_logger(None)
            .with_interrupter(procedure.interrupter.clone())
            .renderer(Box::new(SilentRenderer))
            .with_custom_checkpointers(
                WholeFileCheckpointer::new(folder, RECORDS[0], queue.clone()),
                WholeFileCheckpointer::new(folder, RECORDS[1], queue.clone()),
                WholeFileCheckpointer::new(folder, RECORDS[2], queue.clone()),
            )
            .with_checkpointing_strategy(KeepNewestAndBest::new(history.clone(), folder))
            .with_training_strategy(training.strategy.into())
            .num_epochs(settings.epochs);
        if has_classes {
            supervised = supervised.metric_valid_numeric(AccuracyMetric::new());
        }
        if has_classes && forms_outputs {
            supervised = supervised.metric_train_numeric(AccuracyMetric::new());
        }
        if let Some(patience) = training.patience {
            supervised = supervised.early_stopping(Patience { history: history.clone(), patience });
        }
        if let Some(epoch) = resumed {
            supervised = supervised.checkpoint(epoch);
        }
        let scheduler = settings.schedule.scheduler(settings.learning_rate, total_steps);
        let result = supervised.launch(Learner::new(trainee.clone(), training.optimizer, scheduler));
        let written = queue.flush();
        if let Some(failure) = procedure.take_failure() {
            return Err(with_checkpoint(failure, &history, folder));
        }
        if let Some(error) = result.error {
            return Err(LabError::method(error.to_string()));
        }
        written.map_err(LabError::method)?;
    }
    let best =
        history.best().ok_or_else(|| LabError::Refused("no epoch was trained: set epochs to at least 1".into()))?;
    if !best.validation_loss.is_finite() {
        // The last step of an epoch has no later one that would notice what it did.
        let step = (best.epoch * steps_per_epoch).saturating_sub(1) as u64;
        return Err(LabError::Diverged { step, loss: best.validation_loss, job: String::new(), checkpoint: None });
    }
    let network = trainee.load_record(network_record(folder, best.epoch)?).network;
    Ok(Trained { network: network.fork(&device.inner()).valid(), best, epochs: history.epochs() })
}

/// Devices that share an epoch's rows.
fn workers(strategy: &ExecutionStrategy) -> usize {
    match strategy {
        ExecutionStrategy::SingleDevice(_) => 1,
        ExecutionStrategy::MultiDevice(devices, _) => devices.len(),
        ExecutionStrategy::DistributedDataParallel { devices, .. } => devices.len(),
    }
}

fn loaders(
    train: Arc<dyn Examples>,
    validation: Arc<dyn Examples>,
    settings: &FitSettings,
    first_epoch: usize,
    device: &Device,
) -> (Arc<EpochLoader>, Arc<EpochLoader>) {
    // Validation has no gradients to keep, so that larger batches cost no memory to speak of.
    const VALIDATION_BATCH: usize = 256;
    let (batch_size, seed) = (settings.batch_size, settings.seed);
    let train = EpochLoader::shuffled(train, batch_size, seed, first_epoch, device.clone());
    let validation = EpochLoader::ordered(validation, batch_size.max(VALIDATION_BATCH), device.clone());
    (Arc::new(train), Arc::new(validation))
}

/// Names the newest checkpoint from before the divergence. The newest of all may be from an epoch whose last step had
/// already broken the network, which its validation loss shows.
fn with_checkpoint(failure: LabError, history: &History, folder: &Path) -> LabError {
    match failure {
        LabError::Diverged { step, loss, job, .. } => {
            let sound = |epoch: &&EpochMeans| epoch.train_loss.is_finite() && epoch.validation_loss.is_finite();
            let epochs = history.epochs();
            let files = epochs.iter().rev().filter(sound).map(|epoch| network_file(folder, epoch.epoch));
            let checkpoint = files.into_iter().find(|file| file.is_file());
            LabError::Diverged { step, loss, job, checkpoint }
        }
        other => other,
    }
}
