//! The diffGrad reproduction at its smallest scale, and what it says of its data.

use kiln_data::DataDir;
use kiln_lab::{AnyRecipe, Finding, LabError, Outcome, Recipe, Run, RunOptions, Scale, Verdict};
use kiln_recipes::optim::DiffGradRecipe;

fn perform(options: &RunOptions) -> Result<(Run, Verdict), LabError> {
    let mut run = Run::create(&DiffGradRecipe, &RunOptions { show_progress: false, ..options.clone() })?;
    let verdict = run.execute(&DiffGradRecipe)?;
    Ok((run, verdict))
}

fn finding<'a>(verdict: &'a Verdict, id: &str) -> &'a Finding {
    verdict.findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no finding {id}"))
}

#[test]
fn the_smallest_run_reports_every_finding_and_the_papers_end_points() {
    let folder = tempfile::tempdir().unwrap();
    let (run, verdict) = perform(&RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None))).unwrap();

    let settings = DiffGradRecipe.settings_table(Scale::Smoke).unwrap();
    let reported = verdict.findings.iter().map(|finding| finding.id.clone()).collect::<Vec<_>>();
    assert_eq!(reported, DiffGradRecipe.finding_ids(&settings).unwrap());

    // Where the optimizers end depends on every term of the update: a wrong friction, an eps in another place or a previous
    // gradient that is only referred to each end elsewhere.
    let finding = |id: &str| finding(&verdict, id);
    for id in ["f1-global-minimum", "f2-global-minimum"] {
        assert_eq!(finding(id).outcome, Outcome::Held, "{:?}", finding(id));
    }
    assert_eq!(finding("f1-global-minimum").measured.text, "diffGrad -0.3001, Adam 0.2001, Adam, half rate -0.3003");

    let share = finding("friction-b32").measured.mean.unwrap();
    assert!((0.0..=1.0).contains(&share), "{share}");
    let artifacts = run.artifacts();
    for picture in [
        "trajectories-f1",
        "end-points-f3",
        "accuracy-per-epoch-b32",
        "friction-b32",
        "accuracy-per-epoch-resnet-32",
        "accuracy-per-epoch-tuned-resnet-128",
        "friction-resnet-128",
        "activations",
    ] {
        assert!(artifacts.join(format!("{picture}.svg")).is_file(), "{picture}");
    }

    // Whatever was measured on images says on which and on how many, and has a mean.
    for finding in &verdict.findings[5..] {
        assert!(finding.statement.contains("digits, "), "{}", finding.statement);
        assert!(finding.statement.contains("training and 128 test images"), "{}", finding.statement);
        let named = finding.id.starts_with("tuned-rates");
        assert!(named || finding.measured.mean.is_some(), "{finding:?}");
    }
    assert!(finding("accuracy-resnet-128").statement.contains("256 training"));

    // Rates come from each optimizer's own grid, and a choice from two is always at an edge.
    let rates = finding("tuned-rates-resnet-32");
    assert!(rates.measured.text.contains("AdaDelta 1") || rates.measured.text.contains("AdaDelta 3"), "{rates:?}");
    assert!(rates.note.contains("at the edge of what was tried") && rates.note.contains("64 validation"), "{rates:?}");
}

#[test]
fn a_part_of_the_residual_network_runs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = RunOptions {
        parts: vec!["resnet-128".into()],
        ..RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None))
    };
    let (_, verdict) = perform(&options).unwrap();
    assert_eq!(verdict.findings.len(), 8);
    assert!(verdict.findings.iter().all(|finding| finding.id.ends_with("-resnet-128")));
}

#[test]
fn a_set_of_images_that_is_not_here_is_an_error_and_never_another_set() {
    let (folder, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = RunOptions {
        parts: vec!["images".into()],
        overrides: vec!["data=cifar10".into()],
        ..RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(Some(empty.path())))
    };
    let error = perform(&options).unwrap_err().to_string();
    assert!(error.contains("cifar10"), "{error}");
}

#[test]
fn unequal_trials_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = RunOptions {
        overrides: vec!["tuned_rates_adadelta=[1]".into()],
        ..RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None))
    };
    let error = perform(&options).unwrap_err().to_string();
    assert!(error.contains("tuned_rates_adadelta") && error.contains("as many as tuned_rates"), "{error}");
}

#[test]
fn every_finding_of_the_full_scale_belongs_to_a_part() {
    let settings = Recipe::settings(&DiffGradRecipe, Scale::Full);
    let ids = Recipe::findings(&DiffGradRecipe, &settings);
    for tag in ["b32", "resnet-32", "resnet-128"] {
        for name in
            ["accuracy", "train-loss", "rank", "half-rate", "friction", "tuned-rank", "tuned-half-rate", "tuned-rates"]
        {
            assert!(ids.contains(&format!("{name}-{tag}")), "{name}-{tag}");
        }
    }
}
