//! Linear models on tables, learnt from random bags and judged on single responses.

use kiln_lab::statistics::Summary;
use kiln_lab::{Finding, LabError, Plot, Run, Series, Table};
use serde::{Deserialize, Serialize};

use super::gains::{ByShare, Choice};
use super::linear::squared_error;
use super::table_sets::{NumberTable, open_options};
use super::tables_findings::findings;
use super::{DIVISIONS, Settings, TABLES};
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
    /// What cross-validation over the bags chose.
    validated: Chosen,
    /// What it chose by more divisions into parts.
    repeated: Chosen,
    /// What the calculator chose, where there were enough bags for it.
    calculated: Option<Chosen>,
}

/// A share and its test error.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Chosen {
    rho: f64,
    error: f64,
}

impl Chosen {
    fn summary(chosen: impl Iterator<Item = Self>) -> Choice {
        let (rhos, errors): (Vec<f64>, Vec<f64>) = chosen.map(|one| (one.rho, one.error)).unzip();
        Choice { rho: Summary::of(&rhos), error: Summary::of(&errors) }
    }
}

/// Test errors on one table with bags of one size, over the seeds.
pub(super) struct Cell {
    pub(super) set: String,
    pub(super) by_share: ByShare,
    pub(super) validated: Choice,
    pub(super) repeated: Choice,
    /// Where the calculator could choose in every division.
    pub(super) calculated: Option<Choice>,
}

impl Cell {
    fn of(job: &Job<'_>, shown: &[Shown]) -> Self {
        let at = |place: usize| Summary::of(&shown.iter().map(|one| one.errors[place]).collect::<Vec<f64>>());
        let errors = (0..shown[0].errors.len()).map(at).collect();
        let calculated: Option<Vec<Chosen>> = shown.iter().map(|one| one.calculated).collect();
        Self {
            set: job.table.name.clone(),
            by_share: ByShare { bag_size: job.bag_size, errors },
            validated: Chosen::summary(shown.iter().map(|one| one.validated)),
            repeated: Chosen::summary(shown.iter().map(|one| one.repeated)),
            calculated: calculated.map(|chosen| Chosen::summary(chosen.into_iter())),
        }
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
        run.table(table(settings, &cells));
        for table in &tables {
            run.plot(&format!("test-error-{}", table.name), &picture(&settings.rhos, &table.name, &cells))?;
        }
    }
    Ok(findings(settings, &cells, &sets))
}

fn learnt(settings: &Settings, job: &Job<'_>) -> Result<Shown, LabError> {
    let rhos = &settings.rhos;
    let drawn = job.table.draw(job.bag_size, settings.tables.train, job.seed)?;
    let bags = drawn.bags();
    let error = |theta: &[f64]| squared_error(theta, &drawn.test_features, &drawn.test_responses);
    let errors: Vec<f64> = bags.path(rhos)?.iter().map(|theta| error(theta)).collect();
    let validated = |divisions: usize| -> Result<Chosen, LabError> {
        let rho = bags.cross_validated(&settings.cross_validation(divisions)?, job.seed)?;
        let at = rhos.iter().position(|&other| other == rho).unwrap_or(0);
        Ok(Chosen { rho, error: errors[at] })
    };
    let calculated = match bags.calculated()? {
        Some(rho) => Some(Chosen { rho, error: error(&bags.path(&[rho])?[0]) }),
        None => None,
    };
    Ok(Shown { validated: validated(DIVISIONS)?, repeated: validated(settings.repeats)?, errors, calculated })
}

fn table(settings: &Settings, cells: &[Cell]) -> Table {
    let headings = ["set", "bag size"].into_iter().map(String::from);
    let headings = headings.chain(settings.rhos.iter().map(|rho| format!("rho {rho}")));
    let repeated = format!("cross-validated {} times", settings.repeats);
    let chosen = ["cross-validated", "its rho", &repeated, "its rho ", "calculated", "its rho  "].map(String::from);
    let mut table = Table::new("Test error of single responses, in variances", headings.chain(chosen));
    for cell in cells {
        let front = [cell.set.clone(), cell.by_share.bag_size.to_string()].into_iter();
        let errors = cell.by_share.errors.iter().map(|error| format!("{:.4}", error.mean));
        let choices = [Some(cell.validated), Some(cell.repeated), cell.calculated].into_iter();
        let chosen = choices.flat_map(|choice| match choice {
            Some(Choice { error, rho }) => [format!("{:.4}", error.mean), rho.to_string()],
            None => ["-".to_string(), "-".to_string()],
        });
        table.push(front.chain(errors).chain(chosen));
    }
    table
}

fn picture(rhos: &[f64], set: &str, cells: &[Cell]) -> Plot {
    let mut plot = Plot::line(format!("Test error on {set}"), "rho", "mean squared error, in variances");
    for (place, cell) in cells.iter().filter(|cell| cell.set == set).enumerate() {
        let name = format!("bags of {}", cell.by_share.bag_size);
        let points = rhos.iter().zip(&cell.by_share.errors).map(|(&rho, error)| (rho, error.mean));
        plot = plot.series(Series::new(&name).points(points).coloured_as(place));
        let level = [(0.0, cell.validated.error.mean), (1.0, cell.validated.error.mean)];
        let chosen = Series::new(format!("{name}, cross-validated")).points(level);
        plot = plot.series(chosen.dotted().coloured_as(place));
    }
    plot
}
