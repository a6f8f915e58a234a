//! How well a kernel fits labels.

use burn::tensor::Tensor;
use faer::Mat;

use crate::NumericalError;
use crate::solve::host;

const OPERATION: &str = "centred kernel alignment";

/// Centred alignment of a kernel with the kernel `Y Y'` of the labels, between 0 and 1 for a positive semi-definite one.
///
/// ```text
/// A = <H K H, H Y Y' H> / (|H K H| |H Y Y' H|)        H = I - 1 1' / n, in Frobenius' norm
/// ```
/// 1 where the centred kernel is a multiple of `Y Y'`. Computed in double precision on the host.
///
/// Source: C. Cortes, M. Mohri and A. Rostamizadeh, Algorithms for learning kernels based on centered alignment, JMLR 13
/// (2012), definition 4.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::ntk::centred_alignment;
///
/// let device = Device::flex();
/// let labels = Tensor::<2>::from_floats([[1.0], [1.0], [-1.0], [-1.0]], &device);
/// let kernel = labels.clone().matmul(labels.clone().transpose()) * 5 + 3;
/// assert!((centred_alignment(kernel, labels)? - 1.0).abs() < 1e-12);
/// # Ok::<(), kiln_autodiff::NumericalError>(())
/// ```
///
/// # Shapes
/// - `kernel`: `[n, n]`
/// - `labels`: `[n, c]`: targets, or one column a class
///
/// # Errors
/// Shapes that do not fit, values that are not finite, and a kernel or labels that are constant.
pub fn centred_alignment(kernel: Tensor<2>, labels: Tensor<2>) -> Result<f64, NumericalError> {
    let ([rows, columns], [examples, classes]) = (kernel.dims(), labels.dims());
    if rows != columns || rows != examples || rows == 0 || classes == 0 {
        let found = format!("a kernel of shape [{rows}, {columns}] and labels of shape [{examples}, {classes}]");
        return Err(NumericalError::Shape { operation: OPERATION, found, expected: "[n, n] and [n, c]".to_owned() });
    }
    let (kernel, labels) = (host::matrix(OPERATION, kernel)?, host::matrix(OPERATION, labels)?);
    let centred_kernel = centred_columns(&centred_columns(&kernel).transpose().to_owned());
    let centred_labels = centred_columns(&labels);
    let fitted = centred_labels.transpose() * &centred_kernel * &centred_labels;
    let trace: f64 = (0..classes).map(|class| fitted[(class, class)]).sum();
    let kernel_size = centred_kernel.norm_l2();
    let label_size = (centred_labels.transpose() * &centred_labels).norm_l2();
    require_variation("a kernel", kernel_size, kernel.norm_l2())?;
    require_variation("labels", centred_labels.norm_l2(), labels.norm_l2())?;
    Ok(trace / kernel_size / label_size)
}

/// That more is left of something after centring than rounding.
fn require_variation(what: &'static str, centred: f64, size: f64) -> Result<(), NumericalError> {
    // A comparison that zeros fail.
    if centred > 1e-13 * size { Ok(()) } else { Err(NumericalError::Constant { operation: OPERATION, what }) }
}

/// Every column less its mean.
fn centred_columns(matrix: &Mat<f64>) -> Mat<f64> {
    let rows = matrix.nrows();
    let means: Vec<f64> = (0..matrix.ncols())
        .map(|column| (0..rows).map(|row| matrix[(row, column)]).sum::<f64>() / rows as f64)
        .collect();
    Mat::from_fn(rows, matrix.ncols(), |row, column| matrix[(row, column)] - means[column])
}
