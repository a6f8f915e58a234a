//! What the matrix-free solvers have in common.

use burn::config::Config;
use burn::tensor::Tensor;

use crate::{LinearOperator, NumericalError};

/// Settings of the matrix-free solvers.
#[derive(Config, Debug)]
pub struct KrylovConfig {
    /// Relative residual `|b - A x| / |b|` to reach.
    #[config(default = 1e-6)]
    pub tolerance: f64,
    /// Products with the operator at most.
    #[config(default = 1000)]
    pub max_iterations: usize,
    /// Basis vectors that GMRES keeps before it starts anew; the other methods keep a fixed handful.
    #[config(default = 50)]
    pub restart: usize,
}

/// The solution of a linear system and how exact it is.
#[derive(Debug, Clone)]
pub struct Solution {
    /// The solution, `[dimension]`.
    pub x: Tensor<1>,
    /// Relative residual `|b - A x| / |b|`, measured on `x` itself.
    pub residual: f64,
    /// Iterations, each with one product.
    pub iterations: usize,
}

impl Solution {
    /// The solution of a system whose right-hand side is zero.
    pub(super) fn zero(like: &Tensor<1>) -> Self {
        Self { x: like.zeros_like(), residual: 0.0, iterations: 0 }
    }
}

/// Refuses what no solver can work with; the length of `b` otherwise.
pub(super) fn check_system(
    operation: &'static str,
    operator: &(impl LinearOperator + ?Sized),
    b: &Tensor<1>,
    settings: &KrylovConfig,
) -> Result<f64, NumericalError> {
    let (dimension, [length]) = (operator.dimension(), b.dims());
    if dimension != length {
        let found = format!("a right-hand side of shape [{length}]");
        return Err(NumericalError::Shape { operation, found, expected: format!("[{dimension}]") });
    }
    let refuse = |name, value, expected| Err(NumericalError::Setting { operation, name, value, expected });
    if !(settings.tolerance > 0.0 && settings.tolerance < 1.0) {
        return refuse("tolerance", settings.tolerance, "between 0 and 1");
    }
    if settings.restart == 0 {
        return refuse("restart", 0.0, "at least 1");
    }
    let size = crate::linear_operator::norm(b);
    if size.is_finite() { Ok(size) } else { Err(NumericalError::NotFinite { operation, iteration: 0 }) }
}

/// `b - A x`.
pub(super) fn residual_vector(operator: &(impl LinearOperator + ?Sized), b: &Tensor<1>, x: &Tensor<1>) -> Tensor<1> {
    b.clone() - operator.apply(x.clone())
}

/// `M r`, or `r` where there is no preconditioner.
pub(super) fn precondition(preconditioner: Option<&dyn LinearOperator>, vector: &Tensor<1>) -> Tensor<1> {
    preconditioner.map_or_else(|| vector.clone(), |operator| operator.apply(vector.clone()))
}
