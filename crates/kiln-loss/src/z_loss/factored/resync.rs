//! Recomputing the bookkeeping from the weights.

use rayon::prelude::*;

use super::{BLOCK_ROWS, FactoredSphericalLayer};
use crate::z_loss::LayerScalar;
use crate::z_loss::matrix::{Threads, add_scaled, multiply, rows_of, symmetrise};

/// Groups of rows of `V` that are summed separately, whatever the number of threads, so that sums are reproducible.
const GROUPS: usize = 16;

impl<E: LayerScalar> FactoredSphericalLayer<E> {
    /// Computes `Q = W^T W` and `wbar = 1^T W` anew and returns the drift `max |Q - W^T W| / max |W^T W|` of what they
    /// replace. Costs `O(D d^2)`; a layer does it by itself every `resync_every` steps.
    pub fn resync(&mut self) -> f64 {
        let before = std::mem::take(&mut self.gram);
        self.rebuild_bookkeeping();
        let largest =
            |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |most: f64, value| most.max(value.abs()));
        let difference = largest(&mut self.gram.iter().zip(&before).map(|(after, before)| after - before));
        let drift = difference / largest(&mut self.gram.iter().copied()).max(f64::MIN_POSITIVE);
        self.diagnostics.resyncs += 1;
        self.diagnostics.last_drift = Some(drift);
        drift
    }

    /// `Q` and `wbar` from `W = V U + 1 omega`:
    ///
    /// ```text
    /// Q = U^T (V^T V) U + U^T vbar omega + omega^T vbar^T U + D omega^T omega        wbar = vbar^T U + D omega
    /// ```
    pub(super) fn rebuild_bookkeeping(&mut self) {
        let (width, classes) = (self.width, self.config.n_classes as f64);
        let (v_gram, v_sum) = self.row_moments();
        let u = rows_of(&self.u, width, width);

        let mut half = vec![0.0; width * width];
        multiply(&mut half, 0.0, 1.0, rows_of(&v_gram, width, width), u, Threads::Pool);
        let mut gram = v_gram;
        multiply(&mut gram, 0.0, 1.0, u.t(), rows_of(&half, width, width), Threads::Pool);
        let mut class_sum = vec![0.0; width];
        multiply(&mut class_sum, 0.0, 1.0, rows_of(&v_sum, 1, width), u, Threads::Caller);
        for (row, out) in gram.chunks_exact_mut(width).enumerate() {
            add_scaled(out, class_sum[row] + classes * self.omega[row], &self.omega);
            add_scaled(out, self.omega[row], &class_sum);
        }
        symmetrise(&mut gram, width);
        add_scaled(&mut class_sum, classes, &self.omega);
        self.gram = gram;
        self.class_sum = class_sum;
    }

    /// `V^T V` and the column sums of `V`.
    fn row_moments(&self) -> (Vec<f64>, Vec<f64>) {
        let width = self.width;
        let group_rows = self.config.n_classes.div_ceil(GROUPS);
        let parts: Vec<(Vec<f64>, Vec<f64>)> = self
            .v
            .par_chunks(group_rows * width)
            .map(|group| {
                let (mut gram, mut sum) = (vec![0.0; width * width], vec![0.0; width]);
                let mut wide = Vec::with_capacity(BLOCK_ROWS * width);
                for block in group.chunks(BLOCK_ROWS * width) {
                    wide.clear();
                    wide.extend(block.iter().map(|value| value.widen()));
                    let rows = rows_of(&wide, wide.len() / width, width);
                    multiply(&mut gram, 1.0, 1.0, rows.t(), rows, Threads::Caller);
                    wide.chunks_exact(width).for_each(|row| add_scaled(&mut sum, 1.0, row));
                }
                (gram, sum)
            })
            .collect();
        let (mut gram, mut sum) = (vec![0.0; width * width], vec![0.0; width]);
        for (part_gram, part_sum) in &parts {
            add_scaled(&mut gram, 1.0, part_gram);
            add_scaled(&mut sum, 1.0, part_sum);
        }
        (gram, sum)
    }
}
