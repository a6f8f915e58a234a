//! The lab's own readers: what they are given may be anything, and is refused in words.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kiln_data::{DataDir, OpenOptions, open};
use kiln_lab::{
    Finding, JobContext, LabError, Manifest, MethodCard, Recipe, Run, RunOptions, Scale, Verdict,
    ledger::Entry,
    metrics, report,
    store::{Runs, StoredRun},
    train::{SavedModel, Selector, TrainConfig},
};
use kiln_nn::NetworkConfig;
use proptest::{prelude::*, sample::Index};
use serde::{Deserialize, Serialize};

/// What happens to a file.
#[derive(Debug, Clone)]
enum Damage {
    Replaced(Vec<u8>),
    Cut(Index),
    Flipped(Index, u8),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Self::Replaced),
            2 => any::<Index>().prop_map(Self::Cut),
            4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Flipped(at, byte)),
            // Bytes that mean something to TOML and JSON reach deeper than others.
            4 => (any::<Index>(), prop::sample::select(b"019-.eE\"[]{},:= \n".to_vec()))
                .prop_map(|(at, byte)| Self::Flipped(at, byte)),
        ]
    }

    fn apply(&self, whole: &[u8]) -> Vec<u8> {
        match self {
            Self::Replaced(bytes) => bytes.clone(),
            Self::Cut(at) => whole[..at.index(whole.len())].to_vec(),
            Self::Flipped(at, byte) => {
                let mut bytes = whole.to_vec();
                bytes[at.index(whole.len())] = *byte;
                bytes
            }
        }
    }
}

static CARD: MethodCard = MethodCard {
    id: "demo",
    title: "A demonstration",
    authors: &["A. Author"],
    venue: "arXiv",
    year: 2020,
    arxiv: "",
    family: "loss",
    summary: "adds",
    claim: "It adds.",
    types: &[],
};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Settings {
    rates: Vec<f64>,
    data: String,
}

struct Demo;

impl Recipe for Demo {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &[]
    }

    fn settings(&self, _: Scale) -> Settings {
        Settings { rates: vec![0.1, 1.0], data: "digits".into() }
    }

    fn findings(&self, _: &Settings) -> Vec<String> {
        vec!["sum".to_string()]
    }

    fn run(&self, _: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        run.note("2 rows");
        let sums = run.grid(
            "sums",
            &[1, 2],
            |job| job.to_string(),
            |job, context| {
                (0..3).for_each(|step| context.metric(step, "sum", f64::from(*job)));
                Ok(f64::from(*job))
            },
        )?;
        let finding = Finding::new("sum", "sums are positive").measured(sums[0]).bound("above 0").note("small");
        Ok(Verdict::new().finding(finding.held_if(sums[0] > 0.0)))
    }
}

/// A folder with one valid file of each kind.
struct Valid {
    _home: tempfile::TempDir,
    run: PathBuf,
    results: PathBuf,
    model: PathBuf,
}

impl Valid {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut options = RunOptions::new(Scale::Full, home.path().join("runs"), DataDir::find(None));
        options.show_progress = false;
        let mut run = Run::create(&Demo, &options).unwrap();
        let verdict = run.execute(&Demo).unwrap();
        let (results, model) = (home.path().join("results"), home.path().join("model"));
        Entry::new(&run, &verdict).record(&results, &Demo).unwrap();
        let digits = open("digits", &DataDir::find(None), &OpenOptions::default()).unwrap();
        let config = NetworkConfig::mlp([4]);
        let network = config.init_seeded(digits.train.input_shape(), 10, 1, &Device::flex()).unwrap();
        let training = TrainConfig { data: "digits".into(), loss: Some(Selector::named("mae")), ..Default::default() };
        let saved = SavedModel {
            kiln: "0.1.0".into(),
            training,
            network: config,
            preprocessing: digits.preprocessing.clone(),
            data_sha256: None,
        };
        std::fs::create_dir(&model).unwrap();
        saved.save(&network, &model).unwrap();
        let text = toml::to_string(&saved.training).unwrap();
        std::fs::write(model.join("train.toml"), text).unwrap();
        Self { run: run.folder().to_path_buf(), results, model, _home: home }
    }
}

/// Reads `path` with `read` after every damage; every refusal has to name the file.
fn survives(path: &Path, read: impl Fn() -> Result<(), LabError>) {
    survives_cases(400, path, read);
}

fn survives_cases(cases: u32, path: &Path, read: impl Fn() -> Result<(), LabError>) {
    let whole = std::fs::read(path).unwrap();
    read().unwrap_or_else(|error| panic!("the whole file is refused: {error}"));
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&Damage::any(), |damage| {
        std::fs::write(path, damage.apply(&whole)).unwrap();
        if let Err(error @ (LabError::Corrupt { .. } | LabError::Io { .. })) = read() {
            prop_assert!(error.to_string().contains(&name), "{error}");
        }
        Ok(())
    });
    std::fs::write(path, whole).unwrap();
    outcome.unwrap();
}

#[test]
fn manifests_of_runs_may_hold_anything() {
    let valid = Valid::new();
    survives(&valid.run.join("run.toml"), || {
        Runs::list(valid.run.parent().unwrap())?.table();
        Manifest::read(&valid.run)?.check_versions(&valid.run)
    });
}

#[test]
fn a_damaged_manifest_is_reopened_or_refused() {
    let valid = Valid::new();
    survives(&valid.run.join("run.toml"), || Run::reopen(&valid.run, DataDir::find(None)).map(drop));
}

#[test]
fn verdicts_may_hold_anything() {
    let valid = Valid::new();
    survives(&valid.run.join("verdict.json"), || StoredRun::read(&valid.run).map(|run| drop(run.outcome())));
}

#[test]
fn what_a_report_shows_may_hold_anything() {
    let valid = Valid::new();
    survives(&valid.run.join("report.json"), || report::write(&valid.run).map(drop));
}

#[test]
fn ledger_entries_may_hold_anything() {
    let valid = Valid::new();
    survives(&valid.results.join("demo.json"), || {
        if let Some(entry) = Entry::read(&valid.results, "demo")? {
            let _ = (entry.validate(&Demo), entry.markdown());
        }
        Ok(())
    });
}

#[test]
fn metrics_may_hold_anything() {
    let valid = Valid::new();
    let path = valid.run.join("metrics.jsonl");
    survives(&path, || metrics::read(&path).map(drop));
}

#[test]
fn results_of_jobs_may_hold_anything() {
    let valid = Valid::new();
    // Each case writes the files of a whole run.
    survives_cases(50, &valid.run.join("cells/sums/1.json"), || {
        let mut run = Run::reopen(&valid.run, DataDir::find(None))?;
        run.execute(&Demo).map(drop)
    });
}

#[test]
fn descriptions_of_models_may_hold_anything() {
    let valid = Valid::new();
    survives(&valid.model.join("model.toml"), || SavedModel::load(&valid.model, &Device::flex()).map(drop));
}

#[test]
fn configurations_of_trainings_may_hold_anything() {
    let valid = Valid::new();
    let path = valid.model.join("train.toml");
    survives(&path, || {
        let config = TrainConfig::read(&path)?;
        config.check().and_then(|()| config.fit_settings().map(drop))
    });
}

#[test]
fn a_context_outside_a_run_keeps_nothing() {
    let context = JobContext::detached(Device::flex());
    context.metric(1, "loss", f64::NAN);
    context.artifact("picture.svg", b"<svg/>").unwrap();
    context.finish().unwrap();
    assert!(context.folder().is_none() && context.name().is_empty());
}
