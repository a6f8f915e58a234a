//! The memory of a tensor on Burn's Flex device, as slices that can be changed in place.

use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{BackendPrimitive, DType, Float, Tensor};

/// A whole, contiguous `f32` tensor of the Flex device, taken out of Burn's tensor type for the length of one kernel.
pub(crate) struct FlexSlice(<Float as BackendPrimitive<Flex>>::Primitive);

impl FlexSlice {
    /// Whether [`FlexSlice::new`] accepts this tensor.
    pub(crate) fn accepts<const D: usize>(tensor: &Tensor<D>) -> bool {
        tensor.dtype() == DType::F32 && matches!(tensor.device().as_dispatch(), DispatchDevice::Flex(_))
    }

    /// Takes the tensor's memory, copied first where it is a view of something else.
    ///
    /// # Panics
    /// Where [`FlexSlice::accepts`] is false.
    pub(crate) fn new<const D: usize>(tensor: Tensor<D>) -> Self {
        let primitive = tensor.try_into_primitive::<Flex>().expect("an f32 tensor of the Flex device");
        let len = primitive.layout().num_elements();
        let is_whole = primitive.is_contiguous()
            && primitive.layout().start_offset() == 0
            && primitive.bytes().len() == len * size_of::<f32>();
        Self(if is_whole { primitive } else { primitive.to_contiguous() })
    }

    /// The elements in row-major order.
    pub(crate) fn values(&self) -> &[f32] {
        self.0.storage::<f32>()
    }

    /// The elements, to be changed: in place where nobody else holds the memory, in a fresh copy otherwise.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        self.0.storage_mut::<f32>()
    }

    /// Gives the memory back as a tensor.
    pub(crate) fn into_tensor<const D: usize>(self) -> Tensor<D> {
        Tensor::from_primitive::<Flex>(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn a_unique_tensor_is_changed_in_place_and_a_shared_one_is_not() {
        let device = Device::flex();
        let tensor = Tensor::<1>::from_data([1.0f32, 2.0], &device);
        let mut slice = FlexSlice::new(tensor);
        let address = slice.values().as_ptr();
        slice.values_mut()[0] = 5.0;
        assert_eq!(slice.values().as_ptr(), address);

        let tensor = slice.into_tensor::<1>();
        let kept = tensor.clone();
        let mut slice = FlexSlice::new(tensor);
        slice.values_mut()[1] = 7.0;
        assert_eq!(kept.into_data(), TensorData::from([5.0f32, 2.0]));
        assert_eq!(slice.into_tensor::<1>().into_data(), TensorData::from([5.0f32, 7.0]));
    }

    #[test]
    fn a_view_is_copied_to_its_own_row_major_memory() {
        let view = Tensor::<2>::from_data([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::flex()).transpose();
        let slice = FlexSlice::new(view);
        assert_eq!(slice.values(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn other_types_and_tracked_tensors_are_refused() {
        let device = Device::flex();
        assert!(FlexSlice::accepts(&Tensor::<1>::zeros([2], &device)));
        assert!(!FlexSlice::accepts(&Tensor::<1>::zeros([2], (&device, DType::F64))));
        assert!(!FlexSlice::accepts(&Tensor::<1>::zeros([2], &device.autodiff())));
    }
}
