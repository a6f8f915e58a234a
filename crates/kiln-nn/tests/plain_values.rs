//! The ordinary pass of every network is that of Burn's own layers one after another, forward and backward.
//!
//! Where a layer has a kernel of ours, sums are taken in another order, and the last bits differ. Batch normalisation over
//! a few pixels multiplies such a difference by orders of magnitude, so networks are compared in double precision.

use burn::module::Module;
use burn::tensor::activation::{gelu, gelu_approximate, relu, silu};
use burn::tensor::module::{attention, linear, max_pool2d};
use burn::tensor::ops::{AttentionModuleOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, s};
use kiln_autodiff::Tangent;
use kiln_check::random::normal;
use kiln_check::{assert_close, values};
use kiln_nn::{
    Activation, BasicBlock, ConvNetConfig, DecoderTransformerConfig, LeNetConfig, MlpConfig, MlpNorm, NgramConfig,
    ResNet, ResNetConfig, Shortcut, TokenPooling, VisionTransformer, VisionTransformerConfig, cast_floats,
};

fn device() -> Device {
    Device::flex().autodiff()
}

fn inputs<const D: usize>(dims: [usize; D]) -> Tensor<D> {
    normal(dims, DType::F64).autodiff()
}

/// Largest difference, as a part of the largest value.
const TOLERANCE: f64 = 1e-12;

/// The same outputs, and the same gradients of the sum of their squares, to rounding.
#[track_caller]
fn assert_same<M: Module, const D: usize>(
    module: &M,
    ours: impl Fn(&M) -> Tensor<D>,
    by_hand: impl Fn(&M) -> Tensor<D>,
) {
    let module = &cast_floats(module.clone(), FloatDType::F64);
    let (ours, by_hand) = (ours(module), by_hand(module));
    assert_near(&values(&ours), &values(&by_hand));
    let gradient = |outputs: Tensor<D>| {
        let gradients = outputs.powi_scalar(2).sum().backward();
        values(&Tangent::from_gradients(module, &gradients).to_flat())
    };
    assert_near(&gradient(ours), &gradient(by_hand));
}

#[track_caller]
fn assert_near(actual: &[f64], expected: &[f64]) {
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let parts = |values: &[f64]| values.iter().map(|value| value / largest).collect::<Vec<_>>();
    assert_close(&parts(actual), &parts(expected), TOLERANCE);
}

#[test]
fn perceptrons() {
    for norm in [MlpNorm::None, MlpNorm::Batch, MlpNorm::Layer] {
        let config = MlpConfig::new(5, vec![7, 6], 3).with_norm(norm).with_activation(Activation::Gelu);
        let x = inputs([8, 5]);
        assert_same(
            &config.init_seeded(1, &device()).unwrap(),
            |network| network.forward(x.clone()),
            |network| {
                let mut hidden = x.clone();
                for (index, layer) in network.layers.iter().enumerate() {
                    hidden = layer.forward(hidden);
                    if let Some(norm) = network.norms.get(index) {
                        hidden = norm.forward(hidden);
                    }
                    hidden = gelu(hidden);
                }
                network.head.forward(hidden)
            },
        );
    }
}

fn halve(maps: Tensor<4>) -> Tensor<4> {
    max_pool2d(maps, MaxPoolOptions::new([2, 2]))
}

fn mean_of_pixels(maps: Tensor<4>) -> Tensor<2> {
    maps.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
}

#[test]
fn lenet() {
    let x = inputs([4, 2, 16, 14]);
    assert_same(
        &LeNetConfig::new([2, 16, 14], 3).init_seeded(1, &device()).unwrap(),
        |network| network.forward(x.clone()),
        |network| {
            let maps = halve(relu(network.conv1.forward(x.clone())));
            let maps = halve(relu(network.conv2.forward(maps)));
            let hidden = relu(network.fc1.forward(maps.flatten::<2>(1, 3)));
            network.fc3.forward(relu(network.fc2.forward(hidden)))
        },
    );
}

#[test]
fn convnet() {
    let x = inputs([4, 2, 16, 14]);
    assert_same(
        &ConvNetConfig::new([2, 16, 14], 3).with_channels([4, 6, 8]).init_seeded(1, &device()).unwrap(),
        |network| network.forward(x.clone()),
        |network| {
            let layers = network.convs.iter().zip(&network.norms);
            let maps = layers.fold(x.clone(), |maps, (conv, norm)| halve(relu(norm.forward(conv.forward(maps)))));
            network.head.forward(mean_of_pixels(maps))
        },
    );
}

fn block(block: &BasicBlock, maps: Tensor<4>) -> Tensor<4> {
    let hidden = relu(block.bn1.forward(block.conv1.forward(maps.clone())));
    let hidden = block.bn2.forward(block.conv2.forward(hidden));
    let [_, channels, ..] = maps.dims();
    let added = (hidden.dims()[1] - channels) / 2;
    let shortcut = match &block.downsample {
        Some((conv, norm)) => norm.forward(conv.forward(maps)),
        None if added == 0 => maps,
        None => {
            let maps = maps.slice(s![.., .., ..;2, ..;2]);
            let [batch_size, _, height, width] = maps.dims();
            let zeros = Tensor::zeros([batch_size, added, height, width], (&maps.device(), maps.dtype()));
            Tensor::cat(vec![zeros.clone(), maps, zeros], 1)
        }
    };
    relu(hidden + shortcut)
}

fn resnet(network: &ResNet, images: Tensor<4>, large: bool) -> Tensor<2> {
    let mut maps = relu(network.bn1.forward(network.conv1.forward(images)));
    if large {
        maps = max_pool2d(maps, MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]));
    }
    let stages = [&network.layer1, &network.layer2, &network.layer3, &network.layer4];
    network.fc.forward(mean_of_pixels(stages.into_iter().flatten().fold(maps, |maps, each| block(each, maps))))
}

#[test]
fn residual_networks() {
    let small = |shortcut| ResNetConfig::new(8, [3, 8, 9], 3).with_width(Some(4)).with_shortcut(Some(shortcut));
    let large = ResNetConfig::new(18, [3, 64, 64], 3).with_width(Some(4));
    for (config, is_large) in [(small(Shortcut::Padding), false), (small(Shortcut::Projection), false), (large, true)] {
        let x = inputs([4, 3, config.image_shape[1], config.image_shape[2]]);
        assert_same(
            &config.init_seeded(1, &device()).unwrap(),
            |network| network.forward(x.clone()),
            |network| resnet(network, x.clone(), is_large),
        );
    }
}

/// Two heads.
fn self_attention(qkv: Tensor<3>, is_causal: bool) -> Tensor<3> {
    let [batch_size, length, joint] = qkv.dims();
    let dimension = joint / 3;
    let [query, key, value] = [0, 1, 2].map(|part| {
        let part = qkv.clone().narrow(2, part * dimension, dimension);
        part.reshape([batch_size, length, 2, dimension / 2]).swap_dims(1, 2)
    });
    let options = AttentionModuleOptions { is_causal, ..Default::default() };
    attention(query, key, value, None, None, options).swap_dims(1, 2).reshape([batch_size, length, dimension])
}

fn vit(network: &VisionTransformer, images: Tensor<4>) -> Tensor<2> {
    let patches = network.patch_embed.proj.forward(images).flatten::<3>(2, 3).swap_dims(1, 2);
    let [batch_size, _, dimension] = patches.dims();
    let tokens = match &network.cls_token {
        Some(token) => Tensor::cat(vec![token.val().expand([batch_size, 1, dimension]), patches], 1),
        None => patches,
    };
    let tokens = network.blocks.iter().fold(tokens + network.pos_embed.val(), |tokens, block| {
        let qkv = block.attn.qkv.forward(block.norm1.forward(tokens.clone()));
        let tokens = tokens + block.attn.proj.forward(self_attention(qkv, false));
        let hidden = gelu(block.mlp.fc1.forward(block.norm2.forward(tokens.clone())));
        tokens + block.mlp.fc2.forward(hidden)
    });
    let features = match (&network.norm, &network.fc_norm) {
        (Some(norm), _) => norm.forward(tokens).narrow(1, 0, 1).squeeze_dim(1),
        (None, Some(norm)) => norm.forward(tokens.mean_dim(1).squeeze_dim::<2>(1)),
        (None, None) => panic!("either normalisation is there"),
    };
    network.head.forward(features)
}

#[test]
fn vision_transformers() {
    let x = inputs([4, 2, 8, 12]);
    for pooling in [TokenPooling::ClassToken, TokenPooling::Mean] {
        let config = VisionTransformerConfig::new([2, 8, 12], 3)
            .with_patch_size(4)
            .with_dimension(12)
            .with_depth(2)
            .with_num_heads(2)
            .with_pooling(pooling);
        assert_same(
            &config.init_seeded(1, &device()).unwrap(),
            |network| network.forward(x.clone()),
            |network| vit(network, x.clone()),
        );
    }
}

#[test]
fn ngram_language_model() {
    let words = Tensor::<2, Int>::from_ints([[0, 1, 2], [3, 4, 0]], &device());
    let config = NgramConfig::new(5, 3).with_embedding(4).with_hidden(vec![6]).with_activation(Activation::Silu);
    assert_same(
        &config.init_seeded(1, &device()).unwrap(),
        |model| model.forward(words.clone()),
        |model| {
            let embedded = model.encoder.embedding.forward(words.clone()).flatten::<2>(1, 2);
            model.head.forward(silu(model.encoder.layers[0].forward(embedded)))
        },
    );
}

#[test]
fn decoders() {
    let tokens = Tensor::<2, Int>::from_ints([[0, 1, 2], [3, 4, 0]], &device());
    let positions = Tensor::<2, Int>::from_ints([[0, 1, 2]], &device());
    for tied in [true, false] {
        let config = DecoderTransformerConfig::new(5, 4).with_dimension(8).with_depth(2).with_num_heads(2);
        assert_same(
            &config.with_tied(tied).init_seeded(1, &device()).unwrap(),
            |model| model.forward(tokens.clone()),
            |model| {
                let embedded = model.wte.forward(tokens.clone()) + model.wpe.forward(positions.clone());
                let hidden = model.h.iter().fold(embedded, |hidden, block| {
                    let project = |layer: &kiln_nn::Projection, x: Tensor<3>| {
                        linear(x, layer.weight.val(), Some(layer.bias.val()))
                    };
                    let qkv = project(&block.attn.c_attn, block.ln_1.forward(hidden.clone()));
                    let hidden = hidden + project(&block.attn.c_proj, self_attention(qkv, true));
                    let inner = gelu_approximate(project(&block.mlp.c_fc, block.ln_2.forward(hidden.clone())));
                    hidden + project(&block.mlp.c_proj, inner)
                });
                let features = model.ln_f.forward(hidden);
                match &model.lm_head {
                    Some(head) => head.forward(features),
                    None => linear(features, model.wte.weight.val().transpose(), None),
                }
            },
        );
    }
}
