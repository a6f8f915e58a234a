//! Ranking metrics: top-k error and mean reciprocal rank.

use burn::tensor::Tensor;

use super::LayerError;
use super::layer_error::require;
use super::output_layer::check_targets;

/// Top-k errors and mean reciprocal rank of some examples.
#[derive(Debug, Clone, PartialEq)]
pub struct RankMetrics {
    /// Number of examples.
    pub examples: u64,
    /// `(k, share of the examples whose target's rank is above k)`, for each `k` asked for.
    pub top_k_error: Vec<(usize, f64)>,
    /// Mean of `1 / rank`, in `(0, 1]`.
    pub mean_reciprocal_rank: f64,
}

/// Metrics of a batch of scores.
///
/// ```text
/// rank = 1 + #{k : o_k > o_c} + #{k != c : o_k = o_c} / 2
/// ```
/// # Shapes
/// - `scores`: `[batch_size, num_classes]`
/// - `targets`: `batch_size` classes
///
/// # Errors
/// [`LayerError::EmptyBatch`], [`LayerError::TargetCount`], [`LayerError::Target`]; [`LayerError::Score`] for a score that
/// is not a number; [`LayerError::Setting`] for a `k` of 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let scores = Tensor::<2>::from_floats([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], &Device::flex());
/// let metrics = kiln_loss::rank_metrics(scores, &[1, 2], &[1, 2])?;
/// assert_eq!(metrics.top_k_error, [(1, 0.5), (2, 0.5)]);
/// assert!((metrics.mean_reciprocal_rank - (1.0 + 1.0 / 3.0) / 2.0).abs() < 1e-12);
/// # Ok::<(), kiln_loss::LayerError>(())
/// ```
pub fn rank_metrics(scores: Tensor<2>, targets: &[usize], ks: &[usize]) -> Result<RankMetrics, LayerError> {
    let mut counts = RankCounts::new(ks)?;
    counts.add(scores, targets)?;
    Ok(counts.metrics())
}

/// Metrics gathered batch by batch.
#[derive(Debug, Clone)]
pub struct RankCounts {
    misses: Vec<(usize, u64)>,
    reciprocal_ranks: f64,
    examples: u64,
}

impl RankCounts {
    /// Nothing seen yet.
    ///
    /// # Errors
    /// [`LayerError::Setting`] for a `k` of 0.
    pub fn new(ks: &[usize]) -> Result<Self, LayerError> {
        for &k in ks {
            require(k >= 1, "k", k as f64, "at least 1")?;
        }
        Ok(Self { misses: ks.iter().map(|&k| (k, 0)).collect(), reciprocal_ranks: 0.0, examples: 0 })
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// As [`rank_metrics`].
    pub fn add(&mut self, scores: Tensor<2>, targets: &[usize]) -> Result<(), LayerError> {
        let [examples, classes] = scores.dims();
        check_targets(examples, targets, 1, classes)?;
        let scores = scores
            .try_into_vec_as::<f64>()
            .map_err(|error| LayerError::ReadBack { what: "scores", reason: error.to_string() })?;
        for (example, (row, &target)) in scores.chunks_exact(classes).zip(targets).enumerate() {
            if let Some(class) = row.iter().position(|score| score.is_nan()) {
                return Err(LayerError::Score { example, class, value: row[class] });
            }
            let rank = rank_of(row, target);
            self.reciprocal_ranks += 1.0 / rank;
            self.examples += 1;
            for (k, misses) in &mut self.misses {
                *misses += u64::from(rank > *k as f64);
            }
        }
        Ok(())
    }

    /// The metrics of everything added; of nothing, they are not numbers.
    pub fn metrics(&self) -> RankMetrics {
        let examples = self.examples as f64;
        RankMetrics {
            examples: self.examples,
            top_k_error: self.misses.iter().map(|&(k, misses)| (k, misses as f64 / examples)).collect(),
            mean_reciprocal_rank: self.reciprocal_ranks / examples,
        }
    }
}

/// Rank of the target among the scores, from 1; classes with the target's score count half.
pub fn rank_of(scores: &[f64], target: usize) -> f64 {
    let own = scores[target];
    let (mut above, mut equal) = (0_u64, 0_u64);
    for &score in scores {
        above += u64::from(score > own);
        equal += u64::from(score == own);
    }
    1.0 + above as f64 + 0.5 * equal.saturating_sub(1) as f64
}
