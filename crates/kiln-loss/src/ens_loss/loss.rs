//! The loss that is another one at every step.

use burn::config::Config;
use burn::tensor::{Int, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::derivatives::Shape;
use super::{DerivativeDist, DerivativeTail};
use crate::error::require;
use crate::margin::{MarginPhi, binary_margins, of_margins};
use crate::{ClassificationLoss, LossError, TrainingMoment};

pub(super) const NAME: &str = "ens-loss";

/// Configuration of [`EnsLoss`]. The defaults are those of the published benchmarks.
#[derive(Config, Debug)]
pub struct EnsLossConfig {
    /// Where the sizes of the derivatives come from.
    #[config(default = "DerivativeDist::default()")]
    pub dist: DerivativeDist,
    /// Draw another `lam` for the inverse Box-Cox transformation every so many epochs; never where absent. The other
    /// distributions have no `lam`.
    pub period: Option<usize>,
    /// Range from which `lam` is drawn; `(0, 1)` is the paper's for text.
    #[config(default = "(-1.0, 1.0)")]
    pub lam_range: (f64, f64),
    /// Largest size of a derivative, above 0.
    #[config(default = 1.0)]
    pub clip: f64,
    /// What becomes of the derivative beyond the margin 1.
    #[config(default = "DerivativeTail::Inverse")]
    pub tail: DerivativeTail,
    /// Added to every size, so that no derivative is zero; above 0.
    #[config(default = 1e-6)]
    pub floor: f64,
    /// Decides all draws; they do not depend on the device.
    #[config(default = 0)]
    pub seed: u64,
}

impl EnsLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for parameters of which the distribution does not exist, a period of 0 or for a distribution
    /// without `lam`, a range that is reversed or not finite, a clip or a floor that is not positive and finite.
    pub fn init(&self) -> Result<EnsLoss, LossError> {
        let positive =
            |name, value: f64| require(value > 0.0 && value.is_finite(), NAME, name, value, "a finite number above 0");
        let (low, high) = self.lam_range;
        require(low.is_finite(), NAME, "lam-low", low, "a finite number")?;
        require(high.is_finite(), NAME, "lam-high", high, "a finite number")?;
        require(low <= high, NAME, "lam-high", high, "at least lam-low, the other end of the range")?;
        if let Some(period) = self.period {
            let (value, has_lam) = (period as f64, matches!(self.dist, DerivativeDist::InvBoxCox { .. }));
            require(period > 0, NAME, "period", value, "at least 1")?;
            require(
                has_lam,
                NAME,
                "period",
                value,
                "absent: only the inverse Box-Cox transformation has a lam to draw",
            )?;
        }
        Ok(EnsLoss {
            dist: self.dist.check()?,
            period: self.period,
            lam_range: self.lam_range,
            shape: Shape { clip: positive("clip", self.clip)?, tail: self.tail, floor: positive("floor", self.floor)? },
            seed: self.seed,
            step: 0,
            epoch: 1,
        })
    }
}

/// A random convex, calibrated loss of the margin, drawn anew at every training step.
///
/// A step sees a loss `phi(z)` of the margin `z = y f` through `phi'` at the margins of its batch alone. These
/// derivatives are drawn:
///
/// ```text
/// sizes v_i drawn, cut at 1        smallest margin gets -largest size, and so on        g_i / z_i for z_i > 1
/// L = (1 / B) sum_i g_i z_i        dL/df_i = g_i y_i / B
/// ```
/// The value means nothing; as a [`ClassificationLoss`] it is therefore the logistic loss in evaluation, and the drawn one
/// in training. Probabilities need a calibration of their own afterwards. Batches should have 16 examples or more. Rows
/// that count for nothing, as those of an ignored class, take sizes all the same: what the others are left with is still
/// convex and calibrated.
///
/// For more than two classes every class is set against the rest, with draws of its own: our extension. Workers of a
/// data-parallel training draw the same sizes for their shares of a step.
///
/// Source: arXiv 2409.00908, algorithm 1.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::ens_loss::EnsLossConfig;
///
/// let device = Device::flex().autodiff();
/// let mut loss = EnsLossConfig::new().with_seed(7).init()?;
/// let scores = Tensor::<1>::from_floats([0.5, -2.0, 0.1], &device).require_grad();
/// let targets = Tensor::<1, Int>::from_ints([1, 0, 0], &device);
/// let gradients = loss.forward_scores(scores.clone(), targets)?.backward();
/// assert!(scores.grad(&gradients).is_some());
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EnsLoss {
    dist: DerivativeDist,
    period: Option<usize>,
    lam_range: (f64, f64),
    shape: Shape,
    seed: u64,
    /// Where the caller's own training stands.
    step: u64,
    epoch: usize,
}

impl EnsLoss {
    /// Mean of the drawn loss over one score an example, after a check of the batch on the host; the next call draws
    /// another loss.
    ///
    /// # Shapes
    /// - `scores`: `[batch_size]`, positive for class 1
    /// - `targets`: `[batch_size]`, 0 or 1
    /// - output: `[1]`
    ///
    /// # Errors
    /// [`LossError::Empty`], [`LossError::Length`], [`LossError::NotBinary`] or [`LossError::Score`].
    pub fn forward_scores(&mut self, scores: Tensor<1>, targets: Tensor<1, Int>) -> Result<Tensor<1>, LossError> {
        let margins = binary_margins(NAME, scores, targets)?;
        Ok(self.forward_margins(margins))
    }

    /// Mean of the drawn loss over margins; the next call draws another loss.
    ///
    /// # Shapes
    /// - `margins`: `[batch_size]`
    /// - output: `[1]`
    pub fn forward_margins(&mut self, margins: Tensor<1>) -> Tensor<1> {
        let derivatives = self.derivatives(margins.clone());
        (margins * derivatives).mean()
    }

    /// Derivatives of a fresh loss at the margins, outside the graph.
    ///
    /// # Shapes
    /// - `margins`, output: `[batch_size]`
    pub fn derivatives(&mut self, margins: Tensor<1>) -> Tensor<1> {
        let sizes = self.sizes(margins.dims()[0], self.step, self.epoch);
        self.step += 1;
        self.with_sizes(margins, 1, &sizes)
    }

    /// Derivatives at the margins from sizes that were drawn before.
    ///
    /// # Shapes
    /// - `margins`, output: `[batch_size]`
    ///
    /// # Errors
    /// [`LossError::Length`] where there is not one size a margin, [`LossError::Setting`] for one that is negative or NaN.
    pub fn derivatives_from_draws(&self, margins: Tensor<1>, raw: &[f32]) -> Result<Tensor<1>, LossError> {
        let [expected] = margins.dims();
        if raw.len() != expected {
            return Err(LossError::Length { loss: NAME, what: "draws", expected, actual: raw.len() });
        }
        if let Some(&wrong) = raw.iter().find(|size| size.is_nan() || **size < 0.0) {
            require(false, NAME, "raw", f64::from(wrong), "not negative")?;
        }
        let sizes: Vec<f64> = raw.iter().map(|&size| f64::from(size)).collect();
        Ok(self.with_sizes(margins, 1, &sizes))
    }

    /// Says which epoch begins, from 1: where there is a period, `lam` follows from it.
    pub fn on_epoch(&mut self, epoch: usize) {
        self.epoch = epoch.max(1);
    }

    /// Says which step of the training comes next, from 0: a loop of one's own that is resumed calls it, and
    /// [`on_epoch`](Self::on_epoch), and draws what it would have drawn without the interruption.
    pub fn on_step(&mut self, step: u64) {
        self.step = step;
    }

    /// The distribution of the sizes in an epoch, from 1.
    pub fn dist_in(&self, epoch: usize) -> DerivativeDist {
        let DerivativeDist::InvBoxCox { .. } = self.dist else { return self.dist };
        let Some(period) = self.period else { return self.dist };
        let change = (epoch.max(1) - 1) / period;
        if change == 0 {
            return self.dist;
        }
        // Steps count up from stream 0, changes down from the last one.
        let mut random = self.stream(u64::MAX - change as u64);
        let (low, high) = self.lam_range;
        DerivativeDist::InvBoxCox { lam: low + (high - low) * random.random::<f64>() }
    }

    /// The sizes that a step draws, before they are cut and ordered.
    pub fn sizes(&self, count: usize, step: u64, epoch: usize) -> Vec<f64> {
        self.dist_in(epoch).draw(count, &mut self.stream(step))
    }

    /// Derivatives at margins on the host, as the step of that number draws them in that epoch.
    pub fn derivatives_at(&self, margins: &[f64], step: u64, epoch: usize) -> Vec<f64> {
        self.shape.derivatives(margins, self.sizes(margins.len(), step, epoch))
    }

    fn stream(&self, number: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(number);
        random
    }

    /// Derivatives at the margins of `losses` losses side by side, from the sizes of one loss after the other.
    fn with_sizes<const D: usize>(&self, margins: Tensor<D>, losses: usize, sizes: &[f64]) -> Tensor<D> {
        let margins = margins.inner();
        let (shape, dtype, device) = (margins.dims(), margins.dtype(), margins.device());
        let margins: Vec<f64> = margins.into_data().iter::<f64>().collect();
        let mut derivatives = vec![0.0; margins.len()];
        for (loss, sizes) in sizes.chunks((sizes.len() / losses).max(1)).enumerate() {
            let own: Vec<f64> = margins.iter().skip(loss).step_by(losses).copied().collect();
            let places = derivatives.iter_mut().skip(loss).step_by(losses);
            places.zip(self.shape.derivatives(&own, sizes.to_vec())).for_each(|(place, drawn)| *place = drawn);
        }
        Tensor::from_data(TensorData::new(derivatives, shape).convert_dtype(dtype), (&device, dtype))
    }
}

impl ClassificationLoss for EnsLoss {
    fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        of_margins(logits, targets, |z| (MarginPhi::Logistic.value(z.clone()), MarginPhi::Logistic.slope(z)))
    }

    fn losses_in_training(&self, logits: Tensor<2>, targets: Tensor<1, Int>, moment: &TrainingMoment<'_>) -> Tensor<1> {
        of_margins(logits, targets, |margins| {
            let [rows, columns] = margins.dims();
            let sizes = self.sizes(rows * columns, moment.step, moment.epoch);
            let derivatives = self.with_sizes(margins.clone(), columns, &sizes);
            (margins * derivatives.clone(), derivatives)
        })
    }

    fn forward_in_training(
        &self,
        logits: Tensor<2>,
        targets: Tensor<1, Int>,
        moment: &TrainingMoment<'_>,
    ) -> Tensor<1> {
        self.losses_in_training(logits, targets, moment).mean()
    }

    fn measures_progress(&self) -> bool {
        false
    }
}
