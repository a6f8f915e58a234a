//! Language models as classifiers of contexts: one row of word numbers in, the next word out.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Int, Tensor};
use kiln_autodiff::{Numbers, Values};
use serde::{Deserialize, Serialize};

use crate::{
    DecoderTransformer, DecoderTransformerConfig, HierarchicalSoftmax, HierarchicalSoftmaxConfig, NetworkError,
    NgramConfig, NgramEncoder, WeightStream,
};

/// Configuration of [`NextWordModel`].
#[derive(Config, Debug)]
pub struct NextWordConfig {
    /// What becomes of the context. It takes the numbers `0..=num_words`.
    pub encoder: WordEncoderConfig,
    /// Words that can come next.
    pub num_words: usize,
    /// From features to words.
    #[config(default = "WordOutputKind::Linear")]
    pub output: WordOutputKind,
}

/// Configuration of a [`WordEncoder`].
#[derive(Config, Debug)]
pub enum WordEncoderConfig {
    /// Embeddings side by side and hidden layers.
    Ngram(NgramConfig),
    /// A causal transformer, whose last token's output counts; it has no use for `tied`.
    Decoder(DecoderTransformerConfig),
}

/// Kinds of output layers of a language model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WordOutputKind {
    /// A linear layer, which gives logits.
    #[default]
    Linear,
    /// Two levels of softmax, which give log-probabilities.
    Hierarchical,
}

/// Predicts the next word of a context, each context a row: a classifier whose classes are words.
///
/// Word `i` is class `i - 1`. Word 0 stands for every word that is no class; it occurs in contexts only.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_nn::{NextWordConfig, NgramConfig, WordEncoderConfig};
///
/// let device = Device::flex();
/// let encoder = WordEncoderConfig::Ngram(NgramConfig::new(101, 3));
/// let model = NextWordConfig::new(encoder, 100).init_seeded(1, &device)?;
/// let contexts = Tensor::<2, Int>::from_ints([[4, 0, 15], [16, 23, 100]], &device);
/// assert_eq!(model.forward(contexts).dims(), [2, 100]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
#[derive(Module, Debug)]
pub struct NextWordModel {
    /// From words to features.
    pub encoder: WordEncoder,
    /// From features to words.
    pub output: WordOutput,
}

/// From the words of a context to features.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum WordEncoder {
    /// Embeddings side by side and hidden layers.
    Ngram(NgramEncoder),
    /// The output of a causal transformer's last token.
    Decoder(DecoderTransformer),
}

/// From features to the next word.
#[derive(Module, Debug)]
pub enum WordOutput {
    /// Logits.
    Linear(Linear),
    /// Log-probabilities.
    Hierarchical(HierarchicalSoftmax),
}

impl NextWordConfig {
    /// A model with weights from the device's generator.
    ///
    /// # Errors
    /// Those of the encoder, and [`NetworkError`] for an output layer that no memory holds.
    pub fn init(&self, device: &Device) -> Result<NextWordModel, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A model with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`NextWordConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<NextWordModel, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    fn build(&self, weights: &mut WeightStream) -> Result<NextWordModel, NetworkError> {
        let encoder = match &self.encoder {
            WordEncoderConfig::Ngram(config) => WordEncoder::Ngram(config.build_encoder(weights)?),
            WordEncoderConfig::Decoder(config) => {
                // Its own output layer would be one more than there is use for.
                WordEncoder::Decoder(config.clone().with_tied(true).build(weights)?)
            }
        };
        let width = encoder.feature_width();
        NetworkError::require_count("num_words", self.num_words)?;
        NetworkError::require_weights("num_words", &[width, self.num_words])?;
        let output = match self.output {
            WordOutputKind::Linear => WordOutput::Linear(weights.linear(width, self.num_words)),
            WordOutputKind::Hierarchical => {
                WordOutput::Hierarchical(HierarchicalSoftmaxConfig::new(width, self.num_words).build(weights)?)
            }
        };
        Ok(NextWordModel { encoder, output })
    }
}

impl NextWordModel {
    /// The context's features.
    ///
    /// # Shapes
    /// - `words`: `[batch_size, context]`, in `0..=num_words`, oldest first
    /// - output: `[batch_size, feature width]`
    pub fn features(&self, words: Tensor<2, Int>) -> Tensor<2> {
        self.features_in(&Values, words)
    }

    /// [`NextWordModel::features`] over any kind of number.
    pub fn features_in<N: Numbers>(&self, numbers: &N, words: Tensor<2, Int>) -> N::T<2> {
        match &self.encoder {
            WordEncoder::Ngram(encoder) => encoder.forward_in(numbers, words),
            WordEncoder::Decoder(decoder) => {
                let [_, length] = words.dims();
                let tokens = decoder.features_in(numbers, words);
                numbers.squeeze_dim(numbers.narrow(tokens, 1, length - 1, 1), 1)
            }
        }
    }

    /// The next word's logits or log-probabilities, from features.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, feature width]`
    /// - output: `[batch_size, num_words]`
    pub fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.head_in(&Values, features)
    }

    /// [`NextWordModel::head`] over any kind of number.
    pub fn head_in<N: Numbers>(&self, numbers: &N, features: N::T<2>) -> N::T<2> {
        match &self.output {
            WordOutput::Linear(layer) => numbers.linear(layer, features),
            WordOutput::Hierarchical(layer) => layer.forward_in(numbers, features),
        }
    }

    /// `head(features(words))`.
    ///
    /// # Shapes
    /// - `words`: `[batch_size, context]`, in `0..=num_words`, oldest first
    /// - output: `[batch_size, num_words]`
    pub fn forward(&self, words: Tensor<2, Int>) -> Tensor<2> {
        self.head(self.features(words))
    }
}

impl WordEncoder {
    /// Width of the features.
    pub fn feature_width(&self) -> usize {
        match self {
            Self::Ngram(encoder) => encoder.feature_width(),
            Self::Decoder(decoder) => decoder.wte.weight.lazy_shape()[1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoders() -> [WordEncoderConfig; 2] {
        [
            WordEncoderConfig::Ngram(NgramConfig::new(8, 3).with_embedding(4).with_hidden(vec![6])),
            WordEncoderConfig::Decoder(DecoderTransformerConfig::new(8, 3).with_dimension(4).with_num_heads(2)),
        ]
    }

    #[test]
    fn every_word_of_the_context_counts() {
        let device = Device::flex();
        for encoder in encoders() {
            for output in [WordOutputKind::Linear, WordOutputKind::Hierarchical] {
                let config = NextWordConfig::new(encoder.clone(), 7).with_output(output);
                let model = config.init_seeded(1, &device).unwrap();
                let contexts = [[1, 2, 3], [0, 2, 3], [1, 0, 3], [1, 2, 0]];
                let outputs = model.forward(Tensor::from_ints(contexts, &device));
                assert_eq!(outputs.dims(), [4, 7]);
                let rows: Vec<_> = outputs.iter_dim(0).map(|row| row.into_data()).collect();
                assert!(rows[1..].iter().all(|row| *row != rows[0]), "{config:?}");
            }
        }
    }

    #[test]
    fn an_encoder_has_the_same_weights_under_either_output_layer() {
        let device = Device::flex();
        let words = || Tensor::<2, Int>::from_ints([[1, 2, 3]], &device);
        for encoder in encoders() {
            let features = |output| {
                let config = NextWordConfig::new(encoder.clone(), 7).with_output(output);
                config.init_seeded(1, &device).unwrap().features(words()).into_data()
            };
            assert_eq!(features(WordOutputKind::Linear), features(WordOutputKind::Hierarchical));
        }
    }
}
