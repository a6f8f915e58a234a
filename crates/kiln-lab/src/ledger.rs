//! The ledger: one recorded verdict a method, `results/<method>.json`, from which all tables of results are made.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table as Settings;

use crate::{AnyRecipe, Finding, LabError, MethodCard, Run, Scale, Table, Verdict, files, machine};

/// A recorded verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The method.
    pub method: String,
    /// Day of the run in UTC, as in `2026-01-31`.
    pub date: String,
    /// Commit of the working tree, with `-dirty` where it differed.
    pub commit: String,
    /// Processor, cores and system.
    pub machine: String,
    /// Device.
    pub device: String,
    /// Version of kiln.
    pub kiln_version: String,
    /// Seconds that the run took, over all its parts.
    pub wall_seconds: f64,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Settings, which are the recipe's full ones.
    pub settings: Settings,
    /// Findings in the recipe's order.
    pub findings: Vec<Finding>,
}

impl Entry {
    /// What a finished run adds to the ledger.
    pub fn new(run: &Run, verdict: &Verdict) -> Self {
        let manifest = run.manifest();
        Self {
            method: manifest.method.clone(),
            date: manifest.started.split('T').next().unwrap_or_default().to_string(),
            commit: machine::commit(),
            machine: manifest.machine.clone(),
            device: manifest.device.clone(),
            kiln_version: manifest.kiln_version.clone(),
            wall_seconds: (run.elapsed_seconds() * 10.0).round() / 10.0,
            seeds: manifest.seeds.clone(),
            settings: manifest.settings.clone(),
            findings: verdict.findings.clone(),
        }
    }

    /// The verdict that was recorded.
    pub fn verdict(&self) -> Verdict {
        Verdict { findings: self.findings.clone() }
    }

    /// The findings in Markdown, with when, where and how they were measured, and what is to be known besides.
    pub fn markdown(&self) -> String {
        let Self { method, date, commit, machine, wall_seconds, .. } = self;
        let seeds = self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "Recorded on {date} with `kiln reproduce {method} --full --record` at commit {commit}: {machine}, {:.1} minutes, seeds \
             {seeds}.\n\n{}",
            wall_seconds / 60.0,
            findings_table("Verdict", &self.verdict()).markdown()
        );
        let notes = self.findings.iter().filter(|finding| !finding.note.is_empty());
        let notes: Vec<String> = notes.map(|finding| format!("- `{}`: {}\n", finding.id, finding.note)).collect();
        if !notes.is_empty() {
            text += &format!("\n{}", notes.concat());
        }
        text
    }

    /// Reads the entry of `method`; `None` when there is none.
    ///
    /// # Errors
    /// [`LabError::Corrupt`] for a file that is no entry, [`LabError::Io`].
    pub fn read(results: &Path, method: &str) -> Result<Option<Self>, LabError> {
        let path = path(results, method);
        if !path.exists() {
            return Ok(None);
        }
        let entry: Self = files::read_json("ledger entry", &path)?;
        if entry.method != method {
            return Err(LabError::corrupt("ledger entry", &path, format!("it is about `{}`", entry.method)));
        }
        Ok(Some(entry))
    }

    /// Records the entry. The run of some parts replaces their findings and keeps the others of an entry with the same
    /// settings, seeds and device; a whole run replaces everything.
    ///
    /// # Errors
    /// [`LabError::Refused`] for settings that are not the recipe's full ones, [`LabError::Io`].
    pub fn record(mut self, results: &Path, recipe: &dyn AnyRecipe) -> Result<PathBuf, LabError> {
        self.check_settings(recipe).map_err(LabError::Refused)?;
        let ids = recipe.finding_ids(&self.settings)?;
        let is_partial = ids.iter().any(|id| self.findings.iter().all(|finding| finding.id != *id));
        if let Some(earlier) = Self::read(results, &self.method)?.filter(|_| is_partial) {
            self.keep_other_parts(earlier);
        }
        let place = |finding: &Finding| ids.iter().position(|id| *id == finding.id).unwrap_or(usize::MAX);
        self.findings.sort_by_key(place);
        let path = path(results, &self.method);
        files::write_json(&path, &self)?;
        Ok(path)
    }

    fn keep_other_parts(&mut self, earlier: Self) {
        let same = earlier.settings == self.settings && earlier.seeds == self.seeds && earlier.device == self.device;
        if !same {
            return;
        }
        let mut kept = false;
        for finding in earlier.findings {
            if self.findings.iter().all(|new| new.id != finding.id) {
                self.findings.push(finding);
                kept = true;
            }
        }
        if kept {
            self.wall_seconds += earlier.wall_seconds;
        }
    }

    /// Whether the entry is what `recipe` at its full scale would record: settings, seeds, and every finding.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn validate(&self, recipe: &dyn AnyRecipe) -> Result<(), String> {
        self.check_settings(recipe)?;
        let ids = recipe.finding_ids(&self.settings).map_err(|error| error.to_string())?;
        let recorded: Vec<&str> = self.findings.iter().map(|finding| finding.id.as_str()).collect();
        if let Some(id) = ids.iter().find(|id| !recorded.contains(&id.as_str())) {
            return Err(format!("finding `{id}` of {} is missing", self.method));
        }
        match recorded.iter().find(|id| !ids.iter().any(|known| known == *id)) {
            Some(id) => Err(format!("the recipe of {} has no finding `{id}`", self.method)),
            None => Ok(()),
        }
    }

    fn check_settings(&self, recipe: &dyn AnyRecipe) -> Result<(), String> {
        let full = recipe.settings_table(Scale::Full).map_err(|error| error.to_string())?;
        if self.settings != full {
            let differs = |key: &&String| self.settings.get(*key) != full.get(*key);
            let keys: Vec<&String> = full.keys().chain(self.settings.keys()).filter(differs).collect();
            return Err(format!("the settings of {} are not its full ones: {keys:?} differ", self.method));
        }
        if self.seeds != recipe.seeds(Scale::Full) {
            return Err(format!("the seeds of {} are not those of its full scale", self.method));
        }
        Ok(())
    }
}

/// Where the ledger lies: `results` in the working folder, else that of the repository from which the program was built.
pub fn folder() -> PathBuf {
    let here = PathBuf::from("results");
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results");
    if !here.is_dir() && built.is_dir() { built } else { here }
}

fn path(results: &Path, method: &str) -> PathBuf {
    results.join(format!("{method}.json"))
}

/// The table of methods with their recorded verdicts: README, book and `kiln list`.
pub fn methods_table<'a>(methods: impl IntoIterator<Item = (&'a MethodCard, Option<&'a Entry>)>) -> Table {
    let mut table = Table::new("Methods", ["method", "family", "what it does", "paper", "recorded verdict"]);
    for (card, entry) in methods {
        let verdict = entry.map_or_else(|| "not recorded".to_string(), |entry| entry.verdict().tally());
        table.push([card.id, card.family, card.summary, &card.citation(), &verdict]);
    }
    table
}

/// The table of findings: outcome, statement, both figures, bound.
pub fn findings_table(title: &str, verdict: &Verdict) -> Table {
    let mut table = Table::new(title, ["outcome", "finding", "paper", "measured", "bound"]);
    for finding in &verdict.findings {
        let figure = |text: &str| if text.is_empty() { "-".to_string() } else { text.to_string() };
        table.push([
            finding.outcome.to_string(),
            finding.statement.clone(),
            figure(&finding.paper),
            figure(&finding.measured.text),
            figure(&finding.bound),
        ]);
    }
    table
}
