//! Learning from aggregate responses: every row has features, and the responses are known as means over groups of rows.
//!
//! ```text
//! L_bag = (1/n) sum_a k_a loss(ybar_a, fbar_a)        L_ins = (1/n) sum_a sum_{i in a} loss(ybar_a, f_i)
//! L_rho = (1 - rho) L_bag + rho L_ins
//! ```
//! Copying the mean of a bag to its rows (`rho = 1`) is biased, fitting the means alone (`rho = 0`) is noisy; some `rho` between
//! them is usually better than both.
//!
//! - [`BagLoss`]: the loss, for squared error, cross-entropy, logistic and Poisson regression;
//! - [`BagRegression`] and [`BagSystem`]: the linear model in closed form, for one `rho` or for all at once;
//! - [`BagCrossValidation`]: `rho` by the means of held-out bags;
//! - [`risk`]: what `rho` and bag size to expect to be best, before any training;
//! - [`dp`]: means that may be published under label differential privacy.
//!
//! Source: A. Javanmard, L. Chen, V. Mirrokni, A. Badanidiyuru, G. Fu, "Learning from Aggregate responses: Instance Level versus
//! Bag Level Loss Functions", arXiv 2401.11081.

mod bag_rows;
mod cross_validation;
pub mod dp;
mod error;
mod formulas;
mod grouping;
mod loss;
mod proportions;
mod regression;
pub mod risk;
#[cfg(test)]
mod tests;

pub use cross_validation::{
    BagCrossValidation, BagCrossValidationConfig, BagDivision, CrossValidated, RHO_GRID, RhoErrors,
};
pub use error::AggregateError;
pub use loss::{BagLoss, BagLossConfig, BagLossKind, BagTerms};
pub use regression::{BagRegression, BagRegressionConfig, BagSystem};
