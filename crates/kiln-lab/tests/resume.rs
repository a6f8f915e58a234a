//! A run that was stopped halfway ends with the same figures as one that was not, and a ledger that knows its recipe.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use burn::tensor::{Distribution, Tensor};
use kiln_data::DataDir;
use kiln_lab::{
    AnyRecipe, Finding, LabError, MethodCard, Outcome, Plot, Recipe, Run, RunOptions, Scale, Series, Status, Table,
    Verdict,
    ledger::{Entry, PartEntry},
    statistics::{Summary, paired_difference},
    store::{Runs, StoredRun},
};
use serde::{Deserialize, Serialize};

static CARD: MethodCard = MethodCard {
    id: "demo",
    title: "A demonstration",
    authors: &["A. Author"],
    venue: "arXiv",
    year: 2020,
    arxiv: "2001.00001",
    family: "loss",
    summary: "adds up numbers",
    claim: "The sums are what they should be.",
    types: &["kiln::Demo"],
};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Settings {
    steps: u64,
    rate: f64,
}

/// Fails at the job with this number, counting the jobs that it runs.
#[derive(Default)]
struct Demo {
    stop_at: Option<usize>,
    computed: AtomicUsize,
}

impl Recipe for Demo {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &["sums", "products"]
    }

    fn settings(&self, scale: Scale) -> Settings {
        Settings { steps: if scale == Scale::Full { 50 } else { 5 }, rate: 0.5 }
    }

    fn findings(&self, _: &Settings) -> Vec<String> {
        vec!["sum".to_string(), "product".to_string()]
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        let mut verdict = Verdict::new();
        run.note(format!("{} steps", settings.steps));
        if run.wants("sums") {
            let seeds = run.seeds().to_vec();
            let sums = run.grid(
                "sums",
                &seeds,
                |seed| format!("seed={seed}"),
                |seed, context| {
                    let count = self.computed.fetch_add(1, Ordering::SeqCst);
                    if self.stop_at.is_some_and(|stop| count >= stop) {
                        return Err(LabError::Refused("killed".to_string()));
                    }
                    let mut sum = 0.1 * *seed as f64;
                    for step in 0..settings.steps {
                        sum += settings.rate / (sum + step as f64 + 1.0).sqrt();
                        context.metric(step, "sum", sum);
                        context.progress(step + 1, settings.steps, sum);
                    }
                    let tensor = Tensor::<2>::ones([64, 64], &context.device()) * sum;
                    Ok(sum + f64::from(tensor.clone().matmul(tensor).mean().into_scalar::<f32>()))
                },
            )?;
            run.plot("sums", &Plot::line("Sums", "seed", "sum").series(Series::new("sum").seeds(1.0, &sums)))?;
            run.table(Table::new("Sums", ["seed", "sum"]).row(["1", &sums[0].to_string()]));
            verdict = verdict
                .finding(Finding::new("sum", "sums are positive").measured(Summary::of(&sums)).held_if(sums[0] > 0.0));
        }
        if run.wants("products") {
            let zeros = vec![0.0; 3];
            let paired = paired_difference(&[1.0, 2.0, 3.0], &zeros);
            verdict = verdict.finding(Finding::new("product", "a product").measured(paired.difference));
        }
        Ok(verdict)
    }
}

fn options(out: &Path) -> RunOptions {
    RunOptions { seeds: Some(8), show_progress: false, ..RunOptions::new(Scale::Quick, out, DataDir::find(None)) }
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn a_run_stopped_halfway_resumes_to_the_same_bytes() {
    let out = tempfile::tempdir().unwrap();
    let whole = Demo::default();
    let mut run = Run::create(&whole, &options(out.path())).unwrap();
    run.execute(&whole).unwrap();
    assert_eq!(whole.computed.load(Ordering::SeqCst), 8);

    let stopping = Demo { stop_at: Some(4), ..Demo::default() };
    let mut stopped = Run::create(&stopping, &options(out.path())).unwrap();
    assert!(stopped.execute(&stopping).is_err());
    let folder = stopped.folder().to_path_buf();
    assert_eq!(StoredRun::read(&folder).unwrap().manifest.status, Status::Failed);
    assert!(!folder.join("verdict.json").exists());
    let finished = std::fs::read_dir(folder.join("cells/sums")).unwrap();
    let finished = finished.filter(|file| file.as_ref().unwrap().path().to_string_lossy().ends_with("=1.json")).count();
    assert_eq!(finished, 1, "jobs that were done are kept");

    let resuming = Demo::default();
    let mut resumed = Run::reopen(&folder, DataDir::find(None)).unwrap();
    resumed.execute(&resuming).unwrap();
    assert_eq!(resuming.computed.load(Ordering::SeqCst), 4, "jobs that were done are not computed again");
    for file in ["verdict.json", "metrics.jsonl", "report.json", "artifacts/sums.svg", "artifacts/sums.png"] {
        assert_eq!(bytes(&folder, file), bytes(run.folder(), file), "{file}");
    }
    assert_eq!(StoredRun::read(&folder).unwrap().manifest.status, Status::Finished);
    assert_eq!(Runs::list(out.path()).unwrap().runs.len(), 2);
}

#[test]
fn a_run_of_another_version_or_method_is_not_resumed() {
    let out = tempfile::tempdir().unwrap();
    let folder = Run::create(&Demo::default(), &options(out.path())).unwrap().folder().to_path_buf();
    let path = folder.join("run.toml");
    let whole = std::fs::read_to_string(&path).unwrap();
    let reopened = |text: String| {
        std::fs::write(&path, text).unwrap();
        Run::reopen(&folder, DataDir::find(None))
    };
    let version = env!("CARGO_PKG_VERSION");
    let old = whole.replace(&format!("kiln_version = \"{version}\""), "kiln_version = \"0.0.1\"");
    let message = reopened(old).unwrap_err().to_string();
    assert!(message.contains(&format!("with kiln 0.0.1 and cannot be resumed with kiln {version}")), "{message}");
    let message = reopened(whole.replace("burn_version = \"", "burn_version = \"1")).unwrap_err().to_string();
    assert!(message.contains("was begun with Burn 1"), "{message}");
    let mut other = reopened(whole.replace("method = \"demo\"", "method = \"other\"")).unwrap();
    let message = other.execute(&Demo::default()).unwrap_err().to_string();
    assert!(message.contains("is a run of other, not of demo"), "{message}");
}

#[test]
fn a_resumed_run_keeps_to_the_cores_that_it_began_with() {
    let out = tempfile::tempdir().unwrap();
    let folder = Run::create(&Demo::default(), &options(out.path())).unwrap().folder().to_path_buf();
    let path = folder.join("run.toml");
    let mut manifest = kiln_lab::Manifest::read(&folder).unwrap();
    manifest.cores = 3;
    manifest.write(&folder).unwrap();
    assert!(std::fs::read_to_string(path).unwrap().contains("cores = 3"));
    let run = Run::reopen(&folder, DataDir::find(None)).unwrap();
    let threads = |_: &u8, _: &kiln_lab::JobContext| Ok(rayon::current_num_threads());
    let key = |job: &u8| job.to_string();
    assert_eq!(run.sequential("alone", &[1, 2], key, threads).unwrap(), [3, 3]);
    assert_eq!(run.grid("one", &[1], key, threads).unwrap(), [3]);
    assert_eq!(run.grid("three", &[1, 2, 3], key, threads).unwrap(), [1, 1, 1]);
}

#[test]
fn metrics_come_out_whole_and_in_order() {
    let out = tempfile::tempdir().unwrap();
    let demo = Demo::default();
    let mut run = Run::create(&demo, &options(out.path())).unwrap();
    run.execute(&demo).unwrap();
    let metrics = kiln_lab::metrics::read(&run.folder().join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.len(), 8 * 5);
    assert_eq!((metrics[0].job.as_str(), metrics[0].step), ("sums/seed=1", 0));
    let events = run.folder().join("events/sums/seed=1/events.out.tfevents.0.kiln");
    assert!(std::fs::metadata(events).unwrap().len() > 5 * 40);
}

#[test]
fn parts_settings_and_seeds_are_checked() {
    let out = tempfile::tempdir().unwrap();
    let demo = Demo::default();
    let refused = |change: &dyn Fn(&mut RunOptions)| {
        let mut options = options(out.path());
        change(&mut options);
        let error = Run::create(&demo, &options).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    let message = refused(&|options| options.parts = vec!["sum".to_string()]);
    assert_eq!(message, "unknown part `sum`; did you mean `sums`?");
    let message = refused(&|options| options.overrides = vec!["step=3".to_string()]);
    assert_eq!(message, "unknown setting `step`; did you mean `steps`?");
    refused(&|options| options.overrides = vec!["rate=fast".to_string()]);
    refused(&|options| options.overrides = vec!["steps=-1".to_string()]);
    refused(&|options| options.seeds = Some(0));
    refused(&|options| options.device = "abacus".to_string());
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "a refused run leaves no folder");
}

#[test]
fn a_job_that_panics_or_cannot_be_stored_is_an_error() {
    let out = tempfile::tempdir().unwrap();
    let run = Run::create(&Demo::default(), &options(out.path())).unwrap();
    let panicking =
        run.grid("panic", &[1, 2], |job| job.to_string(), |_, _| -> Result<f64, LabError> { panic!("shape [2, 3]") });
    assert!(panicking.unwrap_err().to_string().contains("shape [2, 3]"));
    let nan = run.grid("nan", &[1], |job| job.to_string(), |_, _| Ok(f64::NAN));
    assert!(nan.unwrap_err().to_string().contains("NaN"));
    let twice = run.grid("twice", &[1, 1], |job| job.to_string(), |_, _| Ok(1.0));
    assert!(twice.unwrap_err().to_string().contains("two jobs"));
    let random = run.sequential(
        "random",
        &[1],
        |job| job.to_string(),
        |_, context| {
            let sample = Tensor::<1>::random([4], Distribution::Default, &context.device());
            Ok(sample.dims()[0])
        },
    );
    assert_eq!(random.unwrap(), [4]);
}

/// An entry whose parts took 60 seconds each, as a run of `parts` at `commit` would record it.
fn entry(parts: &[&str], commit: &str) -> Entry {
    let out = tempfile::tempdir().unwrap();
    let mut options = RunOptions::new(Scale::Full, out.path(), DataDir::find(None));
    options.parts = parts.iter().map(ToString::to_string).collect();
    let mut run = Run::create(&Demo::default(), &options).unwrap();
    let verdict = run.execute(&Demo::default()).unwrap();
    let mut entry = Entry::new(&run, &verdict);
    for part in &mut entry.parts {
        part.wall_seconds = 60.0;
        part.commit = commit.to_string();
    }
    entry
}

#[test]
fn a_part_that_is_repeated_replaces_only_itself() {
    let results = tempfile::tempdir().unwrap();
    let demo = Demo::default();
    entry(&[], "aaaa").record(results.path(), &demo).unwrap();
    for _ in 0..2 {
        entry(&["products"], "bbbb").record(results.path(), &demo).unwrap();
    }
    let recorded = Entry::read(results.path(), "demo").unwrap().unwrap();
    recorded.validate(&demo).unwrap();
    assert_eq!(recorded.wall_seconds(), 120.0);
    let commits: Vec<(&str, &str)> = recorded.parts.iter().map(|part| (&*part.part, &*part.commit)).collect();
    assert_eq!(commits, [("sums", "aaaa"), ("products", "bbbb")]);
    let text = recorded.markdown();
    for line in ["2.0 minutes in all", "\n- sums on ", "commit aaaa", "\n- products on ", "commit bbbb", "- 50 steps"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn a_decided_claim_is_not_lost_to_missing_data() {
    let results = tempfile::tempdir().unwrap();
    let demo = Demo::default();
    entry(&[], "aaaa").record(results.path(), &demo).unwrap();
    let mut poorer = entry(&[], "bbbb");
    let sum = &mut poorer.parts[0].findings[0];
    *sum = Finding::new("sum", "sums are positive").outcome(Outcome::NotComparable).note("`abacus` was not found");
    let error = poorer.record(results.path(), &demo).unwrap_err().to_string();
    assert!(error.contains("`sum` of demo") && error.contains("`abacus` was not found"), "{error}");
    let recorded = Entry::read(results.path(), "demo").unwrap().unwrap();
    assert_eq!(recorded.verdict().findings[0].outcome, Outcome::Held);
    let commits: Vec<&str> = recorded.parts.iter().map(|part| part.commit.as_str()).collect();
    assert_eq!(commits, ["aaaa", "bbbb"], "the part that lost its data is kept, the other is recorded");
}

fn without_findings(part: PartEntry) -> PartEntry {
    PartEntry { findings: Vec::new(), ..part }
}

#[test]
fn the_ledger_keeps_what_the_recipe_would_record() {
    let (out, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let demo = Demo::default();
    let record = |change: &dyn Fn(&mut RunOptions)| {
        let mut options = RunOptions::new(Scale::Full, out.path(), DataDir::find(None));
        change(&mut options);
        let mut run = Run::create(&demo, &options).unwrap();
        let verdict = run.execute(&demo).unwrap();
        Entry::new(&run, &verdict).record(results.path(), &demo)
    };
    record(&|options| options.parts = vec!["products".to_string()]).unwrap();
    let entry = Entry::read(results.path(), "demo").unwrap().unwrap();
    assert_eq!(entry.validate(&demo).unwrap_err(), "part `sums` of demo is not recorded");

    record(&|options| options.parts = vec!["sums".to_string()]).unwrap();
    let entry = Entry::read(results.path(), "demo").unwrap().unwrap();
    entry.validate(&demo).unwrap();
    let verdict = entry.verdict();
    assert_eq!(verdict.findings.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>(), ["sum", "product"]);
    assert_eq!(verdict.findings[1].outcome, Outcome::Reported);
    let lacking = Entry { parts: entry.parts.iter().cloned().map(without_findings).collect(), ..entry.clone() };
    assert_eq!(lacking.validate(&demo).unwrap_err(), "finding `sum` of demo is missing");

    let error = record(&|options| options.overrides = vec!["steps=7".to_string()]).unwrap_err().to_string();
    assert!(error.contains("steps"), "{error}");
    assert!(record(&|options| options.scale = Scale::Quick).is_err());
    assert!(record(&|options| options.seeds = Some(2)).is_err());
    assert!(
        Entry::read(results.path(), "demo").unwrap().unwrap().validate(&demo).is_ok(),
        "refused entries change nothing"
    );

    assert!(entry.markdown().starts_with("Recorded on "), "{}", entry.markdown());
    assert!(entry.parts.iter().all(|part| part.notes == [format!("{} steps", 50)]));

    std::fs::write(results.path().join("demo.json"), "{").unwrap();
    assert!(Entry::read(results.path(), "demo").unwrap_err().to_string().contains("not a valid ledger entry"));
    assert!(Entry::read(results.path(), "other").unwrap().is_none());
    let recipe: &dyn AnyRecipe = &demo;
    assert!(recipe.check_settings(&toml::Table::new()).is_err());
}
