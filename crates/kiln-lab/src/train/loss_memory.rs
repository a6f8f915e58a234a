//! What an objective remembers of the training rows, beside the checkpoints of its epoch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Objective;
use super::disk_queue::DiskQueue;
use crate::{LabError, files};

/// Files `memory-<epoch>.f32` in a training's folder: single-precision numbers, little-endian, one after the other.
pub(super) struct LossMemory {
    folder: PathBuf,
    /// Through which the checkpoints are written.
    checkpoints: Arc<DiskQueue>,
}

impl LossMemory {
    /// Of the training in `folder`, whose checkpoints are written through `checkpoints`.
    pub(super) fn beside(folder: &Path, checkpoints: Arc<DiskQueue>) -> Self {
        Self { folder: folder.to_path_buf(), checkpoints }
    }

    /// Writes what the objective remembers at the end of an epoch. The two epochs before are kept too: one of their
    /// checkpoints is what a training goes on from which is killed before its own.
    ///
    /// # Errors
    /// [`LabError::Io`] when the file cannot be written.
    pub(super) fn save(&self, objective: &dyn Objective, epoch: usize) -> Result<(), LabError> {
        let Some(memory) = objective.memory() else { return Ok(()) };
        // The checkpoint of the epoch before has to be on the disk when what belongs to an older one goes.
        self.checkpoints.flush().map_err(LabError::method)?;
        files::write_numbers(&self.file(epoch), &memory)?;
        if let Some(old) = epoch.checked_sub(3) {
            let old = self.file(old);
            if old.is_file() {
                std::fs::remove_file(&old).map_err(|error| LabError::io("remove", &old, error))?;
            }
        }
        Ok(())
    }

    /// Gives the objective what it remembered at the end of an epoch.
    ///
    /// # Errors
    /// [`LabError::Io`] when the objective has a memory and the file cannot be read, [`LabError::Corrupt`] when it is no list
    /// of numbers that the objective can have given.
    pub(super) fn restore(&self, objective: &dyn Objective, epoch: usize) -> Result<(), LabError> {
        if objective.memory().is_none() {
            return Ok(());
        }
        const WHAT: &str = "memory of the loss";
        let path = self.file(epoch);
        let memory = files::read_numbers(WHAT, &path)?;
        objective.remember(memory).map_err(|error| LabError::corrupt(WHAT, path, error))
    }

    fn file(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("memory-{epoch}.f32"))
    }
}
