//! Planes of pixels of any rank, blurred and halved by Burn's operations.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor, TensorData, module};

use super::OddPolicy;

/// One number for each pixel of many planes (or volumes) of one size.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// `[planes, pixels]`.
    pub(super) values: Tensor<2>,
    /// Pixels along each axis.
    pub(super) dims: Vec<usize>,
}

impl Field {
    /// The planes of `[batch_size, channels, ..]`.
    pub(super) fn of<const D: usize>(images: Tensor<D>) -> Self {
        let dims = images.dims();
        let planes = dims[0] * dims[1];
        let pixels = dims[2..].iter().product();
        Self { values: images.reshape([planes, pixels]), dims: dims[2..].to_vec() }
    }

    /// `[batch_size, channels, ..]`.
    pub(super) fn into_images<const D: usize>(self, batch: usize, channels: usize) -> Tensor<D> {
        let mut dims = [batch; D];
        dims[1] = channels;
        dims[2..].copy_from_slice(&self.dims);
        self.values.reshape(dims)
    }

    /// Weighted means of the neighbourhoods that lie inside the planes.
    pub(super) fn blurred(self, taps: &[f64]) -> Self {
        (0..self.dims.len()).fold(self, |field, axis| field.blurred_along(axis, taps))
    }

    fn blurred_along(self, axis: usize, taps: &[f64]) -> Self {
        let (planes, dtype, device) = (self.values.dims()[0], self.values.dtype(), self.values.device());
        let [outer, length, inner] = self.split_at(axis);
        let taps = weights(taps, dtype).convert_dtype(dtype);
        let weight = Tensor::from_data(taps, (&device, dtype));
        let rows = self.values.reshape([planes * outer, 1, length, inner]);
        let blurred = module::conv2d(rows, weight, None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
        let mut dims = self.dims;
        dims[axis] = blurred.dims()[2];
        Self { values: blurred.reshape([planes, dims.iter().product()]), dims }
    }

    /// Means of blocks of two pixels along every axis.
    pub(super) fn halved(self, odd: OddPolicy) -> Self {
        (0..self.dims.len()).fold(self, |field, axis| field.halved_along(axis, odd))
    }

    fn halved_along(self, axis: usize, odd: OddPolicy) -> Self {
        let planes = self.values.dims()[0];
        let [outer, length, inner] = self.split_at(axis);
        let rows = self.values.reshape([planes * outer, length, inner]);
        let rows = if length % 2 == 0 { rows } else { made_even(rows, odd) };
        let mut dims = self.dims;
        dims[axis] = rows.dims()[1] / 2;
        let pairs = rows.reshape([planes * outer, dims[axis], 2, inner]);
        Self { values: pairs.mean_dim(2).reshape([planes, dims.iter().product()]), dims }
    }

    /// The pixels at `places` of an axis, in that order.
    pub(super) fn taken(self, axis: usize, places: &[usize]) -> Self {
        let planes = self.values.dims()[0];
        let [outer, length, inner] = self.split_at(axis);
        let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        let indices = Tensor::from_data(TensorData::from(places.as_slice()), &self.values.device());
        let rows = self.values.reshape([planes * outer, length, inner]).select(1, indices);
        let mut dims = self.dims;
        dims[axis] = places.len();
        Self { values: rows.reshape([planes, dims.iter().product()]), dims }
    }

    /// Pixels before an axis, along it, and behind it.
    fn split_at(&self, axis: usize) -> [usize; 3] {
        [self.dims[..axis].iter().product(), self.dims[axis], self.dims[axis + 1..].iter().product()]
    }
}

/// The taps as a convolution's weight `[1, 1, taps, 1]`.
fn weights(taps: &[f64], dtype: DType) -> TensorData {
    TensorData::new(taps.to_vec(), [1, 1, taps.len(), 1]).convert_dtype(dtype)
}

/// One place more or less along the middle axis. What is added stands at the start, where PyTorch's pooling puts it.
fn made_even(rows: Tensor<3>, odd: OddPolicy) -> Tensor<3> {
    let length = rows.dims()[1];
    let first = rows.clone().narrow(1, 0, 1);
    match odd {
        OddPolicy::ZeroPad => Tensor::cat(vec![first.zeros_like(), rows], 1),
        OddPolicy::Replicate => Tensor::cat(vec![first, rows], 1),
        OddPolicy::Crop => rows.narrow(1, 0, length - 1),
    }
}
