//! One training of an image network, and the choice of its learning rate.

use burn::tensor::Tensor;
use kiln_lab::train::{
    Examples, FitSettings, Fitting, ImageObjective, ImageRows, OPTIMIZERS, Objective, Schedule, Selector, scalar,
};
use kiln_lab::{JobContext, LabError, Run};
use kiln_nn::{Network, NetworkConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::contenders::{ByName, loss_of};
use super::settings::{Contender, Settings};
use crate::loss::seeds::{Merit, best_rate, unless_diverged};

/// Images that are put through a network together.
const BLOCK: usize = 128;

/// What decides a training besides its data.
pub(super) struct Course {
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) rate: f64,
    pub(super) seed: u64,
}

/// Trains by Adam with a rate that falls along a cosine; nothing where it diverged.
pub(super) fn train(
    network: &NetworkConfig,
    rows: &ImageRows,
    objective: &dyn Objective,
    course: &Course,
    context: &JobContext,
) -> Result<Option<Network>, LabError> {
    let shape = rows.shape();
    let network = network
        .init_seeded(&shape, shape.iter().product(), course.seed, &context.device().autodiff())
        .map_err(LabError::method)?;
    let settings = FitSettings {
        epochs: course.epochs,
        batch_size: course.batch_size,
        learning_rate: course.rate,
        schedule: Schedule::Cosine { warmup: 0.0 },
        seed: course.seed,
    };
    let adam = OPTIMIZERS.build(&Selector::named("adam"))?;
    let fitted = Fitting::new(objective, adam, &settings).run(network, rows, None, context);
    Ok(unless_diverged(fitted)?.map(|fitted| fitted.network))
}

/// Outputs of a network and what they should be, block by block.
///
/// # Shapes
/// - both: `[rows, channels, height, width]`
pub(super) fn outputs(network: &Network, rows: &ImageRows, context: &JobContext) -> [Tensor<4>; 2] {
    let all: Vec<usize> = (0..rows.len()).collect();
    let [channels, height, width] = rows.shape();
    let (mut outputs, mut targets) = (Vec::new(), Vec::new());
    for block in all.chunks(BLOCK) {
        let (input, target) = rows.examples(block, 1, &context.device());
        outputs.push(network.forward(input));
        targets.push(target.values());
    }
    [outputs, targets].map(|blocks| Tensor::cat(blocks, 0).reshape([all.len(), channels, height, width]))
}

/// A loss with a learning rate and a seed.
pub(super) struct Plan<'a> {
    pub(super) contender: &'a Contender,
    pub(super) rate: f64,
    pub(super) seed: u64,
    /// Whether some of its images are drawn: those of the first seed.
    pub(super) is_drawn: bool,
}

/// What a training leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Judged<T> {
    /// Mean of the training's own loss over the validation images.
    validation_loss: f64,
    pub(super) test: T,
}

impl<T> Judged<T> {
    /// Judges by the loss itself, whose outputs and targets on the validation images these are.
    pub(super) fn new(contender: &Contender, validation: [Tensor<4>; 2], test: T) -> Result<Self, LabError> {
        let [outputs, targets] = validation;
        let [_, _, height, width] = targets.dims();
        let loss = loss_of(&contender.loss, [height, width])?;
        Ok(Self { validation_loss: scalar(&loss.mean_dissimilarity(outputs, targets)), test })
    }
}

/// Results at the learning rates that were chosen.
pub(super) struct Compared<T> {
    /// One for each seed; nothing where the training diverged.
    pub(super) results: ByName<Vec<Option<T>>>,
    /// The rates by the names of the contenders.
    pub(super) rates: Vec<(String, f64)>,
}

/// The results of every contender at the learning rate that its own loss on the validation images of the tuning seeds
/// chooses.
///
/// `work` trains and judges, and gives nothing where a training diverged.
pub(super) fn at_best_rates<T: Clone + Serialize + DeserializeOwned + Send>(
    part: &str,
    comparison: &str,
    settings: &Settings,
    run: &Run,
    work: impl Fn(&Plan<'_>, &JobContext) -> Result<Option<Judged<T>>, LabError> + Sync,
) -> Result<Compared<T>, LabError> {
    let seeds = run.seeds();
    let tuning = &seeds[..settings.tuning_seeds.min(seeds.len())];
    let key = |plan: &Plan<'_>| format!("{comparison}-{}-rate-{}-seed-{}", plan.contender.name, plan.rate, plan.seed);
    let plan = |contender, rate, seed| Plan { contender, rate, seed, is_drawn: seeds.first() == Some(&seed) };
    let mut plans = Vec::new();
    for contender in &settings.losses {
        for &rate in &contender.rates {
            plans.extend(tuning.iter().map(|&seed| plan(contender, rate, seed)));
        }
    }
    let tuned = run.grid(part, &plans, key, &work)?;
    let mut rates = Vec::new();
    for contender in &settings.losses {
        let merit = |rate: f64| {
            let own = plans.iter().zip(&tuned);
            let own = own.filter(|(plan, _)| plan.contender.name == contender.name && plan.rate == rate);
            Merit::of(&own.map(|(_, judged)| judged.as_ref().map(|judged| -judged.validation_loss)).collect::<Vec<_>>())
        };
        rates.push((contender.name.clone(), best_rate(&contender.rates, merit)?));
    }
    let mut plans = Vec::new();
    for (contender, (_, rate)) in settings.losses.iter().zip(&rates) {
        plans.extend(seeds.iter().map(|&seed| plan(contender, *rate, seed)));
    }
    let judged = run.grid(part, &plans, key, &work)?;
    let tested = judged.into_iter().map(|judged| judged.map(|judged| judged.test)).collect::<Vec<_>>();
    let entries = settings.losses.iter().map(|contender| contender.name.clone());
    let entries = entries.zip(tested.chunks(seeds.len().max(1)).map(<[_]>::to_vec)).collect();
    Ok(Compared { results: ByName { entries }, rates })
}

/// The objective of a contender on images of a shape.
pub(super) fn objective(loss: &Selector, shape: [usize; 3]) -> Result<ImageObjective, LabError> {
    Ok(ImageObjective { loss: loss_of(loss, [shape[1], shape[2]])?, shape })
}
