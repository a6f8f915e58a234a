//! One training of an image network.

use burn::tensor::Tensor;
use kiln_lab::train::{
    Examples, FitSettings, Fitting, ImageObjective, ImageRows, OPTIMIZERS, Objective, Schedule, Selector,
};
use kiln_lab::{JobContext, LabError};
use kiln_nn::{Network, NetworkConfig};

use super::contenders::loss_of;
use crate::loss::seeds::unless_diverged;

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

/// The objective of a contender on images of a shape.
pub(super) fn objective(loss: &Selector, shape: [usize; 3]) -> Result<ImageObjective, LabError> {
    Ok(ImageObjective { loss: loss_of(loss, [shape[1], shape[2]])?, shape })
}
