//! Every recipe at its smallest scale reports exactly the findings that it announces.

use std::path::Path;

use kiln_data::DataDir;
use kiln_lab::{Run, RunOptions, Scale};
use kiln_recipes::catalogue::RECIPES;

#[test]
fn every_recipe_reports_the_findings_that_it_announces() {
    let data = DataDir::find(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")));
    for recipe in RECIPES {
        let id = recipe.card().id;
        let out = tempfile::tempdir().unwrap();
        let options = RunOptions { show_progress: false, ..RunOptions::new(Scale::Smoke, out.path(), data.clone()) };
        let mut run = Run::create(*recipe, &options).unwrap();
        let verdict = run.execute(*recipe).unwrap_or_else(|error| panic!("{id}: {error}"));
        let reported: Vec<&str> = verdict.findings.iter().map(|finding| finding.id.as_str()).collect();
        assert_eq!(reported, recipe.finding_ids(run.settings()).unwrap(), "{id}");
    }
}
