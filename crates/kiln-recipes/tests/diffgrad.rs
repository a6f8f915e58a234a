//! The diffGrad reproduction at its smallest scale.

use kiln_data::DataDir;
use kiln_lab::{AnyRecipe, Outcome, Run, RunOptions, Scale};
use kiln_recipes::optim::DiffGradRecipe;

#[test]
fn the_smallest_run_reports_every_finding_and_the_papers_end_points() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        RunOptions { show_progress: false, ..RunOptions::new(Scale::Smoke, folder.path(), DataDir::find(None)) };
    let mut run = Run::create(&DiffGradRecipe, &options).unwrap();
    let verdict = run.execute(&DiffGradRecipe).unwrap();

    let settings = DiffGradRecipe.settings_table(Scale::Smoke).unwrap();
    let reported = verdict.findings.iter().map(|finding| finding.id.clone()).collect::<Vec<_>>();
    assert_eq!(reported, DiffGradRecipe.finding_ids(&settings).unwrap());

    // Where the optimizers end depends on every term of the update: a wrong friction, an eps in another place or a previous
    // gradient that is only referred to each end elsewhere.
    let finding = |id: &str| verdict.findings.iter().find(|finding| finding.id == id).unwrap();
    for id in ["f1-global-minimum", "f2-global-minimum"] {
        assert_eq!(finding(id).outcome, Outcome::Held, "{:?}", finding(id));
    }
    assert_eq!(finding("f1-global-minimum").measured.text, "diffGrad -0.3001, Adam 0.2001, Adam, half rate -0.3003");

    let share = finding("friction-b32").measured.mean.unwrap();
    assert!((0.0..=1.0).contains(&share), "{share}");
    let artifacts = run.artifacts();
    for picture in ["trajectories-f1", "end-points-f3", "accuracy-per-epoch-b32", "friction-b32", "activations"] {
        assert!(artifacts.join(format!("{picture}.svg")).is_file(), "{picture}");
    }
}
