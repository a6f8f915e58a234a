//! Keeping the singular values of `U` near 1.

use faer::{Mat, MatRef};
use kiln_kernels::matrix::{Threads, multiply, rows_of};
use rayon::prelude::*;

use super::{BLOCK_ROWS, FactoredSphericalLayer};
use crate::z_loss::matrix::identity;
use crate::z_loss::{LayerError, LayerScalar};

/// Singular values of `U` in here are left alone.
const HEALTHY: std::ops::RangeInclusive<f64> = 0.5..=2.0;

impl<E: LayerScalar> FactoredSphericalLayer<E> {
    /// Moves what is too large or too small in `U` over to `V`; `W` stays the same.
    ///
    /// For each singular value `sigma` outside `[0.5, 2]`, with left vector `u`:
    ///
    /// ```text
    /// U <- U + (1 - sigma)/sigma u (u^T U)        V <- V + (sigma - 1) (V u) u^T
    /// ```
    /// and `U^-1` is computed anew. When more than a third of the values are outside, `V <- V U`, `U <- I` instead. Costs
    /// `O(D d)` for each value; a layer does it by itself every `stabilize_every` steps.
    ///
    /// # Errors
    /// [`LayerError::Singular`] when `U` is not finite or has lost its rank.
    pub fn stabilise(&mut self) -> Result<(), LayerError> {
        let width = self.width;
        let singular = || LayerError::Singular { steps: self.diagnostics.steps };
        if self.u.iter().any(|value| !value.is_finite()) {
            return Err(singular());
        }
        let decomposition = MatRef::from_row_major_slice(&self.u, width, width).svd().map_err(|_| singular())?;
        let mut sigma: Vec<f64> = decomposition.S().column_vector().iter().copied().collect();
        if sigma.iter().any(|value| !(value.is_finite() && *value > 0.0)) {
            return Err(singular());
        }
        self.diagnostics.stabilisations += 1;
        self.growth = 0.0;
        let outside: Vec<usize> = (0..width).filter(|&index| !HEALTHY.contains(&sigma[index])).collect();
        if outside.len() * 3 > width {
            self.unfactorise();
            return Ok(());
        }
        let left = decomposition.U();
        if !outside.is_empty() {
            let vectors = Mat::from_fn(width, outside.len(), |row, col| left[(row, outside[col])]);
            let scales: Vec<f64> = outside.iter().map(|&index| sigma[index] - 1.0).collect();
            self.stretch_rows(&vectors, &scales);
            outside.iter().for_each(|&index| sigma[index] = 1.0);
            self.diagnostics.singular_values_reset += outside.len() as u64;
        }
        let right = decomposition.V();
        let new_u = product_of_three(left, &sigma, right);
        sigma.iter_mut().for_each(|value| *value = 1.0 / *value);
        self.u_inverse = product_of_three(right, &sigma, left);
        if !outside.is_empty() {
            self.u = new_u;
        }
        Ok(())
    }

    /// Multiplies the factors out: `V <- V U`, `U <- I`. Costs `O(D d^2)`.
    pub fn unfactorise(&mut self) {
        let width = self.width;
        let u: Vec<E> = self.u.iter().map(|&value| E::from_f64(value)).collect();
        self.v.par_chunks_mut(BLOCK_ROWS * width).for_each_init(Vec::new, |old: &mut Vec<E>, rows| {
            old.clear();
            old.extend_from_slice(rows);
            let count = rows.len() / width;
            multiply(rows, 0.0, 1.0, rows_of(old, count, width), rows_of(&u, width, width), Threads::Caller);
        });
        self.u = identity(width);
        self.u_inverse = identity(width);
        self.growth = 0.0;
        self.diagnostics.unfactorisations += 1;
    }

    /// Ratio of the largest to the smallest singular value of `U`; infinite when it has none.
    pub(super) fn condition_number(&self) -> f64 {
        let values = MatRef::from_row_major_slice(&self.u, self.width, self.width).singular_values();
        match values.as_deref() {
            Ok([largest, .., smallest]) => largest / smallest,
            Ok(_) => 1.0,
            Err(_) => f64::INFINITY,
        }
    }

    /// `V <- V + sum_j scale_j (V u_j) u_j^T` for orthonormal columns `u_j`.
    fn stretch_rows(&mut self, vectors: &Mat<f64>, scales: &[f64]) {
        let (width, count) = (self.width, scales.len());
        let entries = || (0..width).flat_map(|row| (0..count).map(move |col| (row, col)));
        let plain: Vec<E> = entries().map(|(row, col)| E::from_f64(vectors[(row, col)])).collect();
        let scaled: Vec<E> = entries().map(|(row, col)| E::from_f64(vectors[(row, col)] * scales[col])).collect();
        self.v.par_chunks_mut(BLOCK_ROWS * width).for_each_init(Vec::new, |along: &mut Vec<E>, rows| {
            let block = rows.len() / width;
            along.clear();
            along.resize(block * count, E::default());
            let rows_view = rows_of(rows, block, width);
            multiply(along, 0.0, 1.0, rows_view, rows_of(&scaled, width, count), Threads::Caller);
            let along = rows_of(along, block, count);
            multiply(rows, 1.0, 1.0, along, rows_of(&plain, width, count).t(), Threads::Caller);
        });
    }
}

/// `left diag(values) right^T`, row-major.
fn product_of_three(left: MatRef<'_, f64>, values: &[f64], right: MatRef<'_, f64>) -> Vec<f64> {
    let size = values.len();
    let scaled = Mat::from_fn(size, size, |row, col| left[(row, col)] * values[col]);
    let product = scaled * right.transpose();
    (0..size * size).map(|index| product[(index / size, index % size)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FactoredSphericalConfig;

    #[test]
    fn brings_every_singular_value_of_an_ill_conditioned_factor_back() {
        let width = 9;
        let mut layer = FactoredSphericalConfig::new(width, 60).with_bias(false).init_as::<f64>(3).unwrap();
        let noise = |scale: f64| Mat::from_fn(width, width, |row, col| (scale * (row * width + col + 1) as f64).sin());
        let (left, right) = (noise(1.7).svd().unwrap(), noise(2.9).svd().unwrap());
        let sigma = [1e3, 1.9, 1.5, 1.2, 1.0, 0.9, 0.7, 0.6, 1e-3];
        layer.u = product_of_three(left.U(), &sigma, right.U());
        assert!((layer.condition_number() / 1e6 - 1.0).abs() < 1e-6);
        let all: Vec<usize> = (0..60).collect();
        let before = layer.weight_rows(&all).unwrap().concat();
        layer.stabilise().unwrap();

        let after = MatRef::from_row_major_slice(&layer.u, width, width).singular_values().unwrap();
        assert!(after.iter().all(|value| HEALTHY.contains(value)), "{after:?}");
        assert_eq!(layer.diagnostics.singular_values_reset, 2);
        let largest = before.iter().fold(0.0_f64, |most, weight| most.max(weight.abs()));
        for (after, before) in layer.weight_rows(&all).unwrap().concat().iter().zip(&before) {
            assert!((after - before).abs() < 1e-12 * largest);
        }
        let mut product = vec![0.0; width * width];
        let (u, inverse) = (rows_of(&layer.u, width, width), rows_of(&layer.u_inverse, width, width));
        multiply(&mut product, 0.0, 1.0, u, inverse, Threads::Caller);
        for (found, expected) in product.iter().zip(identity(width)) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_factor_without_full_rank_is_refused() {
        let mut layer = FactoredSphericalConfig::new(3, 5).init(3).unwrap();
        layer.u.fill(0.0);
        assert!(matches!(layer.stabilise(), Err(LayerError::Singular { .. })));
        layer.u.fill(f64::NAN);
        assert!(matches!(layer.stabilise(), Err(LayerError::Singular { .. })));
    }
}
