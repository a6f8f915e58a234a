//! One training of the comparison, and many of them.

use burn::optim::ModuleOptimizer;
use kiln_data::{ArrayDataset, Splits};
use kiln_lab::train::{
    FitSettings, Fitting, LOSSES, MODELS, OPTIMIZERS, PreparedRows, Schedule, Selector, accuracy, build_augmentations,
};
use kiln_lab::{JobContext, LabError, Run};
use kiln_nn::Network;
use serde::{Deserialize, Serialize};

use super::ContestSettings;
use super::tasks::Task;
use crate::loss::seeds::unless_diverged;

/// Everything that decides a training.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) task: &'a Task,
    pub(super) model: &'a Selector,
    pub(super) loss: &'a Selector,
    pub(super) rate: f64,
    pub(super) weight_decay: f64,
    /// Random changes of the training pictures.
    pub(super) augmentations: &'a [Selector],
    pub(super) seed: u64,
}

/// What a training ended with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// Absent where it diverged.
    pub(super) accuracies: Option<Accuracies>,
    /// Share of the more frequent class among the test rows: what a network without knowledge reaches.
    pub(super) majority: f64,
}

/// Fractions of right answers, with the network in evaluation mode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Accuracies {
    pub(super) train: f64,
    pub(super) validation: f64,
    pub(super) test: f64,
}

impl Ended {
    pub(super) fn validation(&self) -> Option<f64> {
        self.accuracies.map(|accuracies| accuracies.validation)
    }

    /// Test accuracy; a training that diverged counts as a network that always gives the more frequent class.
    pub(super) fn test(&self) -> f64 {
        self.accuracies.map_or(self.majority, |accuracies| accuracies.test)
    }
}

impl Plan<'_> {
    fn key(&self) -> String {
        let Self { task, model, loss, rate, weight_decay, seed, .. } = self;
        let changes: String = self.augmentations.iter().map(|change| format!("-{change}")).collect();
        format!("{}-{model}-{loss}-rate-{rate}-decay-{weight_decay}{changes}-seed-{seed}", task.name)
    }
}

/// Trains by every plan.
pub(super) fn train_all(
    part: &str,
    contest: &ContestSettings,
    plans: &[Plan<'_>],
    run: &Run,
) -> Result<Vec<Ended>, LabError> {
    run.grid(part, plans, Plan::key, |plan, context| train(contest, plan, context))
}

fn train(contest: &ContestSettings, plan: &Plan<'_>, context: &JobContext) -> Result<Ended, LabError> {
    let (device, splits) = (context.device(), plan.task.splits(plan.seed));
    let network = train_observed(contest, plan, context, |_, _| Ok(()))?;
    let accuracies = network.map(|network| Accuracies {
        train: accuracy(&network, &splits.train, &device),
        validation: accuracy(&network, &splits.validation, &device),
        test: accuracy(&network, &splits.test, &device),
    });
    Ok(Ended { accuracies, majority: majority(&splits.test) })
}

/// Trains and shows the network to `observe` after every epoch; nothing where the training diverged.
pub(super) fn train_observed(
    contest: &ContestSettings,
    plan: &Plan<'_>,
    context: &JobContext,
    mut observe: impl FnMut(usize, &Network) -> Result<(), LabError>,
) -> Result<Option<Network>, LabError> {
    let Splits { train, preprocessing, .. } = plan.task.splits(plan.seed);
    let network = MODELS
        .build(plan.model)?
        .init_seeded(train.input_shape(), 2, plan.seed, &context.device().autodiff())
        .map_err(LabError::method)?;
    let loss = LOSSES.build(&LOSSES.completed(plan.loss, "seed", plan.seed))?;
    let changes = build_augmentations(plan.augmentations, train.input_shape())?;
    let rows = PreparedRows::new(train, &preprocessing.targets).augmented(changes, plan.seed);
    let course = FitSettings {
        epochs: contest.epochs,
        batch_size: contest.batch_size,
        learning_rate: plan.rate,
        schedule: Schedule::Cosine { warmup: 0.0 },
        seed: plan.seed,
    };
    let fitting = Fitting::new(&loss, sgd(plan.weight_decay)?, &course);
    let fitted = fitting.after_epoch(|epoch, network, _| observe(epoch, network)).run(network, &rows, None, context);
    Ok(unless_diverged(fitted)?.map(|fitted| fitted.network))
}

/// Stochastic gradient descent with momentum 0.9. The exponential loss needs the bound on its gradients, which hardly ever
/// reaches the others.
pub(super) fn sgd(weight_decay: f64) -> Result<ModuleOptimizer, LabError> {
    let sgd = Selector::named("sgdm").with("momentum", 0.9).with("clip-norm", 10).with("weight-decay", weight_decay);
    Ok(OPTIMIZERS.build(&sgd)?)
}

fn majority(data: &ArrayDataset) -> f64 {
    let most = data.class_counts().into_iter().max().unwrap_or(0);
    most as f64 / data.len().max(1) as f64
}
