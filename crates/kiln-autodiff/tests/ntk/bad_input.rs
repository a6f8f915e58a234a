//! What is refused, and how.

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::tensor::{Device, Tensor};
use kiln_autodiff::ntk::{
    FlowTime, GradientFlow, KernelSpectrum, NtkConfig, NtkError, NtkOperator, NtkOutputs, Recorder, centred_alignment,
    empirical_ntk, empirical_ntk_by_jacobians,
};
use kiln_autodiff::{Arithmetic, Duals, Numbers, NumericalError, Values};

use crate::closed_forms::{column, matrix};
use crate::double_precision::tensor;
use crate::networks::Perceptron;

fn kernels(left: &Tensor<2>, right: Option<&Tensor<2>>, config: &NtkConfig) -> [Result<Tensor<2>, NtkError>; 2] {
    let net = Perceptron::new(false);
    let recorded = |net: &Perceptron, numbers: &Recorder, x| net.forward_in(numbers, x);
    let plain = |net: &Perceptron, x: Tensor<2>| net.forward_in(&Values, x);
    [empirical_ntk(&net, recorded, left, right, config), empirical_ntk_by_jacobians(&net, plain, left, right, config)]
}

fn refusals(left: &Tensor<2>, right: Option<&Tensor<2>>, config: &NtkConfig) -> NtkError {
    let [recorded, by_jacobians] = kernels(left, right, config).map(Result::unwrap_err);
    assert_eq!(recorded, by_jacobians);
    recorded
}

#[test]
fn batches_that_are_empty_or_differ_in_shape() {
    let config = NtkConfig::new();
    let (good, empty) = (tensor([3, 4], 1), Tensor::<2>::zeros([0, 4], crate::double_precision::options()));
    assert_eq!(refusals(&empty, None, &config), NtkError::Empty { batch: "left" });
    assert_eq!(refusals(&good, Some(&empty), &config), NtkError::Empty { batch: "right" });
    let different = NtkError::DifferentExamples { left: vec![4], right: vec![5] };
    assert_eq!(refusals(&good, Some(&tensor([3, 5], 2)), &config), different);
    assert!(different.to_string().contains("[4] on the left and [5] on the right"), "{different}");
}

#[test]
fn outputs_that_do_not_exist_or_are_no_rows() {
    let config = NtkConfig::new().with_outputs(NtkOutputs::One(3));
    let refused = refusals(&tensor([3, 4], 1), None, &config);
    assert_eq!(refused, NtkError::NoSuchOutput { output: 3, outputs: 3 });
    assert!(refused.to_string().ends_with("the outputs 0 to 2"), "{refused}");
    let net = Perceptron::new(false);
    let transposed = |net: &Perceptron, numbers: &Recorder, x| net.forward_in(numbers, x).transpose();
    let refused = empirical_ntk(&net, transposed, &tensor([3, 4], 1), None, &NtkConfig::new()).unwrap_err();
    assert_eq!(refused, NtkError::Outputs { examples: 1, found: [3, 1] });
}

#[test]
fn values_that_are_not_finite_with_their_examples() {
    let config = NtkConfig::new();
    let good = tensor([3, 4], 1);
    let bad = good.clone().slice_fill([1..2, 0..1], f64::NAN);
    let refused = refusals(&good, Some(&bad), &config);
    assert_eq!(refused, NtkError::NotFinite { what: "the outputs", batch: "right", first: 0, last: 2 });
    let first = good.clone().slice_fill([0..1, 0..1], f64::INFINITY) * 0.0;
    let refused = refusals(&first, Some(&good), &config);
    assert_eq!(refused, NtkError::NotFinite { what: "the outputs", batch: "left", first: 0, last: 0 });
    // A finite root with an infinite slope.
    let layer = LinearConfig::new(2, 1).with_bias(false).init(&Device::flex());
    let root = |layer: &burn::nn::Linear, x: Tensor<2>| layer.forward(x).sqrt();
    let zeros = Tensor::<2>::zeros([2, 2], &Device::flex());
    let refused = empirical_ntk_by_jacobians(&layer, root, &zeros, None, &config).unwrap_err();
    assert_eq!(refused, NtkError::NotFinite { what: "the derivatives", batch: "left", first: 0, last: 1 });
}

#[test]
fn a_memory_limit_that_one_example_exceeds() {
    let config = NtkConfig::new().with_memory_limit(1000);
    let [recorded, by_jacobians] = kernels(&tensor([3, 4], 1), None, &config).map(Result::unwrap_err);
    // Two rows, one of them twice, of 4 * 6 + 6 + 6 * 6 + 6 + 6 * 3 + 3 = 93 derivatives, and three numbers of the kernel.
    assert_eq!(by_jacobians, NtkError::MemoryLimit { needed: 8 * (3 * 93 + 3), limit: 1000 });
    assert!(by_jacobians.to_string().contains("takes 2256 bytes, the memory limit is 1000 bytes"), "{by_jacobians}");
    assert!(matches!(recorded, NtkError::MemoryLimit { needed: 1001.., limit: 1000 }), "{recorded}");
}

#[test]
fn networks_that_change_with_their_batch() {
    let net = Perceptron::new(false);
    let config = NtkConfig::new();
    let changing = |net: &Perceptron, numbers: &Recorder, x: Tensor<2>| {
        let outputs = net.forward_in(numbers, x.clone());
        if x.dims()[0] > 2 { outputs.clone() + net.forward_in(numbers, x) } else { outputs }
    };
    let refused = empirical_ntk(&net, changing, &tensor([3, 4], 1), None, &config).unwrap_err();
    assert_eq!(refused, NtkError::ChangingNetwork { planned: 3, found: 6 });
    #[derive(Module, Debug)]
    struct Nothing {}
    let identity = |_: &Nothing, _: &Recorder, x: Tensor<2>| x;
    let refused = empirical_ntk(&Nothing {}, identity, &tensor([3, 4], 1), None, &config).unwrap_err();
    assert_eq!(refused, NtkError::NoParameters);
}

#[test]
fn vectors_that_do_not_fit_an_operator() {
    let layer = LinearConfig::new(4, 2).init(&Device::flex());
    let network = |layer: &burn::nn::Linear, numbers: &Duals, x| numbers.linear(layer, numbers.constant(x));
    let inputs = Tensor::<2>::ones([3, 4], &Device::flex());
    let operator = NtkOperator::symmetric(&layer, network, &inputs).unwrap();
    let refused = operator.product(Tensor::ones([2, 3], &Device::flex())).unwrap_err();
    assert_eq!(refused, NtkError::Vector { found: [2, 3], expected: [3, 2] });
}

#[test]
fn kernels_that_are_none() {
    let refused = |rows: &Tensor<2>| KernelSpectrum::of(rows.clone()).unwrap_err();
    assert!(matches!(refused(&matrix(&[[1.0, 2.0]])), NumericalError::Shape { .. }));
    assert!(matches!(refused(&Tensor::<2>::zeros([0, 0], &Device::flex())), NumericalError::Shape { .. }));
    assert!(matches!(refused(&matrix(&[[1.0, 2.0], [0.0, 1.0]])), NumericalError::NotSymmetric { .. }));
    assert!(matches!(refused(&matrix(&[[1.0, f64::NAN], [f64::NAN, 1.0]])), NumericalError::NotFinite { .. }));
    let indefinite = refused(&matrix(&[[0.0, 2.0], [2.0, 0.0]]));
    assert!(indefinite.to_string().contains("go from -2.000e0 to 2.000e0"), "{indefinite}");
    // Rounding below zero is no eigenvalue.
    let rounded = KernelSpectrum::of(matrix(&[[1.0, 0.0], [0.0, -1e-16]])).unwrap();
    assert_eq!(rounded.values()[1], 0.0);
}

#[test]
fn labels_without_variation() {
    let kernel = matrix(&[[2.0, 0.3], [0.3, 1.0]]);
    let refused = centred_alignment(kernel.clone(), column(&[0.1, 0.1])).unwrap_err();
    assert_eq!(refused, NumericalError::Constant { operation: "centred kernel alignment", what: "labels" });
    let refused = centred_alignment(kernel.ones_like(), column(&[0.1, 0.2])).unwrap_err();
    assert_eq!(refused.to_string(), "centred kernel alignment: a kernel without variation between the examples");
    assert!(matches!(centred_alignment(kernel, column(&[0.1, 0.2, 0.3])).unwrap_err(), NumericalError::Shape { .. }));
}

#[test]
fn flows_with_settings_out_of_range() {
    let kernel = matrix(&[[2.0, 0.0], [0.0, 1.0]]);
    let zeros = column(&[0.0, 0.0]);
    let flow = |rate: f64| GradientFlow::new(kernel.clone(), zeros.clone(), zeros.clone(), rate);
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(flow(rate).unwrap_err(), NumericalError::Setting { name: "rate", .. }));
    }
    let flow = flow(1.0).unwrap();
    for time in [-1.0, f64::NAN, f64::INFINITY] {
        let refused = flow.on_training_set(FlowTime::At(time)).unwrap_err();
        assert!(matches!(refused, NumericalError::Setting { name: "time", .. }), "{refused}");
    }
    let refused = flow.on_training_set(FlowTime::PseudoInverse { cutoff: 1.0 }).unwrap_err();
    assert!(matches!(refused, NumericalError::Setting { name: "cutoff", .. }), "{refused}");
    let three = column(&[0.0, 0.0, 0.0]);
    for (initial, targets) in [(&three, &zeros), (&three, &three)] {
        let refused = GradientFlow::new(kernel.clone(), initial.clone(), targets.clone(), 1.0).unwrap_err();
        assert!(matches!(refused, NumericalError::Shape { .. }), "{refused}");
    }
    let refused = flow.on(three.clone().transpose(), column(&[0.0]), FlowTime::At(1.0)).unwrap_err();
    assert!(refused.to_string().contains("cross kernel of shape [1, 3], but [1, 2]"), "{refused}");
}
