//! The top of a spectrum, and its density, where orthogonality dominates: products with the operator cost nothing.

use burn::tensor::{Device, Tensor};
use kiln_autodiff::FunctionOperator;
use kiln_autodiff::spectrum::{LanczosConfig, SpectralDensityConfig, lanczos, spectral_density};

fn main() {
    divan::main();
}

const DIMENSION: usize = 100_000;

/// Ten outliers above a bulk, as in the Hessian of a classifier.
fn spectrum() -> Tensor<1> {
    let outlier = |i: usize| 40.0 * 0.75f32.powi(i as i32);
    let bulk = |i: usize| 1.5 * (1.0 - i as f32 / DIMENSION as f32).powi(4) - 0.1;
    let values: Vec<f32> = (0..DIMENSION).map(|i| if i < 10 { outlier(i) } else { bulk(i) }).collect();
    Tensor::from_data(values.as_slice(), &Device::flex())
}

#[divan::bench(sample_count = 5)]
fn top_ten_of_a_hundred_thousand(bencher: divan::Bencher<'_, '_>) {
    let spectrum = spectrum();
    let operator = FunctionOperator::new(DIMENSION, |v: Tensor<1>| v * spectrum.clone());
    let settings = LanczosConfig::new().with_count(10);
    bencher.bench_local(|| lanczos(&operator, &settings, &Device::flex()).expect("a gap after the tenth"));
}

#[divan::bench(sample_count = 5)]
fn density_of_a_hundred_thousand(bencher: divan::Bencher<'_, '_>) {
    let spectrum = spectrum();
    let operator = FunctionOperator::new(DIMENSION, |v: Tensor<1>| v * spectrum.clone());
    let settings = SpectralDensityConfig::new().with_probes(2).with_steps(50);
    bencher.bench_local(|| spectral_density(&operator, &settings, &Device::flex()).expect("a symmetric operator"));
}
