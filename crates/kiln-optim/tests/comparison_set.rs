//! The comparison set computes the standard updates: each tensor optimizer against its scalar formula, on one coordinate.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use kiln_check::assert_near;
use kiln_optim::functions::Fn1d;
use kiln_optim::{Hyper1d, OptimizerKind, OptimizerSettings, ScalarEpsilon, trace_1d};

#[derive(Module, Debug)]
struct Coordinate {
    x: Param<Tensor<1>>,
}

/// Where the gradient shrinks, AMSGrad keeps the largest second moment and Adam does not.
#[test]
fn amsgrad_is_not_adam() {
    let device = Device::flex().autodiff();
    for (kind, second_step) in [(OptimizerKind::Adam, 0.086_386_84), (OptimizerKind::AmsGrad, 0.061_237_24)] {
        let settings = OptimizerSettings { beta_2: Some(0.5), ..OptimizerSettings::new(kind) };
        let mut optimizer = settings.init().unwrap();
        let mut module = Coordinate { x: Param::from_tensor(Tensor::from_data([0.0f32], &device)) };
        for slope in [2.0, 0.1] {
            let grads = GradientsParams::from_grads((module.x.val() * slope).sum().backward(), &module);
            module = optimizer.step(0.1, module, grads);
        }
        assert_near(f64::from(module.x.val().inner().into_scalar::<f32>()), -0.1 - second_step, 1e-5);
    }
}

#[test]
fn tensor_and_scalar_optimizers_agree() {
    let device = Device::flex().autodiff();
    for kind in OptimizerKind::ALL {
        let hyper = Hyper1d {
            learning_rate: 0.01,
            beta_1: 0.9,
            epsilon_placement: Some(ScalarEpsilon::OutsideRoot),
            ..Hyper1d::default()
        };
        let trace = trace_1d(Fn1d::F1, kind, -1.0, 40, &hyper).unwrap();
        let mut optimizer = OptimizerSettings::new(kind).init().unwrap();
        let mut module = Coordinate { x: Param::from_tensor(Tensor::from_data([-1.0f32], &device)) };
        for (step, expected) in trace.iter().enumerate() {
            let x = module.x.val();
            assert_near(f64::from(x.clone().inner().into_scalar::<f32>()), *expected, 2e-5);
            // F1 left of zero; the trajectory stays there.
            assert!(*expected <= 0.0, "{kind} step {step}");
            let grads = GradientsParams::from_grads((x + 0.3).square().sum().backward(), &module);
            module = optimizer.step(0.01, module, grads);
        }
    }
}
