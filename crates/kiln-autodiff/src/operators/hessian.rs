//! Hessians with respect to a few inputs, in one pass forward.

use burn::tensor::{Int, Tensor};

use super::laplacian::{directions_last, unit_directions};
use crate::{Hessians, Number};

/// Values, gradients and Hessians of a function at many points.
#[derive(Debug, Clone)]
pub struct Hessian {
    /// Values, `[num_points, num_outputs]`.
    pub value: Tensor<2>,
    /// Gradients, `[num_points, num_outputs, dimension]`.
    pub gradient: Tensor<3>,
    /// Hessians, `[num_points, num_outputs, dimension, dimension]`.
    pub hessian: Tensor<4>,
}

/// Value, gradient and Hessian at every point, in one pass forward that carries `1 + d + d (d + 1) / 2` components.
///
/// For the diagonal's sum alone, [`laplacian`](crate::laplacian) carries fewer. Where the points or parameters of the
/// function are tracked, so are the results.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, Numbers, hessian};
///
/// let points = Tensor::<2>::from_floats([[1.0, 2.0]], &Device::flex());
/// // x y, whose Hessian has ones off the diagonal.
/// let result = hessian(|numbers, p| numbers.mul(numbers.narrow(p.clone(), 1, 0, 1), numbers.narrow(p, 1, 1, 1)), points);
/// let values: Vec<f32> = result.hessian.into_data().try_to_vec().unwrap();
/// assert_eq!(values, [0.0, 1.0, 1.0, 0.0]);
/// ```
///
/// # Shapes
/// - `points`: `[num_points, dimension]`
/// - function: `[num_points, dimension]` to `[num_points, num_outputs]`, each point on its own
pub fn hessian(function: impl FnOnce(&Hessians, Number<2>) -> Number<2>, points: Tensor<2>) -> Hessian {
    let [num_points, dimension] = points.dims();
    let numbers = Hessians::new(dimension);
    let directions = unit_directions(&points);
    let output = function(&numbers, numbers.variable(points, directions));
    let [_, num_outputs] = output.dims();
    let triangle = directions_last(numbers.second(&output), dimension * (dimension + 1) / 2);
    let places = Tensor::<1, Int>::from_data(triangle_places(dimension).as_slice(), &triangle.device().inner());
    Hessian {
        value: output.value(),
        gradient: directions_last(numbers.first(&output), dimension),
        hessian: triangle.select(2, places).reshape([num_points, num_outputs, dimension, dimension]),
    }
}

/// Where each entry of a symmetric matrix lies among the pairs `i <= j`.
fn triangle_places(dimension: usize) -> Vec<i64> {
    let place = |i: usize, j: usize| {
        let (low, high) = (i.min(j), i.max(j));
        // Row `i` of the triangle starts after those of lengths d, d - 1, ..
        (low * (2 * dimension + 1 - low) / 2 + high - low) as i64
    };
    (0..dimension).flat_map(|i| (0..dimension).map(move |j| place(i, j))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_the_upper_triangle_row_by_row() {
        assert_eq!(triangle_places(3), [0, 1, 2, 1, 3, 4, 2, 4, 5]);
    }
}
