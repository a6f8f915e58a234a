//! The linear model in closed form.

use burn::config::Config;
use burn::tensor::{DType, Device, Tensor, TensorData};
use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, MatRef, Side};

use super::AggregateError;
use super::bag_rows::{bag_sizes, require_finite};
use super::error::require;

/// Share of a column's own weight, and share of the total between the bags, below which what is left is taken for rounding.
const NEGLIGIBLE: f64 = 1e-12;

/// Configuration of [`BagRegression`].
#[derive(Config, Debug)]
pub struct BagRegressionConfig {
    /// Share of the instance-level loss, at least 0.
    #[config(default = 0.1)]
    pub rho: f64,
    /// Weight `lambda` of `|theta|^2` against the sum of squares over all rows, at least 0.
    #[config(default = 0.0)]
    pub ridge: f64,
    /// Takes the solution of least norm where there are several, by a singular value decomposition.
    #[config(default = false)]
    pub min_norm: bool,
}

impl BagRegressionConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`AggregateError::Setting`] for a value that is negative, infinite or not a number.
    pub fn init(&self) -> Result<BagRegression, AggregateError> {
        let rho = check_rho(self.rho)?;
        Ok(BagRegression { rho, ridge: check_ridge(self.ridge)?, min_norm: self.min_norm })
    }
}

/// Linear regression on bags.
///
/// ```text
/// theta = ((1 - rho) Xb' K Xb + rho X' X + lambda I)^-1  Xb' K yb        K = diag(k_a)
/// ```
/// `Xb` holds the mean features of the bags and `yb` their responses. The right-hand side does not depend on `rho`, because
/// the sum of a bag's rows is `k_a` times their mean. There is no intercept: centre features and responses first.
///
/// Source: arXiv 2401.11081, section 3; with sizes of bags as weights where these differ.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_loss::aggregate::BagRegressionConfig;
///
/// let device = Device::flex();
/// let features = Tensor::<2>::from_floats([[1.0], [3.0], [-1.0], [-3.0]], &device);
/// let responses = Tensor::<2>::from_floats([[4.0], [-4.0]], &device);
/// let regression = BagRegressionConfig::new().with_rho(0.0).init()?;
/// let theta = regression.fit(features, &[0, 0, 1, 1], responses)?;
/// assert_eq!(theta.into_scalar::<f32>(), 2.0);
/// # Ok::<(), kiln_loss::aggregate::AggregateError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BagRegression {
    rho: f64,
    ridge: f64,
    min_norm: bool,
}

impl BagRegression {
    /// The coefficients.
    ///
    /// # Shapes
    /// - `features`: `[num_rows, num_features]`
    /// - `bag_of_row`: one bag for each row, in `0..num_bags`
    /// - `responses`: `[num_bags, num_targets]`
    /// - output: `[num_features, num_targets]`
    ///
    /// # Errors
    /// As [`BagSystem::new`] and [`BagSystem::solve`].
    pub fn fit(
        &self,
        features: Tensor<2>,
        bag_of_row: &[usize],
        responses: Tensor<2>,
    ) -> Result<Tensor<2>, AggregateError> {
        let system = BagSystem::new(features, bag_of_row, responses)?;
        if self.min_norm { system.solve_min_norm(self.rho, self.ridge) } else { system.solve(self.rho, self.ridge) }
    }

    /// The coefficients at each of several `rho`, for the price of little more than one; see [`BagSystem::path`].
    ///
    /// # Shapes
    /// As [`fit`](Self::fit), with one output for each `rho`.
    ///
    /// # Errors
    /// As [`BagSystem::new`] and [`BagSystem::path`].
    pub fn path(
        &self,
        features: Tensor<2>,
        bag_of_row: &[usize],
        responses: Tensor<2>,
        rhos: &[f64],
    ) -> Result<Vec<Tensor<2>>, AggregateError> {
        let system = BagSystem::new(features, bag_of_row, responses)?;
        if self.min_norm {
            return rhos.iter().map(|&rho| system.solve_min_norm(rho, self.ridge)).collect();
        }
        system.path(rhos, self.ridge)
    }
}

/// What [`BagRegression`] solves, with all sums over the rows taken once. The arithmetic is in double precision, whatever the
/// tensors are.
#[derive(Debug, Clone)]
pub struct BagSystem {
    /// `X`
    features: Mat<f64>,
    /// `K^(1/2) Xb`
    bag_features: Mat<f64>,
    /// `K^(1/2) yb`
    bag_responses: Mat<f64>,
    /// `Xb' K Xb`
    between: Mat<f64>,
    /// `X' X`
    total: Mat<f64>,
    /// `Xb' K yb`
    right: Mat<f64>,
    device: Device,
    dtype: DType,
}

impl BagSystem {
    /// The sums over some rows in bags.
    ///
    /// # Shapes
    /// - `features`: `[num_rows, num_features]`
    /// - `responses`: `[num_bags, num_targets]`
    ///
    /// # Errors
    /// Bags without rows, rows without bags, numbers that are not finite.
    pub fn new(features: Tensor<2>, bag_of_row: &[usize], responses: Tensor<2>) -> Result<Self, AggregateError> {
        let (device, dtype) = (features.device().inner(), features.dtype());
        let ([rows, columns], [bags, targets]) = (features.dims(), responses.dims());
        if bag_of_row.len() != rows {
            return Err(AggregateError::Shape { what: "bags of the rows", found: bag_of_row.len(), expected: rows });
        }
        let sizes = bag_sizes(bag_of_row, bags)?;
        let (features, responses) = (host("feature", features)?, host("response", responses)?);
        let features = MatRef::from_row_major_slice(&features, rows, columns).to_owned();
        let mut bag_features = Mat::<f64>::zeros(bags, columns);
        for column in 0..columns {
            for (row, &bag) in bag_of_row.iter().enumerate() {
                bag_features[(bag, column)] += features[(row, column)] / (sizes[bag] as f64).sqrt();
            }
        }
        let bag_responses =
            Mat::from_fn(bags, targets, |bag, target| responses[bag * targets + target] * (sizes[bag] as f64).sqrt());
        let between = bag_features.transpose() * &bag_features;
        let total = features.transpose() * &features;
        let right = bag_features.transpose() * &bag_responses;
        Ok(Self { features, bag_features, bag_responses, between, total, right, device, dtype })
    }

    /// The coefficients `[num_features, num_targets]` at one `rho`, by a Cholesky factorisation.
    ///
    /// # Errors
    /// [`AggregateError::Singular`] where there are several solutions: where other columns explain one but for 1e-12 of its weight.
    /// [`AggregateError::Setting`] for a `rho` or `ridge` that is negative, infinite or not a number.
    pub fn solve(&self, rho: f64, ridge: f64) -> Result<Tensor<2>, AggregateError> {
        let factor = self.factored(check_rho(rho)?, check_ridge(ridge)?)?;
        Ok(self.tensor(&factor.solve(&self.right)))
    }

    /// Among all solutions the one of least norm, by a singular value decomposition of the rows themselves; `rho` up to 1.
    ///
    /// # Errors
    /// [`AggregateError::Setting`] for a `rho` outside `[0, 1]` or a negative `ridge`; [`AggregateError::Singular`] where the
    /// decomposition does not converge.
    pub fn solve_min_norm(&self, rho: f64, ridge: f64) -> Result<Tensor<2>, AggregateError> {
        let (rho, ridge) = (require((0.0..=1.0).contains(&rho), "rho", rho, "from 0 to 1")?, check_ridge(ridge)?);
        let (bags, rows) = (self.bag_features.nrows(), if rho > 0.0 { self.features.nrows() } else { 0 });
        let (columns, added) = (self.features.ncols(), if ridge > 0.0 { self.features.ncols() } else { 0 });
        let bag_weight = (1.0 - rho).sqrt();
        let stacked = Mat::from_fn(bags + rows + added, columns, |row, column| match row {
            row if row < bags => bag_weight * self.bag_features[(row, column)],
            row if row < bags + rows => rho.sqrt() * self.features[(row - bags, column)],
            row => f64::from(row - bags - rows == column) * ridge.sqrt(),
        });
        // A' b is the right-hand side of the normal equations, whatever the rows of A are.
        let parts = stacked.thin_svd().map_err(|_| self.singular(rho))?;
        let (values, vectors) = (parts.S().column_vector(), parts.V());
        let largest = (0..values.nrows()).map(|at| values[at]).fold(0.0, f64::max);
        let negligible = largest * f64::EPSILON * stacked.nrows().max(columns) as f64;
        let mut coordinates = vectors.transpose() * &self.right;
        for at in 0..values.nrows() {
            let inverse = if values[at] > negligible { values[at].powi(-2) } else { 0.0 };
            coordinates.row_mut(at).iter_mut().for_each(|entry| *entry *= inverse);
        }
        Ok(self.tensor(&(vectors * coordinates)))
    }

    /// The coefficients at each of `rhos`, by one generalised eigen-decomposition of `Xb' K Xb` and `X' X`; each `rho` after
    /// that costs a product of a matrix and a vector.
    ///
    /// ```text
    /// X' X + lambda I = L L'        L^-1 (Xb' K Xb + lambda I) L^-T = U diag(s) U'
    /// theta(rho) = L^-T U diag(1 / ((1 - rho) s + rho)) U' L^-1 Xb' K yb
    /// ```
    ///
    /// # Errors
    /// As [`solve`](Self::solve).
    pub fn path(&self, rhos: &[f64], ridge: f64) -> Result<Vec<Tensor<2>>, AggregateError> {
        let (ridge, Some(&first)) = (check_ridge(ridge)?, rhos.first()) else { return Ok(Vec::new()) };
        // What the rows do not determine together, no share of them does.
        let factor = self.factored(1.0, ridge).map_err(|_| self.singular(first))?;
        let mut inner = with_ridge(&self.between, ridge);
        factor.L().solve_lower_triangular_in_place(inner.as_mut());
        let mut inner = inner.transpose().to_owned();
        factor.L().solve_lower_triangular_in_place(inner.as_mut());
        let parts = inner.self_adjoint_eigen(Side::Lower).map_err(|_| self.singular(first))?;
        let shares: Vec<f64> = parts.S().column_vector().iter().copied().collect();
        let mut back = parts.U().to_owned();
        factor.L().transpose().solve_upper_triangular_in_place(back.as_mut());
        let coordinates = back.transpose() * &self.right;
        let at = |&rho: &f64| {
            let rho = check_rho(rho)?;
            let weights: Vec<f64> = shares.iter().map(|share| (1.0 - rho) * share + rho).collect();
            // A share between the bags that is only rounding is no divisor.
            if weights.iter().any(|&weight| weight <= NEGLIGIBLE) {
                return self.solve(rho, ridge);
            }
            let inverse =
                |column: usize| weights.iter().enumerate().map(|(at, w)| back[(column, at)].powi(2) / w).sum();
            self.check_determined(rho, ridge, inverse)?;
            let scaled = Mat::from_fn(coordinates.nrows(), coordinates.ncols(), |row, column| {
                coordinates[(row, column)] / weights[row]
            });
            Ok(self.tensor(&(&back * scaled)))
        };
        rhos.iter().map(at).collect()
    }

    /// Sum of the squared misses of the bags times their sizes, at coefficients `[num_features, num_targets]`.
    pub(super) fn bag_residual(&self, coefficients: MatRef<'_, f64>) -> f64 {
        (&self.bag_features * coefficients - &self.bag_responses).squared_norm_l2()
    }

    /// The coefficients at the bag level, and `trace(X'X/n (Xb' K Xb)^-1)`, the noise that they carry on the scale of
    /// predictions.
    pub(super) fn pilot(&self) -> Result<(Mat<f64>, f64), AggregateError> {
        let factor = self.factored(0.0, 0.0)?;
        let coefficients = factor.solve(&self.right);
        let carried = factor.solve(&self.covariance());
        Ok((coefficients, (0..carried.nrows()).map(|at| carried[(at, at)]).sum()))
    }

    /// Covariance `X' X / n` of the features.
    pub(super) fn covariance(&self) -> Mat<f64> {
        &self.total * faer::Scale(1.0 / self.features.nrows() as f64)
    }

    /// Numbers of rows, bags and features.
    pub(super) fn sizes(&self) -> [usize; 3] {
        [self.features.nrows(), self.bag_features.nrows(), self.features.ncols()]
    }

    /// The factor of the system at one `rho`, where that determines every coefficient.
    fn factored(&self, rho: f64, ridge: f64) -> Result<Llt<f64>, AggregateError> {
        let size = self.total.nrows();
        let system = Mat::from_fn(size, size, |row, column| self.entry(rho, ridge, row, column));
        let factor = system.llt(Side::Lower).map_err(|_| self.singular(rho))?;
        let mut inverse = Mat::<f64>::identity(size, size);
        factor.L().solve_lower_triangular_in_place(inverse.as_mut());
        // A^-1 = L^-T L^-1
        self.check_determined(rho, ridge, |column| inverse.col(column).squared_norm_l2())?;
        Ok(factor)
    }

    /// Refuses a system `A` in which a column is a combination of the others: `1 / (A_jj (A^-1)_jj)` is the share of its weight
    /// that these leave unexplained, whatever the units of the columns are.
    fn check_determined(
        &self,
        rho: f64,
        ridge: f64,
        inverse_diagonal: impl Fn(usize) -> f64,
    ) -> Result<(), AggregateError> {
        let is_determined = |at: usize| self.entry(rho, ridge, at, at) * inverse_diagonal(at) * NEGLIGIBLE < 1.0;
        if (0..self.total.nrows()).all(is_determined) { Ok(()) } else { Err(self.singular(rho)) }
    }

    /// Of `(1 - rho) Xb' K Xb + rho X' X + lambda I`.
    fn entry(&self, rho: f64, ridge: f64, row: usize, column: usize) -> f64 {
        let own = if row == column { ridge } else { 0.0 };
        (1.0 - rho) * self.between[(row, column)] + rho * self.total[(row, column)] + own
    }

    fn singular(&self, rho: f64) -> AggregateError {
        let [rows, bags, features] = self.sizes();
        AggregateError::Singular { rho, bags, rows, features }
    }

    fn tensor(&self, matrix: &Mat<f64>) -> Tensor<2> {
        let (rows, columns) = (matrix.nrows(), matrix.ncols());
        let entries = (0..rows).flat_map(|row| (0..columns).map(move |column| matrix[(row, column)]));
        let data = TensorData::new(entries.collect::<Vec<f64>>(), [rows, columns]);
        Tensor::from_data(data, (&self.device, self.dtype))
    }
}

fn check_rho(rho: f64) -> Result<f64, AggregateError> {
    require(rho >= 0.0 && rho.is_finite(), "rho", rho, "at least 0, usually at most 1")
}

fn check_ridge(ridge: f64) -> Result<f64, AggregateError> {
    require(ridge >= 0.0 && ridge.is_finite(), "ridge", ridge, "at least 0")
}

fn host(what: &'static str, tensor: Tensor<2>) -> Result<Vec<f64>, AggregateError> {
    let values: Vec<f64> = tensor.inner().into_data().iter::<f64>().collect();
    require_finite(what, &values)?;
    Ok(values)
}

fn with_ridge(matrix: &Mat<f64>, ridge: f64) -> Mat<f64> {
    let mut matrix = matrix.clone();
    for at in 0..matrix.nrows() {
        matrix[(at, at)] += ridge;
    }
    matrix
}
