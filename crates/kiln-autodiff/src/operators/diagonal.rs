//! The diagonal of a Hessian over parameters.

use burn::module::Module;
use burn::tensor::Tensor;

use super::hvp::hvp;
use crate::{Duals, Number, Tangent, TangentError};

/// How [`hessian_diagonal`] comes to its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiagonalMethod {
    /// One product for each parameter: exact.
    Exact,
    /// The mean of `z * (H z)` over vectors `z` of random signs.
    Hutchinson {
        /// Number of products, at least 2 for a standard error.
        samples: usize,
        /// Seed of the signs.
        seed: u64,
    },
}

impl DiagonalMethod {
    /// Exact for modules of at most `samples` parameters, where that is no dearer; else an estimate.
    pub fn cheapest<M: Module>(module: &M, samples: usize, seed: u64) -> Self {
        if Tangent::zeros_like(module).dimension() <= samples {
            Self::Exact
        } else {
            Self::Hutchinson { samples, seed }
        }
    }
}

/// The diagonal of a Hessian.
#[derive(Debug, Clone)]
pub struct HessianDiagonal {
    /// `d^2 L / dtheta_i^2`, exact or estimated.
    pub diagonal: Tangent,
    /// Standard error of each entry, where they are estimated from at least two samples.
    pub standard_error: Option<Tangent>,
}

/// The second derivative of a loss with respect to each single parameter of a module.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, DiagonalMethod, Numbers, hessian_diagonal};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).with_bias(false).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let result = hessian_diagonal(&layer, DiagonalMethod::Exact, |layer, numbers| {
///     numbers.mean(numbers.square(numbers.linear(layer, numbers.constant(inputs.clone()))))
/// })?;
/// assert_eq!(result.diagonal.to_flat().into_data(), Tensor::<1>::from_floats([2.0, 8.0], &device).into_data());
/// # Ok::<(), kiln_autodiff::TangentError>(())
/// ```
///
/// # Errors
/// Those of [`hvp`], which a module and its own tangents do not raise.
///
/// # Panics
/// When no samples are asked for.
pub fn hessian_diagonal<M: Module>(
    module: &M,
    method: DiagonalMethod,
    loss: impl Fn(&M, &Duals) -> Number<1>,
) -> Result<HessianDiagonal, TangentError> {
    match method {
        DiagonalMethod::Exact => exact(module, &loss),
        DiagonalMethod::Hutchinson { samples, seed } => hutchinson(module, &loss, samples, seed),
    }
}

fn exact<M: Module>(module: &M, loss: &impl Fn(&M, &Duals) -> Number<1>) -> Result<HessianDiagonal, TangentError> {
    let zeros = Tangent::zeros_like(module);
    let flat = zeros.to_flat();
    let entry = |index: usize| {
        let unit = flat.clone().slice_fill(index..index + 1, 1.0);
        let product = hvp(module, &zeros.with_flat(unit)?, loss)?;
        Ok(product.to_flat().narrow(0, index, 1))
    };
    let entries: Vec<Tensor<1>> = (0..zeros.dimension()).map(entry).collect::<Result<_, TangentError>>()?;
    Ok(HessianDiagonal { diagonal: zeros.with_flat(Tensor::cat(entries, 0))?, standard_error: None })
}

/// For random signs `z`, `E[z_i (H z)_i] = H_ii`.
fn hutchinson<M: Module>(
    module: &M,
    loss: &impl Fn(&M, &Duals) -> Number<1>,
    samples: usize,
    seed: u64,
) -> Result<HessianDiagonal, TangentError> {
    assert!(samples > 0, "an estimate of the Hessian's diagonal takes at least one sample");
    let mut sum = Tangent::zeros_like(module);
    let mut squares = sum.clone();
    for sample in 0..samples {
        let signs = Tangent::random_signs(module, seed.wrapping_add(sample as u64));
        let term = signs.mul(&hvp(module, &signs, loss)?)?;
        squares = squares.add(&term.mul(&term)?)?;
        sum = sum.add(&term)?;
    }
    let count = samples as f64;
    let mean = sum.scale(1.0 / count);
    let standard_error = if samples < 2 {
        None
    } else {
        let excess = squares.to_flat() / count - mean.to_flat().square();
        Some(mean.with_flat((excess.clamp_min(0.0) / (count - 1.0)).sqrt())?)
    };
    Ok(HessianDiagonal { diagonal: mean, standard_error })
}
