//! Kernels that are known.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use kiln_autodiff::Numbers;
use kiln_autodiff::ntk::{
    KernelSpectrum, NtkConfig, NtkOutputs, Recorder, centred_alignment, empirical_ntk, empirical_ntk_by_jacobians,
};
use kiln_check::{assert_close, assert_near, values};

use crate::double_precision::{double, tensor};

#[derive(Module, Debug)]
struct TwoLayers {
    first: Linear,
    second: Linear,
}

impl TwoLayers {
    fn new(bias: bool) -> Self {
        let device = Device::flex();
        let first = LinearConfig::new(3, 5).with_bias(bias).init(&device);
        let second = LinearConfig::new(5, 1).with_bias(bias).init(&device);
        double(Self { first, second })
    }
}

fn linear(layer: &Linear, numbers: &Recorder, x: Tensor<2>) -> Tensor<2> {
    numbers.linear(layer, x)
}

#[test]
fn a_linear_model_has_the_kernel_of_its_inputs() {
    let layer = double(LinearConfig::new(3, 2).init(&Device::flex()));
    let (left, right) = (tensor([4, 3], 1), tensor([5, 3], 2));
    let one = values(&(left.clone().matmul(right.clone().transpose()) + 1.0));
    let kernel = |outputs| {
        let config = NtkConfig::new().with_outputs(outputs);
        empirical_ntk(&layer, linear, &left, Some(&right), &config).unwrap()
    };
    assert_close(&values(&kernel(NtkOutputs::One(1))), &one, 1e-14);
    let twice: Vec<f64> = one.iter().map(|value| 2.0 * value).collect();
    assert_close(&values(&kernel(NtkOutputs::Trace)), &twice, 1e-14);
    // Outputs do not share parameters: each pair of examples has a multiple of the identity.
    let all = kernel(NtkOutputs::All);
    assert_eq!(all.dims(), [8, 10]);
    let expected: Vec<f64> = (0..80)
        .map(|index| ((index / 10, index % 10), index))
        .map(|((row, column), _)| if row % 2 == column % 2 { one[row / 2 * 5 + column / 2] } else { 0.0 })
        .collect();
    assert_close(&values(&all), &expected, 1e-14);
}

#[test]
fn a_deep_linear_network_has_its_known_kernel() {
    // f = v' W' x: K = (W'x . W'x') + (x . x') |v|^2
    let net = TwoLayers::new(false);
    let (left, right) = (tensor([4, 3], 3), tensor([6, 3], 4));
    let network = |net: &TwoLayers, numbers: &Recorder, x| numbers.linear(&net.second, numbers.linear(&net.first, x));
    let kernel = empirical_ntk(&net, network, &left, Some(&right), &NtkConfig::new()).unwrap();
    let hidden = |x: &Tensor<2>| x.clone().matmul(net.first.weight.val());
    let size: f64 = net.second.weight.val().square().sum().into_scalar();
    let expected = hidden(&left).matmul(hidden(&right).transpose()) + left.matmul(right.transpose()) * size;
    assert_close(&values(&kernel), &values(&expected), 1e-14);
}

#[test]
fn a_network_of_two_layers_has_the_kernel_worked_out_by_hand() {
    let net = TwoLayers::new(true);
    let inputs = tensor([5, 3], 5);
    let network = |net: &TwoLayers, numbers: &Recorder, x| {
        numbers.linear(&net.second, numbers.tanh(numbers.linear(&net.first, x)))
    };
    let kernel = values(&empirical_ntk(&net, network, &inputs, None, &NtkConfig::new()).unwrap());
    let x = values(&inputs);
    let weights = values(&net.first.weight.val());
    let (biases, v) = (values(&net.first.bias.as_ref().unwrap().val()), values(&net.second.weight.val()));
    let tanh = |example: usize, unit: usize| {
        let sum: f64 = (0..3).map(|input| x[example * 3 + input] * weights[input * 5 + unit]).sum();
        (sum + biases[unit]).tanh()
    };
    let entry = |i: usize, j: usize| {
        let inner: f64 = (0..3).map(|input| x[i * 3 + input] * x[j * 3 + input]).sum();
        let unit = |unit: usize| {
            let (a, b) = (tanh(i, unit), tanh(j, unit));
            a * b + v[unit] * v[unit] * (1.0 - a * a) * (1.0 - b * b) * (inner + 1.0)
        };
        1.0 + (0..5).map(unit).sum::<f64>()
    };
    let expected: Vec<f64> = (0..25).map(|index| entry(index / 5, index % 5)).collect();
    assert_close(&kernel, &expected, 1e-13);
    let jacobians = |net: &TwoLayers, x: Tensor<2>| net.second.forward(net.first.forward(x).tanh());
    let kernel = empirical_ntk_by_jacobians(&net, jacobians, &inputs, None, &NtkConfig::new()).unwrap();
    assert_close(&values(&kernel), &expected, 1e-13);
}

#[test]
fn the_kernel_over_a_part_of_a_network_is_its_share() {
    let net = TwoLayers::new(true);
    let inputs = tensor([4, 3], 6);
    let network = |net: &TwoLayers, numbers: &Recorder, x| {
        numbers.linear(&net.second, numbers.tanh(numbers.linear(&net.first, x)))
    };
    let whole = empirical_ntk(&net, network, &inputs, None, &NtkConfig::new()).unwrap();
    let first =
        |first: &Linear, numbers: &Recorder, x| numbers.linear(&net.second, numbers.tanh(numbers.linear(first, x)));
    let second =
        |second: &Linear, numbers: &Recorder, x| numbers.linear(second, numbers.tanh(numbers.linear(&net.first, x)));
    let shares = [
        empirical_ntk(&net.first, first, &inputs, None, &NtkConfig::new()).unwrap(),
        empirical_ntk(&net.second, second, &inputs, None, &NtkConfig::new()).unwrap(),
    ];
    let [first, second] = shares;
    assert_close(&values(&(first + second)), &values(&whole), 1e-14);
}

#[test]
fn a_spectrum_has_its_known_ranks_and_condition() {
    // Q diag(4, 2, 0) Q' for a rotation by 45 degrees of the first two axes.
    let kernel = matrix(&[[3.0, 1.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]);
    let spectrum = KernelSpectrum::of(kernel.clone()).unwrap();
    assert_close(spectrum.values(), &[4.0, 2.0, 0.0], 1e-14);
    assert_eq!(spectrum.condition_number(), f64::INFINITY);
    assert_eq!((spectrum.rank(1e-9), spectrum.rank(0.6)), (2, 1));
    let entropy = -(2.0f64 / 3.0 * (2.0f64 / 3.0).ln() + 1.0 / 3.0 * (1.0f64 / 3.0).ln());
    assert_near(spectrum.effective_rank(), entropy.exp(), 1e-14);
    let rows = spectrum.vectors();
    assert_close(&values(&rows.clone().matmul(kernel)), &values(&(rows * column(&[4.0, 2.0, 0.0]))), 1e-14);
    let identity = KernelSpectrum::of(matrix(&[[2.0, 0.0], [0.0, 2.0]])).unwrap();
    assert_near(identity.effective_rank(), 2.0, 1e-14);
    assert_near(identity.condition_number(), 1.0, 0.0);
}

#[test]
fn alignment_is_the_cosine_of_centred_kernels() {
    let labels = column(&[1.0, 1.0, -1.0, -1.0]);
    let fitting = labels.clone().matmul(labels.clone().transpose()) * 7.0 + 2.0;
    assert_near(centred_alignment(fitting, labels.clone()).unwrap(), 1.0, 1e-14);
    // An orthogonal pattern.
    let other = column(&[1.0, -1.0, 1.0, -1.0]);
    let orthogonal = other.clone().matmul(other.transpose());
    assert_near(centred_alignment(orthogonal, labels.clone()).unwrap(), 0.0, 1e-14);
    // H is a projection of rank 3: <H, yy'> = y'y = 4, |H| = sqrt 3, |yy'| = 4.
    let identity = Tensor::<2>::eye(4, &Device::flex());
    assert_near(centred_alignment(identity, labels).unwrap(), 1.0 / 3.0f64.sqrt(), 1e-14);
}

pub fn matrix<const R: usize, const C: usize>(rows: &[[f64; C]; R]) -> Tensor<2> {
    let entries: Vec<f64> = rows.iter().flatten().copied().collect();
    Tensor::from_data(burn::tensor::TensorData::new(entries, [R, C]), crate::double_precision::options())
}

pub fn column(entries: &[f64]) -> Tensor<2> {
    let data = burn::tensor::TensorData::new(entries.to_vec(), [entries.len(), 1]);
    Tensor::from_data(data, crate::double_precision::options())
}
