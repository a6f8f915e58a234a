//! The update in one pass over the memory of `f32` tensors on the Flex device.
//!
//! Each element is read and written once, in place, by a branch-free loop that is compiled for several instruction sets and
//! split over the cores. All instruction sets give the same bits.

use burn::tensor::Tensor;
use kiln_kernels::{FlexSlice, share};
use rayon::prelude::*;

use super::exponential::exp;
use super::{Coefficients, DiffGrad, DiffGradFriction, DiffGradState};
use crate::widest_vectors::{CHUNK, chunk_length, with_widest_vectors};

/// Whether [`step`] can update this parameter.
pub(super) fn accepts<const D: usize>(tensor: &Tensor<D>, grad: &Tensor<D>, state: &DiffGradState<D>) -> bool {
    tensor.shape() == grad.shape()
        && [tensor, grad, &state.moment_1, &state.moment_2, &state.previous_grad]
            .into_iter()
            .all(FlexSlice::<f32>::accepts)
        && state.max_moment_2.as_ref().is_none_or(FlexSlice::<f32>::accepts)
}

/// One update. `state.time` is already that of this step.
pub(super) fn step<const D: usize>(
    optimizer: &DiffGrad,
    coefficients: Coefficients,
    tensor: Tensor<D>,
    grad: Tensor<D>,
    state: DiffGradState<D>,
) -> (Tensor<D>, DiffGradState<D>) {
    let scalars = Scalars::new(optimizer.friction, coefficients);
    let mut theta = FlexSlice::new(tensor);
    let grad = FlexSlice::new(grad);
    let mut moment_1 = FlexSlice::new(state.moment_1);
    let mut moment_2 = FlexSlice::new(state.moment_2);
    let mut max_moment_2 = state.max_moment_2.map(FlexSlice::new);
    let mut previous_grad = FlexSlice::new(state.previous_grad);
    let decays = coefficients.weight_decay != 0.0;

    let slices = Slices {
        theta: theta.values_mut(),
        moment_1: moment_1.values_mut(),
        moment_2: moment_2.values_mut(),
        max_moment_2: match &mut max_moment_2 {
            Some(largest) if optimizer.amsgrad => Some(largest.values_mut()),
            _ => None,
        },
        grad: grad.values(),
        previous: if decays {
            Previous::Replace(previous_grad.values_mut())
        } else {
            Previous::Read(previous_grad.values())
        },
    };
    slices.update(optimizer.friction, &scalars);

    let state = DiffGradState {
        time: state.time,
        moment_1: moment_1.into_tensor(),
        moment_2: moment_2.into_tensor(),
        max_moment_2: max_moment_2.map(FlexSlice::into_tensor),
        // Without weight decay the gradient's own memory becomes the previous gradient: tensors are values, so this is as good
        // as a copy whoever else holds it.
        previous_grad: if decays { previous_grad.into_tensor() } else { grad.into_tensor() },
    };
    (theta.into_tensor(), state)
}

/// Whether no element of the gradient is infinite or undefined.
pub(super) fn all_finite<const D: usize>(grad: &Tensor<D>) -> bool {
    if !FlexSlice::<f32>::accepts(grad) {
        return grad.clone().is_finite().all().into_scalar::<bool>();
    }
    let grad = FlexSlice::<f32>::new(grad.clone());
    let finite = |chunk: &[f32]| chunk.iter().fold(true, |finite, value| finite & value.is_finite());
    match grad.values() {
        few if few.len() <= CHUNK => finite(few),
        many => many.par_chunks(CHUNK).all(finite),
    }
}

/// The update's scalars in the kernel's type.
#[derive(Clone, Copy)]
struct Scalars {
    beta_1: f32,
    complement_1: f32,
    beta_2: f32,
    complement_2: f32,
    step_size: f32,
    epsilon: f32,
    weight_decay: f32,
    correction_2_sqrt: f32,
}

impl Scalars {
    fn new(friction: DiffGradFriction, coefficients: Coefficients) -> Self {
        Self {
            beta_1: coefficients.beta_1 as f32,
            complement_1: (1.0 - coefficients.beta_1) as f32,
            beta_2: coefficients.beta_2 as f32,
            complement_2: (1.0 - coefficients.beta_2) as f32,
            step_size: (coefficients.step_size * friction.common_factor()) as f32,
            epsilon: coefficients.epsilon as f32,
            weight_decay: coefficients.weight_decay as f32,
            correction_2_sqrt: coefficients.correction_2_sqrt as f32,
        }
    }
}

/// The gradient of the last step: only read, or overwritten by `gradient + weight_decay theta`.
enum Previous<'a> {
    Read(&'a [f32]),
    Replace(&'a mut [f32]),
}

/// One parameter, its gradient and its state: slices of the same length.
struct Slices<'a> {
    theta: &'a mut [f32],
    moment_1: &'a mut [f32],
    moment_2: &'a mut [f32],
    max_moment_2: Option<&'a mut [f32]>,
    grad: &'a [f32],
    previous: Previous<'a>,
}

impl<'a> Slices<'a> {
    /// Updates all elements, on several threads where there are enough of them.
    fn update(self, friction: DiffGradFriction, scalars: &Scalars) {
        if self.theta.len() > CHUNK {
            share(self.chunks(), |chunk| chunk.update_here(friction, scalars));
        } else {
            self.update_here(friction, scalars);
        }
    }

    /// Cuts every slice into pieces of [`chunk_length`].
    fn chunks(self) -> Vec<Slices<'a>> {
        let length = chunk_length(self.theta.len());
        let mut rest = self;
        let mut chunks = Vec::new();
        while rest.theta.len() > length {
            let (head, tail) = rest.split_at(length);
            chunks.push(head);
            rest = tail;
        }
        chunks.push(rest);
        chunks
    }

    fn split_at(self, at: usize) -> (Slices<'a>, Slices<'a>) {
        let (theta, theta_tail) = self.theta.split_at_mut(at);
        let (moment_1, moment_1_tail) = self.moment_1.split_at_mut(at);
        let (moment_2, moment_2_tail) = self.moment_2.split_at_mut(at);
        let (max_moment_2, max_moment_2_tail) = self.max_moment_2.map(|largest| largest.split_at_mut(at)).unzip();
        let (grad, grad_tail) = self.grad.split_at(at);
        let (previous, previous_tail) = match self.previous {
            Previous::Read(previous) => {
                let (head, tail) = previous.split_at(at);
                (Previous::Read(head), Previous::Read(tail))
            }
            Previous::Replace(previous) => {
                let (head, tail) = previous.split_at_mut(at);
                (Previous::Replace(head), Previous::Replace(tail))
            }
        };
        (
            Slices { theta, moment_1, moment_2, max_moment_2, grad, previous },
            Slices {
                theta: theta_tail,
                moment_1: moment_1_tail,
                moment_2: moment_2_tail,
                max_moment_2: max_moment_2_tail,
                grad: grad_tail,
                previous: previous_tail,
            },
        )
    }

    /// Picks the loop made for this friction.
    fn update_here(self, friction: DiffGradFriction, scalars: &Scalars) {
        match friction {
            DiffGradFriction::AbsSigmoid => self.update_with::<ABS_SIGMOID>(scalars),
            DiffGradFriction::Sigmoid => self.update_with::<SIGMOID>(scalars),
            DiffGradFriction::Constant(_) => self.update_with::<CONSTANT>(scalars),
            DiffGradFriction::Normalized => self.update_with::<NORMALIZED>(scalars),
        }
    }

    /// Picks the loop made for this optimizer's options.
    fn update_with<const FRICTION: u8>(self, scalars: &Scalars) {
        let Slices { theta, moment_1, moment_2, max_moment_2, grad, previous } = self;
        // A slot that an option leaves unused stays empty; the loop made for that option does not touch it.
        match (max_moment_2, previous) {
            (None, Previous::Read(previous)) => {
                run::<FRICTION, false, false>(theta, moment_1, moment_2, &mut [], grad, previous, &mut [], scalars)
            }
            (None, Previous::Replace(previous)) => {
                run::<FRICTION, false, true>(theta, moment_1, moment_2, &mut [], grad, &[], previous, scalars)
            }
            (Some(largest), Previous::Read(previous)) => {
                run::<FRICTION, true, false>(theta, moment_1, moment_2, largest, grad, previous, &mut [], scalars)
            }
            (Some(largest), Previous::Replace(previous)) => {
                run::<FRICTION, true, true>(theta, moment_1, moment_2, largest, grad, &[], previous, scalars)
            }
        }
    }
}

const ABS_SIGMOID: u8 = 0;
const SIGMOID: u8 = 1;
const CONSTANT: u8 = 2;
const NORMALIZED: u8 = 3;

/// The loop over elements. Separate arguments, not a struct, so that the compiler knows that no two slices overlap.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn update<const FRICTION: u8, const AMSGRAD: bool, const DECAY: bool>(
    theta: &mut [f32],
    moment_1: &mut [f32],
    moment_2: &mut [f32],
    max_moment_2: &mut [f32],
    grad: &[f32],
    previous: &[f32],
    previous_replaced: &mut [f32],
    scalars: &Scalars,
) {
    let s = *scalars;
    let len = theta.len();
    // Equal lengths, said once, free the loop of bounds checks.
    let (moment_1, moment_2, grad) = (&mut moment_1[..len], &mut moment_2[..len], &grad[..len]);
    let max_moment_2 = if AMSGRAD { &mut max_moment_2[..len] } else { max_moment_2 };
    let previous = if DECAY { previous } else { &previous[..len] };
    let previous_replaced = if DECAY { &mut previous_replaced[..len] } else { previous_replaced };
    for i in 0..len {
        let g = if DECAY { grad[i] + s.weight_decay * theta[i] } else { grad[i] };
        let m = s.beta_1 * moment_1[i] + s.complement_1 * g;
        let v = s.beta_2 * moment_2[i] + s.complement_2 * g * g;
        moment_1[i] = m;
        moment_2[i] = v;
        let v = if AMSGRAD {
            // A comparison that is false for undefined numbers lets them through, as tensor operations do.
            let largest = if max_moment_2[i] > v { max_moment_2[i] } else { v };
            max_moment_2[i] = largest;
            largest
        } else {
            v
        };
        let denominator = v.sqrt() + s.epsilon;
        let change = if DECAY { previous_replaced[i] - g } else { previous[i] - g };
        if DECAY {
            previous_replaced[i] = g;
        }
        // theta -= step_size m xi / denominator with 1 / xi = 1 + exp(-change): one division for both quotients.
        let inverse_friction = match FRICTION {
            ABS_SIGMOID => 1.0 + exp(-change.abs()),
            SIGMOID => 1.0 + exp(-change),
            NORMALIZED => 1.0 + exp(-(change.abs() * s.correction_2_sqrt / denominator)),
            _ => 1.0,
        };
        theta[i] -= s.step_size * m / (inverse_friction * denominator);
    }
}

with_widest_vectors! {
    /// [`update`] in the widest vectors.
    fn run<const FRICTION: u8, const AMSGRAD: bool, const DECAY: bool>(
        theta: &mut [f32],
        moment_1: &mut [f32],
        moment_2: &mut [f32],
        max_moment_2: &mut [f32],
        grad: &[f32],
        previous: &[f32],
        previous_replaced: &mut [f32],
        scalars: &Scalars,
    ) => update
}

#[cfg(test)]
mod tests {
    use super::super::{DiffGradConfig, EpsPlacement, portable};
    use super::*;
    use burn::optim::Optimizer;
    use burn::optim::decay::WeightDecayConfig;
    use burn::tensor::{DType, Device, TensorData};
    use kiln_check::random::normal;

    fn every_option() -> Vec<DiffGradConfig> {
        let frictions = [
            DiffGradFriction::AbsSigmoid,
            DiffGradFriction::Sigmoid,
            DiffGradFriction::Constant(0.7),
            DiffGradFriction::Normalized,
        ];
        let mut configs = Vec::new();
        for friction in frictions {
            for amsgrad in [false, true] {
                for decay in [None, Some(WeightDecayConfig { penalty: 0.1 })] {
                    for placement in [EpsPlacement::Authors, EpsPlacement::Paper] {
                        configs.push(
                            DiffGradConfig::new()
                                .with_friction(friction)
                                .with_amsgrad(amsgrad)
                                .with_weight_decay(decay.clone())
                                .with_eps_placement(placement)
                                .with_epsilon(1e-3),
                        );
                    }
                }
            }
        }
        configs
    }

    fn close(a: &TensorData, b: &TensorData, what: &str) {
        for (a, b) in a.iter::<f64>().zip(b.iter::<f64>()) {
            assert!((a - b).abs() <= 2e-6 * b.abs().max(1.0), "{what}: {a} and {b}");
        }
    }

    #[test]
    fn the_fused_step_equals_the_composition_of_tensor_operations() {
        for config in every_option() {
            let optimizer = config.build().unwrap();
            // Longer than a chunk by a number that no vector width divides.
            let start = normal([CHUNK + 37], DType::F32);
            let mut fused = (start.clone(), DiffGradState::zeros_like(&start));
            if config.amsgrad {
                fused.1.max_moment_2 = Some(start.zeros_like());
            }
            let mut composed = fused.clone();
            for time in 1..=4 {
                let grad = normal(start.dims(), DType::F32) * 2.0;
                let coefficients = optimizer.coefficients(1e-2, time);
                assert!(accepts(&fused.0, &grad, &fused.1));
                fused = step(&optimizer, coefficients, fused.0, grad.clone(), fused.1);
                composed = portable::step(&optimizer, coefficients, composed.0, grad, composed.1);
            }
            let what = format!("{config:?}");
            close(&fused.0.into_data(), &composed.0.into_data(), &what);
            close(&fused.1.previous_grad.into_data(), &composed.1.previous_grad.into_data(), &what);
            close(&fused.1.moment_2.into_data(), &composed.1.moment_2.into_data(), &what);
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let scalars =
            Scalars::new(DiffGradFriction::AbsSigmoid, DiffGradConfig::new().build().unwrap().coefficients(1e-2, 3));
        let wave = |phase: f32| (0..1003).map(|i| (i as f32 * 0.37 + phase).sin() * 3.0).collect::<Vec<_>>();
        let (grad, previous) = (wave(0.0), wave(1.0));
        let start = (wave(2.0), wave(3.0), wave(4.0).iter().map(|v| v * v).collect::<Vec<_>>());
        let (mut plain, mut widest) = (start.clone(), start);
        update::<ABS_SIGMOID, false, false>(
            &mut plain.0,
            &mut plain.1,
            &mut plain.2,
            &mut [],
            &grad,
            &previous,
            &mut [],
            &scalars,
        );
        run::<ABS_SIGMOID, false, false>(
            &mut widest.0,
            &mut widest.1,
            &mut widest.2,
            &mut [],
            &grad,
            &previous,
            &mut [],
            &scalars,
        );
        assert!(plain.0.iter().zip(&widest.0).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn memory_is_reused_when_nobody_else_holds_it() {
        let device = Device::flex();
        let optimizer = DiffGradConfig::new().build().unwrap();
        let address = |tensor: &Tensor<1>| FlexSlice::<f32>::new(tensor.clone()).values().as_ptr();
        let tensor = Tensor::<1>::zeros([100], &device);
        let (tensor, state) = optimizer.step(1e-3, tensor, Tensor::ones([100], &device), None);
        let (before, moment) = (address(&tensor), address(&state.as_ref().unwrap().moment_1));
        let (tensor, state) = optimizer.step(1e-3, tensor, Tensor::ones([100], &device), state);
        assert_eq!((address(&tensor), address(&state.unwrap().moment_1)), (before, moment));
    }

    #[test]
    fn undefined_gradients_propagate_unless_skipped() {
        let device = Device::flex();
        let bad = Tensor::<1>::from_data([f32::NAN, 1.0], &device);
        let start = Tensor::<1>::from_data([1.0f32, 1.0], &device);
        for config in every_option() {
            let (tensor, _) = config.build().unwrap().step(0.1, start.clone(), bad.clone(), None);
            let values = tensor.try_into_vec_as::<f32>().unwrap();
            assert!(values[0].is_nan() && values[1].is_finite(), "{config:?}");
        }

        let optimizer = DiffGradConfig::new().with_skip_nonfinite(true).build().unwrap();
        let skipped = optimizer.skipped().unwrap();
        let (tensor, state) = optimizer.step(0.1, start.clone(), bad.clone(), None);
        assert!(state.is_none());
        assert_eq!((tensor.into_data(), skipped.count()), (start.clone().into_data(), 1));
        let (tensor, state) = optimizer.step(0.1, start.clone(), start, state);
        let (after, state) = optimizer.step(0.1, tensor.clone(), bad, state);
        assert_eq!((after.into_data(), state.unwrap().time, skipped.count()), (tensor.into_data(), 1, 2));
    }
}
