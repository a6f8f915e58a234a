//! The empirical tangent kernel of 256 x 256 examples, by layers, by Jacobians, and as one product with a vector.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Distribution, Tensor};
use divan::Bencher;
use kiln_autodiff::ntk::{NtkConfig, NtkOperator, NtkOutputs, Recorder, empirical_ntk, empirical_ntk_by_jacobians};
use kiln_autodiff::{Arithmetic, Duals, Numbers, Values};

fn main() {
    divan::main();
}

const EXAMPLES: usize = 256;

#[derive(Module, Debug)]
struct Perceptron {
    layers: Vec<Linear>,
}

impl Perceptron {
    fn new(device: &Device) -> Self {
        let layer = |pair: [usize; 2]| LinearConfig::new(pair[0], pair[1]).init(device);
        Self { layers: [[64, 128], [128, 128], [128, 10]].map(layer).to_vec() }
    }

    fn forward_in<N: Numbers>(&self, numbers: &N, x: N::T<2>) -> N::T<2> {
        let (last, hidden) = self.layers.split_last().expect("three layers");
        numbers.linear(last, hidden.iter().fold(x, |x, layer| numbers.tanh(numbers.linear(layer, x))))
    }
}

#[derive(Module, Debug)]
struct Convnet {
    first: Conv2d,
    second: Conv2d,
    last: Linear,
}

impl Convnet {
    fn new(device: &Device) -> Self {
        let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
        let second = Conv2dConfig::new([8, 16], [3, 3]).with_stride([2, 2]);
        Self {
            first: Conv2dConfig::new([1, 8], [3, 3]).with_padding(padding.clone()).init(device),
            second: second.with_padding(padding).init(device),
            last: LinearConfig::new(16 * 8 * 8, 10).init(device),
        }
    }

    fn forward_in<N: Numbers>(&self, numbers: &N, x: N::T<4>) -> N::T<2> {
        let x = numbers.tanh(numbers.conv2d(&self.first, x));
        let x = numbers.tanh(numbers.conv2d(&self.second, x));
        numbers.linear(&self.last, numbers.flatten(x, 1, 3))
    }
}

fn normal<const D: usize>(dims: [usize; D]) -> [Tensor<D>; 2] {
    [(); 2].map(|()| Tensor::random(dims, Distribution::Normal(0.0, 1.0), &Device::flex()))
}

#[divan::bench(sample_count = 5)]
fn perceptron_by_layers(bencher: Bencher<'_, '_>) {
    let (net, [left, right]) = (Perceptron::new(&Device::flex()), normal([EXAMPLES, 64]));
    let network = |net: &Perceptron, numbers: &Recorder, x| net.forward_in(numbers, x);
    bencher.bench_local(|| empirical_ntk(&net, network, &left, Some(&right), &NtkConfig::new()));
}

#[divan::bench(sample_count = 5)]
fn perceptron_by_layers_with_all_pairs_of_outputs(bencher: Bencher<'_, '_>) {
    let (net, [left, right]) = (Perceptron::new(&Device::flex()), normal([EXAMPLES, 64]));
    let network = |net: &Perceptron, numbers: &Recorder, x| net.forward_in(numbers, x);
    let config = NtkConfig::new().with_outputs(NtkOutputs::All);
    bencher.bench_local(|| empirical_ntk(&net, network, &left, Some(&right), &config));
}

#[divan::bench(sample_count = 3)]
fn perceptron_by_jacobians(bencher: Bencher<'_, '_>) {
    let (net, [left, right]) = (Perceptron::new(&Device::flex()), normal([EXAMPLES, 64]));
    let network = |net: &Perceptron, x| net.forward_in(&Values, x);
    bencher.bench_local(|| empirical_ntk_by_jacobians(&net, network, &left, Some(&right), &NtkConfig::new()));
}

#[divan::bench(sample_count = 5)]
fn perceptron_times_a_vector(bencher: Bencher<'_, '_>) {
    let (net, [left, right]) = (Perceptron::new(&Device::flex()), normal([EXAMPLES, 64]));
    let network = |net: &Perceptron, numbers: &Duals, x| net.forward_in(numbers, numbers.constant(x));
    let operator = NtkOperator::between(&net, network, &left, &right).expect("equal shapes");
    let [vector, _] = normal([EXAMPLES, 10]);
    bencher.bench_local(|| operator.product(vector.clone()));
}

#[divan::bench(sample_count = 5)]
fn convnet_by_layers(bencher: Bencher<'_, '_>) {
    let (net, [left, right]) = (Convnet::new(&Device::flex()), normal([EXAMPLES, 1, 16, 16]));
    let network = |net: &Convnet, numbers: &Recorder, x| net.forward_in(numbers, x);
    bencher.bench_local(|| empirical_ntk(&net, network, &left, Some(&right), &NtkConfig::new()));
}
