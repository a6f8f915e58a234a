//! The factored output layer for spherical losses.

mod resync;
mod scores;
mod stabilise;
mod storage;
mod update;

use burn::config::Config;
use burn::tensor::Tensor;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use self::update::{Batch, Workspace};
use super::layer_error::require;
use super::matrix::{dot, identity};
use super::output_layer::{can_be_held, check_learning_rate, check_size, check_targets, read_hidden, surrogate};
use super::{LayerError, LayerScalar, MeanOverTargets, SparseTargetLoss, SphericalLoss, StepOut};

/// Rows of `V` that are worked on together.
const BLOCK_ROWS: usize = 1024;

/// Configuration of [`FactoredSphericalLayer`].
#[derive(Config, Debug, PartialEq)]
pub struct FactoredSphericalConfig {
    /// Width of the hidden vectors, at least 1.
    pub d_hidden: usize,
    /// Number of classes `D`, at least 2.
    pub n_classes: usize,
    /// Gives every class a bias, as the weight of a constant feature.
    #[config(default = true)]
    pub bias: bool,
    /// Standard deviation of the initial weights, positive: with `W = 0` the Z-loss has no gradient.
    #[config(default = 0.01)]
    pub init_std: f64,
    /// Steps between two stabilisations, at least 1. A stabilisation also happens whenever the steps since the last one
    /// could have made `U` badly conditioned.
    #[config(default = 100)]
    pub stabilize_every: usize,
    /// Steps between two exact recomputations of the bookkeeping from the weights; 0 for never.
    #[config(default = 1000)]
    pub resync_every: usize,
    /// L2 weight decay `lambda >= 0`: each step moves the weights by `-lr lambda W` besides the gradient of the loss.
    #[config(default = 0.0)]
    pub weight_decay: f64,
}

impl FactoredSphericalConfig {
    /// A layer with normally distributed weights in `f32`.
    ///
    /// # Errors
    /// [`LayerError::Setting`], with the name of the setting that is out of range.
    pub fn init(&self, seed: u64) -> Result<FactoredSphericalLayer, LayerError> {
        self.init_as::<f32>(seed)
    }

    /// A layer whose large matrix has another number type.
    ///
    /// # Errors
    /// As [`FactoredSphericalConfig::init`].
    pub fn init_as<E: LayerScalar>(&self, seed: u64) -> Result<FactoredSphericalLayer<E>, LayerError> {
        self.check::<E>()?;
        let width = self.width();
        let mut v = vec![E::default(); self.n_classes * width];
        v.par_chunks_mut(BLOCK_ROWS * width).enumerate().for_each(|(block, rows)| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(block as u64);
            for value in rows {
                let normal: f64 = StandardNormal.sample(&mut random);
                *value = E::from_f64(self.init_std * normal);
            }
        });
        match self.assemble(v) {
            Err(LayerError::ZeroWeights) => {
                let expected = "large enough for weights that differ from 0";
                Err(LayerError::Setting { name: "init_std", value: self.init_std, expected })
            }
            outcome => outcome,
        }
    }

    /// A layer with given weights, row by row: `n_classes` rows of `d_hidden` values, each followed by the class's bias
    /// if there are biases.
    ///
    /// # Errors
    /// [`LayerError::Setting`] for a setting out of range, or a number of weights that does not fit; [`LayerError::Weight`]
    /// for a weight that is not finite; [`LayerError::ZeroWeights`] where there is nothing but zeros.
    pub fn init_from_weights<E: LayerScalar>(&self, weights: Vec<E>) -> Result<FactoredSphericalLayer<E>, LayerError> {
        self.check::<E>()?;
        let valid = weights.len() == self.n_classes * self.width();
        require(valid, "number of weights", weights.len() as f64, "n_classes times the width of a row")?;
        self.assemble(weights)
    }

    /// Width of a row of `W`: the hidden width and the bias.
    fn width(&self) -> usize {
        self.d_hidden + usize::from(self.bias)
    }

    fn check<E>(&self) -> Result<(), LayerError> {
        let width = check_size::<E>(self.d_hidden, self.bias, self.n_classes)?;
        let fits = width.checked_mul(width).is_some_and(can_be_held::<f64>);
        require(
            fits,
            "d_hidden",
            self.d_hidden as f64,
            "so small that a square matrix of that width fits into memory",
        )?;
        let positive = self.init_std > 0.0 && self.init_std.is_finite();
        require(positive, "init_std", self.init_std, "positive and finite")?;
        require(self.stabilize_every >= 1, "stabilize_every", self.stabilize_every as f64, "at least 1")?;
        let decay = self.weight_decay >= 0.0 && self.weight_decay.is_finite();
        require(decay, "weight_decay", self.weight_decay, "not negative and finite")?;
        Ok(())
    }

    /// A layer around `W = V`, with the bookkeeping computed from it.
    fn assemble<E: LayerScalar>(&self, v: Vec<E>) -> Result<FactoredSphericalLayer<E>, LayerError> {
        let width = self.width();
        if let Some(index) = v.par_iter().position_first(|weight| !weight.widen().is_finite()) {
            let value = v[index].widen();
            return Err(LayerError::Weight { class: index / width, feature: index % width, value });
        }
        let mut layer = FactoredSphericalLayer {
            config: self.clone(),
            width,
            v,
            u: identity(width),
            u_inverse: identity(width),
            omega: vec![0.0; width],
            gram: vec![0.0; width * width],
            class_sum: vec![0.0; width],
            growth: 0.0,
            diagnostics: Diagnostics::default(),
            workspace: Workspace::default(),
        };
        layer.rebuild_bookkeeping();
        let differing: f64 = layer.gram.iter().step_by(width + 1).sum();
        let common = dot(&layer.class_sum, &layer.class_sum) / self.n_classes as f64;
        let squares = differing + common;
        require(squares.is_finite(), "sum of the squared weights", squares, "finite")?;
        if squares == 0.0 {
            return Err(LayerError::ZeroWeights);
        }
        if common > differing {
            layer.move_mean_to_omega();
        }
        Ok(layer)
    }
}

/// Linear output layer over `D` classes, trained on a spherical loss by exact SGD at a cost that does not depend on `D`.
///
/// The weights `W` (`D x d`, `d` with the bias feature) are kept as
///
/// ```text
/// W = V U + 1 omega        V: D x d    U: d x d    omega: 1 x d
/// ```
/// beside `U^-1`, `wbar = 1^T W` and `S = W^T W - wbar^T wbar / D`. The sum and the sum of squares of the logits `o = W h`
/// are then `s = wbar h` and `q = h^T S h + s^2 / D`, and their variance, which the Z-loss divides by, `h^T S h / D`
/// without cancellation. The dense part of the gradient changes only `U` and `omega`, the target's part only its row of
/// `V`. A step on `m` examples costs `O(m d^2 + m^2 d)`, and the memory is one copy of `V`.
///
/// Only plain SGD has this form: there is no momentum and no Adam for `W`. The network below may use any optimizer.
///
/// Source: arXiv 1412.7091; arXiv 1604.08859.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_loss::{FactoredSphericalConfig, ZLossConfig};
///
/// let loss = ZLossConfig::new().init()?;
/// let mut layer = FactoredSphericalConfig::new(3, 50_000).init(7)?;
/// let hidden = Tensor::<2>::from_floats([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]], &Device::flex());
/// let first = layer.step(hidden.clone(), &[17, 49_999], &loss, 0.1)?.loss_mean;
/// let second = layer.step(hidden, &[17, 49_999], &loss, 0.1)?.loss_mean;
/// assert!(second < first);
/// # Ok::<(), kiln_loss::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FactoredSphericalLayer<E: LayerScalar = f32> {
    config: FactoredSphericalConfig,
    width: usize,
    v: Vec<E>,
    u: Vec<f64>,
    u_inverse: Vec<f64>,
    omega: Vec<f64>,
    /// `S = W^T W - wbar^T wbar / D`, the Gram matrix of the rows of `W` less their mean.
    gram: Vec<f64>,
    /// `wbar = 1^T W`.
    class_sum: Vec<f64>,
    /// Bound on the logarithm of what the steps since the last stabilisation did to the singular values of `U`.
    growth: f64,
    diagnostics: Diagnostics,
    workspace: Workspace,
}

/// How a [`FactoredSphericalLayer`] has fared since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Diagnostics {
    /// Steps taken.
    pub steps: u64,
    /// Stabilisations.
    pub stabilisations: u64,
    /// Singular values of `U` that stabilisations set back to 1.
    pub singular_values_reset: u64,
    /// Times that `V U` was multiplied out, because too many singular values were out of range.
    pub unfactorisations: u64,
    /// Recomputations of the bookkeeping.
    pub resyncs: u64,
    /// How far the bookkeeping had drifted from the weights at the last recomputation, as
    /// [`FactoredSphericalLayer::resync`] measures it.
    pub last_drift: Option<f64>,
    /// Batches that were halved, because the whole one would have made the update singular.
    pub split_batches: u64,
    /// Examples whose logits were all equal, so that the loss had no gradient.
    pub degenerate_examples: u64,
    /// `cond(U)`: the ratio of its largest to its smallest singular value, at the time of the call.
    pub condition_number: f64,
}

impl<E: LayerScalar> FactoredSphericalLayer<E> {
    /// One exact SGD step on the mean loss of a batch.
    ///
    /// A batch whose update would come too close to a singular one is halved, and the halves are applied one after the
    /// other; [`Diagnostics::split_batches`] counts that.
    ///
    /// # Shapes
    /// - `hidden`: `[batch_size, d_hidden]`
    /// - `targets`: `batch_size` classes, in `0..n_classes`
    ///
    /// # Errors
    /// Any [`LayerError`] about the batch or the learning rate; [`LayerError::StepTooLong`], [`LayerError::Singular`] or
    /// [`LayerError::LossValue`] when the step cannot be taken. The layer is then as it was before, unless a
    /// stabilisation after the step finds that `U` has lost its rank: such a layer is of no more use.
    pub fn step(
        &mut self,
        hidden: Tensor<2>,
        targets: &[usize],
        loss: &dyn SphericalLoss,
        learning_rate: f64,
    ) -> Result<StepOut, LayerError> {
        self.step_sparse(hidden, targets, 1, &MeanOverTargets(loss), learning_rate)
    }

    /// One exact SGD step with `per_example` different target classes for each example.
    ///
    /// # Shapes
    /// - `hidden`: `[batch_size, d_hidden]`
    /// - `targets`: `batch_size * per_example` classes, those of the first example first
    ///
    /// # Errors
    /// As [`FactoredSphericalLayer::step`].
    pub fn step_sparse(
        &mut self,
        hidden: Tensor<2>,
        targets: &[usize],
        per_example: usize,
        loss: &dyn SparseTargetLoss,
        learning_rate: f64,
    ) -> Result<StepOut, LayerError> {
        let [examples, _] = hidden.dims();
        check_learning_rate(learning_rate)?;
        let keep = 1.0 - learning_rate * self.config.weight_decay;
        let product = learning_rate * self.config.weight_decay;
        require(keep > 0.0, "weight_decay * learning_rate", product, "below 1")?;
        check_targets(examples, targets, per_example, self.config.n_classes)?;
        let rows = read_hidden(&hidden, self.config.d_hidden, self.config.bias)?;

        let batch = Batch { hidden: &rows, targets, per_example, first_example: 0, share: 1.0 / examples as f64 };
        let mut gradient = vec![0.0; rows.len()];
        // keep W - lr g = keep (W - (lr / keep) g)
        let loss_mean = self.descend(&batch, loss, learning_rate / keep, &mut gradient)?;
        if keep < 1.0 {
            self.scale_weights(keep);
        }
        self.diagnostics.steps += 1;
        self.maintain()?;

        if self.config.bias {
            drop_last_column(&mut gradient, self.width);
        }
        Ok(StepOut { loss_mean, surrogate: surrogate(hidden, gradient) })
    }

    /// The settings.
    pub fn config(&self) -> &FactoredSphericalConfig {
        &self.config
    }

    /// Counters and the present condition of `U`.
    pub fn diagnostics(&self) -> Diagnostics {
        Diagnostics { condition_number: self.condition_number(), ..self.diagnostics }
    }

    /// Takes the mean of the rows out of `V` and gives it to `omega`, so that `V` is rounded relative to what the classes
    /// differ by. Right for `U = I`, `omega = 0` only.
    fn move_mean_to_omega(&mut self) {
        let classes = self.config.n_classes as f64;
        self.omega = self.class_sum.iter().map(|sum| sum / classes).collect();
        let (width, omega) = (self.width, &self.omega);
        self.v.par_chunks_mut(width).for_each(|row| {
            row.iter_mut().zip(omega).for_each(|(value, mean)| *value = E::from_f64(value.widen() - mean));
        });
        self.rebuild_bookkeeping();
    }

    /// `W <- factor W`, with a positive factor.
    fn scale_weights(&mut self, factor: f64) {
        let scale = |values: &mut [f64], by: f64| values.iter_mut().for_each(|value| *value *= by);
        scale(&mut self.u, factor);
        scale(&mut self.omega, factor);
        scale(&mut self.u_inverse, 1.0 / factor);
        scale(&mut self.gram, factor * factor);
        scale(&mut self.class_sum, factor);
        self.growth += factor.ln().abs();
    }

    /// Stabilises and recomputes the bookkeeping when it is time to.
    fn maintain(&mut self) -> Result<(), LayerError> {
        let steps = self.diagnostics.steps;
        if steps.is_multiple_of(self.config.stabilize_every as u64) || self.growth > E::LARGEST_CONDITION.ln() {
            self.stabilise()?;
        }
        if self.config.resync_every > 0 && steps.is_multiple_of(self.config.resync_every as u64) {
            self.resync();
        }
        Ok(())
    }
}

/// Removes the last of every `width` values.
fn drop_last_column(values: &mut Vec<f64>, width: usize) {
    let mut index = 0;
    values.retain(|_| {
        index += 1;
        index % width != 0
    });
}
