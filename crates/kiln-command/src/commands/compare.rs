//! `kiln compare`: losses and optimizers under one budget.

use std::path::PathBuf;
use std::process::ExitCode;

use kiln_data::{OpenOptions, SplitOptions, open};
use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::train::{
    Evaluation, FitSettings, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, Selector, fit, predict_probabilities,
};
use kiln_lab::{LabError, Plot, Run, RunOptions, Scale, Table, Verdict};
use serde::{Deserialize, Serialize};

use crate::cli::Global;
use crate::failure::{CommandResult, Failure};

/// What to compare, on what, and with which budget. Every combination gets the same seeds, splits and steps.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
#[command(after_help = "Examples:\n  kiln compare --data digits --loss cross-entropy,mae,z-loss --seeds 3\n  \
                        kiln compare --data wine --optimizer adam:beta-1=0.8,beta-2=0.99,diffgrad,sgdm --lr 0.01 --epochs 30")]
pub struct CompareArgs {
    /// Name of a data set, or a file or folder of your own
    #[arg(long, value_name = "DATA")]
    data: String,
    /// Column to predict [default: the last one]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Network, as NAME or NAME:key=value,...
    #[arg(long, value_name = "MODEL", default_value = "mlp")]
    model: Selector,
    // The full path keeps clap from reading a list of arguments: the one argument is a list by itself.
    /// Losses, as NAME or NAME:key=value,..., joined by commas
    #[arg(long, value_name = "LOSS,...", default_value = "cross-entropy", value_parser = Selector::list)]
    loss: std::vec::Vec<Selector>,
    /// Optimizers, as NAME or NAME:key=value,..., joined by commas
    #[arg(long, value_name = "OPTIMIZER,...", default_value = "adam", value_parser = Selector::list)]
    optimizer: std::vec::Vec<Selector>,
    /// Passes over the training rows
    #[arg(long, value_name = "N", default_value_t = 10)]
    epochs: usize,
    /// Rows a step
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch_size: usize,
    /// Learning rates; the one with the best validation accuracy is chosen for each combination
    #[arg(long, value_name = "RATE", value_delimiter = ',', default_value = "0.001")]
    lr: Vec<f64>,
    /// Change of the learning rate: constant, cosine, linear or step
    #[arg(long, value_name = "SCHEDULE", default_value = "constant")]
    schedule: Selector,
    /// Number of seeds
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Figure to sort by: accuracy, log-loss, brier, calibration-error or macro-f1
    #[arg(long, value_name = "METRIC", default_value = "accuracy")]
    metric: Metric,
    /// Device to train on
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Folder in which the run's folder is made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Metric {
    Accuracy,
    LogLoss,
    Brier,
    CalibrationError,
    MacroF1,
}

impl Metric {
    fn of(self, evaluation: &Evaluation) -> f64 {
        match self {
            Self::Accuracy => evaluation.accuracy,
            Self::LogLoss => evaluation.log_loss,
            Self::Brier => evaluation.brier,
            Self::CalibrationError => evaluation.calibration_error,
            Self::MacroF1 => evaluation.macro_f1,
        }
    }

    fn larger_is_better(self) -> bool {
        matches!(self, Self::Accuracy | Self::MacroF1)
    }

    fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_string()).unwrap_or_default()
    }
}

/// Trains every combination and prints them from best to worst.
pub fn run(args: CompareArgs, global: &Global) -> CommandResult {
    check(&args)?;
    let mut options = RunOptions::new(Scale::Full, args.out.clone(), global.data());
    options.device = args.device.clone();
    options.show_progress = !global.json;
    let seeds: Vec<u64> = (1..=args.seeds).collect();
    let settings = toml::Table::try_from(&args).map_err(LabError::method)?;
    let mut run = Run::start("compare", settings, seeds, &options)?;
    perform(&args, &mut run, global)
}

/// Goes on with a comparison that was interrupted.
pub fn resume(mut run: Run, global: &Global) -> CommandResult {
    let args: CompareArgs = run.settings().clone().try_into().map_err(LabError::method)?;
    perform(&args, &mut run, global)
}

fn check(args: &CompareArgs) -> Result<(), Failure> {
    for loss in &args.loss {
        LOSSES.build(loss)?;
    }
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

/// One training of the cross product.
struct Job<'a> {
    loss: &'a Selector,
    optimizer: &'a Selector,
    rate: f64,
    seed: u64,
}

#[derive(Serialize, Deserialize)]
struct Outcome {
    validation_accuracy: f64,
    /// Nothing when the training diverged.
    test: Option<Evaluation>,
}

fn perform(args: &CompareArgs, run: &mut Run, global: &Global) -> CommandResult {
    let options = OpenOptions { target: args.target.clone(), split: SplitOptions::default(), ..Default::default() };
    let splits = open(&args.data, run.data(), &options)?;
    if !splits.train.is_classification() {
        let message = format!("--data {}: the target is a number, and `kiln compare` learns classes", args.data);
        return Err(Failure::usage(message));
    }
    let network = MODELS.build(&args.model)?;
    let (shape, classes) = (splits.train.input_shape(), splits.train.num_classes());
    network
        .init_seeded(shape, classes, 1, &run.device())
        .map_err(|error| Failure::usage(format!("--model {}: {error}", args.model)))?;

    let seeds = run.seeds().to_vec();
    let mut jobs = Vec::new();
    for loss in &args.loss {
        for optimizer in &args.optimizer {
            for rate in &args.lr {
                jobs.extend(seeds.iter().map(|seed| Job { loss, optimizer, rate: *rate, seed: *seed }));
            }
        }
    }
    let key = |job: &Job<'_>| format!("{} {} lr {} seed {}", job.loss, job.optimizer, job.rate, job.seed);
    let outcomes = run.grid("train", &jobs, key, |job, context| {
        let device = context.device();
        let settings = FitSettings {
            epochs: args.epochs,
            batch_size: args.batch_size,
            learning_rate: job.rate,
            schedule: SCHEDULES.build(&args.schedule)?,
            seed: job.seed,
        };
        let network = network.init_seeded(shape, classes, job.seed, &device).map_err(LabError::method)?;
        let (loss, optimizer) = (LOSSES.build(job.loss)?, OPTIMIZERS.build(job.optimizer)?);
        let fitted = match fit(network, &splits.train, Some(&splits.validation), &loss, optimizer, &settings, context) {
            Err(LabError::Diverged { .. }) => return Ok(Outcome { validation_accuracy: 0.0, test: None }),
            other => other?,
        };
        let probabilities = predict_probabilities(&fitted.network, &splits.test, &device);
        let validation_accuracy = fitted.history.last().and_then(|epoch| epoch.validation_accuracy).unwrap_or(0.0);
        Ok(Outcome { validation_accuracy, test: Some(Evaluation::new(&probabilities, &splits.test.labels())) })
    })?;

    let mut entries = choose_rates(args, &jobs, &outcomes);
    let first = entries.first().map(|entry| entry.figures.clone()).unwrap_or_default();
    let sign = if args.metric.larger_is_better() { -1.0 } else { 1.0 };
    entries.sort_by(|a, b| (sign * a.summary().mean).total_cmp(&(sign * b.summary().mean)));
    run.plot("comparison", &picture(args, &entries))?;
    let rows: Vec<Row> = entries.iter().map(|entry| entry.row(&first)).collect();
    run.table(lab_table(args, &rows));
    run.finish(&Verdict::new())?;
    show(args, &rows, run, global)
}

/// One combination at its best learning rate.
struct Entry {
    loss: String,
    optimizer: String,
    rate: f64,
    figures: Vec<f64>,
    diverged: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    loss: String,
    optimizer: String,
    learning_rate: f64,
    mean: f64,
    standard_deviation: f64,
    seeds: usize,
    diverged: usize,
    /// Mean and half width of the 95 % interval of the paired difference to the first combination.
    difference: Option<(f64, f64)>,
}

fn choose_rates(args: &CompareArgs, jobs: &[Job<'_>], outcomes: &[Outcome]) -> Vec<Entry> {
    let per_rate = args.seeds as usize;
    let per_entry = per_rate * args.lr.len();
    jobs.chunks(per_entry)
        .zip(outcomes.chunks(per_entry))
        .filter_map(|(jobs, outcomes)| {
            let validation = |outcomes: &[Outcome]| outcomes.iter().map(|o| o.validation_accuracy).sum::<f64>();
            let (jobs, outcomes) = jobs
                .chunks(per_rate)
                .zip(outcomes.chunks(per_rate))
                .max_by(|a, b| validation(a.1).total_cmp(&validation(b.1)))?;
            let tests: Vec<&Evaluation> = outcomes.iter().filter_map(|outcome| outcome.test.as_ref()).collect();
            Some(Entry {
                loss: jobs[0].loss.to_string(),
                optimizer: jobs[0].optimizer.to_string(),
                rate: jobs[0].rate,
                figures: tests.iter().map(|test| args.metric.of(test)).collect(),
                diverged: outcomes.len() - tests.len(),
            })
        })
        .collect()
}

impl Entry {
    fn summary(&self) -> Summary {
        Summary::of(&self.figures)
    }

    fn row(&self, first: &[f64]) -> Row {
        let summary = self.summary();
        let comparable = self.figures.len() == first.len() && first.len() > 1;
        let difference = comparable.then(|| paired_difference(&self.figures, first));
        let difference =
            difference.map(|paired| (paired.difference.mean, paired.interval.high - paired.difference.mean));
        Row {
            loss: self.loss.clone(),
            optimizer: self.optimizer.clone(),
            learning_rate: self.rate,
            mean: summary.mean,
            standard_deviation: summary.std,
            seeds: self.figures.len(),
            diverged: self.diverged,
            difference,
        }
    }
}

fn cells(row: &Row) -> [String; 6] {
    let diverged = if row.diverged > 0 { format!(" ({} diverged)", row.diverged) } else { String::new() };
    let difference = match row.difference {
        Some((mean, half)) => format!("{mean:+.4} +- {half:.4}"),
        None => "-".to_string(),
    };
    [
        row.loss.clone(),
        row.optimizer.clone(),
        row.learning_rate.to_string(),
        format!("{:.4}", row.mean),
        format!("{:.4}{diverged}", row.standard_deviation),
        difference,
    ]
}

const HEADINGS: [&str; 6] = ["loss", "optimizer", "lr", "mean", "sd", "paired difference to the first, 95 %"];

fn lab_table(args: &CompareArgs, rows: &[Row]) -> Table {
    let title = format!("{} on the test rows of {}", args.metric.name(), args.data);
    let mut table = Table::new(title, HEADINGS);
    for row in rows {
        table.push(cells(row));
    }
    table
}

fn picture(args: &CompareArgs, entries: &[Entry]) -> Plot {
    let title = format!("{} on {}", args.metric.name(), args.data);
    entries.iter().fold(Plot::bars(title, args.metric.name()), |plot, entry| {
        plot.bar(format!("{} / {}", entry.loss, entry.optimizer), &entry.summary())
    })
}

fn show(args: &CompareArgs, rows: &[Row], run: &Run, global: &Global) -> CommandResult {
    if global.json {
        println!("{}", serde_json::to_string(rows).map_err(LabError::method)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", lab_table(args, rows).terminal());
    println!("\npicture: {}", run.artifacts().join("comparison.png").display());
    Ok(ExitCode::SUCCESS)
}
