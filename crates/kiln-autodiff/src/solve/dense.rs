//! Dense linear systems, one or a batch, through faer.
//!
//! Whatever the float type of the tensors, the factors are computed in double precision on the host.

use burn::tensor::{DType, Device, Tensor};
use faer::linalg::solvers::{Llt, LltError, PartialPivLu, Solve};
use faer::{Mat, MatRef, Side};

use super::host::{batch, diagonal_ratio, matrices};
use crate::NumericalError;
use crate::linear_operator::epsilon;

/// Solves `A X = B` for symmetric positive definite matrices, by their Cholesky factors.
///
/// # Shapes
/// - `a`: `[.., n, n]`
/// - `b`: `[.., n, k]`, with the same leading dimensions
/// - output: `[.., n, k]`
///
/// # Errors
/// Matrices that are not symmetric, not positive definite or singular to working precision, values that are not finite,
/// shapes that do not fit.
pub fn solve_spd<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Result<Tensor<D>, NumericalError> {
    let factors = Factorisation::cholesky(a)?;
    factors.solve(b)
}

/// Solves `A X = B` for square matrices, by their LU factors with partial pivoting.
///
/// # Shapes
/// - `a`: `[.., n, n]`
/// - `b`: `[.., n, k]`, with the same leading dimensions
/// - output: `[.., n, k]`
///
/// # Errors
/// Matrices that are singular to working precision, values that are not finite, shapes that do not fit.
pub fn solve<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Result<Tensor<D>, NumericalError> {
    let factors = Factorisation::lu(a)?;
    factors.solve(b)
}

/// Minimises `|A X - B|^2` for matrices of full column rank, by their QR factors.
///
/// # Shapes
/// - `a`: `[.., m, n]` with `m >= n`
/// - `b`: `[.., m, k]`, with the same leading dimensions
/// - output: `[.., n, k]`
///
/// # Errors
/// Columns that are linearly dependent to working precision, values that are not finite, shapes that do not fit.
pub fn least_squares<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Result<Tensor<D>, NumericalError> {
    const OPERATION: &str = "least squares";
    let place = Place::of(&a);
    let (a, b) = (stacked(OPERATION, a)?, stacked(OPERATION, b)?);
    let ([batch_a, rows, columns], [batch_b, rows_b, _]) = (a.dims(), b.dims());
    if batch_a != batch_b || rows != rows_b || rows < columns {
        return Err(misfit(OPERATION, &a, &b, "[.., m, n] and [.., m, k] with m >= n"));
    }
    let systems = matrices(OPERATION, a)?.into_iter().zip(matrices(OPERATION, b)?);
    let solve_one = |(index, (a, b)): (usize, (Mat<f64>, Mat<f64>))| {
        let triangle = Triangle::of(a.as_ref());
        triangle.require_rank(OPERATION, index, place.dtype)?;
        Ok(triangle.solve(b.as_ref()))
    };
    let solutions = systems.enumerate().map(solve_one).collect::<Result<Vec<_>, _>>()?;
    Ok(place.unstack(batch(&solutions, &place.device, place.dtype)))
}

/// Factors of square matrices, kept for several right-hand sides.
///
/// Matrices are `[.., n, n]`, right-hand sides and solutions `[.., n, k]`; all have the same leading dimensions.
#[derive(Debug, Clone)]
pub struct Factorisation<const D: usize> {
    operation: &'static str,
    size: usize,
    factors: Vec<Factors>,
    place: Place<D>,
}

#[derive(Debug, Clone)]
enum Factors {
    Cholesky(Llt<f64>),
    Lu(PartialPivLu<f64>),
}

impl<const D: usize> Factorisation<D> {
    /// `A = L L'` of symmetric positive definite matrices.
    ///
    /// # Errors
    /// As [`solve_spd`].
    pub fn cholesky(a: Tensor<D>) -> Result<Self, NumericalError> {
        const OPERATION: &str = "Cholesky solve";
        let dtype = a.dtype();
        let factor = |index, matrix: Mat<f64>| {
            require_symmetric(OPERATION, matrix.as_ref(), dtype)?;
            let factor = matrix.llt(Side::Lower).map_err(|LltError::NonPositivePivot { index: pivot }| {
                NumericalError::NotPositiveDefinite { operation: OPERATION, batch: index, pivot }
            })?;
            // Pivots are squares of the diagonal.
            require_pivots(OPERATION, index, diagonal_ratio(factor.L()).powi(2), matrix.nrows(), dtype)?;
            Ok(Factors::Cholesky(factor))
        };
        Self::of(OPERATION, a, factor)
    }

    /// `P A = L U` of square matrices, with partial pivoting.
    ///
    /// # Errors
    /// As [`solve`].
    pub fn lu(a: Tensor<D>) -> Result<Self, NumericalError> {
        const OPERATION: &str = "LU solve";
        let dtype = a.dtype();
        let factor = |index, matrix: Mat<f64>| {
            let factor = matrix.partial_piv_lu();
            require_pivots(OPERATION, index, diagonal_ratio(factor.U()), matrix.nrows(), dtype)?;
            Ok(Factors::Lu(factor))
        };
        Self::of(OPERATION, a, factor)
    }

    /// `X` with `A X = B`.
    ///
    /// # Errors
    /// Values that are not finite, shapes that do not fit.
    pub fn solve(&self, b: Tensor<D>) -> Result<Tensor<D>, NumericalError> {
        self.solve_with(b, |factors, b| match factors {
            Factors::Cholesky(factor) => factor.solve(b),
            Factors::Lu(factor) => factor.solve(b),
        })
    }

    /// `X` with `A' X = B`.
    ///
    /// # Errors
    /// Values that are not finite, shapes that do not fit.
    pub fn solve_transposed(&self, b: Tensor<D>) -> Result<Tensor<D>, NumericalError> {
        self.solve_with(b, |factors, b| match factors {
            Factors::Cholesky(factor) => factor.solve(b),
            Factors::Lu(factor) => factor.solve_transpose(b),
        })
    }

    /// [`Factorisation::solve_transposed`] of an upstream gradient: what is not finite in it goes on.
    ///
    /// # Panics
    /// Where the shape is not that of the solution.
    pub(crate) fn solve_adjoint(&self, upstream: Tensor<D>) -> Tensor<D> {
        let finite = upstream.clone().is_finite().all().into_scalar::<bool>();
        if !finite {
            return upstream * f64::NAN;
        }
        self.solve_transposed(upstream).unwrap_or_else(|error| panic!("backward pass of {error}"))
    }

    fn of(
        operation: &'static str,
        a: Tensor<D>,
        factor: impl Fn(usize, Mat<f64>) -> Result<Factors, NumericalError>,
    ) -> Result<Self, NumericalError> {
        let place = Place::of(&a);
        let a = stacked(operation, a)?;
        let [_, rows, columns] = a.dims();
        if rows != columns {
            return Err(misfit(operation, &a, &a, "square matrices [.., n, n]"));
        }
        let factors = matrices(operation, a)?.into_iter().enumerate();
        let factors = factors.map(|(index, matrix)| factor(index, matrix)).collect::<Result<_, _>>()?;
        Ok(Self { operation, size: rows, factors, place })
    }

    fn solve_with(
        &self,
        b: Tensor<D>,
        solve: impl Fn(&Factors, &Mat<f64>) -> Mat<f64>,
    ) -> Result<Tensor<D>, NumericalError> {
        let b = stacked(self.operation, b)?;
        let [count, rows, _] = b.dims();
        if count != self.factors.len() || rows != self.size {
            let found = format!("right-hand sides of shape {:?}", b.dims());
            let expected = format!("[{}, {}, k]", self.factors.len(), self.size);
            return Err(NumericalError::Shape { operation: self.operation, found, expected });
        }
        let sides = matrices(self.operation, b)?;
        let solutions: Vec<_> = self.factors.iter().zip(&sides).map(|(factors, b)| solve(factors, b)).collect();
        Ok(self.place.unstack(batch(&solutions, &self.place.device, self.place.dtype)))
    }
}

/// The thin QR factors of a matrix with at least as many rows as columns.
pub(crate) struct Triangle {
    pub(crate) q: Mat<f64>,
    pub(crate) r: Mat<f64>,
}

impl Triangle {
    pub(crate) fn of(matrix: MatRef<'_, f64>) -> Self {
        if matrix.ncols() == 0 {
            return Self { q: Mat::zeros(matrix.nrows(), 0), r: Mat::zeros(0, 0) };
        }
        let factors = matrix.qr();
        Self { q: factors.compute_thin_Q(), r: factors.thin_R().to_owned() }
    }

    pub(crate) fn require_rank(
        &self,
        operation: &'static str,
        index: usize,
        dtype: DType,
    ) -> Result<(), NumericalError> {
        if self.r.ncols() == 0 {
            return Ok(());
        }
        require_pivots(operation, index, diagonal_ratio(self.r.as_ref()), self.q.nrows(), dtype)
    }

    /// The `X` that minimises `|Q R X - B|`.
    pub(crate) fn solve(&self, b: MatRef<'_, f64>) -> Mat<f64> {
        let mut x = self.q.transpose() * b;
        self.r.solve_upper_triangular_in_place(x.as_mut());
        x
    }

    /// The `X` with `R' R X = B`.
    pub(crate) fn solve_normal(&self, b: Mat<f64>) -> Mat<f64> {
        let mut x = b;
        self.r.transpose().solve_lower_triangular_in_place(x.as_mut());
        self.r.solve_upper_triangular_in_place(x.as_mut());
        x
    }
}

/// Where results go, and the shape that batches have.
#[derive(Debug, Clone)]
struct Place<const D: usize> {
    device: Device,
    dtype: DType,
    dims: [usize; D],
}

impl<const D: usize> Place<D> {
    fn of(tensor: &Tensor<D>) -> Self {
        Self { device: tensor.device().inner(), dtype: tensor.dtype(), dims: tensor.dims() }
    }

    /// `[batch, n, k]` with the leading dimensions restored.
    fn unstack(&self, tensor: Tensor<3>) -> Tensor<D> {
        let [_, rows, columns] = tensor.dims();
        let mut dims = self.dims;
        dims[D - 2] = rows;
        dims[D - 1] = columns;
        tensor.reshape(dims)
    }
}

/// `[.., rows, columns]` with the leading dimensions made one.
fn stacked<const D: usize>(operation: &'static str, tensor: Tensor<D>) -> Result<Tensor<3>, NumericalError> {
    let dims = tensor.dims();
    if D < 2 || dims.contains(&0) {
        let expected = "at least two dimensions, none of them 0".to_owned();
        return Err(NumericalError::Shape { operation, found: format!("a tensor of shape {dims:?}"), expected });
    }
    Ok(tensor.reshape([dims[..D - 2].iter().product(), dims[D - 2], dims[D - 1]]))
}

fn misfit(operation: &'static str, a: &Tensor<3>, b: &Tensor<3>, expected: &str) -> NumericalError {
    let found = format!("shapes {:?} and {:?}", a.dims(), b.dims());
    NumericalError::Shape { operation, found, expected: expected.to_owned() }
}

fn require_pivots(
    operation: &'static str,
    batch: usize,
    reciprocal_condition: f64,
    size: usize,
    dtype: DType,
) -> Result<(), NumericalError> {
    // The entries are only known to the precision of their type, whatever the arithmetic is.
    let threshold = 4.0 * epsilon(dtype) * (size as f64).sqrt();
    // A comparison that NaN fails.
    if reciprocal_condition > threshold {
        Ok(())
    } else {
        Err(NumericalError::Singular { operation, batch, reciprocal_condition })
    }
}

pub(crate) fn require_symmetric(
    operation: &'static str,
    matrix: MatRef<'_, f64>,
    dtype: DType,
) -> Result<(), NumericalError> {
    let entries = || (0..matrix.nrows()).flat_map(|row| (0..matrix.ncols()).map(move |column| (row, column)));
    let size = entries().map(|at| matrix[at].abs()).fold(0.0, f64::max);
    let difference = entries().map(|(i, j)| (matrix[(i, j)] - matrix[(j, i)]).abs()).fold(0.0, f64::max);
    let tolerance = epsilon(dtype).sqrt();
    let defect = if size == 0.0 { 0.0 } else { difference / size };
    if defect <= tolerance { Ok(()) } else { Err(NumericalError::NotSymmetric { operation, defect, tolerance }) }
}
