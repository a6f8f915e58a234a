//! Laplacians with respect to a few inputs, in one pass forward.

use burn::tensor::Tensor;

use super::jacobian::identity;
use crate::{Laplacians, Number};

/// Values, gradients and Laplacians of a function at many points.
#[derive(Debug, Clone)]
pub struct Laplacian {
    /// Values, `[num_points, num_outputs]`.
    pub value: Tensor<2>,
    /// Gradients, `[num_points, num_outputs, dimension]`.
    pub gradient: Tensor<3>,
    /// `sum_i d^2 f / dx_i^2`, `[num_points, num_outputs]`.
    pub laplacian: Tensor<2>,
}

/// Value, gradient and Laplacian at every point, in one pass forward that carries `dimension + 2` components.
///
/// Where the points or parameters of the function are tracked, so are the results: a loss on Laplacians trains.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, Numbers, laplacian};
///
/// let points = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &Device::flex());
/// let result = laplacian(|numbers, x| numbers.sum_dim(numbers.powf(x, 3.0), 1), points);
/// let values: Vec<f32> = result.laplacian.into_data().try_to_vec().unwrap();
/// assert_eq!(values, [6.0 * (1.0 + 2.0), 6.0 * (3.0 + 4.0)]);
/// ```
///
/// # Shapes
/// - `points`: `[num_points, dimension]`
/// - function: `[num_points, dimension]` to `[num_points, num_outputs]`, each point on its own
pub fn laplacian(function: impl FnOnce(&Laplacians, Number<2>) -> Number<2>, points: Tensor<2>) -> Laplacian {
    let [_, dimension] = points.dims();
    let numbers = Laplacians::new(dimension);
    let directions = unit_directions(&points);
    let output = function(&numbers, numbers.variable(points, directions));
    Laplacian {
        value: output.value(),
        gradient: directions_last(numbers.first(&output), dimension),
        laplacian: numbers.laplacian(&output),
    }
}

/// Every point's unit vectors, `[dimension * num_points, dimension]`.
pub(super) fn unit_directions(points: &Tensor<2>) -> Tensor<2> {
    let [num_points, dimension] = points.dims();
    identity(dimension, points)
        .reshape([dimension, 1, dimension])
        .expand([dimension, num_points, dimension])
        .reshape([dimension * num_points, dimension])
}

/// Stacked components `[count * num_points, num_outputs]` as `[num_points, num_outputs, count]`.
pub(super) fn directions_last(stacked: Tensor<2>, count: usize) -> Tensor<3> {
    let [rows, num_outputs] = stacked.dims();
    stacked.reshape([count, rows / count, num_outputs]).permute([1, 2, 0])
}
