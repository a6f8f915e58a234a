use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use serde::{Deserialize, Serialize};

use super::DiffGradState;

/// Where the friction coefficients of a set of coordinates lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FrictionStats {
    /// Mean of `xi`.
    pub mean: f64,
    /// Smallest `xi`.
    pub min: f64,
    /// Median of `xi`.
    pub p50: f64,
    /// 90th percentile of `xi`.
    pub p90: f64,
    /// Share of coordinates with `xi < 0.505`: for them diffGrad is Adam at half the rate.
    pub share_near_half: f64,
}

/// Below this, a coordinate counts as slowed down to half of Adam's step.
const NEAR_HALF: f64 = 0.505;

/// The paper's friction coefficients of the step that `grad` is about to make.
///
/// `state` is the one before the step; its `previous_grad` includes weight decay, so where weight decay is used, `grad` must
/// include it, too. An empty parameter gives undefined statistics.
///
/// # Shapes
/// - `grad`: the parameter's, as the state's tensors
pub fn friction_stats<const D: usize>(state: &DiffGradState<D>, grad: &Tensor<D>) -> FrictionStats {
    let change = state.previous_grad.clone() - grad.clone();
    let mut values = sigmoid(change.abs()).into_data().iter::<f64>().collect::<Vec<_>>();
    values.sort_unstable_by(f64::total_cmp);
    let count = values.len() as f64;
    let quantile = |q: f64| values.get(((count - 1.0) * q).round() as usize).copied().unwrap_or(f64::NAN);
    FrictionStats {
        mean: values.iter().sum::<f64>() / count,
        min: quantile(0.0),
        p50: quantile(0.5),
        p90: quantile(0.9),
        share_near_half: values.partition_point(|&xi| xi < NEAR_HALF) as f64 / count,
    }
}

/// Counts of friction coefficients in equal bins over `[0, 1]`; histograms of several tensors add up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrictionHistogram {
    counts: Vec<u64>,
    sum: f64,
    min: f64,
}

impl FrictionHistogram {
    /// Number of bins; a bin is 0.001 wide, and 0.505 is a bin's edge.
    pub const BINS: usize = 1000;

    /// A histogram of nothing.
    pub fn new() -> Self {
        Self { counts: vec![0; Self::BINS], sum: 0.0, min: f64::INFINITY }
    }

    /// Counts `xi`. Undefined values are left out.
    pub fn add(&mut self, xi: f64) {
        if xi.is_finite() {
            let bin = (xi * Self::BINS as f64) as usize;
            self.counts[bin.min(Self::BINS - 1)] += 1;
            self.sum += xi;
            self.min = self.min.min(xi);
        }
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum += other.sum;
        self.min = self.min.min(other.min);
    }

    /// Counts of the bins, in ascending order of `xi`.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Number of coefficients counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The statistics, or nothing where nothing was counted. Percentiles are bin centres.
    pub fn stats(&self) -> Option<FrictionStats> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let width = 1.0 / Self::BINS as f64;
        let near_half = (NEAR_HALF * Self::BINS as f64).round() as usize;
        Some(FrictionStats {
            mean: self.sum / total as f64,
            min: self.min,
            p50: (self.bin_of_rank(total.div_ceil(2)) as f64 + 0.5) * width,
            p90: (self.bin_of_rank((total * 9).div_ceil(10)) as f64 + 0.5) * width,
            share_near_half: self.counts[..near_half].iter().sum::<u64>() as f64 / total as f64,
        })
    }

    /// The bin in which the `rank`-th smallest coefficient lies, counted from one.
    fn bin_of_rank(&self, rank: u64) -> usize {
        let mut seen = 0;
        self.counts
            .iter()
            .position(|count| {
                seen += count;
                seen >= rank
            })
            .unwrap_or(Self::BINS - 1)
    }
}

impl Default for FrictionHistogram {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn state(previous: [f32; 5]) -> DiffGradState<1> {
        let previous_grad = Tensor::from_data(previous, &Device::flex());
        DiffGradState { previous_grad: previous_grad.clone(), ..DiffGradState::zeros_like(&previous_grad) }
    }

    #[test]
    fn statistics_of_known_changes() {
        let stats = friction_stats(
            &state([0.0, 0.0, 1.0, -2.0, 0.001]),
            &Tensor::from_data([0.0f32, 0.01, 0.0, 2.0, 0.0], &Device::flex()),
        );
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let expected = [0.5, sigmoid(0.01), sigmoid(1.0), sigmoid(4.0), sigmoid(0.001)];
        assert!((stats.mean - expected.iter().sum::<f64>() / 5.0).abs() < 1e-6);
        assert_eq!((stats.min, stats.share_near_half), (0.5, 0.6));
        assert!((stats.p50 - sigmoid(0.01)).abs() < 1e-6 && (stats.p90 - sigmoid(4.0)).abs() < 1e-6);
    }

    #[test]
    fn the_scale_of_the_gradient_decides() {
        let previous = [1e-3f32, -2e-3, 3e-3, 0.0, 1e-3];
        let grad = Tensor::<1>::from_data([0.0f32, 1e-3, 1e-3, 2e-3, -1e-3], &Device::flex());
        assert_eq!(friction_stats(&state(previous), &grad).share_near_half, 1.0);
        assert_eq!(friction_stats(&state(previous.map(|g| g * 1000.0)), &(grad * 1000.0)).share_near_half, 0.0);
    }

    #[test]
    fn histograms_agree_with_exact_statistics_and_add_up() {
        let (mut all, mut half, mut other) = Default::default();
        let (all, half, other): (&mut FrictionHistogram, &mut FrictionHistogram, &mut FrictionHistogram) =
            (&mut all, &mut half, &mut other);
        for i in 0..1000 {
            let xi = 0.5 + 0.4 * f64::from(i) / 1000.0;
            all.add(xi);
            if i % 2 == 0 { half.add(xi) } else { other.add(xi) }
        }
        half.merge(other);
        assert_eq!(all.counts(), half.counts());
        let stats = all.stats().unwrap();
        assert!((stats.mean - 0.6998).abs() < 1e-6 && stats.min == 0.5);
        assert!((stats.p50 - 0.7).abs() < 2e-3 && (stats.p90 - 0.86).abs() < 2e-3);
        assert!((stats.share_near_half - 0.013).abs() < 2e-3);
        assert!(FrictionHistogram::new().stats().is_none());
    }
}
