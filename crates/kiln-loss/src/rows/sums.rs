//! Sums over a row, in double precision.

use kiln_kernels::vector::{Kernel, LANES, filled_up, sum_of, vectorised};

/// `sum_k x_k` and `sum_k x_k^2`.
pub(crate) fn sums(row: &[f32]) -> (f64, f64) {
    vectorised(Sums { row })
}

/// `sum_k w_k x_k`.
pub(crate) fn weighted_sum(row: &[f32], weights: &[f64]) -> f64 {
    vectorised(Weighted { row, weights })
}

struct Sums<'a> {
    row: &'a [f32],
}

impl Kernel for Sums<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run(self) -> (f64, f64) {
        let (chunks, rest) = self.row.as_chunks::<LANES>();
        let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for chunk in chunks.iter().chain([&filled_up(rest, 0.0)]) {
            for lane in 0..LANES {
                let number = f64::from(chunk[lane]);
                sums[lane] += number;
                squares[lane] += number * number;
            }
        }
        (sum_of(sums), sum_of(squares))
    }
}

struct Weighted<'a> {
    row: &'a [f32],
    weights: &'a [f64],
}

impl Kernel for Weighted<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let (chunks, rest) = self.row.as_chunks::<LANES>();
        let (weights, last) = self.weights.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        let ends = [(&filled_up(rest, 0.0), &filled_up(last, 0.0))];
        for (chunk, weights) in chunks.iter().zip(weights).chain(ends) {
            for lane in 0..LANES {
                sums[lane] += f64::from(chunk[lane]) * weights[lane];
            }
        }
        sum_of(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_are_summed() {
        for length in [0, 1, 31, 32, 33, 100] {
            let row: Vec<f32> = (0..length).map(|at| at as f32 - 7.0).collect();
            let weights: Vec<f64> = (0..length).map(|at| 0.5 * at as f64).collect();
            let exact = |of: &dyn Fn(usize) -> f64| (0..length).map(of).sum::<f64>();
            let at = |place: usize| f64::from(row[place]);
            assert_eq!(sums(&row), (exact(&at), exact(&|place| at(place) * at(place))), "{length}");
            assert_eq!(weighted_sum(&row, &weights), exact(&|place| at(place) * weights[place]), "{length}");
        }
    }
}
