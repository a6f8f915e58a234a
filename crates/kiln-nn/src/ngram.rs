//! Feed-forward n-gram language model.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Embedding, Linear};
use burn::tensor::{Device, Int, Tensor};
use kiln_autodiff::{Numbers, Values};

use crate::{Activation, NetworkError, WeightStream};

/// Configuration of [`NgramLanguageModel`] and [`NgramEncoder`].
#[derive(Config, Debug)]
pub struct NgramConfig {
    /// Number of words.
    pub vocabulary_size: usize,
    /// Number of preceding words that the model sees.
    pub context: usize,
    /// Width of a word's embedding.
    #[config(default = 64)]
    pub embedding: usize,
    /// Widths of the hidden layers, first to last; the last is the width of the features.
    #[config(default = "vec![256]")]
    pub hidden: Vec<usize>,
    /// Activation after every hidden layer.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Probability of dropping a hidden unit during training, in `[0, 1)`.
    #[config(default = 0.0)]
    pub dropout: f64,
}

/// Everything of an n-gram language model but its output layer: the words' embeddings side by side, then hidden layers.
///
/// For output layers that are not a plain linear one.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_nn::NgramConfig;
///
/// let device = Device::flex();
/// let encoder = NgramConfig::new(1000, 3).with_hidden(vec![32]).init_encoder_seeded(1, &device)?;
/// let words = Tensor::<2, Int>::from_ints([[4, 8, 15], [16, 23, 42]], &device);
/// assert_eq!(encoder.forward(words).dims(), [2, 32]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
#[derive(Module, Debug)]
pub struct NgramEncoder {
    /// Embedding of each word.
    pub embedding: Embedding,
    /// Hidden layers.
    pub layers: Vec<Linear>,
    dropout: Dropout,
    context: usize,
    #[module(skip)]
    activation: Activation,
}

/// Feed-forward language model: the next word's logits from the words before it.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_nn::NgramConfig;
///
/// let device = Device::flex();
/// let model = NgramConfig::new(50, 2).init_seeded(1, &device)?;
/// let words = Tensor::<2, Int>::from_ints([[4, 8], [15, 16]], &device);
/// assert_eq!(model.forward(words).dims(), [2, 50]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
///
/// Source: Bengio et al., A neural probabilistic language model, 2003, without connections around the hidden layers.
#[derive(Module, Debug)]
pub struct NgramLanguageModel {
    /// From words to features.
    pub encoder: NgramEncoder,
    /// From features to logits.
    pub head: Linear,
}

impl NgramConfig {
    /// A language model with weights from the device's generator: embeddings standard normal, layers as PyTorch's.
    ///
    /// # Errors
    /// [`NetworkError`] for a count of zero, no hidden layer or a dropout outside `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<NgramLanguageModel, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A language model with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`NgramConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<NgramLanguageModel, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    /// A model without output layer, with weights from the device's generator.
    ///
    /// # Errors
    /// Those of [`NgramConfig::init`].
    pub fn init_encoder(&self, device: &Device) -> Result<NgramEncoder, NetworkError> {
        self.build_encoder(&mut WeightStream::from_device(device))
    }

    /// A model without output layer, with the weights of `seed`: those that [`NgramConfig::init_seeded`] gives to its
    /// encoder.
    ///
    /// # Errors
    /// Those of [`NgramConfig::init`].
    pub fn init_encoder_seeded(&self, seed: u64, device: &Device) -> Result<NgramEncoder, NetworkError> {
        self.build_encoder(&mut WeightStream::new(seed, device))
    }

    fn build(&self, weights: &mut WeightStream) -> Result<NgramLanguageModel, NetworkError> {
        let encoder = self.build_encoder(weights)?;
        let features = encoder.feature_width();
        NetworkError::require_weights("vocabulary_size", &[features, self.vocabulary_size])?;
        Ok(NgramLanguageModel { encoder, head: weights.linear(features, self.vocabulary_size) })
    }

    pub(crate) fn build_encoder(&self, weights: &mut WeightStream) -> Result<NgramEncoder, NetworkError> {
        NetworkError::require_count("vocabulary_size", self.vocabulary_size)?;
        NetworkError::require_count("context", self.context)?;
        NetworkError::require_count("embedding", self.embedding)?;
        NetworkError::require_dropout(self.dropout)?;
        if self.hidden.is_empty() {
            return Err(NetworkError::out_of_range("hidden", "[]", "at least one hidden layer"));
        }
        NetworkError::require_weights("embedding", &[self.vocabulary_size, self.embedding])?;
        let embedding = weights.embedding(self.vocabulary_size, self.embedding, 1.0);
        let mut width = self.context * self.embedding;
        let mut layers = Vec::with_capacity(self.hidden.len());
        for &hidden in &self.hidden {
            NetworkError::require_count("hidden", hidden)?;
            NetworkError::require_weights("hidden", &[width, hidden])?;
            layers.push(weights.linear(width, hidden));
            width = hidden;
        }
        Ok(NgramEncoder {
            embedding,
            layers,
            dropout: DropoutConfig::new(self.dropout).init(),
            context: self.context,
            activation: self.activation,
        })
    }
}

impl NgramEncoder {
    /// The last hidden layer's output.
    ///
    /// # Shapes
    /// - `words`: `[batch_size, context]`, in `0..vocabulary_size`, oldest first
    /// - output: `[batch_size, feature width]`
    pub fn forward(&self, words: Tensor<2, Int>) -> Tensor<2> {
        self.forward_in(&Values, words)
    }

    /// [`NgramEncoder::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, words: Tensor<2, Int>) -> N::T<2> {
        let [_, context] = words.dims();
        assert_eq!(context, self.context, "the model sees {} words, but was given {context}", self.context);
        let embedded = numbers.flatten(numbers.embedding(&self.embedding, words), 1, 2);
        self.layers.iter().fold(embedded, |hidden, layer| {
            numbers.dropout(&self.dropout, self.activation.forward_in(numbers, numbers.linear(layer, hidden)))
        })
    }

    /// Width of the features.
    pub fn feature_width(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.weight.lazy_shape()[1])
    }
}

impl NgramLanguageModel {
    /// The last hidden layer's output.
    ///
    /// # Shapes
    /// - `words`: `[batch_size, context]`, in `0..vocabulary_size`, oldest first
    /// - output: `[batch_size, feature width]`
    pub fn features(&self, words: Tensor<2, Int>) -> Tensor<2> {
        self.features_in(&Values, words)
    }

    /// [`NgramLanguageModel::features`] over any kind of number.
    pub fn features_in<N: Numbers>(&self, numbers: &N, words: Tensor<2, Int>) -> N::T<2> {
        self.encoder.forward_in(numbers, words)
    }

    /// The next word's logits, from features.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, feature width]`
    /// - output: `[batch_size, vocabulary_size]`
    pub fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.head_in(&Values, features)
    }

    /// [`NgramLanguageModel::head`] over any kind of number.
    pub fn head_in<N: Numbers>(&self, numbers: &N, features: N::T<2>) -> N::T<2> {
        numbers.linear(&self.head, features)
    }

    /// `head(features(words))`.
    ///
    /// # Shapes
    /// - `words`: `[batch_size, context]`, in `0..vocabulary_size`, oldest first
    /// - output: `[batch_size, vocabulary_size]`
    pub fn forward(&self, words: Tensor<2, Int>) -> Tensor<2> {
        self.forward_in(&Values, words)
    }

    /// [`NgramLanguageModel::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, words: Tensor<2, Int>) -> N::T<2> {
        self.head_in(numbers, self.features_in(numbers, words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoder_alone_has_the_weights_of_the_whole_model() {
        let device = Device::flex();
        let config = NgramConfig::new(20, 2).with_embedding(4).with_hidden(vec![6, 5]);
        let words = Tensor::<2, Int>::from_ints([[3, 19]], &device);
        let whole = config.init_seeded(1, &device).unwrap().features(words.clone());
        let alone = config.init_encoder_seeded(1, &device).unwrap();
        assert_eq!(alone.feature_width(), 5);
        assert_eq!(alone.forward(words).into_data(), whole.into_data());
    }

    #[test]
    fn the_order_of_the_words_matters() {
        let device = Device::flex();
        let model = NgramConfig::new(20, 2).init_seeded(1, &device).unwrap();
        let logits = model.forward(Tensor::from_ints([[3, 19], [19, 3]], &device));
        let rows: Vec<_> = logits.iter_dim(0).map(|row| row.into_data()).collect();
        assert_ne!(rows[0], rows[1]);
    }

    #[test]
    fn nonsense_is_refused() {
        let device = Device::flex();
        assert!(NgramConfig::new(0, 2).init(&device).is_err());
        assert!(NgramConfig::new(20, 0).init(&device).is_err());
        assert!(NgramConfig::new(20, 2).with_hidden(vec![]).init(&device).is_err());
        for config in [
            NgramConfig::new(usize::MAX, 2),
            NgramConfig::new(20, usize::MAX),
            NgramConfig::new(20, 2).with_hidden(vec![1 << 24, 1 << 24]),
            NgramConfig::new(1 << 24, 2).with_embedding(1 << 24),
            NgramConfig::new(1 << 24, 1).with_embedding(1).with_hidden(vec![1 << 24]),
        ] {
            assert!(config.init(&device).is_err(), "{config:?}");
        }
        assert!(NgramConfig::new(20, 2).with_dropout(1.0).init(&device).is_err());
    }
}
