//! The choice between bag level and instance level, by what bags can tell.

use kiln_data::split::permutation;
use kiln_nn::Network;

use super::{BagExamples, BagObjective, Interpolation};
use crate::LabError;
use crate::statistics::Summary;
use crate::train::{Batch, Examples, Objective, scalar};
use kiln_loss::aggregate::BagLoss;

/// What a cross-validation over bags has chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct RhoChoice {
    /// Share of the instance level.
    pub rho: f64,
    /// Error of the means of held-out bags at each share, over the parts; infinite where a training diverged.
    pub errors: Vec<(f64, Summary)>,
}

/// Chooses `rho` among [`Interpolation::GRID`]: the bags are divided into `folds` parts, and for each of them and each `rho`
/// `train` learns from the others. The `rho` with the least mean error of the held-out bags' means wins. No target of a single
/// row is looked at; with few bags the choice is noisy.
///
/// # Errors
/// [`LabError::Setting`] where there are fewer bags than parts, and what `train` returns but for divergence.
pub fn choose_rho(
    loss: &BagLoss,
    examples: &BagExamples,
    folds: usize,
    seed: u64,
    mut train: impl FnMut(&BagObjective, &BagExamples) -> Result<Network, LabError>,
) -> Result<RhoChoice, LabError> {
    if examples.len() < folds {
        let expected = format!("at most {}, the number of training bags", examples.len());
        return Err(LabError::setting("folds", folds, expected));
    }
    let order = permutation(examples.len(), seed);
    let parts: Vec<Fold> = (0..folds).map(|fold| Fold::new(examples, &order, fold, folds)).collect();
    let mut errors = Vec::new();
    for rho in Interpolation::GRID {
        let objective = BagObjective::new(loss.at(rho).map_err(LabError::method)?)?;
        let mut found = Vec::new();
        for fold in &parts {
            found.push(match train(&objective, &fold.kept) {
                Ok(network) => fold.error(&objective, &network),
                Err(LabError::Diverged { .. }) => f64::INFINITY,
                Err(error) => return Err(error),
            });
        }
        errors.push((rho, Summary::of(&found)));
    }
    let best = errors.iter().filter(|(_, error)| error.mean.is_finite()).min_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
    let rho = best.map(|(rho, _)| *rho).ok_or_else(|| {
        LabError::Refused("no training of the cross-validation reached its end: lower the learning rate".into())
    })?;
    Ok(RhoChoice { rho, errors })
}

/// Bags that are learnt from, and bags that are held out.
struct Fold {
    kept: BagExamples,
    held: BagExamples,
}

impl Fold {
    fn new(examples: &BagExamples, order: &[usize], fold: usize, folds: usize) -> Self {
        let own = |is_held: bool| -> Vec<usize> {
            let places = order.iter().enumerate().filter(|(place, _)| (place % folds == fold) == is_held);
            places.map(|(_, &bag)| bag).collect()
        };
        Self { kept: examples.select(&own(false)), held: examples.select(&own(true)) }
    }

    fn error(&self, objective: &BagObjective, network: &Network) -> f64 {
        let device = network_device(network);
        let all: Vec<usize> = (0..self.held.len()).collect();
        let (inputs, targets) = self.held.examples(&all, 1, &device);
        let batch = Batch { inputs, targets, step: 0, epoch: 1, last: true, rows: all };
        scalar(&objective.on_batch(network, &batch).0)
    }
}

fn network_device(network: &Network) -> burn::tensor::Device {
    use burn::module::Module;
    network.devices().into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JobContext;
    use crate::train::{FitSettings, OPTIMIZERS, Schedule, Selector, bag_loss, fit};
    use burn::tensor::Device;
    use kiln_data::{ArrayDataset, Bags, Leftover, TargetEncoding, Targets};
    use kiln_nn::NetworkConfig;

    /// A linear response with little noise: the means tell it, and copying them to the rows only shrinks it.
    fn linear(rows: usize) -> (BagExamples, TargetEncoding) {
        let wave = |at: usize| (at as f32 * 0.7).sin() + (at as f32 * 1.3).cos();
        let inputs: Vec<f32> = (0..rows).map(wave).collect();
        let values = inputs.iter().map(|x| 2.0 * x).collect();
        let names = vec!["y".to_string()];
        let data = ArrayDataset::new(inputs, vec![1], Targets::Values { values, names: names.clone() }).unwrap();
        let encoding = TargetEncoding::Values { columns: names, means: vec![0.0], deviations: vec![1.0] };
        let bags = Bags::random(rows, 4, 1, Leftover::Keep).unwrap();
        (BagExamples::new(&data, &bags, &encoding), encoding)
    }

    fn chosen(rows: usize, folds: usize, rate: f64) -> Result<RhoChoice, LabError> {
        let (examples, encoding) = linear(rows);
        let context = JobContext::detached(Device::flex());
        let settings =
            FitSettings { epochs: 20, batch_size: 5, learning_rate: rate, schedule: Schedule::Constant, seed: 1 };
        choose_rho(&bag_loss(&encoding, 0.0)?, &examples, folds, 7, |objective, kept| {
            let network = NetworkConfig::mlp([]).init_seeded(&[1], 1, 1, &Device::flex()).map_err(LabError::method)?;
            let optimizer = OPTIMIZERS.build(&Selector::named("sgd"))?;
            Ok(fit(network, kept, None, objective, optimizer, &settings, &context)?.network)
        })
    }

    #[test]
    fn where_means_tell_all_the_bag_level_is_chosen() {
        let choice = chosen(200, 4, 0.05).unwrap();
        assert!(choice.rho <= 0.05, "{choice:?}");
        assert_eq!(choice.errors.len(), Interpolation::GRID.len());
        let [first, last] = [&choice.errors[0], &choice.errors[7]];
        assert!(first.1.mean < 0.01 && last.1.mean > 10.0 * first.1.mean, "{choice:?}");
    }

    #[test]
    fn too_few_bags_and_divergence_everywhere_are_refused() {
        assert!(chosen(8, 3, 0.05).unwrap_err().to_string().contains("at most 2, the number of training bags"));
        assert!(chosen(40, 2, 1e30).unwrap_err().to_string().contains("lower the learning rate"));
    }
}
