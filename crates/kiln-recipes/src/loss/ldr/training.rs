//! One training of the comparison.

use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig, decay::WeightDecayConfig};
use burn::tensor::Device;
use kiln_data::{ArrayDataset, Splits};
use kiln_lab::train::{Fit, FitSettings, Objective, Schedule, fit, predict_logits};
use kiln_lab::{JobContext, LabError};
use kiln_nn::{Network, NetworkConfig};

use super::Settings;

/// Trains on `splits.train`; nothing where the training diverged.
pub(super) fn train(
    settings: &Settings,
    splits: &Splits,
    objective: &dyn Objective,
    rate: f64,
    seed: u64,
    context: &JobContext,
) -> Result<Option<Network>, LabError> {
    let network = NetworkConfig::mlp(settings.hidden.clone())
        .init_seeded(splits.train.input_shape(), splits.train.num_classes(), seed, &context.device().autodiff())
        .map_err(LabError::method)?;
    let course = FitSettings {
        epochs: settings.epochs,
        batch_size: settings.batch_size,
        learning_rate: rate,
        schedule: Schedule::Step { factor: 0.1, parts: 3 },
        seed,
    };
    match fit(network, &splits.train, None, objective, optimizer(settings.weight_decay), &course, context) {
        Ok(Fit { network, .. }) => Ok(Some(network)),
        Err(LabError::Diverged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The paper's optimizer: SGD with momentum 0.9 and weight decay.
fn optimizer(weight_decay: f64) -> ModuleOptimizer {
    SgdConfig::new()
        .with_momentum(Some(MomentumConfig::new().with_momentum(0.9).with_dampening(0.0)))
        .with_weight_decay(Some(WeightDecayConfig::new(weight_decay as f32)))
        .init()
}

/// Fractions of the rows whose class is among the `1, 2, ..., most` largest logits.
pub(super) fn top_accuracies(network: &Network, data: &ArrayDataset, most: usize, device: &Device) -> Vec<f64> {
    let classes = data.num_classes();
    let logits: Vec<f32> = predict_logits(network, data, device).into_data().iter::<f32>().collect();
    let mut hits = vec![0_usize; most];
    for (row, logits) in logits.chunks(classes).enumerate() {
        let own = logits[data.label(row)];
        // A class that ties with the target counts as above it, so that a constant network has no luck.
        let above = logits.iter().filter(|logit| **logit >= own).count().saturating_sub(1);
        hits.iter_mut().skip(above).for_each(|hits| *hits += 1);
    }
    hits.into_iter().map(|hits| hits as f64 / data.len() as f64).collect()
}
