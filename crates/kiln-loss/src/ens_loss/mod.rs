//! Random calibrated losses: a fresh convex, calibrated loss for every batch of a binary training.
//!
//! - [`EnsLoss`] draws the derivatives of the loss at the margins of a batch;
//! - [`DerivativeDist`]: from what they are drawn;
//! - [`check_calibration`], [`implied_loss`], [`population_loss`]: what was drawn, as a loss.
//!
//! Source: B. Dai, "EnsLoss: Stochastic Calibrated Loss Ensembles for Preventing Overfitting in Classification",
//! arXiv 2409.00908.

mod derivatives;
mod distribution;
mod loss;
#[cfg(test)]
mod tests;
mod verification;

pub use derivatives::DerivativeTail;
pub use distribution::DerivativeDist;
pub use loss::{EnsLoss, EnsLossConfig};
pub use verification::{Violation, check_calibration, implied_loss, population_loss};
