//! The reproduction of the label-distributionally robust losses at its smallest scale.

use kiln_data::DataDir;
use kiln_lab::{Finding, Outcome, Run, RunOptions, Scale, Verdict};
use kiln_recipes::catalogue;

fn performed(overrides: &[&str], parts: &[&str]) -> (Verdict, Run, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let recipe = catalogue::find("ldr").unwrap();
    let mut options = RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None));
    options.show_progress = false;
    options.overrides = overrides.iter().map(|text| (*text).to_string()).collect();
    options.parts = parts.iter().map(|part| (*part).to_string()).collect();
    let mut run = Run::create(recipe, &options).unwrap();
    let verdict = run.execute(recipe).unwrap();
    (verdict, run, folder)
}

fn finding<'a>(verdict: &'a Verdict, id: &str) -> &'a Finding {
    verdict.findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no finding {id}"))
}

#[test]
fn the_theory_holds_and_the_losses_learn() {
    let (verdict, run, _folder) = performed(&["epochs=8"], &[]);
    for id in ["theory/consistency", "theory/symmetry"] {
        assert_eq!(finding(&verdict, id).outcome, Outcome::Held, "{id}: {}", finding(&verdict, id).measured);
    }
    let rank = finding(&verdict, "ranking/average-rank");
    assert!((1.0..=6.0).contains(&rank.measured.mean.unwrap()), "{}", rank.measured);
    let chosen = finding(&verdict, "ranking/chosen-settings");
    assert!(chosen.measured.text.contains("ALDR-KL: lambda0=1 at rate 0.1 2 times"), "{}", chosen.measured);
    for picture in ["accuracy-by-noise.svg", "temperatures.svg"] {
        assert!(run.artifacts().join(picture).exists(), "{picture}");
    }
    let table = run.record().tables.iter().find(|table| table.title == "Test accuracy by noise (%)").unwrap();
    assert_eq!(table.rows.len(), 2 * 6);
}

#[test]
fn wrong_labels_are_told_from_right_ones() {
    let (verdict, _run, _folder) = performed(&["epochs=20", "max_train=1000"], &["temperatures"]);
    let suspicious = finding(&verdict, "temperatures/suspicious-labels");
    assert_eq!(suspicious.outcome, Outcome::Held, "{}", suspicious.measured);
    // Random scores would have an area of one half.
    assert!(suspicious.measured.mean.unwrap() > 0.9, "{}", suspicious.measured);
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for (text, part) in [("noises=[\"odd:1\"]", "odd:1"), ("rates=[]", "rates")] {
        let folder = tempfile::tempdir().unwrap();
        let recipe = catalogue::find("ldr").unwrap();
        let mut options = RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None));
        options.show_progress = false;
        options.overrides = vec![text.into()];
        let mut run = Run::create(recipe, &options).unwrap();
        let error = run.execute(recipe).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn noise_that_changes_nothing_leaves_nothing_to_compare() {
    let (verdict, _run, _folder) = performed(&["temperatures.noise=\"uniform:0\"", "epochs=1"], &["temperatures"]);
    for id in ["temperatures/differ", "temperatures/suspicious-labels"] {
        assert_eq!(finding(&verdict, id).outcome, Outcome::NotComparable, "{id}");
    }
}
