//! The conjugate gradient method.

use burn::tensor::Tensor;

use super::krylov::{KrylovConfig, Solution, check_system, precondition, residual_vector};
use crate::linear_operator::{dot, epsilon, norm};
use crate::{LinearOperator, NumericalError};

/// Solves `A x = b` for a symmetric positive definite operator.
///
/// ```text
/// alpha = r'z / p'Ap      x += alpha p      r -= alpha A p      z = M r      beta = r'z / r'z(before)      p = z + beta p
/// ```
/// `preconditioner` is a symmetric positive definite `M`, close to the inverse of `A`. Four vectors of memory.
///
/// # Shapes
/// - `b`: `[dimension]`
///
/// # Errors
/// [`NumericalError::Indefinite`] with the curvature `p'Ap / p'p` where it is not positive,
/// [`NumericalError::NotConverged`] with the residual reached, values that are not finite, shapes that do not fit.
pub fn conjugate_gradient(
    operator: &(impl LinearOperator + ?Sized),
    b: Tensor<1>,
    preconditioner: Option<&dyn LinearOperator>,
    settings: &KrylovConfig,
) -> Result<Solution, NumericalError> {
    let size = check_system(OPERATION, operator, &b, settings)?;
    if size == 0.0 {
        return Ok(Solution::zero(&b));
    }
    let mut state = State::new(&b, size, preconditioner);
    for iteration in 1..=settings.max_iterations {
        state.descend(operator, iteration)?;
        if state.residual > settings.tolerance {
            state.turn(preconditioner);
            continue;
        }
        // The recurrence drifts away from the residual of x; only the latter counts.
        state.refresh(operator, &b);
        if state.residual <= settings.tolerance {
            return Ok(Solution { x: state.x, residual: state.residual, iterations: iteration });
        }
        if state.residual_stalls() {
            break;
        }
        state.restart(preconditioner);
    }
    state.refresh(operator, &b);
    Err(NumericalError::NotConverged {
        operation: OPERATION,
        iterations: state.iterations,
        residual: state.residual,
        tolerance: settings.tolerance,
    })
}

const OPERATION: &str = "conjugate gradient";

struct State {
    x: Tensor<1>,
    r: Tensor<1>,
    p: Tensor<1>,
    rz: f64,
    size: f64,
    residual: f64,
    last_refreshed: f64,
    refreshed: f64,
    iterations: usize,
}

impl State {
    fn new(b: &Tensor<1>, size: f64, preconditioner: Option<&dyn LinearOperator>) -> Self {
        let (r, p) = (b.clone(), precondition(preconditioner, b));
        let rz = dot(&r, &p);
        let far = f64::INFINITY;
        Self { x: b.zeros_like(), r, p, rz, size, residual: 1.0, last_refreshed: far, refreshed: far, iterations: 0 }
    }

    /// The step along `p` to the minimum of the quadratic.
    fn descend(&mut self, operator: &(impl LinearOperator + ?Sized), iteration: usize) -> Result<(), NumericalError> {
        let image = operator.apply(self.p.clone());
        let (bend, length) = (dot(&self.p, &image), dot(&self.p, &self.p));
        self.iterations = iteration;
        if !bend.is_finite() {
            return Err(NumericalError::NotFinite { operation: OPERATION, iteration });
        }
        let rounding = epsilon(image.dtype()) * length.sqrt() * norm(&image);
        if bend <= rounding || self.rz <= 0.0 {
            let curvature = bend / length;
            return Err(NumericalError::Indefinite {
                operation: OPERATION,
                iteration,
                curvature,
                residual: self.residual,
            });
        }
        let alpha = self.rz / bend;
        self.x = self.x.clone() + self.p.clone() * alpha;
        self.r = self.r.clone() - image * alpha;
        self.residual = norm(&self.r) / self.size;
        Ok(())
    }

    /// The next conjugate direction.
    fn turn(&mut self, preconditioner: Option<&dyn LinearOperator>) {
        let z = precondition(preconditioner, &self.r);
        let rz = dot(&self.r, &z);
        self.p = z + self.p.clone() * (rz / self.rz);
        self.rz = rz;
    }

    fn refresh(&mut self, operator: &(impl LinearOperator + ?Sized), b: &Tensor<1>) {
        self.r = residual_vector(operator, b, &self.x);
        self.residual = norm(&self.r) / self.size;
        self.last_refreshed = std::mem::replace(&mut self.refreshed, self.residual);
    }

    fn residual_stalls(&self) -> bool {
        self.refreshed > 0.5 * self.last_refreshed
    }

    fn restart(&mut self, preconditioner: Option<&dyn LinearOperator>) {
        self.p = precondition(preconditioner, &self.r);
        self.rz = dot(&self.r, &self.p);
    }
}
