//! Test support for kiln: gradient checks, closeness, bounds of rounding, conformance suites.
//!
//! Only a development dependency. The suites take closures, so that this crate depends on no method.

pub mod attack_suite;
pub mod closeness;
pub mod gradient;
pub mod loss_suite;
pub mod optimizer_suite;
pub mod random;
pub mod rounding;

pub use closeness::{assert_close, assert_near, distance, values};
pub use gradient::{central_differences, check_gradient, gradient, gradient_and};
