//! Jacobian matrices.

use burn::tensor::Tensor;

use super::tracked::leaf;
use super::vjp::gradient_of;
use crate::{Duals, Number};

/// The whole Jacobian `J[i, j] = df_i / dx_j`, column by column where there are at most three inputs for each output, else
/// row by row.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Numbers, jacobian};
///
/// let device = Device::flex();
/// let x = Tensor::<1>::from_floats([1.0, 2.0], &device);
/// let matrix = jacobian(|numbers, x| numbers.square(x), x);
/// assert_eq!(matrix.into_data(), Tensor::<2>::from_floats([[2.0, 0.0], [0.0, 4.0]], &device).into_data());
/// ```
///
/// # Shapes
/// - `point`: `n` values in any shape
/// - function's value: `m` values in any shape
/// - output: `[m, n]`
pub fn jacobian<const D: usize, const E: usize>(
    function: impl Fn(&Duals, Number<D>) -> Number<E>,
    point: Tensor<D>,
) -> Tensor<2> {
    let duals = Duals::new();
    let outputs = count(&function(&duals, Number::constant(point.clone(), 1)).value());
    // A row takes a pass forward and one backward, about three passes; a column takes one, shared in part.
    if count(&point) <= 3 * outputs { jacobian_by_columns(function, point) } else { jacobian_by_rows(function, point) }
}

/// [`jacobian`] in forward mode: blocks of columns at once.
pub fn jacobian_by_columns<const D: usize, const E: usize>(
    function: impl Fn(&Duals, Number<D>) -> Number<E>,
    point: Tensor<D>,
) -> Tensor<2> {
    /// Columns at a time: enough to share the work on the values, few enough to stay in the caches.
    const BLOCK: usize = 16;
    let inputs = count(&point);
    let identity = identity(inputs, &point);
    let columns = (0..inputs).step_by(BLOCK).map(|start| {
        let width = BLOCK.min(inputs - start);
        let duals = Duals::in_directions(width);
        let mut dims = point.dims();
        dims[0] *= width;
        let directions = identity.clone().narrow(0, start, width).reshape(dims);
        let output = function(&duals, duals.variable(point.clone(), directions));
        let outputs = count(&output.value());
        duals.tangent(&output).reshape([width, outputs])
    });
    Tensor::cat(columns.collect(), 0).transpose()
}

/// [`jacobian`] in reverse mode: a pass forward and one backward for each row.
pub fn jacobian_by_rows<const D: usize, const E: usize>(
    function: impl Fn(&Duals, Number<D>) -> Number<E>,
    point: Tensor<D>,
) -> Tensor<2> {
    let duals = Duals::new();
    let inputs = count(&point);
    let row = |index: usize| {
        let leaf = leaf(point.clone());
        let output = function(&duals, Number::constant(leaf.clone(), 1)).value();
        let outputs = count(&output);
        let entry = output.reshape([outputs]).narrow(0, index, 1);
        (gradient_of(entry, &leaf).reshape([1, inputs]), outputs)
    };
    let (first, outputs) = row(0);
    let rest = (1..outputs).map(|index| row(index).0);
    Tensor::cat(std::iter::once(first).chain(rest).collect(), 0)
}

/// Number of values of a tensor.
fn count<const D: usize>(tensor: &Tensor<D>) -> usize {
    tensor.dims().iter().product()
}

/// The identity matrix in the float type and on the device of `like`.
pub(super) fn identity<const D: usize>(size: usize, like: &Tensor<D>) -> Tensor<2> {
    Tensor::<2>::eye(size, &like.device().inner()).cast(like.dtype())
}
