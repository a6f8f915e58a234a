//! Losses of single precision on the processor, row by row.
//!
//! A loss on logits is a short function of each row. As Burn's operations it passes over the whole batch a dozen times; here
//! a row is read, turned into its gradient where it stands, and not touched again. Other precisions and other devices
//! are left to the operations. The results do not depend on the number of threads, because no row depends on another.

mod each;
mod lines;
mod softmax;
mod sums;
#[cfg(test)]
mod tests;
mod tile;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use kiln_autodiff::custom_gradient;
use kiln_kernels::share;

pub(crate) use each::each;
pub(crate) use kiln_kernels::elementary::{double_exp_of_negative, exp_of_negative, log_of_positive};
pub(crate) use kiln_kernels::vector::{
    FusedKernel, Kernel, LANES, MultiplyAdd, filled_up, largest, sum_of, vectorised,
};
pub(crate) use lines::{Line, Look};
pub(crate) use softmax::{Softmax, SoftmaxRow, ThroughSoftmax, entropy, softmax};
pub(crate) use sums::{sums, weighted_sum};
pub(crate) use tile::{ROWS, Tile};

/// Scores that are not worth a second thread.
const SCORES_A_TASK: usize = 4096;

/// The logits of a batch on the host, row by row to be overwritten by the gradient.
pub(crate) struct HostRows {
    /// Of single precision.
    scores: TensorData,
    targets: Vec<usize>,
    classes: usize,
}

impl HostRows {
    /// A copy of logits of single precision on the processor; nothing for others.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`: `[batch_size]`
    pub(crate) fn of(logits: &Tensor<2>, targets: &Tensor<1, Int>) -> Option<Self> {
        let [rows, classes] = logits.dims();
        if logits.dtype() != DType::F32 || logits.device() != Device::flex() || rows * classes == 0 {
            return None;
        }
        let targets: Vec<usize> =
            targets.clone().inner().into_data().iter::<i64>().map(|class| class as usize).collect();
        let scores = logits.clone().inner().into_data();
        (targets.len() == rows).then_some(Self { scores, targets, classes })
    }

    /// Lets `work` turn each row of scores into its gradient, and gathers what it answers. It is given scratch space of its
    /// thread, the place of the row, the scores and the target.
    pub(crate) fn map<S, T: Send>(
        &mut self,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize, &mut [f32], usize) -> T + Sync,
    ) -> Vec<T> {
        let classes = self.classes;
        self.in_tasks(|first, scores, targets| {
            let mut scratch = scratch();
            let rows = scores.chunks_mut(classes).zip(targets).enumerate();
            rows.map(|(row, (scores, &target))| work(&mut scratch, first + row, scores, target)).collect()
        })
    }

    /// Turns each row of scores into its gradient on the `line` of what is seen of it; gives the losses.
    pub(crate) fn onto_lines<L: Look>(&mut self, look: L, line: impl Fn(&L::Seen) -> Line + Sync) -> Vec<f32> {
        self.in_tasks(|_, scores, targets| lines::onto_lines(scores, targets, &look, &line))
    }

    /// Gathers what `work` answers to some rows at a time, of which it is given the place of the first, the scores and the
    /// targets.
    fn in_tasks<T: Send>(&mut self, work: impl Fn(usize, &mut [f32], &[usize]) -> Vec<T> + Sync) -> Vec<T> {
        let Self { scores, targets, classes } = self;
        let scores = scores.as_mut_slice::<f32>().expect("scores of single precision");
        let rows_a_task = (SCORES_A_TASK / *classes).max(1);
        // Some tasks a thread, so that none waits long for the others; whole tiles.
        let rows_a_task = rows_a_task.max(targets.len().div_ceil(4 * rayon::current_num_threads()));
        let rows_a_task = rows_a_task.next_multiple_of(ROWS);
        let mut answers: Vec<Vec<T>> = (0..targets.len().div_ceil(rows_a_task)).map(|_| Vec::new()).collect();
        let scores = scores.chunks_mut(rows_a_task * *classes);
        let tasks = scores.zip(targets.chunks(rows_a_task)).zip(&mut answers).enumerate();
        share(tasks.collect(), |(task, ((scores, targets), answers))| {
            *answers = work(task * rows_a_task, scores, targets);
        });
        answers.into_iter().flatten().collect()
    }

    /// The losses as a function of the logits that the rows were copied from, with what the rows have become for a gradient.
    pub(crate) fn into_losses(self, logits: Tensor<2>, losses: Vec<f32>) -> Tensor<1> {
        let (device, rows) = (logits.device().inner(), losses.len());
        let losses = Tensor::from_data(TensorData::new(losses, [rows]), (&device, DType::F32));
        custom_gradient(
            (logits,),
            |_| (losses, self),
            |slopes, upstream, _wanted| (Some(slopes.times(upstream.into_data().iter::<f32>().collect())),),
        )
    }

    /// The rows, each times its factor.
    fn times(mut self, factors: Vec<f32>) -> Tensor<2> {
        let scaled = |(): &mut (), place: usize, row: &mut [f32], _| {
            // Out of the loop: looked up for every number, it would not be compiled for vectors.
            let factor = factors[place];
            each(row, |slope| slope * factor);
        };
        self.map(|| (), scaled);
        Tensor::from_data(self.scores, (&Device::flex(), DType::F32))
    }
}
