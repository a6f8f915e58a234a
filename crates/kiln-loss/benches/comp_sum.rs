//! Comp-sum losses beside Burn's cross-entropy: forward and backward pass on the same logits.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Distribution, Int, Tensor};
use divan::Bencher;
use kiln_loss::ClassificationLoss;
use kiln_loss::comp_sum::CompSumLossConfig;

/// `(batch_size, num_classes)`.
const SHAPES: [(usize, usize); 4] = [(128, 10), (128, 100), (1024, 100), (256, 1000)];

fn main() {
    divan::main();
}

fn batch((rows, classes): (usize, usize)) -> (Tensor<2>, Tensor<1, Int>) {
    let device = Device::flex().autodiff();
    device.seed(7);
    let logits = Tensor::random([rows, classes], Distribution::Normal(0.0, 2.0), &device).require_grad();
    let targets: Vec<i64> = (0..rows).map(|row| ((row * 7) % classes) as i64).collect();
    (logits, Tensor::from_data(targets.as_slice(), &device))
}

#[divan::bench(args = SHAPES)]
fn burn_cross_entropy(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
    let (logits, targets) = batch(shape);
    let loss = CrossEntropyLossConfig::new().init(&logits.device());
    bencher.bench_local(|| {
        let gradients = loss.forward(logits.clone(), targets.clone()).backward();
        logits.grad(&gradients)
    });
}

fn comp_sum(bencher: Bencher<'_, '_>, shape: (usize, usize), tau: f64) {
    let (logits, targets) = batch(shape);
    let loss = CompSumLossConfig::new().with_tau(tau).init().expect("tau is in range");
    bencher.bench_local(|| {
        let gradients = loss.forward(logits.clone(), targets.clone()).backward();
        logits.grad(&gradients)
    });
}

#[divan::bench(args = SHAPES)]
fn comp_sum_logistic(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
    comp_sum(bencher, shape, 1.0);
}

#[divan::bench(args = SHAPES)]
fn comp_sum_half(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
    comp_sum(bencher, shape, 0.5);
}

#[divan::bench(args = SHAPES)]
fn comp_sum_generalized(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
    comp_sum(bencher, shape, 1.7);
}
