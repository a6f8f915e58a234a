//! `run.toml`: what a run is, written when it starts and again when it ends.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{LabError, Scale, files};

/// Name of the manifest in a run's folder.
pub const FILE: &str = "run.toml";

/// Everything that a run's figures depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The method, or the command for a run that reproduces none.
    pub method: String,
    /// How far it got.
    pub status: Status,
    /// When it started, in UTC by RFC 3339.
    pub started: String,
    /// Seconds of work so far, over all resumptions.
    #[serde(default)]
    pub elapsed_seconds: f64,
    /// Scale of the settings; absent for a run that reproduces no method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Whether `--set` changed the scale's settings.
    #[serde(default)]
    pub changed: bool,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Parts that were asked for; empty for all.
    #[serde(default)]
    pub parts: Vec<String>,
    /// Device, as `--device` takes it.
    pub device: String,
    /// Folders in which data was looked for.
    #[serde(default)]
    pub data_folders: Vec<String>,
    /// Version of kiln.
    pub kiln_version: String,
    /// Version of Burn.
    pub burn_version: String,
    /// Processor, cores and system.
    pub machine: String,
    /// Settings of the recipe or command.
    pub settings: Table,
}

/// How far a run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It runs, or was killed.
    Running,
    /// It stopped with an error.
    Failed,
    /// It has its verdict.
    Finished,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Running => "unfinished",
            Self::Failed => "failed",
            Self::Finished => "finished",
        })
    }
}

impl Manifest {
    /// Reads the manifest of a run's folder.
    ///
    /// # Errors
    /// [`LabError::Io`] when there is none, [`LabError::Corrupt`] when it is no manifest.
    pub fn read(folder: &Path) -> Result<Self, LabError> {
        let path = folder.join(FILE);
        toml::from_str(&files::read_text(&path)?).map_err(|error| LabError::corrupt("run manifest", &path, error))
    }

    /// Writes the manifest into a run's folder, whole.
    ///
    /// # Errors
    /// [`LabError::Io`], for example on a full disk.
    pub fn write(&self, folder: &Path) -> Result<(), LabError> {
        let path = folder.join(FILE);
        let text = toml::to_string(self).map_err(|error| LabError::corrupt("run manifest", &path, error))?;
        files::write_whole(&path, text.as_bytes())
    }
}
