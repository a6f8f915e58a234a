//! Minima of strongly convex inner problems.

use std::collections::VecDeque;

use burn::config::Config;
use burn::tensor::Tensor;

use super::attach::{Implicit, attach, solved};
use super::parameters::Parameters;
use super::pullback::{pullback, require_untracked};
use crate::linear_operator::{dot, epsilon, norm};
use crate::solve::{KrylovConfig, conjugate_gradient};
use crate::{FunctionOperator, NumericalError};

/// A function to be minimised in `w`, with its derivative along a direction.
///
/// Both are made of Burn's differentiable operations. The derivative along a direction is what forward mode gives for one
/// evaluation, and reverse mode on top of it gives all second derivatives that are needed.
pub trait InnerProblem<P>: Send + 'static {
    /// `g(w, theta)`.
    ///
    /// # Shapes
    /// - `w`: `[dimension]`
    /// - output: `[1]`
    fn value(&self, w: Tensor<1>, parameters: &P) -> Tensor<1>;

    /// `(dg/dw)' v`, differentiable in `w` and in the parameters.
    ///
    /// # Shapes
    /// - `w`, `direction`: `[dimension]`
    /// - output: `[1]`
    fn slope(&self, w: Tensor<1>, direction: Tensor<1>, parameters: &P) -> Tensor<1>;
}

/// Settings of [`argmin`].
#[derive(Config, Debug)]
pub struct ArgminConfig {
    /// How the minimum is found.
    #[config(default = "ArgminMethod::NewtonConjugateGradient")]
    pub method: ArgminMethod,
    /// Length of the gradient `|dg/dw|` to reach, in its units.
    #[config(default = 1e-5)]
    pub tolerance: f64,
    /// Steps at most.
    #[config(default = 200)]
    pub max_iterations: usize,
    /// The linear solve of the backward pass, and the most accurate one of Newton's method.
    #[config(default = "KrylovConfig::new()")]
    pub linear: KrylovConfig,
}

/// A minimiser.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum ArgminMethod {
    /// Newton's method; its systems are solved by conjugate gradients, as exactly as the gradient is small.
    NewtonConjugateGradient,
    /// Limited-memory BFGS: needs gradients only.
    Lbfgs {
        /// How many pairs of steps are kept.
        memory: usize,
    },
}

/// `w` that minimises `g(w, theta)`, differentiable in the parameters.
///
/// ```text
/// H l = dL/dw,  H = d2g/dw2        dL/dtheta = -d/dtheta (dg/dw)' l
/// ```
/// `start` is where the search begins; no gradient goes to it.
///
/// # Shapes
/// - `start`: `[dimension]`
/// - output: `[dimension]`
///
/// # Errors
/// [`NumericalError::NotConverged`] with the length of the gradient reached, [`NumericalError::Indefinite`] where the
/// Hessian is not positive definite on the way, values that are not finite, [`NumericalError::CapturedGradient`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::implicit::{ArgminConfig, InnerProblem, argmin};
///
/// /// Ridge regression to one point: `(w - 3)^2 + theta w^2`.
/// struct Ridge;
/// impl InnerProblem<Tensor<1>> for Ridge {
///     fn value(&self, w: Tensor<1>, theta: &Tensor<1>) -> Tensor<1> {
///         (w.clone() - 3).square() + theta.clone() * w.square()
///     }
///     fn slope(&self, w: Tensor<1>, direction: Tensor<1>, theta: &Tensor<1>) -> Tensor<1> {
///         ((w.clone() - 3) + theta.clone() * w) * direction * 2
///     }
/// }
/// let device = Device::flex().autodiff();
/// let theta = Tensor::<1>::from_data([0.5], &device).require_grad();
/// let w = argmin(Ridge, Tensor::zeros([1], &device), &theta, &ArgminConfig::new()).unwrap();
/// let gradient = theta.grad(&w.backward()).unwrap();
/// assert!((gradient.into_scalar::<f32>() + 3.0 / 2.25).abs() < 1e-4);
/// ```
pub fn argmin<P: Parameters>(
    problem: impl InnerProblem<P>,
    start: Tensor<1>,
    parameters: &P,
    settings: &ArgminConfig,
) -> Result<Tensor<1>, NumericalError> {
    attach(Minimisation { problem, start: start.inner(), settings: settings.clone() }, parameters)
}

const OPERATION: &str = "argmin";

struct Minimisation<Q> {
    problem: Q,
    start: Tensor<1>,
    settings: ArgminConfig,
}

/// A point with the value and the gradient there.
#[derive(Clone)]
struct Point {
    w: Tensor<1>,
    value: f64,
    gradient: Tensor<1>,
}

impl<P: Parameters, Q: InnerProblem<P>> Implicit<P> for Minimisation<Q> {
    fn solve(&self, parameters: &P) -> Result<Tensor<1>, NumericalError> {
        let settings = &self.settings;
        self.require_closed(parameters)?;
        let mut pairs = SecantPairs::new(settings.method);
        let mut point = self.point(self.start.clone(), parameters);
        for iteration in 0..=settings.max_iterations {
            let length = norm(&point.gradient);
            if !(length.is_finite() && point.value.is_finite()) {
                return Err(NumericalError::NotFinite { operation: OPERATION, iteration });
            }
            if length <= settings.tolerance {
                return Ok(point.w);
            }
            if iteration == settings.max_iterations {
                return Err(self.not_converged(&point, iteration));
            }
            let direction = match settings.method {
                ArgminMethod::NewtonConjugateGradient => self.newton_direction(&point, parameters)?,
                ArgminMethod::Lbfgs { .. } => pairs.direction(&point.gradient),
            };
            let next = self.backtrack(&point, &direction, parameters, iteration)?;
            pairs.push(&point, &next);
            point = next;
        }
        unreachable!("the last iteration returns")
    }

    fn adjoint(self, parameters: &P, solution: &Tensor<1>, upstream: Tensor<1>) -> Tensor<1> {
        let hessian = self.hessian(solution, parameters);
        let multiplier = solved(OPERATION, conjugate_gradient(&hessian, upstream, None, &self.settings.linear));
        let slope = |flat| self.problem.slope(solution.clone(), multiplier.clone(), &parameters.with_values(flat));
        let minus = -Tensor::ones([1], (&solution.device(), solution.dtype()));
        pullback(slope, &parameters.flatten(), minus)
    }
}

impl<Q> Minimisation<Q> {
    fn require_closed<P>(&self, parameters: &P) -> Result<(), NumericalError>
    where
        Q: InnerProblem<P>,
    {
        let start = &self.start;
        require_untracked(OPERATION, self.problem.value(start.clone(), parameters))?;
        require_untracked(OPERATION, self.problem.slope(start.clone(), start.clone(), parameters))?;
        Ok(())
    }

    fn point<P>(&self, w: Tensor<1>, parameters: &P) -> Point
    where
        Q: InnerProblem<P>,
    {
        let leaf = w.clone().autodiff().require_grad();
        let value = self.problem.value(leaf.clone(), parameters);
        let gradient = if value.is_tracked() { leaf.grad(&value.backward()) } else { None };
        Point { value: value.inner().into_scalar(), gradient: gradient.unwrap_or_else(|| w.zeros_like()), w }
    }

    fn hessian<'a, P>(
        &'a self,
        w: &'a Tensor<1>,
        parameters: &'a P,
    ) -> FunctionOperator<impl Fn(Tensor<1>) -> Tensor<1> + 'a>
    where
        Q: InnerProblem<P>,
    {
        let one = Tensor::<1>::ones([1], (&w.device(), w.dtype()));
        FunctionOperator::new(w.dims()[0], move |v: Tensor<1>| {
            pullback(|w| self.problem.slope(w, v, parameters), w, one.clone())
        })
    }

    /// `-H^-1 dg/dw`, to a relative residual of the root of the gradient's length, so that convergence is fast in the end
    /// and cheap in the beginning.
    fn newton_direction<P>(&self, point: &Point, parameters: &P) -> Result<Tensor<1>, NumericalError>
    where
        Q: InnerProblem<P>,
    {
        let tolerance = norm(&point.gradient).sqrt().min(0.5).max(self.settings.linear.tolerance);
        let settings = self.settings.linear.clone().with_tolerance(tolerance);
        let hessian = self.hessian(&point.w, parameters);
        Ok(conjugate_gradient(&hessian, -point.gradient.clone(), None, &settings)?.x)
    }

    /// The longest of the halved steps along `direction` that lowers the value enough.
    fn backtrack<P>(
        &self,
        from: &Point,
        direction: &Tensor<1>,
        parameters: &P,
        iteration: usize,
    ) -> Result<Point, NumericalError>
    where
        Q: InnerProblem<P>,
    {
        const HALVINGS: i32 = 40;
        const DECREASE: f64 = 1e-4;
        let slope = dot(&from.gradient, direction);
        // Close to the minimum, values differ by less than their rounding; there the gradient has to tell.
        let rounding = 10.0 * epsilon(direction.dtype()) * from.value.abs();
        for scale in (0..HALVINGS).map(|halvings| 0.5f64.powi(halvings)) {
            let point = self.point(from.w.clone() + direction.clone() * scale, parameters);
            let falls = point.value <= from.value + DECREASE * scale * slope;
            let flattens = || point.value <= from.value + rounding && norm(&point.gradient) < norm(&from.gradient);
            if falls || flattens() {
                return Ok(point);
            }
        }
        Err(self.not_converged(from, iteration))
    }

    fn not_converged(&self, point: &Point, iterations: usize) -> NumericalError {
        let (residual, tolerance) = (norm(&point.gradient), self.settings.tolerance);
        NumericalError::NotConverged { operation: OPERATION, iterations, residual, tolerance }
    }
}

/// The last steps `s` and changes of the gradient `y`, an approximation of the inverse Hessian.
struct SecantPairs {
    memory: usize,
    pairs: VecDeque<(Tensor<1>, Tensor<1>)>,
}

impl SecantPairs {
    fn new(method: ArgminMethod) -> Self {
        let memory = if let ArgminMethod::Lbfgs { memory } = method { memory } else { 0 };
        Self { memory, pairs: VecDeque::new() }
    }

    fn push(&mut self, from: &Point, to: &Point) {
        let (s, y) = (to.w.clone() - from.w.clone(), to.gradient.clone() - from.gradient.clone());
        // Only pairs of positive curvature keep the approximation positive definite.
        if self.memory > 0 && dot(&s, &y) > f64::EPSILON * norm(&s) * norm(&y) {
            self.pairs.push_back((s, y));
        }
        if self.pairs.len() > self.memory {
            self.pairs.pop_front();
        }
    }

    /// `-B dg/dw` by the two-loop recursion of Nocedal (1980).
    fn direction(&self, gradient: &Tensor<1>) -> Tensor<1> {
        let mut direction = -gradient.clone();
        let mut weights = Vec::new();
        for (s, y) in self.pairs.iter().rev() {
            let weight = dot(s, &direction) / dot(s, y);
            direction = direction - y.clone() * weight;
            weights.push(weight);
        }
        // Without pairs, a first step of length 1 at most.
        let scale = self.pairs.back().map_or_else(|| 1.0 / norm(gradient).max(1.0), |(s, y)| dot(s, y) / dot(y, y));
        direction = direction * scale;
        for ((s, y), weight) in self.pairs.iter().zip(weights.into_iter().rev()) {
            let correction = weight - dot(y, &direction) / dot(s, y);
            direction = direction + s.clone() * correction;
        }
        direction
    }
}
