//! Formulas that are written once, for numbers and for tensors of them.

use std::ops::{Add, Div, Mul, Neg, Sub};

use burn::tensor::Tensor;

/// A number of double precision, or a tensor of numbers that are all treated alike.
pub(crate) trait Quantity:
    Clone
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
{
    fn exp(self) -> Self;
    /// `log(1 + x)`
    fn log1p(self) -> Self;
    fn tanh(self) -> Self;
    fn abs(self) -> Self;
    fn power(self, exponent: f64) -> Self;
    fn at_least(self, least: f64) -> Self;
    fn at_most(self, most: f64) -> Self;
    /// 1 above zero, 0 elsewhere.
    fn step(self) -> Self;
}

impl Quantity for f64 {
    #[inline(always)]
    fn exp(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn log1p(self) -> Self {
        self.ln_1p()
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        self.tanh()
    }

    #[inline(always)]
    fn abs(self) -> Self {
        self.abs()
    }

    #[inline(always)]
    fn power(self, exponent: f64) -> Self {
        self.powf(exponent)
    }

    #[inline(always)]
    fn at_least(self, least: f64) -> Self {
        if self < least { least } else { self }
    }

    #[inline(always)]
    fn at_most(self, most: f64) -> Self {
        if self > most { most } else { self }
    }

    #[inline(always)]
    fn step(self) -> Self {
        if self > 0.0 { 1.0 } else { 0.0 }
    }
}

impl<const D: usize> Quantity for Tensor<D> {
    fn exp(self) -> Self {
        Tensor::exp(self)
    }

    fn log1p(self) -> Self {
        Tensor::log1p(self)
    }

    fn tanh(self) -> Self {
        Tensor::tanh(self)
    }

    fn abs(self) -> Self {
        Tensor::abs(self)
    }

    fn power(self, exponent: f64) -> Self {
        self.powf_scalar(exponent)
    }

    fn at_least(self, least: f64) -> Self {
        self.clamp_min(least)
    }

    fn at_most(self, most: f64) -> Self {
        self.clamp_max(most)
    }

    fn step(self) -> Self {
        let above = self.clone().greater_scalar(0.0);
        self.zeros_like().mask_fill(above, 1.0)
    }
}
