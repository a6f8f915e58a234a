//! What the linear models on tables say.

use kiln_lab::statistics::Summary;
use kiln_lab::{Finding, Measured, Outcome};

use super::TABLES;
use super::settings::TableSettings;
use super::tables::Cell;
use crate::loss::small_sets::Sets;

/// Set and least bag size of the claim of so much less error.
const CLAIMED: (&str, usize) = ("diabetes_efron", 8);
const GAIN: f64 = 0.03;
/// Share of the gain that a choice without the truth has to keep.
const KEPT: f64 = 0.5;

const IDS: [&str; 3] = ["between-the-ends", "automatic", "calculator"];

pub(super) fn finding_ids(settings: &TableSettings) -> Vec<String> {
    let mut ids: Vec<String> =
        settings.datasets.iter().flat_map(|set| IDS.iter().map(move |id| format!("{TABLES}/{set}/{id}"))).collect();
    if settings.datasets.iter().any(|set| set == CLAIMED.0) {
        ids.push(gain_id());
    }
    ids
}

fn gain_id() -> String {
    format!("{TABLES}/{}/gain", CLAIMED.0)
}

pub(super) fn findings(settings: &TableSettings, rhos: &[f64], cells: &[Cell], sets: &Sets) -> Vec<Finding> {
    let mut findings = Vec::new();
    for set in &settings.datasets {
        let own: Vec<&Cell> = cells.iter().filter(|cell| cell.set == *set).collect();
        if own.is_empty() {
            findings.extend(IDS.iter().map(|id| sets.not_comparable(format!("{TABLES}/{set}/{id}"), set)));
        } else {
            findings.extend([between(set, rhos, &own), automatic(set, &own), calculator(set, &own)]);
        }
    }
    if settings.datasets.iter().any(|set| set == CLAIMED.0) {
        let claimed: Vec<&Cell> =
            cells.iter().filter(|cell| cell.set == CLAIMED.0 && cell.bag_size >= CLAIMED.1).collect();
        findings.push(gain(rhos, &claimed));
    }
    findings
}

fn between(set: &str, rhos: &[f64], cells: &[&Cell]) -> Finding {
    let text: Vec<String> = cells
        .iter()
        .map(|cell| {
            let best = cell.best_inner();
            let gain = 100.0 * cell.gain(cell.errors[best].mean);
            format!("bags of {}: {gain:+.2} % at rho {}", cell.bag_size, rhos[best])
        })
        .collect();
    Finding::new(
        format!("{TABLES}/{set}/{}", IDS[0]),
        format!("on {set} some share between the levels has no more test error than both"),
    )
    .paper("on Boston Housing the best share is between the ends; figures not verified by us")
    .bound("for every bag size, in the mean over the seeds")
    .measured(format!("less error than the better end by {}", text.join(", ")))
    .held_if(cells.iter().all(|cell| cell.errors[cell.best_inner()].mean <= cell.better_end()))
    .note("the best share is chosen on the test rows here, as the claim is about what is there to be found")
}

fn automatic(set: &str, cells: &[&Cell]) -> Finding {
    let finding = Finding::new(
        format!("{TABLES}/{set}/{}", IDS[1]),
        format!("on {set} the share that cross-validation over bags chooses keeps at least half of the gain"),
    )
    .note("only means of held-out bags are looked at for the choice");
    kept(finding, set, cells, &|cell| Some((cell.validated, cell.validated_rho)))
}

fn calculator(set: &str, cells: &[&Cell]) -> Finding {
    let finding = Finding::new(
        format!("{TABLES}/{set}/{}", IDS[2]),
        format!(
            "on {set} the share that the calculator names, by noise and signal as the bags show them, keeps at least half"
        ),
    );
    kept(finding, set, cells, &|cell| cell.calculated.zip(cell.calculated_rho))
}

/// How much of the gain of the best share a choice keeps; claimed of one set only, because on others there is next to none.
fn kept(finding: Finding, set: &str, cells: &[&Cell], chosen: &dyn Fn(&Cell) -> Option<(Summary, Summary)>) -> Finding {
    let choices: Option<Vec<(Summary, Summary)>> = cells.iter().map(|cell| chosen(cell)).collect();
    let Some(choices) = choices else {
        return finding.outcome(Outcome::NotComparable).note("too few bags to tell noise from signal");
    };
    let best_gain = |cell: &Cell| cell.gain(cell.errors[cell.best_inner()].mean);
    let best: f64 = cells.iter().map(|cell| best_gain(cell)).sum();
    let kept: f64 = cells.iter().zip(&choices).map(|(cell, (error, _))| cell.gain(error.mean)).sum();
    let text: Vec<String> = cells
        .iter()
        .zip(&choices)
        .map(|(cell, (error, rho))| {
            let (own, best) = (100.0 * cell.gain(error.mean), 100.0 * best_gain(cell));
            format!("bags of {}: {own:+.2} % of {best:+.2} % at rho {rho}", cell.bag_size)
        })
        .collect();
    let finding = finding.measured(Measured::from(kept / best).text(format!(
        "{:.0} % kept; {}",
        100.0 * kept / best,
        text.join(", ")
    )));
    if set != CLAIMED.0 {
        return finding;
    }
    finding
        .bound("sum of the gains over the bag sizes at least half of what the best share gains")
        .held_if(kept >= KEPT * best)
}

fn gain(rhos: &[f64], cells: &[&Cell]) -> Finding {
    let finding = Finding::new(
        gain_id(),
        format!(
            "on {} with bags of {} rows and more a share between the levels has much less error",
            CLAIMED.0, CLAIMED.1
        ),
    )
    .bound("at least 3 % less test error than both ends");
    if cells.is_empty() {
        return finding.outcome(Outcome::NotComparable).note("no bags of that size were learnt from");
    }
    let least = cells.iter().map(|cell| cell.gain(cell.errors[cell.best_inner()].mean)).fold(f64::INFINITY, f64::min);
    let text: Vec<String> = cells
        .iter()
        .map(|cell| {
            let (best, last) = (cell.best_inner(), cell.errors.len() - 1);
            format!(
                "bags of {}: {:.3} at rho {} (bag level {:.3}, instance level {:.3})",
                cell.bag_size, cell.errors[best].mean, rhos[best], cell.errors[0].mean, cell.errors[last].mean
            )
        })
        .collect();
    finding.measured(Measured::from(least).text(text.join(", "))).held_if(least >= GAIN)
}
