//! What a command reads, so that it does not write over it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use kiln_data::DataDir;

use crate::failure::Failure;

/// Files that are read.
#[derive(Debug)]
pub struct Inputs {
    /// Without links and detours, so that a file is known under each of its names.
    files: HashSet<PathBuf>,
}

impl Inputs {
    /// Those of these paths that exist.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { files: paths.into_iter().filter_map(|path| path.canonicalize().ok()).collect() }
    }

    /// What a source as it was typed may stand for.
    pub fn of_source(source: &str, dir: &DataDir) -> impl Iterator<Item = PathBuf> {
        std::iter::once(PathBuf::from(source)).chain(dir.path(source).ok())
    }

    /// Refuses to write to a file that is read.
    pub fn refuse(&self, file: &Path) -> Result<(), Failure> {
        if file.canonicalize().is_ok_and(|file| self.files.contains(&file)) {
            let message = format!("--to: {} is read, and would be written over", file.display());
            return Err(Failure::Usage { message, help: Some("name another place with --to".into()) });
        }
        Ok(())
    }
}
