//! Label-distributionally robust losses and the table of baselines beside cross-entropy: forward and backward pass on the same
//! logits.

use burn::tensor::{Device, Distribution, Int, Tensor};
use divan::Bencher;
use kiln_loss::ldr::{AldrKlConfig, AldrMode, LdrKlConfig, LdrTopKConfig};
use kiln_loss::margin::{CrammerSingerLossConfig, WestonWatkinsLossConfig};
use kiln_loss::robust::{
    FocalLossConfig, JensenShannonLossConfig, NormalizedCrossEntropyLossConfig, RobustLogLossConfig,
};
use kiln_loss::{ClassificationLoss, CrossEntropyLossConfig, LossError, TrainingMoment};

/// `(batch_size, num_classes)`.
const SHAPES: [(usize, usize); 3] = [(128, 1000), (256, 1000), (1024, 10)];

/// One loss of each way of computing, and those of the method.
const LOSSES: [&str; 11] = [
    "cross-entropy",
    "ldr-kl",
    "ldr-top-5",
    "aldr-alternating",
    "aldr-exact",
    "focal",
    "jensen-shannon",
    "normalized-cross-entropy",
    "robust-log",
    "weston-watkins",
    "crammer-singer",
];

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

fn boxed<L: ClassificationLoss + 'static>(loss: Result<L, LossError>) -> Box<dyn ClassificationLoss> {
    Box::new(loss.expect("the settings are in range"))
}

fn loss(name: &str) -> Box<dyn ClassificationLoss> {
    match name {
        "cross-entropy" => boxed(CrossEntropyLossConfig::new().init()),
        "ldr-kl" => boxed(LdrKlConfig::new().init()),
        "ldr-top-5" => boxed(LdrTopKConfig::new(5).init()),
        "aldr-alternating" => boxed(AldrKlConfig::new().init()),
        "aldr-exact" => boxed(AldrKlConfig::new().with_mode(AldrMode::Exact).init()),
        "focal" => boxed(FocalLossConfig::new().init()),
        "jensen-shannon" => boxed(JensenShannonLossConfig::new().init()),
        "normalized-cross-entropy" => boxed(NormalizedCrossEntropyLossConfig::new().init()),
        "robust-log" => boxed(RobustLogLossConfig::new().init()),
        "weston-watkins" => boxed(WestonWatkinsLossConfig::new().init()),
        _ => boxed(CrammerSingerLossConfig::new().init()),
    }
}

fn measure(bencher: Bencher<'_, '_>, shape: (usize, usize), name: &str) {
    let (logits, targets) = batch(shape);
    let loss = loss(name);
    let rows: Vec<usize> = (0..shape.0).collect();
    bencher.bench_local(|| {
        let moment = TrainingMoment { step: 0, epoch: 1, rows: &rows };
        let gradients = loss.forward_in_training(logits.clone(), targets.clone(), &moment).backward();
        logits.grad(&gradients)
    });
}

#[divan::bench(args = LOSSES)]
fn at_128_x_1000(bencher: Bencher<'_, '_>, name: &str) {
    measure(bencher, SHAPES[0], name);
}

#[divan::bench(args = LOSSES)]
fn at_256_x_1000(bencher: Bencher<'_, '_>, name: &str) {
    measure(bencher, SHAPES[1], name);
}

#[divan::bench(args = LOSSES)]
fn at_1024_x_10(bencher: Bencher<'_, '_>, name: &str) {
    measure(bencher, SHAPES[2], name);
}
