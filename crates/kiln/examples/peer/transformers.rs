//! A training step of two transformers for images: what `peers/train/transformers.py` does.

use std::time::Duration;

use burn::module::Param;
use burn::nn::LayerNorm;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use kiln::loss::{ClassificationLoss, CrossEntropyLossConfig};
use kiln::nn::{TokenPooling, VisionTransformer, VisionTransformerConfig, VisionTransformerSize};
use kiln::optim::AdamConfig;
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome, clock};
use crate::networks::{classes, values as noise_tensor};
use crate::training::{WaveWeights, loss_curve};

/// The cases.
pub fn bench() -> Bench {
    let bench = Bench::new("train/transformers", values);
    let bench = bench.case("encoder-adam", 1, || step(encoder(), 64));
    bench.case("vit-adam", 1, || step(vit(), 32))
}

fn encoder() -> VisionTransformerConfig {
    VisionTransformerConfig::of_size(VisionTransformerSize::Micro, [1, 28, 28], 10).with_pooling(TokenPooling::Mean)
}

fn vit() -> VisionTransformerConfig {
    VisionTransformerConfig::of_size(VisionTransformerSize::Tiny, [3, 32, 32], 10)
}

fn step(config: VisionTransformerConfig, batch_size: usize) -> Outcome<impl FnMut() -> Outcome<Duration> + use<>> {
    let device = Device::flex().autodiff();
    let [channels, height, width] = config.image_shape;
    let images = noise_tensor([batch_size, channels, height, width], 1.0, 0, DType::F32).autodiff();
    let targets = classes(batch_size).to_device(&device);
    let loss = CrossEntropyLossConfig::new().init()?;
    let mut network = Some(config.init_seeded(1, &device)?);
    let mut optimizer = AdamConfig::new().init()?;
    Ok(move || {
        let before = network.take().ok_or("a step has failed")?;
        Ok(clock(|| {
            let value = loss.forward(before.forward(images.clone()), targets.clone());
            let gradients = GradientsParams::from_grads(value.backward(), &before);
            network = Some(optimizer.step(1e-4, before, gradients));
        }))
    })
}

fn values() -> Outcome<Value> {
    let mut network = encoder().init(&Device::flex().autodiff())?;
    let mut weights = WaveWeights::for_module(&network);
    set_weights(&mut network, &mut weights);
    let forward = |network: &VisionTransformer, images: Tensor<4>| network.forward(images);
    let losses = loss_curve(network, forward, [8, 1, 28, 28], 4, AdamConfig::new().init()?, 1e-3)?;
    Ok(json!({ "encoder": { "losses": losses } }))
}

/// In the order of PyTorch's parameters.
fn set_weights(network: &mut VisionTransformer, weights: &mut WaveWeights) {
    network.pos_embed = weights.parameter(network.pos_embed.dims());
    let patches = &mut network.patch_embed.proj;
    patches.weight = weights.parameter(patches.weight.dims());
    patches.bias = Some(weights.parameter([patches.weight.dims()[0]]));
    for block in &mut network.blocks {
        set_norm(&mut block.norm1, weights);
        weights.linear(&mut block.attn.qkv);
        weights.linear(&mut block.attn.proj);
        set_norm(&mut block.norm2, weights);
        weights.linear(&mut block.mlp.fc1);
        weights.linear(&mut block.mlp.fc2);
    }
    if let Some(norm) = &mut network.fc_norm {
        set_norm(norm, weights);
    }
    weights.linear(&mut network.head);
}

fn set_norm(norm: &mut LayerNorm, weights: &mut WaveWeights) {
    let width: [usize; 1] = norm.gamma.dims();
    norm.gamma = weights.parameter(width);
    norm.beta = Some::<Param<Tensor<1>>>(weights.parameter(width));
}
