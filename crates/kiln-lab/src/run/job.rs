//! What one job of a grid can say while it works.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use burn::tensor::Device;

use crate::{
    LabError, Plot,
    files::file_name,
    metrics::{self, MetricWriter},
    progress::Bar,
};

/// Handle of one job: its metrics, its progress, its device.
#[derive(Debug)]
pub struct JobContext {
    name: String,
    device: Device,
    folder: Option<PathBuf>,
    bar: Option<Bar>,
    metrics: Mutex<Metrics>,
}

/// Where a job's metrics lie: a file of lines, and a folder of events.
struct Places {
    lines: PathBuf,
    events: PathBuf,
}

#[derive(Debug, Default)]
struct Metrics {
    writer: Option<MetricWriter>,
    failure: Option<LabError>,
}

impl JobContext {
    /// A handle that keeps nothing and shows nothing, for work outside a run.
    pub fn detached(device: Device) -> Self {
        Self { name: String::new(), device, folder: None, bar: None, metrics: Mutex::default() }
    }

    pub(super) fn new(run_folder: &Path, part: &str, key: &str, device: Device, bar: Bar) -> Self {
        Self {
            name: format!("{part}/{key}"),
            device,
            folder: Some(run_folder.to_path_buf()),
            bar: Some(bar),
            metrics: Mutex::default(),
        }
    }

    /// Part and key of the job, as in `speed/dense-1000`; empty for a detached one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device to work on, without autodiff.
    pub fn device(&self) -> Device {
        self.device.clone()
    }

    /// Folder for what the job leaves besides its result, such as checkpoints; `None` for a detached one. It is not
    /// created before something is written there.
    pub fn folder(&self) -> Option<PathBuf> {
        let (part, key) = self.name.split_once('/')?;
        Some(self.folder.as_ref()?.join("jobs").join(file_name(part)).join(file_name(key)))
    }

    /// Writes a metric to `metrics.jsonl` and to the TensorBoard events. A disk that refuses it fails the job when it
    /// ends.
    pub fn metric(&self, step: u64, name: &str, value: f64) {
        let mut metrics = self.lock();
        if metrics.failure.is_some() {
            return;
        }
        if let Err(error) = self.write_metric(&mut metrics, step, name, value) {
            metrics.failure = Some(error);
        }
    }

    /// Shows that `done` of `total` steps are done with the latest loss.
    pub fn progress(&self, done: u64, total: u64, loss: f64) {
        if let Some(bar) = &self.bar {
            bar.set(done, total, loss);
        }
    }

    /// Stores a file among the run's artifacts, under `<part>/<key>/<name>`; nothing for a detached job.
    ///
    /// # Errors
    /// [`LabError::Io`], for example on a full disk.
    pub fn artifact(&self, name: &str, bytes: &[u8]) -> Result<(), LabError> {
        match (&self.folder, self.name.split_once('/')) {
            (Some(folder), Some((part, key))) => {
                let folder = folder.join(ARTIFACTS).join(file_name(part)).join(file_name(key));
                crate::files::write_whole(&folder.join(name), bytes)
            }
            _ => Ok(()),
        }
    }

    /// Draws a plot among the run's artifacts, as `<part>/<key>/<name>.svg` and `.png`. The report shows the course of
    /// pictures whose names differ in what follows the first `-epoch-`.
    ///
    /// # Errors
    /// [`LabError::Plot`] when it cannot be drawn, [`LabError::Io`] when it cannot be written.
    pub fn plot(&self, name: &str, plot: &Plot) -> Result<(), LabError> {
        let refused = |reason| LabError::Plot { name: name.to_string(), reason };
        let file = |ending: &str| format!("{}.{ending}", file_name(name));
        self.artifact(&file("svg"), plot.svg().map_err(refused)?.as_bytes())?;
        self.artifact(&file("png"), &plot.png().map_err(refused)?)
    }

    fn write_metric(&self, metrics: &mut Metrics, step: u64, name: &str, value: f64) -> Result<(), LabError> {
        if metrics.writer.is_none() {
            let Some(Places { lines, events }) = self.places() else { return Ok(()) };
            metrics.writer = Some(MetricWriter::create(&self.name, &lines, &events)?);
        }
        metrics.writer.as_mut().map_or(Ok(()), |writer| writer.write(step, name, value))
    }

    /// Takes over the metrics that an interrupted call of the same job wrote up to `last_step`.
    ///
    /// # Errors
    /// [`LabError::Io`] or [`LabError::Corrupt`] when they cannot be read.
    pub fn resume_metrics(&self, last_step: u64) -> Result<(), LabError> {
        let Some(Places { lines, events }) = self.places().filter(|places| places.lines.exists()) else {
            return Ok(());
        };
        let mut kept = metrics::read(&lines)?;
        kept.retain(|metric| metric.step <= last_step);
        self.lock().writer = Some(MetricWriter::after(&kept, &self.name, &lines, &events)?);
        Ok(())
    }

    /// What was measured under `name` so far, by step, before an interruption too; nothing for a detached job.
    ///
    /// # Errors
    /// [`LabError::Io`] or [`LabError::Corrupt`] when it cannot be read.
    pub fn recorded(&self, name: &str) -> Result<Vec<(u64, f64)>, LabError> {
        self.flush_metrics()?;
        let Some(Places { lines, .. }) = self.places().filter(|places| places.lines.exists()) else {
            return Ok(Vec::new());
        };
        let metrics = metrics::read(&lines)?.into_iter().filter(|metric| metric.name == name);
        Ok(metrics.filter_map(|metric| Some((metric.step, metric.value?))).collect())
    }

    fn places(&self) -> Option<Places> {
        let (folder, (part, key)) = (self.folder.as_ref()?, self.name.split_once('/')?);
        let events = folder.join("events").join(file_name(part)).join(file_name(key));
        Some(Places { lines: metrics_path(folder, part, key), events })
    }

    /// Puts all metrics so far on the disk, so that a checkpoint never knows more steps than the metrics do.
    ///
    /// # Errors
    /// [`LabError::Io`], for example on a full disk.
    pub fn flush_metrics(&self) -> Result<(), LabError> {
        self.lock().writer.as_mut().map_or(Ok(()), MetricWriter::flush)
    }

    /// Ends the job's files and reports what went wrong with them. A grid does this for its jobs.
    ///
    /// # Errors
    /// [`LabError::Io`], for example on a full disk.
    pub fn finish(&self) -> Result<(), LabError> {
        let mut metrics = self.lock();
        if let Some(failure) = metrics.failure.take() {
            return Err(failure);
        }
        metrics.writer.as_mut().map_or(Ok(()), MetricWriter::flush)
    }

    fn lock(&self) -> MutexGuard<'_, Metrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Folder of pictures, tables and weights in a run's folder.
pub(super) const ARTIFACTS: &str = "artifacts";

/// How the names of files with a job's lines of metrics end.
pub(super) const METRICS_ENDING: &str = ".metrics.jsonl";

fn metrics_path(run_folder: &Path, part: &str, key: &str) -> PathBuf {
    let name = format!("{}{METRICS_ENDING}", file_name(key));
    run_folder.join("cells").join(file_name(part)).join(name)
}

/// Where a job's result lies.
pub(super) fn cell_path(run_folder: &Path, part: &str, key: &str) -> PathBuf {
    run_folder.join("cells").join(file_name(part)).join(format!("{}.json", file_name(key)))
}
