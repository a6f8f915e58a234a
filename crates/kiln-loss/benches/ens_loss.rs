//! EnsLoss beside the fixed losses of the margin: forward and backward pass on the same scores.

use burn::tensor::{Device, Distribution, Tensor};
use divan::Bencher;
use kiln_loss::ens_loss::EnsLossConfig;
use kiln_loss::margin::{MarginLossConfig, MarginPhi};

const BATCH_SIZES: [usize; 3] = [128, 1024, 8192];

fn main() {
    divan::main();
}

fn margins(batch_size: usize) -> Tensor<1> {
    let device = Device::flex().autodiff();
    device.seed(7);
    Tensor::random([batch_size], Distribution::Normal(0.0, 2.0), &device).require_grad()
}

#[divan::bench(args = BATCH_SIZES)]
fn ens_loss(bencher: Bencher<'_, '_>, batch_size: usize) {
    let margins = margins(batch_size);
    let mut loss = EnsLossConfig::new().init().expect("the defaults are in range");
    bencher.bench_local(|| margins.grad(&loss.forward_margins(margins.clone()).backward()));
}

fn fixed(bencher: Bencher<'_, '_>, batch_size: usize, phi: MarginPhi) {
    let margins = margins(batch_size);
    let loss = MarginLossConfig::new().with_phi(phi).init().expect("the function is in range");
    bencher.bench_local(|| margins.grad(&loss.forward_margins(margins.clone()).mean().backward()));
}

#[divan::bench(args = BATCH_SIZES)]
fn logistic(bencher: Bencher<'_, '_>, batch_size: usize) {
    fixed(bencher, batch_size, MarginPhi::Logistic);
}

#[divan::bench(args = BATCH_SIZES)]
fn hinge(bencher: Bencher<'_, '_>, batch_size: usize) {
    fixed(bencher, batch_size, MarginPhi::Hinge);
}
