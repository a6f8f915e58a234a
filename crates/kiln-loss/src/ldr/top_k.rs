//! The loss of the k strongest rivals.

use burn::config::Config;
use burn::tensor::{Int, Tensor, TensorData};

use crate::error::require;
use crate::gaps::{gaps, of_gaps};
use crate::margin::check_margin;
use crate::rows::HostRows;
use crate::{ClassificationLoss, LossError};

const NAME: &str = "ldr-k";

/// Configuration of [`LdrTopK`].
#[derive(Config, Debug)]
pub struct LdrTopKConfig {
    /// How many classes share the weight at least, from 1 to the number of classes.
    pub k: usize,
    /// Temperature `lambda >= 0`; 0 is the top-k hinge.
    #[config(default = 0.0)]
    pub lambda: f64,
    /// Margin by which the target has to win, not negative.
    #[config(default = 0.1)]
    pub margin: f64,
}

impl LdrTopKConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for `k = 0`, a lambda or a margin that is negative or not finite. Whether `k` exceeds the
    /// number of classes is asked by [`ClassificationLoss::check_classes`].
    pub fn init(&self) -> Result<LdrTopK, LossError> {
        let valid = self.lambda >= 0.0 && self.lambda.is_finite();
        require(self.k >= 1, NAME, "k", self.k as f64, "at least 1")?;
        Ok(LdrTopK {
            k: self.k,
            lambda: require(valid, NAME, "lambda", self.lambda, "a finite number of at least 0")?,
            margin: check_margin(NAME, self.margin)?,
        })
    }
}

/// Label-distributionally robust loss in which no class has more than the k-th part of the weight (LDR-k, LDR-k-KL).
///
/// ```text
/// psi = max { sum_j p_j d_j - lambda sum_j p_j log(D p_j) : p in simplex, p_j <= 1 / k }
/// lambda = 0:  mean of the k largest gaps        lambda > 0:  p_j = min(1 / k, exp((d_j - nu) / lambda))
/// ```
/// `k = 1` with lambda above 0 is [`LdrKl`](super::LdrKl), `k` equal to the number of classes the mean gap. Solved
/// exactly on the host, by selection of the largest gaps, or by sorting where lambda is above 0.
///
/// Source: arXiv 2112.14869, section 3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LdrTopK {
    k: usize,
    lambda: f64,
    margin: f64,
}

impl LdrTopK {
    /// Loss of each example, and the distribution over the classes at which it is attained, outside the graph.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`: `[batch_size]`
    /// - output: `[batch_size]` and `[batch_size, num_classes]`
    ///
    /// # Panics
    /// Where `k` exceeds the number of classes.
    pub fn forward_with_weights(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> (Tensor<1>, Tensor<2>) {
        let scores = logits.clone().inner();
        let rows = scores.dims()[0];
        let gaps = gaps(scores, targets.clone().inner().reshape([rows, 1]), self.margin);
        (self.forward_no_reduction(logits, targets), self.solve(gaps).1)
    }

    /// Values `[batch_size, 1]` and weights `[batch_size, num_classes]` of the gaps.
    fn solve(&self, gaps: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let ([rows, classes], dtype, device) = (gaps.dims(), gaps.dtype(), gaps.device());
        let gaps: Vec<f64> = gaps.into_data().iter::<f64>().collect();
        let mut values = Vec::with_capacity(rows);
        let mut weights = Vec::with_capacity(rows * classes);
        let mut water = Water::new(classes, self.k, self.lambda);
        for gaps in gaps.chunks(classes) {
            values.push(water.fill(gaps.iter().copied()));
            weights.extend_from_slice(&water.weights);
        }
        let tensor = |data: Vec<f64>, shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(data, shape).convert_dtype(dtype), (&device, dtype))
        };
        (tensor(values, [rows, 1]), tensor(weights, [rows, classes]))
    }
}

impl ClassificationLoss for LdrTopK {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let classes = logits.dims()[1];
        if let Err(error) = self.check_classes(classes) {
            panic!("{error}");
        }
        let Some(mut rows) = HostRows::of(&logits, &targets) else {
            return of_gaps(logits, targets, self.margin, |gaps, _| self.solve(gaps));
        };
        let losses = rows.map(
            || Water::new(classes, self.k, self.lambda),
            |water, _, row, target| {
                row[target] -= self.margin as f32;
                let own = row[target];
                let value = water.fill(row.iter().map(|score| f64::from(score - own)));
                row.iter_mut().zip(&water.weights).for_each(|(slope, weight)| *slope = *weight as f32);
                row[target] -= 1.0;
                value as f32
            },
        );
        rows.into_losses(logits, losses)
    }

    fn check_classes(&self, num_classes: usize) -> Result<(), LossError> {
        require(self.k <= num_classes, NAME, "k", self.k as f64, "at most the number of classes").map(|_| ())
    }
}

/// The maximum of one row after another, in memory that they share.
struct Water {
    k: usize,
    lambda: f64,
    gaps: Vec<f64>,
    /// The distribution at which the maximum of the last row is attained.
    weights: Vec<f64>,
    /// The gaps with the `k` largest in front.
    selected: Vec<f64>,
    /// The classes, by falling gaps.
    order: Vec<usize>,
    /// `log sum_{i >= j} exp(d_i / lambda)` over the sorted gaps.
    log_sums: Vec<f64>,
}

impl Water {
    fn new(classes: usize, k: usize, lambda: f64) -> Self {
        Self {
            k,
            lambda,
            gaps: vec![0.0; classes],
            weights: vec![0.0; classes],
            selected: vec![0.0; classes],
            order: (0..classes).collect(),
            log_sums: vec![0.0; classes],
        }
    }

    /// The maximum over all `p` with `p_j <= 1 / k`.
    fn fill(&mut self, gaps: impl Iterator<Item = f64>) -> f64 {
        self.gaps.iter_mut().zip(gaps).for_each(|(place, gap)| *place = gap);
        if self.lambda == 0.0 { self.largest() } else { self.water_filling() }
    }

    /// The mean of the `k` largest gaps; of equal ones those of the first classes count.
    fn largest(&mut self) -> f64 {
        let Self { k, gaps, weights, selected, .. } = self;
        let cap = 1.0 / *k as f64;
        selected.copy_from_slice(gaps);
        let (_, &mut least, _) = selected.select_nth_unstable_by(*k - 1, |a, b| b.total_cmp(a));
        let mut equal = *k - selected[..*k].iter().filter(|gap| **gap > least).count();
        for (gap, weight) in gaps.iter().zip(weights) {
            *weight = if *gap > least { cap } else { 0.0 };
            if *gap == least && equal > 0 {
                *weight = cap;
                equal -= 1;
            }
        }
        selected[..*k].iter().map(|gap| gap * cap).sum()
    }

    fn water_filling(&mut self) -> f64 {
        let Self { k, lambda, ref gaps, .. } = *self;
        let cap = 1.0 / k as f64;
        self.order.sort_unstable_by(|&a, &b| gaps[b].total_cmp(&gaps[a]).then(a.cmp(&b)));
        self.sum_from_the_back();
        let saturated = self.saturated();
        let rest = 1.0 - saturated as f64 * cap;
        let (mut value, classes) = (0.0, self.gaps.len());
        let log_rest = self.log_sums[saturated.min(classes - 1)];
        for (place, &class) in self.order.iter().enumerate() {
            let gap = self.gaps[class];
            let weight = if place < saturated { cap } else { rest * (gap / lambda - log_rest).exp() };
            self.weights[class] = weight;
            if weight > 0.0 {
                value += weight * (gap - lambda * (weight * classes as f64).ln());
            } else if weight.is_nan() {
                value = weight;
            }
        }
        value
    }

    fn sum_from_the_back(&mut self) {
        let mut log_sum = f64::NEG_INFINITY;
        for (place, &class) in self.order.iter().enumerate().rev() {
            // The gaps grow from the back, so that the new one is the largest of its sum.
            let exponent = self.gaps[class] / self.lambda;
            log_sum = exponent + (log_sum - exponent).exp().ln_1p();
            self.log_sums[place] = log_sum;
        }
    }

    /// The smallest number of classes at the cap for which the next one stays below it.
    fn saturated(&self) -> usize {
        let cap = 1.0 / self.k as f64;
        let stays_below = |&j: &usize| {
            let rest = 1.0 - j as f64 * cap;
            let largest = rest * (self.gaps[self.order[j]] / self.lambda - self.log_sums[j]).exp();
            largest <= cap * (1.0 + 1e-12)
        };
        (0..self.k).find(stays_below).unwrap_or(self.k)
    }
}
