//! Networks that learn from bags: of numbers on the largest table, and of class proportions (see `classification`).

use kiln_data::split::permutation;
use kiln_data::{ArrayDataset, Bags, Leftover, OpenOptions, SplitOptions, Splits, TargetEncoding, Task};
use kiln_lab::statistics::Summary;
use kiln_lab::train::{
    BagExamples, BagObjective, Figures, FitSettings, OPTIMIZERS, Schedule, Selector, bag_loss, choose_rho, fit,
};
use kiln_lab::{Finding, JobContext, LabError, Plot, Run, Series, Table};
use kiln_nn::{Network, NetworkConfig};
use serde::{Deserialize, Serialize};

use super::gains::{self, ByShare, Choice};
use super::settings::NetworkSettings;
use super::{DIVISIONS, Settings, TABLES};

const IDS: [&str; 2] = ["network-between-the-ends", "network-automatic"];

pub(super) fn finding_ids(settings: &NetworkSettings) -> Vec<String> {
    IDS.iter().map(|id| format!("{TABLES}/{}/{id}", settings.dataset)).collect()
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let own = &settings.network;
    let splits = opened(own, Some(Task::Regress), run)?;
    let contest = Contest { part: "network", own, settings, splits: &splits };
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
    pub(super) settings: &'a Settings,
    pub(super) splits: &'a Splits,
}

struct Job {
    bag_size: usize,
    rate: f64,
    seed: u64,
}

/// What networks of one bag size, rate and seed showed at each share; nothing where a training diverged.
#[derive(Serialize, Deserialize)]
struct Shown {
    /// Mean error of the means of held-out bags in the cross-validation: all that a choice may look at.
    held_out: Vec<Option<f64>>,
    /// Error on single test rows of the network that learnt from all bags: mean squared error in variances, or the share of
    /// wrong classes.
    test: Vec<Option<f64>>,
}

impl Shown {
    fn held_out(&self, rho: usize) -> f64 {
        self.held_out[rho].unwrap_or(f64::INFINITY)
    }

    fn test(&self, rho: usize) -> f64 {
        self.test[rho].unwrap_or(f64::INFINITY)
    }
}

/// Networks of one bag size, over the seeds.
pub(super) struct Cell {
    /// Test errors, each at the rate with the least error of held-out bags.
    pub(super) by_share: ByShare,
    rates: Vec<f64>,
    /// What the held-out bags of each seed chose, share and rate.
    pub(super) chosen: Choice,
}

impl Contest<'_> {
    pub(super) fn perform(&self, run: &Run) -> Result<Vec<Cell>, LabError> {
        let seeds = &run.seeds()[..self.own.seeds];
        let mut jobs = Vec::new();
        for &bag_size in &self.own.bag_sizes {
            for &rate in &self.own.rates {
                jobs.extend(seeds.iter().map(|&seed| Job { bag_size, rate, seed }));
            }
        }
        let key = |job: &Job| format!("k{}-rate{}-seed{}", job.bag_size, job.rate, job.seed);
        let shown: Vec<Shown> = run.grid(self.part, &jobs, key, |job, context| self.trained(job, context))?;
        let of_a_size = self.own.rates.len() * seeds.len();
        let cells = self.own.bag_sizes.iter().zip(shown.chunks(of_a_size));
        Ok(cells.map(|(&bag_size, shown)| self.cell(bag_size, shown)).collect())
    }

    pub(super) fn rhos(&self) -> &[f64] {
        &self.settings.rhos
    }

    /// Of networks by rate and seed.
    fn cell(&self, bag_size: usize, shown: &[Shown]) -> Cell {
        let by_rate: Vec<&[Shown]> = shown.chunks(self.own.seeds).collect();
        let (mut errors, mut rates) = (Vec::new(), Vec::new());
        for rho in 0..self.rhos().len() {
            let held_out = |rate: usize| by_rate[rate].iter().map(|one| one.held_out(rho)).sum::<f64>();
            let best = (0..by_rate.len()).min_by(|&a, &b| held_out(a).total_cmp(&held_out(b))).unwrap_or(0);
            errors.push(Summary::of(&by_rate[best].iter().map(|one| one.test(rho)).collect::<Vec<f64>>()));
            rates.push(self.own.rates[best]);
        }
        let (mut chosen, mut chosen_rho) = (Vec::new(), Vec::new());
        for seed in 0..self.own.seeds {
            let all = (0..self.rhos().len()).flat_map(|rho| by_rate.iter().map(move |of_rate| (rho, &of_rate[seed])));
            if let Some((rho, one)) = all.min_by(|(a, one), (b, other)| one.held_out(*a).total_cmp(&other.held_out(*b)))
            {
                chosen.push(one.test(rho));
                chosen_rho.push(self.rhos()[rho]);
            }
        }
        let chosen = Choice { error: Summary::of(&chosen), rho: Summary::of(&chosen_rho) };
        Cell { by_share: ByShare { bag_size, errors }, rates, chosen }
    }

    fn trained(&self, job: &Job, context: &JobContext) -> Result<Shown, LabError> {
        let parts = Parts::new(self.splits, self.own, job.bag_size, job.seed)?;
        let cross_validation = self.settings.cross_validation(DIVISIONS)?;
        let train = |objective: &BagObjective, bags: &BagExamples| self.network(objective, bags, job, context);
        let loss = bag_loss(&parts.targets, 0.0)?;
        let found = choose_rho(&loss, &parts.train, &cross_validation, job.seed, train)?;
        let tested = |&rho: &f64| match train(&BagObjective::new(loss.at(rho)?)?, &parts.train) {
            Ok(network) => Ok(finite(parts.test_error(&network, self.splits, context))),
            Err(LabError::Diverged { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        Ok(Shown {
            held_out: found.errors.iter().map(|error| finite(error.mean)).collect(),
            test: self.rhos().iter().map(tested).collect::<Result<_, _>>()?,
        })
    }

    fn network(
        &self,
        objective: &BagObjective,
        bags: &BagExamples,
        job: &Job,
        context: &JobContext,
    ) -> Result<Network, LabError> {
        let (shape, outputs) = (self.splits.train.input_shape(), self.splits.train.num_classes());
        let network = NetworkConfig::mlp(self.own.hidden.clone())
            .init_seeded(shape, outputs, job.seed, &context.device())
            .map_err(LabError::method)?;
        let settings = FitSettings {
            epochs: self.own.epochs,
            batch_size: bags.bags_a_batch(self.own.batch_size),
            learning_rate: job.rate,
            schedule: Schedule::Cosine { warmup: 0.0 },
            seed: job.seed,
        };
        let optimizer = OPTIMIZERS.build(&Selector::named("adam"))?;
        Ok(fit(network, bags, None, objective, optimizer, &settings, context)?.network)
    }
}

fn finite(error: f64) -> Option<f64> {
    error.is_finite().then_some(error)
}

/// One division of a set: bags to learn from, and single rows to test on.
struct Parts {
    train: BagExamples,
    test: ArrayDataset,
    targets: TargetEncoding,
}

impl Parts {
    /// A fifth of the rows is for the test.
    fn new(splits: &Splits, own: &NetworkSettings, bag_size: usize, seed: u64) -> Result<Self, LabError> {
        const FIFTH: f64 = 0.2;
        let all = &splits.train;
        let order = permutation(all.len(), seed);
        let (test, rest) = order.split_at((FIFTH * order.len() as f64).round() as usize);
        let learnt = all.select(&rest[..rest.len().min(own.max_train)]);
        let bags = Bags::random(learnt.len(), bag_size, seed, Leftover::Drop)?;
        let targets = scaled(&splits.preprocessing.targets, &learnt, &bags);
        Ok(Self { train: BagExamples::new(&learnt, &bags, &targets), test: all.select(test), targets })
    }

    /// Share of wrong classes, or mean squared error in variances of the whole set.
    fn test_error(&self, network: &Network, splits: &Splits, context: &JobContext) -> f64 {
        let preprocessing = kiln_data::Preprocessing { targets: self.targets.clone(), ..splits.preprocessing.clone() };
        match (Figures::of(network, &self.test, &preprocessing, &context.device()), &splits.preprocessing.targets) {
            (Figures::Classes(found), _) => 1.0 - found.accuracy,
            (Figures::Values(found), TargetEncoding::Values { deviations, .. }) => {
                (found.rmse / f64::from(deviations[0])).powi(2)
            }
            (Figures::Values(found), _) => found.rmse.powi(2),
        }
    }
}

/// Numbers are centred and scaled by the means of the bags that are learnt from, for more is not known of them.
fn scaled(targets: &TargetEncoding, learnt: &ArrayDataset, bags: &Bags) -> TargetEncoding {
    let TargetEncoding::Values { columns, .. } = targets else { return targets.clone() };
    let numbers: Vec<f32> = (0..learnt.len()).flat_map(|row| learnt.values(row)).collect();
    let Summary { mean, std, .. } = Summary::of(&bags.means(&numbers, 1));
    let deviation = if std > 0.0 { std } else { 1.0 };
    TargetEncoding::Values { columns: columns.clone(), means: vec![mean as f32], deviations: vec![deviation as f32] }
}

pub(super) fn table(contest: &Contest<'_>, cells: &[Cell], what: &str, shown: impl Fn(f64) -> String) -> Table {
    let headings = ["bag size".to_string()].into_iter();
    let headings = headings.chain(contest.rhos().iter().map(|rho| format!("rho {rho}")));
    let headings = headings.chain(["chosen by held-out bags", "its rho"].map(String::from));
    let mut table = Table::new(format!("Test {what} on {} by bag size and share", contest.own.dataset), headings);
    for cell in cells {
        let errors = cell.by_share.errors.iter().zip(&cell.rates);
        let errors = errors.map(|(error, rate)| format!("{} (rate {rate})", shown(error.mean)));
        let chosen = [shown(cell.chosen.error.mean), cell.chosen.rho.to_string()];
        table.push([cell.by_share.bag_size.to_string()].into_iter().chain(errors).chain(chosen));
    }
    table
}

pub(super) fn picture(contest: &Contest<'_>, cells: &[Cell], y: &str) -> Plot {
    let mut plot = Plot::line(format!("Networks on {}", contest.own.dataset), "rho", y);
    for cell in cells {
        let mut series = Series::new(format!("bags of {}", cell.by_share.bag_size));
        for (&rho, error) in contest.rhos().iter().zip(&cell.by_share.errors) {
            series.points.push(kiln_lab::plot::Point { x: rho, y: error.mean, std: error.std });
        }
        plot = plot.series(series);
    }
    plot
}

fn between(contest: &Contest<'_>, cells: &[Cell]) -> Finding {
    let set = &contest.own.dataset;
    let finding = Finding::new(
        format!("{TABLES}/{set}/{}", IDS[0]),
        format!("a network on {set} has no more test error at some share between the levels than at both"),
    )
    .paper(
        "on Boston Housing with a network of 4 layers the best share is between the ends; figures not verified by us",
    );
    let by_share: Vec<&ByShare> = cells.iter().map(|cell| &cell.by_share).collect();
    gains::between(finding, contest.rhos(), &by_share)
}

fn automatic(contest: &Contest<'_>, cells: &[Cell]) -> Finding {
    let set = &contest.own.dataset;
    let finding = Finding::new(
        format!("{TABLES}/{set}/{}", IDS[1]),
        format!(
            "of a network on {set} the share that cross-validation over bags chooses keeps at least half of the gain"
        ),
    )
    .note("the learning rate is chosen by the same held-out bags");
    let choices: Vec<(&ByShare, Choice)> = cells.iter().map(|cell| (&cell.by_share, cell.chosen)).collect();
    gains::keeps_half(finding, &choices)
}
