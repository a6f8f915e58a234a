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

    assert!(finding("standard/digits/rates").measured.text.starts_with("tau 0: "));
    for part in ["adversarial", "adversarial-images"] {
        for id in ["frontier", "no-hidden-gradients", "no-stronger-transfer"] {
            let finding = finding(&format!("{part}/{id}"));
            let tells =
                [&finding.measured.text, &finding.note].iter().any(|text| text.contains("smooth comp-sum nu 0.3"));
            assert!(tells, "{}: {} ({})", finding.id, finding.measured, finding.note);
        }
    }
    let masking = finding("adversarial/no-hidden-gradients");
    assert_eq!(masking.outcome, Outcome::Held, "{}", masking.measured);

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
    let missing: Vec<_> = verdict.findings.iter().filter(|finding| finding.id.contains("omniglot")).collect();
    assert_eq!(missing.len(), 4);
    for finding in missing {
        assert_eq!(finding.outcome, Outcome::NotComparable);
        assert!(finding.note.contains("github.com/brendenlake/omniglot"), "{}", finding.note);
        assert!(!finding.note.contains(&folder.path().display().to_string()), "{}", finding.note);
    }
    assert!(run.record().notes.iter().any(|note| note.contains("omniglot-small")));
}

#[test]
fn the_full_grids_leave_no_gap() {
    let recipe = catalogue::find("comp-sum").unwrap();
    let settings = recipe.settings_table(Scale::Full).unwrap();
    let numbers = |value: &toml::Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_float().unwrap()).collect()
    };
    for rates in [&settings["rates"], &settings["adversarial"]["rates"], &settings["adversarial_images"]["rates"]] {
        let rates = numbers(rates);
        assert!(
            rates.len() > 1 && rates.windows(2).all(|pair| pair[0] < pair[1] && pair[1] <= 4.0 * pair[0]),
            "{rates:?}"
        );
    }
}
