//! Roots `F(z, theta) = 0`.

use burn::config::Config;
use burn::tensor::Tensor;

use super::attach::{Implicit, attach, solved};
use super::parameters::Parameters;
use super::pullback::{pullback, require_untracked};
use crate::linear_operator::norm;
use crate::solve::{KrylovConfig, dense, gmres};
use crate::{FunctionOperator, NumericalError};

/// As many equations as unknowns. A closure `Fn(Tensor<1>, &P) -> Tensor<1>` is one.
pub trait Equation<P>: Send + 'static {
    /// `F(z, theta)`, made of Burn's differentiable operations.
    ///
    /// # Shapes
    /// - `z`: `[dimension]`
    /// - output: `[dimension]`
    fn residual(&self, z: Tensor<1>, parameters: &P) -> Tensor<1>;

    /// `(dF/dz) v` by forward mode, where the equation has it: what [`RootMethod::NewtonKrylov`] needs.
    fn pushforward(&self, _z: Tensor<1>, _direction: Tensor<1>, _parameters: &P) -> Option<Tensor<1>> {
        None
    }
}

impl<P, F: Fn(Tensor<1>, &P) -> Tensor<1> + Send + 'static> Equation<P> for F {
    fn residual(&self, z: Tensor<1>, parameters: &P) -> Tensor<1> {
        self(z, parameters)
    }
}

/// Settings of [`root`].
#[derive(Config, Debug)]
pub struct RootConfig {
    /// How Newton's linear systems are solved.
    #[config(default = "RootMethod::Newton")]
    pub method: RootMethod,
    /// Length `|F(z)|` to reach, in the units of `F`.
    #[config(default = 1e-5)]
    pub tolerance: f64,
    /// Newton steps at most.
    #[config(default = 50)]
    pub max_iterations: usize,
    /// The linear solves of the backward pass and of [`RootMethod::NewtonKrylov`].
    #[config(default = "KrylovConfig::new()")]
    pub linear: KrylovConfig,
}

/// A way to solve Newton's linear systems.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum RootMethod {
    /// The Jacobian row by row in reverse mode, and its LU factors: for up to some hundred unknowns.
    Newton,
    /// GMRES on [`Equation::pushforward`]: for many unknowns.
    NewtonKrylov,
}

/// `z` with `F(z, theta) = 0`, differentiable in the parameters.
///
/// ```text
/// (dF/dz)' l = dL/dz        dL/dtheta = -(dF/dtheta)' l
/// ```
/// Newton's method with steps that are halved until `|F|` falls. `start` is where it begins; no gradient goes to it.
///
/// # Shapes
/// - `start`: `[dimension]`
/// - output: `[dimension]`
///
/// # Errors
/// [`NumericalError::NotConverged`] with `|F|` reached, a singular Jacobian, values that are not finite,
/// [`NumericalError::NoPushforward`], [`NumericalError::CapturedGradient`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::implicit::{RootConfig, root};
///
/// let device = Device::flex().autodiff();
/// let theta = Tensor::<1>::from_data([4.0, 9.0], &device).require_grad();
/// let square_root = |z: Tensor<1>, theta: &Tensor<1>| z.square() - theta.clone();
/// let z = root(square_root, Tensor::ones([2], &device), &theta, &RootConfig::new()).unwrap();
/// let gradient = theta.grad(&z.sum().backward()).unwrap().try_into_vec_as::<f32>().unwrap();
/// assert!((gradient[0] - 0.25).abs() < 1e-4 && (gradient[1] - 1.0 / 6.0).abs() < 1e-4);
/// ```
pub fn root<P: Parameters>(
    equation: impl Equation<P>,
    start: Tensor<1>,
    parameters: &P,
    settings: &RootConfig,
) -> Result<Tensor<1>, NumericalError> {
    attach(Newton { equation, start: start.inner(), settings: settings.clone() }, parameters)
}

const OPERATION: &str = "root";

struct Newton<E> {
    equation: E,
    start: Tensor<1>,
    settings: RootConfig,
}

impl<P: Parameters, E: Equation<P>> Implicit<P> for Newton<E> {
    fn solve(&self, parameters: &P) -> Result<Tensor<1>, NumericalError> {
        let mut z = self.start.clone();
        let mut value = self.evaluate(&z, parameters, 0)?;
        for iteration in 1..=self.settings.max_iterations {
            if norm(&value) <= self.settings.tolerance {
                return Ok(z);
            }
            let step = self.newton_step(&z, &value, parameters)?;
            (z, value) = self.backtrack(&z, &value, &step, parameters, iteration)?;
        }
        if norm(&value) <= self.settings.tolerance {
            Ok(z)
        } else {
            Err(self.not_converged(&value, self.settings.max_iterations))
        }
    }

    fn adjoint(self, parameters: &P, solution: &Tensor<1>, upstream: Tensor<1>) -> Tensor<1> {
        let residual = |z| self.equation.residual(z, parameters);
        let transposed = FunctionOperator::new(solution.dims()[0], |u| pullback(residual, solution, u));
        let multiplier = solved(OPERATION, gmres(&transposed, upstream, None, &self.settings.linear));
        let through_theta = |flat| self.equation.residual(solution.clone(), &parameters.with_values(flat));
        pullback(through_theta, &parameters.flatten(), -multiplier)
    }
}

impl<E> Newton<E> {
    fn evaluate<P>(&self, z: &Tensor<1>, parameters: &P, iteration: usize) -> Result<Tensor<1>, NumericalError>
    where
        E: Equation<P>,
    {
        let value = require_untracked(OPERATION, self.equation.residual(z.clone(), parameters))?;
        if value.dims() != z.dims() {
            let found = format!("{:?} equations for {:?} unknowns", value.dims(), z.dims());
            let expected = "as many equations as unknowns".to_owned();
            return Err(NumericalError::Shape { operation: OPERATION, found, expected });
        }
        // At the start there is nothing to fall back to; later, steps to where F is not finite are shortened.
        if iteration == 0 && !norm(&value).is_finite() {
            return Err(NumericalError::NotFinite { operation: OPERATION, iteration });
        }
        Ok(value)
    }

    /// The solution of `(dF/dz) s = -F`.
    fn newton_step<P>(&self, z: &Tensor<1>, value: &Tensor<1>, parameters: &P) -> Result<Tensor<1>, NumericalError>
    where
        E: Equation<P>,
    {
        match self.settings.method {
            RootMethod::Newton => {
                let jacobian = self.jacobian(z, parameters);
                let side: Tensor<2> = -value.clone().unsqueeze_dim(1);
                Ok(dense::solve(jacobian, side)?.squeeze_dim(1))
            }
            RootMethod::NewtonKrylov => {
                let push = |v: Tensor<1>| self.equation.pushforward(z.clone(), v, parameters);
                if push(value.clone()).is_none() {
                    return Err(NumericalError::NoPushforward { operation: OPERATION, instead: "RootMethod::Newton" });
                }
                let product = |v: Tensor<1>| push(v.clone()).map_or_else(|| v.zeros_like(), Tensor::inner);
                let operator = FunctionOperator::new(z.dims()[0], product);
                Ok(gmres(&operator, -value.clone(), None, &self.settings.linear)?.x)
            }
        }
    }

    /// `dF/dz`, one reverse pass for each row.
    fn jacobian<P>(&self, z: &Tensor<1>, parameters: &P) -> Tensor<2>
    where
        E: Equation<P>,
    {
        let dimension = z.dims()[0];
        let row = |index: usize| {
            let unit = z.zeros_like().slice_fill(index..index + 1, 1.0);
            pullback(|z| self.equation.residual(z, parameters), z, unit)
        };
        Tensor::stack((0..dimension).map(row).collect(), 0)
    }

    /// The longest of `z + s`, `z + s/2`, `z + s/4`.. at which `|F|` is smaller.
    fn backtrack<P>(
        &self,
        z: &Tensor<1>,
        value: &Tensor<1>,
        step: &Tensor<1>,
        parameters: &P,
        iteration: usize,
    ) -> Result<(Tensor<1>, Tensor<1>), NumericalError>
    where
        E: Equation<P>,
    {
        const HALVINGS: i32 = 30;
        const DECREASE: f64 = 1e-4;
        let before = norm(value);
        for scale in (0..HALVINGS).map(|halvings| 0.5f64.powi(halvings)) {
            let next = z.clone() + step.clone() * scale;
            let next_value = self.evaluate(&next, parameters, iteration)?;
            if norm(&next_value) <= (1.0 - DECREASE * scale) * before {
                return Ok((next, next_value));
            }
        }
        Err(self.not_converged(value, iteration))
    }

    fn not_converged(&self, value: &Tensor<1>, iterations: usize) -> NumericalError {
        let tolerance = self.settings.tolerance;
        NumericalError::NotConverged { operation: OPERATION, iterations, residual: norm(value), tolerance }
    }
}
