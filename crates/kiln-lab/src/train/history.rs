//! The course of a training, epoch by epoch, and the strategies that read it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::train::EarlyStoppingStrategy;
use burn::train::checkpoint::{CheckpointingAction, CheckpointingStrategy};
use burn::train::logger::MetricLogger;
use burn::train::metric::store::{EpochSummary, EventStoreClient, MetricsUpdate, Split};
use burn::train::metric::{MetricDefinition, MetricId, NumericEntry};
use serde::{Deserialize, Deserializer, Serialize};

use super::disk_queue::DiskQueue;
use crate::{JobContext, LabError, write_whole};

/// Means over one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochMeans {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss while the network changed.
    #[serde(deserialize_with = "nan_from_null")]
    pub train_loss: f64,
    /// Training accuracy while the network changed, in percent; NaN where targets are numbers, and where a step does not form
    /// the outputs.
    #[serde(deserialize_with = "nan_from_null")]
    pub train_accuracy: f64,
    /// Loss on the validation split.
    #[serde(deserialize_with = "nan_from_null")]
    pub validation_loss: f64,
    /// Accuracy on the validation split, in percent; NaN where targets are numbers.
    #[serde(deserialize_with = "nan_from_null")]
    pub validation_accuracy: f64,
}

/// JSON has no NaN: a figure that is not finite is written as null.
fn nan_from_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// All finished epochs of a training; clones share the same course.
#[derive(Clone, Debug, Default)]
pub struct History {
    epochs: Arc<Mutex<Vec<EpochMeans>>>,
    choice: EpochChoice,
}

/// Which epoch of a training is the best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EpochChoice {
    /// The one with the lowest validation loss, the earliest of equals.
    #[default]
    LowestLoss,
    /// The one with the highest validation accuracy, the latest of equals: where the value of the loss means nothing, longer
    /// training is taken for better.
    HighestAccuracy,
}

impl EpochChoice {
    /// Whether an epoch is better than one before it.
    fn prefers(self, epoch: &EpochMeans, earlier: &EpochMeans) -> bool {
        match self {
            Self::LowestLoss => epoch.validation_loss < earlier.validation_loss || earlier.validation_loss.is_nan(),
            Self::HighestAccuracy if !earlier.validation_loss.is_finite() => true,
            Self::HighestAccuracy => {
                epoch.validation_loss.is_finite() && epoch.validation_accuracy >= earlier.validation_accuracy
            }
        }
    }
}

impl History {
    /// A course that goes on after `epochs`.
    pub fn after(epochs: Vec<EpochMeans>) -> Self {
        Self { epochs: Arc::new(Mutex::new(epochs)), choice: EpochChoice::default() }
    }

    /// The same course, whose best epoch is chosen in this way.
    pub fn choosing(mut self, choice: EpochChoice) -> Self {
        self.choice = choice;
        self
    }

    /// The finished epochs.
    pub fn epochs(&self) -> Vec<EpochMeans> {
        self.lock().clone()
    }

    /// The best epoch; nothing before the first one has ended.
    pub fn best(&self) -> Option<EpochMeans> {
        let choice = self.choice;
        self.lock().iter().copied().reduce(|best, epoch| if choice.prefers(&epoch, &best) { epoch } else { best })
    }

    /// Whether `patience` epochs have passed since one was better than all before it; one that is only as good is not.
    pub(super) fn is_exhausted(&self, epoch: usize, patience: usize) -> bool {
        let choice = self.choice;
        let improves =
            |epoch: &EpochMeans, best: &EpochMeans| choice.prefers(epoch, best) && !choice.prefers(best, epoch);
        let improved =
            self.lock().iter().copied().reduce(|best, epoch| if improves(&epoch, &best) { epoch } else { best });
        improved.is_some_and(|improved| epoch >= improved.epoch + patience)
    }

    fn push(&self, epoch: EpochMeans) {
        self.lock().push(epoch);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<EpochMeans>> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes Burn's metrics into the run and collects the [`History`].
pub(super) struct HistoryLogger {
    history: History,
    context: Arc<JobContext>,
    steps_per_epoch: u64,
    file: PathBuf,
    queue: Arc<DiskQueue>,
    names: HashMap<MetricId, String>,
    running: HashMap<(Split, String), f64>,
}

impl HistoryLogger {
    pub(super) fn new(
        history: History,
        context: Arc<JobContext>,
        steps_per_epoch: u64,
        folder: &Path,
        queue: Arc<DiskQueue>,
    ) -> Self {
        let file = folder.join(COURSE);
        Self { history, context, steps_per_epoch, file, queue, names: HashMap::new(), running: HashMap::new() }
    }

    /// Has the course of epochs written, ahead of the checkpoint of the epoch that has just ended.
    fn record_course(&self) -> Result<(), LabError> {
        let text = course_text(&self.history)?;
        let path = self.file.clone();
        let write = move || {
            if let Err(error) = write_whole(&path, text.as_bytes()) {
                tracing::warn!("{error}: a resumed training will not know its earlier epochs");
            }
            Ok(())
        };
        self.queue.write(&self.file, write).map_err(LabError::method)
    }

    fn mean(&self, split: Split, name: &str) -> f64 {
        self.running.get(&(split, name.to_string())).copied().unwrap_or(f64::NAN)
    }
}

impl MetricLogger for HistoryLogger {
    fn log(&mut self, update: MetricsUpdate, _epoch: usize, split: &Split) {
        for metric in update.entries_numeric {
            let Some(name) = self.names.get(&metric.entry.metric_id) else { continue };
            if let Some(entry) = metric.running_entry.or(metric.numeric_entry) {
                self.running.insert((split.clone(), name.clone()), entry.current());
            }
        }
    }

    fn read_numeric(&mut self, name: &str, epoch: usize, split: &Split) -> Result<Vec<NumericEntry>, String> {
        let epochs = self.history.epochs();
        let value = epochs.iter().find(|means| means.epoch == epoch).and_then(|means| match (name, split) {
            (LOSS, Split::Train) => Some(means.train_loss),
            (LOSS, Split::Valid) => Some(means.validation_loss),
            (ACCURACY, Split::Train) => Some(means.train_accuracy),
            (ACCURACY, Split::Valid) => Some(means.validation_accuracy),
            _ => None,
        });
        Ok(value.map(NumericEntry::Final).into_iter().collect())
    }

    fn log_metric_definition(&mut self, definition: MetricDefinition) {
        self.names.insert(definition.metric_id, definition.name.to_string());
    }

    fn log_epoch_summary(&mut self, summary: EpochSummary) {
        if summary.split != Split::Valid {
            return;
        }
        let means = EpochMeans {
            epoch: summary.epoch_number,
            train_loss: self.mean(Split::Train, LOSS),
            train_accuracy: self.mean(Split::Train, ACCURACY),
            validation_loss: self.mean(Split::Valid, LOSS),
            validation_accuracy: self.mean(Split::Valid, ACCURACY),
        };
        let step = summary.epoch_number as u64 * self.steps_per_epoch;
        for (name, value) in [
            ("train/loss", means.train_loss),
            ("train/accuracy", means.train_accuracy),
            ("validation/loss", means.validation_loss),
            ("validation/accuracy", means.validation_accuracy),
        ] {
            // A loss that is not a number is a finding, an accuracy is one that was not measured.
            if name.ends_with("loss") || !value.is_nan() {
                self.context.metric(step, name, value);
            }
        }
        self.history.push(means);
        self.running.clear();
        if let Err(error) = self.context.flush_metrics().and_then(|()| self.record_course()) {
            tracing::warn!("the course of the training is not kept: {error}");
        }
    }
}

/// The epochs up to `last` that an earlier call wrote to `folder`.
///
/// # Errors
/// [`LabError::Io`] or [`LabError::Corrupt`] when they cannot be read, or when one is missing.
pub(super) fn recorded_epochs(folder: &Path, last: usize) -> Result<Vec<EpochMeans>, LabError> {
    if last == 0 {
        return Ok(Vec::new());
    }
    let path = folder.join(COURSE);
    let text = std::fs::read_to_string(&path).map_err(|error| LabError::io("read", &path, error))?;
    let epochs: Vec<EpochMeans> = text
        .lines()
        .take(last)
        .map(|line| serde_json::from_str(line).map_err(|error| LabError::corrupt("course of epochs", &path, error)))
        .collect::<Result<_, _>>()?;
    let is_next = |(place, means): (usize, &EpochMeans)| means.epoch == place + 1;
    match epochs.iter().enumerate().position(|next| !is_next(next)) {
        None if epochs.len() == last => Ok(epochs),
        gap => {
            let missing = gap.unwrap_or(epochs.len()) + 1;
            Err(LabError::corrupt("course of epochs", &path, format!("epoch {missing} is missing")))
        }
    }
}

/// How many epochs `folder` has in its course. A checkpoint may be one ahead of it, where the process was killed between
/// the two.
pub(super) fn course_length(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join(COURSE)).map_or(0, |text| text.lines().count())
}

fn course_text(history: &History) -> Result<String, LabError> {
    let mut text = String::new();
    for epoch in history.epochs() {
        text += &serde_json::to_string(&epoch).map_err(LabError::method)?;
        text.push('\n');
    }
    Ok(text)
}

const COURSE: &str = "epochs.jsonl";
const LOSS: &str = "Loss";
const ACCURACY: &str = "Accuracy";

/// Keeps the newest checkpoints and that of the best epoch.
pub(super) struct KeepNewestAndBest {
    history: History,
    /// Epochs whose checkpoints are there, or on their way.
    kept: BTreeSet<usize>,
}

impl KeepNewestAndBest {
    const NEWEST: usize = 2;

    /// Among those of this training and the ones that `folder` holds from before.
    pub(super) fn new(history: History, folder: &Path) -> Self {
        Self { history, kept: checkpointed_epochs(folder).into_iter().collect() }
    }

    /// Epochs that are neither new nor the best. Figures arrive in a thread of their own and may be some epochs late: an epoch
    /// of which they are not known yet may still be the best.
    fn stale(&self, epoch: usize) -> Vec<usize> {
        let known = self.history.epochs().len();
        let best = self.history.best().map(|means| means.epoch);
        let is_stale = |kept: &usize| kept + Self::NEWEST <= epoch && *kept <= known && Some(*kept) != best;
        self.kept.iter().copied().filter(is_stale).collect()
    }
}

impl CheckpointingStrategy for KeepNewestAndBest {
    fn checkpointing(&mut self, epoch: usize, _store: &EventStoreClient) -> Vec<CheckpointingAction> {
        let stale = self.stale(epoch);
        self.kept.insert(epoch);
        stale.iter().for_each(|epoch| {
            self.kept.remove(epoch);
        });
        std::iter::once(CheckpointingAction::Save).chain(stale.into_iter().map(CheckpointingAction::Delete)).collect()
    }
}

/// Epochs of which `folder` holds a checkpoint of the network, in rising order.
pub(super) fn checkpointed_epochs(folder: &Path) -> Vec<usize> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut epochs: Vec<usize> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix("model-")?.strip_suffix(".bpk")?.parse().ok()
        })
        .collect();
    epochs.sort_unstable();
    epochs
}

/// Stops when the validation rows have not shown a better epoch for `patience` epochs.
#[derive(Clone)]
pub(super) struct Patience {
    pub(super) history: History,
    pub(super) patience: usize,
}

impl EarlyStoppingStrategy for Patience {
    fn should_stop(&mut self, epoch: usize, _store: &EventStoreClient) -> bool {
        self.history.is_exhausted(epoch, self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, sample::Index};

    fn course(losses: &[f64]) -> History {
        let epochs = losses.iter().enumerate();
        let epochs = epochs.map(|(i, loss)| EpochMeans { epoch: i + 1, validation_loss: *loss, ..Default::default() });
        History::after(epochs.collect())
    }

    #[test]
    fn the_best_epoch_is_the_earliest_of_equals() {
        assert_eq!(course(&[3.0, 1.0, 2.0, 1.0]).best().unwrap().epoch, 2);
        assert!(course(&[]).best().is_none());
    }

    #[test]
    fn an_epoch_whose_figures_are_late_is_kept() {
        let strategy = |losses: &[f64]| KeepNewestAndBest { history: course(losses), kept: (1..=5).collect() };
        assert_eq!(strategy(&[3.0, 1.0, 2.0, 2.5, 2.6]).stale(6), [1, 3, 4]);
        // Epoch 2 may turn out to be better than epoch 1.
        assert_eq!(strategy(&[3.0]).stale(6), [0; 0]);
        assert_eq!(strategy(&[3.0, 1.0]).stale(6), [1]);
    }

    #[test]
    fn accuracy_chooses_the_latest_of_equals_and_does_not_wait_for_them() {
        let epochs = [(0.5, 80.0), (0.6, 90.0), (0.9, 90.0), (f64::NAN, 99.0), (0.4, 85.0)];
        let epochs = epochs.into_iter().enumerate().map(|(i, (validation_loss, validation_accuracy))| EpochMeans {
            epoch: i + 1,
            validation_loss,
            validation_accuracy,
            ..Default::default()
        });
        let by_loss = History::after(epochs.collect());
        let by_accuracy = by_loss.clone().choosing(EpochChoice::HighestAccuracy);
        assert_eq!((by_loss.best().unwrap().epoch, by_accuracy.best().unwrap().epoch), (5, 3));
        assert!(by_accuracy.is_exhausted(5, 3) && !by_accuracy.is_exhausted(5, 4));
        assert!(by_loss.is_exhausted(6, 1) && !by_loss.is_exhausted(6, 2));
    }

    proptest! {
        #[test]
        fn a_course_may_hold_anything(at in any::<Index>(), byte: u8, cut: bool, last in 0..5usize) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(COURSE);
            let mut bytes = course_text(&course(&[3.0, f64::NAN, 2.0])).unwrap().into_bytes();
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] = byte;
            }
            std::fs::write(&path, bytes).unwrap();
            match recorded_epochs(folder.path(), last) {
                Ok(epochs) => prop_assert_eq!(epochs.len(), last),
                Err(error) => prop_assert!(error.to_string().contains(COURSE), "{}", error),
            }
        }
    }

    #[test]
    fn checkpoints_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["model-10.bpk", "model-2.bpk", "optim-3.bpk", "model-x.bpk", "model-4.bpk.tmp"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        assert_eq!(checkpointed_epochs(folder.path()), vec![2, 10]);
    }
}
