//! Accuracy over tau, each tau with its own learning rate.

use kiln_data::{ArrayDataset, DataError, OpenOptions, Splits, split};
use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::train::{FitSettings, Schedule, accuracy, fit};
use kiln_lab::{Finding, JobContext, LabError, Outcome, Plot, Run, Series, Table};
use kiln_loss::comp_sum::CompSumLossConfig;
use kiln_nn::NetworkConfig;
use serde::{Deserialize, Serialize};

use super::{Settings, nesterov};

/// Cross-entropy may be this much worse than another tau before the claim fails.
const TOLERANCE: f64 = 0.003;
/// How far tau = 2 falls where there are many classes.
const COLLAPSE: f64 = 0.05;

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    let best = settings.datasets.iter().map(|name| best_id(name));
    let many = settings.many_class_datasets.iter().flat_map(|name| [above_id(name, 0.0), above_id(name, 2.0)]);
    best.chain(many).collect()
}

fn best_id(dataset: &str) -> String {
    format!("standard/{dataset}/cross-entropy-is-best")
}

fn above_id(dataset: &str, tau: f64) -> String {
    format!("standard/{dataset}/above-tau-{tau}")
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let (sets, missing) = open_sets(settings, run)?;
    let rates = choose_rates(settings, &sets, run)?;
    let accuracies = final_accuracies(settings, &sets, &rates, run)?;
    report(settings, &sets, &rates, &accuracies, run)?;

    let mut findings = Vec::new();
    for name in &settings.datasets {
        match sets.iter().position(|splits| &splits.name == name) {
            Some(index) => findings.push(cross_entropy_is_best(name, settings, &accuracies[index])),
            None => findings.push(not_comparable(best_id(name), &missing, name)),
        }
    }
    for name in &settings.many_class_datasets {
        for tau in [0.0, 2.0] {
            match sets.iter().position(|splits| &splits.name == name) {
                Some(index) => findings.push(cross_entropy_is_above(name, tau, settings, &accuracies[index])),
                None => findings.push(not_comparable(above_id(name, tau), &missing, name)),
            }
        }
    }
    Ok(findings)
}

/// A set that is not in any data directory.
struct Missing {
    name: String,
    reason: String,
}

/// The sets that are here, and why the others are not.
fn open_sets(settings: &Settings, run: &mut Run) -> Result<(Vec<Splits>, Vec<Missing>), LabError> {
    let (mut sets, mut missing) = (Vec::new(), Vec::new());
    for name in &settings.datasets {
        let options = OpenOptions { max_train: Some(settings.max_train), ..OpenOptions::default() };
        match kiln_data::open(name, run.data(), &options) {
            Ok(splits) => {
                sets.push(Splits { name: name.clone(), test: first(&splits.test, settings.max_test), ..splits })
            }
            Err(error @ (DataError::NotHere { .. } | DataError::UnknownSource { .. })) => {
                run.note(format!("Without {name}: {error}."));
                missing.push(Missing { name: name.clone(), reason: error.to_string() });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((sets, missing))
}

/// At most `most` rows, chosen at random but always the same.
pub(super) fn first(data: &ArrayDataset, most: usize) -> ArrayDataset {
    if data.len() <= most {
        return data.clone();
    }
    let mut rows = split::permutation(data.len(), 0);
    rows.truncate(most);
    data.select(&rows)
}

/// What one training ended with; no accuracies where it diverged.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outcomes {
    validation: Option<f64>,
    test: Option<f64>,
}

struct Job {
    set: usize,
    tau: f64,
    rate: f64,
    seed: u64,
}

fn train(settings: &Settings, splits: &Splits, job: &Job, context: &JobContext) -> Result<Outcomes, LabError> {
    let device = context.device();
    let config = NetworkConfig::mlp(settings.hidden.clone());
    let classes = splits.train.num_classes();
    let network = config
        .init_seeded(splits.train.input_shape(), classes, job.seed, &device.clone().autodiff())
        .map_err(LabError::method)?;
    let loss = CompSumLossConfig::new().with_tau(job.tau).init().map_err(LabError::method)?;
    let course = FitSettings {
        epochs: settings.epochs,
        batch_size: settings.batch_size,
        learning_rate: job.rate,
        schedule: Schedule::Cosine { warmup: 0.0 },
        seed: job.seed,
    };
    match fit(network, &splits.train, None, &loss, nesterov(settings.weight_decay), &course, context) {
        Ok(fitted) => Ok(Outcomes {
            validation: Some(accuracy(&fitted.network, &splits.validation, &device)),
            test: Some(accuracy(&fitted.network, &splits.test, &device)),
        }),
        Err(LabError::Diverged { .. }) => Ok(Outcomes { validation: None, test: None }),
        Err(error) => Err(error),
    }
}

/// Trains what is not trained yet: the runs that chose a rate count among the final ones at that rate.
fn train_all(settings: &Settings, sets: &[Splits], jobs: &[Job], run: &Run) -> Result<Vec<Outcomes>, LabError> {
    let key = |job: &Job| format!("{}-tau-{}-rate-{}-seed-{}", sets[job.set].name, job.tau, job.rate, job.seed);
    run.grid("standard", jobs, key, |job, context| train(settings, &sets[job.set], job, context))
}

/// The learning rate of each set and tau with the best mean validation accuracy over the first seeds. A run that diverged
/// counts as 0, so that no rate is chosen at which trainings fail now and then.
fn choose_rates(settings: &Settings, sets: &[Splits], run: &Run) -> Result<Vec<Vec<f64>>, LabError> {
    let seeds = run.seeds().iter().take(settings.tuning_seeds);
    let mut jobs = Vec::new();
    for set in 0..sets.len() {
        for &tau in &settings.taus {
            for &rate in &settings.rates {
                jobs.extend(seeds.clone().map(|&seed| Job { set, tau, rate, seed }));
            }
        }
    }
    let outcomes = train_all(settings, sets, &jobs, run)?;
    let score = |set: usize, tau: f64, rate: f64| -> f64 {
        let tries: Vec<f64> = jobs
            .iter()
            .zip(&outcomes)
            .filter(|(job, _)| job.set == set && job.tau == tau && job.rate == rate)
            .map(|(_, outcome)| outcome.validation.unwrap_or(0.0))
            .collect();
        Summary::of(&tries).mean
    };
    let best = |set, tau| {
        let mut chosen = (f64::NEG_INFINITY, f64::NAN);
        for &rate in &settings.rates {
            let reached = score(set, tau, rate);
            if reached > chosen.0 {
                chosen = (reached, rate);
            }
        }
        chosen.1
    };
    Ok((0..sets.len()).map(|set| settings.taus.iter().map(|&tau| best(set, tau)).collect()).collect())
}

/// Test accuracies by set, tau and seed. A training that diverged answers at random.
fn final_accuracies(
    settings: &Settings,
    sets: &[Splits],
    rates: &[Vec<f64>],
    run: &Run,
) -> Result<Vec<Vec<Vec<f64>>>, LabError> {
    let mut jobs = Vec::new();
    for (set, rates) in rates.iter().enumerate() {
        for (&tau, &rate) in settings.taus.iter().zip(rates) {
            jobs.extend(run.seeds().iter().map(|&seed| Job { set, tau, rate, seed }));
        }
    }
    let outcomes = train_all(settings, sets, &jobs, run)?;
    let mut found = vec![vec![Vec::new(); settings.taus.len()]; sets.len()];
    for (job, outcome) in jobs.iter().zip(outcomes) {
        let by_chance = 1.0 / sets[job.set].train.num_classes() as f64;
        let tau = settings.taus.iter().position(|&tau| tau == job.tau).unwrap_or(0);
        found[job.set][tau].push(outcome.test.unwrap_or(by_chance));
    }
    Ok(found)
}

fn report(
    settings: &Settings,
    sets: &[Splits],
    rates: &[Vec<f64>],
    accuracies: &[Vec<Vec<f64>>],
    run: &mut Run,
) -> Result<(), LabError> {
    let mut table = Table::new("Test accuracy by tau", ["set", "classes", "tau", "learning rate", "accuracy (%)"]);
    let mut plot = Plot::line("Accuracy over tau", "tau", "test accuracy (%)");
    for (set, splits) in sets.iter().enumerate() {
        let classes = splits.train.num_classes();
        let mut series = Series::new(format!("{} ({classes} classes)", splits.name));
        for (index, &tau) in settings.taus.iter().enumerate() {
            let percent: Vec<f64> = accuracies[set][index].iter().map(|accuracy| 100.0 * accuracy).collect();
            table.push([
                splits.name.clone(),
                classes.to_string(),
                tau.to_string(),
                rates[set][index].to_string(),
                Summary::of(&percent).to_string(),
            ]);
            series = series.seeds(tau, &percent);
        }
        plot = plot.series(series);
    }
    run.table(table);
    if sets.is_empty() { Ok(()) } else { run.plot("accuracy-over-tau", &plot) }
}

/// On every set: no other tau is better by more than the tolerance.
fn cross_entropy_is_best(dataset: &str, settings: &Settings, accuracies: &[Vec<f64>]) -> Finding {
    let finding = Finding::new(best_id(dataset), format!("on {dataset} no tau is better than cross-entropy (tau = 1)"))
        .paper("CIFAR-10, tau 0/0.5/1/1.5/2: 87.4/90.3/92.6/92.0/90.4 %")
        .bound("no other tau more than 0.3 points above tau = 1");
    let Some(one) = settings.taus.iter().position(|&tau| tau == 1.0) else {
        return finding.outcome(Outcome::NotComparable).note("tau = 1 is not among the settings");
    };
    let others = settings.taus.iter().zip(accuracies).filter(|(tau, _)| **tau != 1.0);
    let Some((rival, best)) =
        others.map(|(tau, values)| (tau, Summary::of(values).mean)).max_by(|a, b| a.1.total_cmp(&b.1))
    else {
        return finding.outcome(Outcome::NotComparable).note("tau = 1 is the only one among the settings");
    };
    let own = Summary::of(&accuracies[one]);
    let text = format!(
        "{:.2} +/- {:.2} % at tau = 1, best other {:.2} % at tau = {rival}",
        100.0 * own.mean,
        100.0 * own.std,
        100.0 * best
    );
    let measured = kiln_lab::Measured::from(own).text(text);
    finding.measured(measured).held_if(own.mean >= best - TOLERANCE)
}

/// With many classes: cross-entropy is better by more than two standard errors, and tau = 2 collapses.
fn cross_entropy_is_above(dataset: &str, tau: f64, settings: &Settings, accuracies: &[Vec<f64>]) -> Finding {
    let least = if tau == 2.0 { COLLAPSE } else { 0.0 };
    let bound = match tau {
        2.0 => "at least 5 points, and more than 2 standard errors",
        _ => "more than 2 standard errors",
    };
    let paper = match tau {
        2.0 => "CIFAR-100: 70.9 % against 9.0 %",
        _ => "CIFAR-100: 70.9 % against 57.9 %",
    };
    let statement = format!("on {dataset}, with many classes, cross-entropy is clearly above tau = {tau}");
    let finding = Finding::new(above_id(dataset, tau), statement).paper(paper).bound(bound);
    let at = |tau: f64| settings.taus.iter().position(|&found| found == tau);
    let (Some(one), Some(other)) = (at(1.0), at(tau)) else {
        return finding.outcome(Outcome::NotComparable).note("one of the two is not among the settings");
    };
    let difference = paired_difference(&accuracies[one], &accuracies[other]).difference;
    let text = format!("{:.2} +/- {:.2} points", 100.0 * difference.mean, 100.0 * difference.std);
    let held = difference.n > 1 && difference.mean > 2.0 * difference.standard_error() && difference.mean >= least;
    finding.measured(kiln_lab::Measured::from(difference).text(text)).held_if(held)
}

fn not_comparable(id: String, missing: &[Missing], dataset: &str) -> Finding {
    let reason = missing.iter().find(|set| set.name == dataset).map_or("", |set| set.reason.as_str());
    Finding::new(id, format!("the claim on {dataset}")).outcome(Outcome::NotComparable).note(reason)
}
