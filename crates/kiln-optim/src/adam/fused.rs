//! The update in one pass over the memory of `f32` tensors on the Flex device.

use burn::optim::{AdamState, AdaptiveMomentumState};
use burn::tensor::Tensor;
use kiln_kernels::{FlexSlice, share};

use super::Adam;
use crate::widest_vectors::{CHUNK, chunk_length, with_widest_vectors};

/// Whether [`step`] can update this parameter.
pub(super) fn accepts<const D: usize>(tensor: &Tensor<D>, grad: &Tensor<D>, state: Option<&AdamState<D>>) -> bool {
    let of_state = state.map(|state| &state.momentum).into_iter();
    let moments = of_state.flat_map(|momentum| {
        [Some(&momentum.moment_1), Some(&momentum.moment_2), momentum.max_moment_2.as_ref()].into_iter().flatten()
    });
    let mut all = [tensor, grad].into_iter().chain(moments);
    all.all(|part| FlexSlice::<f32>::accepts(part) && part.shape() == tensor.shape())
}

/// One update.
pub(super) fn step<const D: usize>(
    optimizer: &Adam,
    learning_rate: f64,
    tensor: Tensor<D>,
    grad: Tensor<D>,
    state: Option<AdaptiveMomentumState<D>>,
) -> (Tensor<D>, AdaptiveMomentumState<D>) {
    let state = state.unwrap_or_else(|| AdaptiveMomentumState::new(0, tensor.zeros_like(), tensor.zeros_like()));
    let time = state.time.saturating_add(1);
    let (largest, unused_largest) = match state.max_moment_2 {
        None if optimizer.amsgrad => (Some(tensor.zeros_like()), None),
        largest if optimizer.amsgrad => (largest, None),
        unused => (None, unused),
    };
    let scalars = Scalars::new(optimizer, learning_rate, time);
    let mut theta = FlexSlice::new(tensor);
    let grad = FlexSlice::new(grad);
    let mut moment_1 = FlexSlice::new(state.moment_1);
    let mut moment_2 = FlexSlice::new(state.moment_2);
    let mut largest = largest.map(FlexSlice::new);

    let slices = Slices {
        theta: theta.values_mut(),
        moment_1: moment_1.values_mut(),
        moment_2: moment_2.values_mut(),
        largest: largest.as_mut().map(FlexSlice::values_mut),
        grad: grad.values(),
    };
    slices.update(&scalars);

    let state = AdaptiveMomentumState {
        time,
        moment_1: moment_1.into_tensor(),
        moment_2: moment_2.into_tensor(),
        max_moment_2: largest.map(FlexSlice::into_tensor).or(unused_largest),
    };
    (theta.into_tensor(), state)
}

/// The update's scalars, computed in single precision as Burn's Adam does.
struct Scalars {
    beta_1: f32,
    complement_1: f32,
    beta_2: f32,
    complement_2: f32,
    correction: f32,
    epsilon: f32,
    weight_decay: f32,
    keep: f32,
    learning_rate: f32,
}

impl Scalars {
    fn new(optimizer: &Adam, learning_rate: f64, time: usize) -> Self {
        let time = i32::try_from(time).unwrap_or(i32::MAX);
        let correction_2_sqrt = (1.0 - optimizer.beta_2.powi(time)).sqrt();
        Self {
            beta_1: optimizer.beta_1,
            complement_1: 1.0 - optimizer.beta_1,
            beta_2: optimizer.beta_2,
            complement_2: 1.0 - optimizer.beta_2,
            correction: correction_2_sqrt / (1.0 - optimizer.beta_1.powi(time)),
            epsilon: optimizer.epsilon * correction_2_sqrt,
            weight_decay: optimizer.weight_decay,
            keep: optimizer.keep(learning_rate) as f32,
            learning_rate: learning_rate as f32,
        }
    }
}

/// One parameter, its gradient and its state: slices of the same length.
struct Slices<'a> {
    theta: &'a mut [f32],
    moment_1: &'a mut [f32],
    moment_2: &'a mut [f32],
    largest: Option<&'a mut [f32]>,
    grad: &'a [f32],
}

impl Slices<'_> {
    /// Updates all elements, on several threads where there are enough of them.
    fn update(self, scalars: &Scalars) {
        if self.theta.len() <= CHUNK {
            return self.update_here(scalars);
        }
        let length = chunk_length(self.theta.len());
        let mut largest = self.largest.map(|largest| largest.chunks_mut(length));
        let chunks = self.theta.chunks_mut(length).zip(self.moment_1.chunks_mut(length));
        let chunks = chunks.zip(self.moment_2.chunks_mut(length)).zip(self.grad.chunks(length));
        let slices = chunks.map(|(((theta, moment_1), moment_2), grad)| {
            let largest = largest.as_mut().and_then(Iterator::next);
            Slices { theta, moment_1, moment_2, largest, grad }
        });
        share(slices.collect(), |chunk| chunk.update_here(scalars));
    }

    /// Picks the loop made for this optimizer's options.
    fn update_here(self, s: &Scalars) {
        let Slices { theta, moment_1, moment_2, largest, grad } = self;
        let decays = s.weight_decay != 0.0 || s.keep != 1.0;
        // The slot that Adam leaves unused stays empty; the loop made for it does not touch it.
        match (largest, decays) {
            (None, false) => run::<false, false>(theta, moment_1, moment_2, &mut [], grad, s),
            (None, true) => run::<false, true>(theta, moment_1, moment_2, &mut [], grad, s),
            (Some(largest), false) => run::<true, false>(theta, moment_1, moment_2, largest, grad, s),
            (Some(largest), true) => run::<true, true>(theta, moment_1, moment_2, largest, grad, s),
        }
    }
}

/// The loop over elements. Separate arguments, not a struct, so that the compiler knows that no two slices overlap.
#[inline(always)]
fn update<const AMSGRAD: bool, const DECAY: bool>(
    theta: &mut [f32],
    moment_1: &mut [f32],
    moment_2: &mut [f32],
    largest: &mut [f32],
    grad: &[f32],
    s: &Scalars,
) {
    let len = theta.len();
    // Equal lengths, said once, free the loop of bounds checks.
    let (moment_1, moment_2, grad) = (&mut moment_1[..len], &mut moment_2[..len], &grad[..len]);
    let largest = if AMSGRAD { &mut largest[..len] } else { largest };
    for i in 0..len {
        let g = if DECAY { theta[i] * s.weight_decay + grad[i] } else { grad[i] };
        let m = moment_1[i] * s.beta_1 + g * s.complement_1;
        let v = moment_2[i] * s.beta_2 + g * g * s.complement_2;
        moment_1[i] = m;
        moment_2[i] = v;
        let v = if AMSGRAD {
            // A comparison that is false for undefined numbers lets them through, as tensor operations do.
            let most = if largest[i] > v { largest[i] } else { v };
            largest[i] = most;
            most
        } else {
            v
        };
        let step = m * s.correction / (v.sqrt() + s.epsilon) * s.learning_rate;
        theta[i] = if DECAY { theta[i] * s.keep - step } else { theta[i] - step };
    }
}

with_widest_vectors! {
    /// [`update`] in the widest vectors.
    fn run<const AMSGRAD: bool, const DECAY: bool>(
        theta: &mut [f32],
        moment_1: &mut [f32],
        moment_2: &mut [f32],
        largest: &mut [f32],
        grad: &[f32],
        s: &Scalars,
    ) => update
}

#[cfg(test)]
mod tests {
    use super::super::AdamConfig;
    use super::*;
    use burn::optim::Optimizer;
    use burn::tensor::{DType, Device};

    #[test]
    fn memory_is_reused_when_nobody_else_holds_it() {
        let device = Device::flex();
        let optimizer = AdamConfig::new().with_amsgrad(true).build().unwrap();
        let address = |tensor: &Tensor<1>| FlexSlice::<f32>::new(tensor.clone()).values().as_ptr();
        let places = |tensor: &Tensor<1>, state: &AdamState<1>| {
            let momentum = &state.momentum;
            [tensor, &momentum.moment_1, &momentum.moment_2, momentum.max_moment_2.as_ref().unwrap()].map(address)
        };
        let tensor = Tensor::<1>::zeros([100], &device);
        let (tensor, state) = optimizer.step(1e-3, tensor, Tensor::ones([100], &device), None);
        let before = places(&tensor, state.as_ref().unwrap());
        let (tensor, state) = optimizer.step(1e-3, tensor, Tensor::ones([100], &device), state);
        assert_eq!(places(&tensor, &state.unwrap()), before);
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let scalars = Scalars::new(&AdamConfig::new().build().unwrap(), 1e-2, 3);
        let wave = |phase: f32| (0..1003).map(|i| (i as f32 * 0.37 + phase).sin() * 3.0).collect::<Vec<_>>();
        let grad = wave(0.0);
        let start = (wave(2.0), wave(3.0), wave(4.0).iter().map(|v| v * v).collect::<Vec<_>>());
        let (mut plain, mut widest) = (start.clone(), start);
        update::<false, false>(&mut plain.0, &mut plain.1, &mut plain.2, &mut [], &grad, &scalars);
        run::<false, false>(&mut widest.0, &mut widest.1, &mut widest.2, &mut [], &grad, &scalars);
        assert!(plain.0.iter().zip(&widest.0).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn other_types_shapes_and_devices_are_left_to_tensor_operations() {
        let device = Device::flex();
        let tensor = Tensor::<1>::zeros([2], &device);
        assert!(accepts(&tensor, &tensor, None));
        assert!(!accepts(&tensor, &Tensor::zeros([3], &device), None));
        assert!(!accepts(&tensor, &Tensor::zeros([2], (&device, DType::F64)), None));
        assert!(!accepts(&tensor, &Tensor::zeros([2], &device.autodiff()), None));
    }
}
