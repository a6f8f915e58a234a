//! What the linear models on tables say.

use kiln_lab::{Finding, Measured, Outcome};

use super::gains::{self, ByShare, Choice};
use super::settings::TableSettings;
use super::tables::Cell;
use super::{Settings, TABLES};
use crate::loss::small_sets::Sets;

/// Set and least bag size of the claim of so much less error.
const CLAIMED: (&str, usize) = ("diabetes_efron", 8);
const GAIN: f64 = 0.03;

const IDS: [&str; 4] = ["between-the-ends", "automatic", "repeated", "calculator"];

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

pub(super) fn findings(settings: &Settings, cells: &[Cell], sets: &Sets) -> Vec<Finding> {
    let mut findings = Vec::new();
    for set in &settings.tables.datasets {
        let own: Vec<&Cell> = cells.iter().filter(|cell| cell.set == *set).collect();
        if own.is_empty() {
            findings.extend(IDS.iter().map(|id| sets.not_comparable(format!("{TABLES}/{set}/{id}"), set)));
        } else {
            findings.push(between(set, &settings.rhos, &own));
            findings.push(automatic(set, settings.folds, &own));
            findings.push(repeated(set, settings.repeats, &own));
            findings.push(calculator(set, &own));
        }
    }
    if settings.tables.datasets.iter().any(|set| set == CLAIMED.0) {
        let claimed: Vec<&ByShare> = cells
            .iter()
            .filter(|cell| cell.set == CLAIMED.0 && cell.by_share.bag_size >= CLAIMED.1)
            .map(|cell| &cell.by_share)
            .collect();
        findings.push(gain(&settings.rhos, &claimed));
    }
    findings
}

fn between(set: &str, rhos: &[f64], cells: &[&Cell]) -> Finding {
    let finding = Finding::new(
        format!("{TABLES}/{set}/{}", IDS[0]),
        format!("on {set} some share between the levels has no more test error than both"),
    )
    .paper("on Boston Housing the best share is between the ends; figures not verified by us")
    .note("the best share is chosen on the test rows here, as the claim is about what is there to be found");
    let by_share: Vec<&ByShare> = cells.iter().map(|cell| &cell.by_share).collect();
    gains::between(finding, rhos, &by_share)
}

fn automatic(set: &str, folds: usize, cells: &[&Cell]) -> Finding {
    let finding = Finding::new(
        format!("{TABLES}/{set}/{}", IDS[1]),
        format!("on {set} the share that cross-validation over bags chooses keeps at least half of the gain"),
    )
    .note(format!("one division into {folds} parts, of which only the means of held-out bags are looked at"));
    gains::keeps_half(finding, &choices(cells, |cell| cell.validated))
}

fn repeated(set: &str, repeats: usize, cells: &[&Cell]) -> Finding {
    let finding = Finding::new(
        format!("{TABLES}/{set}/{}", IDS[2]),
        format!("on {set}, what the same cross-validation keeps by {repeats} divisions instead of one"),
    );
    gains::keeps(finding, &choices(cells, |cell| cell.repeated))
}

fn calculator(set: &str, cells: &[&Cell]) -> Finding {
    let finding = Finding::new(
        format!("{TABLES}/{set}/{}", IDS[3]),
        format!(
            "on {set} the share that the calculator names, by noise and signal as the bags show them, keeps at least half"
        ),
    );
    let calculated: Option<Vec<(&ByShare, Choice)>> =
        cells.iter().map(|cell| Some((&cell.by_share, cell.calculated?))).collect();
    match calculated {
        Some(choices) => gains::keeps_half(finding, &choices),
        None => finding.outcome(Outcome::NotComparable).note("too few bags to tell noise from signal"),
    }
}

fn choices<'a>(cells: &[&'a Cell], of: fn(&Cell) -> Choice) -> Vec<(&'a ByShare, Choice)> {
    cells.iter().map(|cell| (&cell.by_share, of(cell))).collect()
}

fn gain(rhos: &[f64], cells: &[&ByShare]) -> Finding {
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
    let least = cells.iter().map(|cell| cell.best_gain()).fold(f64::INFINITY, f64::min);
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
