//! The loss in which every example has its own temperature.

use std::sync::{Mutex, PoisonError};

use burn::config::Config;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::kl::{self, check_temperature};
use super::temperature::{Adaptation, Search};
use super::{AldrState, LogitNorm};
use crate::error::require;
use crate::gaps::{gaps, of_gaps};
use crate::margin::check_margin;
use crate::rows::{self, HostRows};
use crate::{ClassificationLoss, LossError, TrainingMoment, check_batch};

const NAME: &str = "aldr-kl";
/// Added to each probability of a step of the temperature, so that the logarithm has a value.
const LEAST: f64 = 1e-5;
/// Steps from `lambda0` where there is no memory.
const JOINT_STEPS: usize = 3;

/// How the temperatures of [`AldrKl`] are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AldrMode {
    /// One step at every visit of a training row, from the temperature of its visit before: the authors' training.
    /// Where the row is not known, and in evaluation, as `Joint`.
    #[default]
    Alternating,
    /// The maximum of the loss over the temperature, solved for each example on the host.
    Exact,
    /// Three steps of `Alternating` from `lambda0`, which need no memory.
    Joint,
}

/// Configuration of [`AldrKl`]. The defaults are those of the authors' code, without their normalisation of the logits;
/// [`AldrKlConfig::paper`] has it.
#[derive(Config, Debug)]
pub struct AldrKlConfig {
    /// Largest temperature `lambda0 > 0`, that of an example with a flat distribution.
    #[config(default = 1.0)]
    pub lambda0: f64,
    /// Stiffness `alpha > 1`: the temperatures lie in `[lambda0 (1 - 1 / alpha), lambda0]`.
    #[config(default = 2.0)]
    pub alpha: f64,
    /// Margin by which the target has to win, not negative.
    #[config(default = 0.1)]
    pub margin: f64,
    /// Scaling of the logits.
    #[config(default = "LogitNorm::None")]
    pub normalize: LogitNorm,
    /// How the temperatures are found.
    #[config(default = "AldrMode::Alternating")]
    pub mode: AldrMode,
    /// Takes an `alpha` in `(0, 1]` too, and keeps the temperatures above `lambda0 / 1000`.
    #[config(default = false)]
    pub allow_alpha_le_one: bool,
}

impl AldrKlConfig {
    /// With the normalisation of the published results.
    pub fn paper() -> Self {
        Self::new().with_normalize(LogitNorm::L1Mean)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a `lambda0` outside `[1e-30, 1e30]`, where single precision ends, an `alpha` of at most 1,
    /// or a negative margin.
    pub fn init(&self) -> Result<AldrKl, LossError> {
        let lambda0 = check_temperature(NAME, "lambda0", self.lambda0)?;
        let positive = self.alpha > 0.0 && self.alpha.is_finite();
        require(positive, NAME, "alpha", self.alpha, "above 0 and finite")?;
        let apart = self.alpha > 1.0 || self.allow_alpha_le_one;
        let expected = "above 1, because the temperature could reach 0 otherwise";
        require(apart, NAME, "alpha", self.alpha, expected)?;
        Ok(AldrKl {
            adaptation: Adaptation { lambda0, alpha: self.alpha },
            margin: check_margin(NAME, self.margin)?,
            normalize: self.normalize,
            mode: self.mode,
            memory: Mutex::default(),
        })
    }
}

/// Adaptive label-distributionally robust loss (ALDR-KL).
///
/// ```text
/// psi = max_lambda lambda log( (1 / D) sum_k exp(d_k / lambda) ) - (a / 2) (lambda - lambda0)^2
/// a = alpha log(D) / lambda0        lambda* = lambda0 (1 - KL(p*) / (alpha log D))        dpsi/ds = p* - e_y
/// ```
/// A peaked `p*` has a low temperature, a flat one `lambda0`. The temperature is no part of the graph: at the maximum
/// its derivative is zero.
///
/// In training it remembers the temperature of every row ([`AldrMode::Alternating`]); [`AldrKl::forward_rows`] keeps the
/// memory in the caller's hands.
///
/// Source: arXiv 2112.14869, equation 9 and algorithm 1.
#[derive(Debug)]
pub struct AldrKl {
    adaptation: Adaptation,
    margin: f64,
    normalize: LogitNorm,
    mode: AldrMode,
    memory: Mutex<AldrState>,
}

impl AldrKl {
    /// Every one of `rows` training rows at the highest temperature.
    pub fn state(&self, rows: usize) -> AldrState {
        AldrState::new(rows, self.adaptation.lambda0)
    }

    /// Loss of each row, whose temperature takes one step; the batch is checked on the host.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`, `rows`: `[batch_size]`
    /// - output: `[batch_size]`
    ///
    /// # Errors
    /// [`LossError::Shape`], [`LossError::Target`], [`LossError::Logit`], [`LossError::Length`] where there is not one
    /// row number an example, [`LossError::Row`] and [`LossError::RepeatedRow`].
    pub fn forward_rows(
        &self,
        state: &mut AldrState,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        rows: Tensor<1, Int>,
    ) -> Result<Tensor<1>, LossError> {
        check_batch(NAME, &logits, &targets)?;
        let rows: Vec<i64> = rows.to_data().iter::<i64>().collect();
        let [expected, _] = logits.dims();
        if rows.len() != expected {
            return Err(LossError::Length { loss: NAME, what: "row numbers", expected, actual: rows.len() });
        }
        let rows = state.check(NAME, &rows)?;
        Ok(self.step(state, logits, targets, &rows))
    }

    /// Loss of each example, and the distribution over the classes at which it is attained, outside the graph; at the
    /// temperatures that evaluation uses.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`: `[batch_size]`
    /// - output: `[batch_size]` and `[batch_size, num_classes]`
    pub fn forward_with_weights(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> (Tensor<1>, Tensor<2>) {
        let logits = self.normalize.apply(logits);
        let scores = logits.clone().inner();
        let temperatures = self.temperatures_of(&scores, &targets.clone().inner());
        let rows = scores.dims()[0];
        let gaps = gaps(scores, targets.clone().inner().reshape([rows, 1]), self.margin);
        let weights = self.at_temperatures(gaps, temperatures.clone()).1;
        (of_gaps(logits, targets, self.margin, |gaps, _| self.at_temperatures(gaps, temperatures)), weights)
    }

    /// The temperature of each example that evaluation uses.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`: `[batch_size]`
    /// - output: `[batch_size]`
    pub fn temperatures(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let scores = self.normalize.apply(logits.inner());
        self.temperatures_of(&scores, &targets.inner()).squeeze_dim(1)
    }

    /// How little the loss believes in each label: `-log p_y` under the softmax of the logits, scaled as the loss scales them.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`: `[batch_size]`
    /// - output: `[batch_size]`, outside the graph
    pub fn surprise(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let rows = logits.dims()[0];
        let log_p = log_softmax(self.normalize.apply(logits.inner()), 1);
        -log_p.gather(1, targets.inner().reshape([rows, 1])).squeeze_dim(1)
    }

    /// The temperatures that training has left, one a row; empty before the first step.
    pub fn remembered(&self) -> AldrState {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn step(&self, state: &mut AldrState, logits: Tensor<2>, targets: Tensor<1, Int>, rows: &[usize]) -> Tensor<1> {
        let logits = self.normalize.apply(logits);
        if let Some(host) = HostRows::of(&logits, &targets) {
            let current = state.of(rows);
            let step = |scratch: &mut Scratch, place: usize, scores: &[f32], _| {
                self.adapted_row(scratch, scores, f64::from(current[place]))
            };
            let (losses, next) = self.by_rows(host, logits, step);
            state.set(rows, next);
            return losses;
        }
        let scores = logits.clone().inner();
        let current = column(state.of(rows), &scores.device(), scores.dtype());
        let next = self.adapted(&scores, current);
        state.set(rows, next.to_data().iter::<f32>());
        of_gaps(logits, targets, self.margin, |gaps, _| self.at_temperatures(gaps, next))
    }

    /// `lambda0 (1 - KL(q) / (alpha log D))` with `q = softmax(s / lambda)`, without the margin.
    fn adapted(&self, scores: &Tensor<2>, lambda: Tensor<2>) -> Tensor<2> {
        let classes = scores.dims()[1] as f64;
        let u = (scores.clone() - scores.clone().max_dim(1)) / lambda;
        let q = softmax(u, 1) + LEAST;
        let q = q.clone() / q.sum_dim(1);
        let divergence = (q.clone() * (q * classes).log()).sum_dim(1);
        let Adaptation { lambda0, alpha } = self.adaptation;
        let lambda = divergence * (-lambda0 / (alpha * classes.ln())) + lambda0;
        lambda.clamp(self.adaptation.least(), lambda0)
    }

    /// As [`adapted`](Self::adapted), of one row.
    fn adapted_row(&self, scratch: &mut Scratch, scores: &[f32], lambda: f64) -> f64 {
        scratch.powers.copy_from_slice(scores);
        let scale = 1.0 / rows::softmax(&mut scratch.powers, (1.0 / lambda) as f32).sum;
        let (sum, product) = rows::entropy(&scratch.powers, scale, LEAST as f32);
        // With q = r / sum: sum_k q_k log(D q_k) = (sum_k r_k log r_k) / sum - log(sum / D).
        let (sum, classes) = (f64::from(sum), scores.len() as f64);
        let divergence = f64::from(product) / sum - (sum / classes).ln();
        let Adaptation { lambda0, alpha } = self.adaptation;
        let lambda = lambda0 * (1.0 - divergence / (alpha * classes.ln()));
        lambda.clamp(self.adaptation.least(), lambda0)
    }

    /// The temperatures that evaluation uses, `[batch_size, 1]`.
    fn temperatures_of(&self, scores: &Tensor<2>, targets: &Tensor<1, Int>) -> Tensor<2> {
        let [rows, classes] = scores.dims();
        if self.mode == AldrMode::Exact {
            let gaps = gaps(scores.clone(), targets.clone().reshape([rows, 1]), self.margin);
            let gaps: Vec<f64> = gaps.into_data().iter::<f64>().collect();
            let mut search = self.adaptation.search(classes);
            let best = gaps.chunks(classes).map(|gaps| search.best(gaps));
            return column(best.collect(), &scores.device(), scores.dtype());
        }
        let start = scores.clone().slice([0..rows, 0..1]).full_like(self.adaptation.lambda0);
        (0..JOINT_STEPS).fold(start, |lambda, _| self.adapted(scores, lambda))
    }

    /// As [`temperatures_of`](Self::temperatures_of), of one row.
    fn temperature_of_row(&self, scratch: &mut Scratch, scores: &[f32], target: usize) -> f64 {
        if self.mode == AldrMode::Exact {
            return scratch.search.best_of_row(scores, target, self.margin);
        }
        (0..JOINT_STEPS).fold(self.adaptation.lambda0, |lambda, _| self.adapted_row(scratch, scores, lambda))
    }

    /// The losses of rows on the host, at temperatures that are found row by row, and the temperatures.
    fn by_rows(
        &self,
        mut host: HostRows,
        logits: Tensor<2>,
        temperature: impl Fn(&mut Scratch, usize, &[f32], usize) -> f64 + Sync + Send,
    ) -> (Tensor<1>, Vec<f32>) {
        let classes = logits.dims()[1];
        let stiffness = self.adaptation.stiffness(classes);
        let scratch = || Scratch { powers: vec![0.0; classes], search: self.adaptation.search(classes) };
        let found = host.map(scratch, |scratch, place, row, target| {
            let lambda = temperature(scratch, place, row, target);
            let penalty = 0.5 * stiffness * (lambda - self.adaptation.lambda0).powi(2);
            ((kl::of_row(row, target, self.margin, lambda) - penalty) as f32, lambda as f32)
        });
        let (losses, temperatures) = found.into_iter().unzip();
        (host.into_losses(logits, losses), temperatures)
    }

    /// The loss at temperatures `[batch_size, 1]`, and its derivatives by the gaps.
    fn at_temperatures(&self, gaps: Tensor<2>, lambda: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let stiffness = self.adaptation.stiffness(gaps.dims()[1]);
        let penalty = (lambda.clone() - self.adaptation.lambda0).square() * (0.5 * stiffness);
        let (values, weights) = kl::soft_maximum(gaps, lambda);
        (values - penalty, weights)
    }
}

/// Memory of a thread, reused from row to row.
struct Scratch {
    powers: Vec<f32>,
    search: Search,
}

/// One number a row, `[batch_size, 1]`.
fn column<E: burn::tensor::Element>(values: Vec<E>, device: &Device, dtype: DType) -> Tensor<2> {
    let rows = values.len();
    Tensor::from_data(TensorData::new(values, [rows, 1]).convert_dtype(dtype), (device, dtype))
}

impl ClassificationLoss for AldrKl {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let logits = self.normalize.apply(logits);
        if let Some(host) = HostRows::of(&logits, &targets) {
            let temperature = |scratch: &mut Scratch, _: usize, scores: &[f32], target: usize| {
                self.temperature_of_row(scratch, scores, target)
            };
            return self.by_rows(host, logits, temperature).0;
        }
        let temperatures = self.temperatures_of(&logits.clone().inner(), &targets.clone().inner());
        of_gaps(logits, targets, self.margin, |gaps, _| self.at_temperatures(gaps, temperatures))
    }

    fn losses_in_training(&self, logits: Tensor<2>, targets: Tensor<1, Int>, moment: &TrainingMoment<'_>) -> Tensor<1> {
        if self.mode != AldrMode::Alternating || moment.rows.len() != logits.dims()[0] {
            return self.forward_no_reduction(logits, targets);
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = moment.rows.iter().max().map_or(0, |last| last + 1);
        memory.grow(rows, self.adaptation.lambda0);
        self.step(&mut memory, logits, targets, moment.rows)
    }

    fn forward_in_training(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        moment: &TrainingMoment<'_>,
    ) -> Tensor<1> {
        self.losses_in_training(logits, targets, moment).mean()
    }

    fn memory(&self) -> Option<Vec<f32>> {
        (self.mode == AldrMode::Alternating).then(|| self.remembered().temperatures().to_vec())
    }

    fn remember(&self, memory: Vec<f32>) -> Result<(), LossError> {
        /// Share by which single precision may leave the range.
        const ROUNDING: f64 = 1e-6;
        let (least, most) = (self.adaptation.least() * (1.0 - ROUNDING), self.adaptation.lambda0 * (1.0 + ROUNDING));
        let state = AldrState::from_temperatures(memory)?.within(least, most)?;
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }
}
