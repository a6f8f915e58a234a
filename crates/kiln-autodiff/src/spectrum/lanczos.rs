//! Lanczos' method with full reorthogonalisation.

use burn::config::Config;
use burn::tensor::{Tensor, TensorCreationOptions};
use faer::Mat;

use super::basis::Basis;
use super::probe::Probes;
use super::tridiagonal::{SmallEigen, Tridiagonal};
use crate::linear_operator::{dot, epsilon, norm, require_symmetry};
use crate::{LinearOperator, NumericalError};

/// Settings of [`lanczos`] and [`sharpness`].
#[derive(Config, Debug)]
pub struct LanczosConfig {
    /// Number of eigenvalues wanted, at each end that is asked for.
    #[config(default = 1)]
    pub count: usize,
    /// Which end of the spectrum.
    #[config(default = "SpectrumEnd::Largest")]
    pub end: SpectrumEnd,
    /// Relative residual `|A v - lambda v| / |lambda|` to reach. For a symmetric operator the relative error of an
    /// eigenvalue is not larger, and usually about its square.
    #[config(default = 1e-4)]
    pub tolerance: f64,
    /// Products with the operator at most; the basis keeps as many vectors. Never more than the dimension.
    #[config(default = 300)]
    pub max_steps: usize,
    /// Whether [`EigenPairs::vectors`] are formed.
    #[config(default = false)]
    pub vectors: bool,
    /// Whether two products are spent on finding out that the operator is not symmetric.
    #[config(default = true)]
    pub check_symmetry: bool,
    /// Seed of the start vector.
    #[config(default = 0)]
    pub seed: u64,
}

/// An end of the spectrum of a symmetric operator.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum SpectrumEnd {
    /// The most positive eigenvalues, in descending order.
    Largest,
    /// The most negative eigenvalues, in ascending order.
    Smallest,
    /// The most positive ones in descending order, then the most negative ones in ascending order.
    Both,
}

/// Eigenvalues, how exact they are, and their vectors where these were asked for.
#[derive(Debug, Clone)]
pub struct EigenPairs {
    /// Eigenvalues, in the order that was asked for.
    pub values: Vec<f64>,
    /// Relative residual `|A v - lambda v| / |lambda|` of each.
    pub residuals: Vec<f64>,
    /// Eigenvectors of length 1 as rows, `[count, dimension]`.
    pub vectors: Option<Tensor<2>>,
    /// Products with the operator that it took.
    pub products: usize,
}

/// Extreme eigenvalues of a symmetric operator.
///
/// ```text
/// A q_j = beta_{j-1} q_{j-1} + alpha_j q_j + beta_j q_{j+1}        T = tridiag(beta, alpha, beta),  T s = lambda s
/// v = sum_j s_j q_j        |A v - lambda v| = beta_m |s_m|
/// ```
/// Each new vector is made orthogonal to all before it, twice, so no eigenvalue appears as a spurious copy. Where the
/// directions that the start vector reaches are exhausted, the process goes on in a fresh random one until repeated
/// eigenvalues are complete; in a space that is never exhausted, a repeated eigenvalue may appear once only.
/// Costs one product a step, and `4 dimension m^2` operations for orthogonality.
///
/// `options` says on which device and in which float type the vectors live, as in `Tensor::zeros`.
///
/// # Errors
/// An operator that is not symmetric, values that are not finite, a setting out of range, or
/// [`NumericalError::NotConverged`] with the worst residual after `max_steps` products.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::spectrum::{LanczosConfig, lanczos};
///
/// let device = Device::flex();
/// let matrix = Tensor::<2>::from_data([[2.0, 1.0], [1.0, 2.0]], &device);
/// let pairs = lanczos(&matrix, &LanczosConfig::new(), &device).unwrap();
/// assert!((pairs.values[0] - 3.0).abs() < 1e-5);
/// ```
pub fn lanczos(
    operator: &impl LinearOperator,
    settings: &LanczosConfig,
    options: impl Into<TensorCreationOptions>,
) -> Result<EigenPairs, NumericalError> {
    let options = options.into();
    check_settings(operator, settings)?;
    if settings.check_symmetry {
        require_symmetry(OPERATION, operator, settings.seed.wrapping_add(1), &options)?;
    }
    let limit = settings.max_steps.min(operator.dimension());
    let mut process = LanczosProcess::new(operator, Probes::new(operator.dimension(), settings.seed, options));
    let mut next_check = settings.wanted();
    loop {
        process.step()?;
        let steps = process.matrix.size();
        if steps < next_check.min(limit) {
            continue;
        }
        next_check = steps + (steps / 8).max(4);
        let ritz = process.ritz_pairs(settings)?;
        // A basis of the whole space has nothing left to converge: its residuals are rounding.
        let converged = ritz.worst_residual() <= settings.tolerance && process.no_copy_is_missing(&ritz, settings);
        if converged || steps == operator.dimension() {
            return Ok(process.finish(ritz, settings));
        }
        if steps == limit {
            return Err(NumericalError::NotConverged {
                operation: OPERATION,
                iterations: steps,
                residual: ritz.worst_residual(),
                tolerance: settings.tolerance,
            });
        }
    }
}

/// The largest eigenvalue of a symmetric operator; of a loss's Hessian, how sharp the minimum is.
///
/// `tolerance` bounds the relative error.
///
/// # Errors
/// As [`lanczos`].
pub fn sharpness(
    operator: &impl LinearOperator,
    tolerance: f64,
    options: impl Into<TensorCreationOptions>,
) -> Result<f64, NumericalError> {
    let settings = LanczosConfig::new().with_tolerance(tolerance);
    lanczos(operator, &settings, options).map(|pairs| pairs.values[0])
}

const OPERATION: &str = "Lanczos";

impl LanczosConfig {
    /// Ritz values needed before anything can have converged.
    fn wanted(&self) -> usize {
        if self.end == SpectrumEnd::Both { 2 * self.count } else { self.count }
    }
}

fn check_settings(operator: &impl LinearOperator, settings: &LanczosConfig) -> Result<(), NumericalError> {
    let limit = settings.max_steps.min(operator.dimension());
    let refuse = |name, value, expected| Err(NumericalError::Setting { operation: OPERATION, name, value, expected });
    if settings.count == 0 || settings.wanted() > limit {
        let expected = "at least 1, and at most the dimension and the steps (half of them for both ends)";
        return refuse("count", settings.count as f64, expected);
    }
    if !(settings.tolerance > 0.0 && settings.tolerance < 1.0) {
        return refuse("tolerance", settings.tolerance, "between 0 and 1");
    }
    Ok(())
}

/// A Lanczos recurrence under way: the basis so far, its tridiagonal matrix and the next basis vector.
pub(crate) struct LanczosProcess<'a, O> {
    operator: &'a O,
    probes: Probes,
    basis: Basis,
    current: Tensor<1>,
    pub(crate) matrix: Tridiagonal,
    /// Step at which the current start vector came in.
    block_start: usize,
}

impl<'a, O: LinearOperator> LanczosProcess<'a, O> {
    /// Starts at a random normal vector.
    pub(crate) fn new(operator: &'a O, mut probes: Probes) -> Self {
        let start = probes.gaussian();
        Self::starting_at(operator, start, probes)
    }

    /// Starts at a given vector, which is not zero.
    pub(crate) fn starting_at(operator: &'a O, start: Tensor<1>, probes: Probes) -> Self {
        let length = norm(&start);
        let (basis, matrix) = (Basis::default(), Tridiagonal::default());
        Self { operator, probes, basis, current: start / length, matrix, block_start: 0 }
    }

    /// One product, and one row and column more of the tridiagonal matrix.
    pub(crate) fn step(&mut self) -> Result<(), NumericalError> {
        if self.is_exhausted() {
            self.block_start = self.matrix.size();
            self.continue_in_a_fresh_direction();
        }
        let image = self.operator.apply(self.current.clone());
        let alpha = dot(&self.current, &image);
        let size = norm(&image);
        self.basis.push(self.current.clone());
        let rest = self.basis.reject(image);
        let beta = norm(&rest);
        self.matrix.diagonal.push(alpha);
        if !(alpha.is_finite() && beta.is_finite()) {
            return Err(NumericalError::NotFinite { operation: OPERATION, iteration: self.matrix.size() });
        }
        let rounding = 10.0 * epsilon(rest.dtype()) * size.max(self.matrix.norm());
        if beta > rounding {
            self.matrix.couplings.push(beta);
            self.current = rest / beta;
        } else {
            self.matrix.couplings.push(0.0);
        }
        Ok(())
    }

    /// Whether the space that the start vector reaches is exhausted.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.matrix.couplings.last() == Some(&0.0)
    }

    fn continue_in_a_fresh_direction(&mut self) {
        // A random vector lies in a proper subspace with probability 0; the attempts guard against rounding in tiny
        // dimensions, where little may be left of it.
        for _ in 0..100 {
            if let Some(direction) = self.basis.normalised_rejection(self.probes.gaussian()) {
                self.current = direction;
                return;
            }
        }
    }

    fn ritz_pairs(&self, settings: &LanczosConfig) -> Result<RitzPairs, NumericalError> {
        let steps = self.matrix.size();
        let not_finite = NumericalError::NotFinite { operation: OPERATION, iteration: steps };
        let eigen = self.matrix.eigen().ok_or(not_finite)?;
        let coupling = self.matrix.couplings[steps - 1];
        // Values far below the norm are exact to its rounding only; they count as converged at that.
        let floor = epsilon(self.current.dtype()) * self.matrix.norm();
        let columns = chosen_columns(&eigen, settings);
        let residual = |&column: &usize| {
            let absolute = coupling * eigen.vectors[(steps - 1, column)].abs();
            absolute / eigen.values[column].abs().max(floor / settings.tolerance).max(f64::MIN_POSITIVE)
        };
        let residuals = columns.iter().map(residual).collect();
        Ok(RitzPairs { eigen, columns, residuals })
    }

    /// Whether no further copy of a repeated eigenvalue can belong to the chosen ones.
    ///
    /// A block of steps from one start vector meets each eigenvalue once, and a later block meets only those that have
    /// copies left. So nothing is missing once the last block's own extreme value is not beyond the last chosen one.
    fn no_copy_is_missing(&self, ritz: &RitzPairs, settings: &LanczosConfig) -> bool {
        if settings.count == 1 || (self.block_start == 0 && !self.is_exhausted()) {
            return true;
        }
        let block = Tridiagonal {
            diagonal: self.matrix.diagonal[self.block_start..].to_vec(),
            couplings: self.matrix.couplings[self.block_start..].to_vec(),
        };
        let Some(eigen) = block.eigen() else { return false };
        let last_row = block.size() - 1;
        let slack = settings.tolerance * self.matrix.norm();
        let settled = |column: usize| block.couplings[last_row] * eigen.vectors[(last_row, column)].abs() <= slack;
        let rounding = 100.0 * epsilon(self.current.dtype()) * self.matrix.norm();
        let (top, bottom) = (eigen.values[last_row], eigen.values[0]);
        let chosen = |index: usize| ritz.eigen.values[ritz.columns[index]];
        let top_is_complete = || settled(last_row) && top <= chosen(settings.count - 1) + rounding;
        let bottom_is_complete = || settled(0) && bottom >= chosen(ritz.columns.len() - 1) - rounding;
        match settings.end {
            SpectrumEnd::Largest => top_is_complete(),
            SpectrumEnd::Smallest => bottom_is_complete(),
            SpectrumEnd::Both => top_is_complete() && bottom_is_complete(),
        }
    }

    fn finish(self, ritz: RitzPairs, settings: &LanczosConfig) -> EigenPairs {
        let steps = self.matrix.size();
        let vectors = settings.vectors.then(|| {
            let chosen = |row: usize, column: usize| ritz.eigen.vectors[(row, ritz.columns[column])];
            self.basis.combine(Mat::from_fn(steps, ritz.columns.len(), chosen).as_ref())
        });
        let values = ritz.columns.iter().map(|&column| ritz.eigen.values[column]).collect();
        let checks = if settings.check_symmetry { 2 } else { 0 };
        EigenPairs { values, residuals: ritz.residuals, vectors, products: steps + checks }
    }
}

/// The eigenvalues of the tridiagonal matrix that were asked for.
struct RitzPairs {
    eigen: SmallEigen,
    columns: Vec<usize>,
    residuals: Vec<f64>,
}

impl RitzPairs {
    fn worst_residual(&self) -> f64 {
        self.residuals.iter().copied().fold(0.0, f64::max)
    }
}

fn chosen_columns(eigen: &SmallEigen, settings: &LanczosConfig) -> Vec<usize> {
    let steps = eigen.values.len();
    let largest = (0..steps).rev().take(settings.count);
    let smallest = (0..steps).take(settings.count);
    match settings.end {
        SpectrumEnd::Largest => largest.collect(),
        SpectrumEnd::Smallest => smallest.collect(),
        SpectrumEnd::Both => largest.chain(smallest).collect(),
    }
}
