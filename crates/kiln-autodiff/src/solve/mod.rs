//! Linear systems, matrix-free and dense.
//!
//! | matrix | matrix-free | dense |
//! |---|---|---|
//! | symmetric positive definite | [`conjugate_gradient`] | [`dense::solve_spd`] |
//! | symmetric | [`minres`] | [`dense::solve`] |
//! | any square one | [`gmres`] | [`dense::solve`] |
//! | more rows than columns | - | [`dense::least_squares`] |
//!
//! These are plain functions of values; [`implicit`](crate::implicit) makes differentiable ones of them.

mod conjugate_gradient;
pub mod dense;
mod gmres;
pub(crate) mod host;
mod krylov;
mod minres;

pub use conjugate_gradient::conjugate_gradient;
pub(crate) use dense::require_symmetric;
pub use gmres::gmres;
pub use krylov::{KrylovConfig, Solution};
pub use minres::minres;
