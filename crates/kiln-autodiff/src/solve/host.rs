//! Tensors as matrices of the host, in double precision, and back.

use burn::tensor::{DType, Device, Tensor, TensorData};
use faer::{Mat, MatRef};

use crate::NumericalError;

/// The matrices of a tensor `[batch, rows, columns]`.
pub(crate) fn matrices(operation: &'static str, tensor: Tensor<3>) -> Result<Vec<Mat<f64>>, NumericalError> {
    let [_, rows, columns] = tensor.dims();
    let values: Vec<f64> = tensor.inner().into_data().iter::<f64>().collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(NumericalError::NotFinite { operation, iteration: 0 });
    }
    let matrix = |part: &[f64]| MatRef::from_row_major_slice(part, rows, columns).to_owned();
    Ok(values.chunks(rows * columns).map(matrix).collect())
}

/// The one matrix of a tensor `[rows, columns]`.
pub(crate) fn matrix(operation: &'static str, tensor: Tensor<2>) -> Result<Mat<f64>, NumericalError> {
    Ok(matrices(operation, tensor.unsqueeze::<3>())?.remove(0))
}

/// Matrices of one shape as a tensor `[batch, rows, columns]`.
pub(crate) fn batch(matrices: &[Mat<f64>], device: &Device, dtype: DType) -> Tensor<3> {
    let (rows, columns) = (matrices[0].nrows(), matrices[0].ncols());
    let entries = |matrix: &Mat<f64>| {
        (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).map(|at| matrix[at]).collect::<Vec<_>>()
    };
    let values: Vec<f64> = matrices.iter().flat_map(entries).collect();
    Tensor::from_data(TensorData::new(values, [matrices.len(), rows, columns]), (device, dtype))
}

/// A matrix as a tensor `[rows, columns]`.
pub(crate) fn tensor(matrix: Mat<f64>, device: &Device, dtype: DType) -> Tensor<2> {
    batch(&[matrix], device, dtype).squeeze_dim(0)
}

/// Smallest over largest diagonal entry by magnitude: an estimate of the reciprocal condition number of a triangle.
pub(crate) fn diagonal_ratio(triangle: MatRef<'_, f64>) -> f64 {
    let diagonal = (0..triangle.nrows().min(triangle.ncols())).map(|index| triangle[(index, index)].abs());
    let (low, high) = diagonal.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if high == 0.0 { 0.0 } else { low / high }
}
