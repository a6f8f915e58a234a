//! Linear systems whose operator is a function of parameters.

use burn::config::Config;
use burn::tensor::Tensor;

use super::attach::solved;
use super::parameters::Parameters;
use super::pullback::{pullback, require_untracked};
use crate::custom_gradient::custom_gradient;
use crate::solve::{KrylovConfig, Solution, conjugate_gradient, gmres, minres};
use crate::{FunctionOperator, LinearOperator, NumericalError};

/// What is known of an operator, and so which method solves with it.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum OperatorKind {
    /// Symmetric positive definite: conjugate gradients.
    PositiveDefinite,
    /// Symmetric: MINRES.
    Symmetric,
    /// Any other: GMRES; the backward pass gets products with the transpose from reverse mode.
    General,
}

/// `x` with `A(theta) x = b`, differentiable in the parameters and in `b`.
///
/// ```text
/// A' l = dL/dx        dL/db = l        dL/dtheta = -(d(A x)/dtheta)' l
/// ```
/// `operator` maps a vector and the parameters to the product; it is linear in the vector and made of Burn's differentiable
/// operations. It runs outside the graph, once for each iteration.
///
/// # Shapes
/// - `b`: `[dimension]`
/// - output: `[dimension]`
///
/// # Errors
/// Those of the solver; [`NumericalError::CapturedGradient`] where the operator uses a tracked tensor that is not in the
/// parameters.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::implicit::{OperatorKind, solve_matrix_free};
/// use kiln_autodiff::solve::KrylovConfig;
///
/// let device = Device::flex().autodiff();
/// let diagonal = Tensor::<1>::from_data([1.0, 2.0, 4.0], &device).require_grad();
/// let b = Tensor::ones([3], &device);
/// let product = |v: Tensor<1>, diagonal: &Tensor<1>| v * diagonal.clone();
/// let x = solve_matrix_free(product, &diagonal, b, OperatorKind::PositiveDefinite, &KrylovConfig::new()).unwrap();
/// let gradient = diagonal.grad(&x.sum().backward()).unwrap();
/// assert!((gradient.try_into_vec_as::<f32>().unwrap()[1] + 0.25).abs() < 1e-5);
/// ```
pub fn solve_matrix_free<P: Parameters>(
    operator: impl Fn(Tensor<1>, &P) -> Tensor<1> + Send + 'static,
    parameters: &P,
    b: Tensor<1>,
    kind: OperatorKind,
    settings: &KrylovConfig,
) -> Result<Tensor<1>, NumericalError> {
    let (plain, right_side) = (parameters.with_values(parameters.flatten().inner()), b.clone().inner());
    let x = solution(&operator, &plain, right_side, kind, settings)?;
    let settings = settings.clone();
    let saved = (x.clone(), (plain, x));
    let backward = move |(plain, x): (P, Tensor<1>), upstream: Tensor<1>, [theta_is_wanted, b_is_wanted]: [bool; 2]| {
        let dimension = x.dims()[0];
        let adjoint = match kind {
            OperatorKind::General => {
                let transposed = |u| pullback(|v| operator(v, &plain), &x.zeros_like(), u);
                gmres(&FunctionOperator::new(dimension, transposed), upstream, None, &settings)
            }
            _ => solve_as(kind, &FunctionOperator::new(dimension, |v| operator(v, &plain)), upstream, &settings),
        };
        let adjoint = solved(OPERATION, adjoint);
        let to_theta = theta_is_wanted.then(|| {
            let product = |flat| operator(x.clone(), &plain.with_values(flat));
            pullback(product, &plain.flatten(), -adjoint.clone())
        });
        (to_theta, b_is_wanted.then_some(adjoint))
    };
    Ok(custom_gradient((parameters.flatten(), b), |_| saved, backward))
}

fn solution<P>(
    operator: &impl Fn(Tensor<1>, &P) -> Tensor<1>,
    parameters: &P,
    b: Tensor<1>,
    kind: OperatorKind,
    settings: &KrylovConfig,
) -> Result<Tensor<1>, NumericalError> {
    require_untracked(OPERATION, operator(b.clone(), parameters))?;
    let operator = FunctionOperator::new(b.dims()[0], |v| operator(v, parameters));
    Ok(solve_as(kind, &operator, b, settings)?.x)
}

const OPERATION: &str = "matrix-free solve";

fn solve_as(
    kind: OperatorKind,
    operator: &impl LinearOperator,
    b: Tensor<1>,
    settings: &KrylovConfig,
) -> Result<Solution, NumericalError> {
    match kind {
        OperatorKind::PositiveDefinite => conjugate_gradient(operator, b, None, settings),
        OperatorKind::Symmetric => minres(operator, b, None, settings),
        OperatorKind::General => gmres(operator, b, None, settings),
    }
}
