//! Metrics of a job: lines of JSON, and TensorBoard event files.

pub mod events;

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::LabError;
use events::EventWriter;

/// One measurement of a job, a line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Part and key of the job, as in `speed/dense-1000`.
    pub job: String,
    /// Training step, counted from 0.
    pub step: u64,
    /// What was measured.
    pub name: String,
    /// The value; `null` in the file when it is not finite.
    pub value: Option<f64>,
}

/// Writes the metrics of one job.
#[derive(Debug)]
pub struct MetricWriter {
    job: String,
    path: PathBuf,
    lines: BufWriter<File>,
    events: EventWriter,
}

impl MetricWriter {
    /// Starts the files of `job`: `lines` and an event file in `events`; what an interrupted attempt left is replaced.
    ///
    /// # Errors
    /// [`LabError::Io`] when a file cannot be created.
    pub fn create(job: &str, lines: &Path, events: &Path) -> Result<Self, LabError> {
        Self::after(&[], job, lines, events)
    }

    /// Goes on after the metrics `kept` of an interrupted attempt, which stay on the disk at every moment.
    ///
    /// # Errors
    /// [`LabError::Io`] when a file cannot be created.
    pub fn after(kept: &[Metric], job: &str, lines: &Path, events: &Path) -> Result<Self, LabError> {
        fs::create_dir_all(events).map_err(|source| LabError::io("create", events, source))?;
        let mut text = Vec::new();
        for metric in kept {
            append_line(&mut text, metric).map_err(|source| LabError::io("write", lines, source))?;
        }
        crate::files::write_whole(lines, &text)?;
        let file = File::options().append(true).open(lines).map_err(|source| LabError::io("open", lines, source))?;
        let mut events = EventWriter::create(events)?;
        for metric in kept {
            events.scalar(metric.step, &metric.name, metric.value.unwrap_or(f64::NAN))?;
        }
        Ok(Self { job: job.to_string(), path: lines.to_path_buf(), lines: BufWriter::new(file), events })
    }

    /// Appends one value.
    ///
    /// # Errors
    /// [`LabError::Io`], for example on a full disk.
    pub fn write(&mut self, step: u64, name: &str, value: f64) -> Result<(), LabError> {
        let metric =
            Metric { job: self.job.clone(), step, name: name.to_string(), value: value.is_finite().then_some(value) };
        append_line(&mut self.lines, &metric).map_err(|source| LabError::io("write", &self.path, source))?;
        self.events.scalar(step, name, value)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> Result<(), LabError> {
        self.lines.flush().map_err(|source| LabError::io("write", &self.path, source))?;
        self.events.flush()
    }
}

fn append_line(mut to: impl Write, metric: &Metric) -> std::io::Result<()> {
    serde_json::to_writer(&mut to, metric)?;
    to.write_all(b"\n")
}

/// Reads a file of metrics; an unfinished last line, as a killed process leaves it, is left out.
///
/// # Errors
/// [`LabError::Io`] when it cannot be read, [`LabError::Corrupt`] for a line that is no metric.
pub fn read(path: &Path) -> Result<Vec<Metric>, LabError> {
    let text = crate::files::read_text(path)?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| LabError::corrupt("metrics file", path, error)))
        .collect()
}
