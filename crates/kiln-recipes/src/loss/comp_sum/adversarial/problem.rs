//! A network and its data: training, and what is left of its accuracy under three attacks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use kiln_data::{ArrayDataset, OpenOptions};
use kiln_lab::train::{FitSettings, Schedule, fit_observed};
use kiln_lab::{JobContext, LabError, Run};
use kiln_loss::attack::{PerturbationConfig, Pgd, PgdConfig};
use kiln_nn::{Activation, Network, NetworkConfig};
use serde::{Deserialize, Serialize};

use super::super::nesterov;
use super::AdversarialSettings;
use super::black_box::{margins, survives};
use super::method::{Defence, Method};
use crate::loss::seeds::unless_diverged;
use crate::loss::small_sets::first;

/// One training.
pub(super) struct Job {
    pub(super) method: Method,
    pub(super) rate: f64,
    pub(super) seed: u64,
}

impl Job {
    pub(super) fn key(&self) -> String {
        format!("{}-rate-{}-seed-{}", self.method.label().replace(' ', "-").to_lowercase(), self.rate, self.seed)
    }
}

/// Accuracy on clean and on attacked inputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Quality {
    pub(super) clean: f64,
    /// An example counts where it is right without and with the attack.
    pub(super) robust: f64,
}

impl Quality {
    pub(super) fn score(self) -> f64 {
        0.5 * (self.clean + self.robust)
    }
}

/// One trained network, judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Judged {
    /// Epoch whose network was kept.
    pub(super) epoch: usize,
    pub(super) validation: Quality,
    /// On the test split, under the gradient attack.
    pub(super) test: Quality,
    /// Test accuracy under the random search.
    pub(super) random_search: f64,
    /// Test accuracy on the adversarial examples of the cross-entropy network of the same seed; absent for that network
    /// itself, and where it diverged.
    pub(super) transfer: Option<f64>,
}

/// What is to be learned, and the networks that have learned it.
pub(super) struct Problem<'a> {
    settings: &'a AdversarialSettings,
    weight_decay: f64,
    train: ArrayDataset,
    validation: ArrayDataset,
    test: ArrayDataset,
    /// What this process has trained, by the job's key. A resumed run trains again what it needs.
    networks: Mutex<BTreeMap<String, Option<Kept>>>,
}

impl<'a> Problem<'a> {
    pub(super) fn open(settings: &'a AdversarialSettings, weight_decay: f64, run: &Run) -> Result<Self, LabError> {
        let options = OpenOptions { max_train: Some(settings.max_train), standardise: false, ..OpenOptions::default() };
        let splits = kiln_data::open(&settings.dataset, run.data(), &options)?;
        Ok(Self {
            settings,
            weight_decay,
            train: splits.train,
            validation: first(&splits.validation, settings.max_judged),
            test: first(&splits.test, settings.max_judged),
            networks: Mutex::default(),
        })
    }

    /// Accuracy of guessing.
    pub(super) fn chance(&self) -> f64 {
        1.0 / self.train.num_classes() as f64
    }

    /// Trains a network and gives its validation score; nothing where the training diverged.
    pub(super) fn validation_score(&self, job: &Job, context: &JobContext) -> Result<Option<f64>, LabError> {
        Ok(self.trained(job, context)?.map(|kept| kept.validation.score()))
    }

    /// Trains a network and judges it on the test split; nothing where the training diverged.
    pub(super) fn judge(
        &self,
        job: &Job,
        transfers: Option<&TransferSets>,
        context: &JobContext,
    ) -> Result<Option<Judged>, LabError> {
        let Some(Kept { epoch, network, validation }) = self.trained(job, context)? else { return Ok(None) };
        let (own, device) = (self.settings, context.device());
        let under = |attack: &Attack<'_>| quality(&network, &self.test, attack, &device);
        let transfer = match transfers {
            Some(sets) => sets.of(job.seed, self, &device)?.map(|set| under(&Attack::Transfer(&set)).robust),
            None => None,
        };
        Ok(Some(Judged {
            epoch,
            validation,
            test: under(&Attack::Gradient(&self.strong_attack()?)),
            random_search: under(&Attack::RandomSearch { gamma: own.gamma, queries: own.black_box_queries }).robust,
            transfer,
        }))
    }

    fn trained(&self, job: &Job, context: &JobContext) -> Result<Option<Kept>, LabError> {
        if let Some(known) = lock(&self.networks).get(&job.key()) {
            return Ok(known.clone());
        }
        let kept = self.train(job, context)?;
        lock(&self.networks).insert(job.key(), kept.clone());
        Ok(kept)
    }

    fn train(&self, job: &Job, context: &JobContext) -> Result<Option<Kept>, LabError> {
        let own = self.settings;
        let device = context.device();
        let network = network_config(own)?
            .init_seeded(self.train.input_shape(), self.train.num_classes(), job.seed, &device.clone().autodiff())
            .map_err(LabError::method)?;
        let objective = Defence::new(job.method, job.seed, perturbation(own), own)?;
        let course = FitSettings {
            epochs: own.epochs,
            batch_size: own.batch_size,
            learning_rate: job.rate,
            schedule: Schedule::Cosine { warmup: 0.0 },
            seed: job.seed,
        };
        let optimizer = nesterov(self.weight_decay);
        let quick_attack = gradient_attack(own, own.attack_steps, 1)?;
        let mut best: Option<Kept> = None;
        let fitted =
            fit_observed(network, &self.train, None, &objective, optimizer, &course, context, |epoch, network, _| {
                if epoch % own.evaluate_every != 0 && epoch != own.epochs {
                    return Ok(());
                }
                let network = network.valid();
                let validation = quality(&network, &self.validation, &Attack::Gradient(&quick_attack), &device);
                context.metric(epoch as u64, "validation_clean", validation.clean);
                context.metric(epoch as u64, "validation_robust", validation.robust);
                if best.as_ref().is_none_or(|kept| validation.score() > kept.validation.score()) {
                    best = Some(Kept { epoch, network, validation });
                }
                Ok(())
            });
        match unless_diverged(fitted)? {
            Some(_) if best.is_none() => Err(LabError::setting("epochs", own.epochs, "at least one epoch")),
            Some(_) => Ok(best),
            None => Ok(None),
        }
    }

    /// The gradient attack that judges.
    fn strong_attack(&self) -> Result<Pgd, LabError> {
        gradient_attack(self.settings, self.settings.evaluation_steps, self.settings.evaluation_restarts)
    }
}

/// The test split as attacked on the cross-entropy network of each seed, made when it is first asked for.
pub(super) struct TransferSets {
    rate: f64,
    sets: BTreeMap<u64, Mutex<Option<TransferSet>>>,
}

/// Absent where the cross-entropy network diverged.
type TransferSet = Option<ArrayDataset>;

impl TransferSets {
    /// Sets of the networks that were trained at `rate`.
    pub(super) fn new(rate: f64, seeds: &[u64]) -> Self {
        Self { rate, sets: seeds.iter().map(|&seed| (seed, Mutex::default())).collect() }
    }

    fn of(&self, seed: u64, problem: &Problem<'_>, device: &Device) -> Result<TransferSet, LabError> {
        let Some(slot) = self.sets.get(&seed) else { return Ok(None) };
        let mut slot = lock(slot);
        if slot.is_none() {
            let job = Job { method: Method::CrossEntropy, rate: self.rate, seed };
            let source = problem.trained(&job, &JobContext::detached(device.clone()))?;
            let attack = problem.strong_attack()?;
            *slot = Some(match source {
                Some(kept) => Some(attacked(&kept.network, &problem.test, &attack, device)?),
                None => None,
            });
        }
        Ok(slot.clone().flatten())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The epoch with the best validation score.
#[derive(Clone)]
struct Kept {
    epoch: usize,
    network: Network,
    validation: Quality,
}

fn network_config(settings: &AdversarialSettings) -> Result<NetworkConfig, LabError> {
    match settings.network.as_str() {
        "mlp" => Ok(NetworkConfig::mlp(settings.widths.clone())),
        "lenet" => Ok(NetworkConfig::LeNet { activation: Activation::Relu }),
        other => Err(LabError::unknown("network", other, ["mlp", "lenet"])),
    }
}

fn perturbation(settings: &AdversarialSettings) -> PerturbationConfig {
    PerturbationConfig::new().with_gamma(settings.gamma).with_steps(settings.attack_steps).with_clip(Some((0.0, 1.0)))
}

/// Ascent of the margin, best point of all restarts.
fn gradient_attack(settings: &AdversarialSettings, steps: usize, restarts: usize) -> Result<Pgd, LabError> {
    PgdConfig::new(perturbation(settings).with_steps(steps))
        .with_restarts(restarts)
        .with_keep_best(true)
        .init()
        .map_err(LabError::method)
}

/// What a network has to withstand.
enum Attack<'a> {
    /// Ascent by the network's own gradients.
    Gradient(&'a Pgd),
    /// Queries without gradients.
    RandomSearch { gamma: f64, queries: usize },
    /// The same rows, attacked on another network.
    Transfer(&'a ArrayDataset),
}

impl Attack<'_> {
    /// Whether the network is still right, for each example of a block.
    fn survived(
        &self,
        network: &Network,
        rows: &[usize],
        inputs: Tensor<2>,
        targets: Tensor<1, Int>,
        seed: u64,
    ) -> Vec<bool> {
        let model = |inputs: Tensor<2>| network.forward(inputs);
        let attacked = match self {
            Self::RandomSearch { gamma, queries } => return survives(network, inputs, targets, *gamma, *queries, seed),
            Self::Gradient(attack) => attack.run(&model, inputs, targets.clone(), seed),
            Self::Transfer(set) => set.batch(rows, &inputs.device()).0,
        };
        margins(model(attacked), targets).into_iter().map(|margin| margin < 0.0).collect()
    }
}

const BLOCK: usize = 256;

fn quality(network: &Network, data: &ArrayDataset, attack: &Attack<'_>, device: &Device) -> Quality {
    let (mut clean, mut robust) = (0, 0);
    let rows: Vec<usize> = (0..data.len()).collect();
    for (block, rows) in rows.chunks(BLOCK).enumerate() {
        let (inputs, targets) = data.batch(rows, device);
        let before = margins(network.forward(inputs.clone()), targets.clone());
        let after = attack.survived(network, rows, inputs, targets, block as u64);
        clean += before.iter().filter(|&&margin| margin < 0.0).count();
        robust += before.iter().zip(after).filter(|(before, after)| **before < 0.0 && *after).count();
    }
    let count = data.len() as f64;
    Quality { clean: clean as f64 / count, robust: robust as f64 / count }
}

/// `data` as the attack leaves it.
fn attacked(network: &Network, data: &ArrayDataset, attack: &Pgd, device: &Device) -> Result<ArrayDataset, LabError> {
    let model = |inputs: Tensor<2>| network.forward(inputs);
    let mut found: Vec<f32> = Vec::with_capacity(data.len() * data.num_features());
    let rows: Vec<usize> = (0..data.len()).collect();
    for (block, rows) in rows.chunks(BLOCK).enumerate() {
        let (inputs, targets) = data.batch(rows, device);
        found.extend(attack.run(&model, inputs, targets, block as u64).to_data().iter::<f32>());
    }
    Ok(ArrayDataset::new(found, data.input_shape().to_vec(), data.targets())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::Targets;

    #[test]
    fn examples_attacked_on_a_network_fool_it_as_a_direct_attack_does() {
        let device = Device::flex();
        let network = NetworkConfig::mlp(Vec::new()).init_seeded(&[6], 2, 3, &device).unwrap();
        let inputs: Vec<f32> = (0..60).map(|index| (index * 37 % 60) as f32 / 60.0).collect();
        let answers = network.forward(Tensor::<1>::from_floats(inputs.as_slice(), &device).reshape([10, 6])).argmax(1);
        let labels = answers.to_data().iter::<u32>().collect();
        let targets = Targets::Classes { labels, names: vec!["a".into(), "b".into()] };
        let data = ArrayDataset::new(inputs, vec![6], targets).unwrap();
        let attack = PgdConfig::new(PerturbationConfig::new().with_gamma(0.5).with_clip(Some((0.0, 1.0))));
        let attack = attack.with_restarts(2).init().unwrap();

        let direct = quality(&network, &data, &Attack::Gradient(&attack), &device);
        assert!(direct.clean == 1.0 && direct.robust < 1.0, "{direct:?}");
        let moved = attacked(&network, &data, &attack, &device).unwrap();
        assert_eq!(quality(&network, &data, &Attack::Transfer(&moved), &device), direct);
        assert_eq!(quality(&network, &data, &Attack::Transfer(&data), &device).robust, 1.0);
    }
}
