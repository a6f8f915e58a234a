//! Training and testing a feed-forward language model under any output layer.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Device;
use kiln_data::split::permutation;
use kiln_lab::train::epoch_seed;
use kiln_lab::{JobContext, LabError};
use kiln_loss::{LayerError, RankCounts, RankMetrics};
use kiln_nn::{Activation, NgramConfig, NgramEncoder};
use serde::{Deserialize, Serialize};

use super::corpus::{Corpus, Windows};
use super::method::{Method, OutputLayer};
use super::{CorpusSettings, QualitySettings};

/// What one training is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Trial {
    /// Loss and output layer.
    pub method: Method,
    /// Learning rate of the output layer's SGD.
    pub output_rate: f64,
    /// Learning rate of Adam below.
    pub encoder_rate: f64,
}

impl Trial {
    /// Name among the trials of a recipe.
    pub(super) fn key(&self) -> String {
        format!("{} lr={} encoder={}", self.method.label(), self.output_rate, self.encoder_rate)
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

/// Embeddings and hidden layers with Adam, under an output layer with SGD.
pub(super) struct LanguageModel {
    encoder: NgramEncoder,
    optimizer: ModuleOptimizer,
    output: OutputLayer,
    device: Device,
}

impl LanguageModel {
    /// A model with the weights of `seed`; all methods start from the same encoder.
    pub(super) fn new(
        settings: &QualitySettings,
        context: usize,
        corpus: &Corpus,
        method: &Method,
        seed: u64,
        device: &Device,
    ) -> Result<Self, LabError> {
        let tracked = device.clone().autodiff();
        let encoder = NgramConfig::new(corpus.context_words(), context)
            .with_embedding(settings.embedding)
            .with_hidden(settings.hidden.clone())
            .with_activation(Activation::Tanh)
            .init_encoder_seeded(seed, &tracked)
            .map_err(LabError::method)?;
        let output = method.layer(encoder.feature_width(), corpus.vocabulary, settings.init_std, seed)?;
        Ok(Self { encoder, optimizer: AdamConfig::new().with_epsilon(1e-8).init(), output, device: tracked })
    }

    /// One training step; returns the mean loss.
    pub(super) fn step(
        &mut self,
        windows: &Windows,
        examples: &[usize],
        output_rate: f64,
        encoder_rate: f64,
    ) -> Result<f64, LayerError> {
        let (contexts, targets) = windows.batch(examples, &self.device);
        let hidden = self.encoder.forward(contexts);
        let out = self.output.step(hidden, &targets, output_rate)?;
        let gradients = GradientsParams::from_grads(out.surrogate.backward(), &self.encoder);
        self.encoder = self.optimizer.step(encoder_rate, self.encoder.clone(), gradients);
        Ok(out.loss_mean)
    }

    /// Ranking scores on the first `most` examples, taken evenly over the text.
    pub(super) fn evaluate(&self, windows: &Windows, most: usize, ks: &[usize]) -> Result<RankMetrics, LayerError> {
        const BLOCK: usize = 256;
        let stride = windows.len().div_ceil(most.max(1)).max(1);
        let examples: Vec<usize> = (0..windows.len()).step_by(stride).collect();
        let (encoder, device) = (self.encoder.valid(), self.device.clone().inner());
        let mut counts = RankCounts::new(ks)?;
        for block in examples.chunks(BLOCK) {
            let (contexts, targets) = windows.batch(block, &device);
            counts.add(self.output.scores(encoder.forward(contexts))?, &targets)?;
        }
        Ok(counts.metrics())
    }
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
    trial: &Trial,
    seed: u64,
    purpose: Purpose,
    corpus: &Corpus,
    settings: (&CorpusSettings, &QualitySettings),
    context: &JobContext,
) -> Result<Option<Scores>, LabError> {
    let (text, quality) = settings;
    let (examples, epochs) = match purpose {
        Purpose::Tuning => (quality.tuning_examples.min(corpus.train.len()), 1),
        Purpose::Testing => (corpus.train.len(), quality.epochs),
    };
    let steps = examples.div_ceil(quality.batch_size);
    let total = (steps * epochs) as u64;
    let device = context.device();
    let mut model = LanguageModel::new(quality, text.context, corpus, &trial.method, seed, &device)?;
    let started = std::time::Instant::now();
    let mut step = 0;
    for epoch in 1..=epochs {
        let order = permutation(corpus.train.len(), epoch_seed(seed, epoch));
        for batch in order[..examples].chunks(quality.batch_size) {
            let left = 1.0 - step as f64 / total as f64;
            let outcome = model.step(&corpus.train, batch, left * trial.output_rate, left * trial.encoder_rate);
            let loss = match outcome {
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
    let held_out = if purpose == Purpose::Tuning { &corpus.validation } else { &corpus.test };
    match model.evaluate(held_out, quality.evaluation_examples, &quality.ks) {
        Ok(metrics) => Ok(Some(Scores {
            top_k_error: metrics.top_k_error,
            mean_reciprocal_rank: metrics.mean_reciprocal_rank,
            seconds,
        })),
        Err(error) if is_divergence(&error) => Ok(None),
        Err(error) => Err(LabError::method(error)),
    }
}

/// Whether an error means that the weights grew without bound.
fn is_divergence(error: &LayerError) -> bool {
    matches!(
        error,
        LayerError::LossValue { .. }
            | LayerError::StepTooLong { .. }
            | LayerError::Singular { .. }
            | LayerError::Hidden { .. }
            | LayerError::Score { .. }
    )
}
