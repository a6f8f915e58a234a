//! Empirical neural tangent kernels: how a network's outputs move together under a small step of gradient descent.
//!
//! | wanted | use | cost, in passes forward (F) and backward (B) |
//! |---|---|---|
//! | the kernel of two batches, as a matrix | [`empirical_ntk`] | `k (F + B)` a batch for `k` outputs, and products layer by layer |
//! | the same of a module that is not written over numbers | [`empirical_ntk_by_jacobians`] | `k (F + B)` an example, and `n m p` multiplications |
//! | products of the kernel with vectors, for batches too large for a matrix | [`NtkOperator`] | about `3 F + B` |
//! | eigenvalues, effective rank, condition number | [`KernelSpectrum`] | `n^3` |
//! | how well the kernel fits the labels | [`centred_alignment`] | `n^2` |
//! | what training would do, in closed form | [`GradientFlow`] | `n^3` once, `n^2` for each time |
//!
//! With the Jacobian `J(x)` of the outputs with respect to the parameters, `K(x, x') = J(x) J(x')'`.

mod alignment;
mod blocks;
mod contraction;
mod error;
mod examples;
mod gradient_flow;
mod jacobians;
mod kernel;
mod kernel_spectrum;
mod patches;
mod plan;
mod product;
mod recorded_layers;
mod recorder;
mod sensitivities;

pub use alignment::centred_alignment;
pub use error::NtkError;
pub use examples::Examples;
pub use gradient_flow::{FlowTime, GradientFlow};
pub use kernel::{NtkConfig, NtkOutputs, empirical_ntk, empirical_ntk_by_jacobians};
pub use kernel_spectrum::KernelSpectrum;
pub use product::NtkOperator;
pub use recorder::Recorder;
