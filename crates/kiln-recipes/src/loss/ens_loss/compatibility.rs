//! EnsLoss together with weight decay, dropout and changed pictures.

use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::train::Selector;
use kiln_lab::{Finding, LabError, Outcome, Run, Table};

use super::settings::{ContestSettings, ENSEMBLE, LOGISTIC, Settings};
use super::tasks::Task;
use super::training::{Ended, Plan, train_all};
use super::{COMPATIBILITY, IMAGES, TABLES};

pub(super) fn finding_ids() -> Vec<String> {
    vec![format!("{COMPATIBILITY}/goes-with-regularisers")]
}

/// A regulariser beside the loss, and what it is tried on.
struct Regulariser<'a> {
    name: String,
    contest: &'a ContestSettings,
    tasks: &'a [Task],
    model: Selector,
    weight_decay: f64,
    augmentations: &'a [Selector],
}

/// Both losses with one regulariser, over all tasks and seeds.
struct Pair {
    name: String,
    own: Vec<Ended>,
    other: Vec<Ended>,
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let tables = Task::open_all(TABLES, &settings.tables, run)?;
    let images = Task::open_all(IMAGES, &settings.images, run)?;
    let mut pairs = Vec::new();
    for regulariser in regularisers(settings, &tables, &images) {
        let trained = |loss| regulariser.train(settings.loss(loss), settings.shared_rate, run);
        let (own, other) = (trained(ENSEMBLE)?, trained(LOGISTIC)?);
        pairs.push(Pair { name: regulariser.name, own, other });
    }
    // What is not here was tried with nothing.
    pairs.retain(|pair| !pair.own.is_empty());
    run.table(table(&pairs));
    Ok(vec![finding(&pairs, settings)])
}

/// Weight decay and dropout for the middle network of the tables, changed pictures for the first network of the images.
fn regularisers<'a>(settings: &'a Settings, tables: &'a [Task], images: &'a [Task]) -> Vec<Regulariser<'a>> {
    let middle = &settings.tables.models[settings.tables.models.len() / 2];
    let on_tables = |name: String, model: Selector, weight_decay: f64| {
        let contest = &settings.tables;
        Regulariser { name, contest, tasks: tables, model, weight_decay, augmentations: &[] }
    };
    let decays = settings.weight_decays.iter();
    let mut all: Vec<Regulariser<'_>> =
        decays.map(|&decay| on_tables(format!("weight decay {decay}"), middle.clone(), decay)).collect();
    let dropout = settings.dropout;
    all.push(on_tables(format!("dropout {dropout}"), middle.clone().with("dropout", dropout), 0.0));
    let changes: Vec<&str> = settings.augmentations.iter().map(Selector::name).collect();
    all.push(Regulariser {
        name: changes.join(" and "),
        contest: &settings.images,
        tasks: images,
        model: settings.images.models[0].clone(),
        weight_decay: 0.0,
        augmentations: &settings.augmentations,
    });
    all
}

impl Regulariser<'_> {
    fn train(&self, loss: &Selector, rate: f64, run: &Run) -> Result<Vec<Ended>, LabError> {
        let Self { ref model, weight_decay, augmentations, .. } = *self;
        let seeds = self.contest.seeds_of(run);
        let plan = |task, seed| Plan { task, model, loss, rate, weight_decay, augmentations, seed };
        let of_task = |task| seeds.iter().map(move |&seed| plan(task, seed));
        let plans: Vec<Plan<'_>> = self.tasks.iter().flat_map(of_task).collect();
        train_all(COMPATIBILITY, self.contest, &plans, run)
    }
}

impl Pair {
    fn accuracies(&self) -> [Vec<f64>; 2] {
        [&self.own, &self.other].map(|ended| ended.iter().map(Ended::test).collect())
    }

    fn difference(&self) -> f64 {
        let [own, other] = self.accuracies();
        paired_difference(&own, &other).difference.mean
    }
}

fn table(pairs: &[Pair]) -> Table {
    let mut table = Table::new("With regularisers (%)", ["regulariser", "ens-loss", "logistic", "difference"]);
    for pair in pairs {
        let [own, other] = pair.accuracies().map(|values| format!("{:.2}", 100.0 * Summary::of(&values).mean));
        table.push([pair.name.clone(), own, other, format!("{:+.2}", 100.0 * pair.difference())]);
    }
    table
}

fn finding(pairs: &[Pair], settings: &Settings) -> Finding {
    let finding = Finding::new(
        finding_ids().remove(0),
        "with each regulariser EnsLoss is on average at least as good as the logistic loss with it",
    )
    .paper("EnsLoss combines with dropout, weight decay and augmentation")
    .bound("mean difference of at least 0 for each");
    if pairs.is_empty() {
        return finding.outcome(Outcome::NotComparable).note("none of the sets is in a data directory");
    }
    let text = |pair: &Pair| format!("{} {:+.2} points", pair.name, 100.0 * pair.difference());
    let texts: Vec<String> = pairs.iter().map(text).collect();
    let all = || pairs.iter().flat_map(|pair| pair.own.iter().chain(&pair.other));
    let diverged = all().filter(|ended| ended.accuracies.is_none()).count();
    let note = format!(
        "all at the rate {}; pictures are changed on the image pairs, the rest is tried on the tables; {diverged} of {} \
         trainings diverged",
        settings.shared_rate,
        all().count()
    );
    finding.measured(texts.join(", ")).held_if(pairs.iter().all(|pair| pair.difference() >= 0.0)).note(note)
}
