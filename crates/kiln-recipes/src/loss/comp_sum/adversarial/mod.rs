//! Adversarial training: the smooth comp-sum loss against PGD training, TRADES and no defence.

mod black_box;
mod findings;
mod method;
mod problem;

use kiln_lab::{Finding, JobContext, LabError, Run};

use super::settings::AdversarialSettings;
use crate::loss::seeds::{Merit, best_rate};
use findings::MethodOutcome;
use method::Method;
use problem::{Job, Problem, TransferSets};

/// The two places where adversarial training is tried; each is a part of the recipe.
pub(super) const PARTS: [&str; 2] = ["adversarial", "adversarial-images"];

pub(super) fn finding_ids(part: &str) -> Vec<String> {
    findings::NAMES.map(|name| id(part, name)).to_vec()
}

fn id(part: &str, name: &str) -> String {
    format!("{part}/{name}")
}

pub(super) fn run(
    part: &str,
    settings: &AdversarialSettings,
    weight_decay: f64,
    run: &mut Run,
) -> Result<Vec<Finding>, LabError> {
    let problem = Problem::open(settings, weight_decay, run)?;
    let seeds: Vec<u64> = run.seeds().iter().copied().take(settings.seeds).collect();
    let experiment = Experiment { part, settings, problem: &problem, seeds: &seeds };

    let mut outcomes = experiment.tune_and_judge(&[Method::CrossEntropy], None, run)?;
    let transfers = TransferSets::new(outcomes[0].rate, &seeds);
    outcomes.extend(experiment.tune_and_judge(&Method::defences(settings), Some(&transfers), run)?);

    findings::report(part, settings, &outcomes, run)?;
    let place = format!("{} on {}", settings.network, settings.dataset);
    let named = findings::findings(&outcomes, problem.chance()).into_iter().map(|finding| Finding {
        id: id(part, &finding.id),
        statement: format!("{} ({place})", finding.statement),
        ..finding
    });
    Ok(named.collect())
}

struct Experiment<'a> {
    part: &'a str,
    settings: &'a AdversarialSettings,
    problem: &'a Problem<'a>,
    seeds: &'a [u64],
}

impl Experiment<'_> {
    /// Each method on all seeds, at the rate with the best mean validation score over the first seeds.
    fn tune_and_judge(
        &self,
        methods: &[Method],
        transfers: Option<&TransferSets>,
        run: &Run,
    ) -> Result<Vec<MethodOutcome>, LabError> {
        let tuning_seeds = &self.seeds[..self.settings.tuning_seeds.min(self.seeds.len())];
        let mut tries = Vec::new();
        for &method in methods {
            for &rate in &self.settings.rates {
                tries.extend(tuning_seeds.iter().map(|&seed| Job { method, rate, seed }));
            }
        }
        let tuning_key = |job: &Job| format!("tuning-{}", job.key());
        let scores =
            run.grid(self.part, &tries, tuning_key, |job, context| self.problem.validation_score(job, context))?;
        let merit = |method: Method, rate: f64| {
            let matching = tries.iter().zip(&scores).filter(|(job, _)| job.method == method && job.rate == rate);
            Merit::of(&matching.map(|(_, score)| *score).collect::<Vec<_>>())
        };
        let mut finals = Vec::new();
        for &method in methods {
            let rate = best_rate(&self.settings.rates, |rate| merit(method, rate))?;
            finals.extend(self.seeds.iter().map(|&seed| Job { method, rate, seed }));
        }
        let judged = run.grid(self.part, &finals, Job::key, |job, context| {
            // The metrics of a training that chose a rate are already there, under its tuning key.
            let silent = JobContext::detached(context.device());
            let context = if tuning_seeds.contains(&job.seed) { &silent } else { context };
            self.problem.judge(job, transfers, context)
        })?;
        let of_method = |method: Method| finals.iter().zip(&judged).filter(move |(job, _)| job.method == method);
        let outcome = |&method: &Method| MethodOutcome {
            method,
            rate: of_method(method).map(|(job, _)| job.rate).next().unwrap_or(f64::NAN),
            networks: of_method(method).map(|(_, judged)| *judged).collect(),
        };
        Ok(methods.iter().map(outcome).collect())
    }
}
