//! Means of bags that may be published: label differential privacy.
//!
//! Each response is clipped to a range, each bag releases one mean with noise, and bags have no row in common; whoever sees the
//! means learns next to nothing about any single response. The features are not protected.
//!
//! ```text
//! Laplace:   ybar_a + Lap((hi - lo) / (k_a eps))                       (eps, 0)-DP in the responses
//! Gaussian:  ybar_a + N(0, sigma^2), sigma the least that suffices     (eps, delta)-DP in the responses
//! ```
//! Noise that is rounded to floating-point numbers gives responses away by its last bits (I. Mironov, CCS 2012). So the noise is
//! never rounded: responses become whole numbers of steps of `(hi - lo) / 65536`, and it is drawn from the discrete Laplace or
//! Gaussian distribution over whole numbers by arithmetic on these (C. Canonne, G. Kamath, T. Steinke, arXiv 2004.00010), with
//! random bits of ChaCha20 seeded by the operating system. The Laplace distribution is exact. Of the Gaussian one the
//! probabilities with which a candidate is kept are exact to 2^-58: squares that would not fit into 128 bits are shortened, which
//! happens where `epsilon` is small and `delta` as well.
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
use discrete::{Noise, STEPS};
use mechanism::WIDTHS;

/// What was released of each bag, and what that costs.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountedRelease {
    /// Mean of each bag with noise, in the order of the bags. It may lie outside the range.
    pub means: Vec<f64>,
    /// What it costs; nothing in it depends on the responses.
    pub account: PrivacyAccount,
    /// Responses outside the range: their bags' means are biased by what was cut off. **Not private**: it is an exact count of the
    /// responses, which no noise covers, for whoever holds these and to be published nowhere.
    pub clipped: usize,
}

impl AccountedRelease {
    /// Share of the responses that were outside the range, in `[0, 1]`; no more private than [`clipped`](Self::clipped).
    pub fn clipped_share(&self) -> f64 {
        self.clipped as f64 / self.account.rows as f64
    }
}

/// What a release costs: settings and sizes alone, which may be published with the means.
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
    /// Rows of the smallest bag, which has the largest noise.
    pub smallest_bag: usize,
    /// Standard deviation of the noise of that bag's mean, in the unit of the responses.
    pub largest_noise: f64,
}

/// Refuses ranges that no response can be clipped to, and those whose steps or whose noise are too small or too large for double
/// precision.
///
/// # Errors
/// [`AggregateError::Range`].
///
/// ```
/// use kiln_loss::aggregate::dp::check_range;
///
/// assert!(check_range((0.0, 100.0)).is_ok());
/// assert!(check_range((-1e308, 1e308)).is_err());
/// ```
pub fn check_range((low, high): (f64, f64)) -> Result<(), AggregateError> {
    let refused = |expected| Err(AggregateError::Range { low, high, expected });
    if !(low.is_finite() && high.is_finite()) {
        return refused("both ends must be finite");
    }
    if low >= high {
        return refused("the lower end must be below the upper one");
    }
    if !WIDTHS.contains(&(high - low)) {
        return refused("it must be from 1e-140 to 1e140 wide, so that steps of it and noise on it are numbers");
    }
    Ok(())
}

/// The means of bags with noise from the operating system's randomness.
///
/// `responses` has one number a row, and `bag_of_row` its bag in `0..num_bags`; every bag has a row, and what is known in advance
/// about range, bags and `mechanism` must not depend on the responses. Releasing the same responses again costs again.
///
/// # Errors
/// [`AggregateError::Range`] as [`check_range`], [`AggregateError::NotFinite`] for a response that is no number,
/// [`AggregateError::EmptyBag`], [`AggregateError::NoEntropy`].
///
/// ```
/// use kiln_loss::aggregate::dp::{Mechanism, release};
///
/// let released = release(&[0.2, 0.9, 0.4, 1.7], &[0, 0, 1, 1], (0.0, 1.0), Mechanism::laplace(1.0)?)?;
/// assert_eq!((released.means.len(), released.clipped), (2, 1));
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
    check_range((low, high))?;
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
            smallest_bag,
            largest_noise: mechanism.noise_deviation(high - low, smallest_bag)?,
        },
        clipped: responses.iter().filter(|&&response| response < low || response > high).count(),
    })
}
