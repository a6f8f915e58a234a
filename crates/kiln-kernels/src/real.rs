//! The number types that kernels are written for.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

use burn::tensor::{DType, Element};
use bytemuck::Pod;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`: a type of real numbers that is in memory as Burn's tensors hold it.
pub trait Real:
    sealed::Sealed
    + Element
    + Pod
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Sum
    + Default
    + PartialOrd
    + Send
    + Sync
    + 'static
{
    /// The same type as Burn names it.
    const DTYPE: DType;

    /// Rounds to this type.
    fn from_f64(value: f64) -> Self;
}

impl Real for f32 {
    const DTYPE: DType = DType::F32;

    #[inline]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Real for f64 {
    const DTYPE: DType = DType::F64;

    #[inline]
    fn from_f64(value: f64) -> Self {
        value
    }
}
