//! Batch normalisation and pooling of maps as they are in known networks, forward and backward, beside Burn's operations.

use std::hint::black_box;

use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Distribution, Tensor, activation, module};
use divan::Bencher;
use kiln_kernels::batch_norm::{self, After, Saved};
use kiln_kernels::pool;

fn main() {
    divan::main();
}

const SHAPES: [(&str, [usize; 4]); 3] =
    [("128x16x32x32", [128, 16, 32, 32]), ("128x64x8x8", [128, 64, 8, 8]), ("64x32x28x28", [64, 32, 28, 28])];

fn normal(name: &str) -> Tensor<4> {
    let shape = SHAPES.into_iter().find(|(known, _)| *known == name).expect("one of the shapes").1;
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

fn parameters(x: &Tensor<4>) -> [Tensor<1>; 2] {
    let channels = x.dims()[1];
    [Tensor::ones([channels], &Device::flex()), Tensor::zeros([channels], &Device::flex())]
}

#[divan::bench(args = SHAPES.map(|shape| shape.0))]
fn batch_norm_relu(bencher: Bencher<'_, '_>, name: &str) {
    let x = normal(name);
    let [gamma, beta] = parameters(&x);
    let after = After { residual: None, rectified: true };
    bencher.bench_local(|| batch_norm::train(black_box(x.clone()), gamma.clone(), beta.clone(), 1e-5, after.clone()));
}

#[divan::bench(args = SHAPES.map(|shape| shape.0))]
fn batch_norm_relu_of_burn(bencher: Bencher<'_, '_>, name: &str) {
    let x = normal(name);
    let [gamma, beta] = parameters(&x);
    bencher.bench_local(|| {
        activation::relu(module::batch_norm_train(black_box(x.clone()), gamma.clone(), beta.clone(), 1e-5).output)
    });
}

#[divan::bench(args = SHAPES.map(|shape| shape.0))]
fn batch_norm_relu_gradients(bencher: Bencher<'_, '_>, name: &str) {
    let x = normal(name);
    let upstream = normal(name);
    let parameters = parameters(&x);
    let [gamma, beta] = parameters.clone();
    let after = After { residual: None, rectified: true };
    let trained = batch_norm::train(x.clone(), gamma, beta, 1e-5, after);
    bencher.bench_local(|| {
        let saved = Saved {
            x: x.clone(),
            statistics: [trained.mean.clone(), trained.variance.clone()],
            parameters: parameters.clone(),
            epsilon: 1e-5,
            output: None,
            has_residual: false,
            rectified: true,
        };
        batch_norm::backward(saved, black_box(upstream.clone()))
    });
}

#[divan::bench(args = SHAPES.map(|shape| shape.0))]
fn max_pool(bencher: Bencher<'_, '_>, name: &str) {
    let x = normal(name);
    bencher.bench_local(|| pool::max(black_box(x.clone()), &MaxPoolOptions::new([2, 2])));
}

#[divan::bench(args = SHAPES.map(|shape| shape.0))]
fn max_pool_of_burn(bencher: Bencher<'_, '_>, name: &str) {
    let x = normal(name);
    bencher.bench_local(|| module::max_pool2d(black_box(x.clone()), MaxPoolOptions::new([2, 2])));
}

#[divan::bench(args = SHAPES.map(|shape| shape.0))]
fn avg_pool(bencher: Bencher<'_, '_>, name: &str) {
    let x = normal(name);
    bencher.bench_local(|| pool::mean(black_box(x.clone()), &AvgPoolOptions::new([2, 2])));
}

#[divan::bench(args = SHAPES.map(|shape| shape.0))]
fn avg_pool_of_burn(bencher: Bencher<'_, '_>, name: &str) {
    let x = normal(name);
    bencher.bench_local(|| module::avg_pool2d(black_box(x.clone()), AvgPoolOptions::new([2, 2])));
}
