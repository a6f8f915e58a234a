//! The kernels of transformers beside Burn's own operations, on the shapes of small vision transformers.

use std::hint::black_box;

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Distribution, Tensor, activation as of_burn, module};
use divan::Bencher;
use kiln_kernels::activation::{self, Function};
use kiln_kernels::layer_norm::{self, Centre};
use kiln_kernels::{attention, softmax};

fn main() {
    divan::main();
}

fn normal<const D: usize>(dims: [usize; D]) -> Tensor<D> {
    Tensor::random(dims, Distribution::Normal(0.0, 1.0), &Device::flex())
}

/// Examples, heads, tokens, width of a head.
const ATTENTIONS: [[usize; 4]; 3] = [[64, 4, 49, 16], [32, 3, 65, 64], [1, 4, 2048, 64]];

#[divan::bench(args = ATTENTIONS.map(name))]
fn attention_forward(bencher: Bencher<'_, '_>, size: &str) {
    let x = normal(*ATTENTIONS.iter().find(|dims| name(**dims) == size).expect("one of the sizes"));
    let options = AttentionModuleOptions::default();
    bencher.bench_local(|| attention::forward(black_box(x.clone()), x.clone(), x.clone(), &options));
}

#[divan::bench(args = ATTENTIONS.map(name))]
fn attention_forward_of_burn(bencher: Bencher<'_, '_>, size: &str) {
    let x = normal(*ATTENTIONS.iter().find(|dims| name(**dims) == size).expect("one of the sizes"));
    bencher.bench_local(|| {
        module::attention(black_box(x.clone()), x.clone(), x.clone(), None, None, AttentionModuleOptions::default())
    });
}

#[divan::bench(args = ATTENTIONS.map(name))]
fn attention_backward(bencher: Bencher<'_, '_>, size: &str) {
    let x = normal(*ATTENTIONS.iter().find(|dims| name(**dims) == size).expect("one of the sizes"));
    let options = AttentionModuleOptions::default();
    let attended = attention::forward(x.clone(), x.clone(), x.clone(), &options);
    bencher.bench_local(|| {
        let inputs = [x.clone(), x.clone(), x.clone()];
        attention::backward(black_box(inputs), attended.clone(), x.clone(), &options)
    });
}

fn name<const D: usize>(dims: [usize; D]) -> String {
    dims.map(|length| length.to_string()).join("x")
}

#[divan::bench]
fn gelu(bencher: Bencher<'_, '_>) {
    let x = normal([2080, 768]);
    bencher.bench_local(|| activation::forward(Function::Gelu, black_box(x.clone())));
}

#[divan::bench]
fn gelu_of_burn(bencher: Bencher<'_, '_>) {
    let x = normal([2080, 768]);
    bencher.bench_local(|| of_burn::gelu(black_box(x.clone())));
}

#[divan::bench]
fn softmax_over_rows(bencher: Bencher<'_, '_>) {
    let x = normal([12_544, 49]);
    bencher.bench_local(|| softmax::forward(black_box(x.clone())));
}

#[divan::bench]
fn softmax_of_burn(bencher: Bencher<'_, '_>) {
    let x = normal([12_544, 49]);
    bencher.bench_local(|| of_burn::softmax(black_box(x.clone()), 1));
}

#[divan::bench]
fn layer_norm_forward(bencher: Bencher<'_, '_>) {
    let (x, gamma) = (normal([2080, 192]), normal([192]));
    bencher.bench_local(|| {
        layer_norm::forward(black_box(x.clone()), gamma.clone(), Some(gamma.clone()), 1e-6, Centre::Mean)
    });
}

#[divan::bench]
fn layer_norm_of_burn(bencher: Bencher<'_, '_>) {
    let (x, norm) = (normal([2080, 192]), burn::nn::LayerNormConfig::new(192).init(&Device::flex()));
    bencher.bench_local(|| norm.forward(black_box(x.clone())));
}

#[divan::bench]
fn layer_norm_backward(bencher: Bencher<'_, '_>) {
    let (x, gamma) = (normal([2080, 192]), normal([192]));
    let (y, statistics) = layer_norm::forward(x.clone(), gamma.clone(), None, 1e-6, Centre::Mean);
    bencher.bench_local(|| {
        let wanted = [true; 3];
        layer_norm::backward(black_box(x.clone()), gamma.clone(), &statistics, y.clone(), Centre::Mean, wanted)
    });
}
