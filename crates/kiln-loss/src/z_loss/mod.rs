//! The Z-loss, the spherical family, and output layers for very many classes.
//!
//! A spherical loss sees the logits `o` of one example only through the target's logit, `q = sum_k o_k^2` and
//! `s = sum_k o_k`. That is what lets [`FactoredSphericalLayer`] train an output layer of any number of classes at a cost
//! that does not depend on it. The dense forms ([`ZLoss`], [`SphericalSoftmaxLoss`], [`TaylorSoftmaxLoss`],
//! [`SquaredSphericalLoss`]) are ordinary losses on logits.
//!
//! Sources: arXiv 1604.08859 (Z-loss), arXiv 1412.7091 (the factored layer), arXiv 1511.05042 (spherical softmax).

mod factored;
mod hierarchical;
mod layer_error;
mod log_softmax_layer;
mod matrix;
mod moments;
mod output_layer;
mod rank_metrics;
mod scalar;
mod softmax_rows;
mod spherical;
mod spherical_softmax;
mod squared;
mod standardised;
mod taylor;

#[cfg(test)]
mod tests;

pub use factored::{Diagnostics, FactoredSphericalConfig, FactoredSphericalLayer};
pub use hierarchical::{HierarchicalSoftmax2, HierarchicalSoftmax2Config};
pub use layer_error::LayerError;
pub use log_softmax_layer::{LogSoftmaxLayer, LogSoftmaxLayerConfig};
pub use output_layer::{StepOut, surrogate};
pub use rank_metrics::{RankCounts, RankMetrics, rank_metrics, rank_of};
pub use scalar::LayerScalar;
pub use spherical::{MeanOverTargets, Partials, SparsePartials, SparseTargetLoss, SphericalLoss};
pub use spherical_softmax::{SphericalSoftmaxLoss, SphericalSoftmaxLossConfig};
pub use squared::{SquaredSphericalLoss, SquaredSphericalLossConfig, SquaredToKHot};
pub use standardised::{ZLoss, ZLossConfig};
pub use taylor::{TaylorSoftmaxLoss, TaylorSoftmaxLossConfig};
