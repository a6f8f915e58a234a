//! Hessians and Gauss-Newton matrices over a module's parameters as linear operators.

use burn::module::Module;
use burn::tensor::Tensor;
use std::marker::PhantomData;

use super::{gnvp, hvp};
use crate::{Duals, LinearOperator, Number, Tangent};

/// The Hessian of a loss with respect to all parameters of a module, for spectra and solvers.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{Arithmetic, HessianOperator, LinearOperator, Numbers};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 1).with_bias(false).init(&device);
/// let inputs = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let hessian = HessianOperator::new(&layer, |layer, numbers| {
///     numbers.mean(numbers.square(numbers.linear(layer, numbers.constant(inputs.clone()))))
/// });
/// let column = hessian.apply(Tensor::from_floats([1.0, 0.0], &device));
/// assert_eq!(column.into_data(), Tensor::<1>::from_floats([2.0, 4.0], &device).into_data());
/// ```
#[derive(Debug, Clone)]
pub struct HessianOperator<'a, M, L> {
    module: &'a M,
    layout: Tangent,
    loss: L,
}

impl<'a, M: Module, L: Fn(&M, &Duals) -> Number<1>> HessianOperator<'a, M, L> {
    /// The Hessian of `loss` at the module's present parameters.
    pub fn new(module: &'a M, loss: L) -> Self {
        Self { module, layout: Tangent::zeros_like(module), loss }
    }
}

impl<M: Module, L: Fn(&M, &Duals) -> Number<1>> LinearOperator for HessianOperator<'_, M, L> {
    fn dimension(&self) -> usize {
        self.layout.dimension()
    }

    /// # Panics
    /// When the vector has another length than [`LinearOperator::dimension`].
    fn apply(&self, vector: Tensor<1>) -> Tensor<1> {
        let product = self.layout.with_flat(vector).and_then(|tangent| hvp(self.module, &tangent, &self.loss));
        product.unwrap_or_else(|error| panic!("{error}")).to_flat()
    }
}

/// The Gauss-Newton matrix of a loss with respect to all parameters of a module, for spectra and solvers.
#[derive(Debug, Clone)]
pub struct GaussNewtonOperator<'a, M, F, L, const D: usize> {
    module: &'a M,
    layout: Tangent,
    outputs: F,
    loss: L,
    rank: PhantomData<[(); D]>,
}

impl<'a, M, F, L, const D: usize> GaussNewtonOperator<'a, M, F, L, D>
where
    M: Module,
    F: Fn(&M, &Duals) -> Number<D>,
    L: Fn(&Duals, Number<D>) -> Number<1>,
{
    /// The matrix `J' H J` of `loss` after `outputs` at the module's present parameters.
    pub fn new(module: &'a M, outputs: F, loss: L) -> Self {
        Self { module, layout: Tangent::zeros_like(module), outputs, loss, rank: PhantomData }
    }
}

impl<M, F, L, const D: usize> LinearOperator for GaussNewtonOperator<'_, M, F, L, D>
where
    M: Module,
    F: Fn(&M, &Duals) -> Number<D>,
    L: Fn(&Duals, Number<D>) -> Number<1>,
{
    fn dimension(&self) -> usize {
        self.layout.dimension()
    }

    /// # Panics
    /// When the vector has another length than [`LinearOperator::dimension`].
    fn apply(&self, vector: Tensor<1>) -> Tensor<1> {
        let tangent = self.layout.with_flat(vector);
        let product = tangent.and_then(|tangent| gnvp(self.module, &tangent, &self.outputs, &self.loss));
        product.unwrap_or_else(|error| panic!("{error}")).to_flat()
    }
}
