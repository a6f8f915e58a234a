//! The generalised minimal residual method, with restarts.

use burn::tensor::Tensor;
use faer::Mat;

use super::krylov::{KrylovConfig, Solution, check_system, precondition, residual_vector};
use crate::linear_operator::{dot, epsilon, norm};
use crate::{LinearOperator, NumericalError};

/// Solves `A x = b` for any square operator.
///
/// ```text
/// A M Q_k = Q_{k+1} H_k      y = argmin | |r| e_1 - H_k y |      x += M Q_k y
/// ```
/// The orthonormal basis `Q` has at most `settings.restart` vectors; then the process starts anew at the `x` reached.
/// `preconditioner` is any `M` close to the inverse of `A`; it is applied from the right, so that residuals stay those of
/// the system itself. A symmetric operator is cheaper with [`minres`](super::minres) or
/// [`conjugate_gradient`](super::conjugate_gradient).
///
/// # Shapes
/// - `b`: `[dimension]`
///
/// # Errors
/// [`NumericalError::NotConverged`] with the residual reached, which includes singular systems and restarts that make no
/// progress; values that are not finite, shapes that do not fit.
pub fn gmres(
    operator: &(impl LinearOperator + ?Sized),
    b: Tensor<1>,
    preconditioner: Option<&dyn LinearOperator>,
    settings: &KrylovConfig,
) -> Result<Solution, NumericalError> {
    let size = check_system(OPERATION, operator, &b, settings)?;
    if size == 0.0 {
        return Ok(Solution::zero(&b));
    }
    let mut x = b.zeros_like();
    let mut rest = b.clone();
    let (mut residual, mut iterations) = (1.0, 0);
    while iterations < settings.max_iterations {
        let steps = settings.restart.min(settings.max_iterations - iterations);
        let mut cycle = Cycle::new(rest, steps);
        while !cycle.is_done(0.5 * settings.tolerance * size) {
            cycle.step(operator, preconditioner, iterations + 1)?;
            iterations += 1;
        }
        x = x + precondition(preconditioner, &cycle.correction());
        rest = residual_vector(operator, &b, &x);
        let reached = norm(&rest) / size;
        if reached <= settings.tolerance {
            return Ok(Solution { x, residual: reached, iterations });
        }
        if !reached.is_finite() {
            return Err(NumericalError::NotFinite { operation: OPERATION, iteration: iterations });
        }
        let stalls = reached > residual * (1.0 - 1e-8);
        residual = residual.min(reached);
        if stalls {
            break;
        }
    }
    let tolerance = settings.tolerance;
    Err(NumericalError::NotConverged { operation: OPERATION, iterations, residual, tolerance })
}

const OPERATION: &str = "GMRES";

/// One cycle of Arnoldi's process with the QR factors of its Hessenberg matrix.
struct Cycle {
    limit: usize,
    basis: Vec<Tensor<1>>,
    /// Columns of the triangle `R`.
    triangle: Vec<Vec<f64>>,
    rotations: Vec<(f64, f64)>,
    /// `|r| e_1` under the rotations; its last entry is the residual.
    rotated: Vec<f64>,
    /// Largest image of a basis vector, a lower bound on the norm of the operator.
    operator_norm: f64,
    exhausted: bool,
}

impl Cycle {
    fn new(rest: Tensor<1>, limit: usize) -> Self {
        let length = norm(&rest);
        let basis = vec![rest / length];
        let rotated = vec![length];
        Self { limit, basis, triangle: vec![], rotations: vec![], rotated, operator_norm: 0.0, exhausted: false }
    }

    fn is_done(&self, target: f64) -> bool {
        let residual = self.rotated[self.triangle.len()].abs();
        self.exhausted || self.triangle.len() == self.limit || residual <= target
    }

    fn step(
        &mut self,
        operator: &(impl LinearOperator + ?Sized),
        preconditioner: Option<&dyn LinearOperator>,
        iteration: usize,
    ) -> Result<(), NumericalError> {
        let steps = self.triangle.len();
        let image = operator.apply(precondition(preconditioner, &self.basis[steps]));
        let size = norm(&image);
        if !size.is_finite() {
            return Err(NumericalError::NotFinite { operation: OPERATION, iteration });
        }
        self.operator_norm = self.operator_norm.max(size);
        let rounding = 10.0 * epsilon(image.dtype()) * self.operator_norm;
        let (mut column, rest) = self.orthogonalise(image);
        let length = norm(&rest);
        if length > rounding {
            self.basis.push(rest / length);
        } else {
            self.exhausted = true;
        }
        for (row, &(cosine, sine)) in self.rotations.iter().enumerate() {
            let (upper, lower) = (column[row], column[row + 1]);
            column[row] = cosine * upper + sine * lower;
            column[row + 1] = cosine * lower - sine * upper;
        }
        self.rotate_in(column, if self.exhausted { 0.0 } else { length }, rounding);
        Ok(())
    }

    /// Twice Gram-Schmidt: the coefficients in the basis, and what is left.
    fn orthogonalise(&self, image: Tensor<1>) -> (Vec<f64>, Tensor<1>) {
        let mut rest = image;
        let mut coefficients = vec![0.0; self.basis.len()];
        for _ in 0..2 {
            for (direction, total) in self.basis.iter().zip(&mut coefficients) {
                let coefficient = dot(direction, &rest);
                rest = rest - direction.clone() * coefficient;
                *total += coefficient;
            }
        }
        (coefficients, rest)
    }

    fn rotate_in(&mut self, mut column: Vec<f64>, length: f64, rounding: f64) {
        let last = column.len() - 1;
        let radius = column[last].hypot(length);
        if radius <= rounding {
            // The operator maps the new direction into the span: singular, and the direction is of no use.
            self.exhausted = true;
            return;
        }
        let (cosine, sine) = (column[last] / radius, length / radius);
        column[last] = radius;
        let before = self.rotated[last];
        self.rotated[last] = cosine * before;
        self.rotated.push(-sine * before);
        self.rotations.push((cosine, sine));
        self.triangle.push(column);
    }

    /// `Q y` with `R y` = the rotated right-hand side.
    fn correction(&self) -> Tensor<1> {
        let steps = self.triangle.len();
        let upper =
            Mat::from_fn(steps, steps, |row, column| if row <= column { self.triangle[column][row] } else { 0.0 });
        let mut weights = Mat::from_fn(steps, 1, |row, _| self.rotated[row]);
        upper.solve_upper_triangular_in_place(weights.as_mut());
        let zero = self.basis[0].zeros_like();
        (0..steps).fold(zero, |sum, step| sum + self.basis[step].clone() * weights[(step, 0)])
    }
}
