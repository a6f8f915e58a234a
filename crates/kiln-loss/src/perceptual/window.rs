//! The window under which local statistics are taken.

use serde::{Deserialize, Serialize};

use crate::LossError;
use crate::error::require;

/// Weights of the neighbourhood of a pixel, the same along every axis, with sum 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Window {
    /// `exp(-i^2 / (2 sigma^2))` at the distance `i` from the centre.
    Gaussian {
        /// Side in pixels, odd.
        size: usize,
        /// Standard deviation in pixels, above 0.
        sigma: f64,
    },
    /// The same weight everywhere.
    Box {
        /// Side in pixels, odd.
        size: usize,
    },
}

impl Window {
    /// Side in pixels.
    pub fn size(&self) -> usize {
        match *self {
            Self::Gaussian { size, .. } | Self::Box { size } => size,
        }
    }

    /// The weights along one axis; those of the neighbourhood are their products.
    pub fn taps(&self) -> Vec<f64> {
        let distances = || (0..self.size()).map(|place| place as f64 - (self.size() / 2) as f64);
        let weights: Vec<f64> = match *self {
            Self::Gaussian { sigma, .. } => distances().map(|i| (-i * i / (2.0 * sigma * sigma)).exp()).collect(),
            Self::Box { size } => vec![1.0; size],
        };
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }

    /// The window as a pixel that is `factor` times as large would see it: its outermost pixels stay where they are.
    pub(super) fn magnified(&self, factor: usize) -> Self {
        let size = (self.size() - 1) * factor + 1;
        match *self {
            Self::Gaussian { sigma, .. } => Self::Gaussian { size, sigma: sigma * factor as f64 },
            Self::Box { .. } => Self::Box { size },
        }
    }

    pub(super) fn check(&self, loss: &'static str) -> Result<(), LossError> {
        let size = self.size();
        require(size % 2 == 1, loss, "window size", size as f64, "odd, so that it has a centre")?;
        if let Self::Gaussian { sigma, .. } = *self {
            require(sigma > 0.0 && sigma.is_finite(), loss, "window sigma", sigma, "above 0 and finite")?;
        }
        Ok(())
    }
}
