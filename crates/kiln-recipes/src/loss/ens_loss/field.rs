//! All losses on all tasks with all networks, each at its own learning rate and all at one.

use kiln_lab::train::Selector;
use kiln_lab::{LabError, Run};

use super::settings::{ContestSettings, ENSEMBLE, LOGISTIC, Settings};
use super::tasks::Task;
use super::training::{Ended, Plan, train_all};
use crate::loss::seeds::{Merit, best_rate};

/// One task with one network.
pub(super) struct Cell {
    pub(super) task: String,
    pub(super) network: String,
    /// In the order of the settings.
    pub(super) losses: Vec<Trained>,
}

/// The trainings of one loss in a cell, one a seed; all losses of a cell have the same seeds.
pub(super) struct Trained {
    pub(super) loss: Selector,
    /// The rate with the best mean validation accuracy over the tuning seeds.
    pub(super) rate: f64,
    pub(super) at_own_rate: Vec<Ended>,
    pub(super) at_shared_rate: Vec<Ended>,
}

/// Which trainings of a loss are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Each loss at the rate that was chosen for it.
    OwnRate,
    /// All losses at one rate, as the paper compares.
    SharedRate,
}

impl Trained {
    pub(super) fn ended(&self, protocol: Protocol) -> &[Ended] {
        match protocol {
            Protocol::OwnRate => &self.at_own_rate,
            Protocol::SharedRate => &self.at_shared_rate,
        }
    }

    /// Test accuracies, one a seed.
    pub(super) fn test(&self, protocol: Protocol) -> Vec<f64> {
        self.ended(protocol).iter().map(Ended::test).collect()
    }
}

impl Cell {
    pub(super) fn ensemble(&self) -> &Trained {
        self.named(ENSEMBLE)
    }

    pub(super) fn logistic(&self) -> &Trained {
        self.named(LOGISTIC)
    }

    fn named(&self, name: &str) -> &Trained {
        self.losses.iter().find(|trained| trained.loss.name() == name).expect("the losses were checked for it")
    }

    /// The losses besides EnsLoss, in the order of the settings.
    pub(super) fn fixed(&self) -> impl Iterator<Item = &Trained> {
        self.losses.iter().filter(|trained| trained.loss.name() != ENSEMBLE)
    }

    /// The worst and the best fixed loss by validation accuracy, each at its own rate: the test rows have no say in it.
    pub(super) fn extremes(&self) -> (&Trained, &Trained) {
        let merit =
            |trained: &Trained| Merit::of(&trained.at_own_rate.iter().map(Ended::validation).collect::<Vec<_>>());
        let mut fixed = self.fixed();
        let first = fixed.next().expect("the losses were checked to be three");
        fixed.fold((first, first), |(worst, best), next| {
            let worst = if merit(worst).is_above(&merit(next)) { next } else { worst };
            let best = if merit(next).is_above(&merit(best)) { next } else { best };
            (worst, best)
        })
    }
}

/// Trains whatever of a part is not trained yet, and gives its cells; none of a task whose data is not here.
pub(super) fn cells(
    part: &str,
    contest: &ContestSettings,
    settings: &Settings,
    run: &mut Run,
) -> Result<Vec<Cell>, LabError> {
    let tasks = Task::open_all(part, contest, run)?;
    let field = Field { part, contest, settings, tasks: &tasks, seeds: contest.seeds_of(run) };
    let rates = field.choose_rates(run)?;
    let at_own_rate = field.train(&rates, run)?;
    let at_shared_rate = field.train(&vec![settings.shared_rate; rates.len()], run)?;
    let mut trained = Vec::new();
    for (index, (own, shared)) in at_own_rate.into_iter().zip(at_shared_rate).enumerate() {
        let loss = settings.losses[index % settings.losses.len()].clone();
        trained.push(Trained { loss, rate: rates[index], at_own_rate: own, at_shared_rate: shared });
    }
    let mut trained = trained.into_iter();
    let cell = |(task, model): (&Task, &Selector)| Cell {
        task: task.name.clone(),
        network: model.to_string(),
        losses: trained.by_ref().take(settings.losses.len()).collect(),
    };
    Ok(field.places().into_iter().map(cell).collect())
}

struct Field<'a> {
    part: &'a str,
    contest: &'a ContestSettings,
    settings: &'a Settings,
    tasks: &'a [Task],
    seeds: Vec<u64>,
}

impl<'a> Field<'a> {
    /// Task and network of each cell.
    fn places(&self) -> Vec<(&'a Task, &'a Selector)> {
        let models = &self.contest.models;
        self.tasks.iter().flat_map(|task| models.iter().map(move |model| (task, model))).collect()
    }

    /// Task, network and loss, cell by cell.
    fn entrants(&self) -> Vec<(&'a Task, &'a Selector, &'a Selector)> {
        let losses = &self.settings.losses;
        let with_losses = |(task, model)| losses.iter().map(move |loss| (task, model, loss));
        self.places().into_iter().flat_map(with_losses).collect()
    }

    fn plan(&self, (task, model, loss): (&'a Task, &'a Selector, &'a Selector), rate: f64, seed: u64) -> Plan<'a> {
        Plan { task, model, loss, rate, weight_decay: self.settings.weight_decay, augmentations: &[], seed }
    }

    /// For each entrant the rate at which the fewest trainings diverged over the tuning seeds and, among those, the mean
    /// validation accuracy is best.
    fn choose_rates(&self, run: &Run) -> Result<Vec<f64>, LabError> {
        let rates = &self.settings.rates;
        let seeds = &self.seeds[..self.contest.tuning_seeds.min(self.seeds.len())];
        let mut plans = Vec::new();
        for entrant in self.entrants() {
            for &rate in rates {
                plans.extend(seeds.iter().map(|&seed| self.plan(entrant, rate, seed)));
            }
        }
        let ended = train_all(self.part, self.contest, &plans, run)?;
        let tries = plans.chunks(rates.len() * seeds.len()).zip(ended.chunks(rates.len() * seeds.len()));
        tries
            .map(|(plans, ended)| {
                let at = |rate: f64| plans.iter().zip(ended).filter(move |(plan, _)| plan.rate == rate);
                best_rate(rates, |rate| Merit::of(&at(rate).map(|(_, ended)| ended.validation()).collect::<Vec<_>>()))
            })
            .collect()
    }

    /// Trains each entrant at its rate with every seed; those that chose the rate count among them.
    fn train(&self, rates: &[f64], run: &Run) -> Result<Vec<Vec<Ended>>, LabError> {
        let mut plans = Vec::new();
        for (entrant, &rate) in self.entrants().into_iter().zip(rates) {
            plans.extend(self.seeds.iter().map(|&seed| self.plan(entrant, rate, seed)));
        }
        let ended = train_all(self.part, self.contest, &plans, run)?;
        Ok(ended.chunks(self.seeds.len().max(1)).map(<[Ended]>::to_vec).collect())
    }
}
