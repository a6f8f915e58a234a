//! Objectives for labelled data, on the Burn framework.
//!
//! Every loss on logits and class indices implements [`ClassificationLoss`], so that any of them can stand where another
//! one stands. Values come back per example ([`ClassificationLoss::forward_no_reduction`]) or reduced
//! ([`ClassificationLoss::forward`]). [`ReducedLoss`] gives any of them class weights, an ignored target and a reduction.

pub mod adversarial;
pub mod aggregate;
pub mod attack;
mod class_targets;
mod classification;
pub mod comp_sum;
mod cross_entropy;
pub mod ens_loss;
mod error;
mod gaps;
pub mod ldr;
pub mod margin;
pub mod perceptual;
mod quantity;
mod reduced;
mod regression;
pub mod robust;
mod rows;
mod target_likelihood;
mod z_loss;

pub use classification::{ClassificationLoss, Reduction, TrainingMoment, check_batch};
pub use cross_entropy::{CrossEntropyLoss, CrossEntropyLossConfig};
pub use error::LossError;
pub use reduced::{ReducedLoss, ReducedLossConfig};
pub use regression::RegressionLoss;
pub use z_loss::{
    Diagnostics, FactoredSphericalConfig, FactoredSphericalLayer, HierarchicalSoftmax2, HierarchicalSoftmax2Config,
    LayerError, LayerScalar, LogSoftmaxLayer, LogSoftmaxLayerConfig, MeanOverTargets, Partials, RankCounts,
    RankMetrics, SparsePartials, SparseTargetLoss, SphericalLoss, SphericalSoftmaxLoss, SphericalSoftmaxLossConfig,
    SquaredSphericalLoss, SquaredSphericalLossConfig, SquaredToKHot, StepOut, TaylorSoftmaxLoss,
    TaylorSoftmaxLossConfig, ZLoss, ZLossConfig, rank_metrics, rank_of, surrogate,
};
