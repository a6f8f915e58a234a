//! The loss of the k strongest rivals.

use burn::config::Config;
use burn::tensor::{Int, Tensor, TensorData};

use crate::error::require;
use crate::gaps::{gaps, of_gaps};
use crate::margin::check_margin;
use crate::{ClassificationLoss, LossError, check_batch};

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
/// exactly by sorting, on the host.
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

    /// Like [`ClassificationLoss::forward`], after a check of the whole batch on the host.
    ///
    /// # Errors
    /// [`LossError::Shape`], [`LossError::Target`], [`LossError::Logit`] with the row, or [`LossError::Setting`] where
    /// `k` exceeds the number of classes.
    pub fn try_forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Result<Tensor<1>, LossError> {
        check_batch(NAME, &logits, &targets)?;
        self.check_classes(logits.dims()[1])?;
        Ok(self.forward(logits, targets))
    }

    /// Values `[batch_size, 1]` and weights `[batch_size, num_classes]` of the gaps.
    fn solve(&self, gaps: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let ([rows, classes], dtype, device) = (gaps.dims(), gaps.dtype(), gaps.device());
        if let Err(error) = self.check_classes(classes) {
            panic!("{error}");
        }
        let gaps: Vec<f64> = gaps.into_data().iter::<f64>().collect();
        let mut values = Vec::with_capacity(rows);
        let mut weights = vec![0.0; rows * classes];
        let mut water = Water::new(classes);
        for (gaps, weights) in gaps.chunks(classes).zip(weights.chunks_mut(classes)) {
            values.push(water.fill(gaps, self.k, self.lambda, weights));
        }
        let tensor = |data: Vec<f64>, shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(data, shape).convert_dtype(dtype), (&device, dtype))
        };
        (tensor(values, [rows, 1]), tensor(weights, [rows, classes]))
    }
}

impl ClassificationLoss for LdrTopK {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_gaps(logits, targets, self.margin, |gaps, _| self.solve(gaps))
    }

    fn check_classes(&self, num_classes: usize) -> Result<(), LossError> {
        require(self.k <= num_classes, NAME, "k", self.k as f64, "at most the number of classes").map(|_| ())
    }
}

/// The order of a row, and the logarithms of its sums, reused from row to row.
struct Water {
    order: Vec<usize>,
    /// `log sum_{i >= j} exp(d_i / lambda)` over the sorted gaps.
    log_sums: Vec<f64>,
}

impl Water {
    fn new(classes: usize) -> Self {
        Self { order: (0..classes).collect(), log_sums: vec![0.0; classes] }
    }

    /// The maximum over all `p` with `p_j <= 1 / k`, and the `p` at which it is attained.
    fn fill(&mut self, gaps: &[f64], k: usize, lambda: f64, weights: &mut [f64]) -> f64 {
        let cap = 1.0 / k as f64;
        self.order.sort_unstable_by(|&a, &b| gaps[b].total_cmp(&gaps[a]).then(a.cmp(&b)));
        if lambda == 0.0 {
            for (place, &class) in self.order.iter().enumerate() {
                weights[class] = if place < k { cap } else { 0.0 };
            }
            return self.order[..k].iter().map(|&class| gaps[class] * cap).sum();
        }
        self.sum_from_the_back(gaps, lambda);
        let saturated = self.saturated(gaps, k, lambda);
        let rest = 1.0 - saturated as f64 * cap;
        let (mut value, log_classes) = (0.0, (gaps.len() as f64).ln());
        for (place, &class) in self.order.iter().enumerate() {
            let log_share = gaps[class] / lambda - self.log_sums[saturated.min(gaps.len() - 1)];
            let weight = if place < saturated { cap } else { rest * log_share.exp() };
            weights[class] = weight;
            if weight > 0.0 {
                value += weight * (gaps[class] - lambda * (weight.ln() + log_classes));
            }
        }
        value
    }

    fn sum_from_the_back(&mut self, gaps: &[f64], lambda: f64) {
        let mut log_sum = f64::NEG_INFINITY;
        for (place, &class) in self.order.iter().enumerate().rev() {
            // The gaps grow from the back, so that the new one is the largest of its sum.
            let exponent = gaps[class] / lambda;
            log_sum = exponent + (log_sum - exponent).exp().ln_1p();
            self.log_sums[place] = log_sum;
        }
    }

    /// The smallest number of classes at the cap for which the next one stays below it.
    fn saturated(&self, gaps: &[f64], k: usize, lambda: f64) -> usize {
        let cap = 1.0 / k as f64;
        let stays_below = |&j: &usize| {
            let rest = 1.0 - j as f64 * cap;
            let largest = rest * (gaps[self.order[j]] / lambda - self.log_sums[j]).exp();
            largest <= cap * (1.0 + 1e-12)
        };
        (0..k).find(stays_below).unwrap_or(k)
    }
}
