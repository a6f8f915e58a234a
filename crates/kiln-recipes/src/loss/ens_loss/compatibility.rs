//! EnsLoss together with dropout and weight decay.

use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::train::Selector;
use kiln_lab::{Finding, JobContext, LabError, Outcome, Run, Table};

use super::settings::{ENSEMBLE, LOGISTIC};
use super::tasks::Task;
use super::training::{Ended, Plan, train};
use super::{COMPATIBILITY, Settings};

pub(super) fn finding_ids() -> Vec<String> {
    vec![format!("{COMPATIBILITY}/goes-with-regularisers")]
}

/// A regulariser beside the loss.
#[derive(Debug, Clone)]
struct Regulariser {
    name: String,
    model: Selector,
    weight_decay: f64,
}

/// The middle network of the tables with each regulariser.
fn regularisers(settings: &Settings) -> Vec<Regulariser> {
    let models = &settings.tables.models;
    let Some(model) = models.get(models.len() / 2) else { return Vec::new() };
    let decays = settings.weight_decays.iter().map(|&weight_decay| Regulariser {
        name: format!("weight decay {weight_decay}"),
        model: model.clone(),
        weight_decay,
    });
    let dropout = Regulariser {
        name: format!("dropout {}", settings.dropout),
        model: model.clone().with("dropout", settings.dropout),
        weight_decay: 0.0,
    };
    decays.chain([dropout]).collect()
}

struct Job<'a> {
    task: usize,
    regulariser: &'a Regulariser,
    loss: &'a str,
    seed: u64,
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let tasks = Task::open_all(&settings.tables, run)?;
    let regularisers = regularisers(settings);
    let seeds: Vec<u64> = run.seeds().iter().copied().take(settings.tables.seeds).collect();
    let mut jobs = Vec::new();
    for regulariser in &regularisers {
        for loss in [ENSEMBLE, LOGISTIC] {
            for task in 0..tasks.len() {
                jobs.extend(seeds.iter().map(|&seed| Job { task, regulariser, loss, seed }));
            }
        }
    }
    let key =
        |job: &Job<'_>| format!("{}-{}-{}-seed-{}", tasks[job.task].name, job.regulariser.name, job.loss, job.seed);
    let ended = run.grid(COMPATIBILITY, &jobs, key, |job, context: &JobContext| -> Result<Ended, LabError> {
        let splits = tasks[job.task].drawn(settings.tables.train_rows, job.seed);
        let loss = Selector::named(job.loss);
        let (model, weight_decay) = (&job.regulariser.model, job.regulariser.weight_decay);
        let plan = Plan { model, loss: &loss, rate: settings.shared_rate, weight_decay, seed: job.seed };
        train(&settings.tables, &splits, &plan, context)
    })?;
    let finding = Finding::new(
        finding_ids().remove(0),
        "with each regulariser EnsLoss is on average at least as good as the logistic loss with it",
    )
    .paper("EnsLoss combines with dropout, weight decay and augmentation")
    .bound("mean difference of at least 0 for each");
    let per_loss = tasks.len() * seeds.len();
    if per_loss == 0 {
        return Ok(vec![finding.outcome(Outcome::NotComparable).note("none of the tasks is in a data directory")]);
    }
    let accuracies: Vec<f64> = ended.iter().map(|ended| ended.test.unwrap_or(0.0)).collect();
    let mut table = Table::new("With regularisers (%)", ["regulariser", "ens-loss", "logistic", "difference"]);
    let (mut texts, mut held) = (Vec::new(), true);
    for (regulariser, both) in regularisers.iter().zip(accuracies.chunks(2 * per_loss)) {
        let (own, other) = both.split_at(per_loss);
        let difference = paired_difference(own, other).difference.mean;
        let percent = |values: &[f64]| format!("{:.2}", 100.0 * Summary::of(values).mean);
        table.push([regulariser.name.clone(), percent(own), percent(other), format!("{:+.2}", 100.0 * difference)]);
        texts.push(format!("{} {:+.2} points", regulariser.name, 100.0 * difference));
        held &= difference >= 0.0;
    }
    run.table(table);
    let note = "at the shared rate; without flips and crops, which the tables do not have";
    Ok(vec![finding.measured(texts.join(", ")).held_if(held).note(note)])
}
