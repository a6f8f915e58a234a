//! Power iteration with deflation: the simplest eigenvalue method, with three vectors of memory.

use burn::config::Config;
use burn::tensor::{Tensor, TensorCreationOptions};

use super::basis::Basis;
use super::lanczos::EigenPairs;
use super::probe::Probes;
use crate::linear_operator::{dot, epsilon, norm, require_symmetry};
use crate::{LinearOperator, NumericalError};

/// Settings of [`power_iteration`].
#[derive(Config, Debug)]
pub struct PowerIterationConfig {
    /// Number of eigenvalues, largest in magnitude first.
    #[config(default = 1)]
    pub count: usize,
    /// Relative residual `|A v - lambda v| / |lambda|` to reach.
    #[config(default = 1e-4)]
    pub tolerance: f64,
    /// Products at most for each eigenvalue.
    #[config(default = 1000)]
    pub max_iterations: usize,
    /// Whether two products are spent on finding out that the operator is not symmetric.
    #[config(default = true)]
    pub check_symmetry: bool,
    /// Seed of the start vectors.
    #[config(default = 0)]
    pub seed: u64,
}

/// The eigenvalues of largest magnitude of a symmetric operator, with their vectors.
///
/// ```text
/// v <- (I - Q Q') A v / |(I - Q Q') A v|        lambda = v'Av        Q: the vectors found before
/// ```
/// Converges as `|lambda_2 / lambda_1|^k`, Lanczos as the root of that gap: prefer [`lanczos`](super::lanczos) unless its
/// basis does not fit in memory. Two eigenvalues of equal magnitude and opposite sign do not converge.
/// `options` as in `Tensor::zeros`.
///
/// # Errors
/// An operator that is not symmetric, values that are not finite, a setting out of range, or
/// [`NumericalError::NotConverged`] with the residual of the eigenvalue that was not found.
pub fn power_iteration(
    operator: &impl LinearOperator,
    settings: &PowerIterationConfig,
    options: impl Into<TensorCreationOptions>,
) -> Result<EigenPairs, NumericalError> {
    let options = options.into();
    if settings.count == 0 || settings.count > operator.dimension() {
        return Err(NumericalError::Setting {
            operation: OPERATION,
            name: "count",
            value: settings.count as f64,
            expected: "at least 1 and at most the dimension",
        });
    }
    if settings.check_symmetry {
        require_symmetry(OPERATION, operator, settings.seed.wrapping_add(1), &options)?;
    }
    let mut probes = Probes::new(operator.dimension(), settings.seed, options);
    let mut search = Search { operator, settings, found: Basis::default(), norm: 0.0 };
    let mut pairs = EigenPairs {
        values: vec![],
        residuals: vec![],
        vectors: None,
        products: if settings.check_symmetry { 2 } else { 0 },
    };
    let mut vectors = Vec::new();
    for _ in 0..settings.count {
        let found = search.next(probes.gaussian())?;
        pairs.values.push(found.value);
        pairs.residuals.push(found.residual);
        pairs.products += found.products;
        search.norm = search.norm.max(found.value.abs());
        search.found.push(found.vector.clone());
        vectors.push(found.vector);
    }
    pairs.vectors = Some(Tensor::stack(vectors, 0));
    Ok(pairs)
}

const OPERATION: &str = "power iteration";

struct Search<'a, O> {
    operator: &'a O,
    settings: &'a PowerIterationConfig,
    found: Basis,
    /// Largest magnitude found so far: what is `epsilon` of it is zero.
    norm: f64,
}

struct Found {
    value: f64,
    residual: f64,
    vector: Tensor<1>,
    products: usize,
}

impl<O: LinearOperator> Search<'_, O> {
    fn next(&self, start: Tensor<1>) -> Result<Found, NumericalError> {
        let start = self.found.reject(start);
        let mut vector = start.clone() / norm(&start);
        let mut residual = f64::INFINITY;
        for products in 1..=self.settings.max_iterations {
            let image = self.found.reject(self.operator.apply(vector.clone()));
            let value = dot(&vector, &image);
            let length = norm(&image);
            if !length.is_finite() {
                return Err(NumericalError::NotFinite { operation: OPERATION, iteration: products });
            }
            let floor = epsilon(image.dtype()) * self.norm.max(length) / self.settings.tolerance;
            residual = norm(&(image.clone() - vector.clone() * value)) / value.abs().max(floor).max(f64::MIN_POSITIVE);
            if residual <= self.settings.tolerance {
                return Ok(Found { value, residual, vector, products });
            }
            // The rejection is repeated on the normalised vector, so that rounding does not bring found vectors back.
            let next = self.found.reject(image / length);
            vector = next.clone() / norm(&next);
        }
        Err(NumericalError::NotConverged {
            operation: OPERATION,
            iterations: self.settings.max_iterations,
            residual,
            tolerance: self.settings.tolerance,
        })
    }
}
