//! Scores of all classes, for evaluation.

use burn::tensor::{Tensor, TensorData};
use kiln_kernels::matrix::{Threads, multiply, rows_of};
use rayon::prelude::*;

use super::{BLOCK_ROWS, FactoredSphericalLayer};
use crate::z_loss::matrix::{add_scaled, dot};
use crate::z_loss::output_layer::read_hidden;
use crate::z_loss::{LayerError, LayerScalar};

impl<E: LayerScalar> FactoredSphericalLayer<E> {
    /// Scores of all classes, `o = W h`. They rank the classes; they are not probabilities.
    ///
    /// # Shapes
    /// - `hidden`: `[batch_size, d_hidden]`
    /// - output: `[batch_size, n_classes]`, without gradients
    ///
    /// # Errors
    /// [`LayerError::HiddenWidth`] or [`LayerError::Hidden`] for hidden vectors that do not fit.
    pub fn scores(&self, hidden: Tensor<2>) -> Result<Tensor<2>, LayerError> {
        let classes = self.config.n_classes;
        let projected = self.project(&hidden)?;
        let examples = projected.shifts.len();
        let mut values = vec![E::default(); examples * classes];
        let blocks: Vec<Vec<E>> =
            self.v.par_chunks(BLOCK_ROWS * self.width).map(|rows| projected.score(rows, self.width)).collect();
        values.par_chunks_mut(classes.max(1)).enumerate().for_each(|(example, out)| {
            for (block, out) in blocks.iter().zip(out.chunks_mut(BLOCK_ROWS)) {
                out.copy_from_slice(&block[example * out.len()..(example + 1) * out.len()]);
            }
        });
        let device = hidden.device().inner();
        Ok(Tensor::from_data(TensorData::new(values, [examples, classes]), (&device, E::DTYPE)))
    }

    /// The `k` best classes of every example with their scores, best first; equal scores in the order of the classes.
    ///
    /// Works through the classes in blocks and never holds all scores.
    ///
    /// # Shapes
    /// - `hidden`: `[batch_size, d_hidden]`
    ///
    /// # Errors
    /// As [`FactoredSphericalLayer::scores`]; [`LayerError::Setting`] for a `k` outside `1..=n_classes`.
    pub fn top_k(&self, hidden: Tensor<2>, k: usize) -> Result<Vec<Vec<(usize, f64)>>, LayerError> {
        let valid = (1..=self.config.n_classes).contains(&k);
        crate::z_loss::layer_error::require(valid, "k", k as f64, "at least 1 and at most n_classes")?;
        let projected = self.project(&hidden)?;
        let examples = projected.shifts.len();
        let best_of_blocks: Vec<Vec<Vec<(usize, f64)>>> = self
            .v
            .par_chunks(BLOCK_ROWS * self.width)
            .enumerate()
            .map(|(block, rows)| {
                let scores = projected.score(rows, self.width);
                let count = rows.len() / self.width;
                let first = block * BLOCK_ROWS;
                let ranked =
                    |row: &[E]| row.iter().enumerate().map(|(index, score)| (first + index, score.widen())).collect();
                scores.chunks_exact(count).map(|row| keep_best(ranked(row), k)).collect()
            })
            .collect();
        Ok((0..examples)
            .map(|example| {
                keep_best(best_of_blocks.iter().flat_map(|block| block[example].iter().copied()).collect(), k)
            })
            .collect())
    }

    /// Rows of `W`: the weights of the given classes, each with the bias behind if there are biases.
    ///
    /// # Errors
    /// [`LayerError::Class`] for a class that does not exist.
    pub fn weight_rows(&self, classes: &[usize]) -> Result<Vec<Vec<f64>>, LayerError> {
        let width = self.width;
        classes
            .iter()
            .map(|&class| {
                if class >= self.config.n_classes {
                    return Err(LayerError::Class { class, num_classes: self.config.n_classes });
                }
                let mut row = self.omega.clone();
                for (v, u) in self.v[class * width..(class + 1) * width].iter().zip(self.u.chunks_exact(width)) {
                    add_scaled(&mut row, v.widen(), u);
                }
                Ok(row)
            })
            .collect()
    }

    /// `H U^T` and `H omega`.
    fn project(&self, hidden: &Tensor<2>) -> Result<Projected<E>, LayerError> {
        let width = self.width;
        let rows = read_hidden(hidden, self.config.d_hidden, self.config.bias)?;
        let examples = rows.len() / width;
        let mut projected = vec![0.0; rows.len()];
        let u = rows_of(&self.u, width, width);
        multiply(&mut projected, 0.0, 1.0, rows_of(&rows, examples, width), u.t(), Threads::Pool);
        Ok(Projected {
            vectors: projected.into_iter().map(E::from_f64).collect(),
            shifts: rows.chunks_exact(width).map(|row| E::from_f64(dot(row, &self.omega))).collect(),
        })
    }
}

/// Hidden vectors as the rows of `V` see them.
struct Projected<E> {
    vectors: Vec<E>,
    shifts: Vec<E>,
}

impl<E: LayerScalar> Projected<E> {
    /// Scores of the classes of some rows of `V`, `examples x rows`.
    fn score(&self, rows: &[E], width: usize) -> Vec<E> {
        let (examples, count) = (self.shifts.len(), rows.len() / width);
        let mut scores: Vec<E> = self.shifts.iter().flat_map(|&shift| std::iter::repeat_n(shift, count)).collect();
        let vectors = rows_of(&self.vectors, examples, width);
        multiply(&mut scores, 1.0, 1.0, vectors, rows_of(rows, count, width).t(), Threads::Caller);
        scores
    }
}

/// The `k` best of some classes, best first.
fn keep_best(mut ranked: Vec<(usize, f64)>, k: usize) -> Vec<(usize, f64)> {
    let order = |left: &(usize, f64), right: &(usize, f64)| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0));
    if ranked.len() > k {
        ranked.select_nth_unstable_by(k - 1, order);
        ranked.truncate(k);
    }
    ranked.sort_unstable_by(order);
    ranked
}
