//! A process that trains networks is killed; the run that it leaves goes on to the same bytes as one that was not.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use kiln_data::{DataDir, OpenOptions, open};
use kiln_lab::{
    Finding, LabError, MethodCard, Plot, Recipe, Run, RunOptions, Scale, Series, Verdict,
    statistics::Summary,
    train::{FitSettings, Schedule, fit},
};
use kiln_loss::CrossEntropyLossConfig;
use kiln_nn::NetworkConfig;
use kiln_optim::DiffGradConfig;
use serde::{Deserialize, Serialize};

/// Where the child process makes its run; without it the child test has nothing to do.
const OUT: &str = "KILN_KILL_TEST_OUT";

static CARD: MethodCard = MethodCard {
    id: "digits",
    title: "Digits",
    authors: &["A. Author"],
    venue: "arXiv",
    year: 2020,
    arxiv: "",
    family: "optim",
    summary: "learns digits",
    claim: "Digits can be learnt.",
    types: &[],
};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Settings {
    epochs: usize,
}

struct Digits {
    /// Slows the jobs down, so that the parent can stop the process between them.
    pause: Duration,
}

impl Recipe for Digits {
    type Settings = Settings;

    fn card(&self) -> &'static MethodCard {
        &CARD
    }

    fn parts(&self) -> &'static [&'static str] {
        &[]
    }

    fn settings(&self, _: Scale) -> Settings {
        Settings { epochs: 2 }
    }

    fn findings(&self, _: &Settings) -> Vec<String> {
        vec!["accuracy".to_string()]
    }

    fn run(&self, settings: &Settings, run: &mut Run) -> Result<Verdict, LabError> {
        let splits = open("digits", run.data(), &OpenOptions::default())?;
        let seeds = run.seeds().to_vec();
        let accuracies = run.grid(
            "train",
            &seeds,
            |seed| format!("seed={seed}"),
            |&seed, context| {
                std::thread::sleep(self.pause);
                let network = NetworkConfig::mlp([16])
                    .init_seeded(splits.train.input_shape(), 10, seed, &context.device())
                    .map_err(LabError::method)?;
                let optimizer = DiffGradConfig::new().init().map_err(LabError::method)?;
                let settings = FitSettings {
                    epochs: settings.epochs,
                    batch_size: 64,
                    learning_rate: 1e-2,
                    schedule: Schedule::Constant,
                    seed,
                };
                let loss = CrossEntropyLossConfig::new().init().map_err(LabError::method)?;
                let test = Some(&splits.validation);
                let fit = fit(network, &splits.train, test, &loss, optimizer, &settings, context)?;
                Ok(fit.history.last().and_then(|epoch| epoch.validation_accuracy).unwrap_or_default())
            },
        )?;
        run.plot(
            "accuracy",
            &Plot::line("Accuracy", "seed", "share").series(Series::new("all").seeds(1.0, &accuracies)),
        )?;
        let summary = Summary::of(&accuracies);
        let finding = Finding::new("accuracy", "more than half of the digits are right").measured(summary);
        Ok(Verdict::new().finding(finding.held_if(summary.mean > 0.5)))
    }
}

fn start(out: &Path, pause: Duration) -> (Digits, Run) {
    let recipe = Digits { pause };
    let options = RunOptions { seeds: Some(6), ..RunOptions::new(Scale::Smoke, out, DataDir::find(None)) };
    let run = Run::create(&recipe, &options).unwrap();
    (recipe, run)
}

/// The work of the process that is killed; does nothing when run as an ordinary test.
#[test]
fn child() {
    if let Some(out) = std::env::var_os(OUT) {
        let (recipe, mut run) = start(Path::new(&out), Duration::from_millis(300));
        run.execute(&recipe).unwrap();
    }
}

fn finished_jobs(out: &Path) -> (Option<PathBuf>, usize) {
    let folder = std::fs::read_dir(out).unwrap().next().map(|entry| entry.unwrap().path());
    let cells = folder.iter().flat_map(|folder| std::fs::read_dir(folder.join("cells/train")).into_iter().flatten());
    let names = cells.map(|cell| cell.unwrap().file_name().to_string_lossy().into_owned());
    let count = names.filter(|name| name.ends_with(".json") && !name.starts_with('.')).count();
    (folder, count)
}

#[test]
fn a_killed_process_leaves_a_run_that_ends_the_same() {
    let (killed, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env(OUT, killed.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while finished_jobs(killed.path()).1 < 2 {
        assert!(Instant::now() < deadline, "the child finished no jobs in two minutes");
        assert!(process.try_wait().unwrap().is_none(), "the child ended before it was killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();

    let (folder, done) = finished_jobs(killed.path());
    let folder = folder.unwrap();
    assert!((2..6).contains(&done), "{done} jobs were done when the process was killed");
    assert!(!folder.join("verdict.json").exists());

    let mut resumed = Run::reopen(&folder, DataDir::find(None)).unwrap();
    resumed.execute(&Digits { pause: Duration::ZERO }).unwrap();
    let (recipe, mut uninterrupted) = start(whole.path(), Duration::ZERO);
    assert!(uninterrupted.execute(&recipe).unwrap().held());
    for file in ["verdict.json", "metrics.jsonl", "report.json", "artifacts/accuracy.json"] {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(read(&folder), read(uninterrupted.folder()), "{file}");
    }
}
