//! Recomputing the bookkeeping from the weights.

use kiln_kernels::matrix::{Threads, multiply, rows_of};
use rayon::prelude::*;

use super::FactoredSphericalLayer;
use crate::z_loss::LayerScalar;
use crate::z_loss::matrix::{add_scaled, symmetrise};

/// Groups of rows of `V` that are summed separately, whatever the number of threads, so that sums are reproducible.
const GROUPS: usize = 16;

/// Rows of `V` that are widened and centred together: enough for a fast product, few enough to be small beside it.
const CENTRED_ROWS: usize = 256;

impl<E: LayerScalar> FactoredSphericalLayer<E> {
    /// Computes `S = W^T W - wbar^T wbar / D` and `wbar = 1^T W` anew and returns the drift of what they replace, the
    /// larger of
    ///
    /// ```text
    /// max |S - S'| / max |S'|        max |wbar - wbar'| / max_j sqrt(D (W^T W)_jj)
    /// ```
    /// The root is what `wbar` could be at most. Costs `O(D d^2)`; a layer does it by itself every `resync_every` steps.
    pub fn resync(&mut self) -> f64 {
        let gram = std::mem::take(&mut self.gram);
        let class_sum = std::mem::take(&mut self.class_sum);
        self.rebuild_bookkeeping();
        let classes = self.config.n_classes as f64;
        let squares =
            self.gram.iter().step_by(self.width + 1).zip(&self.class_sum).map(|(s, sum)| classes * s + sum * sum);
        let of_gram = difference(&self.gram, &gram) / largest(self.gram.iter().copied());
        let of_class_sum = difference(&self.class_sum, &class_sum) / largest(squares).sqrt();
        let drift = of_gram.max(of_class_sum);
        self.diagnostics.resyncs += 1;
        self.diagnostics.last_drift = Some(drift);
        drift
    }

    /// `S` and `wbar` from `W = V U + 1 omega`, with the column means `vbar / D` of `V`:
    ///
    /// ```text
    /// S = U^T (V - 1 vbar/D)^T (V - 1 vbar/D) U        wbar = vbar U + D omega
    /// ```
    pub(super) fn rebuild_bookkeeping(&mut self) {
        let (width, classes) = (self.width, self.config.n_classes as f64);
        let v_sum = self.row_sum();
        let v_mean: Vec<f64> = v_sum.iter().map(|sum| sum / classes).collect();
        let mut gram = self.centred_row_gram(&v_mean);
        let u = rows_of(&self.u, width, width);

        let mut half = vec![0.0; width * width];
        multiply(&mut half, 0.0, 1.0, rows_of(&gram, width, width), u, Threads::Pool);
        multiply(&mut gram, 0.0, 1.0, u.t(), rows_of(&half, width, width), Threads::Pool);
        symmetrise(&mut gram, width);
        let mut class_sum = vec![0.0; width];
        multiply(&mut class_sum, 0.0, 1.0, rows_of(&v_sum, 1, width), u, Threads::Caller);
        add_scaled(&mut class_sum, classes, &self.omega);
        self.gram = gram;
        self.class_sum = class_sum;
    }

    /// The column sums of `V`.
    fn row_sum(&self) -> Vec<f64> {
        let sum_of = |group: &[E]| {
            let mut sum = vec![0.0; self.width];
            for row in group.chunks_exact(self.width) {
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value.widen());
            }
            sum
        };
        self.sum_over_groups(sum_of)
    }

    /// The Gram matrix of the rows of `V` less their mean.
    fn centred_row_gram(&self, mean: &[f64]) -> Vec<f64> {
        let width = self.width;
        let gram_of = |group: &[E]| {
            let mut gram = vec![0.0; width * width];
            let mut centred = Vec::with_capacity(CENTRED_ROWS * width);
            for block in group.chunks(CENTRED_ROWS * width) {
                centred.clear();
                for row in block.chunks_exact(width) {
                    centred.extend(row.iter().zip(mean).map(|(value, mean)| value.widen() - mean));
                }
                let rows = rows_of(&centred, centred.len() / width, width);
                multiply(&mut gram, 1.0, 1.0, rows.t(), rows, Threads::Caller);
            }
            gram
        };
        self.sum_over_groups(gram_of)
    }

    /// The sum of what `part` makes of each group of rows of `V`, in their order. No more parts are in memory than there are
    /// threads.
    fn sum_over_groups(&self, part: impl Fn(&[E]) -> Vec<f64> + Sync) -> Vec<f64> {
        let groups: Vec<&[E]> = self.v.chunks(self.config.n_classes.div_ceil(GROUPS) * self.width).collect();
        let mut sum: Vec<f64> = Vec::new();
        for some in groups.chunks(rayon::current_num_threads()) {
            let parts: Vec<Vec<f64>> = some.par_iter().map(|group| part(group)).collect();
            for part in parts {
                if sum.is_empty() {
                    sum = part;
                } else {
                    add_scaled(&mut sum, 1.0, &part);
                }
            }
        }
        sum
    }
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::MIN_POSITIVE, |most, value| most.max(value.abs()))
}

fn difference(after: &[f64], before: &[f64]) -> f64 {
    after.iter().zip(before).fold(0.0, |most: f64, (after, before)| most.max((after - before).abs()))
}

#[cfg(test)]
mod tests {
    use crate::FactoredSphericalConfig;

    #[test]
    fn reports_the_drift_of_both_matrices() {
        let mut layer = FactoredSphericalConfig::new(3, 40).init_as::<f64>(1).unwrap();
        assert!(layer.resync() < 1e-14);
        let largest = layer.gram.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        layer.gram[5] += 0.25 * largest;
        assert!((layer.resync() - 0.25).abs() < 1e-12);
        let most = 40.0 * layer.gram[0] + layer.class_sum[0].powi(2);
        layer.class_sum[0] += most.sqrt();
        let drift = layer.resync();
        assert!(drift > 0.5 && drift < 1.0 + 1e-12, "{drift}");
        assert_eq!(layer.diagnostics().last_drift, Some(drift));
        assert!(layer.resync() < 1e-14);
    }
}
