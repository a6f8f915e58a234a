//! The choice between bag level and instance level for networks.

use burn::module::Module;
use kiln_loss::aggregate::{BagCrossValidation, BagLoss, CrossValidated};
use kiln_nn::Network;

use super::{BagExamples, BagObjective};
use crate::LabError;
use crate::train::{Batch, Examples, Objective, scalar};

/// Chooses `rho` by `cross_validation`: for each division of the bags and each `rho`, `train` learns from the kept bags, and
/// the held ones say how good that was. A training that diverges has an infinite error.
///
/// # Errors
/// [`LabError::Setting`] where there are fewer bags than parts, and what `train` returns but for divergence.
pub fn choose_rho(
    loss: &BagLoss,
    examples: &BagExamples,
    cross_validation: &BagCrossValidation,
    seed: u64,
    mut train: impl FnMut(&BagObjective, &BagExamples) -> Result<Network, LabError>,
) -> Result<CrossValidated, LabError> {
    let folds = cross_validation.folds();
    if examples.len() < folds {
        let expected = format!("at most {}, the number of training bags", examples.len());
        return Err(LabError::setting("folds", folds, expected));
    }
    cross_validation.choose(examples.len(), seed, |division| {
        let (kept, held) = (examples.select(&division.kept), examples.select(&division.held));
        let error_at = |&rho: &f64| {
            let objective = BagObjective::new(loss.at(rho)?)?;
            match train(&objective, &kept) {
                Ok(network) => Ok(bag_error(&held, &objective, &network)),
                Err(LabError::Diverged { .. }) => Ok(f64::INFINITY),
                Err(error) => Err(error),
            }
        };
        cross_validation.rhos().iter().map(error_at).collect()
    })
}

/// The bag-level loss of all bags.
fn bag_error(held: &BagExamples, objective: &BagObjective, network: &Network) -> f64 {
    let device = network.devices().into_iter().next().unwrap_or_default();
    let all: Vec<usize> = (0..held.len()).collect();
    let (inputs, targets) = held.examples(&all, 1, &device);
    let batch = Batch { inputs, targets, step: 0, epoch: 1, last: true, rows: all };
    scalar(&objective.on_batch(network, &batch).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JobContext;
    use crate::train::{FitSettings, OPTIMIZERS, Schedule, Selector, bag_loss, fit};
    use burn::tensor::Device;
    use kiln_data::{ArrayDataset, Bags, Leftover, TargetEncoding, Targets};
    use kiln_loss::aggregate::{BagCrossValidationConfig, RHO_GRID};
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

    fn chosen(rows: usize, folds: usize, rate: f64) -> Result<CrossValidated, LabError> {
        let (examples, encoding) = linear(rows);
        let context = JobContext::detached(Device::flex());
        let settings =
            FitSettings { epochs: 20, batch_size: 5, learning_rate: rate, schedule: Schedule::Constant, seed: 1 };
        let cross_validation = BagCrossValidationConfig::new().with_folds(folds).init()?;
        choose_rho(&bag_loss(&encoding, 0.0)?, &examples, &cross_validation, 7, |objective, kept| {
            let network = NetworkConfig::mlp([]).init_seeded(&[1], 1, 1, &Device::flex()).map_err(LabError::method)?;
            let optimizer = OPTIMIZERS.build(&Selector::named("sgd"))?;
            Ok(fit(network, kept, None, objective, optimizer, &settings, &context)?.network)
        })
    }

    #[test]
    fn where_means_tell_all_the_bag_level_is_chosen() {
        let choice = chosen(200, 4, 0.05).unwrap();
        assert!(choice.rho.unwrap() <= 0.05, "{choice:?}");
        assert_eq!(choice.errors.len(), RHO_GRID.len());
        let [first, last] = [0, RHO_GRID.len() - 1].map(|at| choice.errors[at].mean);
        assert!(first < 0.01 && last > 10.0 * first, "{choice:?}");
    }

    #[test]
    fn too_few_bags_are_refused_and_divergence_everywhere_leaves_no_choice() {
        assert!(chosen(8, 3, 0.05).unwrap_err().to_string().contains("at most 2, the number of training bags"));
        let choice = chosen(40, 2, 1e30).unwrap();
        assert!(choice.rho.is_none() && choice.errors.iter().all(|error| !error.mean.is_finite()), "{choice:?}");
    }
}
