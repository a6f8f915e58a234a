//! Causal transformer for language, in the manner of GPT-2.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Embedding, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Int, Tensor};
use kiln_autodiff::{Numbers, Values};

use crate::{Activation, NetworkError, WeightDistribution, WeightStream};

/// Configuration of [`DecoderTransformer`].
#[derive(Config, Debug)]
pub struct DecoderTransformerConfig {
    /// Number of tokens.
    pub vocabulary_size: usize,
    /// Largest number of tokens in a sequence.
    pub context: usize,
    /// Width of a token.
    #[config(default = 128)]
    pub dimension: usize,
    /// Number of blocks.
    #[config(default = 4)]
    pub depth: usize,
    /// Number of attention heads; divides the dimension.
    #[config(default = 4)]
    pub num_heads: usize,
    /// Width of a block's hidden layer, in widths of a token.
    #[config(default = 4)]
    pub mlp_ratio: usize,
    /// Whether the output layer is the transposed embedding, as in GPT-2.
    #[config(default = true)]
    pub tied: bool,
    /// Activation of the blocks' hidden layers.
    #[config(default = "Activation::GeluTanh")]
    pub activation: Activation,
    /// Probability of dropping a value after the embedding and after every projection, in `[0, 1)`.
    #[config(default = 0.0)]
    pub dropout: f64,
}

/// Causal transformer: learned positions, pre-norm blocks, each token sees itself and those before it.
///
/// Tensor names and layout are GPT-2's.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_nn::DecoderTransformerConfig;
///
/// let device = Device::flex();
/// let model = DecoderTransformerConfig::new(256, 32).with_depth(1).init_seeded(1, &device)?;
/// let tokens = Tensor::<2, Int>::zeros([2, 7], &device);
/// assert_eq!(model.features(tokens.clone()).dims(), [2, 7, 128]);
/// assert_eq!(model.forward(tokens).dims(), [2, 7, 256]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
///
/// Source: Radford et al., Language models are unsupervised multitask learners, 2019.
#[derive(Module, Debug)]
pub struct DecoderTransformer {
    /// Embedding of each token.
    pub wte: Embedding,
    /// Embedding of each position.
    pub wpe: Embedding,
    /// The blocks.
    pub h: Vec<DecoderBlock>,
    /// Last normalisation.
    pub ln_f: LayerNorm,
    /// Output layer, where it is not the embedding.
    pub lm_head: Option<Linear>,
    dropout: Dropout,
    context: usize,
}

/// Pre-norm transformer block with causal attention.
#[derive(Module, Debug)]
pub struct DecoderBlock {
    /// Normalisation before attention.
    pub ln_1: LayerNorm,
    /// Causal multi-head self-attention.
    pub attn: DecoderAttention,
    /// Normalisation before the MLP.
    pub ln_2: LayerNorm,
    /// Two linear layers.
    pub mlp: DecoderMlp,
    dropout: Dropout,
}

/// Causal multi-head self-attention.
#[derive(Module, Debug)]
pub struct DecoderAttention {
    /// Joint projection to queries, keys and values.
    pub c_attn: Projection,
    /// Output projection.
    pub c_proj: Projection,
    num_heads: usize,
}

/// The MLP of a block.
#[derive(Module, Debug)]
pub struct DecoderMlp {
    /// Hidden layer.
    pub c_fc: Projection,
    /// Output layer.
    pub c_proj: Projection,
    #[module(skip)]
    activation: Activation,
}

/// A linear layer whose weight is stored as `[inputs, outputs]`, as GPT-2's files have it.
#[derive(Module, Debug)]
pub struct Projection {
    /// `[inputs, outputs]`
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`
    pub bias: Param<Tensor<1>>,
}

impl DecoderTransformerConfig {
    /// A model with weights from the device's generator: normal with standard deviation 0.02 (positions 0.01), that of
    /// the projections back to the tokens divided by `sqrt(2 depth)`; biases 0.
    ///
    /// # Errors
    /// [`NetworkError`] for a count of zero, heads that do not divide the dimension or a dropout outside `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<DecoderTransformer, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A model with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`DecoderTransformerConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<DecoderTransformer, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    pub(crate) fn build(&self, weights: &mut WeightStream) -> Result<DecoderTransformer, NetworkError> {
        for (setting, value) in [
            ("vocabulary_size", self.vocabulary_size),
            ("context", self.context),
            ("dimension", self.dimension),
            ("num_heads", self.num_heads),
            ("mlp_ratio", self.mlp_ratio),
        ] {
            NetworkError::require_count(setting, value)?;
        }
        NetworkError::require_dropout(self.dropout)?;
        if !self.dimension.is_multiple_of(self.num_heads) {
            let right = format!("it must divide the dimension, {}", self.dimension);
            return Err(NetworkError::out_of_range("num_heads", self.num_heads, right));
        }
        NetworkError::require_depth(self.depth)?;
        for (setting, sides) in [
            ("vocabulary_size", [self.vocabulary_size, self.dimension]),
            ("context", [self.context, self.dimension]),
            ("dimension", [self.dimension, 3 * self.dimension]),
            ("mlp_ratio", [self.dimension, self.mlp_ratio * self.dimension]),
        ] {
            NetworkError::require_weights(setting, &sides)?;
        }
        let wte = weights.embedding(self.vocabulary_size, self.dimension, 0.02);
        let wpe = weights.embedding(self.context, self.dimension, 0.01);
        let h = (0..self.depth).map(|_| DecoderBlock::new(weights, self)).collect();
        let lm_head = (!self.tied).then(|| Linear {
            weight: weights.parameter([self.dimension, self.vocabulary_size], WeightDistribution::Normal { std: 0.02 }),
            bias: None,
        });
        Ok(DecoderTransformer {
            wte,
            wpe,
            h,
            ln_f: LayerNormConfig::new(self.dimension).init(weights.device()),
            lm_head,
            dropout: DropoutConfig::new(self.dropout).init(),
            context: self.context,
        })
    }
}

impl DecoderTransformer {
    /// Each token's output after the last normalisation.
    ///
    /// # Shapes
    /// - `tokens`: `[batch_size, length]`, in `0..vocabulary_size`, `length` up to the context
    /// - output: `[batch_size, length, dimension]`
    pub fn features(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.features_in(&Values, tokens)
    }

    /// [`DecoderTransformer::features`] over any kind of number.
    pub fn features_in<N: Numbers>(&self, numbers: &N, tokens: Tensor<2, Int>) -> N::T<3> {
        let [_, length] = tokens.dims();
        assert!(length <= self.context, "a sequence of {length} tokens exceeds the context of {}", self.context);
        let positions = Tensor::<1, Int>::arange(0..length as i64, &tokens.device()).unsqueeze();
        let embedded = numbers.add(numbers.embedding(&self.wte, tokens), numbers.embedding(&self.wpe, positions));
        let embedded = numbers.dropout(&self.dropout, embedded);
        let hidden = self.h.iter().fold(embedded, |hidden, block| block.forward_in(numbers, hidden));
        numbers.layer_norm(&self.ln_f, hidden)
    }

    /// The next token's logits after each token, from features.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, length, dimension]`
    /// - output: `[batch_size, length, vocabulary_size]`
    pub fn head(&self, features: Tensor<3>) -> Tensor<3> {
        self.head_in(&Values, features)
    }

    /// [`DecoderTransformer::head`] over any kind of number.
    pub fn head_in<N: Numbers>(&self, numbers: &N, features: N::T<3>) -> N::T<3> {
        match &self.lm_head {
            Some(head) => numbers.linear(head, features),
            None => {
                let embedding = numbers.parameter(&self.wte.weight);
                numbers.project(features, numbers.swap_dims(embedding, 0, 1), None)
            }
        }
    }

    /// `head(features(tokens))`.
    ///
    /// # Shapes
    /// - `tokens`: `[batch_size, length]`, in `0..vocabulary_size`, `length` up to the context
    /// - output: `[batch_size, length, vocabulary_size]`
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.forward_in(&Values, tokens)
    }

    /// [`DecoderTransformer::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, tokens: Tensor<2, Int>) -> N::T<3> {
        self.head_in(numbers, self.features_in(numbers, tokens))
    }
}

impl DecoderBlock {
    fn new(weights: &mut WeightStream, config: &DecoderTransformerConfig) -> Self {
        let DecoderTransformerConfig { dimension, depth, num_heads, mlp_ratio, activation, .. } = *config;
        let back = 0.02 / (2.0 * depth as f64).sqrt();
        let hidden = mlp_ratio * dimension;
        Self {
            ln_1: LayerNormConfig::new(dimension).init(weights.device()),
            attn: DecoderAttention {
                c_attn: Projection::new(weights, dimension, 3 * dimension, 0.02),
                c_proj: Projection::new(weights, dimension, dimension, back),
                num_heads,
            },
            ln_2: LayerNormConfig::new(dimension).init(weights.device()),
            mlp: DecoderMlp {
                c_fc: Projection::new(weights, dimension, hidden, 0.02),
                c_proj: Projection::new(weights, hidden, dimension, back),
                activation,
            },
            dropout: DropoutConfig::new(config.dropout).init(),
        }
    }

    /// The tokens after the block.
    ///
    /// # Shapes
    /// - `tokens` and output: `[batch_size, length, dimension]`
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.forward_in(&Values, tokens)
    }

    /// [`DecoderBlock::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, tokens: N::T<3>) -> N::T<3> {
        let attended = self.attn.forward_in(numbers, numbers.layer_norm(&self.ln_1, tokens.clone()));
        let tokens = numbers.add(tokens, numbers.dropout(&self.dropout, attended));
        let mapped = self.mlp.forward_in(numbers, numbers.layer_norm(&self.ln_2, tokens.clone()));
        numbers.add(tokens, numbers.dropout(&self.dropout, mapped))
    }
}

impl DecoderAttention {
    /// Each token's mixture of its own value and those before it.
    ///
    /// # Shapes
    /// - `tokens` and output: `[batch_size, length, dimension]`
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.forward_in(&Values, tokens)
    }

    /// [`DecoderAttention::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, tokens: N::T<3>) -> N::T<3> {
        let qkv = self.c_attn.forward_in(numbers, tokens);
        self.c_proj.forward_in(numbers, numbers.self_attention(qkv, self.num_heads, true))
    }
}

impl DecoderMlp {
    /// `c_proj(activation(c_fc(x)))` of each token.
    ///
    /// # Shapes
    /// - `tokens` and output: `[batch_size, length, dimension]`
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.forward_in(&Values, tokens)
    }

    /// [`DecoderMlp::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, tokens: N::T<3>) -> N::T<3> {
        let Projection { weight, bias } = &self.c_fc;
        let (weight, bias) = (numbers.parameter(weight), numbers.parameter(bias));
        let hidden = numbers.project_activated(&self.activation.function(), tokens, weight, Some(bias));
        self.c_proj.forward_in(numbers, hidden)
    }
}

impl Projection {
    fn new(weights: &mut WeightStream, inputs: usize, outputs: usize, std: f64) -> Self {
        Self {
            weight: weights.parameter([inputs, outputs], WeightDistribution::Normal { std }),
            bias: weights.parameter([outputs], WeightDistribution::Constant(0.0)),
        }
    }

    /// `x W + b`.
    ///
    /// # Shapes
    /// - `input`: `[.., inputs]`
    /// - output: `[.., outputs]`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.forward_in(&Values, input)
    }

    /// [`Projection::forward`] over any kind of number.
    pub fn forward_in<N: Numbers, const D: usize>(&self, numbers: &N, input: N::T<D>) -> N::T<D> {
        numbers.project(input, numbers.parameter(&self.weight), Some(numbers.parameter(&self.bias)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load_safetensors, parameter_count, save_safetensors};
    use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot};
    use burn::tensor::Tolerance;

    fn small() -> DecoderTransformerConfig {
        DecoderTransformerConfig::new(11, 6).with_dimension(8).with_depth(2).with_num_heads(2)
    }

    #[test]
    fn a_token_does_not_see_those_after_it() {
        let device = Device::flex();
        let model = small().init_seeded(1, &device).unwrap();
        let one = model.forward(Tensor::from_ints([[1, 2, 3, 4]], &device));
        let other = model.forward(Tensor::from_ints([[1, 2, 3, 9]], &device));
        let past = |logits: Tensor<3>| logits.narrow(1, 0, 3).into_data();
        past(one.clone()).assert_approx_eq::<f32>(&past(other.clone()), Tolerance::absolute(1e-6));
        assert_ne!(one.narrow(1, 3, 1).into_data(), other.narrow(1, 3, 1).into_data());
    }

    #[test]
    fn names_and_layout_are_those_of_gpt2() {
        let model = small().init(&Device::flex()).unwrap();
        let stored = model.collect(None, Some(Box::new(BurnToPyTorchAdapter)), true);
        let shape = |name: &str| stored.iter().find(|t| t.name == name).map(|t| t.shape.to_vec());
        assert_eq!(shape("wte.weight"), Some(vec![11, 8]));
        assert_eq!(shape("wpe.weight"), Some(vec![6, 8]));
        assert_eq!(shape("h.1.ln_1.weight"), Some(vec![8]));
        assert_eq!(shape("h.0.attn.c_attn.weight"), Some(vec![8, 24]));
        assert_eq!(shape("h.0.mlp.c_fc.weight"), Some(vec![8, 32]));
        assert_eq!(shape("ln_f.bias"), Some(vec![8]));
        assert_eq!(stored.len(), 2 + 2 * 12 + 2);
    }

    #[test]
    fn gpt2_small_has_its_number_of_parameters() {
        let config = DecoderTransformerConfig::new(50_257, 1024).with_dimension(768).with_depth(12).with_num_heads(12);
        assert_eq!(parameter_count(&config.init(&Device::flex()).unwrap()), 124_439_808);
    }

    #[test]
    fn sizes_that_no_memory_holds_are_refused() {
        let most = usize::MAX;
        for config in [
            small().with_depth(most),
            small().with_dimension(most),
            small().with_num_heads(most),
            small().with_mlp_ratio(most),
            small().with_dimension(1 << 20),
            small().with_mlp_ratio(1 << 24).with_dimension(1 << 24),
            DecoderTransformerConfig::new(most, 6),
            DecoderTransformerConfig::new(11, most),
            DecoderTransformerConfig::new(1 << 24, 6).with_dimension(1 << 14),
        ] {
            let error = config.init(&Device::flex()).map(|_| ()).unwrap_err();
            assert!(matches!(error, NetworkError::OutOfRange { .. }), "{config:?}: {error}");
        }
    }

    #[test]
    fn an_output_layer_of_its_own_is_not_lost_in_a_tied_model() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tied = || small().with_tied(true).init_seeded(2, &device).unwrap();
        let mut model = small().with_tied(false).init_seeded(1, &device).unwrap();
        save_safetensors(&model, &path).unwrap();
        let message = load_safetensors(tied(), &path).unwrap_err().to_string();
        assert!(message.contains("lm_head.weight"), "{message}");
        // The same values twice, as many published files have them, are no loss.
        let embedding = model.wte.weight.val();
        if let Some(output) = &mut model.lm_head {
            output.weight = burn::module::Param::from_tensor(embedding.transpose());
        }
        save_safetensors(&model, &path).unwrap();
        let tokens = Tensor::from_ints([[1, 2, 3, 4]], &device);
        let restored = load_safetensors(tied(), &path).unwrap().forward(tokens.clone());
        restored.into_data().assert_approx_eq::<f32>(&model.forward(tokens).into_data(), Tolerance::absolute(1e-5));
    }

    #[test]
    fn an_untied_model_comes_back_with_equal_outputs() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let config = small().with_tied(false);
        let model = config.init_seeded(1, &device).unwrap();
        save_safetensors(&model, &path).unwrap();
        let restored = load_safetensors(config.init_seeded(2, &device).unwrap(), &path).unwrap();
        let tokens = Tensor::from_ints([[1, 2, 3, 4]], &device);
        assert_eq!(restored.forward(tokens.clone()).into_data(), model.forward(tokens).into_data());
    }
}
