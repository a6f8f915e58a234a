//! AdaDelta, an adaptive method whose step has the parameter's own unit.

use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{LearningRate, ModuleOptimizer, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

use crate::hyperparameter::{assert_learning_rate, fraction_below_one, non_negative, positive};
use crate::{OptimError, clipping};

/// Configuration of [`AdaDelta`]. The defaults are the paper's; its learning rate is 1.
///
/// ```
/// let optimizer = kiln_optim::AdaDeltaConfig::new().init()?;
/// # Ok::<(), kiln_optim::OptimError>(())
/// ```
#[derive(Config, Debug)]
pub struct AdaDeltaConfig {
    /// Decay `rho` of both running means, in `[0, 1)`.
    #[config(default = 0.95)]
    pub rho: f64,
    /// Added under both roots, above 0: it also starts the motion.
    #[config(default = 1e-6)]
    pub epsilon: f64,
    /// Coupled L2 penalty.
    pub weight_decay: Option<WeightDecayConfig>,
    /// Clipping of each parameter's gradient.
    pub grad_clipping: Option<GradientClippingConfig>,
}

impl AdaDeltaConfig {
    /// The optimizer of a whole module, with the configured gradient clipping.
    ///
    /// # Errors
    /// [`OptimError::InvalidHyperparameter`] where a value is out of its range.
    pub fn init(&self) -> Result<ModuleOptimizer, OptimError> {
        Ok(clipping::of_module(self.build()?, self.grad_clipping.as_ref()))
    }

    /// The bare optimizer, for [`ModuleOptimizer::with_group`].
    ///
    /// # Errors
    /// [`OptimError::InvalidHyperparameter`] where a value is out of its range.
    pub fn build(&self) -> Result<AdaDelta, OptimError> {
        let weight_decay = self.weight_decay.as_ref().map_or(0.0, |decay| f64::from(decay.penalty));
        clipping::check(self.grad_clipping.as_ref())?;
        Ok(AdaDelta {
            rho: fraction_below_one("rho", self.rho)?,
            epsilon: positive("epsilon", self.epsilon)?,
            weight_decay: non_negative("weight_decay", weight_decay)?,
        })
    }
}

/// AdaDelta.
///
/// ```text
/// v = rho v + (1 - rho) g^2
/// d = sqrt(u + eps) / sqrt(v + eps) g        u = rho u + (1 - rho) d^2
/// theta = theta - lr d
/// ```
/// Source: arXiv 1212.5701, algorithm 1.
#[derive(Debug, Clone)]
pub struct AdaDelta {
    rho: f64,
    epsilon: f64,
    weight_decay: f64,
}

/// What [`AdaDelta`] remembers of one parameter.
#[derive(Debug, Clone)]
pub struct AdaDeltaState<const D: usize> {
    /// Running mean `v` of squared gradients.
    pub squared_grad: Tensor<D>,
    /// Running mean `u` of squared steps.
    pub squared_step: Tensor<D>,
}

impl Optimizer for AdaDelta {
    type State<const D: usize> = AdaDeltaState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdaDeltaState<D>>,
    ) -> (Tensor<D>, Option<AdaDeltaState<D>>) {
        assert_learning_rate(lr);
        let grad = if self.weight_decay == 0.0 { grad } else { grad + tensor.clone() * self.weight_decay };
        let (squared_grad, squared_step) = match state {
            Some(state) => (state.squared_grad, state.squared_step),
            None => (tensor.zeros_like(), tensor.zeros_like()),
        };
        let squared_grad = squared_grad * self.rho + grad.clone().square() * (1.0 - self.rho);
        let ratio = (squared_step.clone() + self.epsilon) / (squared_grad.clone() + self.epsilon);
        let step = ratio.sqrt() * grad;
        let squared_step = squared_step * self.rho + step.clone().square() * (1.0 - self.rho);
        (tensor - step * lr, Some(AdaDeltaState { squared_grad, squared_step }))
    }

    fn to_device<const D: usize>(state: AdaDeltaState<D>, device: &Device) -> AdaDeltaState<D> {
        AdaDeltaState {
            squared_grad: state.squared_grad.to_device(device),
            squared_step: state.squared_step.to_device(device),
        }
    }
}

impl<const D: usize> RecordState for AdaDeltaState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, "squared_grad", self.squared_grad.to_data());
        out.push_tensor(prefix, "squared_step", self.squared_step.to_data());
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        let mut take = |name: &str| {
            let data = src.take_tensor(prefix, name)?;
            let dtype = data.dtype();
            Some(Tensor::from_data(data, (device, dtype)))
        };
        Some(Self { squared_grad: take("squared_grad")?, squared_step: take("squared_step")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_by_hand() {
        let optimizer = AdaDeltaConfig::new().with_rho(0.9).build().unwrap();
        let device = Device::flex();
        let one = || Tensor::<1>::from_data([1.0f32], &device);
        let (tensor, state) = optimizer.step(1.0, one(), one(), None);
        // v = 0.1, d = sqrt(1e-6 / 0.100001)
        let first = (1e-6f64 / 0.100_001).sqrt();
        assert!((tensor.clone().into_scalar::<f64>() - (1.0 - first)).abs() < 1e-7);
        let (tensor, _) = optimizer.step(1.0, tensor, one(), state);
        // v = 0.19, u = 0.1 d^2
        let second = ((0.1 * first * first + 1e-6) / 0.190_001).sqrt();
        assert!((tensor.into_scalar::<f64>() - (1.0 - first - second)).abs() < 1e-6);
    }
}
