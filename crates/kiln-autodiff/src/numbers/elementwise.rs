//! Functions of every element, with the Taylor coefficients that truncated polynomials need.

use burn::tensor::{Tensor, activation};
use kiln_kernels::activation::Function as Kernel;

use super::series;
use crate::custom_gradient;
use crate::layers::kernels;

/// A function of every element.
///
/// On a truncated polynomial it is `f(a + n) = sum_k f^(k)(a) / k! n^k`, because `n` is nilpotent.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, Coefficient, Duals, Elementwise};
///
/// /// `x^3`
/// struct Cube;
///
/// impl Elementwise for Cube {
///     fn value<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
///         x.powi_scalar(3)
///     }
///
///     fn series<const D: usize>(&self, x: Tensor<D>, _order: usize) -> (Tensor<D>, Vec<Coefficient<D>>) {
///         let square = x.clone() * x.clone();
///         let coefficients = [square.clone() * 3.0, x.clone() * 3.0].map(Coefficient::Tensor);
///         (square * x, coefficients.into_iter().chain([Coefficient::Constant(1.0)]).collect())
///     }
/// }
///
/// let duals = Duals::new();
/// let one = Tensor::<1>::ones([1], &Device::flex());
/// let y = duals.apply(&Cube, duals.variable(one.clone() * 2.0, one));
/// assert_eq!(duals.tangent(&y).into_scalar::<f32>(), 12.0);
/// ```
pub trait Elementwise {
    /// `f(x)`, for plain values.
    fn value<const D: usize>(&self, x: Tensor<D>) -> Tensor<D>;

    /// `f(x)`, and the coefficients `f^(k)(x) / k!` for `k` from 1 to `order`; those that are left out are zero.
    ///
    /// `x` is outside of the graph: a backward pass through coefficient `k` takes coefficient `k + 1`.
    fn series<const D: usize>(&self, x: Tensor<D>, order: usize) -> (Tensor<D>, Vec<Coefficient<D>>);
}

/// A Taylor coefficient of an element-wise function at every element.
#[derive(Debug, Clone)]
// One of these lives for one operation, on the stack.
#[allow(clippy::large_enum_variant)]
pub enum Coefficient<const D: usize> {
    /// Zero everywhere.
    Zero,
    /// The same everywhere.
    Constant(f64),
    /// One value for each element.
    Tensor(Tensor<D>),
}

/// Value and coefficients at `x`, which may be tracked: each is one node of the graph, because the derivative of
/// coefficient `k` is `k + 1` times coefficient `k + 1`.
pub(super) fn differentiable_series<const D: usize>(
    function: &impl Elementwise,
    x: Tensor<D>,
    order: usize,
) -> (Tensor<D>, Vec<Coefficient<D>>) {
    if !x.is_tracked() {
        return function.series(x, order);
    }
    let (value, mut coefficients) = function.series(x.clone().inner(), order + 1);
    coefficients.resize_with(order + 1, || Coefficient::Zero);
    let value = match coefficients[0].clone() {
        Coefficient::Zero => value,
        Coefficient::Constant(slope) => attached(&x, value, move |upstream| upstream * slope),
        Coefficient::Tensor(slope) => attached(&x, value, move |upstream| upstream * slope),
    };
    let differentiable = |k: usize| {
        let factor = (k + 2) as f64;
        match (coefficients[k].clone(), coefficients[k + 1].clone()) {
            (Coefficient::Tensor(value), Coefficient::Constant(slope)) => {
                Coefficient::Tensor(attached(&x, value, move |upstream| upstream * (slope * factor)))
            }
            (Coefficient::Tensor(value), Coefficient::Tensor(slope)) => {
                Coefficient::Tensor(attached(&x, value, move |upstream| upstream * slope * factor))
            }
            (coefficient, _) => coefficient,
        }
    };
    (value, (0..order).map(differentiable).collect())
}

/// `value` as a function of `x`, with the rule for its gradient.
fn attached<const D: usize>(
    x: &Tensor<D>,
    value: Tensor<D>,
    rule: impl FnOnce(Tensor<D>) -> Tensor<D> + Send + 'static,
) -> Tensor<D> {
    custom_gradient((x.clone(),), |_| (value, ()), move |(), upstream, _wanted| (Some(rule(upstream)),))
}

/// The element-wise functions that come with the crate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// `max(0, x)`
    Relu,
    /// `x` for `x >= 0`, else `slope x`
    LeakyRelu(f64),
    /// `x` for `x > 0`, else `alpha (exp(x) - 1)`
    Elu(f64),
    /// `1.0507 (x` for `x > 0`, else `1.6733 (exp(x) - 1))`
    Selu,
    /// `x Phi(x)` with the normal distribution function `Phi`
    Gelu,
    /// `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`
    GeluTanh,
    /// `x sigmoid(x)`
    Silu,
    /// `tanh(x)`
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `log(1 + exp(x))`, which neither overflows nor loses the small values
    Softplus,
    /// `exp(x)`
    Exp,
    /// `exp(x) - 1`, without cancellation near zero
    Expm1,
    /// `log(x)`
    Log,
    /// `log(1 + x)`
    Log1p,
    /// `sqrt(x)`
    Sqrt,
    /// `1 / x`
    Recip,
    /// `x^2`
    Square,
    /// `x^p`
    Power(f64),
    /// `sin(x)`
    Sin,
    /// `cos(x)`
    Cos,
    /// `2 / sqrt(pi) int_0^x exp(-t^2) dt`
    Erf,
    /// `|x|`
    Abs,
    /// `max(x, limit)`
    ClampMin(f64),
    /// `min(x, limit)`
    ClampMax(f64),
}

impl Function {
    /// The kernel that computes the function together with its slope, where there is one.
    pub(crate) fn kernel(&self) -> Option<Kernel> {
        match self {
            Self::Relu => Some(Kernel::Relu),
            Self::Gelu => Some(Kernel::Gelu),
            Self::GeluTanh => Some(Kernel::GeluTanh),
            Self::Silu => Some(Kernel::Silu),
            _ => None,
        }
    }
}

impl Elementwise for Function {
    fn value<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match *self {
            Self::Relu => kernels::relu(x),
            Self::LeakyRelu(slope) => activation::leaky_relu(x, slope),
            Self::Elu(alpha) => activation::elu(x, alpha),
            Self::Selu => activation::selu(x),
            Self::Gelu => kernels::activated(Kernel::Gelu, x, activation::gelu),
            Self::GeluTanh => kernels::activated(Kernel::GeluTanh, x, activation::gelu_approximate),
            Self::Silu => kernels::activated(Kernel::Silu, x, activation::silu),
            Self::Tanh => kernels::tanh(x),
            Self::Sigmoid => kernels::sigmoid(x),
            Self::Softplus => series::softplus(x),
            Self::Exp => kernels::activated(Kernel::Exp, x, Tensor::exp),
            Self::Expm1 => series::expm1(x),
            Self::Log => kernels::activated(Kernel::Log, x, Tensor::log),
            Self::Log1p => x.log1p(),
            Self::Sqrt => x.sqrt(),
            Self::Recip => x.recip(),
            Self::Square => x.square(),
            Self::Power(power) => x.powf_scalar(power),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Erf => kernels::activated(Kernel::Erf, x, Tensor::erf),
            Self::Abs => x.abs(),
            Self::ClampMin(limit) => x.clamp_min(limit),
            Self::ClampMax(limit) => x.clamp_max(limit),
        }
    }

    fn series<const D: usize>(&self, x: Tensor<D>, order: usize) -> (Tensor<D>, Vec<Coefficient<D>>) {
        match *self {
            Self::Relu => (activation::relu(x.clone()), series::step(x, 0.0, 0.0, 1.0)),
            Self::LeakyRelu(slope) => (activation::leaky_relu(x.clone(), slope), series::step(x, 0.0, slope, 1.0)),
            Self::Abs => (x.clone().abs(), series::step(x, 0.0, -1.0, 1.0)),
            Self::ClampMin(limit) => (x.clone().clamp_min(limit), series::step(x, limit, 0.0, 1.0)),
            Self::ClampMax(limit) => (x.clone().clamp_max(limit), series::step(x, limit, 1.0, 0.0)),
            Self::Elu(alpha) => series::elu(x, alpha, 1.0, order),
            Self::Selu => series::elu(x, series::SELU_ALPHA, series::SELU_SCALE, order),
            Self::Gelu => series::gelu(x, order),
            Self::GeluTanh => series::gelu_tanh(x, order),
            Self::Silu => series::silu(x, order),
            Self::Tanh => series::split(series::tanh(kernels::tanh(x), order)),
            Self::Sigmoid => series::split(series::sigmoid(kernels::sigmoid(x), order)),
            Self::Softplus => series::softplus_series(x, order),
            Self::Exp => series::exp(x.exp(), order),
            Self::Expm1 => (series::expm1(x.clone()), series::exp(x.exp(), order).1),
            Self::Log => (x.clone().log(), series::log(x, order)),
            Self::Log1p => (x.clone().log1p(), series::log(x + 1.0, order)),
            Self::Sqrt => series::sqrt(x, order),
            Self::Recip => series::recip(x, order),
            Self::Square => (x.clone().square(), vec![Coefficient::Tensor(x * 2.0), Coefficient::Constant(1.0)]),
            Self::Power(power) => series::power(x, power, order),
            Self::Sin => series::waves(x.clone().sin(), x.cos(), 1.0, order),
            Self::Cos => series::waves(x.clone().cos(), x.sin(), -1.0, order),
            Self::Erf => series::erf(x, order),
        }
    }
}
