//! What a solver, a spectrum or an implicit function refuses or cannot reach, and how far it got.

use thiserror::Error;

/// A linear operator, a matrix or a setting that a numerical method cannot work with, or an accuracy that it missed.
///
/// Residuals are relative: `|b - A x| / |b|` for linear systems, `|A v - lambda v| / |lambda|` for eigenvalues and
/// `|f(z) - z| / |z|` for fixed points.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NumericalError {
    /// An operator that has to be symmetric is not.
    #[error(
        "{operation}: the operator is not symmetric: its defect on a pair of random vectors is {defect:.3e}, \
         at most {tolerance:.1e} is rounding"
    )]
    NotSymmetric {
        /// The method that assumes symmetry.
        operation: &'static str,
        /// Scaled difference of `u'Av` and `v'Au` for random `u` and `v`, see [`symmetry_defect`](crate::symmetry_defect).
        defect: f64,
        /// The defect that rounding explains.
        tolerance: f64,
    },
    /// An operator that has to be positive definite curves downwards, or not at all, along some direction.
    #[error(
        "{operation}: the operator is not positive definite: the curvature along direction {iteration} is \
         {curvature:.3e}; the residual had reached {residual:.3e}"
    )]
    Indefinite {
        /// The method that assumes positive definiteness.
        operation: &'static str,
        /// Number of the search direction, from 1.
        iteration: usize,
        /// `p'Ap / p'p` along that direction, negative or zero.
        curvature: f64,
        /// Relative residual before that direction.
        residual: f64,
    },
    /// A matrix that has to be symmetric positive definite has no Cholesky factor.
    #[error(
        "{operation}: matrix {batch} is not positive definite: pivot {pivot} of its Cholesky factor is not positive"
    )]
    NotPositiveDefinite {
        /// The method that needs the factor.
        operation: &'static str,
        /// Number of the matrix in the batch, from 0.
        batch: usize,
        /// Row of the first pivot that is not positive, from 0.
        pivot: usize,
    },
    /// A matrix that has to be symmetric positive semi-definite is not.
    #[error(
        "{operation}: the matrix is not positive semi-definite: its eigenvalues go from {smallest:.3e} to {largest:.3e}"
    )]
    NotPositiveSemidefinite {
        /// The method that needs such a matrix.
        operation: &'static str,
        /// Smallest eigenvalue.
        smallest: f64,
        /// Largest eigenvalue.
        largest: f64,
    },
    /// Something of which only the variation counts is constant.
    #[error("{operation}: {what} without variation between the examples")]
    Constant {
        /// The method.
        operation: &'static str,
        /// What does not vary.
        what: &'static str,
    },
    /// A matrix is singular to working precision.
    #[error(
        "{operation}: matrix {batch} is singular to working precision: the smallest pivot is {reciprocal_condition:.3e} \
         of the largest"
    )]
    Singular {
        /// The method that needs an inverse.
        operation: &'static str,
        /// Number of the matrix in the batch, from 0.
        batch: usize,
        /// Smallest pivot over the largest, an estimate of the reciprocal condition number.
        reciprocal_condition: f64,
    },
    /// The tolerance was not reached.
    #[error(
        "{operation}: not converged after {iterations} iterations: the residual is {residual:.3e}, \
         the tolerance {tolerance:.1e}"
    )]
    NotConverged {
        /// The method.
        operation: &'static str,
        /// Iterations that it took.
        iterations: usize,
        /// Relative residual reached.
        residual: f64,
        /// Relative residual wanted.
        tolerance: f64,
    },
    /// Infinities or NaN came up.
    #[error("{operation}: values that are not finite came up in iteration {iteration}")]
    NotFinite {
        /// The method.
        operation: &'static str,
        /// The iteration, from 0 (0: in the input).
        iteration: usize,
    },
    /// Shapes that do not fit each other.
    #[error("{operation}: {found}, but {expected} is needed")]
    Shape {
        /// The method.
        operation: &'static str,
        /// What came, in words, with the shapes.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A setting lies outside the range in which the method is defined.
    #[error("{operation}: {name} = {value} is out of range, it must be {expected}")]
    Setting {
        /// The method that was configured.
        operation: &'static str,
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would be right, in words.
        expected: &'static str,
    },
    /// A function of an implicit definition reaches a tracked tensor past its arguments.
    #[error(
        "{operation}: the function uses a tracked tensor that is not among its arguments; its gradient would be lost: \
         pass it in the parameters, or detach it"
    )]
    CapturedGradient {
        /// The implicit function.
        operation: &'static str,
    },
    /// A method needs forward-mode products that the equation does not give.
    #[error(
        "{operation}: the equation gives no Jacobian-vector products: implement `pushforward`, or choose {instead}"
    )]
    NoPushforward {
        /// The method.
        operation: &'static str,
        /// A method that does without.
        instead: &'static str,
    },
}
