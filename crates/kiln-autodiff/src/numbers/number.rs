//! A truncated polynomial whose components are tensors.

use burn::tensor::Tensor;

/// A value with derivatives: the number of [`Forward`](super::Forward).
///
/// Part `p` stacks its components along the leading axis: with a value of shape `[n, ..]` and a width of `w`, it has the
/// shape `[w * n, ..]`, component after component. A part that is zero is not stored.
#[derive(Debug, Clone)]
pub struct Number<const D: usize> {
    value: Tensor<D>,
    parts: Vec<Option<Tensor<D>>>,
}

impl<const D: usize> Number<D> {
    pub(crate) fn new(value: Tensor<D>, parts: Vec<Option<Tensor<D>>>) -> Self {
        Self { value, parts }
    }

    pub(crate) fn constant(value: Tensor<D>, num_parts: usize) -> Self {
        Self { value, parts: vec![None; num_parts] }
    }

    /// The value.
    pub fn value(&self) -> Tensor<D> {
        self.value.clone()
    }

    /// Part `part`, components stacked along the leading axis; none where it is zero.
    ///
    /// # Panics
    /// When the algebra has fewer parts.
    pub fn part(&self, part: usize) -> Option<Tensor<D>> {
        self.parts[part].clone()
    }

    /// Part `part`, as zeros of its shape where it is zero.
    pub(crate) fn dense_part(&self, part: usize, width: usize) -> Tensor<D> {
        self.part(part).unwrap_or_else(|| zeros_stacked(&self.value, width))
    }

    /// Shape of the value.
    pub fn dims(&self) -> [usize; D] {
        self.value.dims()
    }

    /// Whether no derivative is carried.
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(Option::is_none)
    }

    pub(crate) fn parts(&self) -> &[Option<Tensor<D>>] {
        &self.parts
    }

    pub(crate) fn into_parts(self) -> (Tensor<D>, Vec<Option<Tensor<D>>>) {
        (self.value, self.parts)
    }
}

/// Zeros in the place of `width` components of the shape of `value`.
pub(crate) fn zeros_stacked<const D: usize>(value: &Tensor<D>, width: usize) -> Tensor<D> {
    let mut dims = value.dims();
    dims[0] *= width;
    Tensor::zeros(dims, (&value.device(), value.dtype()))
}
