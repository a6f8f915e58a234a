//! Adam, AMSGrad and AdamW in one pass over the parameters.

mod fused;

use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamState, LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};

use crate::hyperparameter::{assert_learning_rate, non_negative, single_precision_fraction};
use crate::{OptimError, clipping};

/// Configuration of [`Adam`]. The defaults are the paper's.
///
/// ```
/// use kiln_optim::AdamConfig;
///
/// let adamw = AdamConfig::new().with_decoupled_weight_decay(0.01).init()?;
/// # Ok::<(), kiln_optim::OptimError>(())
/// ```
#[derive(Config, Debug)]
pub struct AdamConfig {
    /// Decay `beta_1` of the first moment, in `[0, 1)`.
    #[config(default = 0.9)]
    pub beta_1: f64,
    /// Decay `beta_2` of the second moment, in `[0, 1)`.
    #[config(default = 0.999)]
    pub beta_2: f64,
    /// Numerical floor `eps >= 0` of the denominator.
    #[config(default = 1e-8)]
    pub epsilon: f64,
    /// Divide by the largest second moment so far: AMSGrad.
    #[config(default = false)]
    pub amsgrad: bool,
    /// Coupled L2 penalty: `penalty * theta` is added to the gradient.
    pub weight_decay: Option<WeightDecayConfig>,
    /// Decoupled decay: each step shrinks `theta` by `lr decay theta`, beside the gradient. With it Adam is AdamW.
    #[config(default = 0.0)]
    pub decoupled_weight_decay: f64,
    /// Clipping of each parameter's gradient before anything else.
    pub grad_clipping: Option<GradientClippingConfig>,
}

impl AdamConfig {
    /// The optimizer of a whole module, with the configured gradient clipping.
    ///
    /// # Errors
    /// [`OptimError::InvalidHyperparameter`] where a value is out of its range.
    pub fn init(&self) -> Result<ModuleOptimizer, OptimError> {
        Ok(clipping::of_module(self.build()?, self.grad_clipping.as_ref()))
    }

    /// The bare optimizer, for [`ModuleOptimizer::with_group`]; gradient clipping is [`init`](Self::init)'s.
    ///
    /// # Errors
    /// [`OptimError::InvalidHyperparameter`] where a value is out of its range.
    pub fn build(&self) -> Result<Adam, OptimError> {
        let weight_decay = self.weight_decay.as_ref().map_or(0.0, |decay| f64::from(decay.penalty));
        clipping::check(self.grad_clipping.as_ref())?;
        Ok(Adam {
            beta_1: single_precision_fraction("beta_1", self.beta_1)?,
            beta_2: single_precision_fraction("beta_2", self.beta_2)?,
            epsilon: non_negative("epsilon", self.epsilon)? as f32,
            amsgrad: self.amsgrad,
            weight_decay: non_negative("weight_decay", weight_decay)? as f32,
            decoupled_weight_decay: non_negative("decoupled_weight_decay", self.decoupled_weight_decay)?,
        })
    }
}

/// Adam, with the options that make it AMSGrad and AdamW.
///
/// ```text
/// g = gradient + weight_decay theta
/// m = beta_1 m + (1 - beta_1) g            v = beta_2 v + (1 - beta_2) g^2
/// theta = (1 - lr decoupled_weight_decay) theta - lr mhat / (sqrt(vhat) + eps)
/// mhat = m / (1 - beta_1^t)                vhat = v / (1 - beta_2^t)
/// ```
/// `f32` parameters on the Flex device are updated in one pass in place, to the same bits as by Burn's Adam; every other
/// device and type goes through Burn's Adam itself. The state is Burn's, so that either can go on from what the other saved.
///
/// Source: arXiv 1412.6980, algorithm 1; arXiv 1904.09237 for AMSGrad; arXiv 1711.05101 for AdamW.
#[derive(Debug, Clone)]
pub struct Adam {
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
    amsgrad: bool,
    weight_decay: f32,
    decoupled_weight_decay: f64,
}

impl Adam {
    /// The same as a composition of tensor operations, but for the decoupled decay.
    fn composed(&self) -> burn::optim::Adam {
        let weight_decay = (self.weight_decay != 0.0).then(|| WeightDecayConfig::new(self.weight_decay));
        burn::optim::AdamConfig::new()
            .with_beta_1(self.beta_1)
            .with_beta_2(self.beta_2)
            .with_epsilon(self.epsilon)
            .with_amsgrad(self.amsgrad)
            .with_weight_decay(weight_decay)
            .build()
    }

    /// What a step leaves of the parameter before it goes along the gradient.
    fn keep(&self, learning_rate: f64) -> f64 {
        1.0 - learning_rate * self.decoupled_weight_decay
    }
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        assert_learning_rate(lr);
        if fused::accepts(&tensor, &grad, state.as_ref()) {
            let (tensor, momentum) = fused::step(self, lr, tensor, grad, state.map(|state| state.momentum));
            return (tensor, Some(AdamState::new(momentum)));
        }
        let tensor = if self.decoupled_weight_decay == 0.0 { tensor } else { tensor * self.keep(lr) };
        self.composed().step(lr, tensor, grad, state)
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        burn::optim::Adam::to_device(state, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::AdamWConfig;
    use burn::tensor::{DType, TensorData};
    use kiln_check::random;

    /// Five steps on random gradients.
    fn path<O: Optimizer>(optimizer: &O, start: &Tensor<2>, grads: &[Tensor<2>], rate: f64) -> TensorData {
        let mut at = (start.clone(), None);
        for grad in grads {
            at = optimizer.step(rate, at.0, grad.clone(), at.1);
        }
        at.0.into_data()
    }

    fn normal(shape: [usize; 2]) -> Tensor<2> {
        random::normal(shape, DType::F32)
    }

    #[test]
    fn the_fused_step_has_the_bits_of_burns_adam() {
        // More than a chunk of elements, by a number that no vector width divides.
        let start = normal([331, 127]);
        let grads: Vec<Tensor<2>> = (0..5).map(|_| normal([331, 127])).collect();
        for amsgrad in [false, true] {
            for penalty in [None, Some(WeightDecayConfig::new(0.1))] {
                let ours = AdamConfig::new().with_amsgrad(amsgrad).with_weight_decay(penalty.clone()).build().unwrap();
                let burns = burn::optim::AdamConfig::new().with_epsilon(1e-8).with_amsgrad(amsgrad);
                let burns = burns.with_weight_decay(penalty.clone()).build();
                let expected = path(&burns, &start, &grads, 1e-2);
                assert_eq!(path(&ours, &start, &grads, 1e-2), expected, "amsgrad {amsgrad}, penalty {penalty:?}");
            }
        }
    }

    #[test]
    fn decoupled_decay_is_that_of_burns_adamw() {
        let start = normal([9, 7]);
        let grads: Vec<Tensor<2>> = (0..5).map(|_| normal([9, 7])).collect();
        let ours = AdamConfig::new().with_decoupled_weight_decay(0.5).build().unwrap();
        let burns = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.5).build();
        for dtype in [DType::F32, DType::F64] {
            let start = start.clone().cast(dtype);
            let grads: Vec<Tensor<2>> = grads.iter().map(|grad| grad.clone().cast(dtype)).collect();
            let (found, expected) = (path(&ours, &start, &grads, 0.1), path(&burns, &start, &grads, 0.1));
            for (found, expected) in found.iter::<f64>().zip(expected.iter::<f64>()) {
                assert!((found - expected).abs() < 1e-6, "{dtype:?}: {found} and {expected}");
            }
        }
    }

    #[test]
    fn either_goes_on_from_the_others_state() {
        let (ours, burns) = (AdamConfig::new().build().unwrap(), AdamConfig::new().build().unwrap().composed());
        let (start, first, second) = (normal([3, 4]), normal([3, 4]), normal([3, 4]));
        let (middle, state) = burns.step(0.1, start, first, None);
        let (by_ours, _) = ours.step(0.1, middle.clone(), second.clone(), state.clone());
        let (by_burn, _) = burns.step(0.1, middle, second, state);
        assert_eq!(by_ours.into_data(), by_burn.into_data());
    }

    #[test]
    fn wrong_hyperparameters_are_refused() {
        let wrong = [
            AdamConfig::new().with_beta_1(1.0),
            AdamConfig::new().with_beta_2(0.99999999),
            AdamConfig::new().with_epsilon(-1.0),
            AdamConfig::new().with_weight_decay(Some(WeightDecayConfig::new(-0.1))),
            AdamConfig::new().with_decoupled_weight_decay(f64::NAN),
            AdamConfig::new().with_grad_clipping(Some(GradientClippingConfig::Norm(0.0))),
        ];
        for config in wrong {
            assert!(config.build().is_err(), "{config:?}");
        }
    }
}
