//! `kiln compare`: losses and optimizers under one budget.

use std::cmp::Ordering;
use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use kiln_data::{ArrayDataset, DataDir, LabelNoise, Splits, Task, open};
use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::train::{
    Evaluation, Figures, FitSettings, Fitting, LOSSES, MODELS, OPTIMIZERS, PreparedRows, RegressionEvaluation,
    SCHEDULES, Selector, build_objective, default_loss, gives_probabilities, task_of,
};
use kiln_lab::{JobContext, LabError, Plot, Run, RunOptions, Scale, Table, Verdict};
use kiln_nn::{Network, NetworkConfig};
use serde::{Deserialize, Serialize};

use super::train::hold_to;
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output::print_line;
use crate::reading::ReadingArgs;

/// What to compare, on what, and with which budget. Every combination gets the same seeds, splits and steps; a loss that
/// draws follows the seed of the training, unless it is given a seed of its own.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
#[command(after_help = "Examples:\n  kiln compare --data digits --loss cross-entropy,mae,z-loss --seeds 3\n  \
                        kiln compare --data wine --optimizer adam:beta-1=0.8,beta-2=0.99,diffgrad,sgdm --lr 0.01 --epochs 30\n  \
                        kiln compare --data sonar --loss logistic,hinge --optimizer sgdm --lr 0.01,0.03 --seeds 10 --resplit\n  \
                        kiln compare --data bikeshare --loss mse,l1,huber:delta=0.5 --metric mae --epochs 3 --seeds 2")]
pub struct CompareArgs {
    /// Name of a data set, or a file or folder of your own
    #[arg(long, value_name = "DATA")]
    data: String,
    #[command(flatten)]
    #[serde(flatten)]
    reading: ReadingArgs,
    /// Noise on the labels of the training and validation rows, the same for every seed: uniform:RATE, pair:RATE (to the
    /// next class), asymmetric:RATE:FROM/TO,..., matrix:FILE or annotators:FILE
    #[arg(long, value_name = "NOISE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label_noise: Option<LabelNoise>,
    /// Network, as NAME or NAME:key=value,...
    #[arg(long, value_name = "MODEL", default_value = "mlp")]
    model: Selector,
    // The full path keeps clap from reading a list of arguments: the one argument is a list by itself.
    /// Losses, as NAME or NAME:key=value,..., joined by commas [default: cross-entropy for classes, mse for numbers]
    #[arg(long, value_name = "LOSS,...", value_parser = Selector::list)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss: Option<std::vec::Vec<Selector>>,
    /// Optimizers, as NAME or NAME:key=value,..., joined by commas
    #[arg(long, value_name = "OPTIMIZER,...", default_value = "adam", value_parser = Selector::list)]
    optimizer: std::vec::Vec<Selector>,
    /// Passes over the training rows
    #[arg(long, value_name = "N", default_value_t = 10)]
    epochs: usize,
    /// Rows a step
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch_size: usize,
    /// Learning rates; the one with the best figure on the validation rows is chosen for each combination
    #[arg(allow_hyphen_values = true, long, value_name = "RATE", value_delimiter = ',', default_value = "0.001")]
    lr: Vec<f64>,
    /// Change of the learning rate: constant, cosine, linear or step
    #[arg(long, value_name = "SCHEDULE", default_value = "constant")]
    schedule: Selector,
    /// Number of seeds
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Divide the rows anew for each seed, where the data brings no test rows of its own: the differences are then over
    /// test rows as well
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    resplit: bool,
    /// Figure to sort by: accuracy, log-loss, brier, calibration-error or macro-f1 of classes, rmse, mae or r2 of numbers
    /// [default: accuracy or rmse]
    #[arg(long, value_name = "METRIC")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metric: Option<Metric>,
    /// Device to train on
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Folder in which the run's folder is made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Metric {
    Accuracy,
    LogLoss,
    Brier,
    CalibrationError,
    MacroF1,
    Rmse,
    Mae,
    R2,
}

impl Metric {
    /// What is compared where nothing is said.
    fn of_task(task: Task) -> Self {
        match task {
            Task::Classify => Self::Accuracy,
            Task::Regress => Self::Rmse,
        }
    }

    /// The figure; nothing where the rows do not have it.
    fn of(self, figures: &Figures) -> Option<f64> {
        match figures {
            Figures::Classes(found) => self.of_classes(found),
            Figures::Values(found) => self.of_values(found),
        }
    }

    fn of_classes(self, found: &Evaluation) -> Option<f64> {
        match self {
            Self::Accuracy => Some(found.accuracy),
            Self::LogLoss => Some(found.log_loss),
            Self::Brier => Some(found.brier),
            Self::CalibrationError => Some(found.calibration_error),
            Self::MacroF1 => Some(found.macro_f1),
            Self::Rmse | Self::Mae | Self::R2 => None,
        }
    }

    fn of_values(self, found: &RegressionEvaluation) -> Option<f64> {
        match self {
            Self::Rmse => Some(found.rmse),
            Self::Mae => Some(found.mae),
            Self::R2 => found.r2,
            _ => None,
        }
    }

    /// The figure with its sign such that less is better.
    fn cost(self, figure: f64) -> f64 {
        if matches!(self, Self::Accuracy | Self::MacroF1 | Self::R2) { -figure } else { figure }
    }

    /// Whether it judges probabilities, which some losses do not give.
    fn needs_probabilities(self) -> bool {
        matches!(self, Self::LogLoss | Self::Brier | Self::CalibrationError)
    }

    /// What it judges.
    fn task(self) -> Task {
        if matches!(self, Self::Rmse | Self::Mae | Self::R2) { Task::Regress } else { Task::Classify }
    }

    fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_string()).unwrap_or_default()
    }
}

/// Trains every combination and prints them from best to worst.
pub fn run(args: CompareArgs, global: &Global) -> CommandResult {
    check(&args)?;
    let (args, problem) = Problem::open(args, &global.data())?;
    let mut options = RunOptions::new(Scale::Full, args.out.clone(), global.data());
    options.device = args.device.clone();
    options.show_progress = !global.json;
    let seeds: Vec<u64> = (1..=args.seeds).collect();
    let settings = toml::Table::try_from(&args).map_err(LabError::method)?;
    let mut run = Run::start("compare", settings, seeds, &options)?;
    hold_to(&mut run, &args.data, args.label_noise.as_ref())?;
    attempt(&args, &problem, &mut run, global)
}

/// Goes on with a comparison that was interrupted.
pub fn resume(mut run: Run, global: &Global) -> CommandResult {
    let args: CompareArgs = run.settings().clone().try_into().map_err(LabError::method)?;
    hold_to(&mut run, &args.data, args.label_noise.as_ref())?;
    let (args, problem) = Problem::open(args, run.data())?;
    run.begin_again()?;
    attempt(&args, &problem, &mut run, global)
}

/// Compares, and leaves in the run why that failed, if it did.
fn attempt(args: &CompareArgs, problem: &Problem, run: &mut Run, global: &Global) -> CommandResult {
    perform(args, problem, run, global).inspect_err(|failure| run.fail(failure))
}

fn check(args: &CompareArgs) -> Result<(), Failure> {
    kiln_lab::device::parse(&args.device)?;
    refuse_repeated("lr", &args.lr)?;
    refuse_repeated("optimizer", &args.optimizer)?;
    refuse_repeated("loss", args.loss.as_deref().unwrap_or_default())?;
    for optimizer in &args.optimizer {
        OPTIMIZERS.build(optimizer)?;
    }
    MODELS.build(&args.model)?;
    SCHEDULES.build(&args.schedule)?;
    for (flag, value) in [("epochs", args.epochs), ("batch-size", args.batch_size), ("seeds", args.seeds as usize)] {
        if value == 0 {
            return Err(LabError::setting(flag, value, "at least 1").into());
        }
    }
    match args.lr.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
        Some(rate) => Err(LabError::setting("lr", rate, "a learning rate above 0").into()),
        None => Ok(()),
    }
}

/// Equal combinations would be one training with two names.
fn refuse_repeated<T: PartialEq + std::fmt::Display>(flag: &'static str, values: &[T]) -> Result<(), LabError> {
    let repeated = values.iter().enumerate().find(|(at, value)| values[..*at].contains(value));
    repeated.map_or(Ok(()), |(_, value)| Err(LabError::setting(flag, value, "each one once")))
}

/// Decides which labels are wrong: the rows are the same for every combination and seed.
const NOISE_SEED: u64 = 1;

/// The rows, and a network that takes them.
struct Problem {
    /// One division of the rows, or one for each seed.
    splits: Vec<Splits>,
    network: NetworkConfig,
    losses: Vec<Selector>,
    metric: Metric,
}

impl Problem {
    /// Opens the data, and settles what it decides: the losses and the metric where none is named.
    fn open(mut args: CompareArgs, data: &DataDir) -> Result<(CompareArgs, Self), Failure> {
        let splits = Self::divided(&args, data)?;
        splits[0].notes.iter().for_each(|note| eprintln!("{note}"));
        let task = task_of(&splits[0].train);
        let losses = args.loss.get_or_insert_with(|| vec![default_loss(task)]).clone();
        let metric = *args.metric.get_or_insert(Metric::of_task(task));
        let problem = Self { splits, network: MODELS.build(&args.model)?, losses, metric };
        problem
            .network(1, &Device::default())
            .map_err(|error| Failure::usage(format!("--model {}: {error}", args.model)))?;
        problem.check_losses(task)?;
        Ok((args, problem))
    }

    /// The rows as they are divided by default, or by each of the seeds.
    fn divided(args: &CompareArgs, data: &DataDir) -> Result<Vec<Splits>, Failure> {
        let seeds = if args.resplit { 1..=args.seeds } else { 0..=0 };
        let divided = seeds.map(|seed| {
            let mut options = args.reading.options();
            options.split.seed = seed;
            let splits = open(&args.data, data, &options)?;
            match &args.label_noise {
                Some(noise) => Ok(noise.corrupt_splits(splits, NOISE_SEED)?),
                None => Ok(splits),
            }
        });
        divided.collect()
    }

    /// The rows of a seed, which count from 1.
    fn splits(&self, seed: u64) -> &Splits {
        &self.splits[(seed as usize - 1) % self.splits.len()]
    }

    fn check_losses(&self, task: Task) -> Result<(), Failure> {
        let (metric, name) = (self.metric, self.metric.name());
        if metric.task() != task {
            let (found, fitting) = match task {
                Task::Classify => ("classes", "accuracy, log-loss, brier, calibration-error or macro-f1"),
                Task::Regress => ("numbers", "rmse, mae or r2"),
            };
            return Err(Failure::usage(format!("--metric {name}: the target is {found}; use {fitting}")));
        }
        if metric == Metric::R2 {
            self.require_variation()?;
        }
        for loss in &self.losses {
            build_objective(loss, &self.splits[0].train)?;
            if metric.needs_probabilities() && !gives_probabilities(loss) {
                return Err(Failure::usage(format!(
                    "--metric {name}: {loss} gives no probabilities to judge; use accuracy or macro-f1"
                )));
            }
        }
        Ok(())
    }

    /// R2 is a share of the variance, which a target that is the same in every row does not have.
    fn require_variation(&self) -> Result<(), Failure> {
        for splits in &self.splits {
            for (rows, data) in [("test", &splits.test), ("validation", &splits.validation)] {
                let values: Vec<Vec<f32>> = (0..data.len()).map(|row| data.values(row)).collect();
                let constant = |target: &usize| values.iter().all(|row| row[*target] == values[0][*target]);
                if let Some(target) = (0..data.num_classes()).find(constant) {
                    let name = &data.class_names()[target];
                    return Err(Failure::usage(format!(
                        "--metric r2: {name} is the same in every {rows} row; use rmse or mae"
                    )));
                }
            }
        }
        Ok(())
    }

    fn network(&self, seed: u64, device: &Device) -> Result<Network, LabError> {
        let train = &self.splits(seed).train;
        self.network.init_seeded(train.input_shape(), train.num_classes(), seed, device).map_err(LabError::method)
    }
}

/// One training of the cross product.
struct Job<'a> {
    loss: &'a Selector,
    optimizer: &'a Selector,
    rate: f64,
    seed: u64,
}

/// What a training ended with; nothing when it diverged.
#[derive(Serialize, Deserialize)]
struct Outcome {
    validation: Option<Figures>,
    test: Option<Figures>,
}

fn perform(args: &CompareArgs, problem: &Problem, run: &mut Run, global: &Global) -> CommandResult {
    let seeds = run.seeds().to_vec();
    let mut jobs = Vec::new();
    for loss in &problem.losses {
        for optimizer in &args.optimizer {
            for rate in &args.lr {
                jobs.extend(seeds.iter().map(|seed| Job { loss, optimizer, rate: *rate, seed: *seed }));
            }
        }
    }
    let key = |job: &Job<'_>| format!("{} {} lr {} seed {}", job.loss, job.optimizer, job.rate, job.seed);
    let outcomes = run.grid("train", &jobs, key, |job, context| train(args, problem, job, context))?;

    let metric = problem.metric;
    let mut entries = choose_rates(args, metric, &jobs, &outcomes);
    let first = entries.first().map(|entry| entry.figures.clone()).unwrap_or_default();
    entries.sort_by(|a, b| a.rank(metric).partial_cmp(&b.rank(metric)).unwrap_or(Ordering::Equal));
    run.plot("comparison", &picture(args, metric, &entries))?;
    let rows: Vec<Row> = entries.iter().map(|entry| entry.row(&first)).collect();
    run.table(lab_table(args, metric, &rows));
    if rows.len() > 1 {
        run.note(remark(args));
    }
    run.finish(&Verdict::new())?;
    show(args, metric, &rows, run, global)?;
    if rows.iter().all(|row| row.mean.is_none()) {
        return Err(Failure::Failed("every training diverged: try a smaller --lr".into()));
    }
    Ok(ExitCode::SUCCESS)
}

fn train(args: &CompareArgs, problem: &Problem, job: &Job<'_>, context: &JobContext) -> Result<Outcome, LabError> {
    let (device, splits) = (context.device(), problem.splits(job.seed));
    let settings = FitSettings {
        epochs: args.epochs,
        batch_size: args.batch_size,
        learning_rate: job.rate,
        schedule: SCHEDULES.build(&args.schedule)?,
        seed: job.seed,
    };
    let network = problem.network(job.seed, &device)?;
    let loss = build_objective(&LOSSES.completed(job.loss, "seed", job.seed), &splits.train)?;
    let optimizer = OPTIMIZERS.build(job.optimizer)?;
    let prepared = |data| PreparedRows::new(data, &splits.preprocessing.targets);
    let (rows, validation) = (prepared(&splits.train), prepared(&splits.validation));
    let fitting = Fitting::new(loss.as_ref(), optimizer, &settings);
    let fitted = match fitting.run(network, &rows, Some(&validation), context) {
        Err(LabError::Diverged { .. }) => return Ok(Outcome { validation: None, test: None }),
        other => other?,
    };
    let judge = |data: &ArrayDataset| Figures::of(&fitted.network, data, &splits.preprocessing, &device);
    let (validation, test) = (judge(&splits.validation), judge(&splits.test));
    // The loss before the last step was finite; what the step has left may not be.
    let whole = validation.are_finite() && test.are_finite();
    Ok(Outcome { validation: whole.then_some(validation), test: whole.then_some(test) })
}

/// One combination at its best learning rate.
struct Entry {
    loss: String,
    optimizer: String,
    rate: f64,
    /// One figure a seed; nothing where the training diverged.
    figures: Vec<Option<f64>>,
}

/// How many trainings diverged, then the mean cost of the others: less is better. A mean over the seeds that survived says
/// less than one over all.
fn rank(metric: Metric, figures: impl Iterator<Item = Option<f64>>) -> (usize, f64) {
    let (mut diverged, mut finished) = (0, Vec::new());
    for figure in figures {
        match figure.filter(|figure| figure.is_finite()) {
            Some(figure) => finished.push(metric.cost(figure)),
            None => diverged += 1,
        }
    }
    (diverged, if finished.is_empty() { f64::INFINITY } else { Summary::of(&finished).mean })
}

fn choose_rates(args: &CompareArgs, metric: Metric, jobs: &[Job<'_>], outcomes: &[Outcome]) -> Vec<Entry> {
    let per_rate = args.seeds as usize;
    let per_entry = per_rate * args.lr.len();
    let figure = |figures: &Option<Figures>| figures.as_ref().and_then(|found| metric.of(found));
    let on_validation = |outcomes: &[Outcome]| rank(metric, outcomes.iter().map(|outcome| figure(&outcome.validation)));
    jobs.chunks(per_entry)
        .zip(outcomes.chunks(per_entry))
        .filter_map(|(jobs, outcomes)| {
            let (jobs, outcomes) = jobs
                .chunks(per_rate)
                .zip(outcomes.chunks(per_rate))
                .min_by(|a, b| on_validation(a.1).partial_cmp(&on_validation(b.1)).unwrap_or(Ordering::Equal))?;
            Some(Entry {
                loss: jobs[0].loss.to_string(),
                optimizer: jobs[0].optimizer.to_string(),
                rate: jobs[0].rate,
                figures: outcomes.iter().map(|outcome| figure(&outcome.test)).collect(),
            })
        })
        .collect()
}

impl Entry {
    fn rank(&self, metric: Metric) -> (usize, f64) {
        rank(metric, self.figures.iter().copied())
    }

    fn summary(&self) -> Option<Summary> {
        let finished: Vec<f64> = self.figures.iter().flatten().copied().collect();
        (!finished.is_empty()).then(|| Summary::of(&finished))
    }

    fn row(&self, first: &[Option<f64>]) -> Row {
        let summary = self.summary();
        let pairs = self.figures.iter().zip(first).filter_map(|(own, first)| Some(((*own)?, (*first)?)));
        let (own, first): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let difference = (own.len() > 1).then(|| paired_difference(&own, &first));
        Row {
            loss: self.loss.clone(),
            optimizer: self.optimizer.clone(),
            learning_rate: self.rate,
            mean: summary.as_ref().map(|summary| summary.mean),
            standard_deviation: summary.as_ref().map(|summary| summary.std),
            seeds: self.figures.iter().flatten().count(),
            diverged: self.figures.iter().filter(|figure| figure.is_none()).count(),
            difference: difference
                .map(|paired| (paired.difference.mean, paired.interval.high - paired.difference.mean)),
        }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    loss: String,
    optimizer: String,
    learning_rate: f64,
    /// Over the seeds that finished; nothing when none did.
    mean: Option<f64>,
    standard_deviation: Option<f64>,
    seeds: usize,
    diverged: usize,
    /// Over the seeds on which both finished. Mean and half width of the 95 % interval of the paired difference to the first combination.
    difference: Option<(f64, f64)>,
}

fn cells(row: &Row) -> [String; 6] {
    let diverged = if row.diverged > 0 { format!(" ({} diverged)", row.diverged) } else { String::new() };
    let number = |figure: Option<f64>| figure.map_or("-".to_string(), |figure| format!("{figure:.4}"));
    let difference = match row.difference {
        Some((mean, half)) => format!("{mean:+.4} +- {half:.4}"),
        None => "-".to_string(),
    };
    [
        row.loss.clone(),
        row.optimizer.clone(),
        row.learning_rate.to_string(),
        number(row.mean),
        number(row.standard_deviation) + &diverged,
        difference,
    ]
}

const HEADINGS: [&str; 6] = ["loss", "optimizer", "lr", "mean", "sd", "paired difference to the first, 95 %"];

/// What the differences say, and over what they are.
fn remark(args: &CompareArgs) -> String {
    let division = if args.resplit { "rows divided anew for each seed" } else { "the same test rows for every seed" };
    format!(
        "A difference whose interval leaves out 0 is significant at 5 % (two-sided paired t over the seeds, {division})."
    )
}

fn lab_table(args: &CompareArgs, metric: Metric, rows: &[Row]) -> Table {
    let title = format!("{} on the test rows of {}", metric.name(), args.data);
    let mut table = Table::new(title, HEADINGS);
    for row in rows {
        table.push(cells(row));
    }
    table
}

fn picture(args: &CompareArgs, metric: Metric, entries: &[Entry]) -> Plot {
    let title = format!("{} on {}", metric.name(), args.data);
    entries.iter().fold(Plot::bars(title, metric.name()), |plot, entry| match entry.summary() {
        Some(summary) => plot.bar(format!("{} / {}", entry.loss, entry.optimizer), &summary),
        None => plot,
    })
}

fn show(args: &CompareArgs, metric: Metric, rows: &[Row], run: &Run, global: &Global) -> Result<(), Failure> {
    if global.json {
        print_line(&serde_json::to_string(rows).map_err(LabError::method)?.to_string())?;
    } else {
        print_line(&lab_table(args, metric, rows).terminal().to_string())?;
        if rows.len() > 1 {
            print_line(&format!("\n{}", remark(args)))?;
        }
        print_line(&format!("\npicture: {}", run.artifacts().join("comparison.png").display()))?;
    }
    Ok(())
}
