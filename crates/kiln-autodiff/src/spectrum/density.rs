//! Stochastic Lanczos quadrature: the whole spectrum as a density, with error bars.

use std::f64::consts::PI;

use burn::config::Config;
use burn::tensor::TensorCreationOptions;

use super::estimate::Estimate;
use super::lanczos::LanczosProcess;
use super::probe::Probes;
use crate::linear_operator::require_symmetry;
use crate::{LinearOperator, NumericalError};

/// Settings of [`spectral_density`].
#[derive(Config, Debug)]
pub struct SpectralDensityConfig {
    /// Random start vectors; error bars come from the spread between them.
    #[config(default = 10)]
    pub probes: usize,
    /// Lanczos steps from each, at most the dimension: moments up to `2 steps - 1` are exact for each probe.
    #[config(default = 50)]
    pub steps: usize,
    /// Whether two products are spent on finding out that the operator is not symmetric.
    #[config(default = true)]
    pub check_symmetry: bool,
    /// Seed of the start vectors.
    #[config(default = 0)]
    pub seed: u64,
}

/// The spectrum of a symmetric operator as point masses, one set for each probe.
#[derive(Debug, Clone)]
pub struct SpectralDensity {
    /// Number of eigenvalues that the density stands for.
    pub dimension: usize,
    /// For each probe, nodes and weights; the weights of a probe sum to 1.
    pub probes: Vec<Vec<QuadratureNode>>,
}

/// A point mass of a spectral density.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuadratureNode {
    /// Where on the axis of eigenvalues.
    pub eigenvalue: f64,
    /// Which share of all eigenvalues it stands for.
    pub weight: f64,
}

/// Density of the eigenvalues of a symmetric operator.
///
/// ```text
/// (1/n) tr f(A) = E[v'f(A)v],  |v| = 1        v'f(A)v ~ sum_j w_j f(theta_j)
/// T s_j = theta_j s_j,  w_j = s_j[1]^2        T: Lanczos' matrix from v
/// ```
/// `probes steps` products. `options` as in `Tensor::zeros`.
///
/// Source: arXiv 1901.10159, algorithm 1.
///
/// # Errors
/// An operator that is not symmetric, values that are not finite, or a setting out of range.
pub fn spectral_density(
    operator: &impl LinearOperator,
    settings: &SpectralDensityConfig,
    options: impl Into<TensorCreationOptions>,
) -> Result<SpectralDensity, NumericalError> {
    let options = options.into();
    for (name, value) in [("probes", settings.probes), ("steps", settings.steps)] {
        if value == 0 {
            return Err(NumericalError::Setting { operation: OPERATION, name, value: 0.0, expected: "at least 1" });
        }
    }
    if settings.check_symmetry {
        require_symmetry(OPERATION, operator, settings.seed.wrapping_add(1), &options)?;
    }
    let dimension = operator.dimension();
    let mut probes = Probes::new(dimension, settings.seed, options);
    let quadrature = |_| {
        let start = probes.gaussian();
        let process = LanczosProcess::starting_at(operator, start, probes.clone());
        gauss_quadrature(process, settings.steps.min(dimension))
    };
    let probes = (0..settings.probes).map(quadrature).collect::<Result<_, _>>()?;
    Ok(SpectralDensity { dimension, probes })
}

const OPERATION: &str = "stochastic Lanczos quadrature";

fn gauss_quadrature(
    mut process: LanczosProcess<'_, impl LinearOperator>,
    steps: usize,
) -> Result<Vec<QuadratureNode>, NumericalError> {
    process.step()?;
    while process.matrix.size() < steps && !process.is_exhausted() {
        process.step()?;
    }
    let not_finite = NumericalError::NotFinite { operation: OPERATION, iteration: process.matrix.size() };
    let eigen = process.matrix.eigen().ok_or(not_finite)?;
    let node = |(column, &eigenvalue)| QuadratureNode { eigenvalue, weight: eigen.vectors[(0, column)].powi(2) };
    Ok(eigen.values.iter().enumerate().map(node).collect())
}

impl SpectralDensity {
    /// Mean of `function` over the eigenvalues, `tr f(A) / n`.
    pub fn expectation(&self, function: impl Fn(f64) -> f64) -> Estimate {
        let of_probe =
            |nodes: &Vec<QuadratureNode>| nodes.iter().map(|node| node.weight * function(node.eigenvalue)).sum();
        Estimate::of(&self.probes.iter().map(of_probe).collect::<Vec<f64>>())
    }

    /// `tr f(A)`: the trace for `f(x) = x`, the log-determinant for `f = ln`.
    pub fn trace_of(&self, function: impl Fn(f64) -> f64) -> Estimate {
        self.expectation(function).scaled(self.dimension as f64)
    }

    /// Mean of the `order`-th powers of the eigenvalues.
    pub fn moment(&self, order: i32) -> Estimate {
        self.expectation(|eigenvalue| eigenvalue.powi(order))
    }

    /// The density at points of the axis, each mass spread to a normal distribution of standard deviation `width > 0`.
    pub fn smoothed(&self, points: &[f64], width: f64) -> Vec<Estimate> {
        let normal = |distance: f64| (-0.5 * (distance / width).powi(2)).exp() / (width * (2.0 * PI).sqrt());
        points.iter().map(|point| self.expectation(|eigenvalue| normal(point - eigenvalue))).collect()
    }

    /// Smallest and largest node of all probes: inside the spectrum, and close to its ends.
    pub fn range(&self) -> (f64, f64) {
        let nodes = self.probes.iter().flatten().map(|node| node.eigenvalue);
        nodes.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    }
}
