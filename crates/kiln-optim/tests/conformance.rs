//! Every optimizer of the crate in the conformance suite: one line each.

use kiln_check::optimizer_suite;
use kiln_optim::{AdaDeltaConfig, AdamConfig, DiffGradConfig, DiffGradFriction, OptimizerKind};

#[test]
fn sgdm() {
    optimizer_suite::check(0.01, || OptimizerKind::Sgdm.init().unwrap());
}

#[test]
fn adagrad() {
    optimizer_suite::check(0.3, || OptimizerKind::AdaGrad.init().unwrap());
}

#[test]
fn adadelta() {
    optimizer_suite::check(1.0, || AdaDeltaConfig::new().init().unwrap());
}

#[test]
fn rmsprop() {
    optimizer_suite::check(0.01, || OptimizerKind::RmsProp.init().unwrap());
}

#[test]
fn amsgrad() {
    optimizer_suite::check(0.02, || OptimizerKind::AmsGrad.init().unwrap());
}

#[test]
fn adam() {
    optimizer_suite::check(0.02, || OptimizerKind::Adam.init().unwrap());
}

#[test]
fn adamw() {
    // A decay that leaves the quadratic's minimum where the suite looks for it.
    let config = AdamConfig::new().with_decoupled_weight_decay(1e-4);
    optimizer_suite::check(0.02, || config.init().unwrap());
}

#[test]
fn diffgrad() {
    optimizer_suite::check(0.02, || DiffGradConfig::new().init().unwrap());
}

#[test]
fn diffgrad_normalized_with_amsgrad() {
    let config = DiffGradConfig::new().with_friction(DiffGradFriction::Normalized).with_amsgrad(true);
    optimizer_suite::check(0.02, || config.init().unwrap());
}
