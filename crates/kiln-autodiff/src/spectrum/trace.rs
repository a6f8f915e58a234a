//! Traces from products with random vectors.

use burn::tensor::{Tensor, TensorCreationOptions};

use super::basis::Basis;
use super::estimate::Estimate;
use super::probe::Probes;
use crate::linear_operator::dot;
use crate::{LinearOperator, NumericalError};

/// Hutchinson's estimate of the trace.
///
/// ```text
/// tr A ~ (1/k) sum_i z_i'A z_i        z: independent random signs
/// ```
/// Unbiased, also where `A` is not symmetric; the variance of one sample is `2 (|S|_F^2 - sum_j A_jj^2)` with
/// `S = (A + A') / 2`. `probes` products. `options` as in `Tensor::zeros`.
///
/// # Errors
/// No probes, or values that are not finite.
pub fn trace_hutchinson(
    operator: &impl LinearOperator,
    probes: usize,
    seed: u64,
    options: impl Into<TensorCreationOptions>,
) -> Result<Estimate, NumericalError> {
    const OPERATION: &str = "Hutchinson's trace estimate";
    at_least(OPERATION, "probes", probes, 1, "at least 1")?;
    let mut source = Probes::new(operator.dimension(), seed, options);
    let sample = |_| {
        let probe = source.signs();
        dot(&probe, &operator.apply(probe.clone()))
    };
    finite(OPERATION, Estimate::of(&(0..probes).map(sample).collect::<Vec<f64>>()))
}

/// Hutch++: the trace of a random low-rank part exactly, of the rest by Hutchinson's estimate.
///
/// ```text
/// Q = orth(A S)        tr A ~ tr Q'A Q + (1/k) sum_i z_i'(I - Q Q') A (I - Q Q') z_i
/// ```
/// A third of the `products` goes into each of `A S`, `A Q` and the samples. The error falls as `1 / products` for positive
/// semi-definite operators, Hutchinson's as its root. The standard error is that of the samples. `options` as in
/// `Tensor::zeros`.
///
/// Source: arXiv 2010.09649, algorithm 1.
///
/// # Errors
/// Fewer than 3 products, or values that are not finite.
pub fn trace_hutch_plus_plus(
    operator: &impl LinearOperator,
    products: usize,
    seed: u64,
    options: impl Into<TensorCreationOptions>,
) -> Result<Estimate, NumericalError> {
    const OPERATION: &str = "Hutch++";
    at_least(OPERATION, "products", products, 3, "at least 3")?;
    let mut source = Probes::new(operator.dimension(), seed, options);
    let rank = (products / 3).min(operator.dimension());
    let (range, exact) = exact_part(operator, &mut source, rank);
    if range.len() == operator.dimension() {
        return finite(OPERATION, Estimate { mean: exact, standard_error: 0.0, samples: 1 });
    }
    let sample = |_| {
        let probe = range.reject(source.signs());
        dot(&probe, &operator.apply(probe.clone()))
    };
    let samples = (0..products - 2 * rank).map(sample).collect::<Vec<f64>>();
    let rest = Estimate::of(&samples);
    finite(OPERATION, Estimate { mean: exact + rest.mean, ..rest })
}

/// An orthonormal basis `Q` of the range of `A S`, and `tr Q'A Q`.
fn exact_part(operator: &impl LinearOperator, source: &mut Probes, rank: usize) -> (Basis, f64) {
    let mut range = Basis::default();
    let mut exact = 0.0;
    for _ in 0..rank {
        let image = operator.apply(source.gaussian());
        // Nothing new: the operator has a lower rank, and what there is of it has been found.
        let Some(direction) = range.normalised_rejection(image) else { continue };
        exact += dot(&direction, &operator.apply(direction.clone()));
        range.push(direction);
    }
    (range, exact)
}

/// The diagonal by Bekas, Kokiopoulou and Saad's estimate, element by element.
///
/// ```text
/// diag(A) ~ (1/k) sum_i z_i * A z_i        z: independent random signs
/// ```
/// Unbiased; the variance of element `j` is `(sum_{i != j} A_ji^2) / k`. `options` as in `Tensor::zeros`.
///
/// # Shapes
/// - output: `[dimension]`
///
/// # Errors
/// No probes.
pub fn diagonal_hutchinson(
    operator: &impl LinearOperator,
    probes: usize,
    seed: u64,
    options: impl Into<TensorCreationOptions>,
) -> Result<Tensor<1>, NumericalError> {
    at_least("Hutchinson's diagonal estimate", "probes", probes, 1, "at least 1")?;
    let mut source = Probes::new(operator.dimension(), seed, options);
    let mut sample = || {
        let probe = source.signs();
        operator.apply(probe.clone()) * probe
    };
    let first = sample();
    let sum = (1..probes).fold(first, |sum, _| sum + sample());
    Ok(sum / probes as f64)
}

fn at_least(
    operation: &'static str,
    name: &'static str,
    value: usize,
    least: usize,
    expected: &'static str,
) -> Result<(), NumericalError> {
    let value_as_given = value as f64;
    if value >= least {
        Ok(())
    } else {
        Err(NumericalError::Setting { operation, name, value: value_as_given, expected })
    }
}

fn finite(operation: &'static str, estimate: Estimate) -> Result<Estimate, NumericalError> {
    if estimate.mean.is_finite() { Ok(estimate) } else { Err(NumericalError::NotFinite { operation, iteration: 0 }) }
}
