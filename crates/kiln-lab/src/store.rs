//! The runs that were made: what lies in `runs/`.

use std::path::{Path, PathBuf};

use crate::{LabError, Manifest, Table, Verdict, files, statistics::figure};

/// A run in its folder.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// Its folder.
    pub folder: PathBuf,
    /// What it is.
    pub manifest: Manifest,
    /// What it concluded; `None` before it finished.
    pub verdict: Option<Verdict>,
}

/// All runs of a folder.
#[derive(Debug, Default)]
pub struct Runs {
    /// Readable runs, the newest first.
    pub runs: Vec<StoredRun>,
    /// Why others cannot be read.
    pub broken: Vec<LabError>,
}

impl StoredRun {
    /// Reads the run in `folder`.
    ///
    /// # Errors
    /// [`LabError::Io`] and [`LabError::Corrupt`] when the folder is no run.
    pub fn read(folder: &Path) -> Result<Self, LabError> {
        let manifest = Manifest::read(folder)?;
        let path = folder.join("verdict.json");
        let verdict = if path.exists() { Some(files::read_json("verdict", &path)?) } else { None };
        Ok(Self { folder: folder.to_path_buf(), manifest, verdict })
    }

    /// Name of the folder, which names the run.
    pub fn name(&self) -> String {
        self.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Scale and parts in words, as in `full, speed only`.
    pub fn extent(&self) -> String {
        let mut text = self.manifest.scale.map_or_else(|| "-".to_string(), |scale| scale.to_string());
        if self.manifest.changed {
            text.push_str(", changed");
        }
        if !self.manifest.parts.is_empty() {
            text.push_str(&format!(", {} only", self.manifest.parts.join(" and ")));
        }
        text
    }

    /// The tally of the verdict, or how far the run got.
    pub fn outcome(&self) -> String {
        match &self.verdict {
            Some(verdict) if !verdict.findings.is_empty() => verdict.tally(),
            _ => match &self.manifest.failure {
                Some(reason) => format!("{}: {reason}", self.manifest.status),
                None => self.manifest.status.to_string(),
            },
        }
    }
}

impl Runs {
    /// Reads all runs in `out`; none when there is no such folder.
    ///
    /// # Errors
    /// [`LabError::Io`] when the folder cannot be listed.
    pub fn list(out: &Path) -> Result<Self, LabError> {
        let mut runs = Self::default();
        if !out.exists() {
            return Ok(runs);
        }
        let failed = |source| LabError::io("read", out, source);
        for entry in std::fs::read_dir(out).map_err(failed)? {
            let folder = entry.map_err(failed)?.path();
            if !folder.join(crate::run::manifest::FILE).exists() {
                continue;
            }
            match StoredRun::read(&folder) {
                Ok(run) => runs.runs.push(run),
                Err(error) => runs.broken.push(error),
            }
        }
        let order = |run: &StoredRun| (run.manifest.started.clone(), run.name());
        runs.runs.sort_by_key(|run| std::cmp::Reverse(order(run)));
        Ok(runs)
    }

    /// The table of `kiln runs`.
    pub fn table(&self) -> Table {
        let mut table = Table::new("Runs", ["run", "started (UTC)", "scale", "seconds", "outcome"]);
        for run in &self.runs {
            let started = run.manifest.started.replace('T', " ").replace('Z', "");
            table.push([run.name(), started, run.extent(), figure(run.manifest.elapsed_seconds), run.outcome()]);
        }
        table
    }
}

/// The folder of the run called `name`: a path to it, its name in `out`, or the name of a method, which stands for its
/// newest run.
///
/// # Errors
/// [`LabError::UnknownName`] with the nearest run.
pub fn find(out: &Path, name: &str) -> Result<PathBuf, LabError> {
    let is_run = |folder: &Path| folder.join(crate::run::manifest::FILE).exists();
    let candidates = [PathBuf::from(name), out.join(name)];
    if let Some(folder) = candidates.into_iter().find(|folder| is_run(folder)) {
        return Ok(folder);
    }
    let runs = Runs::list(out)?;
    if let Some(run) = runs.runs.iter().find(|run| run.manifest.method == name) {
        return Ok(run.folder.clone());
    }
    let names: Vec<String> = runs.runs.iter().map(StoredRun::name).collect();
    Err(LabError::unknown("run", name, names.iter().map(String::as_str)))
}
