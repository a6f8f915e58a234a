//! Output layers over many classes, and the dense spherical losses: what `peers/loss/z_loss.py` does.

use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use kiln::loss::{
    ClassificationLoss, FactoredSphericalConfig, LogSoftmaxLayerConfig, SphericalLoss, SphericalSoftmaxLossConfig,
    SquaredSphericalLossConfig, TaylorSoftmaxLossConfig, ZLossConfig,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::measure::{Bench, Outcome, clock, wave};

const HIDDEN: usize = 256;
const BATCH_SIZE: usize = 128;
/// Stabilisation comes every 100 steps and recomputation every 1000: a measurement has its share of both.
const LAYER_STEPS: u32 = 1000;

/// The cases.
pub fn bench() -> Bench {
    let mut bench = Bench::new("loss/z_loss", values);
    for num_classes in [10_000, 100_000, 200_000, 1_000_000] {
        bench = bench.case(format!("factored-{num_classes}"), LAYER_STEPS, move || {
            let (hidden, targets) = hidden_and_targets(num_classes);
            let loss = ZLossConfig::new().init()?;
            let mut layer = FactoredSphericalConfig::new(HIDDEN, num_classes).init(1)?;
            Ok(move || {
                let hidden = hidden.clone().require_grad();
                let mut step = None;
                let duration = clock(|| {
                    let out = layer.step(hidden, &targets, &loss, 0.01);
                    step = Some(out.map(|out| out.surrogate.backward()));
                });
                step.transpose()?;
                Ok(duration)
            })
        });
    }
    for num_classes in [10_000, 100_000, 200_000, 1_000_000] {
        bench = bench.case(format!("log-softmax-{num_classes}"), 1, move || {
            let (hidden, targets) = hidden_and_targets(num_classes);
            let mut layer = LogSoftmaxLayerConfig::new(HIDDEN, num_classes).init(1)?;
            Ok(move || {
                let hidden = hidden.clone().require_grad();
                let mut step = None;
                let duration = clock(|| {
                    let out = layer.step(hidden, &targets, 0.01);
                    step = Some(out.map(|out| out.surrogate.backward()));
                });
                step.transpose()?;
                Ok(duration)
            })
        });
    }
    for (batch_size, num_classes) in [(256, 1000), (1024, 10)] {
        for name in ["z-loss", "spherical-softmax", "taylor-softmax", "squared-error"] {
            bench = bench.case(format!("{name}-{batch_size}x{num_classes}"), 1, move || {
                let device = Device::flex().autodiff();
                let logits = Tensor::<2>::random([batch_size, num_classes], Distribution::Normal(0.0, 1.0), &device);
                let targets: Vec<i64> = (0..batch_size).map(|row| (row * 7 % num_classes) as i64).collect();
                let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [batch_size]), &device);
                let (_, loss, _) =
                    family()?.into_iter().rfind(|(member, ..)| member.starts_with(name)).ok_or("no such loss")?;
                Ok(move || {
                    let logits = logits.clone().detach().require_grad();
                    Ok(clock(|| logits.grad(&loss.forward(logits.clone(), targets.clone()).backward())))
                })
            });
        }
    }
    bench
}

/// Normal hidden vectors in the graph, and targets that follow a Zipf law.
fn hidden_and_targets(num_classes: usize) -> (Tensor<2>, Vec<usize>) {
    let device = Device::flex().autodiff();
    let hidden = Tensor::random([BATCH_SIZE, HIDDEN], Distribution::Normal(0.0, 1.0), &device);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let zipf = |uniform: f64| ((num_classes as f64).powf(uniform) - 1.0) as usize;
    let targets = (0..BATCH_SIZE).map(|_| zipf(random.random()).min(num_classes - 1)).collect();
    (hidden, targets)
}

/// A member of the family under the name that the script gives it, as an ordinary loss and as one for the factored layer.
type Member = (&'static str, Box<dyn ClassificationLoss>, Box<dyn SphericalLoss>);

fn family() -> Outcome<Vec<Member>> {
    let z_loss = |sharpness: f64, margin: f64| ZLossConfig::new().with_sharpness(sharpness).with_margin(margin).init();
    let (sharp, middle, broad) = (z_loss(1.0, 0.0)?, z_loss(0.5, 2.0)?, z_loss(0.1, 10.0)?);
    let spherical = SphericalSoftmaxLossConfig::new().with_eps(1e-3).init()?;
    let taylor = TaylorSoftmaxLossConfig::new().init()?;
    let squared = SquaredSphericalLossConfig::new().init()?;
    Ok(vec![
        ("z-loss a=1 b=0", Box::new(sharp), Box::new(sharp)),
        ("z-loss a=0.5 b=2", Box::new(middle), Box::new(middle)),
        ("z-loss a=0.1 b=10", Box::new(broad), Box::new(broad)),
        ("spherical-softmax eps=0.001", Box::new(spherical), Box::new(spherical)),
        ("taylor-softmax", Box::new(taylor), Box::new(taylor)),
        ("squared-error", Box::new(squared), Box::new(squared)),
    ])
}

fn values() -> Outcome<Value> {
    let inputs = [
        ("worked c=3", vec![1.0, 2.0, 3.0, 4.0], [1, 4], vec![3_i64]),
        ("worked c=0", vec![1.0, 2.0, 3.0, 4.0], [1, 4], vec![0]),
        ("waves", wave(48, 2.0, 0.37, 0.0), [4, 12], vec![0, 5, 5, 11]),
    ];
    let mut answer = Map::new();
    for (name, logits, shape, targets) in &inputs {
        for (member, loss, _) in family()? {
            let logits = double(logits.clone(), *shape).require_grad();
            let targets = Tensor::<1, Int>::from_data(targets.as_slice(), &logits.device());
            let losses = loss.forward_no_reduction(logits.clone(), targets);
            let gradients = logits.grad(&losses.clone().sum().backward()).ok_or("no gradient")?;
            let group = json!({ "losses": numbers(losses)?, "gradients": rows(gradients)? });
            answer.insert(format!("{name}/{member}"), group);
        }
    }
    for (member, _, loss) in family()? {
        answer.insert(format!("layer/{member}"), layer_trajectory(loss.as_ref())?);
    }
    Ok(Value::Object(answer))
}

/// Five steps of the factored layer on the mean loss; weights and hidden vectors are waves.
fn layer_trajectory(loss: &dyn SphericalLoss) -> Outcome<Value> {
    let (num_classes, width, batch_size) = (20, 6, 3);
    let config = FactoredSphericalConfig::new(width, num_classes).with_bias(false);
    let mut layer = config.init_from_weights::<f64>(wave(num_classes * width, 0.5, 0.37, 0.0))?;
    let (mut losses, mut hidden_gradients) = (Vec::new(), Vec::new());
    for step in 0..5 {
        let hidden = double(wave(batch_size * width, 1.0, 0.9, step as f64), [batch_size, width]).require_grad();
        let target = |row: usize| if step == 2 { 4 } else { (7 * step + 3 * row) % num_classes };
        let targets: Vec<usize> = (0..batch_size).map(target).collect();
        let out = layer.step(hidden.clone(), &targets, loss, 0.05)?;
        losses.push(out.loss_mean);
        hidden_gradients.push(rows(hidden.grad(&out.surrogate.backward()).ok_or("no gradient")?)?);
    }
    let weights = layer.weight_rows(&(0..num_classes).collect::<Vec<_>>())?;
    Ok(json!({ "losses": losses, "hidden_gradients": hidden_gradients, "weights": weights }))
}

fn double(values: Vec<f64>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex().autodiff(), DType::F64))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Outcome<Vec<f64>> {
    tensor.try_into_vec_as::<f64>().map_err(|error| error.to_string().into())
}

fn rows(tensor: Tensor<2>) -> Outcome<Vec<Vec<f64>>> {
    let [_, width] = tensor.dims();
    Ok(numbers(tensor)?.chunks(width).map(<[f64]>::to_vec).collect())
}
