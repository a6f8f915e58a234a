//! Kernels of two blocks of examples from what was computed of each.

use burn::tensor::Tensor;

/// What the kernel needs to know of a block of examples and outputs, one part a layer.
///
/// `separate` outputs have rows of their own in the kernel; where the kernel is summed over the outputs there is one, in
/// which the outputs lie one after another.
#[derive(Debug, Clone)]
pub(super) struct Features(pub(super) Vec<Part>);

/// The part of one layer.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// Derivatives with respect to the parameters, `[examples, separate, derivatives]`.
    Gradients(Tensor<3>),
    /// The factors of the derivatives with respect to a weight: `sum_p inputs_p' sensitivities_p`.
    Factors {
        /// `[examples, groups, positions, inputs]`
        inputs: Tensor<4>,
        /// For each separate output `[examples, groups, positions, outputs]`.
        sensitivities: Vec<Tensor<4>>,
        /// Whether there is a bias.
        bias: bool,
    },
}

/// `[left examples, left separate, right examples, right separate]`
pub(super) fn contract(left: &Features, right: &Features) -> Tensor<4> {
    let terms = left.0.iter().zip(&right.0).map(|parts| match parts {
        (Part::Gradients(left), Part::Gradients(right)) => gradients(left, right),
        (
            Part::Factors { inputs: left, sensitivities: left_sensitivities, bias },
            Part::Factors { inputs: right, sensitivities: right_sensitivities, .. },
        ) => factors(&gram(left, right, *bias), left_sensitivities, right_sensitivities),
        _ => unreachable!("both sides follow one plan"),
    });
    terms.reduce(|sum, term| sum + term).expect("a module with parameters has at least one part")
}

fn gradients(left: &Tensor<3>, right: &Tensor<3>) -> Tensor<4> {
    let ([rows, row_outputs, length], [columns, column_outputs, _]) = (left.dims(), right.dims());
    let left = left.clone().reshape([rows * row_outputs, length]);
    let right = right.clone().reshape([columns * column_outputs, length]);
    left.matmul(right.transpose()).reshape([rows, row_outputs, columns, column_outputs])
}

/// Inner products of the inputs at every pair of positions, `[groups, rows * positions, columns * positions]`.
fn gram(left: &Tensor<4>, right: &Tensor<4>, bias: bool) -> Tensor<3> {
    let gram = by_group(left).matmul(by_group(right).swap_dims(1, 2));
    if bias { gram + 1.0 } else { gram }
}

/// `sum_pq (a_p . a_q) (s_p . s_q)` for every pair of examples and outputs.
fn factors(gram: &Tensor<3>, left: &[Tensor<4>], right: &[Tensor<4>]) -> Tensor<4> {
    let ([rows, groups, positions, _], columns) = (left[0].dims(), right[0].dims()[0]);
    if groups == 1 && positions == 1 {
        return at_one_position(gram, left, right);
    }
    let right: Vec<Tensor<3>> = right.iter().map(|sensitivities| by_group(sensitivities).swap_dims(1, 2)).collect();
    let entry = |left: &Tensor<3>, right: &Tensor<3>| {
        let products = left.clone().matmul(right.clone()) * gram.clone();
        let summed = products.reshape([groups * rows, positions, columns * positions]).sum_dim(1);
        summed.reshape([groups, rows, columns, positions]).sum_dim(3).sum_dim(0).reshape([rows, 1, columns, 1])
    };
    let row = |left: &Tensor<4>| {
        let left = by_group(left);
        Tensor::cat(right.iter().map(|right| entry(&left, right)).collect(), 3)
    };
    Tensor::cat(left.iter().map(row).collect(), 1)
}

/// [`factors`] of all outputs in one product, where each example uses the weight once.
fn at_one_position(gram: &Tensor<3>, left: &[Tensor<4>], right: &[Tensor<4>]) -> Tensor<4> {
    let stacked = |sensitivities: &[Tensor<4>]| {
        let [examples, _, _, outputs] = sensitivities[0].dims();
        let rows = sensitivities.iter().map(|tensor| tensor.clone().reshape([examples, 1, outputs])).collect();
        Tensor::cat(rows, 1)
    };
    let (left, right) = (stacked(left), stacked(right));
    let (rows, columns) = (left.dims()[0], right.dims()[0]);
    gradients(&left, &right) * gram.clone().reshape([rows, 1, columns, 1])
}

/// `[examples, groups, positions, length]` as `[groups, examples * positions, length]`
fn by_group(tensor: &Tensor<4>) -> Tensor<3> {
    let [examples, groups, positions, length] = tensor.dims();
    tensor.clone().swap_dims(0, 1).reshape([groups, examples * positions, length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};
    use kiln_check::{assert_close, values};

    fn wave<const D: usize>(dims: [usize; D], phase: f64) -> Tensor<D> {
        let count: usize = dims.iter().product();
        let entries: Vec<f64> = (0..count).map(|index| (0.7 * index as f64 + phase).sin()).collect();
        Tensor::from_data(TensorData::new(entries, dims), (&Device::flex(), DType::F64))
    }

    /// The derivatives that factors stand for, `[examples, separate, groups * outputs * (inputs + 1)]`.
    fn multiplied(inputs: &Tensor<4>, sensitivities: &[Tensor<4>]) -> Tensor<3> {
        let [examples, ..] = inputs.dims();
        let inputs = Tensor::cat(vec![inputs.clone(), inputs.clone().narrow(3, 0, 1).ones_like()], 3);
        let rows = sensitivities.iter().map(|sensitivity| {
            let product = sensitivity.clone().swap_dims(2, 3).matmul(inputs.clone());
            let length = product.dims()[1..].iter().product();
            product.reshape([examples, 1, length])
        });
        Tensor::cat(rows.collect(), 1)
    }

    #[test]
    fn factors_give_the_kernel_of_the_gradients_that_they_stand_for() {
        for (groups, positions) in [(1, 1), (1, 4), (2, 3)] {
            let side = |examples: usize, separate: usize, phase: f64| {
                let inputs = wave([examples, groups, positions, 5], phase);
                let sensitivity = |output: usize| wave([examples, groups, positions, 3], phase + 1.0 + output as f64);
                (inputs, (0..separate).map(sensitivity).collect::<Vec<_>>())
            };
            let ((left, left_s), (right, right_s)) = (side(3, 2, 0.1), side(4, 3, 0.4));
            let factors = |inputs: &Tensor<4>, sensitivities: &[Tensor<4>]| {
                let (inputs, sensitivities) = (inputs.clone(), sensitivities.to_vec());
                Features(vec![Part::Factors { inputs, sensitivities, bias: true }])
            };
            let found = contract(&factors(&left, &left_s), &factors(&right, &right_s));
            let expected = gradients(&multiplied(&left, &left_s), &multiplied(&right, &right_s));
            assert_eq!(found.dims(), [3, 2, 4, 3]);
            assert_close(&values(&found), &values(&expected), 1e-13);
        }
    }
}
