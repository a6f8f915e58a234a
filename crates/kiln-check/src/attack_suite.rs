//! The conformance suite of every attack that moves inputs inside a norm ball.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::closeness::values;

/// A classifier, `[batch_size, features]` to logits `[batch_size, num_classes]`.
pub type Model = dyn Fn(Tensor<2>) -> Tensor<2>;

/// The norm of a ball.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// The largest change of any value.
    LInf,
    /// The Euclidean length of the change of an example.
    L2,
}

/// Where an attack may move an example: the ball around it, and the box of legal values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// The norm of the ball.
    pub norm: Norm,
    /// Its radius, below a quarter: the suite's inputs lie in `[0, 1]`.
    pub radius: f64,
    /// Smallest and largest legal value, or none. The box has to hold `[0, 1]`.
    pub clip: Option<(f64, f64)>,
}

/// Checks all that is true of every attack on a classifier:
///
/// - the examples stay inside the ball and the box, and keep their shape and number type, in `f32` and `f64`;
/// - the same seed gives the same bits;
/// - the objective does not end below where it starts;
/// - with a linear model of two classes, the difference of the scores moves as far as the ball allows, to 1 per cent.
///
/// `attack` takes a model, inputs, targets and a seed; `objective` takes the logits at the inputs, the logits where the
/// attack went, and the targets, to what the attack makes grow, `[batch_size]`.
///
/// # Panics
/// At the first property that does not hold.
#[track_caller]
pub fn check(
    region: Region,
    attack: impl Fn(&Model, Tensor<2>, Tensor<1, Int>, u64) -> Tensor<2>,
    objective: impl Fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> Tensor<1>,
) {
    for dtype in [DType::F32, DType::F64] {
        let case = Case::on_a_network(dtype);
        let moved = case.run(&attack, 3);
        case.stays_inside(&moved, region);
        let again = case.run(&attack, 3);
        assert_eq!(values(&moved), values(&again), "{dtype:?}: the same seed gave other examples");
        case.objective_grows(&moved, &objective);
    }
    let case = Case::on_two_linear_classes();
    let moved = case.run(&attack, 5);
    case.stays_inside(&moved, region);
    case.objective_grows(&moved, &objective);
    reaches_the_rim(&case, &moved, region);
}

/// A model, a batch for it, and the number type of both.
struct Case {
    model: Box<Model>,
    inputs: Tensor<2>,
    targets: Tensor<1, Int>,
    dtype: DType,
}

/// Weights of the linear model, one row for each feature.
const LINEAR: [[f64; 2]; 3] = [[1.0, -1.0], [0.5, 2.0], [-0.7, 0.4]];

impl Case {
    fn on_a_network(dtype: DType) -> Self {
        let tensor = |data: TensorData| Tensor::<2>::from_data(data.convert_dtype(dtype), (&Device::flex(), dtype));
        let first =
            tensor(TensorData::from([[1.0_f64, -0.8, 0.5, 0.3], [-0.4, 1.2, 0.7, -1.0], [0.9, 0.2, -1.1, 0.6]]));
        let second =
            tensor(TensorData::from([[1.5_f64, -0.5, 0.2], [-0.3, 1.1, -0.9], [0.6, 0.4, -1.4], [-1.0, 0.8, 0.3]]));
        // Two examples lie in corners of [0, 1], and their cross-entropy grows outwards.
        let inputs = TensorData::from([[0.1_f64, 0.9, 0.5], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.5, 0.5, 0.5]]);
        Self {
            model: Box::new(move |x: Tensor<2>| x.matmul(first.clone()).tanh().matmul(second.clone())),
            inputs: tensor(inputs),
            targets: Tensor::from_ints([0, 2, 0, 1], &Device::flex()),
            dtype,
        }
    }

    fn on_two_linear_classes() -> Self {
        let tensor = |data: TensorData| Tensor::<2>::from_data(data, (&Device::flex(), DType::F64));
        let weights = tensor(TensorData::from(LINEAR));
        Self {
            model: Box::new(move |x: Tensor<2>| x.matmul(weights.clone())),
            inputs: tensor(TensorData::from([[0.5_f64, 0.4, 0.6], [0.3, 0.7, 0.5]])),
            targets: Tensor::from_ints([0, 1], &Device::flex()),
            dtype: DType::F64,
        }
    }

    fn run(&self, attack: impl Fn(&Model, Tensor<2>, Tensor<1, Int>, u64) -> Tensor<2>, seed: u64) -> Tensor<2> {
        attack(&*self.model, self.inputs.clone(), self.targets.clone(), seed)
    }

    /// The change of every example.
    fn shifts(&self, moved: &Tensor<2>) -> Vec<Vec<f64>> {
        let width = self.inputs.dims()[1];
        let (moved, inputs) = (values(moved), values(&self.inputs));
        let difference: Vec<f64> = moved.iter().zip(&inputs).map(|(moved, input)| moved - input).collect();
        difference.chunks(width).map(<[f64]>::to_vec).collect()
    }

    #[track_caller]
    fn stays_inside(&self, moved: &Tensor<2>, region: Region) {
        let Self { dtype, inputs, .. } = self;
        assert_eq!((moved.dims(), moved.dtype()), (inputs.dims(), *dtype), "shape and number type of the examples");
        let rounding = if *dtype == DType::F64 { 1e-12 } else { 1e-6 };
        for (example, shift) in self.shifts(moved).iter().enumerate() {
            let distance = region.norm.of(shift);
            let radius = region.radius;
            assert!(distance <= radius + rounding, "{dtype:?}: example {example} is {distance} away, not {radius}");
        }
        assert_ne!(values(moved), values(inputs), "{dtype:?}: nothing moved");
        if let Some((low, high)) = region.clip {
            let outside = |value: &f64| *value < low - rounding || *value > high + rounding;
            let wrong: Vec<f64> = values(moved).into_iter().filter(outside).collect();
            assert!(wrong.is_empty(), "{dtype:?}: values outside [{low}, {high}]: {wrong:?}");
        }
    }

    #[track_caller]
    fn objective_grows(
        &self,
        moved: &Tensor<2>,
        objective: impl Fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> Tensor<1>,
    ) {
        let at = |point: &Tensor<2>| {
            let logits = |x: &Tensor<2>| (self.model)(x.clone());
            values(&objective(logits(&self.inputs), logits(point), self.targets.clone()))
        };
        let (before, after) = (at(&self.inputs), at(moved));
        let grown = before.iter().zip(&after).all(|(before, after)| after >= before);
        assert!(grown, "{:?}: the objective went from {before:?} to {after:?}", self.dtype);
    }
}

#[track_caller]
fn reaches_the_rim(case: &Case, moved: &Tensor<2>, region: Region) {
    let slope = LINEAR.map(|[left, right]| left - right);
    let most = region.radius * region.norm.dual(&slope);
    for (example, shift) in case.shifts(moved).iter().enumerate() {
        let reached = shift.iter().zip(&slope).map(|(shift, slope)| shift * slope).sum::<f64>().abs();
        assert!(reached >= 0.99 * most, "linear model: example {example} moved the scores by {reached} of {most}");
    }
}

impl Norm {
    fn of(self, vector: &[f64]) -> f64 {
        match self {
            Self::LInf => vector.iter().fold(0.0, |largest, value| largest.max(value.abs())),
            Self::L2 => vector.iter().map(|value| value * value).sum::<f64>().sqrt(),
        }
    }

    /// The largest inner product of a vector with one of length 1.
    fn dual(self, vector: &[f64]) -> f64 {
        match self {
            Self::LInf => vector.iter().map(|value| value.abs()).sum(),
            Self::L2 => self.of(vector),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::log_softmax;

    const REGION: Region = Region { norm: Norm::LInf, radius: 0.1, clip: Some((0.0, 1.0)) };

    fn cross_entropy(_before: Tensor<2>, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        -log_softmax(logits, 1).gather(1, targets.unsqueeze_dim(1)).squeeze_dim::<1>(1)
    }

    /// One signed step of the cross-entropy's gradient.
    fn signed_step(length: f64) -> impl Fn(&Model, Tensor<2>, Tensor<1, Int>, u64) -> Tensor<2> {
        move |model, inputs, targets, _seed| {
            let tracked = inputs.clone().autodiff().require_grad();
            let logits = model(tracked.clone());
            let gradients = cross_entropy(logits.clone(), logits, targets).sum().backward();
            let slope = tracked.grad(&gradients).expect("the loss depends on the inputs");
            inputs + slope.sign() * length
        }
    }

    #[test]
    fn accepts_a_signed_step_that_is_clipped() {
        let step = signed_step(0.1);
        check(REGION, |model, x, y, seed| step(model, x, y, seed).clamp(0.0, 1.0), cross_entropy);
    }

    #[test]
    #[should_panic(expected = "values outside [0, 1]")]
    fn refuses_values_outside_the_box() {
        check(REGION, signed_step(0.1), cross_entropy);
    }

    #[test]
    #[should_panic(expected = "away, not 0.1")]
    fn refuses_points_outside_the_ball() {
        let step = signed_step(0.2);
        check(REGION, |model, x, y, seed| step(model, x, y, seed).clamp(0.0, 1.0), cross_entropy);
    }

    #[test]
    #[should_panic(expected = "the objective went from")]
    fn refuses_a_descent() {
        let step = signed_step(-0.1);
        check(REGION, |model, x, y, seed| step(model, x, y, seed).clamp(0.0, 1.0), cross_entropy);
    }

    #[test]
    #[should_panic(expected = "moved the scores by")]
    fn refuses_an_attack_that_stops_short() {
        let step = signed_step(0.05);
        check(REGION, |model, x, y, seed| step(model, x, y, seed).clamp(0.0, 1.0), cross_entropy);
    }
}
