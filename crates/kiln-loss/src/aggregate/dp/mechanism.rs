//! How much noise is enough.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::discrete::{Noise, STEPS};
use crate::aggregate::AggregateError;
use crate::aggregate::error::require;

/// Widths of a range whose steps, noise and the squares of it are normal numbers, at any `epsilon` and `delta`.
pub(super) const WIDTHS: RangeInclusive<f64> = 1e-140..=1e140;

/// The noise on the mean of a bag.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "noise")]
pub enum Mechanism {
    /// Laplace noise: `epsilon`-DP.
    Laplace {
        /// Privacy lost, see [`Mechanism::laplace`].
        epsilon: f64,
    },
    /// Gaussian noise: `(epsilon, delta)`-DP.
    Gaussian {
        /// Privacy lost, see [`Mechanism::gaussian`].
        epsilon: f64,
        /// Probability with which more may be lost.
        delta: f64,
    },
}

impl Mechanism {
    /// Laplace noise that loses `epsilon`, from 0.001 to 100.
    ///
    /// # Errors
    /// [`AggregateError::Setting`].
    pub fn laplace(epsilon: f64) -> Result<Self, AggregateError> {
        Ok(Self::Laplace { epsilon: check_epsilon(epsilon)? })
    }

    /// Gaussian noise that loses `epsilon`, from 0.001 to 100, but with probability `delta`, from 1e-15 to below 1.
    ///
    /// # Errors
    /// [`AggregateError::Setting`].
    pub fn gaussian(epsilon: f64, delta: f64) -> Result<Self, AggregateError> {
        let valid = (1e-15..1.0).contains(&delta);
        let delta = require(valid, "delta", delta, "from 1e-15 to below 1, and far below one over the number of rows")?;
        Ok(Self::Gaussian { epsilon: check_epsilon(epsilon)?, delta })
    }

    /// `epsilon`.
    pub fn epsilon(&self) -> f64 {
        match *self {
            Self::Laplace { epsilon } | Self::Gaussian { epsilon, .. } => epsilon,
        }
    }

    /// `delta`; 0 for Laplace noise.
    pub fn delta(&self) -> f64 {
        match *self {
            Self::Laplace { .. } => 0.0,
            Self::Gaussian { delta, .. } => delta,
        }
    }

    /// Standard deviation of the noise on the mean of `bag_size` responses in a range of width `range`.
    ///
    /// ```text
    /// Laplace:  sqrt(2) range / (k eps)        Gaussian:  sigma(eps, delta) range / k
    /// ```
    ///
    /// # Errors
    /// [`AggregateError::Setting`] for a range that is not above 0, or so small or large that its noise is no number, or a bag
    /// without rows.
    pub fn noise_deviation(&self, range: f64, bag_size: usize) -> Result<f64, AggregateError> {
        require(WIDTHS.contains(&range), "range", range, "above 0, from 1e-140 to 1e140")?;
        require(bag_size > 0, "bag size", bag_size as f64, "at least 1")?;
        let of_the_sum = match *self {
            Self::Laplace { epsilon } => std::f64::consts::SQRT_2 / epsilon,
            Self::Gaussian { .. } => Noise::of(*self).scale() / STEPS as f64,
        };
        Ok(of_the_sum * range / bag_size as f64)
    }
}

fn check_epsilon(epsilon: f64) -> Result<f64, AggregateError> {
    require((1e-3..=100.0).contains(&epsilon), "epsilon", epsilon, "from 0.001 (most private) to 100")
}

/// The least standard deviation, in units of the sensitivity, at which Gaussian noise is `(epsilon, delta)`-DP.
///
/// ```text
/// Phi(1 / (2 s) - eps s) - e^eps Phi(-1 / (2 s) - eps s) <= delta
/// ```
/// Source: arXiv 1805.06530, theorem 8.
pub(super) fn gaussian_deviation(epsilon: f64, delta: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while gaussian_delta(epsilon, high) > delta {
        low = high;
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if gaussian_delta(epsilon, middle) > delta { low = middle } else { high = middle }
    }
    high
}

/// The `delta` of Gaussian noise at `epsilon`, for a standard deviation in units of the sensitivity.
pub(super) fn gaussian_delta(epsilon: f64, deviation: f64) -> f64 {
    let (shift, scaled) = (0.5 / deviation, epsilon * deviation);
    normal(shift - scaled) - epsilon.exp() * normal(-shift - scaled)
}

/// Distribution function of the standard normal distribution.
fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}
