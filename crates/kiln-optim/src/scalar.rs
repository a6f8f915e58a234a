//! The optimizers of the comparison set on a single number, in `f64`, as they are used to draw trajectories.

use serde::{Deserialize, Serialize};

use crate::functions::Fn1d;
use crate::hyperparameter::{check_learning_rate, fraction_below_one, non_negative};
use crate::{DiffGradFriction, OptimError, OptimizerKind};

/// Where `eps` stands in the denominator of a scalar Adam, AMSGrad or diffGrad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScalarEpsilon {
    /// `sqrt(vhat + eps)`: the authors' one-dimensional Adam.
    InsideRoot,
    /// `sqrt(vhat) + eps`: the paper's formula, and the authors' one-dimensional diffGrad.
    OutsideRoot,
    /// `(sqrt(v) + eps) / sqrt(1 - beta_2^t)`: the authors' tensor code.
    BeforeCorrection,
}

/// Hyperparameters of [`trace_1d`]. The defaults are those of the authors' one-dimensional analysis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hyper1d {
    /// Learning rate of every optimizer.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Numerical floor; nothing means each optimizer's own: 1e-6 for AdaDelta, where it stands under the roots, and 1e-8
    /// for the others.
    pub epsilon: Option<f64>,
    /// Place of the floor; nothing means the authors' own: inside the root for Adam and AMSGrad, outside for diffGrad.
    pub epsilon_placement: Option<ScalarEpsilon>,
    /// Friction of diffGrad.
    pub friction: DiffGradFriction,
    /// Momentum of SGDM.
    pub momentum: f64,
    /// Decay of RMSProp.
    pub alpha: f64,
    /// Decay of AdaDelta.
    pub rho: f64,
}

impl Default for Hyper1d {
    fn default() -> Self {
        Self {
            learning_rate: 0.1,
            beta_1: 0.95,
            beta_2: 0.999,
            epsilon: None,
            epsilon_placement: None,
            friction: DiffGradFriction::AbsSigmoid,
            momentum: 0.9,
            alpha: 0.99,
            rho: 0.95,
        }
    }
}

impl Hyper1d {
    fn check(&self) -> Result<(), OptimError> {
        check_learning_rate(self.learning_rate)?;
        fraction_below_one("beta_1", self.beta_1)?;
        fraction_below_one("beta_2", self.beta_2)?;
        self.epsilon.map_or(Ok(0.0), |epsilon| non_negative("epsilon", epsilon))?;
        fraction_below_one("momentum", self.momentum)?;
        fraction_below_one("alpha", self.alpha)?;
        fraction_below_one("rho", self.rho)?;
        self.friction.check()?;
        Ok(())
    }

    /// The numerical floor of an optimizer.
    fn epsilon_of(&self, optimizer: OptimizerKind) -> f64 {
        self.epsilon.unwrap_or(match optimizer {
            OptimizerKind::AdaDelta => 1e-6,
            _ => 1e-8,
        })
    }
}

/// The positions of an optimizer that starts at `x0`: `steps + 1` numbers, `x0` first.
///
/// ```
/// use kiln_optim::{Hyper1d, OptimizerKind, functions::Fn1d, trace_1d};
///
/// let trace = trace_1d(Fn1d::F1, OptimizerKind::DiffGrad, -1.0, 299, &Hyper1d::default())?;
/// assert!((trace[299] - Fn1d::F1.global_minimum()).abs() < 0.01);
/// # Ok::<(), kiln_optim::OptimError>(())
/// ```
///
/// # Errors
/// [`OptimError::InvalidHyperparameter`] where a value is out of its range.
pub fn trace_1d(
    function: Fn1d,
    optimizer: OptimizerKind,
    x0: f64,
    steps: usize,
    hyper: &Hyper1d,
) -> Result<Vec<f64>, OptimError> {
    hyper.check()?;
    let mut state = ScalarState::default();
    let mut trace = Vec::with_capacity(steps + 1);
    let mut x = x0;
    trace.push(x);
    for _ in 0..steps {
        x -= hyper.learning_rate * state.direction(optimizer, hyper, function.gradient(x));
        trace.push(x);
    }
    Ok(trace)
}

/// Whatever any of the optimizers remembers of one coordinate.
#[derive(Debug, Default)]
struct ScalarState {
    time: i32,
    moment_1: f64,
    moment_2: f64,
    max_moment_2: f64,
    squared_step: f64,
    previous: f64,
}

impl ScalarState {
    /// The step before it is multiplied by the learning rate.
    fn direction(&mut self, optimizer: OptimizerKind, hyper: &Hyper1d, g: f64) -> f64 {
        self.time += 1;
        let epsilon = hyper.epsilon_of(optimizer);
        match optimizer {
            OptimizerKind::Sgdm => {
                self.moment_1 = hyper.momentum * self.moment_1 + g;
                self.moment_1
            }
            OptimizerKind::AdaGrad => {
                self.moment_2 += g * g;
                g / (self.moment_2.sqrt() + epsilon)
            }
            OptimizerKind::AdaDelta => {
                self.moment_2 = hyper.rho * self.moment_2 + (1.0 - hyper.rho) * g * g;
                let step = ((self.squared_step + epsilon) / (self.moment_2 + epsilon)).sqrt() * g;
                self.squared_step = hyper.rho * self.squared_step + (1.0 - hyper.rho) * step * step;
                step
            }
            OptimizerKind::RmsProp => {
                self.moment_2 = hyper.alpha * self.moment_2 + (1.0 - hyper.alpha) * g * g;
                g / (self.moment_2.sqrt() + epsilon)
            }
            OptimizerKind::AmsGrad | OptimizerKind::Adam => {
                self.update_moments(hyper, g);
                let v = if optimizer == OptimizerKind::AmsGrad { self.max_moment_2 } else { self.moment_2 };
                let placement = hyper.epsilon_placement.unwrap_or(ScalarEpsilon::InsideRoot);
                self.adam_direction(hyper, v, epsilon, placement)
            }
            OptimizerKind::DiffGrad => {
                self.update_moments(hyper, g);
                let placement = hyper.epsilon_placement.unwrap_or(ScalarEpsilon::OutsideRoot);
                let change = self.previous - g;
                self.previous = g;
                let xi = self.friction(hyper, change, epsilon);
                xi * self.adam_direction(hyper, self.moment_2, epsilon, placement)
            }
        }
    }

    fn update_moments(&mut self, hyper: &Hyper1d, g: f64) {
        self.moment_1 = hyper.beta_1 * self.moment_1 + (1.0 - hyper.beta_1) * g;
        self.moment_2 = hyper.beta_2 * self.moment_2 + (1.0 - hyper.beta_2) * g * g;
        self.max_moment_2 = self.max_moment_2.max(self.moment_2);
    }

    fn adam_direction(&self, hyper: &Hyper1d, v: f64, epsilon: f64, placement: ScalarEpsilon) -> f64 {
        let correction_2 = 1.0 - hyper.beta_2.powi(self.time);
        let denominator = match placement {
            ScalarEpsilon::InsideRoot => (v / correction_2 + epsilon).sqrt(),
            ScalarEpsilon::OutsideRoot => (v / correction_2).sqrt() + epsilon,
            ScalarEpsilon::BeforeCorrection => (v.sqrt() + epsilon) / correction_2.sqrt(),
        };
        self.moment_1 / (1.0 - hyper.beta_1.powi(self.time)) / denominator
    }

    fn friction(&self, hyper: &Hyper1d, change: f64, epsilon: f64) -> f64 {
        let sigmoid = |x: f64| 0.5 + 0.5 * (0.5 * x).tanh();
        match hyper.friction {
            DiffGradFriction::AbsSigmoid => sigmoid(change.abs()),
            DiffGradFriction::Sigmoid => sigmoid(change),
            DiffGradFriction::Constant(xi) => xi,
            DiffGradFriction::Normalized => {
                let correction_2 = 1.0 - hyper.beta_2.powi(self.time);
                sigmoid(change.abs() / ((self.moment_2 / correction_2).sqrt() + epsilon))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(function: Fn1d, optimizer: OptimizerKind, learning_rate: f64) -> f64 {
        let hyper = Hyper1d { learning_rate, ..Hyper1d::default() };
        trace_1d(function, optimizer, -1.0, 299, &hyper).unwrap()[299]
    }

    #[test]
    fn diffgrad_ends_in_the_global_minimum_where_adam_overshoots() {
        assert!((end(Fn1d::F1, OptimizerKind::DiffGrad, 0.1) + 0.3).abs() < 0.01);
        assert!((end(Fn1d::F1, OptimizerKind::Adam, 0.1) - 0.2).abs() < 0.01);
        assert!((end(Fn1d::F2, OptimizerKind::DiffGrad, 0.1) + 0.643).abs() < 0.01);
        assert!(end(Fn1d::F2, OptimizerKind::Adam, 0.1).abs() < 0.01);
    }

    #[test]
    fn adam_at_half_the_rate_ends_there_too() {
        assert!((end(Fn1d::F1, OptimizerKind::Adam, 0.05) + 0.3).abs() < 0.01);
        assert!((end(Fn1d::F2, OptimizerKind::Adam, 0.05) + 0.643).abs() < 0.01);
    }

    #[test]
    fn constant_friction_is_adam() {
        let hyper = Hyper1d {
            friction: DiffGradFriction::Constant(1.0),
            epsilon_placement: Some(ScalarEpsilon::OutsideRoot),
            ..Hyper1d::default()
        };
        let diffgrad = trace_1d(Fn1d::F2, OptimizerKind::DiffGrad, -1.0, 100, &hyper).unwrap();
        let adam = trace_1d(Fn1d::F2, OptimizerKind::Adam, -1.0, 100, &hyper).unwrap();
        assert_eq!(diffgrad, adam);
    }

    #[test]
    fn the_first_step_of_adadelta_follows_from_its_floor() {
        // v = 0.05 g^2, x -= sqrt(eps / (v + eps)) g, with g = 2 (x + 0.3) = -1.4 at x = -1.
        let v = 0.05 * 1.4f64.powi(2);
        for (epsilon, floor) in [(None, 1e-6), (Some(1e-6), 1e-6), (Some(1e-3), 1e-3), (Some(0.0), 0.0)] {
            let hyper = Hyper1d { learning_rate: 1.0, epsilon, ..Hyper1d::default() };
            let trace = trace_1d(Fn1d::F1, OptimizerKind::AdaDelta, -1.0, 1, &hyper).unwrap();
            assert!((trace[1] - (-1.0 + 1.4 * (floor / (v + floor)).sqrt())).abs() < 1e-14, "{epsilon:?}: {trace:?}");
        }
    }

    #[test]
    fn every_optimizer_goes_downhill_and_bad_values_are_refused() {
        for kind in OptimizerKind::ALL {
            let trace = trace_1d(Fn1d::F3, kind, -1.0, 299, &Hyper1d::default()).unwrap();
            assert_eq!((trace.len(), trace[0]), (300, -1.0));
            assert!(Fn1d::F3.value(trace[299]) < Fn1d::F3.value(-1.0), "{kind}");
        }
        let hyper = Hyper1d { beta_1: 1.0, ..Hyper1d::default() };
        assert!(trace_1d(Fn1d::F1, OptimizerKind::Adam, 0.0, 1, &hyper).is_err());
        let hyper = Hyper1d { epsilon: Some(-1e-8), ..Hyper1d::default() };
        assert!(trace_1d(Fn1d::F1, OptimizerKind::Adam, 0.0, 1, &hyper).is_err());
    }
}
