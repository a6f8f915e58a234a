//! The conformance suite of every optimizer.

use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, Param, ParamGroup};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};

use crate::closeness::{assert_close, values};

/// Checks all that is true of every optimizer:
///
/// - at `rate` it brings a badly scaled quadratic in 15 variables to less than a hundredth of its start within 2000 steps;
/// - the same steps taken twice give the same bits, and so does a run whose state was saved and restored in the middle;
/// - a rate of 0 moves nothing, and the first step is proportional to the rate;
/// - a parameter group with its own rate moves as if it were alone.
///
/// # Panics
/// At the first property that does not hold.
#[track_caller]
pub fn check(rate: f64, optimizer: impl Fn() -> ModuleOptimizer) {
    it_converges_on_a_quadratic(rate, &optimizer);
    a_restored_state_continues_bit_for_bit(rate, &optimizer);
    rates_scale_the_first_step(rate, &optimizer);
    parameter_groups_are_independent(rate, &optimizer);
}

/// A vector and a matrix, pulled to fixed targets by springs of different strength.
#[derive(Module, Debug)]
struct Springs {
    vector: Param<Tensor<1>>,
    matrix: Param<Tensor<2>>,
}

impl Springs {
    fn new() -> Self {
        let device = Device::flex().autodiff();
        Self {
            vector: Param::from_tensor(Tensor::zeros([3], &device)),
            matrix: Param::from_tensor(Tensor::zeros([4, 3], &device)),
        }
    }

    fn loss(&self) -> Tensor<1> {
        let device = Device::flex().autodiff();
        let strength = Tensor::<1>::from_data([0.3f32, 1.0, 3.0], &device);
        let target = Tensor::<1>::from_data([1.0f32, -0.5, 0.8], &device);
        let vector = (self.vector.val() - target.clone()).square() * strength.clone();
        let matrix = (self.matrix.val() + target.unsqueeze()).square() * strength.unsqueeze();
        vector.sum() + matrix.sum()
    }

    fn step(self, optimizer: &mut ModuleOptimizer, rate: impl Into<ModuleLearningRate>) -> Self {
        let grads = GradientsParams::from_grads(self.loss().backward(), &self);
        optimizer.step(rate, self, grads)
    }

    fn values(&self) -> Vec<f64> {
        [values(&self.vector.val()), values(&self.matrix.val())].concat()
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
fn a_restored_state_continues_bit_for_bit(rate: f64, optimizer: &impl Fn() -> ModuleOptimizer) {
    let mut first = optimizer();
    let mut springs = Springs::new();
    for _ in 0..3 {
        springs = springs.step(&mut first, rate);
    }
    let state = first.into_bytes().expect("the state can be written");
    let mut restored = optimizer().from_bytes(state).expect("the state can be read");
    let mut resumed = springs.clone();
    for step in 4..=8 {
        springs = springs.step(&mut first, rate);
        resumed = resumed.step(&mut restored, rate);
        assert_eq!(springs.values(), resumed.values(), "step {step} after a state restored at step 3");
    }
    let mut again = (optimizer(), Springs::new());
    for _ in 0..8 {
        again.1 = again.1.step(&mut again.0, rate);
    }
    assert_eq!(springs.values(), again.1.values(), "a second run of the same 8 steps");
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
fn parameter_groups_are_independent(rate: f64, optimizer: &impl Fn() -> ModuleOptimizer) {
    let run = |mut scheduler: ModuleLrScheduler| {
        let mut optimizer = optimizer();
        (0..5).fold(Springs::new(), |springs, _| springs.step(&mut optimizer, scheduler.step()))
    };
    let everything = run(ModuleLrScheduler::new(rate));
    let matrix_rests = run(ModuleLrScheduler::new(rate).with_group(ParamGroup::from_predicate("matrix"), 0.0));
    assert_eq!(values(&everything.vector.val()), values(&matrix_rests.vector.val()), "the group that still moves");
    assert!(values(&matrix_rests.matrix.val()).iter().all(|&value| value == 0.0), "the group with rate 0 moved");
}
