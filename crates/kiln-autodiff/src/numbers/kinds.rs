//! The kinds of numbers with derivatives: how they are made and read.

use burn::tensor::Tensor;

use super::algebra::{Algebra, DualAlgebra, HessianAlgebra, JetAlgebra, LaplacianAlgebra};
use super::forward::scaled;
use super::{Forward, Number};

/// Dual numbers: a value and its derivatives in one or several directions.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Duals, Numbers};
///
/// let device = Device::flex();
/// let duals = Duals::new();
/// let x = duals.variable(Tensor::<1>::from_floats([0.0, 2.0], &device), Tensor::ones([2], &device));
/// let y = duals.square(x);
/// assert_eq!(duals.tangent(&y).into_data(), Tensor::<1>::from_floats([0.0, 4.0], &device).into_data());
/// ```
pub type Duals = Forward<DualAlgebra>;

/// Truncated Taylor series in one direction.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Jets, Numbers};
///
/// let jets = Jets::new(3);
/// let one = Tensor::<1>::ones([1], &Device::flex());
/// let y = jets.exp(jets.variable(one.clone() * 0.0, one * 2.0));
/// let derivatives: Vec<f32> = jets.derivatives(&y).into_iter().map(|d| d.into_scalar()).collect();
/// assert_eq!(derivatives, [2.0, 4.0, 8.0]);
/// ```
pub type Jets = Forward<JetAlgebra>;

/// Values, first derivatives in `d` directions, and the sum of the second derivatives: the forward Laplacian.
pub type Laplacians = Forward<LaplacianAlgebra>;

/// Values, first derivatives in `d` directions, and all second derivatives.
pub type Hessians = Forward<HessianAlgebra>;

impl Duals {
    /// Dual numbers in one direction.
    pub fn new() -> Self {
        Self::in_directions(1)
    }

    /// Dual numbers in several directions at once, which share the work on the values.
    ///
    /// # Panics
    /// When `directions` is 0.
    pub fn in_directions(directions: usize) -> Self {
        Self::over(DualAlgebra::new(directions))
    }

    /// The derivatives, `[directions * n, ..]`; zeros where there are none.
    pub fn tangent<const D: usize>(&self, x: &Number<D>) -> Tensor<D> {
        self.first(x)
    }
}

impl Default for Duals {
    fn default() -> Self {
        Self::new()
    }
}

impl Jets {
    /// Taylor series up to `t^order`.
    ///
    /// # Panics
    /// When `order` is 0.
    pub fn new(order: usize) -> Self {
        Self::over(JetAlgebra::new(order))
    }

    /// The curve `value + sum_k coefficients[k - 1] t^k`.
    ///
    /// # Panics
    /// When there are more coefficients than the order, or one has another shape than the value.
    pub fn curve<const D: usize>(&self, value: Tensor<D>, coefficients: Vec<Tensor<D>>) -> Number<D> {
        let order = self.num_parts();
        assert!(coefficients.len() <= order, "{} coefficients for jets of order {order}", coefficients.len());
        for coefficient in &coefficients {
            assert_eq!(coefficient.dims(), value.dims(), "a coefficient of the curve has another shape than its value");
        }
        let mut parts: Vec<_> = coefficients.into_iter().map(Some).collect();
        parts.resize(order, None);
        Number::new(value, parts)
    }

    /// The derivatives `d^k x / dt^k` at `t = 0`, for `k` from 1 to the order.
    pub fn derivatives<const D: usize>(&self, x: &Number<D>) -> Vec<Tensor<D>> {
        let mut factorial = 1.0;
        (0..self.num_parts())
            .map(|part| {
                factorial *= (part + 1) as f64;
                scaled(x.dense_part(part, 1), factorial)
            })
            .collect()
    }
}

impl Laplacians {
    /// Numbers for Laplacians in `directions` dimensions.
    ///
    /// # Panics
    /// When `directions` is 0.
    pub fn new(directions: usize) -> Self {
        Self::over(LaplacianAlgebra::new(directions))
    }

    /// The sum of the second derivatives.
    pub fn laplacian<const D: usize>(&self, x: &Number<D>) -> Tensor<D> {
        x.dense_part(1, 1)
    }
}

impl Hessians {
    /// Numbers for Hessians in `directions` dimensions.
    ///
    /// # Panics
    /// When `directions` is 0.
    pub fn new(directions: usize) -> Self {
        Self::over(HessianAlgebra::new(directions))
    }

    /// The second derivatives of the pairs `i <= j`, `[d (d + 1) / 2 * n, ..]`.
    pub fn second<const D: usize>(&self, x: &Number<D>) -> Tensor<D> {
        x.dense_part(1, self.algebra.widths()[1])
    }
}
