//! One training of the comparison.

use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig, decay::WeightDecayConfig};
use burn::tensor::Device;
use kiln_data::{ArrayDataset, Splits};
use kiln_lab::train::{Fit, FitSettings, Objective, Schedule, fit, predict_logits};
use kiln_lab::{JobContext, LabError};
use kiln_nn::Network;

use super::Settings;
use super::network::Perceptron;

/// Trains a network on `splits.train`; nothing where the training diverged, be it with its last step.
pub(super) fn train(
    settings: &Settings,
    network: &Perceptron,
    splits: &Splits,
    objective: &dyn Objective,
    rate: f64,
    seed: u64,
    context: &JobContext,
) -> Result<Option<Network>, LabError> {
    let (shape, classes) = (splits.train.input_shape(), splits.train.num_classes());
    let network = network
        .config(shape.iter().product(), classes)
        .init_seeded(shape, classes, seed, &context.device().autodiff())
        .map_err(LabError::method)?;
    let course = FitSettings {
        epochs: settings.epochs,
        batch_size: settings.batch_size,
        learning_rate: rate,
        schedule: Schedule::Step { factor: 0.1, parts: 3 },
        seed,
    };
    match fit(network, &splits.train, None, objective, optimizer(settings.weight_decay), &course, context) {
        Ok(Fit { network, .. }) => {
            let logits = predict_logits(&network, &splits.train, &context.device()).into_data();
            Ok(logits.iter::<f32>().all(f32::is_finite).then_some(network))
        }
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
    let logits: Vec<f32> = predict_logits(network, data, device).into_data().iter::<f32>().collect();
    hits(&logits, &data.labels(), most)
}

/// Fractions of the rows of logits in which the label is among the `1, 2, ..., most` largest ones.
fn hits(logits: &[f32], labels: &[usize], most: usize) -> Vec<f64> {
    let mut hits = vec![0_usize; most];
    for (logits, &label) in logits.chunks(logits.len() / labels.len()).zip(labels) {
        let own = logits[label];
        // A class that ties with the target counts as above it, so that a constant network has no luck; so does one where
        // a logit is not a number.
        let is_above = |&(class, logit): &(usize, &f32)| class != label && (*logit >= own || logit.is_nan());
        let above = if own.is_nan() { logits.len() } else { logits.iter().enumerate().filter(is_above).count() };
        hits.iter_mut().skip(above).for_each(|hits| *hits += 1);
    }
    hits.into_iter().map(|hits| hits as f64 / labels.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_has_to_be_above_all_others() {
        let logits = [3.0, 1.0, 2.0, 0.5, 0.5, 0.0];
        assert_eq!(hits(&logits, &[0, 0], 3), [0.5, 1.0, 1.0]);
        assert_eq!(hits(&logits, &[1, 2], 3), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_network_of_no_numbers_has_no_hits() {
        assert_eq!(hits(&[f32::NAN; 6], &[0, 2], 3), [0.0; 3]);
        assert_eq!(hits(&[f32::NAN, 1.0, 0.0], &[1], 3), [0.0, 1.0, 1.0]);
        assert_eq!(hits(&[f32::INFINITY; 3], &[1], 3), [0.0, 0.0, 1.0]);
    }
}
