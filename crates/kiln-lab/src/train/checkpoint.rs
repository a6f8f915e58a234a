//! Checkpoints that are either whole or absent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::optim::OptimizerRecord;
use burn::optim::lr_scheduler::LrSchedulerRecord;
use burn::store::ModuleRecord;
use burn::train::checkpoint::{Checkpoint, Checkpointer, CheckpointerError};

use super::disk_queue::DiskQueue;
use super::history::checkpointed_epochs;
use crate::LabError;

/// Saves records as `<name>-<epoch>.bpk` while the training goes on. Burn writes each under a temporary name first, so that a
/// killed training leaves no truncated checkpoint.
pub(super) struct WholeFileCheckpointer {
    folder: PathBuf,
    name: &'static str,
    queue: Arc<DiskQueue>,
}

impl WholeFileCheckpointer {
    pub(super) fn new(folder: &Path, name: &'static str, queue: Arc<DiskQueue>) -> Self {
        Self { folder: folder.to_path_buf(), name, queue }
    }
}

impl<R: Checkpoint> Checkpointer<R> for WholeFileCheckpointer {
    fn save(&self, epoch: usize, record: R) -> Result<(), CheckpointerError> {
        let path = file(&self.folder, self.name, epoch);
        let save = {
            let path = path.clone();
            move || record.save(path.clone()).map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        self.queue.write(&path, save).map_err(CheckpointerError::Unknown)
    }

    fn restore(&self, epoch: usize) -> Result<R, CheckpointerError> {
        self.queue.flush().map_err(CheckpointerError::Unknown)?;
        R::load(file(&self.folder, self.name, epoch))
    }

    fn delete(&self, epoch: usize) -> Result<(), CheckpointerError> {
        self.queue.remove(&file(&self.folder, self.name, epoch));
        Ok(())
    }
}

/// Name of the records of the network, of the optimizer and of the schedule.
pub(super) const RECORDS: [&str; 3] = ["model", "optim", "scheduler"];

/// The newest epoch up to `last` of which `folder` holds all three records; nothing where no epoch was finished.
///
/// # Errors
/// [`LabError::Corrupt`] when a record of that epoch cannot be read.
pub(super) fn newest_whole_epoch(folder: &Path, last: usize) -> Result<Option<usize>, LabError> {
    let newest = checkpointed_epochs(folder)
        .into_iter()
        .rev()
        .filter(|epoch| *epoch <= last)
        .find(|epoch| RECORDS.iter().all(|name| file(folder, name, *epoch).is_file()));
    if let Some(epoch) = newest {
        readable::<ModuleRecord>(folder, RECORDS[0], epoch)?;
        readable::<OptimizerRecord>(folder, RECORDS[1], epoch)?;
        readable::<LrSchedulerRecord>(folder, RECORDS[2], epoch)?;
    }
    Ok(newest)
}

/// Reads the network's record of an epoch.
///
/// # Errors
/// [`LabError::Corrupt`] when it cannot be read.
pub(super) fn network_record(folder: &Path, epoch: usize) -> Result<ModuleRecord, LabError> {
    readable(folder, RECORDS[0], epoch)
}

/// The file of the network's record of an epoch.
pub(super) fn network_file(folder: &Path, epoch: usize) -> PathBuf {
    file(folder, RECORDS[0], epoch)
}

fn readable<R: Checkpoint>(folder: &Path, name: &str, epoch: usize) -> Result<R, LabError> {
    let path = file(folder, name, epoch);
    R::load(path.clone()).map_err(|error| LabError::corrupt("checkpoint", path, error))
}

fn file(folder: &Path, name: &str, epoch: usize) -> PathBuf {
    folder.join(format!("{name}-{epoch}.bpk"))
}
