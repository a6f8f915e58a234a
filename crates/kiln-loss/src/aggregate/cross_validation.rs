//! The share of the instance level by what bags can tell.

use burn::config::Config;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::AggregateError;
use super::error::require;

/// Shares of the instance level to choose among. With many rows for each feature the best ones are small, hence the
/// steps below 0.05.
pub const RHO_GRID: [f64; 12] = [0.0, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0];

/// Configuration of [`BagCrossValidation`].
#[derive(Config, Debug)]
pub struct BagCrossValidationConfig {
    /// Shares of the instance level to choose among, at least one; none negative.
    #[config(default = "RHO_GRID.to_vec()")]
    pub rhos: Vec<f64>,
    /// Parts into which the bags are divided, at least 2; each is held out once.
    #[config(default = 5)]
    pub folds: usize,
    /// How often they are divided anew, at least once.
    #[config(default = 1)]
    pub repeats: usize,
}

impl BagCrossValidationConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`AggregateError::Setting`].
    pub fn init(&self) -> Result<BagCrossValidation, AggregateError> {
        require(!self.rhos.is_empty(), "number of shares", 0.0, "at least 1")?;
        for &rho in &self.rhos {
            require(rho >= 0.0 && rho.is_finite(), "rho", rho, "at least 0, usually at most 1")?;
        }
        require(self.folds >= 2, "folds", self.folds as f64, "at least 2")?;
        require(self.repeats >= 1, "repeats", self.repeats as f64, "at least 1")?;
        Ok(BagCrossValidation { rhos: self.rhos.clone(), folds: self.folds, repeats: self.repeats })
    }
}

/// Cross-validation over bags: the share with which the means of bags that were not learnt from are predicted best.
///
/// ```text
/// rho = argmin_rho  mean over divisions of  L_bag(held bags; learnt at rho from the other bags)
/// ```
/// Only means of bags are looked at, so that nothing about single responses leaks into the choice. With few bags it is noisy;
/// [`risk`](super::risk) is another way.
///
/// ```
/// use kiln_loss::aggregate::{AggregateError, BagCrossValidationConfig};
///
/// let cross_validation = BagCrossValidationConfig::new().with_rhos(vec![0.0, 0.1, 1.0]).init()?;
/// let choice = cross_validation.choose(20, 1, |division| {
///     assert_eq!((division.kept.len(), division.held.len()), (16, 4));
///     // Here a model is learnt from the kept bags at each share and judged by the held ones.
///     Ok::<_, AggregateError>(vec![3.0, 1.0, 2.0])
/// })?;
/// assert_eq!(choice.rho, Some(0.1));
/// # Ok::<(), AggregateError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BagCrossValidation {
    rhos: Vec<f64>,
    folds: usize,
    repeats: usize,
}

/// Bags that are learnt from and bags that are held out, both in rising order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BagDivision {
    /// To learn from.
    pub kept: Vec<usize>,
    /// To judge by.
    pub held: Vec<usize>,
}

/// What a cross-validation has shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossValidated {
    /// The share with the least mean error, the smallest of equals; nothing where no share has a finite one.
    pub rho: Option<f64>,
    /// The errors of all shares.
    pub errors: Vec<RhoErrors>,
}

/// Errors of held-out bags at one share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RhoErrors {
    /// Share of the instance level.
    pub rho: f64,
    /// Mean over the divisions.
    pub mean: f64,
    /// Division by division.
    pub held_out: Vec<f64>,
}

impl BagCrossValidation {
    /// The shares that are chosen among.
    pub fn rhos(&self) -> &[f64] {
        &self.rhos
    }

    /// Parts into which the bags are divided.
    pub fn folds(&self) -> usize {
        self.folds
    }

    /// Trainings that a choice takes where each is at one share.
    pub fn trainings(&self) -> usize {
        self.rhos.len() * self.folds * self.repeats
    }

    /// The choice for so many bags, divided as `seed` says. `errors_of` learns from the kept bags of a division at each of the
    /// [`rhos`](Self::rhos) and gives the bag-level losses of the held ones, infinite where a training diverged.
    ///
    /// # Errors
    /// [`AggregateError::TooFewToDivide`] where there are fewer bags than parts, and what `errors_of` returns.
    ///
    /// # Panics
    /// Where `errors_of` does not give one error for each share.
    pub fn choose<E: From<AggregateError>>(
        &self,
        bags: usize,
        seed: u64,
        mut errors_of: impl FnMut(&BagDivision) -> Result<Vec<f64>, E>,
    ) -> Result<CrossValidated, E> {
        if bags < self.folds {
            return Err(AggregateError::TooFewToDivide { bags, folds: self.folds }.into());
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut held_out = vec![Vec::new(); self.rhos.len()];
        for _ in 0..self.repeats {
            let part_of_bag = self.parts(bags, &mut random);
            for part in 0..self.folds {
                let errors = errors_of(&BagDivision::new(&part_of_bag, part))?;
                assert_eq!(errors.len(), self.rhos.len(), "one error for each share is needed");
                held_out.iter_mut().zip(errors).for_each(|(own, error)| own.push(error));
            }
        }
        Ok(CrossValidated::of(self.rhos.iter().copied().zip(held_out)))
    }

    /// A part for each bag, all of the same size or one bag apart.
    fn parts(&self, bags: usize, random: &mut impl Rng) -> Vec<usize> {
        let mut order: Vec<(u64, usize)> = (0..bags).map(|bag| (random.next_u64(), bag)).collect();
        order.sort_unstable();
        let mut parts = vec![0; bags];
        order.into_iter().enumerate().for_each(|(place, (_, bag))| parts[bag] = place % self.folds);
        parts
    }
}

impl BagDivision {
    fn new(part_of_bag: &[usize], part: usize) -> Self {
        let (held, kept) = (0..part_of_bag.len()).partition(|&bag| part_of_bag[bag] == part);
        Self { kept, held }
    }
}

impl CrossValidated {
    fn of(errors: impl Iterator<Item = (f64, Vec<f64>)>) -> Self {
        let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
        let errors: Vec<RhoErrors> =
            errors.map(|(rho, held_out)| RhoErrors { rho, mean: mean(&held_out), held_out }).collect();
        let finite = errors.iter().filter(|error| error.mean.is_finite());
        let rho = finite.min_by(|a, b| a.mean.total_cmp(&b.mean)).map(|best| best.rho);
        Self { rho, errors }
    }
}
