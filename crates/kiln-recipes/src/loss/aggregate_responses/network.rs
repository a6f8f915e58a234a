//! Networks that learn from bags: of numbers on the largest table, and of class proportions (see `classification`).

use kiln_data::split::permutation;
use kiln_data::{ArrayDataset, Bags, Leftover, OpenOptions, SplitOptions, Splits, TargetEncoding, Task};
use kiln_lab::statistics::Summary;
use kiln_lab::train::{
    BagExamples, BagObjective, Batch, Examples, Figures, FitSettings, OPTIMIZERS, Objective, Schedule, Selector,
    bag_loss, fit, scalar,
};
use kiln_lab::{Finding, JobContext, LabError, Plot, Run, Series, Table};
use kiln_nn::{Network, NetworkConfig};
use serde::{Deserialize, Serialize};

use super::settings::NetworkSettings;
use super::{Settings, TABLES};

const IDS: [&str; 2] = ["network-between-the-ends", "network-automatic"];

pub(super) fn finding_ids(settings: &NetworkSettings) -> Vec<String> {
    IDS.iter().map(|id| format!("{TABLES}/{}/{id}", settings.dataset)).collect()
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let own = &settings.network;
    let splits = opened(own, Some(Task::Regress), run)?;
    let contest = Contest { part: "network", own, rhos: &settings.rhos, splits: &splits };
    let cells = contest.perform(run)?;
    run.table(table(&contest, &cells, "mean squared error", |error| format!("{error:.4}")));
    let y = "mean squared error, in variances";
    run.plot(&format!("test-error-network-{}", own.dataset), &picture(&contest, &cells, y))?;
    Ok(vec![between(&contest, &cells), automatic(&contest, &cells)])
}

/// Rows of a set in random parts: neither order nor bags follow the time.
pub(super) fn opened(own: &NetworkSettings, task: Option<Task>, run: &Run) -> Result<Splits, LabError> {
    let split = SplitOptions { test: 0.0, validation: 0.0, ..SplitOptions::default() };
    let splits = kiln_data::open(&own.dataset, run.data(), &OpenOptions { task, split, ..OpenOptions::default() })?;
    Ok(splits)
}

/// Networks of all bag sizes, shares and rates on one set.
pub(super) struct Contest<'a> {
    pub(super) part: &'static str,
    pub(super) own: &'a NetworkSettings,
    pub(super) rhos: &'a [f64],
    pub(super) splits: &'a Splits,
}

struct Job {
    bag_size: usize,
    rho: f64,
    rate: f64,
    seed: u64,
}

/// Errors of one network.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Ended {
    /// Of the means of held-out bags: all that a choice may look at. Nothing where the training diverged.
    held_bags: Option<f64>,
    /// Of single test rows: mean squared error in variances, or the share of wrong classes.
    test: Option<f64>,
}

/// Networks of one bag size.
pub(super) struct Cell {
    pub(super) bag_size: usize,
    /// Test error at each share, at the rate with the least error of held-out bags.
    pub(super) errors: Vec<Summary>,
    rates: Vec<f64>,
    /// Test error at the share and rate that the held-out bags of each seed chose.
    pub(super) chosen: Summary,
    pub(super) chosen_rho: Summary,
}

impl Cell {
    pub(super) fn better_end(&self) -> f64 {
        self.errors[0].mean.min(self.errors[self.errors.len() - 1].mean)
    }

    pub(super) fn best_inner(&self) -> usize {
        let inner = 1..self.errors.len() - 1;
        inner.min_by(|&a, &b| self.errors[a].mean.total_cmp(&self.errors[b].mean)).unwrap_or(0)
    }
}

impl Contest<'_> {
    pub(super) fn perform(&self, run: &Run) -> Result<Vec<Cell>, LabError> {
        let seeds = &run.seeds()[..self.own.seeds];
        let mut jobs = Vec::new();
        for &bag_size in &self.own.bag_sizes {
            for &rho in self.rhos {
                for &rate in &self.own.rates {
                    jobs.extend(seeds.iter().map(|&seed| Job { bag_size, rho, rate, seed }));
                }
            }
        }
        let key = |job: &Job| format!("k{}-rho{}-rate{}-seed{}", job.bag_size, job.rho, job.rate, job.seed);
        let ended: Vec<Ended> = run.grid(self.part, &jobs, key, |job, context| self.trained(job, context))?;
        let of_a_size = self.rhos.len() * self.own.rates.len() * seeds.len();
        Ok(self
            .own
            .bag_sizes
            .iter()
            .zip(ended.chunks(of_a_size))
            .map(|(&size, ended)| self.cell(size, ended))
            .collect())
    }

    fn cell(&self, bag_size: usize, ended: &[Ended]) -> Cell {
        const DIVERGED: f64 = f64::INFINITY;
        let (rates, seeds) = (&self.own.rates, self.own.seeds);
        let at = |rho: usize, rate: usize, seed: usize| &ended[(rho * rates.len() + rate) * seeds + seed];
        let held = |rho, rate, seed| at(rho, rate, seed).held_bags.unwrap_or(DIVERGED);
        let test = |rho, rate, seed| at(rho, rate, seed).test.unwrap_or(DIVERGED);
        let mut cell = Cell {
            bag_size,
            errors: Vec::new(),
            rates: Vec::new(),
            chosen: Summary::of(&[]),
            chosen_rho: Summary::of(&[]),
        };
        for rho in 0..self.rhos.len() {
            let held_of = |rate: usize| (0..seeds).map(|seed| held(rho, rate, seed)).sum::<f64>();
            let best = (0..rates.len()).min_by(|&a, &b| held_of(a).total_cmp(&held_of(b))).unwrap_or(0);
            cell.errors.push(Summary::of(&(0..seeds).map(|seed| test(rho, best, seed)).collect::<Vec<f64>>()));
            cell.rates.push(rates[best]);
        }
        let (mut chosen, mut chosen_rho) = (Vec::new(), Vec::new());
        for seed in 0..seeds {
            let all = (0..self.rhos.len()).flat_map(|rho| (0..rates.len()).map(move |rate| (rho, rate)));
            let least = all.min_by(|a, b| held(a.0, a.1, seed).total_cmp(&held(b.0, b.1, seed)));
            let (rho, rate) = least.unwrap_or((0, 0));
            chosen.push(test(rho, rate, seed));
            chosen_rho.push(self.rhos[rho]);
        }
        Cell { chosen: Summary::of(&chosen), chosen_rho: Summary::of(&chosen_rho), ..cell }
    }

    fn trained(&self, job: &Job, context: &JobContext) -> Result<Ended, LabError> {
        let parts = Parts::new(self.splits, self.own, job.bag_size, job.seed)?;
        let objective = BagObjective::new(bag_loss(&parts.targets, job.rho)?)?;
        let (shape, outputs) = (self.splits.train.input_shape(), self.splits.train.num_classes());
        let network = NetworkConfig::mlp(self.own.hidden.clone())
            .init_seeded(shape, outputs, job.seed, &context.device())
            .map_err(LabError::method)?;
        let settings = FitSettings {
            epochs: self.own.epochs,
            batch_size: parts.train.bags_a_batch(self.own.batch_size),
            learning_rate: job.rate,
            schedule: Schedule::Cosine { warmup: 0.0 },
            seed: job.seed,
        };
        let optimizer = OPTIMIZERS.build(&Selector::named("adam"))?;
        match fit(network, &parts.train, None, &objective, optimizer, &settings, context) {
            Ok(fitted) => Ok(parts.judged(&fitted.network, &objective, self.splits, context)),
            Err(LabError::Diverged { .. }) => Ok(Ended { held_bags: None, test: None }),
            Err(error) => Err(error),
        }
    }
}

/// One division of a set: training bags, held-out bags, and single rows to test on.
struct Parts {
    train: BagExamples,
    held: BagExamples,
    test: ArrayDataset,
    targets: TargetEncoding,
}

impl Parts {
    /// A fifth of the rows is for the test, a fifth of the bags of the others is held out.
    fn new(splits: &Splits, own: &NetworkSettings, bag_size: usize, seed: u64) -> Result<Self, LabError> {
        const FIFTH: f64 = 0.2;
        let all = &splits.train;
        let order = permutation(all.len(), seed);
        let (test, rest) = order.split_at((FIFTH * order.len() as f64).round() as usize);
        let learnt = all.select(&rest[..rest.len().min(own.max_train)]);
        let bags = Bags::random(learnt.len(), bag_size, seed, Leftover::Drop)?;
        let held = bags.hold_back(FIFTH, seed);
        let (train_bags, held_bags) = (bags.select(&held.kept), bags.select(&held.held));
        // Numbers are centred by the means of the bags that are learnt from; their unit is that of the whole set.
        let targets = scaled(&splits.preprocessing.targets, &learnt, &train_bags);
        let examples = |bags: &Bags| BagExamples::new(&learnt, bags, &targets);
        Ok(Self { train: examples(&train_bags), held: examples(&held_bags), test: all.select(test), targets })
    }

    fn judged(&self, network: &Network, objective: &BagObjective, splits: &Splits, context: &JobContext) -> Ended {
        let device = context.device();
        let bags: Vec<usize> = (0..self.held.len()).collect();
        let (inputs, targets) = self.held.examples(&bags, 1, &device);
        let batch = Batch { inputs, targets, step: 0, epoch: 1, last: true, rows: bags };
        let held_bags = scalar(&objective.on_batch(network, &batch).0);
        let preprocessing = kiln_data::Preprocessing { targets: self.targets.clone(), ..splits.preprocessing.clone() };
        let test = match (Figures::of(network, &self.test, &preprocessing, &device), &self.targets) {
            (Figures::Classes(found), _) => 1.0 - found.accuracy,
            (Figures::Values(found), TargetEncoding::Values { deviations, .. }) => {
                (found.rmse / f64::from(deviations[0])).powi(2)
            }
            (Figures::Values(found), _) => found.rmse.powi(2),
        };
        let finite = |error: f64| error.is_finite().then_some(error);
        Ended { held_bags: finite(held_bags), test: finite(test) }
    }
}

fn scaled(targets: &TargetEncoding, learnt: &ArrayDataset, bags: &Bags) -> TargetEncoding {
    let TargetEncoding::Values { columns, deviations, .. } = targets else { return targets.clone() };
    let numbers: Vec<f32> = (0..learnt.len()).flat_map(|row| learnt.values(row)).collect();
    let means = bags.means(&numbers, 1);
    let mean = means.iter().sum::<f64>() / means.len().max(1) as f64;
    TargetEncoding::Values { columns: columns.clone(), means: vec![mean as f32], deviations: deviations.clone() }
}

pub(super) fn table(contest: &Contest<'_>, cells: &[Cell], what: &str, shown: impl Fn(f64) -> String) -> Table {
    let headings = ["bag size".to_string()].into_iter();
    let headings = headings.chain(contest.rhos.iter().map(|rho| format!("rho {rho}")));
    let headings = headings.chain(["chosen by held-out bags", "its rho"].map(String::from));
    let mut table = Table::new(format!("Test {what} on {} by bag size and share", contest.own.dataset), headings);
    for cell in cells {
        let errors =
            cell.errors.iter().zip(&cell.rates).map(|(error, rate)| format!("{} (rate {rate})", shown(error.mean)));
        let chosen = [shown(cell.chosen.mean), cell.chosen_rho.to_string()];
        table.push([cell.bag_size.to_string()].into_iter().chain(errors).chain(chosen));
    }
    table
}

pub(super) fn picture(contest: &Contest<'_>, cells: &[Cell], y: &str) -> Plot {
    let mut plot = Plot::line(format!("Networks on {}", contest.own.dataset), "rho", y);
    for cell in cells {
        let mut series = Series::new(format!("bags of {}", cell.bag_size));
        for (&rho, error) in contest.rhos.iter().zip(&cell.errors) {
            series.points.push(kiln_lab::plot::Point { x: rho, y: error.mean, std: error.std });
        }
        plot = plot.series(series);
    }
    plot
}

fn between(contest: &Contest<'_>, cells: &[Cell]) -> Finding {
    let set = &contest.own.dataset;
    Finding::new(
        format!("{TABLES}/{set}/{}", IDS[0]),
        format!("a network on {set} has no more test error at some share between the levels than at both"),
    )
    .paper(
        "on Boston Housing with a network of 4 layers the best share is between the ends; figures not verified by us",
    )
    .bound("for every bag size, in the mean over the seeds")
    .measured(format!("less error than the better end by {}", gains(contest, cells)))
    .held_if(cells.iter().all(|cell| cell.errors[cell.best_inner()].mean <= cell.better_end()))
}

/// The gain of the best share between the ends at each bag size, in words.
pub(super) fn gains(contest: &Contest<'_>, cells: &[Cell]) -> String {
    let text: Vec<String> = cells
        .iter()
        .map(|cell| {
            let best = cell.best_inner();
            let gain = 100.0 * (1.0 - cell.errors[best].mean / cell.better_end());
            format!("bags of {}: {gain:+.2} % at rho {}", cell.bag_size, contest.rhos[best])
        })
        .collect();
    text.join(", ")
}

fn automatic(contest: &Contest<'_>, cells: &[Cell]) -> Finding {
    let set = &contest.own.dataset;
    let gain = |cell: &Cell, error: f64| 1.0 - error / cell.better_end();
    let text: Vec<String> = cells
        .iter()
        .map(|cell| {
            format!(
                "bags of {}: {:+.2} % at rho {}",
                cell.bag_size,
                100.0 * gain(cell, cell.chosen.mean),
                cell.chosen_rho
            )
        })
        .collect();
    Finding::new(
        format!("{TABLES}/{set}/{}", IDS[1]),
        format!("of a network on {set} the share and rate that held-out bags choose, beside the better end"),
    )
    .measured(text.join(", "))
}
