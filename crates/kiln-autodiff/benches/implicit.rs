//! Implicit functions, forwards and backwards.

use burn::tensor::{Device, Distribution, Tensor};
use kiln_autodiff::implicit::{FixedPointConfig, fixed_point, least_squares, solve_spd};

fn main() {
    divan::main();
}

fn random(shape: [usize; 2]) -> Tensor<2> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex())
}

#[divan::bench(args = [16, 128, 512])]
fn positive_definite_solve(bencher: divan::Bencher<'_, '_>, size: usize) {
    let factor = random([size, size]);
    let spd = factor.clone().matmul(factor.transpose()) + Tensor::eye(size, &Device::flex());
    let b = random([size, 1]);
    bencher.bench_local(|| {
        let (a, b) = (spd.clone().autodiff().require_grad(), b.clone().autodiff().require_grad());
        let gradients = solve_spd(a.clone(), b).expect("positive definite").sum().backward();
        a.grad(&gradients)
    });
}

#[divan::bench(args = [16, 128])]
fn least_squares_of_four_times_as_many_rows(bencher: divan::Bencher<'_, '_>, columns: usize) {
    let (a, b) = (random([4 * columns, columns]), random([4 * columns, 1]));
    bencher.bench_local(|| {
        let a = a.clone().autodiff().require_grad();
        let gradients = least_squares(a.clone(), b.clone()).expect("full rank").sum().backward();
        a.grad(&gradients)
    });
}

#[divan::bench(args = [16, 128])]
fn equilibrium_layer(bencher: divan::Bencher<'_, '_>, width: usize) {
    let weight = random([width, width]) / width as f64;
    let input = random([32, width]);
    let layer = |z: Tensor<2>, p: &(Tensor<2>, Tensor<2>)| (z.matmul(p.0.clone()) + p.1.clone()).tanh();
    bencher.bench_local(|| {
        let weight = weight.clone().autodiff().require_grad();
        let parameters = (weight.clone(), input.clone().autodiff());
        let z = fixed_point(layer, input.zeros_like(), &parameters, &FixedPointConfig::new()).expect("a contraction");
        weight.grad(&z.sum().backward())
    });
}
