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

fn cells<'a>(run: &'a Run, title: &str) -> &'a [Vec<String>] {
    let tables = &run.record().tables;
    let table = tables.iter().find(|table| table.title == title).unwrap_or_else(|| panic!("no table {title}"));
    &table.rows
}

/// The mean of a cell like `91.5 +/- 0.7`.
fn mean(cell: &str) -> f64 {
    cell.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{cell}"))
}

#[test]
fn the_theory_holds() {
    let (verdict, run, _folder) = performed(&[], &["theory"]);
    for id in ["theory/consistency", "theory/symmetric-losses", "theory/symmetry"] {
        assert_eq!(finding(&verdict, id).outcome, Outcome::Held, "{id}: {}", finding(&verdict, id).measured);
    }
    let mae = cells(&run, "Order of the classes and symmetry").iter().find(|row| row[0] == "mae").unwrap();
    assert_eq!((mae[2].as_str(), mae[4].parse::<f64>().unwrap() <= 0.0), ("3", true), "{mae:?}");
}

#[test]
fn losses_learn_at_the_rate_that_the_validation_split_chooses() {
    let overrides = ["epochs=12", "tables.rates=[0.0001, 0.1]", "tables.network=32"];
    let (verdict, run, _folder) = performed(&overrides, &["tables"]);
    let rows = cells(&run, "Test accuracy by noise, tables (%)");
    assert_eq!(rows.len(), 2 * 6);
    for row in rows {
        let tops: Vec<f64> = row[3..].iter().map(|cell| mean(cell)).collect();
        assert!(tops.len() == 5 && tops.is_sorted(), "{row:?}");
    }
    let clean = rows.iter().find(|row| row[1] == "clean" && row[2] == "CE").unwrap();
    assert!(mean(&clean[3]) > 80.0, "{clean:?}");
    // Cross-entropy learns nothing at a rate of 0.0001 in so few steps.
    let chosen = finding(&verdict, "tables/chosen-settings");
    assert!(chosen.measured.text.ends_with("CE: rate 0.1 2 times"), "{}", chosen.measured);
    let choices = cells(&run, "Chosen settings, tables");
    let of_cross_entropy = choices.iter().find(|row| row[0] == "CE").unwrap();
    assert_eq!((choices.len(), of_cross_entropy[2].as_str()), (6, "0.1 2 times"), "{of_cross_entropy:?}");
    assert!(finding(&verdict, "tables/heavy-noise").note.contains("at lambda0 = 1"));
    assert!(run.artifacts().join("tables-accuracy-by-noise.svg").exists());
}

#[test]
fn images_are_compared_as_tables_are() {
    let (verdict, run, _folder) = performed(
        &["epochs=1", "max_train=120", "max_test=60", "images.datasets=[\"mnist\"]", "noises=[\"class:0.3\"]"],
        &["images"],
    );
    assert_eq!(cells(&run, "Test accuracy by noise, images (%)").len(), 6);
    assert_eq!(finding(&verdict, "images/clean").outcome, Outcome::NotComparable);
    assert_ne!(finding(&verdict, "images/average-rank").outcome, Outcome::NotComparable);
}

#[test]
fn wrong_labels_are_told_from_right_ones() {
    let (verdict, run, _folder) = performed(&["epochs=20", "max_train=1000"], &["temperatures"]);
    let suspicious = finding(&verdict, "temperatures/digits/suspicious-labels");
    assert_eq!(suspicious.outcome, Outcome::Held, "{}", suspicious.measured);
    // Random scores would have an area of one half, and a random list the share of all rows, 0.27.
    assert!(suspicious.measured.mean.unwrap() > 0.9, "{}", suspicious.measured);
    let precision = finding(&verdict, "temperatures/digits/precision");
    assert!(precision.measured.mean.unwrap() > 0.6, "{}", precision.measured);
    assert_eq!(cells(&run, "How flipped rows are told from the others").len(), 4);
    assert!(run.artifacts().join("temperatures-digits.svg").exists());
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let top_k = "contenders=[{name=\"ALDR-KL\",losses=[\"mae\"]},{name=\"LDR-KL\",losses=[\"ldr:variant=top-k,k=50\"]},\
                 {name=\"CE\",losses=[\"cross-entropy\"]}]";
    let refused = [
        ("noises=[\"odd:1\"]", "odd:1"),
        ("tables.rates=[]", "tables.rates"),
        ("tables.network=narow", "such as 128-128"),
        ("tables.tuning_seeds=0", "tables.tuning_seeds"),
        ("validation=0", "validation"),
        (top_k, "k = 50"),
    ];
    for (text, part) in refused {
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
    let finding_ids = ["differ", "suspicious-labels", "precision"].map(|id| format!("temperatures/digits/{id}"));
    for id in finding_ids {
        assert_eq!(finding(&verdict, &id).outcome, Outcome::NotComparable, "{id}");
    }
}
