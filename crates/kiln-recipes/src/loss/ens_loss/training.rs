//! One training of the comparison.

use kiln_data::Splits;
use kiln_lab::train::{FitSettings, Fitting, LOSSES, MODELS, OPTIMIZERS, Schedule, Selector, accuracy};
use kiln_lab::{JobContext, LabError};
use kiln_nn::Network;
use serde::{Deserialize, Serialize};

use super::ContestSettings;
use super::settings::ENSEMBLE;

/// Everything that decides a training besides its data.
pub(super) struct Plan<'a> {
    pub(super) model: &'a Selector,
    pub(super) loss: &'a Selector,
    pub(super) rate: f64,
    pub(super) weight_decay: f64,
    pub(super) seed: u64,
}

/// What a training ended with; nothing where it diverged.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) validation: Option<f64>,
    pub(super) test: Option<f64>,
}

/// Trains and judges by accuracy.
pub(super) fn train(
    contest: &ContestSettings,
    splits: &Splits,
    plan: &Plan<'_>,
    context: &JobContext,
) -> Result<Ended, LabError> {
    let device = context.device();
    match train_observed(contest, splits, plan, context, |_, _| Ok(())) {
        Ok(network) => Ok(Ended {
            validation: Some(accuracy(&network, &splits.validation, &device)),
            test: Some(accuracy(&network, &splits.test, &device)),
        }),
        Err(LabError::Diverged { .. }) => Ok(Ended { validation: None, test: None }),
        Err(error) => Err(error),
    }
}

/// Trains and shows the network to `observe` after every epoch.
pub(super) fn train_observed(
    contest: &ContestSettings,
    splits: &Splits,
    plan: &Plan<'_>,
    context: &JobContext,
    mut observe: impl FnMut(usize, &Network) -> Result<(), LabError>,
) -> Result<Network, LabError> {
    let tracked = context.device().autodiff();
    // Dropout draws from the device.
    tracked.seed(plan.seed);
    let network = MODELS
        .build(plan.model)?
        .init_seeded(splits.train.input_shape(), 2, plan.seed, &tracked)
        .map_err(LabError::method)?;
    let loss = match plan.loss.name() {
        ENSEMBLE => LOSSES.build(&plan.loss.clone().with("seed", plan.seed))?,
        _ => LOSSES.build(plan.loss)?,
    };
    // The exponential loss needs the bound on its gradients; it hardly ever reaches the others.
    let optimizer = Selector::named("sgdm").with("momentum", 0.9).with("clip-norm", 10);
    let optimizer = OPTIMIZERS.build(&optimizer.with("weight-decay", plan.weight_decay))?;
    let course = FitSettings {
        epochs: contest.epochs,
        batch_size: contest.batch_size,
        learning_rate: plan.rate,
        schedule: Schedule::Cosine { warmup: 0.0 },
        seed: plan.seed,
    };
    let fitted = Fitting::new(&loss, optimizer, &course).after_epoch(|epoch, network, _| observe(epoch, network)).run(
        network,
        &splits.train,
        None,
        context,
    )?;
    Ok(fitted.network)
}
