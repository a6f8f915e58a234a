//! Empirical tangent kernels of 256 x 256 examples, summed over 10 outputs: what `peers/autodiff/ntk.py` does.

use burn::tensor::{DType, Tensor};
use kiln::autodiff::ntk::{NtkConfig, NtkOutputs, Recorder, empirical_ntk};
use serde_json::{Value, json};

use crate::measure::{Bench, Outcome, clock};
use crate::networks::{Convnet, Perceptron, values as entries};

const EXAMPLES: usize = 256;
const WIDTHS: [usize; 4] = [64, 128, 128, 10];

/// The cases.
pub fn bench() -> Bench {
    Bench::new("autodiff/ntk", values)
        .case("mlp-256x256", 1, || {
            let net = Perceptron::new(&WIDTHS, DType::F32);
            let [left, right] = [100, 101].map(|seed| entries([EXAMPLES, 64], 1.0, seed, DType::F32));
            Ok(move || Ok(clock(|| of_perceptron(&net, &left, &right, NtkOutputs::Trace))))
        })
        .case("convnet-256x256", 1, || {
            let net = Convnet::new(DType::F32);
            let [left, right] = [100, 101].map(|seed| entries([EXAMPLES, 1, 16, 16], 1.0, seed, DType::F32));
            Ok(move || Ok(clock(|| of_convnet(&net, &left, &right, NtkOutputs::Trace))))
        })
}

fn of_perceptron(net: &Perceptron, left: &Tensor<2>, right: &Tensor<2>, outputs: NtkOutputs) -> Outcome<Tensor<2>> {
    let network = |net: &Perceptron, numbers: &Recorder, x| net.forward_in(numbers, x);
    Ok(empirical_ntk(net, network, left, Some(right), &NtkConfig::new().with_outputs(outputs))?)
}

fn of_convnet(net: &Convnet, left: &Tensor<4>, right: &Tensor<4>, outputs: NtkOutputs) -> Outcome<Tensor<2>> {
    let network = |net: &Convnet, numbers: &Recorder, x| net.forward_in(numbers, x);
    Ok(empirical_ntk(net, network, left, Some(right), &NtkConfig::new().with_outputs(outputs))?)
}

fn values() -> Outcome<Value> {
    let (perceptron, convnet) = (Perceptron::new(&WIDTHS, DType::F64), Convnet::new(DType::F64));
    let vectors = [(100, 4), (101, 3)].map(|(seed, count)| entries([count, 64], 1.0, seed, DType::F64));
    let images = [(100, 4), (101, 3)].map(|(seed, count)| entries([count, 1, 16, 16], 1.0, seed, DType::F64));
    let read = |kernel: Tensor<2>| -> Outcome<Vec<f64>> {
        Ok(kernel.try_into_vec_as().map_err(|error| format!("{error:?}"))?)
    };
    Ok(json!({
        "mlp trace": read(of_perceptron(&perceptron, &vectors[0], &vectors[1], NtkOutputs::Trace)?)?,
        "mlp all": read(of_perceptron(&perceptron, &vectors[0], &vectors[1], NtkOutputs::All)?)?,
        "convnet trace": read(of_convnet(&convnet, &images[0], &images[1], NtkOutputs::Trace)?)?,
        "convnet all": read(of_convnet(&convnet, &images[0], &images[1], NtkOutputs::All)?)?,
    }))
}
