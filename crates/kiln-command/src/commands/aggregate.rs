//! `kiln data aggregate`: means of bags instead of the rows' own targets, with or without noise, and how large to make the bags.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kiln_data::{Bags, Leftover, TargetTable, Task};
use kiln_lab::statistics::figure;
use kiln_lab::{Table, write_whole};
use kiln_loss::aggregate::AggregateError;
use kiln_loss::aggregate::dp::{AccountedRelease, Mechanism, check_range, release};
use kiln_loss::aggregate::risk::{BagPlan, BagProblem, RhoChoice, asymptotic, plans};
use serde_json::json;

use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output::{print, print_line};
use crate::reading;

/// For the help of the action.
pub const EXAMPLES: &str = "Examples:\n  kiln data aggregate diabetes_efron --bag-size 8 --out bags.csv && kiln train --data \
                            bags.csv --bags bag\n  kiln data aggregate diabetes_efron --bag-size 8 --epsilon 1 --clip 25,346 --out \
                            private.csv\n  kiln data aggregate --plan --rows 4000 --features 10 --signal-to-noise 2 --epsilon 1 \
                            --range 4";

/// What to average, and how.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct AggregateArgs {
    /// Name of a data set, or a table of your own
    #[arg(value_name = "DATA", required_unless_present = "plan")]
    data: Option<String>,
    /// Column to average: a number, or classes, of which the proportions are written [default: the last one]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Whether the target is a class or a number [default: text, and whole numbers of at most 20 values, are classes]
    #[arg(long, value_name = "TASK", value_parser = reading::task)]
    task: Option<Task>,
    /// The first line of a table is a row, not the names of the columns
    #[arg(long)]
    no_header: bool,
    /// Rows of a bag, which are drawn at random
    #[arg(long, value_name = "K", conflicts_with = "by")]
    bag_size: Option<usize>,
    /// Column whose equal values are a bag; it is replaced by the column of the bags
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,
    /// Leave out the rows that do not fill a bag; otherwise they are a smaller one
    #[arg(long, requires = "bag_size")]
    drop_leftover: bool,
    /// Decides which rows are in one bag
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Name of the column with the ids of the bags
    #[arg(long, value_name = "NAME", default_value = "bag")]
    bag_column: String,
    /// Add noise to each mean, so that the targets are private: at most this is lost, from 0.001 (most private) to 100
    #[arg(long, value_name = "EPSILON")]
    epsilon: Option<f64>,
    /// Noise of --epsilon: laplace or gaussian [default: laplace]
    #[arg(long, value_name = "NOISE", requires = "epsilon")]
    mechanism: Option<NoiseName>,
    /// Probability with which gaussian noise may lose more
    #[arg(long, value_name = "DELTA", requires = "epsilon")]
    delta: Option<f64>,
    /// Range of a target, LOW,HIGH, known without looking at the targets; what lies outside is clipped to it
    #[arg(long, value_name = "LOW,HIGH", value_parser = range, requires = "epsilon")]
    clip: Option<(f64, f64)>,
    /// Where the table goes, as CSV
    #[arg(long, value_name = "FILE", required_unless_present = "plan")]
    out: Option<PathBuf>,
    /// Say how good a linear model can be for each bag size, and how large a share of the instance level is best
    #[arg(long, conflicts_with_all = ["data", "bag_size", "by", "out", "clip"], requires_all = ["rows", "features", "signal_to_noise"])]
    plan: bool,
    /// Of --plan: number of rows
    #[arg(long, value_name = "N", requires = "plan")]
    rows: Option<usize>,
    /// Of --plan: number of features
    #[arg(long, value_name = "D", requires = "plan")]
    features: Option<usize>,
    /// Of --plan: variance that the features explain over the variance that they do not
    #[arg(long, value_name = "RATIO", requires = "plan")]
    signal_to_noise: Option<f64>,
    /// Of --plan with --epsilon: width of the range of a target, in standard deviations of what the features do not explain
    #[arg(long, value_name = "WIDTH", requires_all = ["plan", "epsilon"])]
    range: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum NoiseName {
    Laplace,
    Gaussian,
}

fn range(text: &str) -> Result<(f64, f64), String> {
    let ends = text.split_once(',').and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
    let ends = ends.ok_or("two numbers joined by a comma are needed, as in 0,100")?;
    check_range(ends).map_err(|error| error.to_string())?;
    Ok(ends)
}

/// Averages, or plans.
pub fn run(args: &AggregateArgs, global: &Global) -> CommandResult {
    let mechanism = mechanism(args)?;
    match (args.plan, &args.data, &args.out) {
        (false, Some(data), Some(out)) => aggregate(args, data, out, mechanism, global),
        _ => plan(args, mechanism, global),
    }
}

fn mechanism(args: &AggregateArgs) -> Result<Option<Mechanism>, Failure> {
    let Some(epsilon) = args.epsilon else { return Ok(None) };
    let built = match (args.mechanism.unwrap_or(NoiseName::Laplace), args.delta) {
        (NoiseName::Laplace, None) => Mechanism::laplace(epsilon),
        (NoiseName::Laplace, Some(delta)) => {
            return Err(Failure::usage(format!("--delta {delta}: laplace noise has none; --mechanism gaussian has")));
        }
        (NoiseName::Gaussian, Some(delta)) => Mechanism::gaussian(epsilon, delta),
        (NoiseName::Gaussian, None) => {
            return Err(Failure::usage(
                "--mechanism gaussian needs --delta, a probability far below one over the number of rows",
            ));
        }
    };
    Ok(Some(built.map_err(refused)?))
}

/// Names what was typed where the library names a setting.
fn refused(error: AggregateError) -> Failure {
    let AggregateError::Setting { name, value, expected } = error else { return Failure::Failed(error.to_string()) };
    let flag = match name {
        "epsilon" => "--epsilon",
        "delta" => "--delta",
        "range" => "--range",
        "bag size" => "--bag-size",
        _ => return Failure::Failed(error.to_string()),
    };
    Failure::usage(format!("{flag} {value:?}: it must be {expected}"))
}

fn aggregate(
    args: &AggregateArgs,
    data: &str,
    out: &Path,
    mechanism: Option<Mechanism>,
    global: &Global,
) -> CommandResult {
    let header = args.no_header.then_some(false);
    let table = TargetTable::read(data, &global.data(), args.target.as_deref(), args.task, header)?;
    let bags = bags(args, &table)?;
    // Before anything is drawn: a release costs, whether its table can be written or not.
    table.check_names(&args.bag_column, args.by.as_deref())?;
    let released = match mechanism {
        Some(mechanism) => Some(private_means(args, &table, &bags, mechanism)?),
        None => None,
    };
    let means = match &released {
        Some(released) => released.means.clone(),
        None => bags.means(table.values(), table.width()),
    };
    let text = table.csv(&bags, &means, &args.bag_column, args.by.as_deref())?;
    write_whole(out, text.as_bytes())?;
    let sizes = bags.sizes();
    let (smallest, largest) =
        (sizes.iter().copied().min().unwrap_or_default(), sizes.iter().copied().max().unwrap_or_default());
    let left_out = table.rows() - bags.rows().len();
    if global.json {
        let document = json!({
            "name": data, "target": table.mean_columns(), "rows": bags.rows().len(), "left_out": left_out, "bags": bags.len(),
            "smallest_bag": smallest, "largest_bag": largest, "table": out,
            "privacy": released.as_ref().map(|released| released.account),
            "not_private": released.as_ref().map(|released| json!({ "clipped": released.clipped })),
        });
        print_line(&document.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{} bags of {smallest} to {largest} rows, {} rows in all", bags.len(), bags.rows().len());
    if left_out > 0 {
        text += &format!(", {left_out} left out");
    }
    print_line(&text)?;
    if let Some(released) = &released {
        print(&described(released))?;
    }
    print_line(&format!("table: {}", out.display()))?;
    print_line(&format!("use: {}", usage(args, &table, out)))?;
    Ok(ExitCode::SUCCESS)
}

/// The command that learns from the table.
fn usage(args: &AggregateArgs, table: &TargetTable, out: &Path) -> String {
    let target = table.mean_columns().join(",");
    let task = if table.classes().is_some() { "classify" } else { "regress" };
    format!("kiln train --data {} --bags {} --task {task} --target \"{target}\"", out.display(), args.bag_column)
}

fn bags(args: &AggregateArgs, table: &TargetTable) -> Result<Bags, Failure> {
    let leftover = if args.drop_leftover { Leftover::Drop } else { Leftover::Keep };
    match (args.bag_size, &args.by) {
        (Some(size), None) => Ok(Bags::random(table.rows(), size, args.seed, leftover)?),
        (None, Some(column)) => Ok(table.bags_by(column)?),
        _ => Err(Failure::usage(
            "which rows are in one bag? --bag-size K draws bags of K rows, --by COLUMN takes those of a column",
        )),
    }
}

fn private_means(
    args: &AggregateArgs,
    table: &TargetTable,
    bags: &Bags,
    mechanism: Mechanism,
) -> Result<AccountedRelease, Failure> {
    if table.classes().is_some() {
        return Err(Failure::usage(format!(
            "--epsilon: the means of numbers can be released, and {} holds classes; --task regress takes it as a number",
            table.column()
        )));
    }
    let Some(clip) = args.clip else {
        return Err(Failure::usage(
            "--epsilon needs --clip LOW,HIGH: the range of a target, known without looking at the targets",
        ));
    };
    let responses: Vec<f64> = bags.rows().iter().map(|&row| table.values()[row].into()).collect();
    release(&responses, &bags.bag_of_row(), clip, mechanism).map_err(refused)
}

fn described(released: &AccountedRelease) -> String {
    let account = &released.account;
    let lost = match account.mechanism {
        Mechanism::Laplace { epsilon } => format!("epsilon {epsilon} (laplace noise)"),
        Mechanism::Gaussian { epsilon, delta } => format!("epsilon {epsilon}, delta {delta} (gaussian noise)"),
    };
    format!(
        "privacy: {lost} for the target of each row, one release a bag; bag ids and all other columns are as they were\n\
         noise: standard deviation {} on the mean of the smallest bag, of {} rows, in a range from {} to {}\n\
         clipped: {} of {} targets ({:.2} %) were outside the range; their bags' means are off by that. This count is exact, no \
         noise covers it: it is for you, and is not in the table\n\
         another release of the same rows costs the same again\n",
        figure(account.largest_noise),
        account.smallest_bag,
        account.low,
        account.high,
        released.clipped,
        account.rows,
        100.0 * released.clipped_share(),
    )
}

/// Bag sizes that a plan tells of.
const SIZES: [usize; 16] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128];

fn plan(args: &AggregateArgs, mechanism: Option<Mechanism>, global: &Global) -> CommandResult {
    let (rows, features) = (args.rows.unwrap_or_default(), args.features.unwrap_or_default());
    if features == 0 || rows <= features {
        return Err(Failure::usage(format!(
            "--rows {rows} --features {features}: at least 1 feature and more rows than features are needed"
        )));
    }
    let release = match (mechanism, args.range) {
        (Some(mechanism), Some(range)) => Some((mechanism, range)),
        (None, _) => None,
        (Some(_), None) => {
            return Err(Failure::usage(
                "--epsilon needs --range: the width of the range of a target, in standard deviations of the noise",
            ));
        }
    };
    let signal = args.signal_to_noise.unwrap_or_default();
    if !(signal > 0.0 && signal.is_finite()) {
        return Err(Failure::usage(format!("--signal-to-noise {signal}: it must be above 0 and finite")));
    }
    let problem = BagProblem::new(rows as f64 / features as f64, 1.0, signal, 1.0);
    let sizes: Vec<usize> = SIZES.into_iter().filter(|&size| size <= rows).collect();
    let plans = plans(&problem, &sizes, RhoChoice::Optimal, release).map_err(refused)?;
    let ends: Vec<[f64; 2]> =
        plans.iter().map(|plan| ends(&problem, plan)).collect::<Result<_, _>>().map_err(refused)?;
    let best =
        plans.iter().enumerate().min_by(|a, b| a.1.risk.total().total_cmp(&b.1.risk.total())).map_or(0, |(at, _)| at);
    if global.json {
        let rows: Vec<_> = plans
            .iter()
            .zip(&ends)
            .map(|(plan, [bag, instance])| {
                json!({ "bag_size": plan.bag_size, "rho": plan.rho, "risk": plan.risk.total(), "risk_bag_level": bag,
                        "risk_instance_level": instance, "noise": plan.noise })
            })
            .collect();
        print_line(
            &json!({ "plans": rows, "best_bag_size": plans[best].bag_size, "best_rho": plans[best].rho }).to_string(),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let headings = ["bag size", "best rho", "risk", "at bag level", "at instance level", "noise", "best"];
    let mut table = Table::new("Error of the coefficients by bag size", headings);
    for (at, (plan, [bag, instance])) in plans.iter().zip(&ends).enumerate() {
        table.push([
            plan.bag_size.to_string(),
            format!("{:.3}", plan.rho),
            figure(plan.risk.total()),
            figure(*bag),
            figure(*instance),
            figure(plan.noise),
            if at == best { "yes".to_string() } else { String::new() },
        ]);
    }
    print_line(&table.terminal())?;
    print_line(&format!(
        "risk: expected |theta_hat - theta|^2 in units of the noise variance, for many independent features; {signal} is predicting \
         nothing\nnoise: variance of a target around the model, with what a release adds to it"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Risks of the same bags at the bag level and at the instance level.
fn ends(problem: &BagProblem, plan: &BagPlan) -> Result<[f64; 2], AggregateError> {
    let own = BagProblem { bag_size: plan.bag_size as f64, noise: plan.noise, ..*problem };
    let at = |rho| Ok(asymptotic(&BagProblem { rho, ..own })?.total());
    Ok([at(0.0)?, at(1.0)?])
}
