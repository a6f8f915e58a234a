//! Linear models on tables, learnt from random bags and judged on single responses.

use kiln_lab::statistics::Summary;
use kiln_lab::{Finding, LabError, Plot, Run, Series, Table};
use serde::{Deserialize, Serialize};

use super::linear::squared_error;
use super::table_sets::{NumberTable, open_options};
use super::tables_findings::findings;
use super::{Settings, TABLES};
use crate::loss::small_sets::Sets;

/// One division of one table into bags.
struct Job<'a> {
    table: &'a NumberTable,
    bag_size: usize,
    seed: u64,
}

/// What a division showed.
#[derive(Serialize, Deserialize)]
pub(super) struct Shown {
    /// Test error at each share.
    errors: Vec<f64>,
    /// Share that cross-validation over the bags chose, and its test error.
    validated: (f64, f64),
    /// Share that the calculator chose, and its test error.
    calculated: Option<(f64, f64)>,
}

/// Test errors on one table with bags of one size.
pub(super) struct Cell {
    pub(super) set: String,
    pub(super) bag_size: usize,
    /// At each share, over the seeds.
    pub(super) errors: Vec<Summary>,
    /// At the shares that cross-validation chose.
    pub(super) validated: Summary,
    /// The shares that it chose.
    pub(super) validated_rho: Summary,
    /// At the shares that the calculator chose, where it could in every division.
    pub(super) calculated: Option<Summary>,
    pub(super) calculated_rho: Option<Summary>,
}

impl Cell {
    fn of(job: &Job<'_>, shown: &[Shown]) -> Self {
        let summary = |of: &dyn Fn(&Shown) -> f64| Summary::of(&shown.iter().map(of).collect::<Vec<f64>>());
        let calculated: Option<Vec<(f64, f64)>> = shown.iter().map(|one| one.calculated).collect();
        let of_calculated = |of: fn(&(f64, f64)) -> f64| {
            calculated.as_ref().map(|found| Summary::of(&found.iter().map(of).collect::<Vec<f64>>()))
        };
        Self {
            set: job.table.name.clone(),
            bag_size: job.bag_size,
            errors: (0..shown[0].errors.len()).map(|at| summary(&|one| one.errors[at])).collect(),
            validated: summary(&|one| one.validated.1),
            validated_rho: summary(&|one| one.validated.0),
            calculated: of_calculated(|found| found.1),
            calculated_rho: of_calculated(|found| found.0),
        }
    }

    /// Least mean error of both ends.
    pub(super) fn better_end(&self) -> f64 {
        self.errors[0].mean.min(self.errors[self.errors.len() - 1].mean)
    }

    /// Place of the share between them with the least mean error.
    pub(super) fn best_inner(&self) -> usize {
        let inner = 1..self.errors.len() - 1;
        inner.min_by(|&a, &b| self.errors[a].mean.total_cmp(&self.errors[b].mean)).unwrap_or(0)
    }

    /// How much less error than the better end, as a share of that.
    pub(super) fn gain(&self, error: f64) -> f64 {
        1.0 - error / self.better_end()
    }
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let own = &settings.tables;
    let sets = Sets::open(&own.datasets, &open_options(), usize::MAX, run)?;
    let tables: Vec<NumberTable> = sets.here.iter().map(NumberTable::of).collect();
    let seeds = run.seeds()[..own.seeds].to_vec();
    let mut jobs = Vec::new();
    for table in &tables {
        for &bag_size in &own.bag_sizes {
            jobs.extend(seeds.iter().map(|&seed| Job { table, bag_size, seed }));
        }
    }
    let key = |job: &Job<'_>| format!("{}-k{}-seed{}", job.table.name, job.bag_size, job.seed);
    let shown: Vec<Shown> = run.grid(TABLES, &jobs, key, |job, _| learnt(settings, job))?;
    let cells: Vec<Cell> =
        jobs.chunks(own.seeds).zip(shown.chunks(own.seeds)).map(|(jobs, shown)| Cell::of(&jobs[0], shown)).collect();
    if !cells.is_empty() {
        run.table(table(&settings.rhos, &cells));
        for table in &tables {
            run.plot(&format!("test-error-{}", table.name), &picture(&settings.rhos, &table.name, &cells))?;
        }
    }
    Ok(findings(own, &settings.rhos, &cells, &sets))
}

fn learnt(settings: &Settings, job: &Job<'_>) -> Result<Shown, LabError> {
    let rhos = &settings.rhos;
    let drawn = job.table.draw(job.bag_size, settings.tables.train, job.seed)?;
    let bags = drawn.bags();
    let error = |theta: &[f64]| squared_error(theta, &drawn.test_features, &drawn.test_responses);
    let errors: Vec<f64> = bags.path(rhos)?.iter().map(|theta| error(theta)).collect();
    let validated = bags.cross_validated(rhos, settings.folds, settings.repeats, job.seed)?;
    let at = rhos.iter().position(|&rho| rho == validated).unwrap_or(0);
    let calculated = match bags.calculated()? {
        Some(rho) => Some((rho, error(&bags.path(&[rho])?[0]))),
        None => None,
    };
    Ok(Shown { validated: (validated, errors[at]), errors, calculated })
}

fn table(rhos: &[f64], cells: &[Cell]) -> Table {
    let headings = ["set", "bag size"].into_iter().map(String::from);
    let headings = headings.chain(rhos.iter().map(|rho| format!("rho {rho}")));
    let headings = headings.chain(["cross-validated", "its rho", "calculated", "its rho "].map(String::from));
    let mut table = Table::new("Test error of single responses, in variances", headings);
    let text = |summary: &Option<Summary>| summary.as_ref().map_or_else(|| "-".to_string(), ToString::to_string);
    for cell in cells {
        let front = [cell.set.clone(), cell.bag_size.to_string()].into_iter();
        let errors = cell.errors.iter().map(|error| format!("{:.4}", error.mean));
        let chosen = [
            format!("{:.4}", cell.validated.mean),
            cell.validated_rho.to_string(),
            cell.calculated.as_ref().map_or_else(|| "-".to_string(), |error| format!("{:.4}", error.mean)),
            text(&cell.calculated_rho),
        ];
        table.push(front.chain(errors).chain(chosen));
    }
    table
}

fn picture(rhos: &[f64], set: &str, cells: &[Cell]) -> Plot {
    let mut plot = Plot::line(format!("Test error on {set}"), "rho", "mean squared error, in variances");
    for (place, cell) in cells.iter().filter(|cell| cell.set == set).enumerate() {
        let points = rhos.iter().zip(&cell.errors).map(|(&rho, error)| (rho, error.mean));
        plot = plot.series(Series::new(format!("bags of {}", cell.bag_size)).points(points).coloured_as(place));
        let level = [(0.0, cell.validated.mean), (1.0, cell.validated.mean)];
        let chosen = Series::new(format!("bags of {}, cross-validated", cell.bag_size)).points(level);
        plot = plot.series(chosen.dotted().coloured_as(place));
    }
    plot
}
