//! Stochastic gradient descent with momentum, in one pass over the parameters.

use burn::config::Config;
use burn::grad_clipping::GradientClippingConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{LearningRate, ModuleOptimizer, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};
use kiln_kernels::{FlexSlice, share};

use crate::hyperparameter::{assert_learning_rate, non_negative, single_precision_fraction};
use crate::widest_vectors::{CHUNK, chunk_length, with_widest_vectors};
use crate::{OptimError, clipping};

/// Configuration of [`Sgd`].
///
/// ```
/// use kiln_optim::SgdConfig;
///
/// let optimizer = SgdConfig::new().with_nesterov(true).init()?;
/// # Ok::<(), kiln_optim::OptimError>(())
/// ```
#[derive(Config, Debug)]
pub struct SgdConfig {
    /// Factor `mu` of the velocity, in `[0, 1)`.
    #[config(default = 0.9)]
    pub momentum: f64,
    /// Step along the velocity of the next step, not of this one.
    #[config(default = false)]
    pub nesterov: bool,
    /// Coupled L2 penalty: `penalty * theta` is added to the gradient.
    pub weight_decay: Option<WeightDecayConfig>,
    /// Clipping of each parameter's gradient before anything else.
    pub grad_clipping: Option<GradientClippingConfig>,
}

impl SgdConfig {
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
    pub fn build(&self) -> Result<Sgd, OptimError> {
        let weight_decay = self.weight_decay.as_ref().map_or(0.0, |decay| f64::from(decay.penalty));
        clipping::check(self.grad_clipping.as_ref())?;
        Ok(Sgd {
            momentum: single_precision_fraction("momentum", self.momentum)?,
            nesterov: self.nesterov,
            weight_decay: non_negative("weight_decay", weight_decay)? as f32,
        })
    }
}

/// Stochastic gradient descent with momentum.
///
/// ```text
/// g = gradient + weight_decay theta
/// v = mu v + g, at first g
/// theta = theta - lr v, or theta - lr (mu v + g) with Nesterov's momentum
/// ```
/// `f32` parameters on the Flex device are updated in one pass in place, to the same bits as by Burn's operations.
///
/// Source: Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
#[derive(Debug, Clone)]
pub struct Sgd {
    momentum: f32,
    nesterov: bool,
    weight_decay: f32,
}

/// What [`Sgd`] remembers of one parameter. It is recorded as by Burn's.
#[derive(Debug, Clone)]
pub struct SgdState<const D: usize> {
    /// The velocity `v`.
    pub velocity: Tensor<D>,
}

impl Optimizer for Sgd {
    type State<const D: usize> = SgdState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<SgdState<D>>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        assert_learning_rate(lr);
        // With a velocity of zero the first step is `v = g`.
        let velocity = state.map_or_else(|| tensor.zeros_like(), |state| state.velocity);
        let accepts = |part: &Tensor<D>| FlexSlice::<f32>::accepts(part) && part.shape() == tensor.shape();
        if [&tensor, &grad, &velocity].into_iter().all(accepts) {
            self.in_place(lr as f32, tensor, grad, velocity)
        } else {
            self.composed(lr, tensor, grad, velocity)
        }
    }

    fn to_device<const D: usize>(state: SgdState<D>, device: &Device) -> SgdState<D> {
        SgdState { velocity: state.velocity.to_device(device) }
    }
}

impl Sgd {
    fn in_place<const D: usize>(
        &self,
        learning_rate: f32,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        velocity: Tensor<D>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        let [mut theta, mut velocity] = [tensor, velocity].map(FlexSlice::<f32>::new);
        let grad = FlexSlice::<f32>::new(grad);
        let length = match theta.values().len() {
            few if few <= CHUNK => few.max(1),
            many => chunk_length(many),
        };
        let pairs = theta.values_mut().chunks_mut(length).zip(velocity.values_mut().chunks_mut(length));
        share(pairs.zip(grad.values().chunks(length)).collect(), |((theta, velocity), grad)| {
            let update = match (self.nesterov, self.weight_decay != 0.0) {
                (false, false) => run::<false, false>,
                (false, true) => run::<false, true>,
                (true, false) => run::<true, false>,
                (true, true) => run::<true, true>,
            };
            update(theta, velocity, grad, self.momentum, self.weight_decay, learning_rate);
        });
        (theta.into_tensor(), Some(SgdState { velocity: velocity.into_tensor() }))
    }

    fn composed<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        velocity: Tensor<D>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        let grad = if self.weight_decay == 0.0 { grad } else { tensor.clone() * self.weight_decay + grad };
        let velocity = velocity * self.momentum + grad.clone();
        let along = if self.nesterov { velocity.clone() * self.momentum + grad } else { velocity.clone() };
        (tensor - along * lr, Some(SgdState { velocity }))
    }
}

/// The loop over elements.
#[inline(always)]
fn update<const NESTEROV: bool, const DECAY: bool>(
    theta: &mut [f32],
    velocity: &mut [f32],
    grad: &[f32],
    momentum: f32,
    weight_decay: f32,
    learning_rate: f32,
) {
    for ((theta, velocity), grad) in theta.iter_mut().zip(velocity).zip(grad) {
        let g = if DECAY { *theta * weight_decay + *grad } else { *grad };
        *velocity = *velocity * momentum + g;
        let along = if NESTEROV { *velocity * momentum + g } else { *velocity };
        *theta -= along * learning_rate;
    }
}

with_widest_vectors! {
    /// [`update`] in the widest vectors.
    fn run<const NESTEROV: bool, const DECAY: bool>(
        theta: &mut [f32],
        velocity: &mut [f32],
        grad: &[f32],
        momentum: f32,
        weight_decay: f32,
        learning_rate: f32,
    ) => update
}

/// Name of the velocity in records, as Burn's `Sgd` writes it.
const VELOCITY: &str = "momentum.velocity";

impl<const D: usize> RecordState for SgdState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, VELOCITY, self.velocity.to_data());
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        let data = src.take_tensor(prefix, VELOCITY)?;
        let dtype = data.dtype();
        Some(Self { velocity: Tensor::from_data(data, (device, dtype)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::momentum::MomentumConfig;
    use burn::tensor::{DType, TensorData};
    use kiln_check::random::normal;

    fn path<O: Optimizer>(optimizer: &O, start: &Tensor<2>, grads: &[Tensor<2>]) -> TensorData {
        let steps = grads.iter().fold((start.clone(), None), |at, grad| optimizer.step(0.1, at.0, grad.clone(), at.1));
        steps.0.into_data()
    }

    #[test]
    fn the_fused_step_has_the_bits_of_burns_sgd() {
        // More than a chunk of elements, by a number that no vector width divides.
        let normal = || normal([331, 127], DType::F32);
        let (start, grads): (Tensor<2>, Vec<_>) = (normal(), (0..4).map(|_| normal()).collect());
        for nesterov in [false, true] {
            for penalty in [None, Some(WeightDecayConfig::new(0.1))] {
                let ours = SgdConfig::new().with_nesterov(nesterov).with_weight_decay(penalty.clone()).build().unwrap();
                let momentum = MomentumConfig::new().with_dampening(0.0).with_nesterov(nesterov);
                let burns = burn::optim::SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(penalty);
                let expected = path(&burns.build(), &start, &grads);
                assert_eq!(path(&ours, &start, &grads), expected, "nesterov {nesterov}");
                let double = |tensor: &Tensor<2>| tensor.clone().cast(DType::F64);
                let composed = path(&ours, &double(&start), &grads.iter().map(double).collect::<Vec<_>>());
                for (found, expected) in composed.iter::<f64>().zip(expected.iter::<f64>()) {
                    assert!((found - expected).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn two_steps_by_hand() {
        let optimizer = SgdConfig::new().with_momentum(0.5).build().unwrap();
        let one = || Tensor::<1>::from_data([1.0f32], &Device::flex());
        let (tensor, state) = optimizer.step(0.1, one(), one(), None);
        let (tensor, state) = optimizer.step(0.1, tensor, one(), state);
        // v = 1, then 1.5
        assert!((tensor.into_scalar::<f32>() - 0.75).abs() < 1e-6);
        assert_eq!(state.unwrap().velocity.into_scalar::<f32>(), 1.5);
    }

    #[test]
    fn wrong_hyperparameters_are_refused() {
        for wrong in [
            SgdConfig::new().with_momentum(1.0),
            SgdConfig::new().with_weight_decay(Some(WeightDecayConfig::new(-0.1))),
            SgdConfig::new().with_grad_clipping(Some(GradientClippingConfig::Norm(0.0))),
        ] {
            assert!(wrong.build().is_err(), "{wrong:?}");
        }
    }
}
