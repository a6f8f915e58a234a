//! The forward Laplacian of a perceptron of four hidden layers of 64 tanh units, at 1024 points.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use divan::Bencher;
use kiln_autodiff::{Numbers, Values, hessian, laplacian};

fn main() {
    divan::main();
}

/// Number of inputs.
const DIMENSIONS: [usize; 2] = [2, 10];

#[derive(Module, Debug)]
struct Perceptron {
    hidden: Vec<Linear>,
    output: Linear,
}

impl Perceptron {
    fn new(dimension: usize, device: &Device) -> Self {
        let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(device);
        Self { hidden: [dimension, 64, 64, 64].map(|inputs| layer(inputs, 64)).to_vec(), output: layer(64, 1) }
    }

    fn forward_in<N: Numbers>(&self, numbers: &N, x: N::T<2>) -> N::T<2> {
        let hidden = self.hidden.iter().fold(x, |x, layer| numbers.tanh(numbers.linear(layer, x)));
        numbers.linear(&self.output, hidden)
    }
}

fn points(dimension: usize, device: &Device) -> Tensor<2> {
    Tensor::random([1024, dimension], Distribution::Normal(0.0, 1.0), device)
}

#[divan::bench(args = DIMENSIONS)]
fn value_alone(bencher: Bencher<'_, '_>, dimension: usize) {
    let device = Device::flex();
    let (net, points) = (Perceptron::new(dimension, &device), points(dimension, &device));
    bencher.bench_local(|| net.forward_in(&Values, points.clone()));
}

#[divan::bench(args = DIMENSIONS)]
fn forward_laplacian(bencher: Bencher<'_, '_>, dimension: usize) {
    let device = Device::flex();
    let (net, points) = (Perceptron::new(dimension, &device), points(dimension, &device));
    bencher.bench_local(|| laplacian(|numbers, x| net.forward_in(numbers, x), points.clone()).laplacian);
}

#[divan::bench(args = DIMENSIONS)]
fn whole_hessian(bencher: Bencher<'_, '_>, dimension: usize) {
    let device = Device::flex();
    let (net, points) = (Perceptron::new(dimension, &device), points(dimension, &device));
    bencher.bench_local(|| hessian(|numbers, x| net.forward_in(numbers, x), points.clone()).hessian);
}
