//! The conformance suite of every optimizer.

use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, Param, ParamGroup};
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::closeness::{assert_close, values};

/// Checks all that is true of every optimizer:
///
/// - at `rate` it brings a badly scaled quadratic in 15 variables to less than a hundredth of its start within 2000 steps;
/// - the same steps taken twice give the same bits, and so does a run whose state was saved and restored in the middle;
/// - parameters in `f64` stay in `f64` and agree with those in `f32`;
/// - a rate of 0 moves nothing, the first step is proportional to the rate, and every step takes the rate of its own;
/// - parameter groups with their own rate, or with an optimizer of their own, move as if they were alone.
///
/// # Panics
/// At the first property that does not hold.
#[track_caller]
pub fn check(rate: f64, optimizer: impl Fn() -> ModuleOptimizer) {
    it_converges_on_a_quadratic(rate, &optimizer);
    a_restored_state_continues_bit_for_bit(rate, &optimizer, DType::F32);
    double_precision_agrees_with_single(rate, &optimizer);
    rates_scale_the_first_step(rate, &optimizer);
    every_step_takes_its_own_rate(rate, &optimizer);
    groups_with_their_own_rate_are_independent(rate, &optimizer);
    groups_with_their_own_optimizer_are_independent(rate, &optimizer);
}

/// Checks besides that the state of parameters in `f64` continues bit for bit after it was saved and restored.
///
/// Burn's own optimizers with a state do not: Burn 0.22.1 reads the state back in `f32`, which the next step then refuses.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn check_state_in_double_precision(rate: f64, optimizer: impl Fn() -> ModuleOptimizer) {
    a_restored_state_continues_bit_for_bit(rate, &optimizer, DType::F64);
}

/// A vector and a matrix, pulled to fixed targets by springs of different strength.
#[derive(Module, Debug)]
struct Springs {
    vector: Param<Tensor<1>>,
    matrix: Param<Tensor<2>>,
}

impl Springs {
    fn new() -> Self {
        Self::of(DType::F32)
    }

    fn of(dtype: DType) -> Self {
        let device = Device::flex().autodiff();
        Self {
            vector: Param::from_tensor(Tensor::zeros([3], (&device, dtype))),
            matrix: Param::from_tensor(Tensor::zeros([4, 3], (&device, dtype))),
        }
    }

    fn loss(&self) -> Tensor<1> {
        let dtype = self.vector.val().dtype();
        let row = |data: [f64; 3]| {
            let data = TensorData::from(data).convert_dtype(dtype);
            Tensor::<1>::from_data(data, (&Device::flex().autodiff(), dtype))
        };
        let (strength, target) = (row([0.3, 1.0, 3.0]), row([1.0, -0.5, 0.8]));
        let vector = (self.vector.val() - target.clone()).square() * strength.clone();
        let matrix = (self.matrix.val() + target.unsqueeze()).square() * strength.unsqueeze();
        vector.sum() + matrix.sum()
    }

    fn step(self, optimizer: &mut ModuleOptimizer, rate: impl Into<ModuleLearningRate>) -> Self {
        let grads = GradientsParams::from_grads(self.loss().backward(), &self);
        optimizer.step(rate, self, grads)
    }

    /// Five steps of a new optimizer.
    fn after_five(mut optimizer: ModuleOptimizer, mut scheduler: ModuleLrScheduler) -> Self {
        (0..5).fold(Self::new(), |springs, _| springs.step(&mut optimizer, scheduler.step()))
    }

    fn values(&self) -> Vec<f64> {
        [self.vector_values(), self.matrix_values()].concat()
    }

    fn vector_values(&self) -> Vec<f64> {
        values(&self.vector.val())
    }

    fn matrix_values(&self) -> Vec<f64> {
        values(&self.matrix.val())
    }
}

#[track_caller]
fn it_converges_on_a_quadratic(rate: f64, optimizer: &impl Fn() -> ModuleOptimizer) {
    let mut optimizer = optimizer();
    let mut springs = Springs::new();
    let start = springs.loss().into_scalar::<f64>();
    for _ in 0..2000 {
        springs = springs.step(&mut optimizer, rate);
    }
    let end = springs.loss().into_scalar::<f64>();
    assert!(end < 0.01 * start, "after 2000 steps at rate {rate} the quadratic is at {end}, from {start}");
}

#[track_caller]
fn a_restored_state_continues_bit_for_bit(rate: f64, optimizer: &impl Fn() -> ModuleOptimizer, dtype: DType) {
    let mut first = optimizer();
    let mut springs = Springs::of(dtype);
    for _ in 0..3 {
        springs = springs.step(&mut first, rate);
    }
    let state = first.into_bytes().expect("the state can be written");
    let mut restored = optimizer().from_bytes(state).expect("the state can be read");
    let mut resumed = springs.clone();
    for step in 4..=8 {
        springs = springs.step(&mut first, rate);
        resumed = resumed.step(&mut restored, rate);
        assert_eq!(springs.values(), resumed.values(), "{dtype:?}: step {step} after a state restored at step 3");
    }
    let mut again = (optimizer(), Springs::of(dtype));
    for _ in 0..8 {
        again.1 = again.1.step(&mut again.0, rate);
    }
    assert_eq!(springs.values(), again.1.values(), "{dtype:?}: a second run of the same 8 steps");
}

#[track_caller]
fn double_precision_agrees_with_single(rate: f64, optimizer: &impl Fn() -> ModuleOptimizer) {
    let run = |dtype| {
        let mut optimizer = optimizer();
        (0..8).fold(Springs::of(dtype), |springs, _| springs.step(&mut optimizer, rate))
    };
    let (single, double) = (run(DType::F32), run(DType::F64));
    assert_close(&single.values(), &double.values(), 1e-4);
    let types = (double.vector.val().dtype(), double.matrix.val().dtype());
    assert_eq!(types, (DType::F64, DType::F64), "the number type of parameters in double precision");
    let rounded = double.values().iter().all(|&value| value == f64::from(value as f32));
    assert!(!rounded, "parameters in double precision were rounded to single: {:?}", double.values());
}

#[track_caller]
fn rates_scale_the_first_step(rate: f64, optimizer: &impl Fn() -> ModuleOptimizer) {
    let first_step = |rate: f64| Springs::new().step(&mut optimizer(), rate).values();
    let still = first_step(0.0);
    assert!(still.iter().all(|&value| value == 0.0), "a rate of 0 moved the parameters to {still:?}");
    let doubled = first_step(rate / 2.0).iter().map(|value| 2.0 * value).collect::<Vec<_>>();
    assert_close(&first_step(rate), &doubled, 1e-6);
    let mut scheduler = ModuleLrScheduler::new(rate);
    let scheduled = Springs::new().step(&mut optimizer(), scheduler.step()).values();
    assert_eq!(scheduled, first_step(rate), "a constant schedule");
}

#[track_caller]
fn every_step_takes_its_own_rate(rate: f64, optimizer: &impl Fn() -> ModuleOptimizer) {
    let mut optimizer = optimizer();
    let first = Springs::new().step(&mut optimizer, rate);
    let second = first.clone().step(&mut optimizer, 0.0);
    assert_eq!(second.values(), first.values(), "a rate of 0 in the second step moved the parameters");
    let third = second.clone().step(&mut optimizer, rate);
    assert_ne!(third.values(), second.values(), "the parameters rest after a step of rate 0");
}

#[track_caller]
fn groups_with_their_own_rate_are_independent(rate: f64, optimizer: &impl Fn() -> ModuleOptimizer) {
    let matrix = || ParamGroup::from_predicate("matrix");
    let run = |scheduler| Springs::after_five(optimizer(), scheduler);
    let everything = run(ModuleLrScheduler::new(rate));
    let matrix_rests = run(ModuleLrScheduler::new(rate).with_group(matrix(), 0.0));
    assert_eq!(everything.vector_values(), matrix_rests.vector_values(), "the group that still moves");
    assert!(matrix_rests.matrix_values().iter().all(|&value| value == 0.0), "the group with rate 0 moved");
    let half = run(ModuleLrScheduler::new(rate / 2.0));
    let matrix_at_half = run(ModuleLrScheduler::new(rate).with_group(matrix(), rate / 2.0));
    assert_eq!(everything.vector_values(), matrix_at_half.vector_values(), "the group with the base rate");
    assert_eq!(half.matrix_values(), matrix_at_half.matrix_values(), "the group with half the rate");
}

#[track_caller]
fn groups_with_their_own_optimizer_are_independent(rate: f64, optimizer: &impl Fn() -> ModuleOptimizer) {
    let matrix_by_descent =
        || optimizer().with_group(ParamGroup::from_predicate("matrix"), SgdConfig::new().build(), None);
    let run = |optimizer| Springs::after_five(optimizer, ModuleLrScheduler::new(rate));
    let mixed = run(matrix_by_descent());
    assert_eq!(mixed.vector_values(), run(optimizer()).vector_values(), "the group without an optimizer of its own");
    let by_descent = run(SgdConfig::new().init());
    assert_eq!(mixed.matrix_values(), by_descent.matrix_values(), "the group that gradient descent moves");

    let mut first = matrix_by_descent();
    let springs = Springs::new().step(&mut first, rate);
    let state = first.into_bytes().expect("the state of both can be written");
    let mut restored = matrix_by_descent().from_bytes(state).expect("the state of both can be read");
    let resumed = springs.clone().step(&mut restored, rate);
    assert_eq!(springs.step(&mut first, rate).values(), resumed.values(), "two optimizers, restored");
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::{Optimizer, SgdState};
    use std::sync::{Arc, OnceLock};

    /// Gradient descent that goes on at the first rate it was ever given.
    #[derive(Clone, Default)]
    struct FirstRateForever {
        rate: Arc<OnceLock<f64>>,
    }

    impl Optimizer for FirstRateForever {
        type State<const D: usize> = SgdState<D>;

        fn step<const D: usize>(
            &self,
            rate: f64,
            tensor: Tensor<D>,
            gradient: Tensor<D>,
            state: Option<SgdState<D>>,
        ) -> (Tensor<D>, Option<SgdState<D>>) {
            let first = *self.rate.get_or_init(|| rate);
            (tensor - gradient * first, state)
        }

        fn to_device<const D: usize>(state: SgdState<D>, _device: &Device) -> SgdState<D> {
            state
        }
    }

    #[test]
    fn accepts_gradient_descent() {
        check(0.1, || SgdConfig::new().init());
    }

    #[test]
    #[should_panic(expected = "a rate of 0 in the second step moved the parameters")]
    fn refuses_an_optimizer_that_keeps_its_first_rate() {
        check(0.1, || FirstRateForever::default().into());
    }
}
