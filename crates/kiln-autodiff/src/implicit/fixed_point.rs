//! Fixed points `z = f(z, theta)`.

use burn::config::Config;
use burn::tensor::Tensor;

use super::anderson::Anderson;
use super::attach::{Implicit, attach, solved};
use super::parameters::Parameters;
use super::pullback::{pullback, require_untracked};
use crate::linear_operator::norm;
use crate::solve::{KrylovConfig, gmres};
use crate::{FunctionOperator, NumericalError};

/// Settings of [`fixed_point`].
#[derive(Config, Debug)]
pub struct FixedPointConfig {
    /// How the iteration is made to converge.
    #[config(default = "FixedPointMethod::Anderson { memory: 5, damping: 1.0 }")]
    pub method: FixedPointMethod,
    /// Relative change `|f(z) - z| / |f(z)|` to reach.
    #[config(default = 1e-5)]
    pub tolerance: f64,
    /// Change `|f(z) - z|` that is enough whatever the size of `z`: for fixed points at zero.
    #[config(default = 1e-10)]
    pub absolute_tolerance: f64,
    /// Evaluations of `f` at most.
    #[config(default = 500)]
    pub max_iterations: usize,
    /// The linear solve of the backward pass.
    #[config(default = "KrylovConfig::new()")]
    pub adjoint: KrylovConfig,
}

/// An iteration for `z = f(z)`.
#[derive(Config, Debug, Copy, PartialEq)]
pub enum FixedPointMethod {
    /// `z + damping (f(z) - z)`: converges where `f` contracts.
    Damped {
        /// 1 takes `f(z)` itself; less is slower and safer.
        damping: f64,
    },
    /// Anderson's acceleration: extrapolates from the last iterates.
    Anderson {
        /// How many differences of iterates are used.
        memory: usize,
        /// Weight of the new step.
        damping: f64,
    },
}

/// `z` with `z = f(z, theta)`, differentiable in the parameters.
///
/// ```text
/// (I - df/dz') l = dL/dz        dL/dtheta = (df/dtheta)' l
/// ```
/// `f` is made of Burn's differentiable operations and runs outside the graph; the backward pass evaluates it, with its
/// gradient, once for each iteration of GMRES. `start` is where the iteration begins; no gradient goes to it.
///
/// # Shapes
/// - `f`: `[..]` to `[..]`, any fixed shape
/// - output: the shape of `start`
///
/// # Errors
/// [`NumericalError::NotConverged`] with the relative change reached, values that are not finite,
/// [`NumericalError::CapturedGradient`] where `f` uses a tracked tensor that is not in the parameters.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::implicit::{FixedPointConfig, fixed_point};
///
/// // z = cos(theta z)
/// let device = Device::flex().autodiff();
/// let theta = Tensor::<1>::from_data([1.0], &device).require_grad();
/// let start = Tensor::<1>::ones([1], &device);
/// let settings = FixedPointConfig::new();
/// let z = fixed_point(|z, theta: &Tensor<1>| (z * theta.clone()).cos(), start, &theta, &settings).unwrap();
/// assert!((z.clone().into_scalar::<f32>() - 0.739085).abs() < 1e-4);
/// let gradient = theta.grad(&z.backward()).unwrap();
/// assert!((gradient.into_scalar::<f32>() + 0.297474).abs() < 1e-3);
/// ```
pub fn fixed_point<P: Parameters, const D: usize>(
    f: impl Fn(Tensor<D>, &P) -> Tensor<D> + Send + 'static,
    start: Tensor<D>,
    parameters: &P,
    settings: &FixedPointConfig,
) -> Result<Tensor<D>, NumericalError> {
    let dims = start.dims();
    let length: usize = dims.iter().product();
    let start = start.inner().reshape([length]);
    let flat = move |z: Tensor<1>, parameters: &P| f(z.reshape(dims), parameters).reshape([length]);
    let iteration = Iteration { f: flat, start, settings: settings.clone() };
    Ok(attach(iteration, parameters)?.reshape(dims))
}

const OPERATION: &str = "fixed point";

struct Iteration<F> {
    f: F,
    start: Tensor<1>,
    settings: FixedPointConfig,
}

impl<P: Parameters, F: Fn(Tensor<1>, &P) -> Tensor<1> + Send + 'static> Implicit<P> for Iteration<F> {
    fn solve(&self, parameters: &P) -> Result<Tensor<1>, NumericalError> {
        let settings = &self.settings;
        let mut acceleration = settings.method.acceleration();
        let mut z = self.start.clone();
        let mut residual = f64::INFINITY;
        for iteration in 1..=settings.max_iterations {
            let image = require_untracked(OPERATION, (self.f)(z.clone(), parameters))?;
            let step = image.clone() - z.clone();
            let (change, size) = (norm(&step), norm(&image));
            if !change.is_finite() {
                return Err(NumericalError::NotFinite { operation: OPERATION, iteration });
            }
            residual = change / size.max(f64::MIN_POSITIVE);
            if change <= settings.tolerance * size + settings.absolute_tolerance {
                return Ok(image);
            }
            z = acceleration.next(z, step);
        }
        Err(NumericalError::NotConverged {
            operation: OPERATION,
            iterations: settings.max_iterations,
            residual,
            tolerance: settings.tolerance,
        })
    }

    fn adjoint(self, parameters: &P, solution: &Tensor<1>, upstream: Tensor<1>) -> Tensor<1> {
        let through_z = |u: Tensor<1>| pullback(|z| (self.f)(z, parameters), solution, u);
        let system = FunctionOperator::new(solution.dims()[0], |u: Tensor<1>| u.clone() - through_z(u));
        let multiplier = solved(OPERATION, gmres(&system, upstream, None, &self.settings.adjoint));
        let through_theta = |flat| (self.f)(solution.clone(), &parameters.with_values(flat));
        pullback(through_theta, &parameters.flatten(), multiplier)
    }
}

impl FixedPointMethod {
    fn acceleration(self) -> Anderson {
        match self {
            Self::Damped { damping } => Anderson::new(0, damping),
            Self::Anderson { memory, damping } => Anderson::new(memory, damping),
        }
    }
}
