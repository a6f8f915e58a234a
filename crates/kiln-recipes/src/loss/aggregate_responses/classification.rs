//! A network that learns classes from the proportions of bags.

use kiln_lab::{Finding, LabError, Measured, Run};

use super::network::{Cell, Contest, opened, picture, table};
use super::settings::NetworkSettings;
use super::{CLASSIFICATION, Settings};

const IDS: [&str; 3] = ["between-the-ends", "automatic", "accuracy"];

pub(super) fn finding_ids(settings: &NetworkSettings) -> Vec<String> {
    IDS.iter().map(|id| format!("{CLASSIFICATION}/{}/{id}", settings.dataset)).collect()
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let own = &settings.classification;
    let splits = opened(own, None, run)?;
    if !splits.train.is_classification() {
        return Err(LabError::setting("classification.dataset", &own.dataset, "a set with classes"));
    }
    let contest = Contest { part: CLASSIFICATION, own, settings, splits: &splits };
    let cells = contest.perform(run)?;
    run.table(table(&contest, &cells, "error (%)", |error| format!("{:.2}", 100.0 * error)));
    run.plot(&format!("test-error-{}", own.dataset), &picture(&contest, &cells, "share of wrong classes"))?;
    Ok(vec![between(&contest, &cells), automatic(&contest, &cells), accuracy(&contest, &cells)])
}

fn between(contest: &Contest<'_>, cells: &[Cell]) -> Finding {
    let set = &contest.own.dataset;
    let text: Vec<String> = cells
        .iter()
        .map(|cell| {
            let cell = &cell.by_share;
            let (best, last) = (cell.best_inner(), cell.errors.len() - 1);
            let percent = |at: usize| 100.0 * (1.0 - cell.errors[at].mean);
            format!(
                "bags of {}: {:.2} % right at rho {}, {:.2} % at the bag level, {:.2} % at the instance level",
                cell.bag_size,
                percent(best),
                contest.rhos()[best],
                percent(0),
                percent(last)
            )
        })
        .collect();
    Finding::new(
        format!("{CLASSIFICATION}/{set}/{}", IDS[0]),
        format!("on {set} some share between the levels gets no fewer classes right than both"),
    )
    .bound("for every bag size, in the mean over the seeds")
    .measured(text.join(", "))
    .held_if(cells.iter().all(|cell| cell.by_share.inner_is_best()))
}

fn automatic(contest: &Contest<'_>, cells: &[Cell]) -> Finding {
    let text: Vec<String> = cells
        .iter()
        .map(|cell| {
            format!(
                "bags of {}: {:.2} % right at rho {}",
                cell.by_share.bag_size,
                100.0 * (1.0 - cell.chosen.error.mean),
                cell.chosen.rho
            )
        })
        .collect();
    Finding::new(
        format!("{CLASSIFICATION}/{}/{}", contest.own.dataset, IDS[1]),
        "the share and rate that cross-validation by the proportions of bags chooses",
    )
    .measured(text.join(", "))
}

/// What proportions alone teach, at the share that held-out bags choose.
fn accuracy(contest: &Contest<'_>, cells: &[Cell]) -> Finding {
    const LEAST: f64 = 0.8;
    let smallest = cells.iter().min_by_key(|cell| cell.by_share.bag_size);
    let reached = smallest.map_or(0.0, |cell| 1.0 - cell.chosen.error.mean);
    let size = smallest.map_or(0, |cell| cell.by_share.bag_size);
    Finding::new(
        format!("{CLASSIFICATION}/{}/{}", contest.own.dataset, IDS[2]),
        format!("proportions over bags of {size} rows teach a network the classes of {}", contest.own.dataset),
    )
    .bound("at least 80 % right on single test rows, with all choices made by held-out bags")
    .measured(Measured::from(reached).text(format!("{:.2} %", 100.0 * reached)))
    .held_if(reached >= LEAST)
}
