//! One optimizer step over ten million parameters, in one tensor and in 200.

use burn::optim::{AdamConfig, Optimizer};
use burn::tensor::{Device, Distribution, Tensor};
use kiln_optim::DiffGradConfig;

fn main() {
    divan::main();
}

const PARAMETERS: usize = 10_000_000;

/// Number of tensors into which the parameters are cut.
const CUTS: [usize; 2] = [1, 200];

#[divan::bench(args = CUTS, sample_count = 15)]
fn diffgrad(bencher: divan::Bencher<'_, '_>, tensors: usize) {
    bench_steps(bencher, DiffGradConfig::new().build().expect("the defaults are in range"), tensors);
}

#[divan::bench(args = CUTS, sample_count = 15)]
fn burn_adam(bencher: divan::Bencher<'_, '_>, tensors: usize) {
    bench_steps(bencher, AdamConfig::new().build(), tensors);
}

/// Times steps after the first, which allocates the state. The gradient is a fresh tensor at every step, as after a backward
/// pass.
fn bench_steps<O: Optimizer>(bencher: divan::Bencher<'_, '_>, optimizer: O, tensors: usize) {
    let device = Device::flex();
    let random = || Tensor::<1>::random([PARAMETERS / tensors], Distribution::Normal(0.0, 1.0), &device);
    let mut parameters = (0..tensors).map(|_| (random(), None)).collect::<Vec<_>>();
    let mut step = |grads: Vec<Tensor<1>>| {
        for ((tensor, state), grad) in parameters.iter_mut().zip(grads) {
            let old = std::mem::replace(tensor, Tensor::empty([0], &device));
            (*tensor, *state) = optimizer.step(1e-3, old, grad, state.take());
        }
    };
    let fresh = || (0..tensors).map(|_| random()).collect::<Vec<_>>();
    step(fresh());
    bencher.with_inputs(fresh).bench_local_values(step);
}
