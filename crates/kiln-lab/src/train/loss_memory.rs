//! What an objective remembers of the training rows, beside the checkpoints of its epoch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Objective;
use super::disk_queue::DiskQueue;
use crate::{LabError, files::write_whole};

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

    /// Writes what the objective remembers at the end of an epoch. The epoch before is kept too: its checkpoint is the one
    /// that a training goes on from which is killed before its own.
    ///
    /// # Errors
    /// [`LabError::Io`] when the file cannot be written.
    pub(super) fn save(&self, objective: &dyn Objective, epoch: usize) -> Result<(), LabError> {
        let Some(memory) = objective.memory() else { return Ok(()) };
        // The checkpoint of the epoch before has to be on the disk when what belongs to an older one goes.
        self.checkpoints.flush().map_err(LabError::method)?;
        let bytes: Vec<u8> = memory.iter().flat_map(|value| value.to_le_bytes()).collect();
        write_whole(&self.file(epoch), &bytes)?;
        if let Some(old) = epoch.checked_sub(2) {
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
        let path = self.file(epoch);
        let bytes = std::fs::read(&path).map_err(|error| LabError::io("read", &path, error))?;
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            let reason = format!("{} bytes are no whole number of values", bytes.len());
            return Err(LabError::corrupt("memory of the loss", path, reason));
        }
        let memory = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        objective.remember(memory).map_err(|error| LabError::corrupt("memory of the loss", path, error))
    }

    fn file(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("memory-{epoch}.f32"))
    }
}
