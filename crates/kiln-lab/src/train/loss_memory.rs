//! What an objective keeps besides the network, beside the checkpoints of its epoch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Objective;
use super::disk_queue::DiskQueue;
use crate::LabError;

/// Files `memory-<epoch>.bin` in a training's folder, in the objective's own format.
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

    /// Writes what the objective keeps at the end of an epoch. The two epochs before stay too: one of their checkpoints is
    /// what a training goes on from which is killed before its own.
    ///
    /// # Errors
    /// [`LabError::Io`] when the file cannot be written.
    pub(super) fn save(&self, objective: &dyn Objective, epoch: usize) -> Result<(), LabError> {
        if !objective.has_memory() {
            return Ok(());
        }
        // The checkpoint of the epoch before has to be on the disk when what belongs to an older one goes.
        self.checkpoints.flush().map_err(LabError::method)?;
        objective.save_memory(&self.file(epoch))?;
        if let Some(old) = epoch.checked_sub(3) {
            let old = self.file(old);
            if old.is_file() {
                std::fs::remove_file(&old).map_err(|error| LabError::io("remove", &old, error))?;
            }
        }
        Ok(())
    }

    /// Gives the objective what it kept at the end of an epoch.
    ///
    /// # Errors
    /// That of [`Objective::load_memory`], when the objective keeps anything.
    pub(super) fn restore(&self, objective: &dyn Objective, epoch: usize) -> Result<(), LabError> {
        if objective.has_memory() { objective.load_memory(&self.file(epoch)) } else { Ok(()) }
    }

    fn file(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("memory-{epoch}.bin"))
    }
}
