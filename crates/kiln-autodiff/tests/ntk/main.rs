//! Empirical tangent kernels against closed forms, against each other, and against training.

#[path = "../forward_mode/double_precision.rs"]
mod double_precision;

mod agreement;
mod bad_input;
mod closed_forms;
mod flow;
mod networks;
