//! Accuracy over tau, each tau with its own learning rate.

use kiln_data::{OpenOptions, Splits};
use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::train::{FitSettings, Schedule, accuracy, fit};
use kiln_lab::{Finding, JobContext, LabError, Measured, Outcome, Plot, Run, Series, Table};
use kiln_loss::comp_sum::CompSumLossConfig;
use kiln_nn::NetworkConfig;
use serde::{Deserialize, Serialize};

use super::{Settings, nesterov};
use crate::loss::seeds::{Merit, all, best_rate, divergence, unless_diverged};
use crate::loss::small_sets::Sets;

/// Cross-entropy may be this much worse than another tau before the claim fails.
const TOLERANCE: f64 = 0.003;
/// How far tau = 2 falls where there are many classes.
const COLLAPSE: f64 = 0.05;

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    let best = settings.datasets.iter().map(|name| best_id(name));
    let rates = settings.datasets.iter().map(|name| rates_id(name));
    let many = settings.many_class_datasets.iter().flat_map(|name| [above_id(name, 0.0), above_id(name, 2.0)]);
    best.chain(rates).chain(many).collect()
}

fn best_id(dataset: &str) -> String {
    format!("standard/{dataset}/cross-entropy-is-best")
}

fn rates_id(dataset: &str) -> String {
    format!("standard/{dataset}/rates")
}

fn above_id(dataset: &str, tau: f64) -> String {
    format!("standard/{dataset}/above-tau-{tau}")
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let options = OpenOptions { max_train: Some(settings.max_train), ..OpenOptions::default() };
    let opened = Sets::open(&settings.datasets, &options, settings.max_test, run)?;
    let sets = &opened.here;
    let rates = choose_rates(settings, sets, run)?;
    let accuracies = final_accuracies(settings, sets, &rates, run)?;
    report(settings, sets, &rates, &accuracies, run)?;

    let mut findings = Vec::new();
    let at = |name: &str| opened.position(name);
    for name in &settings.datasets {
        findings.push(match at(name) {
            Some(set) => cross_entropy_is_best(name, &settings.taus, &accuracies[set]),
            None => opened.not_comparable(best_id(name), name),
        });
    }
    for name in &settings.datasets {
        findings.push(match at(name) {
            Some(set) => chosen_rates(name, &settings.rates, &settings.taus, &rates[set]),
            None => opened.not_comparable(rates_id(name), name),
        });
    }
    for name in &settings.many_class_datasets {
        for tau in [0.0, 2.0] {
            findings.push(match at(name) {
                Some(set) => cross_entropy_is_above(name, tau, &settings.taus, &accuracies[set]),
                None => opened.not_comparable(above_id(name, tau), name),
            });
        }
    }
    Ok(findings)
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
    let fitted = fit(network, &splits.train, None, &loss, nesterov(settings.weight_decay), &course, context);
    let fitted = unless_diverged(fitted)?;
    let on = |data| fitted.as_ref().map(|fitted| accuracy(&fitted.network, data, &device));
    Ok(Outcomes { validation: on(&splits.validation), test: on(&splits.test) })
}

/// Trains what is not trained yet: the runs that chose a rate count among the final ones at that rate.
fn train_all(settings: &Settings, sets: &[Splits], jobs: &[Job], run: &Run) -> Result<Vec<Outcomes>, LabError> {
    let key = |job: &Job| format!("{}-tau-{}-rate-{}-seed-{}", sets[job.set].name, job.tau, job.rate, job.seed);
    run.grid("standard", jobs, key, |job, context| train(settings, &sets[job.set], job, context))
}

/// The learning rate of each set and tau with the best mean validation accuracy over the first seeds, among those at
/// which the fewest trainings diverged.
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
    let merit = |set: usize, tau: f64, rate: f64| {
        let tries = jobs.iter().zip(&outcomes).filter(|(job, _)| job.set == set && job.tau == tau && job.rate == rate);
        Merit::of(&tries.map(|(_, outcome)| outcome.validation).collect::<Vec<_>>())
    };
    let best = |set, tau| best_rate(&settings.rates, |rate| merit(set, tau, rate));
    (0..sets.len()).map(|set| settings.taus.iter().map(|&tau| best(set, tau)).collect()).collect()
}

/// Test accuracies of one tau, one a seed; none where the training diverged.
type Accuracies = Vec<Option<f64>>;

/// Test accuracies by set and tau.
fn final_accuracies(
    settings: &Settings,
    sets: &[Splits],
    rates: &[Vec<f64>],
    run: &Run,
) -> Result<Vec<Vec<Accuracies>>, LabError> {
    let mut jobs = Vec::new();
    for (set, rates) in rates.iter().enumerate() {
        for (&tau, &rate) in settings.taus.iter().zip(rates) {
            jobs.extend(run.seeds().iter().map(|&seed| Job { set, tau, rate, seed }));
        }
    }
    let outcomes = train_all(settings, sets, &jobs, run)?;
    let of = |set: usize, tau: f64| {
        let trained = jobs.iter().zip(&outcomes).filter(|(job, _)| job.set == set && job.tau == tau);
        trained.map(|(_, outcome)| outcome.test).collect()
    };
    Ok((0..sets.len()).map(|set| settings.taus.iter().map(|&tau| of(set, tau)).collect()).collect())
}

fn report(
    settings: &Settings,
    sets: &[Splits],
    rates: &[Vec<f64>],
    accuracies: &[Vec<Accuracies>],
    run: &mut Run,
) -> Result<(), LabError> {
    let mut table = Table::new("Test accuracy by tau", ["set", "classes", "tau", "learning rate", "accuracy (%)"]);
    let mut plot = Plot::line("Accuracy over tau", "tau", "test accuracy (%)");
    for (set, splits) in sets.iter().enumerate() {
        let classes = splits.train.num_classes();
        let mut series = Series::new(format!("{} ({classes} classes)", splits.name));
        for (index, &tau) in settings.taus.iter().enumerate() {
            let runs = &accuracies[set][index];
            let percent: Vec<f64> = runs.iter().flatten().map(|accuracy| 100.0 * accuracy).collect();
            table.push([
                splits.name.clone(),
                classes.to_string(),
                tau.to_string(),
                rates[set][index].to_string(),
                divergence(runs).unwrap_or_else(|| Summary::of(&percent).to_string()),
            ]);
            if !percent.is_empty() {
                series = series.seeds(tau, &percent);
            }
        }
        plot = plot.series(series);
    }
    run.table(table);
    if sets.is_empty() { Ok(()) } else { run.plot("accuracy-over-tau", &plot) }
}

/// On every set: no other tau is better by more than the tolerance.
fn cross_entropy_is_best(dataset: &str, taus: &[f64], accuracies: &[Accuracies]) -> Finding {
    let finding = Finding::new(best_id(dataset), format!("on {dataset} no tau is better than cross-entropy (tau = 1)"))
        .paper("CIFAR-10 and SVHN: tau = 1 best, tau = 0 worst; figures not verified by us")
        .bound("no other tau more than 0.3 points above tau = 1");
    let own = match accuracies_at(1.0, taus, accuracies) {
        Ok(own) => Summary::of(&own),
        Err(reason) => return finding.outcome(Outcome::NotComparable).note(reason),
    };
    let others = taus.iter().filter(|&&tau| tau != 1.0).map(|&tau| (tau, accuracies_at(tau, taus, accuracies)));
    let (mut best, mut diverged): (Option<(f64, Summary)>, Vec<String>) = (None, Vec::new());
    for (tau, found) in others {
        match found.map(|values| Summary::of(&values)) {
            Ok(rival) if best.as_ref().is_none_or(|(_, highest)| rival.mean > highest.mean) => {
                best = Some((tau, rival))
            }
            Ok(_) => {}
            Err(reason) => diverged.push(reason),
        }
    }
    let note = diverged.join("; ");
    let Some((rival, best)) = best else {
        return finding.outcome(Outcome::NotComparable).note(format!("no other tau to compare with; {note}"));
    };
    let text = format!("{} % at tau = 1, best other {} % at tau = {rival}", percent(own), percent(best));
    finding.measured(Measured::from(own).text(text)).held_if(own.mean >= best.mean - TOLERANCE).note(note)
}

/// The rate that each tau was given, and where a wider grid might have given it a better one.
fn chosen_rates(dataset: &str, grid: &[f64], taus: &[f64], rates: &[f64]) -> Finding {
    let (least, most) =
        grid.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &rate| (low.min(rate), high.max(rate)));
    let chosen: Vec<String> = taus.iter().zip(rates).map(|(tau, rate)| format!("tau {tau}: {rate}")).collect();
    let at = |edge: f64, name: &str| {
        let there: Vec<String> =
            taus.iter().zip(rates).filter(|(_, rate)| **rate == edge).map(|(tau, _)| format!("tau = {tau}")).collect();
        (!there.is_empty()).then(|| format!("{} at the {name} rate of the grid, {edge}", there.join(", ")))
    };
    let edges: Vec<String> = [at(least, "first"), at(most, "last")].into_iter().flatten().collect();
    Finding::new(rates_id(dataset), format!("learning rate of each tau on {dataset}, chosen on the validation split"))
        .measured(chosen.join(", "))
        .note(if edges.is_empty() { "none at an end of the grid".to_string() } else { edges.join("; ") })
}

/// With many classes: cross-entropy is better by more than two standard errors, and tau = 2 collapses.
fn cross_entropy_is_above(dataset: &str, tau: f64, taus: &[f64], accuracies: &[Accuracies]) -> Finding {
    let (least, bound, paper) = match tau {
        2.0 => (
            COLLAPSE,
            "at least 5 points, and more than 2 standard errors",
            "CIFAR-100: tau = 1 best, tau = 2 collapses; figures not verified by us",
        ),
        _ => (0.0, "more than 2 standard errors", "CIFAR-100: tau = 1 best; figures not verified by us"),
    };
    let statement = format!("on {dataset}, with many classes, cross-entropy is clearly above tau = {tau}");
    let finding = Finding::new(above_id(dataset, tau), statement).paper(paper).bound(bound);
    let both = accuracies_at(1.0, taus, accuracies)
        .and_then(|one| accuracies_at(tau, taus, accuracies).map(|other| (one, other)));
    let (one, other) = match both {
        Ok(both) => both,
        Err(reason) => return finding.outcome(Outcome::NotComparable).note(reason),
    };
    let difference = paired_difference(&one, &other).difference;
    let text = format!("{} points", percent(difference));
    let held = difference.n > 1 && difference.mean > 2.0 * difference.standard_error() && difference.mean >= least;
    finding.measured(Measured::from(difference).text(text)).held_if(held)
}

/// The accuracies of a tau, or why there is no mean of them.
fn accuracies_at(tau: f64, taus: &[f64], accuracies: &[Accuracies]) -> Result<Vec<f64>, String> {
    let Some(index) = taus.iter().position(|&found| found == tau) else {
        return Err(format!("tau = {tau} is not among the settings"));
    };
    let runs = &accuracies[index];
    all(runs).ok_or_else(|| format!("tau = {tau} {}", divergence(runs).unwrap_or_default()))
}

fn percent(fraction: Summary) -> String {
    format!("{:.2} +/- {:.2}", 100.0 * fraction.mean, 100.0 * fraction.std)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAUS: [f64; 3] = [0.0, 1.0, 2.0];

    fn runs(values: [f64; 2]) -> Accuracies {
        values.map(Some).to_vec()
    }

    #[test]
    fn a_better_tau_fails_the_claim() {
        let best = cross_entropy_is_best("digits", &TAUS, &[runs([0.8, 0.8]), runs([0.9, 0.9]), runs([0.7, 0.7])]);
        assert_eq!((best.outcome, best.measured.mean), (Outcome::Held, Some(0.9)));
        let worse = cross_entropy_is_best("digits", &TAUS, &[runs([0.91, 0.91]), runs([0.9, 0.9]), runs([0.7, 0.7])]);
        assert_eq!(worse.outcome, Outcome::NotHeld);
        assert!(worse.measured.text.contains("tau = 0"), "{}", worse.measured);
    }

    #[test]
    fn a_diverged_seed_counts_for_nobody() {
        let diverged = vec![Some(0.1), None];
        let rival = [diverged.clone(), runs([0.9, 0.9]), runs([0.7, 0.7])];
        let above = cross_entropy_is_above("letter", 0.0, &TAUS, &rival);
        assert_eq!((above.outcome, above.note.as_str()), (Outcome::NotComparable, "tau = 0 diverged on 1 of 2 seeds"));
        assert_eq!(cross_entropy_is_above("letter", 2.0, &TAUS, &rival).outcome, Outcome::Held);
        let best = cross_entropy_is_best("letter", &TAUS, &rival);
        assert_eq!((best.outcome, best.note.as_str()), (Outcome::Held, "tau = 0 diverged on 1 of 2 seeds"));
        let own = [runs([0.8, 0.8]), diverged, runs([0.7, 0.7])];
        assert_eq!(cross_entropy_is_best("letter", &TAUS, &own).outcome, Outcome::NotComparable);
    }

    #[test]
    fn rates_at_the_ends_of_the_grid_are_named() {
        let finding = chosen_rates("digits", &[0.001, 0.1, 3.0], &TAUS, &[0.001, 0.1, 3.0]);
        assert_eq!(finding.measured.text, "tau 0: 0.001, tau 1: 0.1, tau 2: 3");
        assert_eq!(
            finding.note,
            "tau = 0 at the first rate of the grid, 0.001; tau = 2 at the last rate of the grid, 3"
        );
        assert_eq!(chosen_rates("digits", &[0.001, 0.1, 3.0], &[1.0], &[0.1]).note, "none at an end of the grid");
        assert_eq!(finding.outcome, Outcome::Reported);
    }
}
