//! The temperatures that ALDR-KL leaves on the training rows, and whether wrong labels can be told by them.

use kiln_lab::statistics::Summary;
use kiln_lab::train::predict_logits;
use kiln_lab::{Finding, JobContext, LabError, Measured, Outcome, Plot, Run, Series, Table};
use kiln_loss::ldr::{AldrKl, AldrKlConfig};
use serde::{Deserialize, Serialize};

use super::noise::corrupted;
use super::ranks::Separation;
use super::training::train;
use super::{Settings, TEMPERATURES};
use crate::loss::small_sets::Sets;

/// Two-sided 1 % point of the normal distribution.
const SIGNIFICANT: f64 = 2.576;
const AREA: f64 = 0.8;
/// Bins of the histogram.
const BINS: usize = 25;

const IDS: [&str; 2] = ["differ", "suspicious-labels"];

pub(super) fn finding_ids() -> Vec<String> {
    IDS.iter().map(|id| format!("{TEMPERATURES}/{id}")).collect()
}

/// What a training leaves on its rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rows {
    temperatures: Vec<f32>,
    /// `-log p` of the label that the row was given.
    surprise: Vec<f64>,
    flipped: Vec<bool>,
}

impl Rows {
    /// A figure of the flipped rows, and of the others.
    fn groups(&self, figure: impl Fn(usize) -> f64) -> [Vec<f64>; 2] {
        let of =
            |wanted: bool| (0..self.flipped.len()).filter(|&row| self.flipped[row] == wanted).map(&figure).collect();
        [of(true), of(false)]
    }

    fn temperature_groups(&self) -> [Vec<f64>; 2] {
        self.groups(|row| f64::from(self.temperatures[row]))
    }
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let own = &settings.temperatures;
    let sets = Sets::open(std::slice::from_ref(&own.dataset), settings.max_train, settings.max_test, run)?;
    let Some(splits) = sets.here.first() else {
        return Ok(finding_ids().into_iter().map(|id| sets.not_comparable(id, &own.dataset)).collect());
    };
    let work = |seed: &u64, context: &JobContext| -> Result<Option<Rows>, LabError> {
        let loss: AldrKl = AldrKlConfig::paper().with_lambda0(own.lambda0).init().map_err(LabError::method)?;
        let (noisy, flipped) = corrupted(splits, &own.noise, *seed)?;
        let Some(network) = train(settings, &noisy, &loss, own.rate, *seed, context)? else { return Ok(None) };
        let logits: Vec<f32> = predict_logits(&network, &noisy.train, &context.device()).into_data().iter().collect();
        let rows = logits.chunks(noisy.train.num_classes()).enumerate();
        let surprise = rows.map(|(row, logits)| surprise(logits, noisy.train.label(row))).collect();
        Ok(Some(Rows { temperatures: loss.remembered().temperatures().to_vec(), surprise, flipped }))
    };
    let seeds = run.seeds().to_vec();
    let rows: Vec<Rows> =
        run.grid(TEMPERATURES, &seeds, |seed| format!("seed-{seed}"), work)?.into_iter().flatten().collect();
    report(settings, &rows, run)?;
    Ok(vec![differ(settings, &rows), suspicious(settings, &rows)])
}

/// `-log p` of a class under the softmax of logits that are scaled to mean size 1, as the loss sees them.
fn surprise(logits: &[f32], class: usize) -> f64 {
    let size = logits.iter().map(|logit| f64::from(logit.abs())).sum::<f64>() / logits.len() as f64;
    let scaled: Vec<f64> = logits.iter().map(|logit| f64::from(*logit) / size.max(1e-12)).collect();
    let highest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scaled.iter().map(|value| (value - highest).exp()).sum::<f64>().ln() + highest - scaled[class]
}

fn report(settings: &Settings, rows: &[Rows], run: &mut Run) -> Result<(), LabError> {
    let mut table = Table::new("Learnt temperatures", ["rows", "mean", "standard deviation", "number"]);
    let lambda0 = settings.temperatures.lambda0;
    let mut plot = Plot::line("Temperatures of the training rows", "temperature", "share of the rows");
    for (place, name) in ["flipped labels", "right labels"].into_iter().enumerate() {
        let all: Vec<f64> = rows.iter().flat_map(|rows| rows.temperature_groups()[place].clone()).collect();
        if all.is_empty() {
            continue;
        }
        let summary = Summary::of(&all);
        table.push([
            name.to_string(),
            format!("{:.4}", summary.mean),
            format!("{:.4}", summary.std),
            all.len().to_string(),
        ]);
        // The temperatures lie between half of the largest one and that.
        let width = 0.5 * lambda0 / BINS as f64;
        let share = |bin: usize| {
            let inside = |value: &f64| ((value - 0.5 * lambda0) / width).clamp(0.0, BINS as f64 - 1.0) as usize == bin;
            all.iter().filter(|value| inside(value)).count() as f64 / all.len() as f64
        };
        let points = (0..BINS).map(|bin| (0.5 * lambda0 + width * (bin as f64 + 0.5), share(bin)));
        plot = plot.series(Series::new(name).points(points));
    }
    run.table(table);
    run.plot("temperatures", &plot)
}

fn differ(settings: &Settings, rows: &[Rows]) -> Finding {
    let own = &settings.temperatures;
    let statement = format!("on {} with {} the temperatures of flipped rows differ", own.dataset, own.noise);
    let finding = Finding::new(format!("{TEMPERATURES}/{}", IDS[0]), statement)
        .paper("histograms of the temperatures of clean and noisy rows lie apart")
        .bound("Mann-Whitney p < 0.01 on every seed, all in one direction");
    let apart: Option<Vec<Separation>> = rows
        .iter()
        .map(|rows| {
            let [flipped, right] = rows.temperature_groups();
            Separation::of(&flipped, &right)
        })
        .collect();
    let Some(apart) = apart.filter(|apart| !apart.is_empty()) else {
        return finding.outcome(Outcome::NotComparable).note("there is no training with two groups of rows to compare");
    };
    let areas: Vec<f64> = apart.iter().map(|apart| apart.area).collect();
    let least = apart.iter().map(|apart| apart.score.abs()).fold(f64::INFINITY, f64::min);
    let one_way = apart.iter().all(|one| one.score > 0.0) || apart.iter().all(|one| one.score < 0.0);
    let text = format!("flipped rows above the others with probability {}, least |z| {least:.1}", Summary::of(&areas));
    finding.measured(Measured::from(Summary::of(&areas)).text(text)).held_if(one_way && least > SIGNIFICANT)
}

fn suspicious(settings: &Settings, rows: &[Rows]) -> Finding {
    let own = &settings.temperatures;
    let statement = format!("on {} with {} the least probable labels are the flipped ones", own.dataset, own.noise);
    let finding = Finding::new(format!("{TEMPERATURES}/{}", IDS[1]), statement)
        .bound("area under the curve above 0.8, mean over seeds");
    let areas: Option<Vec<f64>> = rows
        .iter()
        .map(|rows| {
            let [flipped, right] = rows.groups(|row| rows.surprise[row]);
            Separation::of(&flipped, &right).map(|apart| apart.area)
        })
        .collect();
    match areas.filter(|areas| !areas.is_empty()) {
        Some(areas) => {
            let summary = Summary::of(&areas);
            finding.measured(summary).held_if(summary.mean > AREA)
        }
        None => finding.outcome(Outcome::NotComparable).note("there is no training with two groups of rows to compare"),
    }
}
