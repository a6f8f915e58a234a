//! The reproduction of EnsLoss at its smallest scale.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_data::DataDir;
use kiln_lab::{LabError, Outcome, Run, RunOptions, Scale, Verdict};
use kiln_recipes::catalogue;
use serde_json::Value;

fn attempted(overrides: &[&str], parts: &[&str]) -> Result<(Verdict, Run, tempfile::TempDir), LabError> {
    let folder = tempfile::tempdir().unwrap();
    let recipe = catalogue::find("ens-loss").unwrap();
    let mut options = RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None));
    options.show_progress = false;
    options.overrides = overrides.iter().map(|text| (*text).to_string()).collect();
    options.parts = parts.iter().map(|part| (*part).to_string()).collect();
    let mut run = Run::create(recipe, &options)?;
    let verdict = run.execute(recipe)?;
    Ok((verdict, run, folder))
}

fn performed(overrides: &[&str], parts: &[&str]) -> (Verdict, Run, tempfile::TempDir) {
    attempted(overrides, parts).unwrap()
}

fn outcome(verdict: &Verdict, id: &str) -> (Outcome, String) {
    let finding = verdict.findings.iter().find(|finding| finding.id == id).unwrap();
    (finding.outcome, format!("{} {}", finding.measured, finding.note))
}

/// The jobs of a part with their results.
fn cells(run: &Run, part: &str) -> Vec<(String, Value)> {
    let files = std::fs::read_dir(run.folder().join("cells").join(part)).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| -> (String, Value) {
        let cell: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        (cell["job"].as_str().unwrap().to_string(), cell["result"].clone())
    };
    let cells = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json")).map(read);
    let cells: BTreeMap<String, Value> = cells.collect();
    cells.into_iter().collect()
}

#[test]
fn the_drawn_losses_learn() {
    let (verdict, run, _folder) = performed(&[], &["tables"]);
    let table = run.record().tables.iter().find(|table| table.title.ends_with("on tables (%)")).unwrap();
    let own = table.rows.iter().find(|row| row[2] == "ens-loss").unwrap();
    let percent = |cell: &str| -> f64 { cell.split_whitespace().next().unwrap().parse().unwrap() };
    assert!(percent(&own[4]) > 75.0, "EnsLoss reaches {} % on the parity of digits", own[4]);
    assert!(percent(&own[5]) > percent(&own[4]), "it knows its training rows better: {own:?}");
    let (shown, text) = outcome(&verdict, "tables/standing");
    assert!(shown == Outcome::Reported && text.contains("logistic (") && text.contains("hinge ("), "{text}");
    assert!(outcome(&verdict, "tables/interpolates").1.contains("ens-loss 100 %"));
    assert!(outcome(&verdict, "tables/rates").1.contains("ens-loss 0.03 1"));
    for picture in ["random-losses.svg", "accuracy-per-epoch.svg"] {
        assert!(run.artifacts().join(picture).exists(), "{picture}");
    }
}

#[test]
fn three_cells_leave_the_sign_tests_open() {
    let (verdict, _run, _folder) = performed(&[], &["overall"]);
    for id in ["overall/logistic", "overall/shared-rate"] {
        let (found, text) = outcome(&verdict, id);
        assert_eq!(found, Outcome::NotComparable);
        assert!(text.contains("3 cells cannot decide a sign test"), "{text}");
    }
    assert_ne!(outcome(&verdict, "overall/worst-fixed").0, Outcome::NotComparable);
}

#[test]
fn without_data_there_is_nothing_to_compare() {
    let none = ["tables.tasks=[]", "tables_large.tasks=[]", "images.tasks=[]", "photographs.tasks=[\"cifar10:3-5\"]"];
    let folder = tempfile::tempdir().unwrap();
    let recipe = catalogue::find("ens-loss").unwrap();
    let mut options = RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(Some(folder.path())));
    options.show_progress = false;
    options.overrides = none.iter().map(|text| (*text).to_string()).collect();
    let mut run = Run::create(recipe, &options).unwrap();
    let verdict = run.execute(recipe).unwrap();
    let ids = recipe.finding_ids(run.settings()).unwrap();
    assert_eq!(verdict.findings.iter().map(|finding| finding.id.clone()).collect::<Vec<_>>(), ids);
    assert!(verdict.findings.iter().all(|finding| finding.outcome == Outcome::NotComparable));
    let notes = run.record().notes.join(" ");
    assert!(notes.contains("Without cifar10") && notes.contains("kiln data fetch cifar10"), "{notes}");
}

#[test]
fn each_regulariser_is_tried_and_dropout_repeats_itself() {
    let settings = ["tables.epochs=5", "images.epochs=1"];
    let (verdict, first, _folder) = performed(&settings, &["compatibility"]);
    let (found, text) = outcome(&verdict, "compatibility/goes-with-regularisers");
    assert!(matches!(found, Outcome::Held | Outcome::NotHeld), "{text}");
    for name in ["weight decay 0.0005", "dropout 0.5", "crop and flip"] {
        assert!(text.contains(name), "{text}");
    }
    let (_, second, _folder) = performed(&settings, &["compatibility"]);
    let (first, second) = (cells(&first, "compatibility"), cells(&second, "compatibility"));
    assert_eq!(first.iter().filter(|(name, _)| name.contains("dropout")).count(), 4);
    assert_eq!(first, second);
}

#[test]
fn equal_losses_see_equal_batches() {
    let losses = r#"losses=["ens-loss", "logistic", "margin:phi=logistic"]"#;
    let (_, run, _folder) = performed(&[losses, "tables.epochs=3"], &["tables"]);
    let cells = cells(&run, "tables");
    let found = |loss: &str, seed: u64| {
        let job = format!("tables/digits:odd-mlp:hidden=32,norm=batch-{loss}-rate-0.03-decay-0.0005-seed-{seed}");
        cells.iter().find(|(name, _)| *name == job).map(|(_, result)| result.clone()).unwrap()
    };
    for seed in [1, 2] {
        assert_eq!(found("logistic", seed), found("margin:phi=logistic", seed));
    }
    assert_ne!(found("logistic", 1), found("logistic", 2));
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let texts = [
        (r#"losses=["hinge", "logistic", "exponential"]"#, "0 of ens-loss"),
        (r#"losses=["ens-loss", "ens-loss:clip=2", "logistic"]"#, "2 of ens-loss"),
        (r#"losses=["ens-loss", "logistic"]"#, "at least three losses"),
        ("rates=[]", "rates"),
        ("rates=[0.03, -1.0]", "-1"),
        ("shared_rate=0.5", "shared_rate"),
        ("weight_decays=[-0.1]", "weight_decays"),
        ("dropout=1.0", "dropout"),
        (r#"augmentations=["flop"]"#, "flop"),
        (r#"tables.tasks=["digits:x"]"#, "tables.tasks"),
        (r#"tables.models=["mpl"]"#, "mpl"),
        ("tables.models=[]", "tables.models"),
        ("tables.seeds=0", "tables.seeds"),
        ("tables_large.tuning_seeds=0", "tables_large.tuning_seeds"),
        ("images.tuning_seeds=3", "at most images.seeds"),
        ("images.batch_size=0", "images.batch_size"),
        ("photographs.epochs=0", "photographs.epochs"),
        ("photographs.max_judged=0", "photographs.max_judged"),
        ("tables.train_rows=0", "tables.train_rows"),
        ("tables.train_rows=5000", "rows that digits:odd has to learn from"),
    ];
    for (text, part) in texts {
        let error = attempted(&[text], &["tables"]).map(drop).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}
