//! Gradient flow in closed form against training by small steps.

use burn::tensor::Tensor;
use kiln_autodiff::ntk::{FlowTime, GradientFlow, NtkConfig, NtkOutputs, Recorder, empirical_ntk};
use kiln_autodiff::{NumericalError, Values};
use kiln_check::{assert_close, values};

use crate::closed_forms::{column, matrix};
use crate::double_precision::tensor;
use crate::networks::Perceptron;

/// Outputs of a linearised model after gradient descent on its parameters, `f = f_0 + J (theta - theta_0)`.
struct Descent {
    training: Tensor<2>,
    other: Tensor<2>,
}

/// `steps` steps of size `time / steps` on `|f - y|^2 / 2`, with Jacobians `[n, p]` and `[m, p]`.
fn descend(
    [training, other]: [&Tensor<2>; 2],
    [initial, other_initial]: [&Tensor<2>; 2],
    targets: &Tensor<2>,
    time: f64,
    steps: usize,
) -> Descent {
    let mut parameters = Tensor::zeros([training.dims()[1], 1], crate::double_precision::options());
    for _ in 0..steps {
        let outputs = initial.clone() + training.clone().matmul(parameters.clone());
        let gradient = training.clone().transpose().matmul(outputs - targets.clone());
        parameters = parameters - gradient * (time / steps as f64);
    }
    Descent {
        training: initial.clone() + training.clone().matmul(parameters.clone()),
        other: other_initial.clone() + other.clone().matmul(parameters),
    }
}

/// The limit of smaller and smaller steps: `2 f_(h / 2) - f_h`.
fn extrapolated(fine: Tensor<2>, coarse: Tensor<2>) -> Vec<f64> {
    values(&(fine * 2.0 - coarse))
}

#[test]
fn the_flow_is_the_limit_of_small_steps_also_for_a_singular_kernel() {
    // Five examples, six and then three parameters: the second kernel has rank 3.
    for num_parameters in [6, 3] {
        let (training, other) = (tensor([5, num_parameters], 1), tensor([4, num_parameters], 2));
        let (initial, other_initial, targets) = (tensor([5, 1], 3), tensor([4, 1], 4), tensor([5, 1], 5));
        let kernel = training.clone().matmul(training.clone().transpose());
        let cross = other.clone().matmul(training.clone().transpose());
        let rate = 0.5;
        let flow = GradientFlow::new(kernel, initial.clone(), targets.clone(), rate).unwrap();
        for time in [0.0, 0.3, 2.0] {
            let run = |steps| {
                let (jacobians, starts) = ([&training, &other], [&initial, &other_initial]);
                descend(jacobians, starts, &targets, rate * time, steps)
            };
            let (coarse, fine) = (run(2000), run(4000));
            let at = FlowTime::At(time);
            let (found, found_other) =
                (flow.on_training_set(at).unwrap(), flow.on(cross.clone(), other_initial.clone(), at).unwrap());
            assert_close(&values(&found), &values(&fine.training), 5e-3);
            assert_close(&values(&found), &extrapolated(fine.training, coarse.training), 1e-5);
            assert_close(&values(&found_other), &extrapolated(fine.other, coarse.other), 1e-5);
        }
    }
}

#[test]
fn all_outputs_of_a_network_flow_together() {
    let net = Perceptron::new(false);
    let (training, other) = (tensor([3, 4], 6), tensor([2, 4], 7));
    let recorded = |net: &Perceptron, numbers: &Recorder, x| net.forward_in(numbers, x);
    let config = NtkConfig::new().with_outputs(NtkOutputs::All);
    let kernel = empirical_ntk(&net, recorded, &training, None, &config).unwrap();
    let cross = empirical_ntk(&net, recorded, &other, Some(&training), &config).unwrap();
    let flat = |outputs: Tensor<2>| {
        let count = outputs.dims().iter().product();
        outputs.reshape([count, 1])
    };
    let (initial, other_initial) = (flat(net.forward_in(&Values, training)), flat(net.forward_in(&Values, other)));
    let targets = tensor([9, 1], 8);
    let flow = GradientFlow::new(kernel.clone(), initial.clone(), targets.clone(), 1.0).unwrap();
    // A short time is one step of gradient descent.
    let step = 1e-6;
    let error = targets.clone() - initial.clone();
    let moved = values(&(initial + kernel.matmul(error.clone()) * step));
    assert_close(&values(&flow.on_training_set(FlowTime::At(step)).unwrap()), &moved, 1e-9);
    let moved = values(&(other_initial.clone() + cross.clone().matmul(error) * step));
    let found = flow.on(cross.clone(), other_initial, FlowTime::At(step)).unwrap();
    assert_close(&values(&found), &moved, 1e-9);
    // A long one fits the training set.
    assert_close(&values(&flow.on_training_set(FlowTime::Infinity).unwrap()), &values(&targets), 1e-8);
}

#[test]
fn a_singular_kernel_has_no_limit_but_that_of_its_pseudo_inverse() {
    // Eigenvalues 4, 2 and 0, with the vectors (1, 1, 0), (1, -1, 0) and (0, 0, 1).
    let kernel = matrix(&[[3.0, 1.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]);
    let (initial, targets) = (column(&[0.0, 0.0, 5.0]), column(&[1.0, 3.0, 7.0]));
    let flow = GradientFlow::new(kernel, initial, targets, 1.0).unwrap();
    let refused = flow.on_training_set(FlowTime::Infinity).unwrap_err();
    assert!(matches!(refused, NumericalError::Singular { reciprocal_condition: 0.0, .. }), "{refused}");
    let limit = flow.on_training_set(FlowTime::PseudoInverse { cutoff: 1e-12 }).unwrap();
    assert_close(&values(&limit), &[1.0, 3.0, 5.0], 1e-13);
    // Without the second direction, the mean of the first two is what is learnt.
    let coarse = flow.on_training_set(FlowTime::PseudoInverse { cutoff: 0.6 }).unwrap();
    assert_close(&values(&coarse), &[2.0, 2.0, 5.0], 1e-13);
    // Time does not overflow, and what has no kernel stays.
    let late = flow.on_training_set(FlowTime::At(1e300)).unwrap();
    assert_close(&values(&late), &[1.0, 3.0, 5.0], 1e-13);
}
