//! Solutions of equations and of inner problems as ordinary differentiable tensor functions.
//!
//! The value comes from a solver, outside the graph; the gradient comes from the equation that the value satisfies, by one
//! linear solve in the backward pass. Neither memory nor accuracy depends on how many iterations the solver took.
//!
//! | function | value | backward pass |
//! |---|---|---|
//! | [`solve_spd`], [`solve`] | `A X = B`, dense | the factors again |
//! | [`solve_matrix_free`] | `A(theta) x = b` | one solve with the transpose |
//! | [`least_squares`], [`constrained_least_squares`] | `min abs(A X - B)^2` subject to `C X = D` | the factors again |
//! | [`fixed_point`] | `z = f(z, theta)` | GMRES on `I - df/dz'` |
//! | [`root`] | `F(z, theta) = 0` | GMRES on `dF/dz'` |
//! | [`argmin`] | `min_w g(w, theta)`, strongly convex | conjugate gradients on the Hessian |
//!
//! Whatever a solution shall be differentiated by is passed as [`Parameters`]. A function that reaches a tracked tensor in
//! another way is refused with [`NumericalError::CapturedGradient`](crate::NumericalError::CapturedGradient).
//!
//! # Panics
//! A backward pass cannot return an error: where its linear system is singular or does not converge, it panics with the
//! message of the [`NumericalError`](crate::NumericalError), which has the residual reached.

mod anderson;
mod argmin;
mod attach;
mod fixed_point;
mod least_squares;
mod linear;
mod matrix_free;
mod parameters;
mod pullback;
mod root;

pub use argmin::{ArgminConfig, ArgminMethod, InnerProblem, argmin};
pub use fixed_point::{FixedPointConfig, FixedPointMethod, fixed_point};
pub use least_squares::{constrained_least_squares, least_squares};
pub use linear::{solve, solve_spd};
pub use matrix_free::{OperatorKind, solve_matrix_free};
pub use parameters::{ModuleParameters, Parameters};
pub use root::{Equation, RootConfig, RootMethod, root};
