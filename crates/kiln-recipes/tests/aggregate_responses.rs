//! The reproduction of learning from aggregate responses at its smallest scale.

use std::path::Path;

use kiln_data::DataDir;
use kiln_lab::{Finding, Outcome, Run, RunOptions, Scale, Verdict};
use kiln_recipes::catalogue;

fn options(overrides: &[&str], parts: &[&str], folder: &Path) -> RunOptions {
    let data = DataDir::find(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")));
    let mut options = RunOptions::new(Scale::Smoke, folder, data);
    options.show_progress = false;
    options.overrides = overrides.iter().map(|text| (*text).to_string()).collect();
    options.parts = parts.iter().map(|part| (*part).to_string()).collect();
    options
}

fn performed(overrides: &[&str], parts: &[&str]) -> (Verdict, Run, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let recipe = catalogue::find("aggregate-responses").unwrap();
    let mut run = Run::create(recipe, &options(overrides, parts, folder.path())).unwrap();
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

fn number(cell: &str) -> f64 {
    cell.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{cell}"))
}

#[test]
fn simulated_models_have_the_calculators_error() {
    let (verdict, run, _folder) = performed(&[], &["simulation"]);
    let best = finding(&verdict, "simulation/best-share");
    assert_eq!(best.outcome, Outcome::Held, "{}", best.measured);
    let rows = cells(&run, "Error of the coefficients, theory and simulation");
    let at = |rho: &str| rows.iter().find(|row| row[2] == rho).unwrap_or_else(|| panic!("no {rho}"));
    // With ten rows for each of 40 features and bags of 4: 2/3 at the bag level, 11/18 at the instance level.
    for (rho, theory) in [("0", 0.6667), ("1", 0.6111)] {
        let row = at(rho);
        assert!((number(&row[3]) - theory).abs() < 1e-3, "{row:?}");
        assert!((number(&row[4]) / theory - 1.0).abs() < 0.35, "{row:?}");
    }
    assert!(run.artifacts().join("risk-over-rho-psi-10.svg").exists());
}

#[test]
fn on_diabetes_a_share_between_the_levels_is_better_than_both() {
    let (verdict, run, _folder) = performed(&["tables.seeds=3"], &["tables"]);
    let gain = finding(&verdict, "tables/diabetes_efron/gain");
    assert_eq!(gain.outcome, Outcome::Held, "{}", gain.measured);
    let rows = cells(&run, "Test error of single responses, in variances");
    assert_eq!(rows.len(), 1);
    // Copying the means to the rows shrinks the model: it explains a tenth of the variance, and a share of 0.1 four times that.
    let errors: Vec<f64> = rows[0][2..7].iter().map(|cell| number(cell)).collect();
    assert!(errors[1] < 0.75 && errors[4] > 0.8, "{errors:?}");
    assert!(run.artifacts().join("test-error-diabetes_efron.svg").exists());
    assert!(run.artifacts().join("test-error-network-bikeshare_hourly_2011.svg").exists());
}

#[test]
fn sets_that_are_not_here_leave_their_claims_open() {
    let datasets = "tables.datasets=[\"diabetes_efron\", \"abalone\"]";
    let (verdict, run, _folder) = performed(&[datasets, "network.epochs=1"], &["tables"]);
    let missing = finding(&verdict, "tables/abalone/automatic");
    assert_eq!(missing.outcome, Outcome::NotComparable);
    assert!(missing.note.contains("tabular/abalone.csv of a data directory"), "{}", missing.note);
    assert!(run.record().notes.iter().any(|note| note.contains("Without abalone")));
    // Each is judged, or says that there was nothing to keep.
    for id in ["diabetes_efron/automatic", "diabetes_efron/calculator", "bikeshare_hourly_2011/network-automatic"] {
        let judged = finding(&verdict, &format!("tables/{id}"));
        assert_eq!(
            judged.bound, "sum of the gains over the bag sizes at least half of what the best share gains",
            "{id}"
        );
        let part = judged.measured.mean.unwrap_or(f64::NAN);
        let expected = match judged.outcome {
            Outcome::NotComparable => judged.measured.text.starts_with("the best share between the ends gains nothing"),
            Outcome::Held => part >= 0.5,
            _ => part < 0.5 || judged.measured.text.starts_with("nothing kept"),
        };
        assert!(expected, "{id}: {judged:?}");
        assert!(!judged.measured.text.contains("NaN"), "{id}: {}", judged.measured);
    }
    assert_eq!(finding(&verdict, "tables/diabetes_efron/repeated").outcome, Outcome::Reported);
}

#[test]
fn proportions_of_bags_teach_the_digits() {
    let overrides = [
        "classification.epochs=25",
        "classification.max_train=1000",
        "classification.bag_sizes=[4]",
        "rhos=[0.0, 0.1, 1.0]",
    ];
    let (verdict, _run, _folder) = performed(&overrides, &["classification"]);
    let accuracy = finding(&verdict, "classification/digits/accuracy");
    assert!(accuracy.measured.mean.unwrap() > 0.7, "{}", accuracy.measured);
}

#[test]
fn more_privacy_wants_larger_bags() {
    let (verdict, run, _folder) = performed(&["privacy.features=40", "privacy.seeds=3"], &["privacy"]);
    for id in ["privacy/phase", "privacy/bag-size"] {
        assert_eq!(finding(&verdict, id).outcome, Outcome::Held, "{id}: {}", finding(&verdict, id).measured);
    }
    let rows = cells(&run, "Private means, simulated: error of the coefficients");
    assert_eq!(rows.len(), 2 * 3);
    // A standard normal plus noise of variance 0.5 lies outside +-2 in a tenth of all cases.
    assert!(rows.iter().all(|row| (5.0..16.0).contains(&number(&row[6]))), "{rows:?}");
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for (text, part) in [
        ("rhos=[0.0, 1.0]", "rhos"),
        ("rhos=[0.0, 0.5, 0.2, 1.0]", "rhos"),
        ("repeats=0", "repeats"),
        ("folds=1", "folds"),
        ("tables.train=1.0", "tables.train"),
        ("tables.seeds=0", "tables.seeds"),
        ("privacy.seeds=100", "privacy.seeds"),
        ("simulation.bag_sizes=[0]", "simulation.bag_sizes"),
        ("network.rates=[]", "network.rates"),
        ("classification.dataset=\"diabetes_efron\"", "a set with classes"),
        ("privacy.epsilons=[0.0]", "epsilon"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let recipe = catalogue::find("aggregate-responses").unwrap();
        let parts: &[&str] = if text.starts_with("privacy.e") { &["privacy"] } else { &["classification"] };
        let mut run = Run::create(recipe, &options(&[text], parts, folder.path())).unwrap();
        let error = run.execute(recipe).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}
