//! diffGrad: Adam whose step shrinks where the gradient has stopped changing.

mod exponential;
mod friction;
mod fused;
mod monitor;
mod portable;
mod state;
mod statistics;

pub use friction::{DiffGradFriction, EpsPlacement};
pub use monitor::{FrictionMonitor, FrictionRecord};
pub use state::DiffGradState;
pub use statistics::{FrictionHistogram, FrictionStats, friction_stats};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};

use crate::hyperparameter::{assert_learning_rate, fraction_below_one, non_negative};
use crate::{OptimError, clipping};

/// Configuration of [`DiffGrad`]. The defaults are the paper's.
///
/// ```
/// use kiln_optim::DiffGradConfig;
///
/// let optimizer = DiffGradConfig::new().with_beta_1(0.95).init()?;
/// # Ok::<(), kiln_optim::OptimError>(())
/// ```
#[derive(Config, Debug)]
pub struct DiffGradConfig {
    /// Decay `beta_1` of the first moment, in `[0, 1)`.
    #[config(default = 0.9)]
    pub beta_1: f64,
    /// Decay `beta_2` of the second moment, in `[0, 1)`.
    #[config(default = 0.999)]
    pub beta_2: f64,
    /// Numerical floor `eps >= 0` of the denominator.
    #[config(default = 1e-8)]
    pub epsilon: f64,
    /// Coupled L2 penalty: `penalty * theta` is added to the gradient, and so enters the gradient's change, too.
    pub weight_decay: Option<WeightDecayConfig>,
    /// Clipping of each parameter's gradient before anything else.
    pub grad_clipping: Option<GradientClippingConfig>,
    /// How the friction coefficient follows from the gradient's change.
    #[config(default = "DiffGradFriction::AbsSigmoid")]
    pub friction: DiffGradFriction,
    /// Where `eps` stands in the denominator.
    #[config(default = "EpsPlacement::Authors")]
    pub eps_placement: EpsPlacement,
    /// Divide by the largest second moment so far. Ours, after AMSGrad.
    #[config(default = false)]
    pub amsgrad: bool,
    /// Leave a parameter and its state untouched where its gradient has an infinite or undefined element, and count it, see
    /// [`DiffGrad::skipped`]. Without it such a gradient propagates, as in Adam. With gradient clipping by norm, the check sees
    /// the clipped gradient.
    #[config(default = false)]
    pub skip_nonfinite: bool,
}

impl DiffGradConfig {
    /// The optimizer of a whole module, with the configured gradient clipping.
    ///
    /// # Errors
    /// [`OptimError::InvalidHyperparameter`] where a value is out of its range.
    pub fn init(&self) -> Result<ModuleOptimizer, OptimError> {
        Ok(clipping::of_module(self.build()?, self.grad_clipping.as_ref()))
    }

    /// The bare optimizer, for [`ModuleOptimizer::with_group`] and [`DiffGrad::with_monitor`]; gradient clipping is
    /// [`init`](Self::init)'s.
    ///
    /// # Errors
    /// [`OptimError::InvalidHyperparameter`] where a value is out of its range.
    pub fn build(&self) -> Result<DiffGrad, OptimError> {
        let weight_decay = self.weight_decay.as_ref().map_or(0.0, |decay| f64::from(decay.penalty));
        clipping::check(self.grad_clipping.as_ref())?;
        Ok(DiffGrad {
            beta_1: fraction_below_one("beta_1", self.beta_1)?,
            beta_2: fraction_below_one("beta_2", self.beta_2)?,
            epsilon: non_negative("epsilon", self.epsilon)?,
            weight_decay: non_negative("weight_decay", weight_decay)?,
            friction: self.friction.check()?,
            eps_placement: self.eps_placement,
            amsgrad: self.amsgrad,
            skipped: self.skip_nonfinite.then(SkippedSteps::default),
            monitor: None,
        })
    }
}

/// diffGrad: Adam whose step is multiplied by a friction coefficient `xi`.
///
/// ```text
/// g  = gradient + weight_decay theta
/// m  = beta_1 m + (1 - beta_1) g           v = beta_2 v + (1 - beta_2) g^2
/// xi = 1 / (1 + exp(-|g_prev - g|))        g_prev = g
/// theta = theta - lr xi mhat / (sqrt(vhat) + eps)
/// mhat = m / (1 - beta_1^t)                vhat = v / (1 - beta_2^t)
/// ```
/// A coordinate whose gradient still changes moves as in Adam, one whose gradient stands still moves at half Adam's rate.
/// `xi` multiplies the step only; it enters neither moment. Because `xi` sees the gradient itself, it depends on the scale of
/// the loss: where gradients are small, say below 1e-2, `xi` is close to 0.5 everywhere and diffGrad at rate `lr` is nearly Adam at
/// `lr / 2`. [`FrictionMonitor`] shows whether that is so, [`DiffGradFriction::Normalized`] is free of it.
///
/// `f32` parameters on the Flex device are updated in one pass in place; every other device and type goes through tensor
/// operations.
///
/// Source: arXiv 1909.11015, section III.
#[derive(Debug, Clone)]
pub struct DiffGrad {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    weight_decay: f64,
    friction: DiffGradFriction,
    eps_placement: EpsPlacement,
    amsgrad: bool,
    skipped: Option<SkippedSteps>,
    monitor: Option<FrictionMonitor>,
}

impl DiffGrad {
    /// Has `monitor` record the friction coefficients of the parameters that this optimizer updates.
    pub fn with_monitor(mut self, monitor: FrictionMonitor) -> Self {
        self.monitor = Some(monitor);
        self
    }

    /// The count of skipped updates, where the configuration asks to skip them; it goes on counting after the optimizer has
    /// moved into a [`ModuleOptimizer`].
    pub fn skipped(&self) -> Option<SkippedSteps> {
        self.skipped.clone()
    }

    /// What of the update does not depend on the coordinate, at step `time >= 1`.
    fn coefficients(&self, learning_rate: f64, time: usize) -> Coefficients {
        let time = i32::try_from(time).unwrap_or(i32::MAX);
        let correction_1 = 1.0 - self.beta_1.powi(time);
        let correction_2_sqrt = (1.0 - self.beta_2.powi(time)).sqrt();
        Coefficients {
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            step_size: learning_rate * correction_2_sqrt / correction_1,
            epsilon: match self.eps_placement {
                EpsPlacement::Authors => self.epsilon,
                EpsPlacement::Paper => self.epsilon * correction_2_sqrt,
            },
            weight_decay: self.weight_decay,
            correction_2_sqrt,
        }
    }
}

/// The update's scalars: `theta -= step_size m xi / (sqrt(v) + epsilon)`, where `v` is not bias corrected.
#[derive(Debug, Clone, Copy)]
struct Coefficients {
    beta_1: f64,
    beta_2: f64,
    step_size: f64,
    epsilon: f64,
    weight_decay: f64,
    /// `sqrt(1 - beta_2^t)`: `sqrt(vhat) + eps` is `(sqrt(v) + epsilon) / correction_2_sqrt` in the paper's placement.
    correction_2_sqrt: f64,
}

impl Optimizer for DiffGrad {
    type State<const D: usize> = DiffGradState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<DiffGradState<D>>,
    ) -> (Tensor<D>, Option<DiffGradState<D>>) {
        assert_learning_rate(lr);
        if let Some(skipped) = &self.skipped
            && !fused::all_finite(&grad)
        {
            skipped.count.fetch_add(1, Ordering::Relaxed);
            return (tensor, state);
        }
        let mut state = match state {
            Some(state) => state.expect_shape(&tensor),
            None => DiffGradState::zeros_like(&tensor),
        };
        state.time = state.time.saturating_add(1);
        if self.amsgrad && state.max_moment_2.is_none() {
            state.max_moment_2 = Some(tensor.zeros_like());
        }
        if let Some(monitor) = &self.monitor {
            monitor.observe(self, &tensor, &grad, &state);
        }
        let coefficients = self.coefficients(lr, state.time);
        let (tensor, state) = if fused::accepts(&tensor, &grad, &state) {
            fused::step(self, coefficients, tensor, grad, state)
        } else {
            portable::step(self, coefficients, tensor, grad, state)
        };
        (tensor, Some(state))
    }

    fn to_device<const D: usize>(state: DiffGradState<D>, device: &Device) -> DiffGradState<D> {
        state.moved_to(device)
    }
}

/// A count of parameter updates that were skipped, shared between an optimizer and whoever reads it.
#[derive(Debug, Clone, Default)]
pub struct SkippedSteps {
    count: Arc<AtomicU64>,
}

impl SkippedSteps {
    /// How many updates of single parameter tensors have been skipped so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
