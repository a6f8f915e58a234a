//! Linear models on bags in double precision: what they learn, how far off they are, and `rho` chosen by what bags can tell.

use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_lab::LabError;
use kiln_loss::aggregate::risk::{BagProblem, estimate_noise, optimal_rho};
use kiln_loss::aggregate::{AggregateError, BagCrossValidation, BagSystem};

/// Rows of features and their responses, with the bag of each row.
pub(super) struct BagData {
    /// `[rows, width]`
    pub(super) features: Vec<f64>,
    pub(super) width: usize,
    /// In rising order of the bags.
    pub(super) bag_of_row: Vec<usize>,
    /// One for each bag.
    pub(super) responses: Vec<f64>,
}

impl BagData {
    pub(super) fn system(&self) -> Result<BagSystem, LabError> {
        let responses = matrix(&self.responses, self.responses.len(), 1);
        let features = matrix(&self.features, self.bag_of_row.len(), self.width);
        BagSystem::new(features, &self.bag_of_row, responses).map_err(LabError::method)
    }

    /// The coefficients at each share; at the bag level, where there are several solutions, the shortest one.
    pub(super) fn path(&self, rhos: &[f64]) -> Result<Vec<Vec<f64>>, LabError> {
        let system = self.system()?;
        let found = match system.path(rhos, 0.0) {
            Err(AggregateError::Singular { .. }) => {
                let rest = rhos.iter().map(|&rho| system.solve_min_norm(rho, 0.0));
                rest.collect::<Result<Vec<_>, _>>()
            }
            other => other,
        };
        let found = found.map_err(LabError::method)?;
        Ok(found.into_iter().map(|theta| theta.into_data().iter::<f64>().collect()).collect())
    }

    /// The share whose predictions of held-out bags' means are best.
    pub(super) fn cross_validated(&self, cross_validation: &BagCrossValidation, seed: u64) -> Result<f64, LabError> {
        let found = cross_validation.choose(self.responses.len(), seed, |division| -> Result<_, LabError> {
            let (kept, held) = (self.only(&division.kept), self.only(&division.held));
            Ok(kept.path(cross_validation.rhos())?.iter().map(|theta| held.bag_error(theta)).collect())
        })?;
        found.rho.ok_or_else(|| LabError::Refused("no share has a finite error on held-out bags".into()))
    }

    /// The share that the calculator expects to be best, by noise and signal as the bags show them; nothing where there are too
    /// few bags for that.
    pub(super) fn calculated(&self) -> Result<Option<f64>, LabError> {
        let found = match estimate_noise(&self.system()?) {
            Ok(found) if found.signal > 0.0 => found,
            Ok(_) => return Ok(Some(1.0)),
            Err(AggregateError::TooFewBags { .. } | AggregateError::Singular { .. }) => return Ok(None),
            Err(error) => return Err(LabError::method(error)),
        };
        let rows = self.bag_of_row.len() as f64;
        let problem =
            BagProblem::new(rows / self.width as f64, rows / self.responses.len() as f64, found.signal, found.noise);
        Ok(Some(optimal_rho(&problem).map_err(LabError::method)?.0))
    }

    /// Bag-level loss: the mean over the rows of the squared misses of their bags' means.
    fn bag_error(&self, theta: &[f64]) -> f64 {
        let mut sums = vec![(0.0, 0.0); self.responses.len()];
        for (row, &bag) in self.features.chunks(self.width).zip(&self.bag_of_row) {
            sums[bag] = (sums[bag].0 + product(row, theta), sums[bag].1 + 1.0);
        }
        let misses = sums.iter().zip(&self.responses);
        misses.map(|((sum, size), response)| size * (sum / size - response).powi(2)).sum::<f64>()
            / self.bag_of_row.len() as f64
    }

    /// Some of the bags, in rising order.
    fn only(&self, bags: &[usize]) -> Self {
        let mut places = vec![None; self.responses.len()];
        bags.iter().enumerate().for_each(|(place, &bag)| places[bag] = Some(place));
        let rows = self.features.chunks(self.width).zip(&self.bag_of_row);
        let (features, bag_of_row): (Vec<&[f64]>, Vec<usize>) =
            rows.filter_map(|(row, &bag)| Some((row, places[bag]?))).unzip();
        let responses = bags.iter().map(|&bag| self.responses[bag]).collect();
        Self { features: features.concat(), width: self.width, bag_of_row, responses }
    }
}

/// Mean squared error of single responses.
pub(super) fn squared_error(theta: &[f64], features: &[f64], responses: &[f64]) -> f64 {
    let rows = features.chunks(theta.len()).zip(responses);
    rows.map(|(row, response)| (product(row, theta) - response).powi(2)).sum::<f64>() / responses.len() as f64
}

pub(super) fn product(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

/// Means of consecutive groups of `size` numbers.
pub(super) fn means(values: &[f64], size: usize) -> Vec<f64> {
    values.chunks(size).map(|bag| bag.iter().sum::<f64>() / bag.len() as f64).collect()
}

fn matrix(values: &[f64], rows: usize, columns: usize) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, columns]), (&Device::flex(), DType::F64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_loss::aggregate::BagCrossValidationConfig;

    /// Responses `2 x` without noise in bags of two.
    fn noiseless() -> BagData {
        let features: Vec<f64> = (0..40).map(|row| (row as f64 * 0.9).sin()).collect();
        let responses = means(&features.iter().map(|x| 2.0 * x).collect::<Vec<_>>(), 2);
        BagData { features, width: 1, bag_of_row: (0..40).map(|row| row / 2).collect(), responses }
    }

    #[test]
    fn without_noise_the_bag_level_is_chosen() {
        let data = noiseless();
        let config = BagCrossValidationConfig::new().with_rhos(vec![0.0, 0.5, 1.0]).with_folds(4);
        assert_eq!(data.cross_validated(&config.init().unwrap(), 1).unwrap(), 0.0);
        assert!(data.cross_validated(&config.with_folds(21).init().unwrap(), 1).is_err());
        assert!(data.calculated().unwrap().unwrap() < 0.05);
        let theta = &data.path(&[0.0, 1.0]).unwrap()[0];
        assert!((theta[0] - 2.0).abs() < 1e-9 && squared_error(theta, &[1.0, 2.0], &[2.0, 5.0]) - 0.5 < 1e-9);
    }

    #[test]
    fn some_bags_keep_their_rows() {
        let (whole, even) = (noiseless(), (0..20).step_by(2).collect::<Vec<_>>());
        let half = whole.only(&even);
        assert_eq!((half.responses.len(), half.bag_of_row.len()), (10, 20));
        assert_eq!((&half.bag_of_row[..4], half.features[2]), (&[0, 0, 1, 1][..], whole.features[4]));
        assert!(half.bag_error(&[2.0]) < 1e-20);
        // At 1 every mean is missed by half of itself.
        let squares = half.responses.iter().map(|response| (0.5 * response).powi(2)).sum::<f64>() / 10.0;
        assert!((half.bag_error(&[1.0]) - squares).abs() < 1e-12);
    }
}
