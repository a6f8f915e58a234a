//! The ledger: one recorded verdict a method, `results/<method>.json`, from which all tables of results are made.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table as Settings;

use crate::{
    AnyRecipe, Finding, LabError, MethodCard, Outcome, Run, Scale, Table, Verdict, files,
    run::{Portion, WHOLE},
};

/// A recorded verdict. Its parts may come from different runs; each says from which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The method.
    pub method: String,
    /// Device.
    pub device: String,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Settings, which are the recipe's full ones.
    pub settings: Settings,
    /// What was measured, part by part in the recipe's order.
    #[serde(default)]
    pub parts: Vec<PartEntry>,
}

/// A part of a recorded verdict, with when, where and from which sources it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartEntry {
    /// The part; `all` for a recipe without parts.
    pub part: String,
    /// Day on which its run started, in UTC, as in `2026-01-31`.
    pub date: String,
    /// Commit of the sources when its run started, with `-dirty` where they differed.
    pub commit: String,
    /// Version of kiln.
    pub kiln_version: String,
    /// Processor, cores and system.
    pub machine: String,
    /// Seconds that the part took.
    pub wall_seconds: f64,
    /// Remarks of the run, such as the sizes of the data.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Findings in the recipe's order.
    pub findings: Vec<Finding>,
}

impl PartEntry {
    /// Whether both were measured on the same day, by the same sources, on the same machine.
    fn same_origin(&self, other: &Self) -> bool {
        (&self.date, &self.commit, &self.machine) == (&other.date, &other.commit, &other.machine)
    }
}

impl Entry {
    /// What a finished run adds to the ledger.
    pub fn new(run: &Run, verdict: &Verdict) -> Self {
        let manifest = run.manifest();
        let part = |portion: &Portion| PartEntry {
            part: portion.part.clone(),
            date: manifest.started.split('T').next().unwrap_or_default().to_string(),
            commit: manifest.commit.clone(),
            kiln_version: manifest.kiln_version.clone(),
            machine: manifest.machine.clone(),
            wall_seconds: (manifest.part_seconds.get(&portion.part).unwrap_or(&0.0) * 10.0).round() / 10.0,
            notes: portion.notes.clone(),
            findings: verdict
                .findings
                .iter()
                .filter(|finding| portion.findings.contains(&finding.id))
                .cloned()
                .collect(),
        };
        Self {
            method: manifest.method.clone(),
            device: manifest.device.clone(),
            seeds: manifest.seeds.clone(),
            settings: manifest.settings.clone(),
            parts: run.portions().iter().map(part).collect(),
        }
    }

    /// The verdict that was recorded.
    pub fn verdict(&self) -> Verdict {
        Verdict { findings: self.findings().cloned().collect() }
    }

    /// Seconds that the recorded runs took, over all parts.
    pub fn wall_seconds(&self) -> f64 {
        self.parts.iter().map(|part| part.wall_seconds).sum()
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.parts.iter().flat_map(|part| &part.findings)
    }

    /// The findings in Markdown, with when, where and how they were measured, and what is to be known besides.
    pub fn markdown(&self) -> String {
        let mut text = self.origin();
        text += &format!("\n\n{}", findings_table("Verdict", &self.verdict()).markdown());
        let about_findings = self.findings().filter(|finding| !finding.note.is_empty());
        let mut notes: Vec<String> =
            about_findings.map(|finding| format!("- `{}`: {}\n", finding.id, finding.note)).collect();
        for note in self.parts.iter().flat_map(|part| &part.notes) {
            let line = format!("- {note}\n");
            if !notes.contains(&line) {
                notes.push(line);
            }
        }
        if !notes.is_empty() {
            text += &format!("\n{}", notes.concat());
        }
        text
    }

    /// When, where and from which sources the parts were measured: one sentence where they agree, a list where not.
    pub fn origin(&self) -> String {
        let command = format!("kiln reproduce {} --full --record", self.method);
        let seeds = self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let minutes = |seconds: f64| format!("{:.1} minutes", seconds / 60.0);
        let mut origins: Vec<Vec<&PartEntry>> = Vec::new();
        for part in &self.parts {
            match origins.iter_mut().find(|parts| parts[0].same_origin(part)) {
                Some(parts) => parts.push(part),
                None => origins.push(vec![part]),
            }
        }
        let total = minutes(self.wall_seconds());
        if let [parts] = origins.as_slice() {
            let PartEntry { date, commit, machine, .. } = parts[0];
            return format!(
                "Recorded on {date} with `{command}` at commit {commit}: {machine}, {total}, seeds {seeds}."
            );
        }
        let line = |parts: &Vec<&PartEntry>| {
            let names = parts.iter().map(|part| part.part.as_str()).collect::<Vec<_>>().join(", ");
            let PartEntry { date, commit, machine, .. } = parts[0];
            let seconds = parts.iter().map(|part| part.wall_seconds).sum();
            format!("\n- {names} on {date} at commit {commit}: {machine}, {}", minutes(seconds))
        };
        let lines: String = origins.iter().map(line).collect();
        format!("Recorded part by part with `{command} --only PART`: {total} in all, seeds {seeds}.\n{lines}")
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

    /// Records the entry. Each of its parts replaces what was recorded of that part; other parts of an entry with the
    /// same settings, seeds and device are kept.
    ///
    /// A part that decided a claim before and now cannot, as where its data was not found, is kept as it was, and the
    /// error names the claim; the other parts are recorded.
    ///
    /// # Errors
    /// [`LabError::Refused`] for settings that are not the recipe's full ones and for a part that lost a decision,
    /// [`LabError::Corrupt`] for a file that is no entry, [`LabError::Io`].
    pub fn record(mut self, results: &Path, recipe: &dyn AnyRecipe) -> Result<PathBuf, LabError> {
        self.check_settings(recipe).map_err(LabError::Refused)?;
        let path = path(results, &self.method);
        let earlier = Self::read(results, &self.method)?.filter(|earlier| self.continues(earlier));
        let earlier = earlier.map_or_else(Vec::new, |earlier| earlier.parts);
        let lost: Vec<(String, &Finding)> = self
            .parts
            .iter()
            .flat_map(|part| part.findings.iter().map(|finding| (part.part.clone(), finding)))
            .filter(|(_, finding)| finding.outcome == Outcome::NotComparable && decided(&earlier, &finding.id))
            .collect();
        let refusal = lost.first().map(|(part, finding)| {
            LabError::Refused(format!(
                "`{}` of {} was decided before and is not comparable now: {}. What {} holds of part {part} was kept; \
                 remove that file to record the part as it is now",
                finding.id,
                self.method,
                finding.note,
                path.display()
            ))
        });
        let undone: Vec<String> = lost.into_iter().map(|(part, _)| part).collect();
        self.parts.retain(|part| !undone.contains(&part.part));
        let kept = earlier.into_iter().filter(|old| self.parts.iter().all(|new| new.part != old.part));
        let kept: Vec<PartEntry> = kept.collect();
        self.parts.extend(kept);
        let place = |part: &PartEntry| recipe.parts().iter().position(|known| *known == part.part);
        self.parts.sort_by_key(|part| place(part).unwrap_or(usize::MAX));
        files::write_json(&path, &self)?;
        refusal.map_or(Ok(path), Err)
    }

    /// Whether this entry can hold parts of `earlier`: both measured the same.
    fn continues(&self, earlier: &Self) -> bool {
        earlier.settings == self.settings && earlier.seeds == self.seeds && earlier.device == self.device
    }

    /// Whether the entry is what `recipe` at its full scale would record: settings, seeds, parts and findings.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn validate(&self, recipe: &dyn AnyRecipe) -> Result<(), String> {
        self.check_settings(recipe)?;
        let is_recorded = |name: &&&str| self.parts.iter().any(|part| part.part == **name);
        if let Some(name) = recipe.parts().iter().find(|name| !is_recorded(name)) {
            return Err(format!("part `{name}` of {} is not recorded", self.method));
        }
        let known = |part: &PartEntry| match recipe.parts() {
            [] => part.part == WHOLE,
            parts => parts.contains(&part.part.as_str()),
        };
        if let Some(part) = self.parts.iter().find(|part| !known(part)) {
            return Err(format!("the recipe of {} has no part `{}`", self.method, part.part));
        }
        let ids = recipe.finding_ids(&self.settings).map_err(|error| error.to_string())?;
        let recorded: Vec<&str> = self.findings().map(|finding| finding.id.as_str()).collect();
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

/// Whether `parts` decide the finding called `id`: it held or not, or was measured and reported.
fn decided(parts: &[PartEntry], id: &str) -> bool {
    let mut findings = parts.iter().flat_map(|part| &part.findings);
    findings.any(|finding| finding.id == id && finding.outcome != Outcome::NotComparable)
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
