//! The memory of tensors on Burn's Flex device: slices to read and to change in place, and tensors made of vectors.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{BackendPrimitive, DType, Device, Float, Tensor, TensorData};

use crate::Real;
use crate::matrix::{MatrixView, rows_of};

type FlexTensor = <Float as BackendPrimitive<Flex>>::Primitive;

/// A whole, contiguous tensor of the Flex device, taken out of Burn's tensor type for the length of one kernel.
pub struct FlexSlice<E> {
    primitive: FlexTensor,
    element: PhantomData<E>,
}

impl<E: Real> FlexSlice<E> {
    /// Whether [`FlexSlice::new`] accepts this tensor: one of this type on the Flex device, outside the graph.
    pub fn accepts<const D: usize>(tensor: &Tensor<D>) -> bool {
        tensor.dtype() == E::DTYPE && matches!(tensor.device().as_dispatch(), DispatchDevice::Flex(_))
    }

    /// Takes the tensor's memory, copied first where it is a view of something else.
    ///
    /// # Panics
    /// Where [`FlexSlice::accepts`] is false.
    pub fn new<const D: usize>(tensor: Tensor<D>) -> Self {
        let primitive = primitive_of::<E, D>(tensor);
        let is_whole = primitive.is_contiguous()
            && primitive.layout().start_offset() == 0
            && primitive.bytes().len() == primitive.layout().num_elements() * size_of::<E>();
        Self { primitive: if is_whole { primitive } else { primitive.to_contiguous() }, element: PhantomData }
    }

    /// The elements in row-major order.
    pub fn values(&self) -> &[E] {
        self.primitive.storage::<E>()
    }

    /// The elements, to be changed: in place where nobody else holds the memory, in a fresh copy otherwise.
    pub fn values_mut(&mut self) -> &mut [E] {
        self.primitive.storage_mut::<E>()
    }

    /// The elements, to be changed in place; none where somebody else holds the memory.
    pub(crate) fn own_values_mut(&mut self) -> Option<&mut [E]> {
        self.primitive.try_storage_mut::<E>()
    }

    /// Gives the memory back as a tensor.
    pub fn into_tensor<const D: usize>(self) -> Tensor<D> {
        Tensor::from_primitive::<Flex>(self.primitive)
    }
}

fn primitive_of<E: Real, const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    assert_eq!(tensor.dtype(), E::DTYPE, "a kernel for one number type was given another");
    tensor.try_into_primitive::<Flex>().expect("a tensor of the Flex device outside the graph")
}

/// A tensor of the Flex device, read as the matrix of its last axis: `[.., cols]` has as many rows as the leading axes
/// have places. Rows that are cut from longer ones and transposed matrices are read where they lie; any other view is
/// copied first.
pub(crate) struct FlexMatrix<E> {
    primitive: FlexTensor,
    dims: [usize; 2],
    strides: [usize; 2],
    element: PhantomData<E>,
}

impl<E: Real> FlexMatrix<E> {
    pub(crate) fn new<const D: usize>(tensor: Tensor<D>) -> Self {
        let primitive = primitive_of::<E, D>(tensor);
        let (leading, cols) = primitive.layout().shape().as_slice().split_at(D - 1);
        let dims = [leading.iter().product(), cols[0]];
        let in_place = strides_of_rows(leading, primitive.layout().strides(), dims);
        let (primitive, strides) = match in_place {
            Some(strides) => (primitive, strides),
            None => (primitive.to_contiguous(), [dims[1], 1]),
        };
        Self { primitive, dims, strides, element: PhantomData }
    }

    /// As [`FlexMatrix::new`], with every row contiguous.
    pub(crate) fn with_contiguous_rows<const D: usize>(tensor: Tensor<D>) -> Self {
        let matrix = Self::new(tensor);
        if matrix.strides[1] == 1 {
            return matrix;
        }
        Self { primitive: matrix.primitive.to_contiguous(), strides: [matrix.dims[1], 1], ..matrix }
    }

    pub(crate) fn view(&self) -> MatrixView<'_, E> {
        if self.dims.contains(&0) {
            return rows_of(&[], self.dims[0], self.dims[1]);
        }
        let values = &self.primitive.storage::<E>()[self.primitive.layout().start_offset()..];
        MatrixView::strided(values, self.dims, self.strides)
    }
}

/// Strides of rows and columns, where the leading axes can be walked through as one and either rows or columns are
/// contiguous.
fn strides_of_rows(leading: &[usize], strides: &[isize], [rows, cols]: [usize; 2]) -> Option<[usize; 2]> {
    let mut row_stride = None;
    let mut next = 0;
    for (&length, &stride) in leading.iter().zip(strides).rev().filter(|(length, _)| **length != 1) {
        match row_stride {
            None => row_stride = Some(stride),
            Some(_) if stride == next => {}
            Some(_) => return None,
        }
        next = stride * length as isize;
    }
    let col_stride = if cols == 1 { 1 } else { strides[leading.len()] };
    let row_stride = row_stride.unwrap_or(cols as isize * col_stride);
    let strides = [usize::try_from(row_stride).ok()?, usize::try_from(col_stride).ok()?];
    let by_rows = strides[1] == 1 && strides[0] >= cols;
    let by_cols = strides[0] == 1 && strides[1] >= rows;
    (by_rows || by_cols).then_some(strides)
}

/// The number type that kernels read this tensor in: that of a tensor on the Flex device, in its graph or outside, of
/// `f32` or `f64`. None where Burn's own operations have to do.
pub(crate) fn element_type<const D: usize>(tensor: &Tensor<D>) -> Option<DType> {
    let dtype = tensor.dtype();
    let is_on_flex = || matches!(tensor.device().inner().as_dispatch(), DispatchDevice::Flex(_));
    (matches!(dtype, DType::F32 | DType::F64) && is_on_flex()).then_some(dtype)
}

/// The vector as a tensor of the Flex device, without a copy.
pub(crate) fn tensor_of<E: Real, const D: usize>(values: Vec<E>, dims: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, dims), (&Device::flex(), E::DTYPE))
}

/// A vector of `len` elements that `write` writes, all of them.
///
/// # Safety
/// `write` writes every element.
pub(crate) unsafe fn written<E: Real>(len: usize, write: impl FnOnce(&mut [MaybeUninit<E>])) -> Vec<E> {
    let mut values = Vec::with_capacity(len);
    write(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is there, and the caller has written all elements.
    unsafe { values.set_len(len) };
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_tensor_is_changed_in_place_and_a_shared_one_is_not() {
        let device = Device::flex();
        let tensor = Tensor::<1>::from_data([1.0f32, 2.0], &device);
        let mut slice = FlexSlice::<f32>::new(tensor);
        let address = slice.values().as_ptr();
        slice.values_mut()[0] = 5.0;
        assert_eq!(slice.values().as_ptr(), address);

        let tensor = slice.into_tensor::<1>();
        let kept = tensor.clone();
        let mut slice = FlexSlice::<f32>::new(tensor);
        slice.values_mut()[1] = 7.0;
        assert_eq!(kept.into_data(), TensorData::from([5.0f32, 2.0]));
        assert_eq!(slice.into_tensor::<1>().into_data(), TensorData::from([5.0f32, 7.0]));
    }

    #[test]
    fn a_view_is_copied_to_its_own_row_major_memory() {
        let view = Tensor::<2>::from_data([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::flex()).transpose();
        let slice = FlexSlice::<f32>::new(view);
        assert_eq!(slice.values(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn other_types_and_tracked_tensors_are_refused() {
        let device = Device::flex();
        assert!(FlexSlice::<f32>::accepts(&Tensor::<1>::zeros([2], &device)));
        assert!(!FlexSlice::<f32>::accepts(&Tensor::<1>::zeros([2], (&device, DType::F64))));
        assert!(FlexSlice::<f64>::accepts(&Tensor::<1>::zeros([2], (&device, DType::F64))));
        assert!(!FlexSlice::<f32>::accepts(&Tensor::<1>::zeros([2], &device.autodiff())));
    }

    #[test]
    fn a_vector_becomes_a_tensor_where_it_lies() {
        let values = vec![1.0f64, 2.0, 3.0];
        let address = values.as_ptr();
        let tensor = tensor_of(values, [3, 1]);
        assert_eq!(FlexSlice::<f64>::new(tensor).values().as_ptr(), address);
    }

    fn address(tensor: &Tensor<3>) -> usize {
        FlexMatrix::<f32>::new(tensor.clone()).view().row(0).as_ptr() as usize
    }

    #[test]
    fn matrices_are_read_where_they_lie_if_their_rows_can_be_walked_through() {
        let tensor = Tensor::<1, burn::tensor::Int>::arange(0..24, &Device::flex()).float().reshape([2, 3, 4]);
        let start = address(&tensor);
        // Parts of rows keep their distance.
        assert_eq!(address(&tensor.clone().narrow(2, 1, 2)), start + 4);
        // A part of the middle axis leaves a gap between the first axis's entries: a copy.
        let gap = FlexMatrix::<f32>::new(tensor.clone().narrow(1, 1, 2));
        assert_eq!(gap.view().row(2), [16.0, 17.0, 18.0, 19.0]);
        // Flipped and repeated rows: copies.
        let flipped = FlexMatrix::<f32>::new(tensor.clone().flip([2]));
        assert_eq!(flipped.view().row(1), [7.0, 6.0, 5.0, 4.0]);
        let repeated = FlexMatrix::<f32>::new(tensor.clone().narrow(1, 0, 1).expand([2, 3, 4]));
        assert_eq!(repeated.view().row(2), [0.0, 1.0, 2.0, 3.0]);
        // A transposed matrix stays where it is, unless its rows have to be contiguous.
        let transposed = tensor.reshape([6, 4]).transpose();
        assert_eq!(FlexMatrix::<f32>::new(transposed.clone()).strides, [1, 4]);
        assert_eq!(FlexMatrix::<f32>::with_contiguous_rows(transposed).view().row(0)[1], 4.0);
    }
}
