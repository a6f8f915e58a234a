//! Generalised cross-entropy that gives up on some examples.

use std::sync::{Mutex, PoisonError};

use burn::config::Config;
use burn::tensor::{Int, Tensor, TensorData};

use crate::error::require;
use crate::quantity::Quantity;
use crate::target_likelihood::{OfLikelihood, of_likelihood, probability};
use crate::{ClassificationLoss, LossError, TrainingMoment};

/// Configuration of [`CappedGceLoss`].
#[derive(Config, Debug)]
pub struct CappedGceLossConfig {
    /// Exponent `q` in `(0, 1]`.
    #[config(default = 0.7)]
    pub q: f64,
    /// Probability `kappa` in `[0, 1)` below which an example has no gradient.
    #[config(default = 0.5)]
    pub kappa: f64,
}

impl CappedGceLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a `q` outside `(0, 1]` or a `kappa` outside `[0, 1)`.
    pub fn init(&self) -> Result<CappedGceLoss, LossError> {
        let (q, kappa) = checked("capped gce", self.q, self.kappa)?;
        Ok(CappedGceLoss { q, kappa })
    }
}

fn checked(loss: &'static str, q: f64, kappa: f64) -> Result<(f64, f64), LossError> {
    let q = require(q > 0.0 && q <= 1.0, loss, "q", q, "in (0, 1]")?;
    Ok((q, require((0.0..1.0).contains(&kappa), loss, "kappa", kappa, "in [0, 1)")?))
}

/// Generalised cross-entropy, constant where the target's probability is at most `kappa`.
///
/// ```text
/// L = min((1 - p_y^q) / q, (1 - kappa^q) / q)
/// ```
/// Source: Z. Zhang and M. Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
/// Labels", arXiv 1805.07836, equation 11.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CappedGceLoss {
    q: f64,
    kappa: f64,
}

impl OfLikelihood for CappedGceLoss {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        let value = generalised(nll.clone(), self.q).at_most((1.0 - self.kappa.powf(self.q)) / self.q);
        let believed = (probability(nll.clone()) - self.kappa).step();
        (value, (nll * -self.q).exp() * believed)
    }
}

impl ClassificationLoss for CappedGceLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_likelihood(logits, targets, self)
    }
}

/// `(1 - p_y^q) / q`, exact near zero.
fn generalised<N: Quantity>(nll: N, q: f64) -> N {
    let exponent = nll * q;
    (exponent.clone() * 0.5_f64).tanh() * ((-exponent).exp() + 1.0_f64) / q
}

const TRUNCATED: &str = "truncated gce";

/// Configuration of [`TruncatedGceLoss`].
#[derive(Config, Debug)]
pub struct TruncatedGceLossConfig {
    /// Exponent `q` in `(0, 1]`.
    #[config(default = 0.7)]
    pub q: f64,
    /// An example is kept while its target had a larger probability than this when it was last looked at.
    #[config(default = 0.5)]
    pub kappa: f64,
    /// Epochs in which every example counts.
    #[config(default = 10)]
    pub start: usize,
    /// Epochs from one decision about what is kept to the next, at least 1.
    #[config(default = 10)]
    pub every: usize,
}

impl TruncatedGceLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a `q` outside `(0, 1]`, a `kappa` outside `[0, 1)`, or an `every` of 0.
    pub fn init(&self) -> Result<TruncatedGceLoss, LossError> {
        let (q, kappa) = checked(TRUNCATED, self.q, self.kappa)?;
        require(self.every >= 1, TRUNCATED, "every", self.every as f64, "at least 1")?;
        let whole = Gce(q);
        Ok(TruncatedGceLoss { whole, kappa, start: self.start, every: self.every, memory: Mutex::default() })
    }
}

/// Generalised cross-entropy of the training rows that are still believed.
///
/// ```text
/// L_i = v_i (1 - p_y^q) / q        v_i = [p_y of row i at its last visit > kappa]
/// ```
/// Up to epoch `start` all `v_i` are 1; after it they are decided anew every `every` epochs, from what each row's target
/// had for a probability when its batch was last computed. Where the rows are not known, and in evaluation, all count.
///
/// Source: arXiv 1805.07836, algorithm 1.
#[derive(Debug)]
pub struct TruncatedGceLoss {
    whole: Gce,
    kappa: f64,
    start: usize,
    every: usize,
    memory: Mutex<Memory>,
}

/// What is known of the training rows, by their number.
#[derive(Debug, Default)]
struct Memory {
    latest: Vec<f32>,
    kept: Vec<bool>,
    decided_in: usize,
}

impl TruncatedGceLoss {
    /// Fraction of the rows seen so far that count.
    pub fn kept(&self) -> f64 {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = memory.kept.iter().filter(|kept| **kept).count();
        if memory.kept.is_empty() { 1.0 } else { kept as f64 / memory.kept.len() as f64 }
    }

    /// Whether each row of the batch counts, after taking note of its probability.
    fn look(&self, losses: &Tensor<1>, moment: &TrainingMoment<'_>) -> Vec<f32> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = moment.rows.iter().max().map_or(0, |last| last + 1);
        if memory.kept.len() < rows {
            memory.kept.resize(rows, true);
            memory.latest.resize(rows, 1.0);
        }
        let due = moment.epoch > self.start && (moment.epoch - self.start - 1).is_multiple_of(self.every);
        if due && memory.decided_in != moment.epoch {
            memory.decided_in = moment.epoch;
            memory.kept = memory.latest.iter().map(|&probability| f64::from(probability) > self.kappa).collect();
        }
        let mut flags = Vec::with_capacity(moment.rows.len());
        for (&row, loss) in moment.rows.iter().zip(losses.clone().inner().to_data().iter::<f64>()) {
            memory.latest[row] = (1.0 - self.whole.0 * loss).max(0.0).powf(1.0 / self.whole.0) as f32;
            flags.push(f32::from(memory.kept[row]));
        }
        flags
    }
}

impl ClassificationLoss for TruncatedGceLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_likelihood(logits, targets, &self.whole)
    }

    fn losses_in_training(&self, logits: Tensor<2>, targets: Tensor<1, Int>, moment: &TrainingMoment<'_>) -> Tensor<1> {
        let losses = self.forward_no_reduction(logits, targets);
        if moment.rows.len() != losses.dims()[0] {
            return losses;
        }
        let flags = self.look(&losses, moment);
        let (count, dtype, device) = (flags.len(), losses.dtype(), losses.device().inner());
        let flags = Tensor::<1>::from_data(TensorData::new(flags, [count]).convert_dtype(dtype), (&device, dtype));
        losses * flags
    }

    fn forward_in_training(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        moment: &TrainingMoment<'_>,
    ) -> Tensor<1> {
        self.losses_in_training(logits, targets, moment).mean()
    }

    /// The epoch of the last decision, then the probabilities, then what was decided.
    fn memory(&self) -> Option<Vec<f32>> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = memory.kept.iter().map(|kept| f32::from(*kept));
        Some([memory.decided_in as f32].into_iter().chain(memory.latest.iter().copied()).chain(kept).collect())
    }

    fn remember(&self, memory: Vec<f32>) -> Result<(), LossError> {
        let wrong = |reason: String| LossError::Memory { loss: TRUNCATED, reason };
        let Some((decided_in, rows)) = memory.split_first() else { return Err(wrong("it is empty".into())) };
        if rows.len() % 2 == 1 || !(*decided_in >= 0.0 && decided_in.fract() == 0.0) {
            return Err(wrong(format!("{} numbers after the epoch {decided_in}", rows.len())));
        }
        let (latest, kept) = rows.split_at(rows.len() / 2);
        if let Some(row) = latest.iter().position(|probability| !(0.0..=1.0).contains(probability)) {
            return Err(wrong(format!("the probability of row {row} is {}", latest[row])));
        }
        if let Some(row) = kept.iter().position(|kept| *kept != 0.0 && *kept != 1.0) {
            return Err(wrong(format!("row {row} is kept to {}, neither 0 nor 1", kept[row])));
        }
        let kept = kept.iter().map(|kept| *kept == 1.0).collect();
        let memory = Memory { latest: latest.to_vec(), kept, decided_in: *decided_in as usize };
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        Ok(())
    }
}

/// `(1 - p_y^q) / q`.
#[derive(Debug, Clone, Copy)]
struct Gce(f64);

impl OfLikelihood for Gce {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        (generalised(nll.clone(), self.0), (nll * -self.0).exp())
    }
}
