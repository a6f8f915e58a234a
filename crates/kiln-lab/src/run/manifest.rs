//! `run.toml`: what a run is, written when it starts and again when it ends.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{LabError, Scale, files, machine};

/// Name of the manifest in a run's folder.
pub const FILE: &str = "run.toml";

/// The version of this crate, and so of the program.
pub const KILN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of Burn that the workspace pins.
pub const BURN_VERSION: &str = "0.22.1";

/// Everything that a run's figures depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The method, or the command for a run that reproduces none.
    pub method: String,
    /// How far it got.
    pub status: Status,
    /// Why it stopped, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
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
    /// Commit of the sources when a reproduction started, with `-dirty` where they differed; empty outside a repository,
    /// and for trainings.
    #[serde(default)]
    pub commit: String,
    /// SHA-256 of the data with which a training was begun, where it lay in files, and of what changed its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<String, String>,
    /// Processor, cores and system.
    pub machine: String,
    /// Cores that the run shares out over its jobs. It keeps to them when it is resumed, wherever that is: how a tensor
    /// operation is spread over threads can change the last bits of its result.
    #[serde(default = "machine::cores")]
    pub cores: usize,
    /// Seconds of work on each part so far, over all resumptions.
    #[serde(default)]
    pub part_seconds: BTreeMap<String, f64>,
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

    /// Refuses to go on with a run that another version began: its figures would come from both.
    ///
    /// # Errors
    /// [`LabError::Refused`] with both versions.
    pub fn check_versions(&self, folder: &Path) -> Result<(), LabError> {
        let ours = [("kiln", self.kiln_version.as_str(), KILN_VERSION), ("Burn", &self.burn_version, BURN_VERSION)];
        match ours.into_iter().find(|(_, began, now)| began != now) {
            None => Ok(()),
            Some((what, began, now)) => Err(LabError::Refused(format!(
                "the run {} was begun with {what} {began} and cannot be resumed with {what} {now}: start it anew",
                folder.display()
            ))),
        }
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
