//! Losses for classes whose labels may be wrong: the baselines of the comparison in arXiv 2112.14869.
//!
//! Generalised cross-entropy and mean absolute error are members of [`comp_sum`](crate::comp_sum).

mod active_passive;
mod asymmetric;
mod distribution;
mod focal;
mod jensen_shannon;
mod symmetric;
#[cfg(test)]
mod tests;
mod truncated;

pub use active_passive::{ActivePassiveLoss, ActivePassiveLossConfig, PassiveLoss};
pub use asymmetric::{
    AsymmetricCrossEntropyLoss, AsymmetricCrossEntropyLossConfig, AsymmetricUnhingedLoss, AsymmetricUnhingedLossConfig,
};
pub use distribution::{
    BrierLoss, BrierLossConfig, NormalizedCrossEntropyLoss, NormalizedCrossEntropyLossConfig, RobustLogLoss,
    RobustLogLossConfig,
};
pub use focal::{FocalLoss, FocalLossConfig};
pub use jensen_shannon::{JensenShannonLoss, JensenShannonLossConfig};
pub use symmetric::{
    ReverseCrossEntropyLoss, ReverseCrossEntropyLossConfig, SymmetricCrossEntropyLoss, SymmetricCrossEntropyLossConfig,
};
pub use truncated::{CappedGceLoss, CappedGceLossConfig, TruncatedGceLoss, TruncatedGceLossConfig};
