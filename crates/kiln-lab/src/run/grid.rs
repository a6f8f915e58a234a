//! Jobs over the cores, each stored when it is done.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use burn::tensor::Device;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::job::{JobContext, METRICS_ENDING, cell_path};
use crate::{LabError, files, machine, metrics, panic_message, progress::Progress};

/// Stack of a worker: as roomy as a main thread's, on which the same work would run alone.
const STACK_BYTES: usize = 8 << 20;

/// The jobs of one part of a run.
pub(super) struct Grid<'a> {
    pub folder: &'a Path,
    pub part: &'a str,
    pub device: &'a Device,
    pub progress: &'a Progress,
    /// Jobs at a time.
    pub workers: usize,
    /// Cores that the run began with, shared out over the workers.
    pub cores: usize,
}

/// What is stored of a finished job.
#[derive(Serialize, Deserialize)]
struct Cell<T> {
    job: String,
    result: T,
}

impl Grid<'_> {
    /// Runs what is not stored yet, and returns all results in the order of `jobs`.
    ///
    /// A job's threads do not depend on how many jobs are left, so that a resumed run computes what an uninterrupted one
    /// does. Each worker has its own pool: a job that waits inside a tensor operation never picks up another job.
    pub fn run<J: Sync, T: Serialize + DeserializeOwned + Send>(
        &self,
        jobs: &[J],
        key: impl Fn(&J) -> String + Sync,
        work: impl Fn(&J, &JobContext) -> Result<T, LabError> + Sync,
    ) -> Result<Vec<T>, LabError> {
        let keys: Vec<String> = jobs.iter().map(key).collect();
        self.check_distinct(&keys)?;
        let mut results: Vec<Option<T>> = keys.iter().map(|key| self.stored(key)).collect::<Result<_, _>>()?;
        let missing: Vec<usize> = (0..jobs.len()).filter(|&index| results[index].is_none()).collect();
        let bar = self.progress.total(self.part, jobs.len());
        (missing.len()..jobs.len()).for_each(|_| bar.advance());

        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done: Mutex<Vec<(usize, Result<T, LabError>)>> = Mutex::default();
        let one_worker = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(&index) = missing.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let result = self.one(&keys[index], |context| work(&jobs[index], context));
                stop.fetch_or(result.is_err(), Ordering::Relaxed);
                bar.advance();
                done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
            }
        };
        let workers = self.workers.min(jobs.len()).max(1);
        let threads = (self.cores / workers).max(1);
        if workers == 1 && threads == machine::cores() {
            one_worker();
        } else {
            let pools = pools(workers, threads)?;
            std::thread::scope(|scope| {
                for pool in &pools {
                    scope.spawn(|| pool.install(one_worker));
                }
            });
        }

        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        for (index, result) in done {
            results[index] = Some(result?);
        }
        Ok(results.into_iter().flatten().collect())
    }

    fn check_distinct(&self, keys: &[String]) -> Result<(), LabError> {
        let mut seen = HashSet::new();
        match keys.iter().find(|key| !seen.insert(files::file_name(key))) {
            Some(key) => Err(LabError::Refused(format!("two jobs of part {} have the key `{key}`", self.part))),
            None => Ok(()),
        }
    }

    fn stored<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, LabError> {
        let path = cell_path(self.folder, self.part, key);
        if !path.exists() {
            return Ok(None);
        }
        let cell: Cell<T> = files::read_json("result of a job", &path)?;
        Ok(Some(cell.result))
    }

    /// Runs one job and stores its result. What is returned has been through the file, so that a resumed run goes on with
    /// the same bits.
    fn one<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        work: impl FnOnce(&JobContext) -> Result<T, LabError>,
    ) -> Result<T, LabError> {
        let name = format!("{}/{key}", self.part);
        let context = JobContext::new(self.folder, self.part, key, self.device.clone(), self.progress.job(key));
        let result = catch_unwind(AssertUnwindSafe(|| work(&context)))
            .unwrap_or_else(|panic| Err(LabError::Panicked { job: name.clone(), message: panic_message(&*panic) }));
        context.finish()?;
        let result = result.map_err(|error| with_job(error, &name))?;
        files::write_json(&cell_path(self.folder, self.part, key), &Cell { job: name.clone(), result })?;
        match self.stored(key) {
            Ok(Some(result)) => Ok(result),
            Ok(None) => Err(LabError::Refused(format!("the stored result of job {name} is gone"))),
            Err(error) => {
                // A cell that cannot be read back would fail every later attempt.
                let _ = std::fs::remove_file(cell_path(self.folder, self.part, key));
                Err(LabError::Refused(format!("the result of job {name} cannot be stored as JSON (NaN?): {error}")))
            }
        }
    }
}

fn pools(workers: usize, threads: usize) -> Result<Vec<rayon::ThreadPool>, LabError> {
    let builder = || rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES);
    let pool = || builder().build().map_err(LabError::method);
    (0..workers).map(|_| pool()).collect()
}

fn with_job(error: LabError, name: &str) -> LabError {
    match error {
        LabError::Diverged { step, loss, job, checkpoint } if job.is_empty() => {
            LabError::Diverged { step, loss, job: name.to_string(), checkpoint }
        }
        other => other,
    }
}

/// All stored metrics of a run, job by job in the order of their names, as one text.
pub(super) fn gather_metrics(folder: &Path) -> Result<String, LabError> {
    let cells = folder.join("cells");
    let mut gathered = String::new();
    for part in sorted_names(&cells)? {
        for name in sorted_names(&cells.join(&part))? {
            if name.ends_with(METRICS_ENDING) {
                let path = cells.join(&part).join(name);
                metrics::read(&path)?;
                gathered.push_str(&files::read_text(&path)?);
            }
        }
    }
    Ok(gathered)
}

/// Pictures that jobs drew: their paths below `artifacts` without ending, in the order of their names.
pub(super) fn gather_pictures(artifacts: &Path) -> Result<Vec<String>, LabError> {
    let mut pictures = Vec::new();
    for part in sorted_names(artifacts)?.iter().filter(|part| artifacts.join(part).is_dir()) {
        let part_folder = artifacts.join(part);
        for job in sorted_names(&part_folder)?.iter().filter(|job| part_folder.join(job).is_dir()) {
            let names = sorted_names(&part_folder.join(job))?;
            let drawn = names.iter().filter_map(|name| name.strip_suffix(".svg"));
            pictures.extend(drawn.map(|name| format!("{part}/{job}/{name}")));
        }
    }
    Ok(pictures)
}

fn sorted_names(folder: &Path) -> Result<Vec<String>, LabError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let failed = |source| LabError::io("read", folder, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
