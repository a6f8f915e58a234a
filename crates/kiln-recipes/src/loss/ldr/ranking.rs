//! All losses on all sets under every kind of noise, each with the settings and the learning rate that suit it best.

use kiln_data::Splits;
use kiln_lab::train::{LOSSES, Selector};
use kiln_lab::{Finding, JobContext, LabError, Run};
use kiln_loss::ClassificationLoss;
use serde::{Deserialize, Serialize};

use super::Settings;
use super::choice::{Choice, choose};
use super::comparison::{Comparison, HEAVY_NOISE};
use super::contenders::untuned;
use super::network::Perceptron;
use super::noise::corrupted;
use super::settings::RankingSettings;
use super::training::{top_accuracies, train};
use crate::loss::small_sets::Sets;

/// How many of the largest logits are looked at.
pub(super) const MOST: usize = 5;

pub(super) fn run(
    part: &'static str,
    settings: &Settings,
    own: &RankingSettings,
    run: &mut Run,
) -> Result<Vec<Finding>, LabError> {
    let sets = Sets::open(&own.datasets, &settings.open_options(), settings.max_test, run)?;
    let trainings = Trainings { part, settings, own, sets: &sets.here, run };
    let chosen = choose(&trainings, &settings.contenders, &settings.noises)?;
    let cells = trainings.cells(&chosen, settings.contenders.len())?;
    let heavy: Vec<String> = settings.noises.iter().filter(|noise| *noise == HEAVY_NOISE).cloned().collect();
    let single = [untuned()];
    let untuned = trainings.cells(&choose(&trainings, &single, &heavy)?, 1)?;
    let comparison =
        Comparison { part, settings, own, cells: &cells, chosen: &chosen, untuned: &untuned, missing: sets.missing() };
    comparison.report(run)?;
    Ok(comparison.findings())
}

/// What the trainings of a part have in common.
pub(super) struct Trainings<'a, 'r> {
    part: &'static str,
    settings: &'a Settings,
    pub(super) own: &'a RankingSettings,
    pub(super) sets: &'a [Splits],
    run: &'r Run,
}

/// One training.
pub(super) struct Job<'a> {
    pub(super) set: usize,
    pub(super) noise: &'a str,
    pub(super) loss: &'a Selector,
    pub(super) rate: f64,
    pub(super) seed: u64,
}

impl Job<'_> {
    fn perform(
        &self,
        settings: &Settings,
        network: &Perceptron,
        splits: &Splits,
        context: &JobContext,
    ) -> Result<Ended, LabError> {
        let (noisy, _) = corrupted(splits, self.noise, self.seed)?;
        let loss = LOSSES.build(self.loss)?;
        loss.check_classes(noisy.train.num_classes()).map_err(LabError::method)?;
        let device = context.device();
        let network = train(settings, network, &noisy, &loss, self.rate, self.seed, context)?;
        Ok(match network {
            None => Ended { validation: None, test: None },
            Some(network) => Ended {
                validation: top_accuracies(&network, &noisy.validation, 1, &device).first().copied(),
                test: Some(top_accuracies(&network, &noisy.test, MOST, &device)),
            },
        })
    }
}

/// What it ended with; nothing where it diverged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) validation: Option<f64>,
    /// Top-1 to top-5 accuracy on clean test labels.
    test: Option<Vec<f64>>,
}

/// Accuracies of all contenders on one set under one noise.
pub(super) struct Cell<'a> {
    pub(super) set: &'a str,
    pub(super) noise: &'a str,
    /// `[contender][seed][k - 1]`; zeros where the training diverged.
    pub(super) accuracies: Vec<Vec<Vec<f64>>>,
}

impl<'a, 'r> Trainings<'a, 'r> {
    /// The seeds of the part.
    pub(super) fn seeds(&self) -> &'r [u64] {
        let seeds = self.run.seeds();
        &seeds[..self.own.seeds.min(seeds.len())]
    }

    /// Performs all `jobs`; those that an earlier call has performed are only read.
    pub(super) fn perform(&self, jobs: &[Job<'_>]) -> Result<Vec<Ended>, LabError> {
        let (settings, sets) = (self.settings, self.sets);
        let network = &Perceptron::named("network", &self.own.network)?;
        let key = |job: &Job<'_>| {
            let Job { set, noise, loss, rate, seed } = job;
            format!("{}-{noise}-{loss}-rate-{rate}-seed-{seed}", sets[*set].name)
        };
        self.run.grid(self.part, jobs, key, |job, context| job.perform(settings, network, &sets[job.set], context))
    }

    /// What the choices, of so many contenders a cell, come to on every seed.
    fn cells<'b>(&self, chosen: &[Choice<'b>], contenders: usize) -> Result<Vec<Cell<'b>>, LabError>
    where
        'a: 'b,
    {
        let seeds = self.seeds();
        let job = |choice: &Choice<'b>, seed: u64| {
            let Choice { set, noise, loss, rate, .. } = *choice;
            Job { set, noise, loss, rate, seed }
        };
        let jobs: Vec<Job<'b>> =
            chosen.iter().flat_map(|choice| seeds.iter().map(move |&seed| job(choice, seed))).collect();
        let ended = self.perform(&jobs)?;
        let by_contender: Vec<Vec<Vec<f64>>> = ended
            .chunks(seeds.len())
            .map(|seeds| seeds.iter().map(|ended| ended.test.clone().unwrap_or_else(|| vec![0.0; MOST])).collect())
            .collect();
        let cells = chosen.chunks(contenders).zip(by_contender.chunks(contenders));
        Ok(cells
            .map(|(choices, accuracies)| Cell {
                set: &self.sets[choices[0].set].name,
                noise: choices[0].noise,
                accuracies: accuracies.to_vec(),
            })
            .collect())
    }
}
