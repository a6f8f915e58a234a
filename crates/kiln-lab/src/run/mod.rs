//! A run: a folder in which an experiment leaves what it did, and from which it goes on when it was killed.

mod grid;
mod job;
pub mod manifest;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use burn::tensor::Device;
use kiln_data::DataDir;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use toml::Table as Settings;

pub use job::JobContext;
pub use manifest::{Manifest, Status};

use crate::{
    AnyRecipe, LabError, MethodCard, Picture, Scale, Table, Verdict, device, files, machine, plot::Plot,
    progress::Progress, report,
};
use grid::Grid;
use manifest::{BURN_VERSION, KILN_VERSION};

/// What a person chooses about a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How much it spends.
    pub scale: Scale,
    /// Number of seeds; the recipe's own for the scale when absent.
    pub seeds: Option<usize>,
    /// Parts to run; empty for all.
    pub parts: Vec<String>,
    /// Overrides of settings, each `key=value`.
    pub overrides: Vec<String>,
    /// Device by name.
    pub device: String,
    /// Folder in which the run's folder is made.
    pub out: PathBuf,
    /// Where data is found.
    pub data: DataDir,
    /// Whether to show progress on a terminal.
    pub show_progress: bool,
}

impl RunOptions {
    /// Options with everything at its default: all parts, the scale's own seeds, the processor, progress shown.
    pub fn new(scale: Scale, out: impl Into<PathBuf>, data: DataDir) -> Self {
        Self {
            scale,
            seeds: None,
            parts: Vec::new(),
            overrides: Vec::new(),
            device: "cpu".to_string(),
            out: out.into(),
            data,
            show_progress: true,
        }
    }
}

/// An experiment that runs: its folder, seeds, progress, metrics and artifacts.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    manifest: Manifest,
    devices: Vec<Device>,
    data: DataDir,
    progress: Progress,
    record: Record,
    figures: Mutex<Vec<String>>,
    part: Option<String>,
    portions: Vec<Portion>,
    started: Instant,
}

/// What one part of a reproduction reported.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Portion {
    /// Name of the part; [`WHOLE`] for a recipe without parts.
    pub part: String,
    /// Ids of its findings.
    pub findings: Vec<String>,
    /// Its remarks.
    pub notes: Vec<String>,
}

/// What stands for the part of a recipe that has none.
pub const WHOLE: &str = "all";

/// What a report shows besides the verdict; `report.json` in the folder.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// Tables, in the order in which they were added.
    pub tables: Vec<Table>,
    /// Remarks.
    pub notes: Vec<String>,
    /// Names of the figures, in the order in which they were drawn.
    #[serde(default)]
    pub figures: Vec<String>,
    /// Pictures that jobs drew while they worked: paths below the artifacts without ending, in their order.
    #[serde(default)]
    pub pictures: Vec<String>,
    /// What the run reproduces; absent where it reproduces nothing.
    #[serde(default)]
    pub heading: Option<Heading>,
}

/// The paper behind a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// Title.
    pub title: String,
    /// Authors, venue and year.
    pub citation: String,
    /// What it claims.
    pub claim: String,
    /// Its page.
    pub url: Option<String>,
}

impl From<&MethodCard> for Heading {
    fn from(card: &MethodCard) -> Self {
        Self {
            title: card.title.to_string(),
            citation: card.citation(),
            claim: card.claim.to_string(),
            url: card.url(),
        }
    }
}

impl Run {
    /// Starts a run of `recipe` in a new folder `<out>/<method>-<time>`.
    ///
    /// # Errors
    /// As [`check`](Self::check), and [`LabError::Io`] when the folder cannot be made.
    pub fn create(recipe: &dyn AnyRecipe, options: &RunOptions) -> Result<Self, LabError> {
        Self::begin(planned(recipe, options)?, options)
    }

    /// Whether [`create`](Self::create) would accept the options; makes nothing.
    ///
    /// # Errors
    /// [`LabError::UnknownName`] and [`LabError::Setting`] for parts and settings that the recipe does not have, and
    /// [`LabError::Device`].
    pub fn check(recipe: &dyn AnyRecipe, options: &RunOptions) -> Result<(), LabError> {
        device::parse(&options.device)?;
        planned(recipe, options).map(drop)
    }

    /// Starts a run that reproduces no method, such as a training: `name` stands for the method.
    ///
    /// # Errors
    /// [`LabError::Device`], and [`LabError::Io`] when the folder cannot be made.
    pub fn start(name: &str, settings: Settings, seeds: Vec<u64>, options: &RunOptions) -> Result<Self, LabError> {
        Self::begin(new_manifest(name, settings, seeds, &options.device, &options.data), options)
    }

    fn begin(manifest: Manifest, options: &RunOptions) -> Result<Self, LabError> {
        let devices = device::parse_all(&manifest.device)?;
        let folder = new_folder(&options.out, &manifest.method)?;
        manifest.write(&folder)?;
        let progress = if options.show_progress { Progress::terminal() } else { Progress::hidden() };
        Ok(Self::assemble(folder, manifest, devices, options.data.clone(), progress))
    }

    /// Goes on with the run in `folder`: what is stored there is not computed again.
    ///
    /// # Errors
    /// [`LabError::Io`] and [`LabError::Corrupt`] when the folder is no run, [`LabError::Device`], and
    /// [`LabError::Refused`] when another version of kiln or Burn began it.
    pub fn reopen(folder: &Path, data: DataDir) -> Result<Self, LabError> {
        let manifest = Manifest::read(folder)?;
        manifest.check_versions(folder)?;
        let devices = device::parse_all(&manifest.device)?;
        Ok(Self::assemble(folder.to_path_buf(), manifest, devices, data, Progress::terminal()))
    }

    fn assemble(folder: PathBuf, manifest: Manifest, devices: Vec<Device>, data: DataDir, progress: Progress) -> Self {
        Self {
            folder,
            manifest,
            devices,
            data,
            progress,
            record: Record::default(),
            figures: Mutex::default(),
            part: None,
            portions: Vec::new(),
            started: Instant::now(),
        }
    }

    /// Ties the run to data that it was begun with, a source as [`kiln_data::fingerprint`] takes it. Other data has another
    /// split and other means, so that what was learnt from one must not be judged by the other.
    ///
    /// # Errors
    /// [`LabError::Refused`] when it was begun with other data, [`LabError::Data`] when it cannot be read, and
    /// [`LabError::Io`] when the manifest cannot be written.
    pub fn hold_to(&mut self, source: &str) -> Result<(), LabError> {
        let Some(now) = kiln_data::fingerprint(source, &self.data)? else { return Ok(()) };
        match self.manifest.sha256.get(source) {
            Some(before) if *before == now => Ok(()),
            Some(_) => {
                let folder = self.folder.display();
                Err(LabError::Refused(format!(
                    "{source} has changed since the run {folder} was begun; start a new one"
                )))
            }
            None => {
                self.manifest.sha256.insert(source.to_string(), now);
                self.manifest.write(&self.folder)
            }
        }
    }

    /// Marks a run that is gone on with as running.
    ///
    /// # Errors
    /// [`LabError::Io`] when the manifest cannot be written.
    pub fn begin_again(&mut self) -> Result<(), LabError> {
        self.set_status(Status::Running)
    }

    /// Performs the recipe part by part and leaves verdict, metrics and report in the folder.
    ///
    /// # Errors
    /// What the recipe returns, and [`LabError::Io`]; the run is then marked as failed and can be resumed.
    /// [`LabError::Refused`] for a recipe of another method.
    pub fn execute(&mut self, recipe: &dyn AnyRecipe) -> Result<Verdict, LabError> {
        if recipe.card().id != self.manifest.method {
            let (folder, method) = (self.folder.display(), &self.manifest.method);
            return Err(LabError::Refused(format!("{folder} is a run of {method}, not of {}", recipe.card().id)));
        }
        self.set_status(Status::Running)?;
        self.record = Record { heading: Some(recipe.card().into()), ..Record::default() };
        self.drawn().clear();
        let verdict = self.perform(recipe);
        match verdict.and_then(|verdict| self.finish(&verdict).map(|()| verdict)) {
            Ok(verdict) => Ok(verdict),
            Err(error) => {
                self.fail(&error);
                Err(error)
            }
        }
    }

    fn perform(&mut self, recipe: &dyn AnyRecipe) -> Result<Verdict, LabError> {
        self.portions.clear();
        let mut verdict = Verdict::new();
        for part in self.parts(recipe) {
            self.portions.push(Portion { part: part.to_string(), ..Portion::default() });
            self.part = Some(part.to_string());
            let started = Instant::now();
            let performed = recipe.perform(self);
            *self.manifest.part_seconds.entry(part.to_string()).or_default() += started.elapsed().as_secs_f64();
            self.part = None;
            for finding in performed?.findings {
                if verdict.findings.iter().any(|known| known.id == finding.id) {
                    return Err(LabError::Refused(format!("two findings are called `{}`", finding.id)));
                }
                self.portions.last_mut().into_iter().for_each(|portion| portion.findings.push(finding.id.clone()));
                verdict = verdict.finding(finding);
            }
        }
        Ok(verdict)
    }

    /// The parts that were asked for, in the recipe's order.
    fn parts(&self, recipe: &dyn AnyRecipe) -> Vec<&'static str> {
        match recipe.parts() {
            [] => vec![WHOLE],
            parts => parts.iter().copied().filter(|part| self.wants(part)).collect(),
        }
    }

    /// Writes verdict, metrics, tables and report, marks the run as finished, and brings the index over all runs of its
    /// folder up to date.
    ///
    /// # Errors
    /// [`LabError::Io`], for example on a full disk.
    pub fn finish(&mut self, verdict: &Verdict) -> Result<(), LabError> {
        let metrics = grid::gather_metrics(&self.folder)?;
        files::write_whole(&self.folder.join("metrics.jsonl"), metrics.as_bytes())?;
        for (index, table) in self.record.tables.iter().enumerate() {
            let name = format!("table-{}-{}.csv", index + 1, files::spoken_name(&table.title));
            files::write_whole(&self.artifacts().join(name), table.csv().as_bytes())?;
        }
        let figures = self.drawn().clone();
        self.record.figures = figures;
        self.record.pictures = grid::gather_pictures(&self.artifacts())?;
        files::write_json(&self.folder.join("report.json"), &self.record)?;
        files::write_json(&self.folder.join("verdict.json"), verdict)?;
        self.set_status(Status::Finished)?;
        report::write(&self.folder)?;
        match self.folder.parent() {
            Some(out) if !out.as_os_str().is_empty() => report::write_index(out).map(drop),
            _ => report::write_index(Path::new(".")).map(drop),
        }
    }

    /// Marks the run as failed, for `kiln runs`; it can still be resumed.
    pub fn fail(&mut self, reason: &dyn std::error::Error) {
        self.manifest.failure = Some(reason.to_string());
        // The error that stopped the run is the one to report, not that its status could not be written.
        let _ = self.set_status(Status::Failed);
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the run is: method, scale, settings, seeds, device, versions.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Settings as a table.
    pub fn settings(&self) -> &Settings {
        &self.manifest.settings
    }

    /// The first device, without autodiff.
    pub fn device(&self) -> Device {
        self.devices[0].clone()
    }

    /// All devices, without autodiff. A recipe has one; a training may be spread over several.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Where data is found.
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// The seeds; every method of an experiment runs on the same ones.
    pub fn seeds(&self) -> &[u64] {
        &self.manifest.seeds
    }

    /// Whether `part` is to be run now. While a recipe is performed that is one part after the other; otherwise it is
    /// every part that was asked for: all, unless some were named.
    pub fn wants(&self, part: &str) -> bool {
        match &self.part {
            Some(current) => current == part || current == WHOLE,
            None => self.manifest.parts.is_empty() || self.manifest.parts.iter().any(|wanted| wanted == part),
        }
    }

    /// What each part has reported, in the order in which they were run.
    pub fn portions(&self) -> &[Portion] {
        &self.portions
    }

    /// Where pictures, tables and weights are left.
    pub fn artifacts(&self) -> PathBuf {
        self.folder.join(job::ARTIFACTS)
    }

    /// Runs `work` for every job, in parallel over the cores. `key` names a job; a finished job's result is stored under
    /// its name and read back instead of computed again when the run is resumed. Results are in the order of `jobs`.
    ///
    /// A result must survive JSON: NaN does not, an `Option` does.
    ///
    /// # Errors
    /// The error of the first job in order that failed; no further jobs are started then.
    pub fn grid<J: Sync, T: Serialize + DeserializeOwned + Send>(
        &self,
        part: &str,
        jobs: &[J],
        key: impl Fn(&J) -> String + Sync,
        work: impl Fn(&J, &JobContext) -> Result<T, LabError> + Sync,
    ) -> Result<Vec<T>, LabError> {
        let shared = device::is_cpu(&self.manifest.device);
        self.jobs(part, if shared { self.manifest.cores } else { 1 }).run(jobs, key, work)
    }

    /// As [`grid`](Self::grid), one job at a time with the whole machine: for timings.
    ///
    /// # Errors
    /// As [`grid`](Self::grid).
    pub fn sequential<J: Sync, T: Serialize + DeserializeOwned + Send>(
        &self,
        part: &str,
        jobs: &[J],
        key: impl Fn(&J) -> String + Sync,
        work: impl Fn(&J, &JobContext) -> Result<T, LabError> + Sync,
    ) -> Result<Vec<T>, LabError> {
        self.jobs(part, 1).run(jobs, key, work)
    }

    /// The handle of a job that is no part of a grid, such as a single training.
    pub fn job(&self, part: &str, key: &str) -> JobContext {
        JobContext::new(&self.folder, part, key, self.device(), self.progress.job(key))
    }

    fn jobs<'a>(&'a self, part: &'a str, workers: usize) -> Grid<'a> {
        let (folder, device, progress) = (&self.folder, &self.devices[0], &self.progress);
        Grid { folder, part, device, progress, workers, cores: self.manifest.cores }
    }

    /// Draws a plot into the artifacts, as `<name>.svg`, `<name>.png` and its data as `<name>.json`.
    ///
    /// # Errors
    /// [`LabError::Plot`] when it cannot be drawn, [`LabError::Io`] when it cannot be written.
    pub fn plot(&self, name: &str, plot: &Plot) -> Result<(), LabError> {
        let refused = |reason| LabError::Plot { name: name.to_string(), reason };
        let at = |ending: &str| self.artifacts().join(format!("{}.{ending}", files::file_name(name)));
        let [svg, png, json] = ["svg", "png", "json"].map(at);
        let lines = || {
            files::write_whole(&svg, plot.svg().map_err(refused)?.as_bytes())?;
            files::write_json(&json, plot)
        };
        let pixels = || files::write_whole(&png, &plot.png().map_err(refused)?);
        let (lines, pixels) = rayon::join(lines, pixels);
        lines.and(pixels)?;
        let mut drawn = self.drawn();
        if !drawn.iter().any(|known| known == name) {
            drawn.push(name.to_string());
        }
        Ok(())
    }

    fn drawn(&self) -> MutexGuard<'_, Vec<String>> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a picture in the artifacts.
    ///
    /// # Errors
    /// As [`plot`](Self::plot).
    pub fn image(&self, name: &str, picture: &Picture) -> Result<(), LabError> {
        self.plot(name, &Plot::pictures("", 1, vec![picture.clone()]))
    }

    /// Adds a table to the report and, as CSV, to the artifacts.
    pub fn table(&mut self, table: Table) {
        self.record.tables.push(table);
    }

    /// Adds a remark to the report, once.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        let portion = self.portions.last_mut().filter(|_| self.part.is_some());
        for notes in std::iter::once(&mut self.record.notes).chain(portion.map(|portion| &mut portion.notes)) {
            if !notes.contains(&text) {
                notes.push(text.clone());
            }
        }
    }

    /// Tables and remarks so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Seconds of work so far, over all resumptions.
    pub fn elapsed_seconds(&self) -> f64 {
        self.manifest.elapsed_seconds + self.started.elapsed().as_secs_f64()
    }

    fn set_status(&mut self, status: Status) -> Result<(), LabError> {
        self.manifest.elapsed_seconds = self.elapsed_seconds();
        self.started = Instant::now();
        self.manifest.status = status;
        if status != Status::Failed {
            self.manifest.failure = None;
        }
        self.manifest.write(&self.folder)
    }
}

fn planned(recipe: &dyn AnyRecipe, options: &RunOptions) -> Result<Manifest, LabError> {
    if let Some(part) = options.parts.iter().find(|part| !recipe.parts().contains(&part.as_str())) {
        return Err(LabError::unknown("part", part, recipe.parts().iter().copied()));
    }
    let defaults = recipe.settings_table(options.scale)?;
    let mut settings = defaults.clone();
    crate::settings::apply(&mut settings, &options.overrides)?;
    recipe.check_settings(&settings)?;
    let seeds = match options.seeds {
        Some(0) => return Err(LabError::setting("seeds", 0, "at least one seed")),
        Some(count) => (1..=count as u64).collect(),
        None => recipe.seeds(options.scale),
    };
    let mut manifest = new_manifest(recipe.card().id, settings, seeds, &options.device, &options.data);
    // What is recorded says from which sources it comes. A training does not ask: it would wait for the answer.
    manifest.commit = machine::commit();
    manifest.scale = Some(options.scale);
    manifest.changed = options.seeds.is_some() || manifest.settings != defaults;
    manifest.parts = options.parts.clone();
    Ok(manifest)
}

fn new_manifest(method: &str, settings: Settings, seeds: Vec<u64>, device: &str, data: &DataDir) -> Manifest {
    Manifest {
        method: method.to_string(),
        status: Status::Running,
        failure: None,
        started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        elapsed_seconds: 0.0,
        scale: None,
        changed: false,
        seeds,
        parts: Vec::new(),
        device: device.to_string(),
        data_folders: data.directories().iter().map(|folder| folder.display().to_string()).collect(),
        kiln_version: KILN_VERSION.to_string(),
        burn_version: BURN_VERSION.to_string(),
        commit: String::new(),
        sha256: Default::default(),
        machine: machine::describe(),
        cores: machine::cores(),
        part_seconds: Default::default(),
        settings,
    }
}

/// Makes a folder that nobody else has: `<method>-<time>`, with a number behind when two start in one second.
fn new_folder(out: &Path, method: &str) -> Result<PathBuf, LabError> {
    fs::create_dir_all(out).map_err(|source| LabError::io("create", out, source))?;
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let mut number = 1;
    loop {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let folder = out.join(format!("{method}-{time}{suffix}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(LabError::io("create", &folder, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_version_of_burn_is_the_pinned_one() {
        let workspace = include_str!("../../../../Cargo.toml");
        assert!(workspace.contains(&format!("burn = {{ version = \"={BURN_VERSION}\"")));
    }

    #[test]
    fn runs_that_start_together_get_their_own_folders() {
        let out = tempfile::tempdir().unwrap();
        let first = new_folder(out.path(), "method").unwrap();
        assert_ne!(first, new_folder(out.path(), "method").unwrap());
    }
}
