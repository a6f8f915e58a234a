//! The window under which local statistics are taken.

use serde::{Deserialize, Serialize};

use crate::LossError;
use crate::error::require;

/// Weights of the neighbourhood of a pixel, the same along every axis, with sum 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Window {
    /// `exp(-i^2 / (2 sigma^2))` at the distance `i` from the centre.
    Gaussian {
        /// Side in pixels, odd and at most 1023.
        size: usize,
        /// Standard deviation in pixels, from 0.1 to 1000.
        sigma: f64,
    },
    /// The same weight everywhere.
    Box {
        /// Side in pixels, odd and at most 1023.
        size: usize,
    },
}

impl Window {
    /// Sides that are taken where nobody asks for one, from the largest on.
    pub(super) const USUAL_SIDES: [usize; 5] = [11, 9, 7, 5, 3];

    /// Gaussian, of the usual standard deviation of 1.5 pixels.
    pub(super) fn usual(size: usize) -> Self {
        Self::Gaussian { size, sigma: 1.5 }
    }

    /// The largest of the usual windows that `fits`; the smallest where none does.
    pub(super) fn largest_usual(fits: impl Fn(usize) -> bool) -> Self {
        let [.., smallest] = Self::USUAL_SIDES;
        Self::usual(Self::USUAL_SIDES.into_iter().find(|&size| fits(size)).unwrap_or(smallest))
    }

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
        const LARGEST: usize = 1023;
        let size = self.size();
        require(size % 2 == 1, loss, "window size", size as f64, "odd, so that it has a centre")?;
        require(size <= LARGEST, loss, "window size", size as f64, "at most 1023 pixels")?;
        if let Self::Gaussian { sigma, .. } = *self {
            // The square of a smaller one underflows, and beyond the larger one every window of these sizes is a box.
            require((0.1..=1e3).contains(&sigma), loss, "window sigma", sigma, "from 0.1 to 1000 pixels")?;
        }
        Ok(())
    }
}
