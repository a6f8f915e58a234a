//! The two-level hierarchical softmax, a baseline.

use burn::config::Config;
use burn::tensor::{DType, Tensor, TensorData};
use kiln_kernels::matrix::{Threads, multiply, rows_of};
use rayon::prelude::*;

use super::layer_error::require;
use super::log_softmax_layer::normal_weights;
use super::output_layer::{check_learning_rate, check_losses, check_size, check_targets, read_hidden, surrogate};
use super::softmax_rows::exponentiate;
use super::{LayerError, StepOut};

/// Configuration of [`HierarchicalSoftmax2`].
#[derive(Config, Debug)]
pub struct HierarchicalSoftmax2Config {
    /// Width of the hidden vectors, at least 1.
    pub d_hidden: usize,
    /// Number of classes `D`, at least 2, numbered from the most to the least frequent.
    pub n_classes: usize,
    /// Gives every cluster and every class a bias, as the weight of a constant feature.
    #[config(default = true)]
    pub bias: bool,
    /// Standard deviation of the initial weights; 0 is fine here.
    #[config(default = 0.01)]
    pub init_std: f64,
}

impl HierarchicalSoftmax2Config {
    /// A layer with normally distributed weights.
    ///
    /// # Errors
    /// [`LayerError::Setting`], with the name of the setting that is out of range.
    pub fn init(&self, seed: u64) -> Result<HierarchicalSoftmax2, LayerError> {
        let width = check_size::<f32>(self.d_hidden, self.bias, self.n_classes)?;
        let valid = self.init_std >= 0.0 && self.init_std.is_finite();
        require(valid, "init_std", self.init_std, "not negative and finite")?;
        let cluster_size = (self.n_classes as f64).sqrt().ceil() as usize;
        let clusters = self.n_classes.div_ceil(cluster_size);
        Ok(HierarchicalSoftmax2 {
            config: self.clone(),
            width,
            cluster_size,
            clusters: normal_weights(clusters * width, self.init_std, seed),
            classes: normal_weights(self.n_classes * width, self.init_std, seed.wrapping_add(1)),
        })
    }
}

/// Softmax over clusters, then softmax over the classes of the target's cluster.
///
/// ```text
/// p(k | h) = softmax(C h)_{g(k)}  softmax(W_{g(k)} h)_k        g(k) = floor(k / ceil(sqrt D))
/// ```
/// Consecutive classes share a cluster of `ceil(sqrt D)`; numbered by frequency, as the paper's authors do. A step on `m`
/// examples costs `O(m d sqrt D)`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_loss::HierarchicalSoftmax2Config;
///
/// let mut layer = HierarchicalSoftmax2Config::new(2, 9).with_init_std(0.0).init(7)?;
/// let hidden = Tensor::<2>::from_floats([[0.5, -1.0]], &Device::flex());
/// let loss = layer.step(hidden, &[5], 0.1)?.loss_mean;
/// assert!((loss - 9.0_f64.ln()).abs() < 1e-6);
/// # Ok::<(), kiln_loss::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct HierarchicalSoftmax2 {
    config: HierarchicalSoftmax2Config,
    width: usize,
    cluster_size: usize,
    /// `C`, one row for each cluster.
    clusters: Vec<f32>,
    /// `W`, one row for each class.
    classes: Vec<f32>,
}

impl HierarchicalSoftmax2 {
    /// One exact SGD step on the mean negative log-likelihood of a batch.
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
        let (width, size) = (self.width, self.cluster_size);
        let share = 1.0 / examples as f32;

        let own_cluster: Vec<usize> = targets.iter().map(|target| target / size).collect();
        let mut members = vec![Vec::new(); self.clusters.len() / width];
        own_cluster.iter().enumerate().for_each(|(example, &cluster)| members[cluster].push(example));
        let of_clusters = SoftmaxErrors::new(&self.clusters, &rows, &own_cluster, width, share);
        let of_classes: Vec<Option<SoftmaxErrors>> = self
            .classes
            .par_chunks(size * width)
            .zip(&members)
            .map(|(weights, members)| {
                let local: Vec<usize> = members.iter().map(|&example| targets[example] % size).collect();
                let errors = || SoftmaxErrors::new(weights, &rows_at(&rows, members, width), &local, width, share);
                (!members.is_empty()).then(errors)
            })
            .collect();
        let mut losses = of_clusters.losses.clone();
        for (members, part) in members.iter().zip(&of_classes) {
            let part = part.iter().flat_map(|part| &part.losses);
            members.iter().zip(part).for_each(|(&example, loss)| losses[example] += loss);
        }
        let loss_mean = check_losses(losses.into_iter())? / examples as f64;

        let mut gradient = of_clusters.descend(&mut self.clusters, &rows, width, learning_rate);
        let parts: Vec<(&Vec<usize>, Vec<f32>)> = self
            .classes
            .par_chunks_mut(size * width)
            .zip(&members)
            .zip(&of_classes)
            .filter_map(|((weights, members), errors)| {
                let vectors = rows_at(&rows, members, width);
                errors.as_ref().map(|errors| (members, errors.descend(weights, &vectors, width, learning_rate)))
            })
            .collect();
        for (members, part) in parts {
            for (&example, part) in members.iter().zip(part.chunks_exact(width)) {
                let out = &mut gradient[example * width..(example + 1) * width];
                out.iter_mut().zip(part).for_each(|(out, part)| *out += part);
            }
        }
        let kept = gradient.chunks_exact(width).flat_map(|row| &row[..self.config.d_hidden]);
        let gradient = kept.map(|value| f64::from(*value)).collect();
        Ok(StepOut { loss_mean, surrogate: surrogate(hidden, gradient) })
    }

    /// Log-probabilities of all classes.
    ///
    /// # Shapes
    /// - `hidden`: `[batch_size, d_hidden]`
    /// - output: `[batch_size, n_classes]`, without gradients
    ///
    /// # Errors
    /// [`LayerError::HiddenWidth`] or [`LayerError::Hidden`] for hidden vectors that do not fit.
    pub fn scores(&self, hidden: Tensor<2>) -> Result<Tensor<2>, LayerError> {
        let [examples, _] = hidden.dims();
        let (classes, width) = (self.config.n_classes, self.width);
        let rows = self.read(&hidden)?;
        let of_clusters = logits_of(&self.clusters, &rows, width, Threads::Pool);
        let mut scores = logits_of(&self.classes, &rows, width, Threads::Pool);
        let clusters = self.clusters.len() / width;
        scores.par_chunks_mut(classes).zip(of_clusters.par_chunks(clusters)).for_each(|(scores, of_clusters)| {
            let total = log_normaliser(of_clusters);
            for (scores, cluster) in scores.chunks_mut(self.cluster_size).zip(of_clusters) {
                let shift = cluster - total - log_normaliser(scores);
                scores.iter_mut().for_each(|score| *score += shift);
            }
        });
        let device = hidden.device().inner();
        Ok(Tensor::from_data(TensorData::new(scores, [examples, classes]), (&device, DType::F32)))
    }

    fn read(&self, hidden: &Tensor<2>) -> Result<Vec<f32>, LayerError> {
        let rows = read_hidden(hidden, self.config.d_hidden, self.config.bias)?;
        Ok(rows.into_iter().map(|value| value as f32).collect())
    }
}

/// Losses of a small softmax layer and `(P - Y) / m`, its gradient by the logits.
struct SoftmaxErrors {
    /// One loss for each of the rows.
    losses: Vec<f64>,
    /// `rows x classes`.
    errors: Vec<f32>,
}

impl SoftmaxErrors {
    fn new(weights: &[f32], rows: &[f32], targets: &[usize], width: usize, share: f32) -> Self {
        let mut errors = logits_of(weights, rows, width, Threads::Caller);
        let losses = errors
            .chunks_exact_mut(weights.len() / width)
            .zip(targets)
            .map(|(row, &target)| {
                let logit = row[target];
                let sum = exponentiate(row);
                let scale = share / sum.sum;
                row.iter_mut().for_each(|value| *value *= scale);
                row[target] -= share;
                f64::from(sum.log_normaliser() - logit)
            })
            .collect();
        Self { losses, errors }
    }

    /// One SGD step of the weights; returns the gradient by the rows, with the weights as they were.
    fn descend(&self, weights: &mut [f32], rows: &[f32], width: usize, learning_rate: f64) -> Vec<f32> {
        let (classes, examples) = (weights.len() / width, self.losses.len());
        let errors = rows_of(&self.errors, examples, classes);
        let mut gradient = vec![0.0; rows.len()];
        multiply(&mut gradient, 0.0, 1.0, errors, rows_of(weights, classes, width), Threads::Caller);
        multiply(weights, 1.0, -learning_rate, errors.t(), rows_of(rows, examples, width), Threads::Caller);
        gradient
    }
}

/// Some of the rows, one behind the other.
fn rows_at(rows: &[f32], which: &[usize], width: usize) -> Vec<f32> {
    which.iter().flat_map(|&row| &rows[row * width..(row + 1) * width]).copied().collect()
}

fn logits_of(weights: &[f32], rows: &[f32], width: usize, threads: Threads) -> Vec<f32> {
    let (classes, examples) = (weights.len() / width, rows.len() / width);
    let mut logits = vec![0.0; examples * classes];
    let weights = rows_of(weights, classes, width);
    multiply(&mut logits, 0.0, 1.0, rows_of(rows, examples, width), weights.t(), threads);
    logits
}

fn log_normaliser(scores: &[f32]) -> f32 {
    exponentiate(&mut scores.to_vec()).log_normaliser()
}
