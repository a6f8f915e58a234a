//! Means of bags that may be published: label differential privacy.
//!
//! Each response is clipped to a range, each bag releases one mean with noise, and bags have no row in common; whoever sees the
//! means learns next to nothing about any single response. The features are not protected.
//!
//! ```text
//! Laplace:   ybar_a + Lap((hi - lo) / (k_a eps))                       (eps, 0)-DP in the responses
//! Gaussian:  ybar_a + N(0, sigma^2), sigma the least that suffices     (eps, delta)-DP in the responses
//! ```
//! Noise that is rounded to floating-point numbers gives responses away by its last bits (I. Mironov, CCS 2012). So nothing here is
//! rounded: responses become whole numbers of steps of `(hi - lo) / 65536`, and the noise is drawn from the discrete Laplace or
//! Gaussian distribution over whole numbers by exact arithmetic (C. Canonne, G. Kamath, T. Steinke, arXiv 2004.00010), with random
//! bits of ChaCha20 seeded by the operating system.
//!
//! Source: arXiv 2401.11081, section 5; the Gaussian noise is that of B. Balle, Y.-X. Wang, arXiv 1805.06530.

mod discrete;
mod mechanism;

use rand::rngs::SysRng;
use rand::{Rng, SeedableRng};
use rand_chacha::{ChaCha8Rng, ChaCha20Rng};
use serde::Serialize;

pub use mechanism::Mechanism;

use super::AggregateError;
use super::bag_rows::{bag_sizes, require_finite};
use super::error::require;
use discrete::{Noise, STEPS};

/// What was released of each bag, and what that costs.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountedRelease {
    /// Mean of each bag with noise, in the order of the bags. It may lie outside the range.
    pub means: Vec<f64>,
    /// What it costs.
    pub account: PrivacyAccount,
}

/// What a release costs, and what it did to the responses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrivacyAccount {
    /// The noise.
    pub mechanism: Mechanism,
    /// Lower end of the range.
    pub low: f64,
    /// Upper end of the range.
    pub high: f64,
    /// Number of bags, each with one release.
    pub bags: usize,
    /// Number of responses.
    pub rows: usize,
    /// Responses outside the range: their bags' means are biased by what was cut off.
    pub clipped: usize,
    /// Rows of the smallest bag, which has the largest noise.
    pub smallest_bag: usize,
    /// Standard deviation of the noise of that bag's mean, in the unit of the responses.
    pub largest_noise: f64,
}

impl PrivacyAccount {
    /// Share of the responses that were outside the range, in `[0, 1]`.
    pub fn clipped_share(&self) -> f64 {
        self.clipped as f64 / self.rows as f64
    }
}

/// The means of bags with noise from the operating system's randomness.
///
/// `responses` has one number a row, and `bag_of_row` its bag in `0..num_bags`; every bag has a row, and what is known in advance
/// about range, bags and `mechanism` must not depend on the responses. Releasing the same responses again costs again.
///
/// # Errors
/// [`AggregateError::Setting`] for a range whose lower end is not below the upper one, [`AggregateError::NotFinite`] for a
/// response that is no number, [`AggregateError::EmptyBag`], [`AggregateError::NoEntropy`].
///
/// ```
/// use kiln_loss::aggregate::dp::{Mechanism, release};
///
/// let released = release(&[0.2, 0.9, 0.4, 1.7], &[0, 0, 1, 1], (0.0, 1.0), Mechanism::laplace(1.0)?)?;
/// assert_eq!((released.means.len(), released.account.clipped), (2, 1));
/// # Ok::<(), kiln_loss::aggregate::AggregateError>(())
/// ```
pub fn release(
    responses: &[f64],
    bag_of_row: &[usize],
    range: (f64, f64),
    mechanism: Mechanism,
) -> Result<AccountedRelease, AggregateError> {
    let random = ChaCha20Rng::try_from_rng(&mut SysRng);
    let mut random = random.map_err(|error| AggregateError::NoEntropy { reason: error.to_string() })?;
    released(responses, bag_of_row, range, mechanism, &mut random)
}

/// The same with noise that a seed decides, for experiments: **not private**, because the seed takes the noise off again.
///
/// # Errors
/// As [`release`].
pub fn release_reproducibly(
    responses: &[f64],
    bag_of_row: &[usize],
    range: (f64, f64),
    mechanism: Mechanism,
    seed: u64,
) -> Result<AccountedRelease, AggregateError> {
    released(responses, bag_of_row, range, mechanism, &mut ChaCha8Rng::seed_from_u64(seed))
}

fn released(
    responses: &[f64],
    bag_of_row: &[usize],
    (low, high): (f64, f64),
    mechanism: Mechanism,
    random: &mut impl Rng,
) -> Result<AccountedRelease, AggregateError> {
    require(low.is_finite(), "lower end of the range", low, "finite")?;
    require(high.is_finite(), "upper end of the range", high, "finite")?;
    require(low < high, "lower end of the range", low, "below the upper end")?;
    if bag_of_row.len() != responses.len() {
        let (found, expected) = (bag_of_row.len(), responses.len());
        return Err(AggregateError::Shape { what: "bags of the rows", found, expected });
    }
    require_finite("response", responses)?;
    let bags = bag_of_row.iter().max().map_or(0, |&last| last + 1);
    let sizes = bag_sizes(bag_of_row, bags)?;
    let smallest_bag = sizes.iter().copied().min().unwrap_or(1);
    let noise = Noise::of(mechanism);
    let step = (high - low) / STEPS as f64;
    let mut sums = vec![0_i128; bags];
    for (response, &bag) in responses.iter().zip(bag_of_row) {
        sums[bag] += ((response.clamp(low, high) - low) / step).round() as i128;
    }
    let means =
        sums.iter().zip(&sizes).map(|(sum, &size)| low + step * ((sum + noise.draw(random)) as f64 / size as f64));
    Ok(AccountedRelease {
        means: means.collect(),
        account: PrivacyAccount {
            mechanism,
            low,
            high,
            bags,
            rows: responses.len(),
            clipped: responses.iter().filter(|&&response| response < low || response > high).count(),
            smallest_bag,
            largest_noise: mechanism.noise_deviation(high - low, smallest_bag)?,
        },
    })
}
