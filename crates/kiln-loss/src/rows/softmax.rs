//! The softmax of a row at a temperature.

use kiln_kernels::elementary::{exp_of_negative_and_excess, log_of_positive};
use kiln_kernels::vector::{FusedKernel, LANES, MultiplyAdd, filled_up, largest, sum_of, vectorised};

use super::lines::Look;
use super::sums::sums;
use super::tile::{ROWS, Tile};

/// What the exponentials of a row leave behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Softmax {
    /// The largest score `max`.
    pub(crate) max: f32,
    /// `sum_k exp((s_k - max) / lambda)`.
    pub(crate) sum: f32,
    /// `sum_k (exp((s_k - max) / lambda) - 1)`.
    excess: f32,
    classes: usize,
}

impl Softmax {
    /// Of the row.
    pub(crate) fn classes(self) -> usize {
        self.classes
    }

    /// `log sum_k exp((s_k - max) / lambda)`.
    pub(crate) fn log_sum(self) -> f64 {
        f64::from(self.sum).ln()
    }

    /// `log mean_k exp((s_k - max) / lambda)`.
    pub(crate) fn log_mean(self) -> f64 {
        let classes = self.classes as f64;
        // Where all powers are near one, what they are above or below it says more than their sum.
        let mean = f64::from(self.sum) / classes;
        if mean < 0.5 { mean.ln() } else { (f64::from(self.excess) / classes).ln_1p() }
    }
}

/// Replaces every score by `exp((s_k - max) / lambda)`, where `inverse` is `1 / lambda`.
pub(crate) fn softmax(row: &mut [f32], inverse: f32) -> Softmax {
    let classes = row.len();
    let (max, sum, excess) = vectorised(Exponentials { row, inverse });
    Softmax { max, sum, excess, classes }
}

/// Losses that see a row through its softmax, and leave the powers `exp((s_k - max) / lambda)` in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThroughSoftmax {
    /// `1 / lambda`.
    pub(crate) inverse: f32,
    /// What is taken off the target's score before.
    pub(crate) margin: f32,
    /// Whether the sum of the scores is wanted.
    pub(crate) with_scores: bool,
}

impl Default for ThroughSoftmax {
    fn default() -> Self {
        Self { inverse: 1.0, margin: 0.0, with_scores: false }
    }
}

/// What such a loss sees of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SoftmaxRow {
    pub(crate) target: usize,
    /// The target's score, less the margin.
    pub(crate) own: f32,
    /// The sum of the scores, where it is wanted.
    pub(crate) scores: f64,
    pub(crate) powers: Softmax,
}

impl SoftmaxRow {
    /// `-log softmax(s)_y` at the temperature one.
    pub(crate) fn nll(&self) -> f64 {
        self.powers.log_sum() - (f64::from(self.own) - f64::from(self.powers.max))
    }
}

impl Look for ThroughSoftmax {
    type Seen = SoftmaxRow;

    fn at_row(&self, row: &mut [f32], target: usize) -> SoftmaxRow {
        row[target] -= self.margin;
        let own = row[target];
        let scores = if self.with_scores { sums(row).0 } else { 0.0 };
        SoftmaxRow { target, own, scores, powers: softmax(row, self.inverse) }
    }

    fn at_tile(&self, tile: &mut Tile, targets: &[usize]) -> [SoftmaxRow; ROWS] {
        let classes = tile.classes().len();
        let mut own = [0.0; ROWS];
        for (lane, &target) in targets.iter().enumerate() {
            let score = &mut tile.classes_mut()[target][lane];
            *score -= self.margin;
            own[lane] = *score;
        }
        let TilePowers { max, sum, excess, scores } = vectorised(OfTile { tile, inverse: self.inverse });
        std::array::from_fn(|lane| SoftmaxRow {
            target: targets.get(lane).copied().unwrap_or(0),
            own: own[lane],
            scores: scores[lane],
            powers: Softmax { max: max[lane], sum: sum[lane], excess: excess[lane], classes },
        })
    }
}

struct OfTile<'a> {
    tile: &'a mut Tile,
    inverse: f32,
}

struct TilePowers {
    max: [f32; ROWS],
    sum: [f32; ROWS],
    excess: [f32; ROWS],
    scores: [f64; ROWS],
}

impl FusedKernel for OfTile<'_> {
    type Output = TilePowers;

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) -> TilePowers {
        let Self { tile, inverse } = self;
        let (mut max, mut scores) = ([f32::NEG_INFINITY; ROWS], [0.0; ROWS]);
        for numbers in tile.classes() {
            for lane in 0..ROWS {
                max[lane] = if numbers[lane] > max[lane] { numbers[lane] } else { max[lane] };
                scores[lane] += f64::from(numbers[lane]);
            }
        }
        let (mut sum, mut excess) = ([0.0; ROWS], [0.0; ROWS]);
        for numbers in tile.classes_mut() {
            for lane in 0..ROWS {
                let (power, more) = exp_of_negative_and_excess(m, (numbers[lane] - max[lane]) * inverse);
                numbers[lane] = power;
                sum[lane] += power;
                excess[lane] += more;
            }
        }
        TilePowers { max, sum, excess, scores }
    }
}

struct Exponentials<'a> {
    row: &'a mut [f32],
    inverse: f32,
}

impl FusedKernel for Exponentials<'_> {
    /// The largest score, the sum of the powers, and the sum of what they are above one.
    type Output = (f32, f32, f32);

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) -> (f32, f32, f32) {
        let Self { row, inverse } = self;
        let max = largest(row, f32::NEG_INFINITY);
        let (chunks, rest) = row.as_chunks_mut::<LANES>();
        let (mut sums, mut excesses) = ([0.0; LANES], [0.0; LANES]);
        for chunk in chunks {
            for lane in 0..LANES {
                let (power, excess) = exp_of_negative_and_excess(m, (chunk[lane] - max) * inverse);
                chunk[lane] = power;
                sums[lane] += power;
                excesses[lane] += excess;
            }
        }
        if !rest.is_empty() {
            let mut last = filled_up(rest, f32::NEG_INFINITY);
            for lane in 0..LANES {
                let (power, excess) = exp_of_negative_and_excess(m, (last[lane] - max) * inverse);
                last[lane] = power;
                sums[lane] += power;
                excesses[lane] += if lane < rest.len() { excess } else { 0.0 };
            }
            rest.copy_from_slice(&last[..rest.len()]);
        }
        (max, sum_of(sums), sum_of(excesses))
    }
}

/// `sum_k q_k` and `sum_k q_k log q_k` of `q_k = scale p_k + least`.
pub(crate) fn entropy(powers: &[f32], scale: f32, least: f32) -> (f32, f32) {
    vectorised(Entropy { powers, scale, least })
}

struct Entropy<'a> {
    powers: &'a [f32],
    scale: f32,
    least: f32,
}

impl FusedKernel for Entropy<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) -> (f32, f32) {
        let Self { powers, scale, least } = self;
        let (chunks, rest) = powers.as_chunks::<LANES>();
        let (mut sums, mut products) = ([0.0; LANES], [0.0; LANES]);
        for chunk in chunks {
            for lane in 0..LANES {
                let q = chunk[lane] * scale + least;
                sums[lane] += q;
                products[lane] += q * log_of_positive(m, q);
            }
        }
        let last = filled_up(rest, 0.0);
        for lane in 0..LANES {
            let q = if lane < rest.len() { last[lane] * scale + least } else { 0.0 };
            sums[lane] += q;
            // Where there is no class, zero times the logarithm of one.
            products[lane] += q * log_of_positive(m, if lane < rest.len() { q } else { 1.0 });
        }
        (sum_of(sums), sum_of(products))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_agree_with_double_precision() {
        for classes in [1, 3, 31, 32, 33, 100] {
            for lambda in [0.1_f32, 1.0, 1e6] {
                let scores: Vec<f32> = (0..classes).map(|class| ((class * 37 % 19) as f32 - 9.0) * 0.7).collect();
                let mut row = scores.clone();
                let found = softmax(&mut row, 1.0 / lambda);
                let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let exponents = || scores.iter().map(|score| f64::from(score - max) / f64::from(lambda));
                let mean_below = exponents().map(f64::exp_m1).sum::<f64>() / classes as f64;
                let exact = mean_below.ln_1p();
                assert_eq!(found.max, max);
                assert!((found.log_mean() - exact).abs() <= 1e-6 * exact.abs(), "{classes}, {lambda}: {found:?}");
                for (power, exponent) in row.iter().zip(exponents()) {
                    assert!((f64::from(*power) - exponent.exp()).abs() < 1e-6, "{classes}, {lambda}");
                }
                let (sum, product) = entropy(&row, 1.0 / found.sum, 1e-5);
                let q: Vec<f64> = row.iter().map(|power| f64::from(power / found.sum) + 1e-5).collect();
                assert!((f64::from(sum) - q.iter().sum::<f64>()).abs() < 1e-5);
                assert!((f64::from(product) - q.iter().map(|q| q * q.ln()).sum::<f64>()).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_class_that_is_masked_out_has_no_weight() {
        let mut row = [0.0, f32::NEG_INFINITY, -200.0, 1.0];
        let found = softmax(&mut row, 1.0);
        assert_eq!((row[1], row[2]), (0.0, 0.0));
        assert!((f64::from(found.sum) - 1.0 - (-1.0_f64).exp()).abs() < 1e-6);
    }

    #[test]
    fn what_is_not_a_number_stays_that() {
        for classes in [1, 31, 32, 33, 100] {
            for wrong in [f32::NAN, f32::INFINITY] {
                for place in [0, classes / 2, classes - 1] {
                    let mut row = vec![1.0; classes];
                    row[place] = wrong;
                    assert!(softmax(&mut row, 1.0).sum.is_nan(), "{classes}, {wrong} at {place}");
                }
            }
        }
    }
}
