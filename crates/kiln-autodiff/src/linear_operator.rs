//! Matrices that are known by their products with vectors.

use burn::tensor::{DType, Tensor, TensorCreationOptions};

use crate::NumericalError;
use crate::spectrum::probe::Probes;

/// A square matrix `A` that is only ever multiplied with vectors.
///
/// Hessians, Gauss-Newton matrices and kernels are used through this trait by everything in [`spectrum`](crate::spectrum)
/// and [`solve`](crate::solve).
pub trait LinearOperator {
    /// Number of rows, and of columns.
    fn dimension(&self) -> usize;

    /// The product `A v`.
    ///
    /// # Shapes
    /// - `vector`: `[dimension]`, outside any graph
    /// - output: `[dimension]`, outside any graph
    fn apply(&self, vector: Tensor<1>) -> Tensor<1>;
}

/// A dense square matrix, `[dimension, dimension]`.
impl LinearOperator for Tensor<2> {
    fn dimension(&self) -> usize {
        self.dims()[0]
    }

    fn apply(&self, vector: Tensor<1>) -> Tensor<1> {
        self.clone().matmul(vector.unsqueeze_dim(1)).squeeze_dim(1)
    }
}

impl<O: LinearOperator + ?Sized> LinearOperator for &O {
    fn dimension(&self) -> usize {
        (**self).dimension()
    }

    fn apply(&self, vector: Tensor<1>) -> Tensor<1> {
        (**self).apply(vector)
    }
}

/// A closure as an operator.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{FunctionOperator, LinearOperator};
///
/// let twice = FunctionOperator::new(3, |vector: Tensor<1>| vector * 2);
/// let product = twice.apply(Tensor::ones([3], &Device::flex()));
/// assert_eq!(product.try_into_vec_as::<f32>().unwrap(), [2.0; 3]);
/// ```
#[derive(Debug, Clone)]
pub struct FunctionOperator<F> {
    dimension: usize,
    function: F,
}

impl<F: Fn(Tensor<1>) -> Tensor<1>> FunctionOperator<F> {
    /// `function` has to be linear, from `[dimension]` to `[dimension]`.
    pub fn new(dimension: usize, function: F) -> Self {
        Self { dimension, function }
    }
}

impl<F: Fn(Tensor<1>) -> Tensor<1>> LinearOperator for FunctionOperator<F> {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn apply(&self, vector: Tensor<1>) -> Tensor<1> {
        (self.function)(vector)
    }
}

/// `scale A + shift I`: damped Hessians, and spectra turned upside down.
#[derive(Debug, Clone)]
pub struct ShiftedOperator<O> {
    /// The matrix `A`.
    pub operator: O,
    /// Factor of `A`.
    pub scale: f64,
    /// Multiple of the identity that is added.
    pub shift: f64,
}

impl<O: LinearOperator> LinearOperator for ShiftedOperator<O> {
    fn dimension(&self) -> usize {
        self.operator.dimension()
    }

    fn apply(&self, vector: Tensor<1>) -> Tensor<1> {
        self.operator.apply(vector.clone()) * self.scale + vector * self.shift
    }
}

/// How far `A` is from symmetric, measured on one pair of random normal vectors.
///
/// ```text
/// defect = sqrt(n) |u'Av - v'Au| / (|u| |Av| + |v| |Au|)
/// ```
/// About the relative size of `A - A'`: rounding for a symmetric operator, about 1 for a random matrix. Two products.
/// `options` says on which device and in which float type, as in `Tensor::zeros`.
pub fn symmetry_defect(operator: &impl LinearOperator, seed: u64, options: impl Into<TensorCreationOptions>) -> f64 {
    let mut probes = Probes::new(operator.dimension(), seed, options);
    let (u, v) = (probes.gaussian(), probes.gaussian());
    let (image_u, image_v) = (operator.apply(u.clone()), operator.apply(v.clone()));
    let size = norm(&u) * norm(&image_v) + norm(&v) * norm(&image_u);
    let difference = (dot(&u, &image_v) - dot(&v, &image_u)).abs();
    if size == 0.0 { 0.0 } else { (operator.dimension() as f64).sqrt() * difference / size }
}

/// Refuses an operator whose [`symmetry_defect`] is more than rounding in the float type of `options`.
pub(crate) fn require_symmetry(
    operation: &'static str,
    operator: &impl LinearOperator,
    seed: u64,
    options: &TensorCreationOptions,
) -> Result<(), NumericalError> {
    let dtype = Tensor::<1>::zeros([1], options.clone()).dtype();
    // A Hessian product is itself the result of rounded arithmetic, so the bar is the root of the machine precision.
    let tolerance = epsilon(dtype).sqrt() + 10.0 * epsilon(dtype) * (operator.dimension() as f64).sqrt();
    let defect = symmetry_defect(operator, seed, options.clone());
    if !defect.is_finite() {
        return Err(NumericalError::NotFinite { operation, iteration: 0 });
    }
    if defect <= tolerance { Ok(()) } else { Err(NumericalError::NotSymmetric { operation, defect, tolerance }) }
}

/// Distance from 1 to the next number of a float type.
pub(crate) fn epsilon(dtype: DType) -> f64 {
    dtype.finfo().map_or(f64::EPSILON, |info| info.epsilon)
}

/// `a'b` as a number of the host.
pub(crate) fn dot(a: &Tensor<1>, b: &Tensor<1>) -> f64 {
    (a.clone() * b.clone()).sum().into_scalar()
}

/// Euclidean length as a number of the host.
pub(crate) fn norm(vector: &Tensor<1>) -> f64 {
    dot(vector, vector).sqrt()
}
