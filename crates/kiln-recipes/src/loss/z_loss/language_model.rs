//! Feed-forward language models: with an output layer that updates itself, and wholly under Adam.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor};
use kiln_lab::LabError;
use kiln_loss::{ClassificationLoss, LayerError};
use kiln_nn::{Activation, NextWordModel, NgramConfig, NgramEncoder, WeightStream, WordEncoder, WordOutput};

use super::corpus::{Corpus, Windows};
use super::method::OutputLayer;
use super::training::{Learner, Trial};
use super::{DenseSettings, QualitySettings};

/// Embeddings and hidden layers with Adam, under an output layer with SGD.
pub(super) struct LanguageModel {
    encoder: NgramEncoder,
    optimizer: ModuleOptimizer,
    output: OutputLayer,
    trial: Trial,
    device: Device,
}

impl LanguageModel {
    /// A model with the weights of `seed`; all methods start from the same encoder.
    pub(super) fn new(
        settings: &QualitySettings,
        context: usize,
        corpus: &Corpus,
        trial: &Trial,
        seed: u64,
        device: &Device,
    ) -> Result<Self, LabError> {
        let device = device.clone().autodiff();
        let encoder = NgramConfig::new(corpus.context_words(), context)
            .with_embedding(settings.embedding)
            .with_hidden(settings.hidden.clone())
            .with_activation(Activation::Tanh)
            .init_encoder_seeded(seed, &device)
            .map_err(LabError::method)?;
        let output = trial.method.layer(encoder.feature_width(), corpus.vocabulary, settings.init_std, seed)?;
        Ok(Self { encoder, optimizer: adam(), output, trial: trial.clone(), device })
    }

    /// The output layer.
    pub(super) fn output(&self) -> &OutputLayer {
        &self.output
    }
}

impl Learner for LanguageModel {
    fn step(&mut self, windows: &Windows, examples: &[usize], decay: f64) -> Result<f64, LayerError> {
        let (contexts, targets) = windows.batch(examples, &self.device);
        let hidden = self.encoder.forward(contexts);
        let out = self.output.step(hidden, &targets, decay * self.trial.output_rate)?;
        let gradients = GradientsParams::from_grads(out.surrogate.backward(), &self.encoder);
        let rate = decay * self.trial.encoder_rate.unwrap_or(self.trial.output_rate);
        self.encoder = self.optimizer.step(rate, self.encoder.clone(), gradients);
        Ok(out.loss_mean)
    }

    fn scores(&self, contexts: Tensor<2, Int>) -> Result<Tensor<2>, LayerError> {
        self.output.scores(self.encoder.valid().forward(contexts))
    }
}

/// A model whose output layer is an ordinary one, trained with Adam as a whole.
pub(super) struct DenseLanguageModel {
    network: NextWordModel,
    optimizer: ModuleOptimizer,
    loss: Box<dyn ClassificationLoss>,
    learning_rate: f64,
    device: Device,
}

impl DenseLanguageModel {
    /// A model with the weights of `seed`; all methods start from the same ones.
    pub(super) fn new(
        settings: &DenseSettings,
        context: usize,
        corpus: &Corpus,
        trial: &Trial,
        seed: u64,
        device: &Device,
    ) -> Result<Self, LabError> {
        let device = device.clone().autodiff();
        let encoder = NgramConfig::new(corpus.context_words(), context)
            .with_embedding(settings.embedding)
            .with_hidden(settings.hidden.clone())
            .with_activation(Activation::Tanh)
            .init_encoder_seeded(seed, &device)
            .map_err(LabError::method)?;
        let head = WeightStream::new(seed, &device).linear(encoder.feature_width(), corpus.vocabulary);
        let network = NextWordModel { encoder: WordEncoder::Ngram(encoder), output: WordOutput::Linear(head) };
        let loss = trial.method.dense_loss()?;
        Ok(Self { network, optimizer: adam(), loss, learning_rate: trial.output_rate, device })
    }
}

impl Learner for DenseLanguageModel {
    fn step(&mut self, windows: &Windows, examples: &[usize], decay: f64) -> Result<f64, LayerError> {
        let (contexts, targets) = windows.batch(examples, &self.device);
        let targets: Vec<i64> = targets.iter().map(|&target| target as i64).collect();
        let targets = Tensor::<1, Int>::from_data(targets.as_slice(), &self.device);
        let logits = self.network.forward(contexts);
        let loss = self.loss.forward(logits, targets);
        let value = loss.clone().into_scalar::<f32>();
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        self.network = self.optimizer.step(decay * self.learning_rate, self.network.clone(), gradients);
        Ok(f64::from(value))
    }

    fn scores(&self, contexts: Tensor<2, Int>) -> Result<Tensor<2>, LayerError> {
        Ok(self.network.valid().forward(contexts))
    }
}

fn adam() -> ModuleOptimizer {
    AdamConfig::new().with_epsilon(1e-8).init()
}
