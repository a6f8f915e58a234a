//! The loss on bags beside plain squared error and cross-entropy, and the linear model for a whole grid of shares.

use burn::tensor::{DType, Device, Distribution, Int, Tensor};
use divan::Bencher;
use kiln_loss::aggregate::{BagLoss, BagLossConfig, BagLossKind, BagSystem};
use kiln_loss::{ClassificationLoss, CrossEntropyLoss, RegressionLoss};

const ROWS: usize = 4096;
const BAG_SIZE: usize = 8;
const CLASSES: usize = 10;
const RHOS: [f64; 8] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0];

fn main() {
    divan::main();
}

fn random(rows: usize, columns: usize) -> Tensor<2> {
    let device = Device::flex().autodiff();
    device.seed(7);
    Tensor::random([rows, columns], Distribution::Normal(0.0, 1.0), &device)
}

fn loss(kind: BagLossKind) -> BagLoss {
    BagLossConfig::new().with_kind(kind).init().expect("the defaults are in range")
}

fn bag_of_row(device: &Device) -> Tensor<1, Int> {
    let bags: Vec<i64> = (0..ROWS).map(|row| (row / BAG_SIZE) as i64).collect();
    Tensor::from_data(bags.as_slice(), device)
}

fn backward(bencher: Bencher<'_, '_>, width: usize, loss: impl Fn(Tensor<2>) -> Tensor<1>) {
    let predictions = random(ROWS, width).require_grad();
    bencher.bench_local(|| predictions.grad(&loss(predictions.clone()).backward()));
}

#[divan::bench]
fn mean_squared_error(bencher: Bencher<'_, '_>) {
    let targets = random(ROWS, 1);
    backward(bencher, 1, |predictions| RegressionLoss::Mse.forward(predictions, targets.clone()));
}

#[divan::bench]
fn squared_on_bags(bencher: Bencher<'_, '_>) {
    let (responses, loss) = (random(ROWS / BAG_SIZE, 1), loss(BagLossKind::Squared));
    let bag_of_row = bag_of_row(&responses.device());
    backward(bencher, 1, |predictions| loss.forward(predictions, bag_of_row.clone(), responses.clone()));
}

#[divan::bench]
fn squared_on_uniform_bags(bencher: Bencher<'_, '_>) {
    let (responses, loss) = (random(ROWS / BAG_SIZE, 1), loss(BagLossKind::Squared));
    backward(bencher, 1, |predictions| {
        loss.forward_uniform(predictions.reshape([ROWS / BAG_SIZE, BAG_SIZE, 1]), responses.clone())
    });
}

#[divan::bench]
fn cross_entropy(bencher: Bencher<'_, '_>) {
    let classes: Vec<i64> = (0..ROWS).map(|row| (row * 7 % CLASSES) as i64).collect();
    let targets = Tensor::<1, Int>::from_data(classes.as_slice(), &Device::flex().autodiff());
    let loss = CrossEntropyLoss::default();
    backward(bencher, CLASSES, |logits| loss.forward(logits, targets.clone()));
}

#[divan::bench]
fn proportions_of_bags(bencher: Bencher<'_, '_>) {
    let loss = loss(BagLossKind::CrossEntropy);
    let responses = Tensor::full([ROWS / BAG_SIZE, CLASSES], 1.0 / CLASSES as f64, &Device::flex().autodiff());
    let bag_of_row = bag_of_row(&responses.device());
    backward(bencher, CLASSES, |logits| loss.forward(logits, bag_of_row.clone(), responses.clone()));
}

#[divan::bench(args = [50, 150])]
fn linear_path(bencher: Bencher<'_, '_>, features: usize) {
    let (x, y, bags) = problem(features);
    bencher.bench_local(|| {
        BagSystem::new(x.clone(), &bags, y.clone())
            .and_then(|system| system.path(&RHOS, 0.0))
            .expect("it is well posed")
    });
}

#[divan::bench(args = [50, 150])]
fn linear_one_by_one(bencher: Bencher<'_, '_>, features: usize) {
    let (x, y, bags) = problem(features);
    bencher.bench_local(|| {
        let system = BagSystem::new(x.clone(), &bags, y.clone()).expect("the bags are whole");
        RHOS.map(|rho| system.solve(rho, 0.0).expect("it is well posed"))
    });
}

fn problem(features: usize) -> (Tensor<2>, Tensor<2>, Vec<usize>) {
    let of_double = |tensor: Tensor<2>| tensor.inner().cast(DType::F64);
    let bags = (0..ROWS).map(|row| row / BAG_SIZE).collect();
    (of_double(random(ROWS, features)), of_double(random(ROWS / BAG_SIZE, 1)), bags)
}
