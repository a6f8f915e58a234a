//! Vision transformers from micro to base.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor};
use kiln_autodiff::{Numbers, Values};
use serde::{Deserialize, Serialize};

use crate::{Activation, InputShape, NetworkError, WeightDistribution, WeightStream};

/// Configuration of [`VisionTransformer`]; see [`VisionTransformerConfig::of_size`] for the common ones.
#[derive(Config, Debug)]
pub struct VisionTransformerConfig {
    /// `[channels, height, width]` of one image.
    pub image_shape: [usize; 3],
    /// Number of outputs.
    pub num_outputs: usize,
    /// Side of a patch in pixels; divides the image's height and width.
    #[config(default = 16)]
    pub patch_size: usize,
    /// Width of a token.
    #[config(default = 192)]
    pub dimension: usize,
    /// Number of blocks.
    #[config(default = 12)]
    pub depth: usize,
    /// Number of attention heads; divides the dimension.
    #[config(default = 3)]
    pub num_heads: usize,
    /// Width of a block's hidden layer, in widths of a token.
    #[config(default = 4)]
    pub mlp_ratio: usize,
    /// What becomes of the tokens after the last block.
    #[config(default = "TokenPooling::ClassToken")]
    pub pooling: TokenPooling,
    /// Activation of the blocks' hidden layers.
    #[config(default = "Activation::Gelu")]
    pub activation: Activation,
    /// Probability of dropping a value after the embedding and after every projection, in `[0, 1)`.
    #[config(default = 0.0)]
    pub dropout: f64,
}

/// Common sizes of vision transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisionTransformerSize {
    /// 64 wide, 4 blocks, 4 heads, hidden layers twice as wide: for images of 8 to 32 pixels.
    #[default]
    Micro,
    /// 192 wide, 12 blocks, 3 heads (ViT-Ti).
    Tiny,
    /// 384 wide, 12 blocks, 6 heads (ViT-S).
    Small,
    /// 768 wide, 12 blocks, 12 heads (ViT-B).
    Base,
}

/// What a transformer makes its features of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenPooling {
    /// An extra token's output, normalised.
    #[default]
    ClassToken,
    /// The mean of the patches' outputs, normalised after taking it. There is no extra token.
    Mean,
}

/// Vision transformer: patches as tokens, learned positions, pre-norm blocks.
///
/// Tensor names are timm's. ViT-Ti/16 on 224 x 224 pixels with 1000 classes has 5 717 416 parameters, ViT-B/16
/// 86 567 656.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::{VisionTransformerConfig, VisionTransformerSize};
///
/// let device = Device::flex();
/// let config = VisionTransformerConfig::of_size(VisionTransformerSize::Micro, [1, 28, 28], 10);
/// assert_eq!(config.patch_size, 4);
/// let vit = config.init_seeded(1, &device)?;
/// assert_eq!(vit.tokens(Tensor::zeros([2, 1, 28, 28], &device)).dims(), [2, 50, 64]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
///
/// Source: arXiv 2010.11929; initial weights as in timm (normal with standard deviation 0.02, here cut at two of them).
#[derive(Module, Debug)]
pub struct VisionTransformer {
    /// Linear map of a patch to a token.
    pub patch_embed: PatchEmbedding,
    /// The extra token, `[1, 1, dimension]`.
    pub cls_token: Option<Param<Tensor<3>>>,
    /// Positions, `[1, num_tokens, dimension]`.
    pub pos_embed: Param<Tensor<3>>,
    /// The blocks.
    pub blocks: Vec<EncoderBlock>,
    /// Normalisation of the tokens, with a class token.
    pub norm: Option<LayerNorm>,
    /// Normalisation of the mean, without a class token.
    pub fc_norm: Option<LayerNorm>,
    /// Last layer.
    pub head: Linear,
    dropout: Dropout,
    image_shape: [usize; 3],
}

/// Cuts an image into patches and maps each to a token.
#[derive(Module, Debug)]
pub struct PatchEmbedding {
    /// The map, as a convolution whose stride is its kernel's side.
    pub proj: Conv2d,
}

/// Pre-norm transformer block: `x + attention(norm1(x))`, then `x + mlp(norm2(x))`.
#[derive(Module, Debug)]
pub struct EncoderBlock {
    /// Normalisation before attention.
    pub norm1: LayerNorm,
    /// Multi-head self-attention.
    pub attn: EncoderAttention,
    /// Normalisation before the MLP.
    pub norm2: LayerNorm,
    /// Two linear layers.
    pub mlp: EncoderMlp,
    dropout: Dropout,
}

/// Multi-head self-attention over all tokens.
#[derive(Module, Debug)]
pub struct EncoderAttention {
    /// Joint projection to queries, keys and values.
    pub qkv: Linear,
    /// Output projection.
    pub proj: Linear,
    num_heads: usize,
}

/// The MLP of a block.
#[derive(Module, Debug)]
pub struct EncoderMlp {
    /// Hidden layer.
    pub fc1: Linear,
    /// Output layer.
    pub fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

/// Spread of the initial weights.
const WEIGHTS: WeightDistribution = WeightDistribution::TruncatedNormal { std: 0.02 };
/// Added to the variance in every layer normalisation, as in timm.
const EPSILON: f64 = 1e-6;

impl VisionTransformerConfig {
    /// A common size, with a patch size that suits the image: 16 pixels from 64 pixels a side, else the smallest that
    /// gives at most 8 x 8 patches.
    pub fn of_size(size: VisionTransformerSize, image_shape: [usize; 3], num_outputs: usize) -> Self {
        let (dimension, depth, num_heads, mlp_ratio) = match size {
            VisionTransformerSize::Micro => (64, 4, 4, 2),
            VisionTransformerSize::Tiny => (192, 12, 3, 4),
            VisionTransformerSize::Small => (384, 12, 6, 4),
            VisionTransformerSize::Base => (768, 12, 12, 4),
        };
        Self::new(image_shape, num_outputs)
            .with_patch_size(suitable_patch(image_shape[1], image_shape[2]))
            .with_dimension(dimension)
            .with_depth(depth)
            .with_num_heads(num_heads)
            .with_mlp_ratio(mlp_ratio)
    }

    /// A network with weights from the device's generator.
    ///
    /// # Errors
    /// [`NetworkError`] for an image that the patches do not divide, heads that do not divide the dimension, counts of
    /// zero or a dropout outside `[0, 1)`.
    pub fn init(&self, device: &Device) -> Result<VisionTransformer, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A network with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`VisionTransformerConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<VisionTransformer, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    fn build(&self, weights: &mut WeightStream) -> Result<VisionTransformer, NetworkError> {
        let [channels, height, width] = InputShape::from(&self.image_shape[..]).as_image("a vision transformer")?;
        self.check(channels, height, width)?;
        let Self { patch_size, dimension, .. } = *self;
        let has_class_token = self.pooling == TokenPooling::ClassToken;
        let num_patches = (height / patch_size) * (width / patch_size);
        let num_tokens = num_patches + usize::from(has_class_token);
        let patches =
            Conv2dConfig::new([channels, dimension], [patch_size, patch_size]).with_stride([patch_size, patch_size]);
        let norm =
            |weights: &WeightStream| LayerNormConfig::new(dimension).with_epsilon(EPSILON).init(weights.device());
        Ok(VisionTransformer {
            patch_embed: PatchEmbedding { proj: weights.conv2d(patches) },
            cls_token: has_class_token
                .then(|| weights.parameter([1, 1, dimension], WeightDistribution::Normal { std: 1e-6 })),
            pos_embed: weights.parameter([1, num_tokens, dimension], WEIGHTS),
            blocks: (0..self.depth).map(|_| EncoderBlock::new(weights, self)).collect(),
            norm: has_class_token.then(|| norm(weights)),
            fc_norm: (!has_class_token).then(|| norm(weights)),
            head: weights.linear_with(dimension, self.num_outputs, WEIGHTS),
            dropout: DropoutConfig::new(self.dropout).init(),
            image_shape: self.image_shape,
        })
    }

    fn check(&self, channels: usize, height: usize, width: usize) -> Result<(), NetworkError> {
        for (setting, value) in [
            ("patch_size", self.patch_size),
            ("dimension", self.dimension),
            ("num_heads", self.num_heads),
            ("mlp_ratio", self.mlp_ratio),
            ("outputs", self.num_outputs),
        ] {
            NetworkError::require_count(setting, value)?;
        }
        NetworkError::require_depth(self.depth)?;
        NetworkError::require_dropout(self.dropout)?;
        let patch = self.patch_size;
        if !height.is_multiple_of(patch) || !width.is_multiple_of(patch) {
            let common: Vec<String> = (1..=height.min(width))
                .filter(|side| height.is_multiple_of(*side) && width.is_multiple_of(*side))
                .map(|side| side.to_string())
                .collect();
            let right =
                format!("patches of {patch} pixels do not divide it; patch sizes that do: {}", common.join(", "));
            return Err(NetworkError::input_shape("a vision transformer", &self.image_shape, right));
        }
        if !self.dimension.is_multiple_of(self.num_heads) {
            let right = format!("it must divide the dimension, {}", self.dimension);
            return Err(NetworkError::out_of_range("num_heads", self.num_heads, right));
        }
        let num_patches = (height / patch) * (width / patch);
        for (setting, sides) in [
            ("patch_size", [channels * patch * patch, self.dimension]),
            ("patch_size", [num_patches + 1, self.dimension]),
            ("dimension", [self.dimension, 3 * self.dimension]),
            ("mlp_ratio", [self.dimension, self.mlp_ratio * self.dimension]),
            ("outputs", [self.dimension, self.num_outputs]),
        ] {
            NetworkError::require_weights(setting, &sides)?;
        }
        Ok(())
    }
}

/// The patch size that [`VisionTransformerConfig::of_size`] takes.
fn suitable_patch(height: usize, width: usize) -> usize {
    let divides = |patch: usize| height.is_multiple_of(patch) && width.is_multiple_of(patch);
    let (shortest, longest) = (height.min(width), height.max(width));
    if shortest >= 64 && divides(16) {
        return 16;
    }
    let fits = |patch: &usize| (2..=shortest).contains(patch) && divides(*patch);
    let divided = |along: usize| longest.is_multiple_of(along).then_some(longest / along);
    (1..=8).rev().filter_map(divided).find(fits).unwrap_or(1)
}

impl VisionTransformer {
    /// The class token's output, or the mean of the patches' outputs.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, dimension]`
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.features_in(&Values, images)
    }

    /// [`VisionTransformer::features`] over any kind of number.
    pub fn features_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        let tokens = self.tokens_in(numbers, images);
        match &self.fc_norm {
            Some(norm) => numbers.layer_norm::<2>(norm, numbers.squeeze_dim(numbers.mean_dim(tokens, 1), 1)),
            None => numbers.squeeze_dim(numbers.narrow(tokens, 1, 0, 1), 1),
        }
    }

    /// All tokens after the last block, normalised where there is a class token, which comes first.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, num_tokens, dimension]`
    pub fn tokens(&self, images: Tensor<4>) -> Tensor<3> {
        self.tokens_in(&Values, images)
    }

    /// [`VisionTransformer::tokens`] over any kind of number.
    pub fn tokens_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<3> {
        let maps = numbers.conv2d(&self.patch_embed.proj, images);
        let patches = numbers.swap_dims(numbers.flatten::<4, 3>(maps, 2, 3), 1, 2);
        let [batch_size, _, dimension] = numbers.dims(&patches);
        let tokens = match &self.cls_token {
            Some(token) => {
                let token = numbers.expand(numbers.parameter(token), [batch_size, 1, dimension]);
                numbers.cat(vec![token, patches], 1)
            }
            None => patches,
        };
        let placed = numbers.add(tokens, numbers.parameter(&self.pos_embed));
        let tokens = numbers.dropout(&self.dropout, placed);
        let tokens = self.blocks.iter().fold(tokens, |tokens, block| block.forward_in(numbers, tokens));
        match &self.norm {
            Some(norm) => numbers.layer_norm(norm, tokens),
            None => tokens,
        }
    }

    /// The outputs, from features.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, dimension]`
    /// - output: `[batch_size, num_outputs]`
    pub fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.head_in(&Values, features)
    }

    /// [`VisionTransformer::head`] over any kind of number.
    pub fn head_in<N: Numbers>(&self, numbers: &N, features: N::T<2>) -> N::T<2> {
        numbers.linear(&self.head, features)
    }

    /// `head(features(images))`.
    ///
    /// # Shapes
    /// - `images`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size, num_outputs]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward_in(&Values, images)
    }

    /// [`VisionTransformer::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, images: N::T<4>) -> N::T<2> {
        self.head_in(numbers, self.features_in(numbers, images))
    }

    /// `[channels, height, width]` of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }
}

impl EncoderBlock {
    fn new(weights: &mut WeightStream, config: &VisionTransformerConfig) -> Self {
        let VisionTransformerConfig { dimension, num_heads, mlp_ratio, activation, .. } = *config;
        let norm =
            |weights: &WeightStream| LayerNormConfig::new(dimension).with_epsilon(EPSILON).init(weights.device());
        Self {
            norm1: norm(weights),
            attn: EncoderAttention {
                qkv: weights.linear_with(dimension, 3 * dimension, WEIGHTS),
                proj: weights.linear_with(dimension, dimension, WEIGHTS),
                num_heads,
            },
            norm2: norm(weights),
            mlp: EncoderMlp {
                fc1: weights.linear_with(dimension, mlp_ratio * dimension, WEIGHTS),
                fc2: weights.linear_with(mlp_ratio * dimension, dimension, WEIGHTS),
                activation,
            },
            dropout: DropoutConfig::new(config.dropout).init(),
        }
    }

    /// The tokens after the block.
    ///
    /// # Shapes
    /// - `tokens` and output: `[batch_size, num_tokens, dimension]`
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.forward_in(&Values, tokens)
    }

    /// [`EncoderBlock::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, tokens: N::T<3>) -> N::T<3> {
        let attended = self.attn.forward_in(numbers, numbers.layer_norm(&self.norm1, tokens.clone()));
        let tokens = numbers.add(tokens, numbers.dropout(&self.dropout, attended));
        let mapped = self.mlp.forward_in(numbers, numbers.layer_norm(&self.norm2, tokens.clone()));
        numbers.add(tokens, numbers.dropout(&self.dropout, mapped))
    }
}

impl EncoderAttention {
    /// Each token's mixture of all tokens' values.
    ///
    /// # Shapes
    /// - `tokens` and output: `[batch_size, num_tokens, dimension]`
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.forward_in(&Values, tokens)
    }

    /// [`EncoderAttention::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, tokens: N::T<3>) -> N::T<3> {
        let qkv = numbers.linear(&self.qkv, tokens);
        numbers.linear(&self.proj, numbers.self_attention(qkv, self.num_heads, false))
    }
}

impl EncoderMlp {
    /// `fc2(activation(fc1(x)))` of each token.
    ///
    /// # Shapes
    /// - `tokens` and output: `[batch_size, num_tokens, dimension]`
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        self.forward_in(&Values, tokens)
    }

    /// [`EncoderMlp::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, tokens: N::T<3>) -> N::T<3> {
        let hidden = numbers.linear_activated(&self.activation.function(), &self.fc1, tokens);
        numbers.linear(&self.fc2, hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_suit_the_image() {
        let patch = |side| suitable_patch(side, side);
        assert_eq!([patch(8), patch(28), patch(32), patch(224), patch(64)], [2, 4, 4, 16, 16]);
        assert_eq!(suitable_patch(28, 14), 7);
        // A prime side: the whole image is one patch.
        assert_eq!(patch(29), 29);
        assert_eq!(suitable_patch(1, 5), 1);
        // The smallest that gives at most 8 x 8 patches, for all small images.
        for (height, width) in (0..40usize).flat_map(|height| (0..40usize).map(move |width| (height, width))) {
            let divides = |patch: &usize| height.is_multiple_of(*patch) && width.is_multiple_of(*patch);
            let smallest = (2..=height.min(width)).find(|patch| divides(patch) && height.max(width) / patch <= 8);
            assert_eq!(suitable_patch(height, width), smallest.unwrap_or(1), "{height} x {width}");
        }
        assert!(suitable_patch(usize::MAX, usize::MAX - 1) >= 1);
    }

    #[test]
    fn an_image_that_the_patches_do_not_divide_is_refused_with_those_that_do() {
        let config = VisionTransformerConfig::new([1, 28, 28], 10);
        let message = config.init(&Device::flex()).unwrap_err().to_string();
        assert!(message.contains("patches of 16") && message.contains("1, 2, 4, 7, 14, 28"), "{message}");
        let config = config.with_patch_size(7).with_num_heads(5);
        let message = config.init(&Device::flex()).unwrap_err().to_string();
        assert!(message.contains("num_heads = 5") && message.contains("192"), "{message}");
    }
}
