//! Training step of the output layer (forward, backward, update) at growing numbers of classes.
//!
//! Hidden vectors and targets are random. `cargo bench -p kiln-loss --bench z_loss`.

use burn::tensor::{Device, Tensor, TensorData};
use divan::{Bencher, black_box};
use kiln_loss::{
    FactoredSphericalConfig, HierarchicalSoftmax2Config, LogSoftmaxLayerConfig, SphericalLoss, TaylorSoftmaxLossConfig,
    ZLossConfig,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `(classes, hidden width, examples)`.
const SIZES: [(usize, usize, usize); 4] =
    [(10_000, 128, 128), (100_000, 128, 128), (1_000_000, 128, 128), (200_000, 256, 100)];
const LEARNING_RATE: f64 = 0.01;

fn main() {
    divan::main();
}

/// A batch of random hidden vectors, different in each call, and random targets.
struct Batches {
    random: ChaCha8Rng,
    classes: usize,
    width: usize,
    examples: usize,
}

impl Batches {
    fn new((classes, width, examples): (usize, usize, usize)) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(1), classes, width, examples }
    }

    fn next(&mut self) -> (Tensor<2>, Vec<usize>) {
        let hidden: Vec<f32> = (0..self.examples * self.width).map(|_| self.random.random_range(-1.0..1.0)).collect();
        let targets = (0..self.examples).map(|_| self.random.random_range(0..self.classes)).collect();
        (Tensor::from_data(TensorData::new(hidden, [self.examples, self.width]), &Device::flex()), targets)
    }
}

fn factored(bencher: Bencher<'_, '_>, size: (usize, usize, usize), loss: &dyn SphericalLoss) {
    let mut layer = FactoredSphericalConfig::new(size.1, size.0).with_bias(false).init(0).expect("a valid layer");
    let mut batches = Batches::new(size);
    bencher.with_inputs(|| batches.next()).bench_local_values(|(hidden, targets)| {
        black_box(layer.step(hidden, &targets, loss, LEARNING_RATE).expect("a valid step"));
    });
}

#[divan::bench(args = SIZES)]
fn factored_z_loss(bencher: Bencher<'_, '_>, size: (usize, usize, usize)) {
    factored(bencher, size, &ZLossConfig::new().init().expect("a valid loss"));
}

#[divan::bench(args = SIZES)]
fn factored_taylor_softmax(bencher: Bencher<'_, '_>, size: (usize, usize, usize)) {
    factored(bencher, size, &TaylorSoftmaxLossConfig::new().init().expect("a valid loss"));
}

#[divan::bench(args = SIZES)]
fn hierarchical_softmax(bencher: Bencher<'_, '_>, size: (usize, usize, usize)) {
    let mut layer = HierarchicalSoftmax2Config::new(size.1, size.0).with_bias(false).init(0).expect("a valid layer");
    let mut batches = Batches::new(size);
    bencher.with_inputs(|| batches.next()).bench_local_values(|(hidden, targets)| {
        black_box(layer.step(hidden, &targets, LEARNING_RATE).expect("a valid step"));
    });
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn dense_log_softmax(bencher: Bencher<'_, '_>, size: (usize, usize, usize)) {
    let mut layer = LogSoftmaxLayerConfig::new(size.1, size.0).with_bias(false).init(0).expect("a valid layer");
    let mut batches = Batches::new(size);
    bencher.with_inputs(|| batches.next()).bench_local_values(|(hidden, targets)| {
        black_box(layer.step(hidden, &targets, LEARNING_RATE).expect("a valid step"));
    });
}
