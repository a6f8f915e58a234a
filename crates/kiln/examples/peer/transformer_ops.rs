//! The operations that transformers are made of: what `peers/kernels/transformer_ops.py` does.

use std::time::Duration;

use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{DType, Device, Tensor};
use kiln::autodiff::{Arithmetic, Function, Numbers, Values};
use serde_json::{Map, Value, json};

use crate::measure::{Bench, Outcome, clock};
use crate::networks::values as noise_tensor;

/// The cases.
pub fn bench() -> Bench {
    let mut bench = Bench::new("kernels/transformer_ops", values);
    bench = bench.case("exp-1000000", 1, || {
        let x = tensor([1_000_000], 0);
        Ok(move || Ok(clock(|| Values.exp(x.clone()))))
    });
    for shape in [[3136, 128], [2080, 768]] {
        for (name, function) in ACTIVATIONS {
            bench = bench.case(sized(name, shape), 1, move || both_ways(shape, move |x| Values.apply(&function, x)));
        }
    }
    for shape in [[12544, 49], [6240, 65]] {
        bench = bench.case(sized("softmax", shape), 1, move || both_ways(shape, |x| Values.softmax(x, 1)));
        bench = bench.case(sized("log-softmax", shape), 1, move || both_ways(shape, |x| Values.log_softmax(x, 1)));
    }
    for shape in [[3136, 64], [2080, 192]] {
        bench = bench.case(sized("layer-norm", shape), 1, move || {
            let norm = norm(shape[1]);
            both_ways(shape, move |x| Values.layer_norm(&norm, x))
        });
    }
    for [batch_size, len, heads, width] in [[64, 49, 4, 16], [32, 65, 3, 64], [1, 2048, 4, 64]] {
        for (is_causal, suffix) in [(false, ""), (true, "-causal")] {
            let name = format!("attention-{batch_size}x{len}x{heads}x{width}{suffix}");
            let shape = [batch_size, len, 3 * heads * width];
            bench =
                bench.case(name, 1, move || both_ways(shape, move |qkv| Values.self_attention(qkv, heads, is_causal)));
        }
    }
    bench
}

const ACTIVATIONS: [(&str, Function); 3] =
    [("gelu", Function::Gelu), ("gelu-tanh", Function::GeluTanh), ("silu", Function::Silu)];

fn sized(name: &str, [rows, width]: [usize; 2]) -> String {
    format!("{name}-{rows}x{width}")
}

fn tensor<const D: usize>(dims: [usize; D], seed: u64) -> Tensor<D> {
    noise_tensor(dims, 2.0, seed, DType::F32)
}

fn norm(width: usize) -> LayerNorm {
    let mut norm = LayerNormConfig::new(width).init(&Device::flex().autodiff());
    norm.gamma = Param::from_tensor(tensor([width], 1).autodiff().require_grad());
    norm.beta = Some(Param::from_tensor(tensor([width], 2).autodiff().require_grad()));
    norm
}

/// Forward and backward of a function of one tensor.
fn both_ways<const D: usize>(
    dims: [usize; D],
    function: impl Fn(Tensor<D>) -> Tensor<D>,
) -> Outcome<impl FnMut() -> Outcome<Duration>> {
    let x = tensor(dims, 0).autodiff().require_grad();
    Ok(move || Ok(clock(|| x.grad(&function(x.clone()).backward()))))
}

fn values() -> Outcome<Value> {
    let mut found = Map::new();
    for (name, function) in ACTIVATIONS {
        found.insert(name.into(), outcome([7, 5], &[], |x| Values.apply(&function, x))?);
    }
    found.insert("softmax".into(), outcome([3, 21], &[], |x| Values.softmax(x, 1))?);
    found.insert("log-softmax".into(), outcome([3, 21], &[], |x| Values.log_softmax(x, 1))?);
    let norm = norm(19);
    let parameters: Vec<Tensor<1>> = [&norm.gamma].into_iter().chain(&norm.beta).map(Param::val).collect();
    found.insert("layer-norm".into(), outcome([5, 19], &parameters, |x| Values.layer_norm(&norm, x))?);
    for (is_causal, name) in [(false, "attention"), (true, "attention-causal")] {
        found.insert(name.into(), outcome([2, 9, 30], &[], |qkv| Values.self_attention(qkv, 2, is_causal))?);
    }
    Ok(found.into())
}

/// Output, and gradients for an upstream gradient that is the output.
fn outcome<const D: usize>(
    dims: [usize; D],
    parameters: &[Tensor<1>],
    function: impl Fn(Tensor<D>) -> Tensor<D>,
) -> Outcome<Value> {
    let x = tensor(dims, 0).autodiff().require_grad();
    let output = function(x.clone());
    // The slope of half the square is the output itself.
    let gradients = (output.clone().square() * 0.5).sum().backward();
    let missing = || "a gradient is missing".to_string();
    let mut found = vec![numbers(x.grad(&gradients).ok_or_else(missing)?)];
    for parameter in parameters {
        found.push(numbers(parameter.grad(&gradients).ok_or_else(missing)?));
    }
    Ok(json!({ "output": numbers(output), "gradients": found }))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
