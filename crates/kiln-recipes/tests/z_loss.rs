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
    let plots =
        [("speed", "time-per-example"), ("quality", "top-k-error"), ("quality-dense", "top-k-error-quality-dense")];
    for (part, plot) in plots {
        let wanted = parts.is_empty() || parts.contains(&part);
        assert_eq!(run.artifacts().join(format!("{plot}.svg")).exists(), wanted, "{plot}");
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
    let equal = finding(&verdict, "equality/equal-weights");
    assert_eq!(equal.outcome, Outcome::Held, "{equal:?}");
    let ranking = finding(&verdict, "equality/equal-ranking");
    assert!(ranking.measured.mean.unwrap() > 0.99, "{ranking:?}");
    // Thousands of trainable outputs against a step that does not see them.
    let ratio = finding(&verdict, "speed/40-times-faster").measured.mean.unwrap();
    assert!(ratio > 2.0, "the dense layer takes {ratio} times the time");
    // Fifteen steps are too few for any maintenance, and the finding says so.
    let flat = finding(&verdict, "speed/flat-in-classes");
    assert!(flat.note.contains("no recomputation of the bookkeeping"), "{}", flat.note);
    let vocabulary = finding(&verdict, "speed/real-vocabulary");
    assert!(!vocabulary.measured.text.contains("D=10000"), "{}", vocabulary.measured.text);
    for id in ["quality/settings", "quality-dense/settings"] {
        assert!(finding(&verdict, id).note.contains("nothing was tuned"), "{id}");
    }
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
fn books_that_are_not_there_are_named_instead_of_replaced() {
    let out = tempfile::tempdir().unwrap();
    let data = DataDir::find(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")));
    let mut options = RunOptions::new(Scale::Smoke, out.path(), data);
    options.show_progress = false;
    options.parts = vec!["equality".to_string()];
    options.overrides = vec!["corpus.source=novels".to_string()];
    let mut run = Run::create(&ZLossRecipe, &options).unwrap();
    let error = run.execute(&ZLossRecipe).unwrap_err().to_string();
    assert!(error.contains("`novels`") && error.contains("dickens-great-expectations.txt.gz"), "{error}");
}

#[test]
fn tuning_names_the_best_settings_and_those_at_the_edge() {
    let overrides = [
        "quality_dense.learning_rates=0.0005,0.004",
        "quality_dense.coarse_learning_rates=0.0005,0.004",
        "quality_dense.budget.tuning_examples=500",
        "quality_dense.budget.examples=500",
    ];
    let (verdict, _out) = smoke(&["quality-dense"], &overrides);
    let settings = finding(&verdict, "quality-dense/settings");
    assert!(settings.statement.contains("among 2 trials"), "{settings:?}");
    assert!(settings.note.contains("at the edge of the rates tried: log-softmax lr="), "{settings:?}");
    let beats = finding(&verdict, "quality-dense/beats-spherical-top-10");
    assert!(beats.measured.mean.is_some(), "{beats:?}");
}

#[test]
fn a_part_runs_alone() {
    let (verdict, _out) = smoke(&["equality"], &["equality.steps=10"]);
    assert_eq!(verdict.findings.len(), 2);
    assert!(finding(&verdict, "equality/equal-weights").statement.contains("after 10 steps"));
}
