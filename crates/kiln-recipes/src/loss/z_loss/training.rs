//! Training and testing a language model, whatever its output layer and optimizer.

use burn::tensor::{Device, Int, Tensor};
use kiln_data::split::permutation;
use kiln_lab::train::{epoch_seed, is_divergence};
use kiln_lab::{JobContext, LabError};
use kiln_loss::{LayerError, RankCounts, RankMetrics};
use serde::{Deserialize, Serialize};

use super::Budget;
use super::corpus::{Corpus, Windows};
use super::method::Method;

/// What one training is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Trial {
    /// Loss and output layer.
    pub method: Method,
    /// Learning rate of the output layer.
    pub output_rate: f64,
    /// Learning rate of Adam below; `None` where Adam trains the output layer too, at its rate.
    pub encoder_rate: Option<f64>,
}

impl Trial {
    /// Name among the trials of a recipe.
    pub(super) fn key(&self) -> String {
        let encoder = self.encoder_rate.map(|rate| format!(" encoder={rate}")).unwrap_or_default();
        format!("{} lr={}{encoder}", self.method.label(), self.output_rate)
    }
}

/// Scores of one training.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Scores {
    /// `(k, top-k error)`.
    pub top_k_error: Vec<(usize, f64)>,
    /// Mean reciprocal rank.
    pub mean_reciprocal_rank: f64,
    /// Seconds of training, evaluation not included.
    pub seconds: f64,
}

impl Scores {
    /// Top-k error; 1 for a k that was not asked for.
    pub(super) fn error_at(&self, k: usize) -> f64 {
        self.top_k_error.iter().find(|(found, _)| *found == k).map_or(1.0, |(_, error)| *error)
    }
}

/// A language model that learns.
pub(super) trait Learner {
    /// One training step, with the learning rates multiplied by `decay`; returns the mean loss.
    fn step(&mut self, windows: &Windows, examples: &[usize], decay: f64) -> Result<f64, LayerError>;

    /// Scores `[batch_size, classes]` of contexts `[batch_size, context]` on the device without autodiff.
    fn scores(&self, contexts: Tensor<2, Int>) -> Result<Tensor<2>, LayerError>;
}

/// Where a trial is scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    /// A short training, scored on the validation text.
    Tuning,
    /// A whole training, scored on the test text.
    Testing,
}

/// Trains with a learning rate that falls linearly to zero. `None` when the training diverged.
pub(super) fn train(
    mut learner: impl Learner,
    seed: u64,
    purpose: Purpose,
    corpus: &Corpus,
    budget: &Budget,
    context: &JobContext,
) -> Result<Option<Scores>, LabError> {
    let all = corpus.train.len();
    let a_pass = if budget.examples == 0 { all } else { budget.examples.min(all) };
    let (examples, epochs) = match purpose {
        Purpose::Tuning => (budget.tuning_examples.min(a_pass), 1),
        Purpose::Testing => (a_pass, budget.epochs),
    };
    let total = (examples.div_ceil(budget.batch_size) * epochs) as u64;
    let started = std::time::Instant::now();
    let mut step = 0;
    for epoch in 1..=epochs {
        let order = permutation(all, epoch_seed(seed, epoch));
        for batch in order[..examples].chunks(budget.batch_size) {
            let loss = match learner.step(&corpus.train, batch, 1.0 - step as f64 / total as f64) {
                Ok(loss) if loss.is_finite() => loss,
                Ok(_) => return Ok(None),
                Err(error) if is_divergence(&error) => return Ok(None),
                Err(error) => return Err(LabError::method(error)),
            };
            step += 1;
            context.progress(step, total, loss);
            if step % 50 == 0 {
                context.metric(step, "loss", loss);
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let (held_out, most) = match purpose {
        Purpose::Tuning => (&corpus.validation, budget.validation_examples),
        Purpose::Testing => (&corpus.test, budget.test_examples),
    };
    match evaluate(&learner, held_out, most, &budget.ks, &context.device()) {
        Ok(RankMetrics { top_k_error, mean_reciprocal_rank, .. }) => {
            Ok(Some(Scores { top_k_error, mean_reciprocal_rank, seconds }))
        }
        Err(error) if is_divergence(&error) => Ok(None),
        Err(error) => Err(LabError::method(error)),
    }
}

/// Ranking scores on at most `most` examples, taken evenly over the text.
fn evaluate(
    learner: &impl Learner,
    windows: &Windows,
    most: usize,
    ks: &[usize],
    device: &Device,
) -> Result<RankMetrics, LayerError> {
    const BLOCK: usize = 256;
    let stride = windows.len().div_ceil(most).max(1);
    let examples: Vec<usize> = (0..windows.len()).step_by(stride).collect();
    let mut counts = RankCounts::new(ks)?;
    for block in examples.chunks(BLOCK) {
        let (contexts, targets) = windows.batch(block, device);
        counts.add(learner.scores(contexts)?, &targets)?;
    }
    Ok(counts.metrics())
}
