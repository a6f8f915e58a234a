//! The linear layer, forward and backward, beside Burn's own operations.

use std::hint::black_box;

use burn::tensor::{Device, Distribution, Tensor, module};
use divan::Bencher;
use kiln_kernels::linear;

fn main() {
    divan::main();
}

/// Rows, inputs, outputs.
const SIZES: [[usize; 3]; 4] = [[64, 64, 256], [64, 256, 256], [512, 256, 256], [1024, 1024, 1024]];

struct Layer {
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    upstream: Tensor<2>,
}

impl Layer {
    fn new([rows, inputs, outputs]: [usize; 3]) -> Self {
        let device = Device::flex();
        let normal = |dims| Tensor::random(dims, Distribution::Normal(0.0, 1.0), &device);
        Self {
            x: normal([rows, inputs]),
            weight: normal([inputs, outputs]),
            bias: Tensor::random([outputs], Distribution::Normal(0.0, 1.0), &device),
            upstream: normal([rows, outputs]),
        }
    }
}

#[divan::bench(args = SIZES.map(name))]
fn forward(bencher: Bencher<'_, '_>, size: &str) {
    let Layer { x, weight, bias, .. } = Layer::new(size_of(size));
    bencher.bench_local(|| linear::forward(black_box(x.clone()), weight.clone(), Some(bias.clone())));
}

#[divan::bench(args = SIZES.map(name))]
fn forward_of_burn(bencher: Bencher<'_, '_>, size: &str) {
    let Layer { x, weight, bias, .. } = Layer::new(size_of(size));
    bencher.bench_local(|| module::linear(black_box(x.clone()), weight.clone(), Some(bias.clone())));
}

#[divan::bench(args = SIZES.map(name))]
fn backward(bencher: Bencher<'_, '_>, size: &str) {
    let Layer { x, weight, upstream, .. } = Layer::new(size_of(size));
    bencher.bench_local(|| linear::backward(black_box(x.clone()), weight.clone(), upstream.clone(), [true; 3]));
}

/// The operations of Burn's backward pass.
#[divan::bench(args = SIZES.map(name))]
fn backward_of_burn(bencher: Bencher<'_, '_>, size: &str) {
    let Layer { x, weight, upstream, .. } = Layer::new(size_of(size));
    bencher.bench_local(|| {
        let of_x = black_box(upstream.clone()).matmul(weight.clone().transpose());
        let of_weight = x.clone().transpose().matmul(upstream.clone());
        (of_x, of_weight, upstream.clone().sum_dim(0))
    });
}

fn name(size: [usize; 3]) -> String {
    size.map(|length| length.to_string()).join("x")
}

fn size_of(name: &str) -> [usize; 3] {
    *SIZES.iter().find(|size| self::name(**size) == name).expect("one of the sizes")
}
