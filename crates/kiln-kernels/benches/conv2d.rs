//! Convolutions of known networks, forward and backward, beside Burn's own operations.

use std::hint::black_box;

use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Distribution, Tensor, module};
use divan::Bencher;
use kiln_kernels::conv2d;

fn main() {
    divan::main();
}

/// Images, channels, height, width; outputs, taps along an axis, stride, padding, groups.
type Size = (&'static str, [usize; 4], [usize; 5]);

const SIZES: [Size; 10] = [
    ("convnet-1: 64x1x28x28 -> 32", [64, 1, 28, 28], [32, 3, 1, 1, 1]),
    ("convnet-2: 64x32x14x14 -> 64", [64, 32, 14, 14], [64, 3, 1, 1, 1]),
    ("lenet-1: 64x1x28x28 -> 6, 5x5", [64, 1, 28, 28], [6, 5, 1, 2, 1]),
    ("lenet-2: 64x6x14x14 -> 16, 5x5", [64, 6, 14, 14], [16, 5, 1, 0, 1]),
    ("resnet20-1: 128x16x32x32 -> 16", [128, 16, 32, 32], [16, 3, 1, 1, 1]),
    ("resnet20-2: 128x16x32x32 -> 32, stride 2", [128, 16, 32, 32], [32, 3, 2, 1, 1]),
    ("resnet20-3: 128x32x16x16 -> 32", [128, 32, 16, 16], [32, 3, 1, 1, 1]),
    ("resnet20-4: 128x64x8x8 -> 64", [128, 64, 8, 8], [64, 3, 1, 1, 1]),
    ("pointwise: 64x64x14x14 -> 128", [64, 64, 14, 14], [128, 1, 1, 0, 1]),
    ("depthwise: 64x64x14x14, 3x3", [64, 64, 14, 14], [64, 3, 1, 1, 64]),
];

struct Layer {
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    upstream: Tensor<4>,
    options: ConvOptions<2>,
}

impl Layer {
    fn new((_, dims, [outputs, taps, stride, padding, groups]): Size) -> Self {
        let normal = |dims| Tensor::<4>::random(dims, Distribution::Normal(0.0, 1.0), &Device::flex());
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups);
        let (x, weight) = (normal(dims), normal([outputs, dims[1] / groups, taps, taps]));
        let bias = Tensor::zeros([outputs], &Device::flex());
        let upstream = normal(conv2d::forward(x.clone(), weight.clone(), None, &options).dims());
        Self { x, weight, bias, upstream, options }
    }
}

#[divan::bench(args = SIZES.map(|size| size.0))]
fn forward(bencher: Bencher<'_, '_>, name: &str) {
    let Layer { x, weight, bias, options, .. } = Layer::new(size_of(name));
    bencher.bench_local(|| conv2d::forward(black_box(x.clone()), weight.clone(), Some(bias.clone()), &options));
}

#[divan::bench(args = SIZES.map(|size| size.0))]
fn forward_of_burn(bencher: Bencher<'_, '_>, name: &str) {
    let Layer { x, weight, bias, options, .. } = Layer::new(size_of(name));
    bencher.bench_local(|| module::conv2d(black_box(x.clone()), weight.clone(), Some(bias.clone()), options.clone()));
}

#[divan::bench(args = SIZES.map(|size| size.0))]
fn input_gradient(bencher: Bencher<'_, '_>, name: &str) {
    let Layer { x, weight, upstream, options, .. } = Layer::new(size_of(name));
    let wanted = [true, false, false];
    bencher.bench_local(|| conv2d::backward(black_box(x.clone()), weight.clone(), upstream.clone(), &options, wanted));
}

#[divan::bench(args = SIZES.map(|size| size.0))]
fn weight_gradient(bencher: Bencher<'_, '_>, name: &str) {
    let Layer { x, weight, upstream, options, .. } = Layer::new(size_of(name));
    let wanted = [false, true, false];
    bencher.bench_local(|| conv2d::backward(black_box(x.clone()), weight.clone(), upstream.clone(), &options, wanted));
}

/// The operation of Burn's backward pass.
#[divan::bench(args = SIZES.map(|size| size.0))]
fn input_gradient_of_burn(bencher: Bencher<'_, '_>, name: &str) {
    let Layer { x, weight, upstream, options, .. } = Layer::new(size_of(name));
    let padding = options.padding_begin();
    let left_over = |axis: usize| {
        let padded = x.dims()[2 + axis] + 2 * padding[axis];
        (padded - weight.dims()[2 + axis]) % options.stride[axis]
    };
    let padding_out = [left_over(0), left_over(1)];
    let options = ConvTransposeOptions::new(options.stride, padding, padding_out, options.dilation, options.groups);
    bencher
        .bench_local(|| module::conv_transpose2d(black_box(upstream.clone()), weight.clone(), None, options.clone()));
}

/// The operation of Burn's backward pass.
#[divan::bench(args = SIZES.map(|size| size.0))]
fn weight_gradient_of_burn(bencher: Bencher<'_, '_>, name: &str) {
    let Layer { x, weight, upstream, options, .. } = Layer::new(size_of(name));
    bencher.bench_local(|| {
        module::conv2d_weight_backward(black_box(x.clone()), weight.clone(), upstream.clone(), options.clone())
    });
}

fn size_of(name: &str) -> Size {
    SIZES.into_iter().find(|size| size.0 == name).expect("one of the sizes")
}
