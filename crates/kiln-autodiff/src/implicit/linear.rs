//! Dense linear systems with gradients to both sides.

use burn::tensor::Tensor;

use crate::NumericalError;
use crate::custom_gradient::try_custom_gradient;
use crate::solve::dense::Factorisation;

/// `X` with `A X = B` for symmetric positive definite `A`, differentiable in both.
///
/// ```text
/// A L = dL/dX        dL/dB = L        dL/dA = -(L X' + X L') / 2
/// ```
/// The gradient of `A` is that of a symmetric matrix: off the diagonal, each of the two equal entries gets half.
/// The backward pass uses the factors again.
///
/// # Shapes
/// - `a`: `[.., n, n]`
/// - `b`: `[.., n, k]`, with the same leading dimensions
/// - output: `[.., n, k]`
///
/// # Errors
/// Matrices that are not symmetric, not positive definite or singular to working precision, values that are not finite,
/// shapes that do not fit.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::implicit::solve_spd;
///
/// let device = Device::flex().autodiff();
/// let a = Tensor::<2>::from_data([[4.0, 1.0], [1.0, 3.0]], &device).require_grad();
/// let b = Tensor::<2>::from_data([[1.0], [2.0]], &device);
/// let x = solve_spd(a.clone(), b).unwrap();
/// let gradient = a.grad(&x.sum().backward()).unwrap();
/// assert_eq!(gradient.dims(), [2, 2]);
/// ```
pub fn solve_spd<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Result<Tensor<D>, NumericalError> {
    solve_by(Factorisation::cholesky, a, b, |outer| {
        let transposed = outer.clone().transpose();
        (outer + transposed) / 2
    })
}

/// `X` with `A X = B` for any square `A` that is not singular, differentiable in both.
///
/// ```text
/// A' L = dL/dX        dL/dB = L        dL/dA = -L X'
/// ```
/// The backward pass uses the factors again.
///
/// # Shapes
/// - `a`: `[.., n, n]`
/// - `b`: `[.., n, k]`, with the same leading dimensions
/// - output: `[.., n, k]`
///
/// # Errors
/// Matrices that are singular to working precision, values that are not finite, shapes that do not fit.
pub fn solve<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Result<Tensor<D>, NumericalError> {
    solve_by(Factorisation::lu, a, b, |outer| outer)
}

fn solve_by<const D: usize>(
    factorise: impl FnOnce(Tensor<D>) -> Result<Factorisation<D>, NumericalError>,
    a: Tensor<D>,
    b: Tensor<D>,
    project: impl FnOnce(Tensor<D>) -> Tensor<D> + Send + 'static,
) -> Result<Tensor<D>, NumericalError> {
    let forward = |(a, b)| {
        let factors = factorise(a)?;
        let x = factors.solve(b)?;
        Ok((x.clone(), (factors, x)))
    };
    try_custom_gradient((a, b), forward, move |(factors, x), upstream, [a_is_wanted, b_is_wanted]| {
        let adjoint = factors.solve_adjoint(upstream);
        let to_a = a_is_wanted.then(|| project(-adjoint.clone().matmul(x.transpose())));
        (to_a, b_is_wanted.then_some(adjoint))
    })
}
