//! Kernels made in different ways are equal.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};
use kiln_autodiff::ntk::{
    Examples, KernelSpectrum, NtkConfig, NtkError, NtkOperator, NtkOutputs, Recorder, empirical_ntk,
    empirical_ntk_by_jacobians,
};
use kiln_autodiff::spectrum::sharpness;
use kiln_autodiff::{Arithmetic, Duals, LinearOperator, Number, Numbers, Values};
use kiln_check::{assert_close, assert_near, values};

use crate::double_precision::{double, options, tensor};
use crate::networks::{Convnet, Perceptron, Sequence, tokens};

const SELECTIONS: [NtkOutputs; 3] = [NtkOutputs::Trace, NtkOutputs::All, NtkOutputs::One(1)];

/// Recorded kernels, for one batch and for two, against those of Jacobians.
fn both_ways<M: Module, I: Examples>(
    module: &M,
    recorded: impl Fn(&M, &Recorder, I) -> Tensor<2>,
    plain: impl Fn(&M, I) -> Tensor<2>,
    left: &I,
    right: &I,
) {
    for outputs in SELECTIONS {
        let config = NtkConfig::new().with_outputs(outputs);
        for right in [Some(right), None] {
            let expected = empirical_ntk_by_jacobians(module, &plain, left, right, &config).unwrap();
            let found = empirical_ntk(module, &recorded, left, right, &config).unwrap();
            assert_eq!(found.dims(), expected.dims());
            assert_close(&values(&found), &values(&expected), 1e-10);
        }
    }
}

#[test]
fn of_a_perceptron() {
    let net = Perceptron::new(false);
    let (left, right) = (tensor([5, 4], 1), tensor([3, 4], 2));
    let plain = |net: &Perceptron, x: Tensor<2>| net.forward_in(&Values, x);
    both_ways(&net, |net: &Perceptron, numbers: &Recorder, x| net.forward_in(numbers, x), plain, &left, &right);
}

#[test]
fn of_a_layer_that_is_used_twice() {
    let net = Perceptron::new(true);
    let (left, right) = (tensor([4, 4], 3), tensor([3, 4], 4));
    let plain = |net: &Perceptron, x: Tensor<2>| net.forward_in(&Values, x);
    both_ways(&net, |net: &Perceptron, numbers: &Recorder, x| net.forward_in(numbers, x), plain, &left, &right);
}

#[derive(Module, Debug)]
struct Tied {
    first: Linear,
    second: Linear,
}

#[test]
fn of_a_weight_that_the_module_holds_twice() {
    let first = double(LinearConfig::new(4, 4).with_bias(false).init(&Device::flex()));
    let tied = Tied { first: first.clone(), second: first.clone() };
    let inputs = tensor([4, 4], 14);
    let two = |net: &Tied, numbers: &Recorder, x: Tensor<2>| {
        numbers.linear(&net.second, numbers.tanh(numbers.linear(&net.first, x)))
    };
    let one = |net: &Linear, x: Tensor<2>| net.forward(net.forward(x).tanh());
    let expected = empirical_ntk_by_jacobians(&first, one, &inputs, None, &NtkConfig::new()).unwrap();
    let found = empirical_ntk(&tied, two, &inputs, None, &NtkConfig::new()).unwrap();
    assert_close(&values(&found), &values(&expected), 1e-12);
    // Products take the gradient of the whole module.
    let in_duals = |net: &Tied, numbers: &Duals, x: Tensor<2>| {
        let hidden = numbers.tanh(numbers.linear(&net.first, numbers.constant(x)));
        numbers.linear(&net.second, hidden)
    };
    let all = NtkConfig::new().with_outputs(NtkOutputs::All);
    let matrix = empirical_ntk_by_jacobians(&first, one, &inputs, None, &all).unwrap();
    let operator = NtkOperator::symmetric(&tied, in_duals, &inputs).unwrap();
    let vector = tensor([4, 4], 15);
    let product = operator.product(vector.clone()).unwrap();
    assert_close(&values(&product), &values(&matrix.matmul(vector.reshape([16, 1]))), 1e-12);
}

#[test]
fn of_convolutions_with_strides_padding_dilation_groups_and_batch_norm() {
    for pools in [false, true] {
        let net = Convnet::new(pools);
        let (left, right) = (tensor([3, 2, 6, 6], 5), tensor([2, 2, 6, 6], 6));
        let plain = |net: &Convnet, x: Tensor<4>| net.forward_in(&Values, x);
        both_ways(&net, |net: &Convnet, numbers: &Recorder, x| net.forward_in(numbers, x), plain, &left, &right);
    }
}

#[test]
fn of_tokens_through_an_embedding_norms_and_dense_layers_at_every_position() {
    let net = Sequence::new();
    let (left, right) = (tokens(4, 6, 1), tokens(3, 6, 3));
    // Burn's own RMS norm takes a root in single precision; dual numbers do not.
    let plain = |net: &Sequence, x: Tensor<2, Int>| net.forward_in(&Duals::new(), x).value();
    both_ways(&net, |net: &Sequence, numbers: &Recorder, x| net.forward_in(numbers, x), plain, &left, &right);
}

#[test]
fn of_rows_that_are_not_examples() {
    // Positions and examples in one axis, and the heads of a network in front of its examples.
    let net = Perceptron::new(false);
    let flat = |net: &Perceptron, numbers: &Recorder, x: Tensor<3>| {
        let [examples, positions, inputs] = x.dims();
        let rows = net.forward_in(numbers, x.reshape([examples * positions, inputs]));
        rows.reshape([examples, positions * 3])
    };
    let plain = |net: &Perceptron, x: Tensor<3>| {
        let [examples, positions, inputs] = x.dims();
        net.forward_in(&Values, x.reshape([examples * positions, inputs])).reshape([examples, positions * 3])
    };
    both_ways(&net, flat, plain, &tensor([3, 2, 4], 7), &tensor([2, 2, 4], 8));
}

#[test]
fn the_kernel_of_a_batch_with_itself_is_symmetric_and_positive_semidefinite() {
    let net = Convnet::new(true);
    let inputs = tensor([5, 2, 6, 6], 9);
    let network = |net: &Convnet, numbers: &Recorder, x| net.forward_in(numbers, x);
    let config = NtkConfig::new().with_outputs(NtkOutputs::All);
    let alone = empirical_ntk(&net, network, &inputs, None, &config).unwrap();
    assert_close(&values(&alone), &values(&alone.clone().transpose()), 1e-14);
    let pair = empirical_ntk(&net, network, &inputs, Some(&inputs), &config).unwrap();
    assert_close(&values(&alone), &values(&pair), 1e-13);
    let spectrum = KernelSpectrum::of(alone).unwrap();
    assert!(spectrum.values().iter().all(|&value| value >= 0.0));
    // The trace is that of all blocks.
    let trace = empirical_ntk(&net, network, &inputs, None, &NtkConfig::new()).unwrap();
    let blocks = values(&pair);
    let entry = |i: usize, j: usize| (0..2).map(|output| blocks[(2 * i + output) * 10 + 2 * j + output]).sum::<f64>();
    let expected: Vec<f64> = (0..25).map(|index| entry(index / 5, index % 5)).collect();
    assert_close(&values(&trace), &expected, 1e-13);
}

#[test]
fn blocks_give_the_whole_within_any_limit() {
    let net = Sequence::new();
    let (left, right) = (tokens(7, 6, 1), tokens(5, 6, 3));
    let recorded = |net: &Sequence, numbers: &Recorder, x| net.forward_in(numbers, x);
    let plain = |net: &Sequence, x: Tensor<2, Int>| net.forward_in(&Values, x);
    for outputs in SELECTIONS {
        let config = NtkConfig::new().with_outputs(outputs);
        for right in [Some(&right), None] {
            let whole = empirical_ntk(&net, recorded, &left, right, &config).unwrap();
            let whole_by_rows = empirical_ntk_by_jacobians(&net, plain, &left, right, &config).unwrap();
            let least = |kernel: &dyn Fn(&NtkConfig) -> Result<Tensor<2>, NtkError>| match kernel(
                &config.clone().with_memory_limit(1),
            ) {
                Err(NtkError::MemoryLimit { needed, limit: 1 }) => needed,
                other => panic!("a limit of one byte gave {other:?}"),
            };
            let by_layers = |config: &NtkConfig| empirical_ntk(&net, recorded, &left, right, config);
            let by_rows = |config: &NtkConfig| empirical_ntk_by_jacobians(&net, plain, &left, right, config);
            for factor in [1.0, 1.7, 2.9, 4.2, 20.0] {
                let config_of = |least: u64| config.clone().with_memory_limit((least as f64 * factor) as u64);
                let blocked = by_layers(&config_of(least(&by_layers))).unwrap();
                assert_close(&values(&blocked), &values(&whole), 1e-12);
                let blocked = by_rows(&config_of(least(&by_rows))).unwrap();
                assert_close(&values(&blocked), &values(&whole_by_rows), 1e-12);
            }
            let short = least(&by_layers) - 1;
            assert!(by_layers(&config.clone().with_memory_limit(short)).is_err());
        }
    }
}

fn in_duals(net: &Convnet, numbers: &Duals, x: Tensor<4>) -> Number<2> {
    net.forward_in(numbers, numbers.constant(x))
}

#[test]
fn products_are_those_of_the_matrix() {
    let net = Convnet::new(false);
    let (left, right) = (tensor([4, 2, 6, 6], 10), tensor([3, 2, 6, 6], 11));
    let recorded = |net: &Convnet, numbers: &Recorder, x| net.forward_in(numbers, x);
    let config = NtkConfig::new().with_outputs(NtkOutputs::All);
    let kernel = empirical_ntk(&net, recorded, &left, Some(&right), &config).unwrap();
    let vector = tensor([3, 2], 12);
    let expected = kernel.matmul(vector.clone().reshape([6, 1]));
    for batch_size in [1, 2, 100] {
        let operator = NtkOperator::between(&net, in_duals, &left, &right).unwrap().with_batch_size(batch_size);
        let product = operator.product(vector.clone()).unwrap();
        assert_eq!(product.dims(), [4, 2]);
        assert_close(&values(&product), &values(&expected), 1e-12);
    }
}

#[test]
fn the_largest_eigenvalue_is_found_without_the_matrix() {
    let net = Convnet::new(false);
    let inputs = tensor([4, 2, 6, 6], 13);
    let recorded = |net: &Convnet, numbers: &Recorder, x| net.forward_in(numbers, x);
    let config = NtkConfig::new().with_outputs(NtkOutputs::All);
    let kernel = empirical_ntk(&net, recorded, &inputs, None, &config).unwrap();
    let operator = NtkOperator::symmetric(&net, in_duals, &inputs).unwrap();
    assert_eq!(operator.dimension(), 8);
    let largest = KernelSpectrum::of(kernel).unwrap().values()[0];
    assert_near(sharpness(&operator, 1e-6, options()).unwrap(), largest, 1e-8);
}
