//! The minimal residual method for symmetric operators.

use burn::tensor::Tensor;

use super::krylov::{KrylovConfig, Solution, check_system, precondition, residual_vector};
use crate::linear_operator::{dot, epsilon, norm, require_symmetry};
use crate::{LinearOperator, NumericalError};

/// Solves `A x = b` for a symmetric operator, positive definite or not.
///
/// Lanczos' recurrence with Givens rotations of its tridiagonal matrix: each `x` has the smallest residual in the Krylov
/// space, measured in the norm of `preconditioner`, a symmetric positive definite `M` close to the inverse of `|A|`.
/// Seven vectors of memory.
///
/// # Shapes
/// - `b`: `[dimension]`
///
/// # Errors
/// An operator that is not symmetric (two products find that out), a preconditioner that is not positive definite,
/// [`NumericalError::NotConverged`] with the residual reached, which includes singular systems without a solution; values
/// that are not finite, shapes that do not fit.
pub fn minres(
    operator: &impl LinearOperator,
    b: Tensor<1>,
    preconditioner: Option<&dyn LinearOperator>,
    settings: &KrylovConfig,
) -> Result<Solution, NumericalError> {
    let size = check_system(OPERATION, operator, &b, settings)?;
    require_symmetry(OPERATION, operator, 0, &(&b.device(), b.dtype()).into())?;
    let mut x = b.zeros_like();
    let (mut residual, mut iterations) = (1.0, 0);
    if size == 0.0 {
        return Ok(Solution::zero(&b));
    }
    // The residual of the recurrence drifts from that of x: the process starts anew at x while that still helps.
    while iterations < settings.max_iterations {
        let rest = residual_vector(operator, &b, &x);
        let mut sweep = Sweep::new(rest, preconditioner)?;
        let target = settings.tolerance * size / sweep.start_norm;
        while iterations < settings.max_iterations && !sweep.is_done(target) {
            sweep.step(operator, preconditioner, iterations + 1)?;
            iterations += 1;
        }
        x = x + sweep.x;
        let reached = norm(&residual_vector(operator, &b, &x)) / size;
        if reached <= settings.tolerance {
            return Ok(Solution { x, residual: reached, iterations });
        }
        let stalls = reached > 0.5 * residual;
        residual = residual.min(reached);
        if stalls {
            break;
        }
    }
    let tolerance = settings.tolerance;
    Err(NumericalError::NotConverged { operation: OPERATION, iterations, residual, tolerance })
}

const OPERATION: &str = "MINRES";

/// One run of the recurrence. Names follow Paige and Saunders (1975): `T_k = tridiag(beta, alpha, beta)`, and the
/// rotations turn it into an upper triangle with diagonals `gamma`, `delta`, `epsilon`.
struct Sweep {
    x: Tensor<1>,
    /// Lanczos vectors before preconditioning: the one before, and the current one.
    r_before: Tensor<1>,
    r: Tensor<1>,
    /// The current one after preconditioning.
    z: Tensor<1>,
    beta_before: f64,
    beta: f64,
    /// Search directions of the two steps before.
    w_before: Tensor<1>,
    w: Tensor<1>,
    cosine: f64,
    sine: f64,
    /// Entries of the triangle that the next column brings along.
    delta_bar: f64,
    epsilon: f64,
    /// Residual of the recurrence in the norm of the preconditioner.
    phi: f64,
    start_phi: f64,
    start_norm: f64,
    operator_norm: f64,
    exhausted: bool,
}

impl Sweep {
    fn new(rest: Tensor<1>, preconditioner: Option<&dyn LinearOperator>) -> Result<Self, NumericalError> {
        let z = precondition(preconditioner, &rest);
        let beta = positive_root(dot(&rest, &z), 0)?;
        let zero = rest.zeros_like();
        Ok(Self {
            x: zero.clone(),
            r_before: zero.clone(),
            start_norm: norm(&rest),
            r: rest,
            z,
            beta_before: 0.0,
            beta,
            w_before: zero.clone(),
            w: zero,
            cosine: -1.0,
            sine: 0.0,
            delta_bar: 0.0,
            epsilon: 0.0,
            phi: beta,
            start_phi: beta,
            operator_norm: 0.0,
            exhausted: beta == 0.0,
        })
    }

    fn is_done(&self, target: f64) -> bool {
        self.exhausted || self.phi <= 0.5 * target * self.start_phi
    }

    fn step(
        &mut self,
        operator: &impl LinearOperator,
        preconditioner: Option<&dyn LinearOperator>,
        iteration: usize,
    ) -> Result<(), NumericalError> {
        let v = self.z.clone() / self.beta;
        let mut next = operator.apply(v.clone());
        if self.beta_before > 0.0 {
            next = next - self.r_before.clone() * (self.beta / self.beta_before);
        }
        let alpha = dot(&v, &next);
        next = next - self.r.clone() * (alpha / self.beta);
        let z = precondition(preconditioner, &next);
        let beta_next = positive_root(dot(&next, &z), iteration)?;
        self.operator_norm = self.operator_norm.max(alpha.abs() + beta_next + self.beta_before);
        self.extend(v, alpha, beta_next);
        let rounding = 10.0 * epsilon(next.dtype()) * self.operator_norm;
        self.exhausted |= beta_next <= rounding;
        self.r_before = std::mem::replace(&mut self.r, next);
        self.z = z;
        self.beta_before = std::mem::replace(&mut self.beta, beta_next);
        Ok(())
    }

    /// Rotates the new column of the tridiagonal matrix into the triangle, and goes along its search direction.
    fn extend(&mut self, v: Tensor<1>, alpha: f64, beta_next: f64) {
        let epsilon_before = self.epsilon;
        let delta = self.cosine * self.delta_bar + self.sine * alpha;
        let gamma_bar = self.sine * self.delta_bar - self.cosine * alpha;
        self.epsilon = self.sine * beta_next;
        self.delta_bar = -self.cosine * beta_next;
        let gamma = gamma_bar.hypot(beta_next);
        if gamma <= 10.0 * epsilon(v.dtype()) * self.operator_norm {
            // The new direction lies in the kernel: nothing along it brings the residual down.
            self.exhausted = true;
            return;
        }
        (self.cosine, self.sine) = (gamma_bar / gamma, beta_next / gamma);
        let w_next = (v - self.w_before.clone() * epsilon_before - self.w.clone() * delta) / gamma;
        self.w_before = std::mem::replace(&mut self.w, w_next);
        self.x = self.x.clone() + self.w.clone() * (self.cosine * self.phi);
        self.phi *= self.sine;
    }
}

fn positive_root(square: f64, iteration: usize) -> Result<f64, NumericalError> {
    if !square.is_finite() {
        return Err(NumericalError::NotFinite { operation: OPERATION, iteration });
    }
    if square < 0.0 {
        const PRECONDITIONER: &str = "preconditioner of MINRES";
        return Err(NumericalError::Indefinite {
            operation: PRECONDITIONER,
            iteration,
            curvature: square,
            residual: f64::NAN,
        });
    }
    Ok(square.sqrt())
}
