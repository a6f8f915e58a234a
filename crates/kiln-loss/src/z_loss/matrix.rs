//! Symmetric matrices and vectors in plain slices.

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
