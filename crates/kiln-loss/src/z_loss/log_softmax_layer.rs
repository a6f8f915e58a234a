//! The dense baseline: a linear layer with log-softmax, trained by SGD.

use burn::config::Config;
use burn::tensor::{DType, Tensor, TensorData};
use kiln_kernels::matrix::{Threads, multiply, rows_of};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::layer_error::require;
use super::output_layer::{check_learning_rate, check_losses, check_size, check_targets, read_hidden, surrogate};
use super::softmax_rows::{RowSum, exponentiate};
use super::{LayerError, StepOut};

/// Classes worked on together: their weights and logits stay in the cache of one core.
const BLOCK: usize = 512;
/// Groups of blocks that are summed separately, whatever the number of threads, so that sums are reproducible.
const GROUPS: usize = 16;

/// Configuration of [`LogSoftmaxLayer`].
#[derive(Config, Debug)]
pub struct LogSoftmaxLayerConfig {
    /// Width of the hidden vectors, at least 1.
    pub d_hidden: usize,
    /// Number of classes `D`, at least 2.
    pub n_classes: usize,
    /// Gives every class a bias, as the weight of a constant feature.
    #[config(default = true)]
    pub bias: bool,
    /// Standard deviation of the initial weights; 0 is fine here.
    #[config(default = 0.01)]
    pub init_std: f64,
}

impl LogSoftmaxLayerConfig {
    /// A layer with normally distributed weights.
    ///
    /// # Errors
    /// [`LayerError::Setting`], with the name of the setting that is out of range.
    pub fn init(&self, seed: u64) -> Result<LogSoftmaxLayer, LayerError> {
        let width = check_size::<f32>(self.d_hidden, self.bias, self.n_classes)?;
        let valid = self.init_std >= 0.0 && self.init_std.is_finite();
        require(valid, "init_std", self.init_std, "not negative and finite")?;
        let weights = normal_weights(self.n_classes * width, self.init_std, seed);
        Ok(LogSoftmaxLayer { config: self.clone(), width, weights, logits: Vec::new() })
    }
}

/// Linear layer over `D` classes with the negative log-likelihood of softmax, and its exact SGD step.
///
/// ```text
/// P = softmax(H W^T)        dL/dH = (P - Y) W / m        W <- W - lr (P - Y)^T H / m
/// ```
/// The cost is three products of `m x d x D`. It goes over the weights twice: once for the logits, once for gradient and
/// update together, block by block while a block is in the cache.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_loss::LogSoftmaxLayerConfig;
///
/// let mut layer = LogSoftmaxLayerConfig::new(2, 4).with_init_std(0.0).init(7)?;
/// let hidden = Tensor::<2>::from_floats([[0.5, -1.0]], &Device::flex());
/// let loss = layer.step(hidden, &[3], 0.1)?.loss_mean;
/// assert!((loss - 4.0_f64.ln()).abs() < 1e-6);
/// # Ok::<(), kiln_loss::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct LogSoftmaxLayer {
    config: LogSoftmaxLayerConfig,
    width: usize,
    /// `W`, row by row, with the bias behind each row.
    weights: Vec<f32>,
    /// Logits of the last batch, kept for their memory: block after block, each `m x block`.
    logits: Vec<f32>,
}

impl LogSoftmaxLayer {
    /// One exact SGD step on the mean loss of a batch.
    ///
    /// # Shapes
    /// - `hidden`: `[batch_size, d_hidden]`
    /// - `targets`: `batch_size` classes, in `0..n_classes`
    ///
    /// # Errors
    /// Any [`LayerError`] about the batch or the learning rate, or [`LayerError::LossValue`] when the weights have
    /// diverged; before anything has changed.
    pub fn step(&mut self, hidden: Tensor<2>, targets: &[usize], learning_rate: f64) -> Result<StepOut, LayerError> {
        let [examples, _] = hidden.dims();
        check_learning_rate(learning_rate)?;
        check_targets(examples, targets, 1, self.config.n_classes)?;
        let rows = self.read(&hidden)?;
        let target_logits = self.target_logits(&rows, targets);
        let sums = self.exponentials(&rows, examples);

        let mut normalisers = sums[0].clone();
        for block in &sums[1..] {
            normalisers.iter_mut().zip(block).for_each(|(total, part)| *total = total.join(*part));
        }
        let losses = normalisers.iter().zip(&target_logits).map(|(sum, logit)| f64::from(sum.log_normaliser() - logit));
        let loss_mean = check_losses(losses)? / examples as f64;

        let gradient = self.descend(&rows, targets, &sums, &normalisers, learning_rate);
        let kept = gradient.chunks_exact(self.width).flat_map(|row| &row[..self.config.d_hidden]);
        let gradient = kept.map(|value| f64::from(*value)).collect();
        Ok(StepOut { loss_mean, surrogate: surrogate(hidden, gradient) })
    }

    /// Logits of all classes.
    ///
    /// # Shapes
    /// - `hidden`: `[batch_size, d_hidden]`
    /// - output: `[batch_size, n_classes]`, without gradients
    ///
    /// # Errors
    /// [`LayerError::HiddenWidth`] or [`LayerError::Hidden`] for hidden vectors that do not fit.
    pub fn scores(&self, hidden: Tensor<2>) -> Result<Tensor<2>, LayerError> {
        let [examples, _] = hidden.dims();
        let classes = self.config.n_classes;
        let rows = self.read(&hidden)?;
        let mut logits = vec![0.0; examples * classes];
        let left = rows_of(&rows, examples, self.width);
        let right = rows_of(&self.weights, classes, self.width);
        multiply(&mut logits, 0.0, 1.0, left, right.t(), Threads::Pool);
        let device = hidden.device().inner();
        Ok(Tensor::from_data(TensorData::new(logits, [examples, classes]), (&device, DType::F32)))
    }

    /// The weights, row by row: `n_classes` rows of `d_hidden` values, each followed by the bias if there is one.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn read(&self, hidden: &Tensor<2>) -> Result<Vec<f32>, LayerError> {
        let rows = read_hidden(hidden, self.config.d_hidden, self.config.bias)?;
        Ok(rows.into_iter().map(|value| value as f32).collect())
    }

    fn target_logits(&self, rows: &[f32], targets: &[usize]) -> Vec<f32> {
        let weights = |class: usize| &self.weights[class * self.width..(class + 1) * self.width];
        let dot = |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(left, right)| left * right).sum();
        rows.chunks_exact(self.width).zip(targets).map(|(row, &target)| dot(row, weights(target))).collect()
    }

    /// Classes in a group: a multiple of the block.
    fn group_classes(&self) -> usize {
        self.config.n_classes.div_ceil(BLOCK).div_ceil(GROUPS) * BLOCK
    }

    /// Leaves `exp(o - max)` in `logits`, with the maximum of each block and example, and returns the row sums of all
    /// blocks.
    fn exponentials(&mut self, rows: &[f32], examples: usize) -> Vec<Vec<RowSum>> {
        let width = self.width;
        let hidden = rows_of(rows, examples, width);
        self.logits.resize(examples * self.config.n_classes, 0.0);
        self.logits
            .par_chunks_mut(examples * BLOCK)
            .zip(self.weights.par_chunks(BLOCK * width))
            .map(|(logits, weights)| {
                let classes = weights.len() / width;
                multiply(logits, 0.0, 1.0, hidden, rows_of(weights, classes, width).t(), Threads::Caller);
                logits.chunks_exact_mut(classes).map(exponentiate).collect()
            })
            .collect()
    }

    /// Turns the exponentials into `(P - Y) / m`, updates the weights and returns the gradient by the hidden vectors.
    fn descend(
        &mut self,
        rows: &[f32],
        targets: &[usize],
        sums: &[Vec<RowSum>],
        normalisers: &[RowSum],
        learning_rate: f64,
    ) -> Vec<f32> {
        let (width, examples) = (self.width, targets.len());
        let share = 1.0 / examples as f32;
        let group = self.group_classes();
        let hidden = rows_of(rows, examples, width);
        let gradients: Vec<Vec<f32>> = self
            .logits
            .par_chunks_mut(examples * group)
            .zip(self.weights.par_chunks_mut(group * width))
            .enumerate()
            .map(|(index, (logits, weights))| {
                let mut gradient = vec![0.0; rows.len()];
                let blocks = logits.chunks_mut(examples * BLOCK).zip(weights.chunks_mut(BLOCK * width));
                for (block, (logits, weights)) in blocks.enumerate() {
                    let classes = weights.len() / width;
                    let first = index * group + block * BLOCK;
                    for (example, row) in logits.chunks_exact_mut(classes).enumerate() {
                        let total = normalisers[example];
                        let scale = share * (sums[first / BLOCK][example].max - total.max).exp() / total.sum;
                        row.iter_mut().for_each(|value| *value *= scale);
                        if let Some(value) = targets[example].checked_sub(first).and_then(|at| row.get_mut(at)) {
                            *value -= share;
                        }
                    }
                    let errors = rows_of(logits, examples, classes);
                    let old = rows_of(weights, classes, width);
                    multiply(&mut gradient, 1.0, 1.0, errors, old, Threads::Caller);
                    multiply(weights, 1.0, -learning_rate, errors.t(), hidden, Threads::Caller);
                }
                gradient
            })
            .collect();
        let mut total = vec![0.0; rows.len()];
        for gradient in &gradients {
            total.iter_mut().zip(gradient).for_each(|(total, part)| *total += part);
        }
        total
    }
}

/// Normally distributed weights, the same for the same seed.
pub(super) fn normal_weights(count: usize, std: f64, seed: u64) -> Vec<f32> {
    const CHUNK: usize = 1 << 16;
    let mut weights = vec![0.0; count];
    weights.par_chunks_mut(CHUNK).enumerate().for_each(|(index, chunk)| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(index as u64);
        for weight in chunk {
            let normal: f64 = StandardNormal.sample(&mut random);
            *weight = (std * normal) as f32;
        }
    });
    weights
}
