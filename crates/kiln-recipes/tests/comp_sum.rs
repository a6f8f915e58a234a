//! The comp-sum reproduction at its smallest scale: what it leaves, and figures that a wrong loss would miss.

use kiln_data::DataDir;
use kiln_lab::{Outcome, Run, RunOptions, Scale};
use kiln_recipes::catalogue;

#[test]
fn smoke_run_reports_every_finding_and_learns() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = catalogue::find("comp-sum").unwrap();
    let mut options = RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None));
    options.show_progress = false;
    let mut run = Run::create(recipe, &options).unwrap();
    let verdict = run.execute(recipe).unwrap();

    let reported: Vec<String> = verdict.findings.iter().map(|finding| finding.id.clone()).collect();
    assert_eq!(reported, recipe.finding_ids(run.settings()).unwrap());

    let finding = |id: &str| verdict.findings.iter().find(|finding| finding.id == id).unwrap();
    for id in ["theory/bound-holds", "theory/explicit-bound", "theory/gap-falls-with-tau"] {
        assert_eq!(finding(id).outcome, Outcome::Held, "{id}: {}", finding(id).measured);
    }
    let accuracy = finding("standard/digits/cross-entropy-is-best").measured.mean.unwrap();
    assert!(accuracy > 0.75, "cross-entropy reaches {accuracy} on digits");

    for picture in ["accuracy-over-tau.svg", "clean-against-robust-adversarial.svg", "guarantee-over-tau.svg"] {
        assert!(run.artifacts().join(picture).exists(), "{picture}");
    }
    assert!(run.record().tables.iter().any(|table| table.title == "Bound on the finite problem"));
}

#[test]
fn a_part_can_be_run_alone_and_a_missing_set_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = catalogue::find("comp-sum").unwrap();
    let mut options = RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(Some(folder.path())));
    options.show_progress = false;
    options.parts = vec!["standard".into()];
    options.overrides = vec![
        "datasets=[\"digits\", \"omniglot-small\"]".into(),
        "many_class_datasets=[\"omniglot-small\"]".into(),
        "epochs=1".into(),
    ];
    let mut run = Run::create(recipe, &options).unwrap();
    let verdict = run.execute(recipe).unwrap();
    assert!(verdict.findings.iter().all(|finding| finding.id.starts_with("standard/")));
    let missing = verdict.findings.iter().find(|finding| finding.id.contains("omniglot")).unwrap();
    assert_eq!(missing.outcome, Outcome::NotComparable);
    assert!(missing.note.contains("omniglot-small"), "{}", missing.note);
    assert!(run.record().notes.iter().any(|note| note.contains("omniglot-small")));
}
