//! The training loop that recipes use: one process, data in memory, no files.

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor};
use kiln_autodiff::DropoutStream;
use kiln_data::ArrayDataset;
use kiln_data::split::permutation;
use kiln_nn::Network;
use serde::{Deserialize, Serialize};

use super::{Backpropagation, Batch, Examples, Objective, Schedule, TrainingRule};
use crate::{
    JobContext, LabError, Probe,
    probe::{Moment, Watch},
};

/// How long and how fast a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitSettings {
    /// Passes over the training set.
    pub epochs: usize,
    /// Examples a step; the last batch of an epoch is smaller where it does not come out even.
    pub batch_size: usize,
    /// Learning rate before the schedule.
    pub learning_rate: f64,
    /// Change of the learning rate over the steps.
    pub schedule: Schedule,
    /// Decides the order of the examples.
    pub seed: u64,
}

/// What an epoch ended with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Mean of the batch losses seen in the epoch.
    pub train_loss: f64,
    /// Fraction of right answers on the validation set, where there is one.
    pub validation_accuracy: Option<f64>,
}

/// A trained network and its course.
pub struct Fit {
    /// The network, without gradient tracking.
    pub network: Network,
    /// One record an epoch.
    pub history: Vec<EpochRecord>,
}

/// Minimises `objective` on `train` by backpropagation; the same settings and network give the same result bit for bit,
/// dropout included, whatever else runs at the same time. [`Fitting`] takes another rule, and lets probes watch.
///
/// # Errors
/// [`LabError::Diverged`] with the step at which the loss stopped being finite.
pub fn fit<E: Examples>(
    network: Network,
    train: &E,
    validation: Option<&E>,
    objective: &dyn Objective,
    optimizer: ModuleOptimizer,
    settings: &FitSettings,
    context: &JobContext,
) -> Result<Fit, LabError> {
    Fitting::new(objective, optimizer, settings).run(network, train, validation, context)
}

/// As [`fit`], and shows the network and the optimizer to `observe` after every epoch.
///
/// # Errors
/// As [`fit`], and whatever `observe` returns.
#[allow(clippy::too_many_arguments)]
pub fn fit_observed<E: Examples>(
    network: Network,
    train: &E,
    validation: Option<&E>,
    objective: &dyn Objective,
    optimizer: ModuleOptimizer,
    settings: &FitSettings,
    context: &JobContext,
    observe: impl FnMut(usize, &Network, &ModuleOptimizer) -> Result<(), LabError>,
) -> Result<Fit, LabError> {
    Fitting::new(objective, optimizer, settings).after_epoch(observe).run(network, train, validation, context)
}

/// A training in memory, step by step as its rule says.
///
/// ```
/// use kiln_data::{DataDir, OpenOptions, open};
/// use kiln_lab::{JobContext, probe, train::{Backpropagation, FitSettings, Fitting, LOSSES, OPTIMIZERS, Schedule}};
/// use kiln_nn::NetworkConfig;
///
/// let device = burn::tensor::Device::flex();
/// let digits = open("digits", &DataDir::find(None), &OpenOptions::default())?;
/// let network = NetworkConfig::mlp([16]).init_seeded(digits.train.input_shape(), 10, 1, &device)?;
/// let (loss, optimizer) = (LOSSES.build(&"cross-entropy".parse()?)?, OPTIMIZERS.build(&"adam".parse()?)?);
/// let settings =
///     FitSettings { epochs: 1, batch_size: 64, learning_rate: 1e-3, schedule: Schedule::Constant, seed: 1 };
/// let fitted = Fitting::new(&loss, optimizer, &settings)
///     .rule(&Backpropagation)
///     .probe(probe::by_name("confusion")?)
///     .run(network, &digits.train, Some(&digits.validation), &JobContext::detached(device))?;
/// assert_eq!(fitted.history.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Fitting<'a> {
    objective: &'a dyn Objective,
    optimizer: ModuleOptimizer,
    settings: &'a FitSettings,
    rule: &'a dyn TrainingRule,
    probes: Vec<Box<dyn Probe>>,
    after_epoch: AfterEpoch<'a>,
}

type AfterEpoch<'a> = Box<dyn FnMut(usize, &Network, &ModuleOptimizer) -> Result<(), LabError> + 'a>;

impl<'a> Fitting<'a> {
    /// A training by backpropagation that nobody watches.
    pub fn new(objective: &'a dyn Objective, optimizer: ModuleOptimizer, settings: &'a FitSettings) -> Self {
        let after_epoch = Box::new(|_: usize, _: &Network, _: &ModuleOptimizer| Ok(()));
        Self { objective, optimizer, settings, rule: &Backpropagation, probes: Vec::new(), after_epoch }
    }

    /// Takes its steps by `rule`.
    pub fn rule(mut self, rule: &'a dyn TrainingRule) -> Self {
        self.rule = rule;
        self
    }

    /// Lets `probe` watch, at its own cadence.
    pub fn probe(mut self, probe: Box<dyn Probe>) -> Self {
        self.probes.push(probe);
        self
    }

    /// Calls `observe` with the network and the optimizer after every epoch, counted from 1.
    pub fn after_epoch(
        mut self,
        observe: impl FnMut(usize, &Network, &ModuleOptimizer) -> Result<(), LabError> + 'a,
    ) -> Self {
        self.after_epoch = Box::new(observe);
        self
    }

    /// Trains `network`.
    ///
    /// # Errors
    /// [`LabError::Diverged`] with the step at which the loss stopped being finite, and whatever the probes and the
    /// observer return.
    pub fn run<E: Examples>(
        self,
        network: Network,
        train: &E,
        validation: Option<&E>,
        context: &JobContext,
    ) -> Result<Fit, LabError> {
        let Self { objective, mut optimizer, settings, rule, probes, mut after_epoch } = self;
        let plain = network.devices().into_iter().next().unwrap_or_default().inner();
        let tracked = plain.clone().autodiff();
        let mut network = network.fork(&tracked).train();
        let mut watch = Watch::new(probes, validation.unwrap_or(train), &plain);
        let steps_per_epoch = train.len().div_ceil(settings.batch_size);
        let total = steps_per_epoch * settings.epochs;
        let mut history = Vec::with_capacity(settings.epochs);
        let mut step = 0;
        for epoch in 1..=settings.epochs {
            let _masks = DropoutStream::begin(epoch_seed(settings.seed, epoch));
            let order = permutation(train.len(), epoch_seed(settings.seed, epoch));
            let mut loss_sum = 0.0;
            for indices in order.chunks(settings.batch_size) {
                let (inputs, targets) = train.examples(indices, epoch, &tracked);
                let last = (step + 1) % steps_per_epoch == 0;
                let batch = Batch { inputs, targets, step: step as u64, epoch, last, rows: indices.to_vec() };
                let learned = rule.learn(&network, objective, &batch);
                let value = scalar(&learned.loss);
                if !value.is_finite() {
                    return Err(LabError::Diverged {
                        step: step as u64,
                        loss: value,
                        job: String::new(),
                        checkpoint: None,
                    });
                }
                let rate = settings.schedule.rate(settings.learning_rate, step, total);
                network = rule.update(network, &mut optimizer, rate.into(), learned.gradients);
                loss_sum += value;
                step += 1;
                context.progress(step as u64, total as u64, value);
                if last {
                    network = objective.finish_epoch(network);
                }
                let moment = Moment { steps: step as u64, epoch: epoch as u64, ends_epoch: last };
                watch.look(&network, moment, context)?;
            }
            let judged = validation.filter(|data| data.has_classes());
            let validation_accuracy = judged.map(|data| accuracy(&network.valid(), data, &plain));
            let record = EpochRecord { epoch, train_loss: loss_sum / steps_per_epoch as f64, validation_accuracy };
            context.metric(step as u64, "train_loss", record.train_loss);
            if let Some(accuracy) = validation_accuracy {
                context.metric(step as u64, "validation_accuracy", accuracy);
            }
            after_epoch(epoch, &network, &optimizer)?;
            history.push(record);
        }
        Ok(Fit { network: network.valid(), history })
    }
}

/// Seed of the order of the examples in an epoch: independent streams for neighbouring seeds and epochs.
pub fn epoch_seed(seed: u64, epoch: usize) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(epoch as u64)
}

/// Rows that are judged together.
const BLOCK: usize = 512;

/// Outputs of a whole set in blocks, `[num_examples, num_outputs]` in row order: logits where targets are classes.
pub fn predict_logits(network: &Network, data: &ArrayDataset, device: &Device) -> Tensor<2> {
    let all: Vec<usize> = (0..data.len()).collect();
    Tensor::cat(all.chunks(BLOCK).map(|rows| network.forward(data.inputs(rows, device))).collect(), 0)
}

/// Fraction of examples whose largest logit is that of their class, in `[0, 1]`.
///
/// # Panics
/// Where targets are numbers.
pub fn accuracy(network: &Network, data: &impl Examples, device: &Device) -> f64 {
    let all: Vec<usize> = (0..data.len()).collect();
    let right = |rows: &[usize]| {
        let (inputs, targets) = data.examples(rows, 1, device);
        let (predicted, classes) = (network.forward(inputs).argmax(1).into_data(), targets.classes().into_data());
        predicted.iter::<i64>().zip(classes.iter::<i64>()).filter(|(class, label)| class == label).count()
    };
    all.chunks(BLOCK).map(right).sum::<usize>() as f64 / data.len() as f64
}

/// The value of a tensor of one element.
pub fn scalar(tensor: &Tensor<1>) -> f64 {
    tensor.to_data().iter::<f64>().next().unwrap_or(f64::NAN)
}
