//! Comp-sum losses forward and backward, and adversarial training steps: what `peers/loss/comp_sum.py` does.

use std::time::Duration;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use kiln::data::{DataDir, OpenOptions, open};
use kiln::loss::ClassificationLoss;
use kiln::loss::adversarial::TradesLossConfig;
use kiln::loss::attack::PerturbationConfig;
use kiln::loss::comp_sum::{CompSumLossConfig, SmoothAdvCompSumConfig};
use kiln::nn::{Mlp, MlpConfig};
use serde_json::{Map, Value, json};

use crate::measure::{Bench, Outcome, clock, wave};

const EPSILON: f64 = 0.1;
const BATCH_SIZE: usize = 64;

/// The cases.
pub fn bench() -> Bench {
    let mut bench = Bench::new("loss/comp_sum", values);
    for (batch_size, num_classes) in [(128, 1000), (256, 1000), (1024, 10)] {
        for tau in [1.0, 1.5] {
            bench = bench.case(format!("comp-sum-{tau}-{batch_size}x{num_classes}"), 1, move || {
                let (logits, targets) = batch(batch_size, num_classes);
                let loss = CompSumLossConfig::new().with_tau(tau).init()?;
                Ok(move || {
                    let logits = logits.clone().detach().require_grad();
                    Ok(clock(|| logits.grad(&loss.forward(logits.clone(), targets.clone()).backward())))
                })
            });
        }
        bench = bench.case(format!("burn-cross-entropy-{batch_size}x{num_classes}"), 1, move || {
            let (logits, targets) = batch(batch_size, num_classes);
            let loss = CrossEntropyLossConfig::new().init(&logits.device());
            Ok(move || {
                let logits = logits.clone().detach().require_grad();
                Ok(clock(|| logits.grad(&loss.forward(logits.clone(), targets.clone()).backward())))
            })
        });
    }
    bench = bench.case("trades-digits", 1, || {
        let perturbation = PerturbationConfig::new().with_gamma(EPSILON).with_clip(Some((0.0, 1.0)));
        let loss = TradesLossConfig::new(perturbation).init()?;
        adversarial_step(move |network, frozen, inputs, targets, seed| {
            let (model, still) = (|x| network.forward(x), |x| frozen.forward(x));
            loss.forward(&model, &still, inputs, targets, seed).loss
        })
    });
    bench = bench.case("smooth-digits", 1, || {
        let loss = SmoothAdvCompSumConfig::new().with_gamma(EPSILON).with_clip(Some((0.0, 1.0))).init()?;
        adversarial_step(move |network, frozen, inputs, targets, seed| {
            let (model, still) = (|x| network.forward(x), |x| frozen.forward(x));
            loss.forward_frozen(&model, &still, inputs, targets, seed).loss
        })
    });
    bench
}

/// Inner attack, forward, backward and update of the digits network on its first batch. `objective` takes the network, the
/// same network without gradients, inputs, targets and a seed.
fn adversarial_step(
    objective: impl Fn(&Mlp, &Mlp, Tensor<2>, Tensor<1, Int>, u64) -> Tensor<1>,
) -> Outcome<impl FnMut() -> Outcome<Duration>> {
    let device = Device::flex().autodiff();
    let digits = open("digits", &DataDir::find(None), &OpenOptions::default())?.train;
    let (inputs, targets) = digits.batch(&(0..BATCH_SIZE).collect::<Vec<_>>(), &device);
    let network = MlpConfig::new(64, vec![256, 256], 10).init_seeded(1, &device)?;
    // Burn draws parameters when they are first read; `no_grad` on a copy made before would be `no_grad` on both.
    network.forward(inputs.clone());
    let mut network = Some(network);
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0).with_nesterov(true);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let mut seed = 0;
    Ok(move || {
        let before = network.take().ok_or("the network was lost")?;
        seed += 1;
        Ok(clock(|| {
            let frozen = before.clone().no_grad();
            let loss = objective(&before, &frozen, inputs.clone(), targets.clone(), seed);
            let gradients = GradientsParams::from_grads(loss.backward(), &before);
            network = Some(optimizer.step(0.01, before, gradients));
        }))
    })
}

fn batch(batch_size: usize, num_classes: usize) -> (Tensor<2>, Tensor<1, Int>) {
    let device = Device::flex().autodiff();
    let logits = Tensor::random([batch_size, num_classes], Distribution::Normal(0.0, 1.0), &device);
    let targets: Vec<i64> = (0..batch_size).map(|row| (row * 7 % num_classes) as i64).collect();
    (logits, Tensor::from_data(TensorData::new(targets, [batch_size]), &device))
}

fn values() -> Outcome<Value> {
    let taus = ["0.0", "0.5", "0.99999", "1.0", "1.00001", "1.5", "1.7", "2.0", "3.0"];
    let inputs = [
        ("worked", vec![2.0, 1.0, 0.5], [1, 3], vec![1_i64]),
        ("waves", wave(80, 3.0, 0.37, 0.0), [8, 10], (0..8).map(|row| row * 3 % 10).collect()),
        ("extreme", vec![20.0, -20.0, 0.0, -20.0, 20.0, 0.0], [2, 3], vec![0, 0]),
    ];
    let mut answer = Map::new();
    for (name, logits, shape, targets) in &inputs {
        for tau in taus {
            let device = Device::flex().autodiff();
            let logits = TensorData::new(logits.clone(), *shape);
            let logits = Tensor::<2>::from_data(logits, (&device, DType::F64)).require_grad();
            let targets = Tensor::<1, Int>::from_data(targets.as_slice(), &device);
            let loss = CompSumLossConfig::new().with_tau(tau.parse()?).init()?;
            let losses = loss.forward_no_reduction(logits.clone(), targets);
            let gradients = logits.grad(&losses.clone().sum().backward()).ok_or("no gradient")?;
            let gradients = numbers(gradients)?;
            let rows: Vec<&[f64]> = gradients.chunks(shape[1]).collect();
            answer.insert(format!("{name}/tau={tau}"), json!({ "losses": numbers(losses)?, "gradients": rows }));
        }
    }
    Ok(Value::Object(answer))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Outcome<Vec<f64>> {
    tensor.try_into_vec_as::<f64>().map_err(|error| error.to_string().into())
}
