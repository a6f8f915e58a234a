//! The reproduction of EnsLoss at its smallest scale.

use kiln_data::DataDir;
use kiln_lab::{Outcome, Run, RunOptions, Scale, Verdict};
use kiln_recipes::catalogue;

fn performed(overrides: &[&str], parts: &[&str]) -> (Verdict, Run, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let recipe = catalogue::find("ens-loss").unwrap();
    let mut options = RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None));
    options.show_progress = false;
    options.overrides = overrides.iter().map(|text| (*text).to_string()).collect();
    options.parts = parts.iter().map(|part| (*part).to_string()).collect();
    let mut run = Run::create(recipe, &options).unwrap();
    let verdict = run.execute(recipe).unwrap();
    (verdict, run, folder)
}

#[test]
fn the_drawn_losses_learn() {
    let (verdict, run, _folder) = performed(&[], &["tables"]);
    let table = run.record().tables.iter().find(|table| table.title == "Test accuracy on tables (%)").unwrap();
    let own = table.rows.iter().find(|row| row[2] == "ens-loss").unwrap();
    let accuracy: f64 = own[4].split_whitespace().next().unwrap().parse().unwrap();
    assert!(accuracy > 75.0, "EnsLoss reaches {accuracy} % on the parity of digits");
    let shared = verdict.findings.iter().find(|finding| finding.id == "tables/shared-rate").unwrap();
    assert!(shared.measured.text.contains("against logistic ("), "{}", shared.measured);
    for picture in ["random-losses.svg", "accuracy-per-epoch.svg"] {
        assert!(run.artifacts().join(picture).exists(), "{picture}");
    }
}

#[test]
fn without_tasks_there_is_nothing_to_compare() {
    let (verdict, _run, _folder) = performed(&["tables.tasks=[]", "images.tasks=[]"], &["tables", "images"]);
    assert_eq!(verdict.findings.len(), 8);
    assert!(verdict.findings.iter().all(|finding| finding.outcome == Outcome::NotComparable));
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let texts = [
        ("losses=[\"hinge\", \"logistic\", \"exponential\"]", "ens-loss"),
        ("shared_rate=0.5", "shared_rate"),
        ("tables.tasks=[\"digits:x\"]", "digits:x"),
        ("tables.models=[\"mpl\"]", "mpl"),
    ];
    for (text, part) in texts {
        let folder = tempfile::tempdir().unwrap();
        let recipe = catalogue::find("ens-loss").unwrap();
        let mut options = RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None));
        options.show_progress = false;
        options.overrides = vec![text.into()];
        let mut run = Run::create(recipe, &options).unwrap();
        let error = run.execute(recipe).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}
