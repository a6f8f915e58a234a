//! The reproduction of the Z-loss at its smallest.

use std::path::Path;

use kiln_data::DataDir;
use kiln_lab::{AnyRecipe, Outcome, Run, RunOptions, Scale, Verdict};
use kiln_recipes::loss::ZLossRecipe;

fn smoke(parts: &[&str], overrides: &[&str]) -> (Verdict, tempfile::TempDir) {
    let out = tempfile::tempdir().unwrap();
    let data = DataDir::find(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")));
    let mut options = RunOptions::new(Scale::Smoke, out.path(), data);
    options.show_progress = false;
    options.parts = parts.iter().map(ToString::to_string).collect();
    options.overrides = overrides.iter().map(ToString::to_string).collect();
    let mut run = Run::create(&ZLossRecipe, &options).unwrap();
    let verdict = run.execute(&ZLossRecipe).unwrap();
    for part in ["time-per-example", "top-k-error"] {
        let wanted = parts.is_empty();
        assert_eq!(run.artifacts().join(format!("{part}.svg")).exists(), wanted, "{part}");
    }
    (verdict, out)
}

fn finding<'a>(verdict: &'a Verdict, id: &str) -> &'a kiln_lab::Finding {
    verdict.findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no finding {id}"))
}

#[test]
fn a_whole_run_reports_every_finding() {
    let (verdict, _out) = smoke(&[], &[]);
    let recipe: &dyn AnyRecipe = &ZLossRecipe;
    let settings = recipe.settings_table(Scale::Smoke).unwrap();
    let ids: Vec<String> = verdict.findings.iter().map(|finding| finding.id.clone()).collect();
    assert_eq!(ids, recipe.finding_ids(&settings).unwrap());
    // Factored and dense SGD are the same computation; one wrong term would leave them apart after a few steps.
    let equal = finding(&verdict, "equal-weights");
    assert_eq!(equal.outcome, Outcome::Held, "{equal:?}");
    let ranking = finding(&verdict, "equal-ranking");
    assert!(ranking.measured.mean.unwrap() > 0.99, "{ranking:?}");
    // Thousands of trainable outputs against a step that does not see them.
    let ratio = finding(&verdict, "40-times-faster").measured.mean.unwrap();
    assert!(ratio > 2.0, "the dense layer takes {ratio} times the time");
}

#[test]
fn settings_that_tune_unequally_are_refused() {
    let out = tempfile::tempdir().unwrap();
    let mut options = RunOptions::new(Scale::Smoke, out.path(), DataDir::find(None));
    options.show_progress = false;
    options.parts = vec!["quality".to_string()];
    options.overrides = vec!["quality.rate_factors=0.5,1".to_string()];
    let mut run = Run::create(&ZLossRecipe, &options).unwrap();
    let error = run.execute(&ZLossRecipe).unwrap_err().to_string();
    assert!(error.contains("as many as of the other methods"), "{error}");
}

#[test]
fn a_part_runs_alone() {
    let (verdict, _out) = smoke(&["equality"], &["equality.steps=10"]);
    assert_eq!(verdict.findings.len(), 2);
    assert!(finding(&verdict, "equal-weights").statement.contains("after 10 steps"));
}
