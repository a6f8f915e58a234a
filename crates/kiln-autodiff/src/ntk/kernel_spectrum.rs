//! The eigen-decomposition of a kernel.

use burn::tensor::{DType, Device, Tensor};
use faer::{Mat, Side};

use crate::NumericalError;
use crate::linear_operator::epsilon;
use crate::solve::{host, require_symmetric};

/// Eigenvalues and eigenvectors of a symmetric positive semi-definite kernel matrix.
///
/// Computed in double precision on the host, `n^3` operations. Eigenvalues that rounding has made negative are 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::ntk::KernelSpectrum;
///
/// let spectrum = KernelSpectrum::of(Tensor::from_floats([[2.0, 1.0], [1.0, 2.0]], &Device::flex()))?;
/// assert!((spectrum.values()[0] - 3.0).abs() < 1e-12 && (spectrum.condition_number() - 3.0).abs() < 1e-12);
/// # Ok::<(), kiln_autodiff::NumericalError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KernelSpectrum {
    values: Vec<f64>,
    /// Eigenvectors as columns, in the order of the values.
    vectors: Mat<f64>,
    device: Device,
    dtype: DType,
}

const OPERATION: &str = "kernel spectrum";

impl KernelSpectrum {
    /// Decomposes a kernel.
    ///
    /// # Shapes
    /// - `kernel`: `[n, n]`
    ///
    /// # Errors
    /// A matrix that is not square, empty, not finite or not symmetric, and an eigenvalue that is more negative than
    /// rounding explains.
    pub fn of(kernel: Tensor<2>) -> Result<Self, NumericalError> {
        let ([rows, columns], device, dtype) = (kernel.dims(), kernel.device().inner(), kernel.dtype());
        if rows != columns || rows == 0 {
            let found = format!("a kernel of shape [{rows}, {columns}]");
            let expected = "a square matrix of at least one row".to_owned();
            return Err(NumericalError::Shape { operation: OPERATION, found, expected });
        }
        let matrix = host::matrix(OPERATION, kernel)?;
        require_symmetric(OPERATION, matrix.as_ref(), dtype)?;
        let not_finite = |_| NumericalError::NotFinite { operation: OPERATION, iteration: 0 };
        let eigen = matrix.self_adjoint_eigen(Side::Lower).map_err(not_finite)?;
        let ascending: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
        let (smallest, largest) = (ascending[0], ascending[rows - 1]);
        let size = largest.abs().max(smallest.abs());
        if smallest < -10.0 * epsilon(dtype) * rows as f64 * size {
            return Err(NumericalError::NotPositiveSemidefinite { operation: OPERATION, smallest, largest });
        }
        let vectors = eigen.U();
        Ok(Self {
            values: ascending.iter().rev().map(|&value| value.max(0.0)).collect(),
            vectors: Mat::from_fn(rows, rows, |row, column| vectors[(row, rows - 1 - column)]),
            device,
            dtype,
        })
    }

    /// Eigenvalues, in descending order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Eigenvectors of length 1 as rows, `[n, n]`, in the order of the values.
    pub fn vectors(&self) -> Tensor<2> {
        host::tensor(self.vectors.transpose().to_owned(), &self.device, self.dtype)
    }

    /// Largest eigenvalue over the smallest; infinite for a singular kernel.
    pub fn condition_number(&self) -> f64 {
        self.values[0] / self.values[self.values.len() - 1]
    }

    /// Effective rank `exp(-sum_i p_i log p_i)` with `p_i` the share of eigenvalue `i` in the trace: between 1 and `n`, `n`
    /// for a multiple of the identity; 0 for the zero matrix.
    ///
    /// Source: O. Roy and M. Vetterli, The effective rank, EUSIPCO 2007.
    pub fn effective_rank(&self) -> f64 {
        let trace: f64 = self.values.iter().sum();
        if trace == 0.0 {
            return 0.0;
        }
        let shares = self.values.iter().map(|value| value / trace).filter(|&share| share > 0.0);
        (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
    }

    /// Number of eigenvalues above `cutoff` times the largest.
    pub fn rank(&self, cutoff: f64) -> usize {
        self.values.iter().filter(|&&value| value > cutoff * self.values[0]).count()
    }

    pub(super) fn columns(&self) -> &Mat<f64> {
        &self.vectors
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(super) fn tensor(&self, matrix: Mat<f64>) -> Tensor<2> {
        host::tensor(matrix, &self.device, self.dtype)
    }
}
