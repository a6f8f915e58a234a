//! Losses of the margin between the target's score and the others.
//!
//! [`CrammerSingerLoss`] and the pairwise losses take any number of classes; [`MarginLoss`] is the binary loss
//! `phi(y f)`, with one score against the rest for more than two classes.

mod binary;
mod crammer_singer;
mod pairwise;
mod phi;
#[cfg(test)]
mod tests;

pub use binary::{MarginLoss, MarginLossConfig};
pub(crate) use binary::{binary_margins, of_margins};
pub use crammer_singer::{CrammerSingerLoss, CrammerSingerLossConfig};
pub use pairwise::{
    LogisticMarginLoss, LogisticMarginLossConfig, SmoothHingeLoss, SmoothHingeLossConfig, SquaredHingeLoss,
    SquaredHingeLossConfig, WestonWatkinsLoss, WestonWatkinsLossConfig,
};
pub use phi::{HingeTail, MarginPhi};

use crate::LossError;
use crate::error::require;

/// A margin that is finite and not negative, or the error that names it.
pub(crate) fn check_margin(loss: &'static str, margin: f64) -> Result<f64, LossError> {
    require(margin >= 0.0 && margin.is_finite(), loss, "margin", margin, "a finite number of at least 0")
}
