//! The small symmetric tridiagonal matrix of a Lanczos process, in double precision.

use faer::{Mat, Side};

/// Diagonal `alpha_1..alpha_m` and the couplings `beta_1..beta_m`, of which the last leads out of the matrix.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tridiagonal {
    pub(crate) diagonal: Vec<f64>,
    pub(crate) couplings: Vec<f64>,
}

/// Eigenvalues in ascending order, with the eigenvectors as columns.
pub(crate) struct SmallEigen {
    pub(crate) values: Vec<f64>,
    pub(crate) vectors: Mat<f64>,
}

impl Tridiagonal {
    pub(crate) fn size(&self) -> usize {
        self.diagonal.len()
    }

    /// Largest row sum of absolute values, a bound on every eigenvalue.
    pub(crate) fn norm(&self) -> f64 {
        let coupling = |row: usize| self.couplings.get(row).map_or(0.0, |beta| beta.abs());
        (0..self.size())
            .map(|row| self.diagonal[row].abs() + coupling(row) + if row > 0 { coupling(row - 1) } else { 0.0 })
            .fold(0.0, f64::max)
    }

    /// The whole eigen-decomposition; `None` where an entry is not finite.
    pub(crate) fn eigen(&self) -> Option<SmallEigen> {
        let size = self.size();
        let matrix = Mat::from_fn(size, size, |row, column| match row.abs_diff(column) {
            0 => self.diagonal[row],
            1 => self.couplings[row.min(column)],
            _ => 0.0,
        });
        if self.diagonal.iter().chain(&self.couplings).any(|value| !value.is_finite()) {
            return None;
        }
        let eigen = matrix.self_adjoint_eigen(Side::Lower).ok()?;
        let values = eigen.S().column_vector().iter().copied().collect();
        Some(SmallEigen { values, vectors: eigen.U().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_check::assert_close;

    #[test]
    fn the_second_difference_matrix_has_its_known_eigenvalues() {
        let size = 6;
        let matrix = Tridiagonal { diagonal: vec![2.0; size], couplings: vec![-1.0; size] };
        let angle = |k: usize| k as f64 * std::f64::consts::PI / (2.0 * (size as f64 + 1.0));
        let expected: Vec<f64> = (1..=size).map(|k| 4.0 * angle(k).sin().powi(2)).collect();
        assert_close(&matrix.eigen().unwrap().values, &expected, 1e-13);
        assert_close(&[matrix.norm()], &[4.0], 0.0);
    }

    #[test]
    fn what_is_not_finite_has_no_decomposition() {
        let matrix = Tridiagonal { diagonal: vec![1.0, f64::NAN], couplings: vec![0.0, 0.0] };
        assert!(matrix.eigen().is_none());
    }
}
