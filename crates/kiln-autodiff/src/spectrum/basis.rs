//! An orthonormal basis that grows by one vector at a time and stays on the device.

use burn::tensor::{Tensor, TensorData};
use faer::MatRef;

use crate::linear_operator::norm;

/// Rows `q_1..q_m` with `q_i'q_j = [i = j]`, gathered into blocks so that projections are matrix products.
#[derive(Debug, Clone, Default)]
pub(crate) struct Basis {
    blocks: Vec<Tensor<2>>,
    loose: Vec<Tensor<1>>,
}

/// Rows that are gathered into one block.
const BLOCK: usize = 16;

impl Basis {
    pub(crate) fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.dims()[0]).sum::<usize>() + self.loose.len()
    }

    /// Appends a vector of length 1 that is orthogonal to the others.
    pub(crate) fn push(&mut self, vector: Tensor<1>) {
        self.loose.push(vector);
        if self.loose.len() == BLOCK {
            self.blocks.push(Tensor::stack(std::mem::take(&mut self.loose), 0));
        }
    }

    /// What is left of a vector outside the span: `v - sum_i q_i (q_i'v)`.
    ///
    /// Taken twice, which is what full orthogonality to rounding needs.
    pub(crate) fn reject(&self, vector: Tensor<1>) -> Tensor<1> {
        self.reject_once(self.reject_once(vector))
    }

    /// A direction of length 1 outside the span, or `None` where `vector` lies within it to rounding.
    pub(crate) fn normalised_rejection(&self, vector: Tensor<1>) -> Option<Tensor<1>> {
        const WITHIN: f64 = 1e-4;
        let before = norm(&vector);
        let rest = self.reject(vector);
        let length = norm(&rest);
        (length > WITHIN * before).then(|| rest / length)
    }

    /// `sum_i c_ij q_i` for every column `j` of the coefficients.
    ///
    /// # Shapes
    /// - `coefficients`: `[len, count]`
    /// - output: `[count, dimension]`
    pub(crate) fn combine(&self, coefficients: MatRef<'_, f64>) -> Tensor<2> {
        let mut row = 0;
        let mut sum: Option<Tensor<2>> = None;
        for block in self.all_blocks() {
            let rows = block.dims()[0];
            let part = coefficients.subrows(row, rows);
            let values = (0..part.ncols()).flat_map(|j| (0..rows).map(move |i| part[(i, j)])).collect::<Vec<f64>>();
            let weights = TensorData::new(values, [part.ncols(), rows]);
            let weights = Tensor::<2>::from_data(weights, (&block.device(), block.dtype()));
            let term = weights.matmul(block);
            sum = Some(match sum {
                Some(sum) => sum + term,
                None => term,
            });
            row += rows;
        }
        sum.expect("a basis with at least one vector")
    }

    fn reject_once(&self, vector: Tensor<1>) -> Tensor<1> {
        let rest = self.blocks.iter().fold(vector.unsqueeze::<2>(), |rest, block| {
            let coefficients = rest.clone().matmul(block.clone().transpose());
            rest - coefficients.matmul(block.clone())
        });
        self.loose.iter().fold(rest.squeeze_dim(0), |rest, row| {
            let coefficient = (rest.clone() * row.clone()).sum();
            rest - row.clone() * coefficient
        })
    }

    fn all_blocks(&self) -> impl Iterator<Item = Tensor<2>> + '_ {
        let rest = (!self.loose.is_empty()).then(|| Tensor::stack(self.loose.clone(), 0));
        self.blocks.iter().cloned().chain(rest)
    }
}
