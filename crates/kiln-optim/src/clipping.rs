//! Gradient clipping in one pass over the gradient, and a second one only where something is to be clipped.

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::{LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};
use kiln_kernels::vector::{Kernel, vectorised};
use kiln_kernels::{FlexSlice, share};

use crate::OptimError;
use crate::hyperparameter::positive;
use crate::widest_vectors::CHUNK;

/// Refuses a bound that is not above zero.
pub(crate) fn check(clipping: Option<&GradientClippingConfig>) -> Result<(), OptimError> {
    match clipping {
        Some(GradientClippingConfig::Value(bound) | GradientClippingConfig::Norm(bound)) => {
            positive("grad_clipping", f64::from(*bound)).map(|_| ())
        }
        None => Ok(()),
    }
}

/// The optimizer of a whole module, whose gradients are clipped first where that is asked for.
pub(crate) fn of_module<O: Optimizer>(optimizer: O, clipping: Option<&GradientClippingConfig>) -> ModuleOptimizer {
    match clipping {
        Some(clipping) => ModuleOptimizer::from(Clipped { optimizer, clipping: clipping.clone() }),
        None => ModuleOptimizer::from(optimizer),
    }
}

/// An optimizer of clipped gradients. Its state is recorded as that of the optimizer alone.
///
/// Burn's own clipping multiplies every gradient by a number that is mostly one, in several passes.
#[derive(Debug, Clone)]
struct Clipped<O> {
    optimizer: O,
    clipping: GradientClippingConfig,
}

impl<O: Optimizer> Optimizer for Clipped<O> {
    type State<const D: usize> = O::State<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        self.optimizer.step(lr, tensor, clipped(&self.clipping, grad), state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        O::to_device(state, device)
    }
}

/// `g min(1, bound / |g|)`, or every element within `bound` of zero; what is not a number stays that.
fn clipped<const D: usize>(clipping: &GradientClippingConfig, grad: Tensor<D>) -> Tensor<D> {
    if !FlexSlice::<f32>::accepts(&grad) {
        return clipping.init().clip_gradient(grad);
    }
    let mut grad = FlexSlice::<f32>::new(grad);
    match *clipping {
        GradientClippingConfig::Norm(bound) => {
            let norm = norm(grad.values());
            if norm > f64::from(bound) {
                let factor = (f64::from(bound) / norm) as f32;
                share(grad.values_mut().chunks_mut(CHUNK).collect(), |values| vectorised(Scale(values, factor)));
            }
        }
        GradientClippingConfig::Value(bound) => {
            share(grad.values_mut().chunks_mut(CHUNK).collect(), |values| vectorised(Clamp(values, bound)));
        }
    }
    grad.into_tensor()
}

/// In double precision, in which no sum of squares overflows; of pieces that follow from the length alone.
fn norm(values: &[f32]) -> f64 {
    let mut squares = vec![0.0; values.len().div_ceil(CHUNK)];
    let pieces = squares.iter_mut().zip(values.chunks(CHUNK)).collect();
    share(pieces, |(sum, values): (&mut f64, &[f32])| *sum = vectorised(SumOfSquares(values)));
    squares.iter().sum::<f64>().sqrt()
}

struct SumOfSquares<'a>(&'a [f32]);

/// Sums side by side.
const LANES: usize = 32;

impl Kernel for SumOfSquares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        let mut lanes = [0.0; LANES];
        for chunk in chunks {
            for lane in 0..LANES {
                let value = f64::from(chunk[lane]);
                lanes[lane] += value * value;
            }
        }
        lanes.iter().sum::<f64>() + rest.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>()
    }
}

struct Scale<'a>(&'a mut [f32], f32);

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|value| *value *= self.1);
    }
}

struct Clamp<'a>(&'a mut [f32], f32);

impl Kernel for Clamp<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|value| *value = value.clamp(-self.1, self.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SgdConfig;
    use burn::tensor::{DType, TensorData};
    use kiln_check::random::normal;

    fn burns(clipping: &GradientClippingConfig, grad: Tensor<2>) -> TensorData {
        clipping.init().clip_gradient(grad).into_data()
    }

    #[test]
    fn gradients_are_clipped_as_by_burn() {
        // More than a piece, by a number that no vector width divides.
        let grad: Tensor<2> = normal([331, 127], DType::F32);
        for clipping in [GradientClippingConfig::Norm(10.0), GradientClippingConfig::Value(0.5)] {
            let found = clipped(&clipping, grad.clone()).into_data();
            let expected = burns(&clipping, grad.clone());
            for (found, expected) in found.iter::<f64>().zip(expected.iter::<f64>()) {
                assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found} and {expected}");
            }
        }
        for within in [GradientClippingConfig::Norm(1e4), GradientClippingConfig::Value(100.0)] {
            assert_eq!(clipped(&within, grad.clone()).into_data(), grad.to_data(), "{within:?}");
        }
    }

    #[test]
    fn a_shared_gradient_and_a_view_are_left_as_they_are() {
        let grad: Tensor<2> = normal([4, 6], DType::F32);
        let kept = grad.to_data();
        let view = grad.clone().transpose();
        let found = clipped(&GradientClippingConfig::Norm(0.1), view.clone());
        assert_eq!(grad.to_data(), kept);
        let expected = burns(&GradientClippingConfig::Norm(0.1), view);
        found.into_data().assert_approx_eq::<f32>(&expected, burn::tensor::Tolerance::relative(1e-6));
    }

    #[test]
    fn what_is_not_a_number_stays_that_and_large_numbers_do_not_overflow() {
        let device = Device::flex();
        let norm = GradientClippingConfig::Norm(1.0);
        let clip = |values: [f32; 2]| {
            clipped(&norm, Tensor::<1>::from_floats(values, &device)).try_into_vec_as::<f32>().unwrap()
        };
        let large = clip([3e30, 4e30]);
        assert!((large[0] - 0.6).abs() < 1e-6 && (large[1] - 0.8).abs() < 1e-6, "{large:?}");
        assert!(clip([f32::NAN, 4.0])[0].is_nan());
        assert!(clip([f32::INFINITY, 4.0])[0].is_nan());
        let value = clipped(&GradientClippingConfig::Value(1.0), Tensor::<1>::from_floats([f32::NAN, 4.0], &device));
        let value = value.try_into_vec_as::<f32>().unwrap();
        assert!(value[0].is_nan() && value[1] == 1.0);
    }

    #[test]
    fn other_precisions_are_clipped_by_burn() {
        let grad: Tensor<2> = normal([5, 7], DType::F64);
        let clipping = GradientClippingConfig::Norm(0.5);
        assert_eq!(clipped(&clipping, grad.clone()).into_data(), burns(&clipping, grad));
    }

    #[test]
    fn an_optimizer_steps_along_the_clipped_gradient() {
        let optimizer = Clipped {
            optimizer: SgdConfig::new().with_momentum(0.0).build().unwrap(),
            clipping: GradientClippingConfig::Norm(1.0),
        };
        let device = Device::flex();
        let start = Tensor::<1>::zeros([2], &device);
        let (tensor, _) = optimizer.step(1.0, start, Tensor::from_floats([3.0, 4.0], &device), None);
        let found = tensor.try_into_vec_as::<f32>().unwrap();
        assert!((found[0] + 0.6).abs() < 1e-6 && (found[1] + 0.8).abs() < 1e-6, "{found:?}");
    }
}
