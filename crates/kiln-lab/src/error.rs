//! Everything that can go wrong while an experiment runs.

use std::path::{Path, PathBuf};

use kiln_data::DataError;
use kiln_loss::aggregate::AggregateError;

use crate::train::SelectorError;

/// What can go wrong in the lab. Every message names the thing, its value and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Data could not be found or read.
    #[error(transparent)]
    Data(Box<DataError>),
    /// A loss, optimizer, model or schedule that does not exist or refuses its settings.
    #[error(transparent)]
    Selector(Box<SelectorError>),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of a run or of the ledger does not say what it should.
    #[error("{} is not a valid {what}: {reason}", path.display())]
    Corrupt {
        /// What the file should be, such as `verdict`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A configuration that somebody wrote does not say what it could.
    #[error("{}: {reason}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// The line or key, its value, and what would be right.
        reason: String,
    },
    /// Training produced a loss that is not a number.
    #[error(
        "training diverged: the loss is {loss} at step {step}{}. Try a smaller learning rate, or a schedule with warm-up{}",
        job_suffix(job),
        checkpoint_suffix(checkpoint)
    )]
    Diverged {
        /// The first step with such a loss, counted from 0.
        step: u64,
        /// The loss: NaN or infinite.
        loss: f64,
        /// The job that diverged; empty outside a grid.
        job: String,
        /// The last checkpoint from before, if there is one.
        checkpoint: Option<PathBuf>,
    },
    /// A name that nothing has.
    #[error("unknown {kind} `{name}`{}", nearest_suffix(nearest))]
    UnknownName {
        /// What was looked up, such as `part`.
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The nearest right one.
        nearest: Option<String>,
    },
    /// A setting with a value that it cannot have.
    #[error("setting `{key}` cannot be `{value}`: {expected}")]
    Setting {
        /// The setting's key.
        key: String,
        /// The value as given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A device that this build or machine does not have.
    #[error("no device `{name}`: {reason}")]
    Device {
        /// The name as given.
        name: String,
        /// Why not, and what there is.
        reason: String,
    },
    /// A job of a grid panicked.
    #[error("job {job} stopped: {message}")]
    Panicked {
        /// Part and key of the job.
        job: String,
        /// The panic's message.
        message: String,
    },
    /// A picture could not be drawn.
    #[error("cannot draw `{name}`: {reason}")]
    Plot {
        /// Name of the picture.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Something that an experiment refuses, in its own words.
    #[error("{0}")]
    Refused(String),
    /// An error of a method or a network.
    #[error(transparent)]
    Method(Box<dyn std::error::Error + Send + Sync>),
}

impl LabError {
    /// Wraps an error of another crate, such as that of an optimizer's `init`.
    pub fn method(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Method(error.into())
    }

    /// A file or folder for which `action` failed.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// A file that does not say what it should.
    pub fn corrupt(what: &'static str, path: impl AsRef<Path>, reason: impl ToString) -> Self {
        Self::Corrupt { what, path: path.as_ref().to_path_buf(), reason: reason.to_string() }
    }

    /// A name that is not among `names`; the message offers the nearest.
    pub fn unknown<'a>(kind: &'static str, name: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let nearest = kiln_data::nearest(name, names).map(str::to_string);
        Self::UnknownName { kind, name: name.to_string(), nearest }
    }

    /// A setting whose value is refused.
    pub fn setting(key: &str, value: impl ToString, expected: impl ToString) -> Self {
        Self::Setting { key: key.to_string(), value: value.to_string(), expected: expected.to_string() }
    }

    /// Whether the user asked for something that does not exist (exit code 2), as opposed to a failure (1).
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Selector(_)
            | Self::UnknownName { .. }
            | Self::Setting { .. }
            | Self::Device { .. }
            | Self::Configuration { .. } => true,
            Self::Data(error) => error.is_usage(),
            _ => false,
        }
    }
}

impl From<DataError> for LabError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl From<AggregateError> for LabError {
    fn from(error: AggregateError) -> Self {
        Self::method(error)
    }
}

impl From<SelectorError> for LabError {
    fn from(error: SelectorError) -> Self {
        Self::Selector(Box::new(error))
    }
}

fn nearest_suffix(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn job_suffix(job: &str) -> String {
    if job.is_empty() { String::new() } else { format!(" of {job}") }
}

fn checkpoint_suffix(checkpoint: &Option<PathBuf>) -> String {
    checkpoint.as_ref().map(|path| format!("; the last good checkpoint is {}", path.display())).unwrap_or_default()
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_string())
}
