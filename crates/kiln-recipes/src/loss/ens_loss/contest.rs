//! All losses on all tasks with all networks, each at its own learning rate and all at one.

use kiln_data::Splits;
use kiln_lab::statistics::{Summary, median};
use kiln_lab::train::Selector;
use kiln_lab::{Finding, JobContext, LabError, Measured, Outcome, Run, Table};

use super::pairs::{Standing, Tally, sign_test, standing};
use super::settings::{ENSEMBLE, LOGISTIC};
use super::tasks::Task;
use super::training::{Ended, Plan, train};
use super::{ContestSettings, Settings};

/// Share of the cells in which EnsLoss has to beat the worst fixed loss.
const SHARE: f64 = 0.6;
const SIGNIFICANCE: f64 = 0.05;
/// How far it may fall behind the best fixed loss, in the median over the cells.
const TOLERANCE: f64 = 0.003;

const IDS: [&str; 4] = ["worst-fixed", "logistic", "best-fixed", "shared-rate"];

pub(super) fn finding_ids(part: &str) -> Vec<String> {
    IDS.iter().map(|id| format!("{part}/{id}")).collect()
}

pub(super) fn run(
    part: &str,
    contest: &ContestSettings,
    settings: &Settings,
    run: &mut Run,
) -> Result<Vec<Finding>, LabError> {
    let tasks = Task::open_all(contest, run)?;
    let arena = Arena { part, contest, settings, tasks: &tasks };
    let rates = arena.choose_rates(run)?;
    let tuned = arena.cells(|cell, loss| rates[cell][loss], run)?;
    let shared = arena.cells(|_, _| settings.shared_rate, run)?;
    arena.report(&rates, &tuned, run);
    Ok(vec![arena.worst_fixed(&tuned), arena.logistic(&tuned), arena.best_fixed(&tuned), arena.shared_rate(&shared)])
}

struct Arena<'a> {
    part: &'a str,
    contest: &'a ContestSettings,
    settings: &'a Settings,
    tasks: &'a [Task],
}

/// One training.
struct Job<'a> {
    task: usize,
    model: &'a Selector,
    loss: &'a Selector,
    rate: f64,
    seed: u64,
}

/// Test accuracies on one task with one network, by loss and seed; 0 where a training diverged.
type Cell = Vec<Vec<f64>>;

impl<'a> Arena<'a> {
    /// Task and network of each cell.
    fn places(&self) -> Vec<(usize, &'a Selector)> {
        let models = &self.contest.models;
        (0..self.tasks.len()).flat_map(|task| models.iter().map(move |model| (task, model))).collect()
    }

    fn perform(&self, jobs: &[Job<'a>], run: &Run) -> Result<Vec<Ended>, LabError> {
        let key = |job: &Job<'_>| {
            let task = &self.tasks[job.task].name;
            format!("{task}-{}-{}-rate-{}-seed-{}", job.model, job.loss, job.rate, job.seed)
        };
        let work = |job: &Job<'_>, context: &JobContext| {
            let splits: Splits = self.tasks[job.task].drawn(self.contest.train_rows, job.seed);
            let plan = Plan {
                model: job.model,
                loss: job.loss,
                rate: job.rate,
                weight_decay: self.settings.weight_decay,
                seed: job.seed,
            };
            train(self.contest, &splits, &plan, context)
        };
        run.grid(self.part, jobs, key, work)
    }

    fn seeds(&self, run: &Run) -> Vec<u64> {
        run.seeds().iter().copied().take(self.contest.seeds).collect()
    }

    /// For each cell and loss the rate with the best mean validation accuracy over the tuning seeds.
    fn choose_rates(&self, run: &Run) -> Result<Vec<Vec<f64>>, LabError> {
        let seeds: Vec<u64> = self.seeds(run).into_iter().take(self.settings.tuning_seeds).collect();
        let mut jobs = Vec::new();
        for (task, model) in self.places() {
            for loss in &self.settings.losses {
                for &rate in &self.settings.rates {
                    jobs.extend(seeds.iter().map(|&seed| Job { task, model, loss, rate, seed }));
                }
            }
        }
        let ended = self.perform(&jobs, run)?;
        let merits = ended.chunks(seeds.len().max(1)).map(|ended| {
            // A training that diverged counts as one that learnt nothing.
            ended.iter().map(|ended| ended.validation.unwrap_or(0.0)).sum::<f64>()
        });
        let merits: Vec<f64> = merits.collect();
        let best = |merits: &[f64]| {
            let first = (0, f64::NEG_INFINITY);
            let better =
                |best: (usize, f64), (at, &merit): (usize, &f64)| if merit > best.1 { (at, merit) } else { best };
            self.settings.rates[merits.iter().enumerate().fold(first, better).0]
        };
        let by_loss: Vec<f64> = merits.chunks(self.settings.rates.len()).map(best).collect();
        Ok(by_loss.chunks(self.settings.losses.len()).map(<[f64]>::to_vec).collect())
    }

    fn cells(&self, rate: impl Fn(usize, usize) -> f64, run: &Run) -> Result<Vec<Cell>, LabError> {
        let seeds = self.seeds(run);
        let mut jobs = Vec::new();
        for (cell, (task, model)) in self.places().into_iter().enumerate() {
            for (index, loss) in self.settings.losses.iter().enumerate() {
                let rate = rate(cell, index);
                jobs.extend(seeds.iter().map(|&seed| Job { task, model, loss, rate, seed }));
            }
        }
        let ended = self.perform(&jobs, run)?;
        let by_loss =
            ended.chunks(seeds.len().max(1)).map(|ended| ended.iter().map(|one| one.test.unwrap_or(0.0)).collect());
        let by_loss: Vec<Vec<f64>> = by_loss.collect();
        Ok(by_loss.chunks(self.settings.losses.len()).map(<[Vec<f64>]>::to_vec).collect())
    }

    fn report(&self, rates: &[Vec<f64>], cells: &[Cell], run: &mut Run) {
        let title = format!("Test accuracy on {} (%)", self.part);
        let mut table = Table::new(title, ["task", "network", "loss", "learning rate", "accuracy"]);
        for ((place, rates), cell) in self.places().into_iter().zip(rates).zip(cells) {
            for ((loss, rate), accuracies) in self.settings.losses.iter().zip(rates).zip(cell) {
                let percent: Vec<f64> = accuracies.iter().map(|accuracy| 100.0 * accuracy).collect();
                table.push([
                    self.tasks[place.0].name.clone(),
                    place.1.to_string(),
                    loss.to_string(),
                    rate.to_string(),
                    Summary::of(&percent).to_string(),
                ]);
            }
        }
        run.table(table);
    }

    fn index(&self, name: &str) -> usize {
        self.settings.losses.iter().position(|loss| loss.name() == name).unwrap_or(0)
    }

    /// The fixed losses of a cell, from the worst to the best mean.
    fn fixed<'c>(&self, cell: &'c Cell) -> Vec<&'c Vec<f64>> {
        let own = self.index(ENSEMBLE);
        let mut fixed: Vec<&Vec<f64>> =
            cell.iter().enumerate().filter(|(loss, _)| *loss != own).map(|(_, accuracies)| accuracies).collect();
        fixed.sort_by(|a, b| Summary::of(a).mean.total_cmp(&Summary::of(b).mean));
        fixed
    }

    fn finding(&self, id: usize, statement: &str) -> Finding {
        Finding::new(format!("{}/{}", self.part, IDS[id]), statement)
    }

    fn worst_fixed(&self, cells: &[Cell]) -> Finding {
        let finding = self
            .finding(0, "EnsLoss is significantly better than the worst fixed loss in most cells")
            .paper("against BCE, exponential and hinge: better in most pairs and tables")
            .bound("in at least 60 % of the tasks and networks, each loss at its own rate, paired t at 5 %");
        let Some(tally) = self.tally(cells, |cell| self.fixed(cell)[0]) else { return no_cells(finding) };
        let share = tally.better as f64 / tally.cells() as f64;
        let text = format!("{:.0} % of {} cells; better, even, worse {tally}", 100.0 * share, tally.cells());
        finding.measured(Measured::from(share).text(text)).held_if(share >= SHARE)
    }

    fn logistic(&self, cells: &[Cell]) -> Finding {
        let finding = self
            .finding(1, "EnsLoss is better than the logistic loss in clearly more cells than it is worse")
            .paper("tables (11, 3, 0) with five layers and (9, 4, 1) with one; pairs of images (41, 4, 0) and above")
            .bound("sign test over the cells, p < 0.05");
        let other = self.index(LOGISTIC);
        let Some(tally) = self.tally(cells, |cell| &cell[other]) else { return no_cells(finding) };
        let differences = self.differences(cells, |cell| &cell[other]);
        let wins = differences.iter().filter(|difference| **difference > 0.0).count();
        let losses = differences.iter().filter(|difference| **difference < 0.0).count();
        let p = sign_test(wins, losses);
        let text = format!(
            "mean higher in {wins} cells, lower in {losses}, p = {p:.3}; significantly better, even, worse {tally}; mean \
             {:+.2} points",
            100.0 * Summary::of(&differences).mean
        );
        finding.measured(Measured::from(p).text(text)).held_if(p < SIGNIFICANCE)
    }

    fn best_fixed(&self, cells: &[Cell]) -> Finding {
        let finding = self
            .finding(2, "EnsLoss is about as good as the best fixed loss of each cell, which is only known afterwards")
            .bound("median difference of at least -0.3 points");
        if cells.is_empty() {
            return no_cells(finding);
        }
        let differences = self.differences(cells, |cell| self.fixed(cell)[self.settings.losses.len() - 2]);
        let middle = median(&differences);
        let text = format!("{:+.2} points", 100.0 * middle);
        finding.measured(Measured::from(middle).text(text)).held_if(middle >= -TOLERANCE)
    }

    fn shared_rate(&self, cells: &[Cell]) -> Finding {
        let statement = format!("at the one rate {} for all losses, as the paper compares", self.settings.shared_rate);
        let finding = self.finding(3, &statement);
        let own = self.index(ENSEMBLE);
        let texts: Vec<String> = (0..self.settings.losses.len())
            .filter(|&loss| loss != own)
            .filter_map(|loss| {
                let tally = self.tally(cells, |cell| &cell[loss])?;
                Some(format!("against {} {tally}", self.settings.losses[loss]))
            })
            .collect();
        if texts.is_empty() { no_cells(finding) } else { finding.measured(texts.join(", ")) }
    }

    fn tally<'c>(&self, cells: &'c [Cell], other: impl Fn(&'c Cell) -> &'c Vec<f64>) -> Option<Tally> {
        let own = self.index(ENSEMBLE);
        let standings = cells.iter().map(|cell| standing(&cell[own], other(cell)).1);
        (!cells.is_empty()).then(|| Tally::of(standings.collect::<Vec<Standing>>()))
    }

    fn differences<'c>(&self, cells: &'c [Cell], other: impl Fn(&'c Cell) -> &'c Vec<f64>) -> Vec<f64> {
        let own = self.index(ENSEMBLE);
        cells.iter().map(|cell| standing(&cell[own], other(cell)).0).collect()
    }
}

fn no_cells(finding: Finding) -> Finding {
    finding.outcome(Outcome::NotComparable).note("none of the tasks is in a data directory")
}
