//! Derivatives of functions and of networks, one operator a file.
//!
//! | what | operator | cost, in passes forward (F) and backward (B) |
//! |---|---|---|
//! | `dL/dtheta` | [`gradient`] | F + B |
//! | `J v` | [`jvp`] | about 2 F |
//! | `J' u` | [`vjp`] | F + B |
//! | `J` | [`jacobian`] | F for each input, or F + B for each output, whichever is cheaper |
//! | `H v` | [`hvp`], [`hvp_inputs`] | 2 to 3 times (F + B) |
//! | `J' H_loss J v` | [`gnvp`] | 2 F + 2 B |
//! | `trace H` and gradient with respect to a few inputs | [`laplacian`] | about (d + 2) F, in one pass |
//! | `H` with respect to a few inputs | [`hessian`] | about (1 + d + d (d + 1) / 2) F, in one pass |
//! | `diag H` over parameters | [`hessian_diagonal`] | one product for each parameter or sample |
//! | `d/dx phi(dL/dtheta)` | [`grad_of_grad_match`] | 2 gradients and one product |
//! | gradients of single examples | [`per_example_gradients`] | one gradient an example |
//!
//! [`HessianOperator`] and [`GaussNewtonOperator`] are products over the parameters of a module as linear operators,
//! for spectra and solvers.

mod diagonal;
mod gnvp;
mod grad_match;
mod gradient;
mod hessian;
mod hvp;
mod jacobian;
mod jvp;
mod laplacian;
mod matrix_free;
mod per_example;
mod tracked;
mod vjp;

pub use diagonal::{DiagonalMethod, HessianDiagonal, hessian_diagonal};
pub use gnvp::gnvp;
pub use grad_match::{GradientMatch, grad_of_grad_match};
pub use gradient::gradient;
pub(crate) use gradient::gradient_at;
pub use hessian::{Hessian, hessian};
pub use hvp::{hvp, hvp_inputs};
pub use jacobian::{jacobian, jacobian_by_columns, jacobian_by_rows};
pub use jvp::jvp;
pub use laplacian::{Laplacian, laplacian};
pub use matrix_free::{GaussNewtonOperator, HessianOperator};
pub use per_example::{per_example_gradient_norms, per_example_gradients};
pub(crate) use tracked::{SharedLeaves, with_leaves};
pub use vjp::vjp;
