//! Row-major matrices in plain slices, and their products.

use gemm::Parallelism;

use super::LayerScalar;

/// A matrix in a slice, possibly transposed.
#[derive(Clone, Copy)]
pub(super) struct View<'a, T> {
    values: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// The slice as a row-major matrix.
pub(super) fn rows_of<T>(values: &[T], rows: usize, cols: usize) -> View<'_, T> {
    assert_eq!(values.len(), rows * cols, "a {rows} x {cols} matrix does not fit {} values", values.len());
    View { values, rows, cols, row_stride: cols, col_stride: 1 }
}

impl<T> View<'_, T> {
    /// The transpose, without moving anything.
    pub(super) fn t(self) -> Self {
        Self {
            values: self.values,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }
}

/// Who computes a product.
#[derive(Clone, Copy)]
pub(super) enum Threads {
    /// The calling thread; for products inside a parallel loop.
    Caller,
    /// All threads of the current rayon pool.
    Pool,
}

/// `out <- keep out + scale left right`; `keep = 0` overwrites, whatever `out` held.
pub(super) fn multiply<T: LayerScalar>(
    out: &mut [T],
    keep: f64,
    scale: f64,
    left: View<'_, T>,
    right: View<'_, T>,
    threads: Threads,
) {
    assert_eq!(left.cols, right.rows, "inner sizes of a matrix product differ");
    assert_eq!(out.len(), left.rows * right.cols, "the product's size differs from its place");
    let parallelism = match threads {
        Threads::Caller => Parallelism::None,
        Threads::Pool => Parallelism::Rayon(0),
    };
    // SAFETY: the assertions above and in `rows_of` guarantee that every element addressed through the strides lies in
    // its slice; `out` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            left.rows,
            right.cols,
            left.cols,
            out.as_mut_ptr(),
            1,
            right.cols as isize,
            keep != 0.0,
            left.values.as_ptr(),
            left.col_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.col_stride as isize,
            right.row_stride as isize,
            T::from_f64(keep),
            T::from_f64(scale),
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `matrix <- matrix - (part + part^T)`, both `size x size`, keeping `matrix` exactly symmetric.
pub(super) fn subtract_symmetric(matrix: &mut [f64], part: &[f64], size: usize) {
    const TILE: usize = 32;
    for row_tile in (0..size).step_by(TILE) {
        for col_tile in (0..=row_tile).step_by(TILE) {
            for row in row_tile..(row_tile + TILE).min(size) {
                for col in col_tile..(col_tile + TILE).min(row + 1) {
                    let value = matrix[row * size + col] - (part[row * size + col] + part[col * size + row]);
                    matrix[row * size + col] = value;
                    matrix[col * size + row] = value;
                }
            }
        }
    }
}

/// `matrix <- (matrix + matrix^T) / 2`.
pub(super) fn symmetrise(matrix: &mut [f64], size: usize) {
    for row in 0..size {
        for col in 0..row {
            let mean = 0.5 * (matrix[row * size + col] + matrix[col * size + row]);
            matrix[row * size + col] = mean;
            matrix[col * size + row] = mean;
        }
    }
}

/// The identity, `size x size`.
pub(super) fn identity(size: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; size * size];
    matrix.iter_mut().step_by(size + 1).for_each(|value| *value = 1.0);
    matrix
}

/// Inner product.
#[inline]
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f64>() + rest
}

/// `out <- out + scale values`.
#[inline]
pub(super) fn add_scaled(out: &mut [f64], scale: f64, values: &[f64]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += scale * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplies_transposed_views_and_accumulates() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let right = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0];
        let mut out = [10.0, 0.0, 0.0, 10.0];
        multiply(&mut out, 1.0, 2.0, rows_of(&left, 2, 3), rows_of(&right, 2, 3).t(), Threads::Caller);
        assert_eq!(out, [24.0, 10.0, 32.0, 32.0]);
        let mut overwritten = [f64::NAN; 9];
        multiply(&mut overwritten, 0.0, 1.0, rows_of(&left, 2, 3).t(), rows_of(&right, 2, 3), Threads::Pool);
        assert_eq!(overwritten, [1.0, 4.0, 6.0, 2.0, 5.0, 9.0, 3.0, 6.0, 12.0]);
    }

    #[test]
    fn symmetric_subtraction_crosses_tiles() {
        let size = 70;
        let part: Vec<f64> = (0..size * size).map(|index| (index % 17) as f64).collect();
        let mut matrix = vec![1.0; size * size];
        subtract_symmetric(&mut matrix, &part, size);
        for row in 0..size {
            for col in 0..size {
                assert_eq!(matrix[row * size + col], 1.0 - part[row * size + col] - part[col * size + row]);
            }
        }
    }
}
