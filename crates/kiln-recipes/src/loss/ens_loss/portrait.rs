//! What a part shows without judging it: all accuracies, the standing against each fixed loss, whether the networks learnt
//! their rows by heart, and which rates were chosen.

use kiln_lab::statistics::Summary;
use kiln_lab::train::Selector;
use kiln_lab::{Finding, Outcome, Run, Table};

use super::Settings;
use super::field::{Cell, Protocol, Trained};
use super::pairs::Tally;
use super::training::Ended;
use crate::loss::seeds::divergence;

/// Training accuracy from which a network counts as one that knows its rows by heart.
const BY_HEART: f64 = 0.995;

const IDS: [&str; 3] = ["standing", "interpolates", "rates"];

pub(super) fn finding_ids(part: &str) -> Vec<String> {
    IDS.iter().map(|id| format!("{part}/{id}")).collect()
}

pub(super) fn report(part: &str, cells: &[Cell], settings: &Settings, run: &mut Run) -> Vec<Finding> {
    if !cells.is_empty() {
        run.table(table(part, cells));
    }
    let statements = [
        format!(
            "EnsLoss (better, even, worse) than each fixed loss in the cells of {part}, by paired t over the seeds"
        ),
        format!("trainings that know at least {} % of their rows by heart", 100.0 * BY_HEART),
        "learning rates that the validation rows chose".to_string(),
    ];
    let figures = [standing(cells, settings), interpolating(cells, settings), chosen_rates(cells, settings)];
    let findings = finding_ids(part).into_iter().zip(statements).zip(figures);
    findings
        .map(|((id, statement), figure)| match cells {
            [] => {
                Finding::new(id, statement).outcome(Outcome::NotComparable).note("no set of it is in a data directory")
            }
            _ => Finding::new(id, statement).measured(figure),
        })
        .collect()
}

fn table(part: &str, cells: &[Cell]) -> Table {
    let headings = ["task", "network", "loss", "learning rate", "test accuracy", "training accuracy"];
    let mut table = Table::new(format!("Each loss at its own rate on {part} (%)"), headings);
    for cell in cells {
        for trained in &cell.losses {
            let accuracies: Vec<_> = trained.at_own_rate.iter().map(|ended| ended.accuracies).collect();
            let percent = |of: fn(&Ended) -> Option<f64>| -> Vec<f64> {
                trained.at_own_rate.iter().filter_map(of).map(|accuracy| 100.0 * accuracy).collect()
            };
            let test = Summary::of(&percent(|ended| Some(ended.test()))).to_string();
            let diverged = divergence(&accuracies).map_or_else(String::new, |text| format!("; {text}"));
            table.push([
                cell.task.clone(),
                cell.network.clone(),
                trained.loss.to_string(),
                trained.rate.to_string(),
                test + &diverged,
                Summary::of(&percent(|ended| ended.accuracies.map(|found| found.train))).to_string(),
            ]);
        }
    }
    table
}

fn standing(cells: &[Cell], settings: &Settings) -> String {
    let fixed = |cell: &'_ Cell| cell.fixed().map(|trained| trained.loss.clone()).collect::<Vec<Selector>>();
    let losses = cells.first().map(fixed).unwrap_or_default();
    let under = |protocol| {
        let texts: Vec<String> = losses
            .iter()
            .enumerate()
            .map(|(at, loss)| {
                let rivals = cells.iter().filter_map(|cell| Some((cell, cell.fixed().nth(at)?)));
                format!("{loss} {}", Tally::of(rivals, protocol))
            })
            .collect();
        texts.join(", ")
    };
    let (own, shared) = (under(Protocol::OwnRate), under(Protocol::SharedRate));
    format!("each at its own rate: {own}; all at {}: {shared}", settings.shared_rate)
}

fn interpolating(cells: &[Cell], settings: &Settings) -> String {
    per_loss(cells, settings, |trained| {
        let knows = |ended: &&Ended| ended.accuracies.is_some_and(|found| found.train >= BY_HEART);
        let count = |trained: &&Trained| trained.at_own_rate.iter().filter(knows).count();
        let all: usize = trained.iter().map(|trained| trained.at_own_rate.len()).sum();
        let share = trained.iter().map(count).sum::<usize>() as f64 / all as f64;
        format!("{:.0} %", 100.0 * share)
    })
}

fn chosen_rates(cells: &[Cell], settings: &Settings) -> String {
    let text = per_loss(cells, settings, |trained| {
        let times = |rate: f64| trained.iter().filter(|trained| trained.rate == rate).count();
        let counts: Vec<String> = settings.rates.iter().map(|&rate| format!("{rate} {}", times(rate))).collect();
        counts.join(" / ")
    });
    let all = cells.iter().flat_map(|cell| &cell.losses);
    let (least, most) =
        settings.rates.iter().fold((f64::MAX, 0.0_f64), |(low, high), &rate| (low.min(rate), high.max(rate)));
    let at_an_end = all.clone().filter(|trained| trained.rate == least || trained.rate == most).count();
    format!("in how many cells, by rate: {text}; {at_an_end} of {} choices at an end of the rates", all.count())
}

/// `loss figure` for every loss, from its trainings in all cells.
fn per_loss(cells: &[Cell], settings: &Settings, figure: impl Fn(&[&Trained]) -> String) -> String {
    let texts: Vec<String> = settings
        .losses
        .iter()
        .enumerate()
        .map(|(at, loss)| {
            let trained: Vec<&Trained> = cells.iter().filter_map(|cell| cell.losses.get(at)).collect();
            format!("{loss} {}", figure(&trained))
        })
        .collect();
    texts.join(", ")
}
