//! Eigenvalues, spectral densities and traces of operators that are only known by their products.
//!
//! | wanted | method | products |
//! |---|---|---|
//! | a few eigenvalues at the ends | [`lanczos`], [`sharpness`] | tens to hundreds |
//! | the same with little memory | [`power_iteration`] | hundreds |
//! | the shape of the whole spectrum, `tr f(A)` | [`spectral_density`] | hundreds |
//! | the trace, the diagonal | [`trace_hutchinson`], [`trace_hutch_plus_plus`], [`diagonal_hutchinson`] | tens |
//!
//! Vectors stay on the device of the operator; the small problems are solved in double precision on the host.

mod basis;
mod density;
mod estimate;
mod lanczos;
mod power;
pub(crate) mod probe;
mod trace;
mod tridiagonal;

pub use density::{QuadratureNode, SpectralDensity, SpectralDensityConfig, spectral_density};
pub use estimate::Estimate;
pub use lanczos::{EigenPairs, LanczosConfig, SpectrumEnd, lanczos, sharpness};
pub use power::{PowerIterationConfig, power_iteration};
pub use trace::{diagonal_hutchinson, trace_hutch_plus_plus, trace_hutchinson};
