//! Anderson's acceleration of a fixed-point iteration.

use std::collections::VecDeque;

use burn::tensor::Tensor;
use faer::Mat;
use faer::linalg::solvers::Solve;

use crate::linear_operator::dot;

/// The last iterates and their steps, from which the next iterate is extrapolated.
///
/// ```text
/// g_k = f(z_k) - z_k        gamma = argmin |g_k - dG gamma|^2        z_{k+1} = z_k + beta g_k - (dZ + beta dG) gamma
/// ```
/// `dZ` and `dG` hold the last `memory` differences of iterates and steps, `beta` is the damping.
pub(super) struct Anderson {
    memory: usize,
    damping: f64,
    last: Option<(Tensor<1>, Tensor<1>)>,
    differences: VecDeque<(Tensor<1>, Tensor<1>)>,
}

impl Anderson {
    /// Without memory this is the damped iteration itself.
    pub(super) fn new(memory: usize, damping: f64) -> Self {
        Self { memory, damping, last: None, differences: VecDeque::new() }
    }

    pub(super) fn next(&mut self, z: Tensor<1>, step: Tensor<1>) -> Tensor<1> {
        if self.memory == 0 {
            return z + step * self.damping;
        }
        if let Some((last_z, last_step)) = self.last.replace((z.clone(), step.clone())) {
            self.differences.push_back((z.clone() - last_z, step.clone() - last_step));
            if self.differences.len() > self.memory {
                self.differences.pop_front();
            }
        }
        let damped = z + step.clone() * self.damping;
        self.weights(&step)
            .into_iter()
            .zip(&self.differences)
            .fold(damped, |next, (weight, (dz, dg))| next - (dz.clone() + dg.clone() * self.damping) * weight)
    }

    /// `gamma`, from the normal equations with a little weight decay against differences that are nearly parallel.
    fn weights(&self, step: &Tensor<1>) -> Vec<f64> {
        const DECAY: f64 = 1e-12;
        let size = self.differences.len();
        if size == 0 {
            return Vec::new();
        }
        let steps: Vec<&Tensor<1>> = self.differences.iter().map(|(_, dg)| dg).collect();
        let lengths: Vec<f64> = steps.iter().map(|dg| dot(dg, dg).sqrt().max(f64::MIN_POSITIVE)).collect();
        let mut gram = Mat::<f64>::identity(size, size) * (1.0 + DECAY);
        for row in 0..size {
            for column in 0..row {
                let cosine = dot(steps[row], steps[column]) / (lengths[row] * lengths[column]);
                gram[(row, column)] = cosine;
                gram[(column, row)] = cosine;
            }
        }
        let side = Mat::from_fn(size, 1, |row, _| dot(steps[row], step) / lengths[row]);
        let weights = gram.partial_piv_lu().solve(&side);
        (0..size).map(|row| weights[(row, 0)] / lengths[row]).collect()
    }
}
