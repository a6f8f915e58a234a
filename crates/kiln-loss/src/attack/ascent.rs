//! The ascent itself: start, step, project.

use burn::config::Config;
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::LossError;
use crate::error::require;

/// The norm whose ball an attack may not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AttackNorm {
    /// Largest change of any input value.
    #[default]
    LInf,
    /// Euclidean length of the change of the whole example.
    L2,
}

/// Configuration of [`Perturbation`]: how far and by which steps an attack may move.
#[derive(Config, Debug, PartialEq)]
pub struct PerturbationConfig {
    /// Radius of the ball, in the units of the input, not negative.
    #[config(default = 0.03137254901960784)]
    pub gamma: f64,
    /// Norm of the ball.
    #[config(default = "AttackNorm::LInf")]
    pub norm: AttackNorm,
    /// Steps of the ascent.
    #[config(default = 10)]
    pub steps: usize,
    /// Length of a step; `None` is `gamma / 4`.
    pub step_size: Option<f64>,
    /// Start at a random point of the ball instead of at the input. The losses that compare the scores at both points
    /// need it: their gradient is zero at the input.
    #[config(default = true)]
    pub random_start: bool,
    /// Smallest and largest legal input value.
    pub clip: Option<(f64, f64)>,
}

impl PerturbationConfig {
    /// Checks the settings; `loss` is the name that an error carries.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a negative radius or step, no steps with a positive radius, or an empty clip range.
    pub fn init(&self, loss: &'static str) -> Result<Perturbation, LossError> {
        let gamma = self.gamma;
        require(gamma >= 0.0 && gamma.is_finite(), loss, "gamma", gamma, "finite and not negative")?;
        require(self.steps > 0 || gamma == 0.0, loss, "steps", self.steps as f64, "at least 1 where gamma > 0")?;
        let step_size = self.step_size.unwrap_or(gamma / 4.0);
        let valid = step_size.is_finite() && (step_size > 0.0 || gamma == 0.0);
        require(valid, loss, "step_size", step_size, "finite and larger than 0")?;
        if let Some((low, high)) = self.clip {
            require(low < high, loss, "clip", low, "a lower end below the upper one")?;
        }
        Ok(Perturbation {
            gamma,
            norm: self.norm,
            steps: self.steps,
            step_size,
            random_start: self.random_start,
            clip: self.clip,
        })
    }
}

/// A checked [`PerturbationConfig`].
#[derive(Debug, Clone, PartialEq)]
pub struct Perturbation {
    gamma: f64,
    norm: AttackNorm,
    steps: usize,
    step_size: f64,
    random_start: bool,
    clip: Option<(f64, f64)>,
}

impl Perturbation {
    /// Radius of the ball.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// Steps of the ascent.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// That an ascent on a comparison of the scores at the input and at the point can leave the input; `weight` is the
    /// setting that weights the comparison, with its value.
    pub(crate) fn require_moving_start(
        self,
        loss: &'static str,
        weight: (&'static str, f64),
    ) -> Result<Self, LossError> {
        let moves = self.random_start || self.gamma == 0.0 || weight.1 == 0.0;
        if moves { Ok(self) } else { Err(LossError::StartWithoutGradient { loss, weight: weight.0 }) }
    }
}

/// Which point of the search an ascent returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    /// Where one ascent ends.
    Last,
    /// The best point that any of so many ascents has visited, example by example.
    Best {
        /// Ascents, each from its own random start.
        restarts: usize,
    },
}

/// Projected gradient ascent on an objective of the logits.
pub(crate) struct Ascent<'a, M, O> {
    pub(crate) perturbation: &'a Perturbation,
    /// `[batch_size, ...]` to logits `[batch_size, num_classes]`; its parameters should not require gradients.
    pub(crate) model: &'a M,
    /// Logits `[batch_size, num_classes]` to what is to grow, `[batch_size]`.
    pub(crate) objective: O,
    pub(crate) search: Search,
}

impl<M, O> Ascent<'_, M, O> {
    /// Points inside the ball around `inputs`, outside the graph.
    ///
    /// # Shapes
    /// - `inputs`: `[batch_size, ...]`
    /// - output: the same
    pub(crate) fn run<const D: usize>(&self, inputs: Tensor<D>, seed: u64) -> Tensor<D>
    where
        M: Fn(Tensor<D>) -> Tensor<2>,
        O: Fn(Tensor<2>) -> Tensor<1>,
    {
        let origin = inputs.inner();
        if self.perturbation.gamma == 0.0 {
            return origin;
        }
        let mut noise = ChaCha8Rng::seed_from_u64(seed);
        let restarts = match self.search {
            Search::Last => 1,
            Search::Best { restarts } => restarts,
        };
        let mut best: Option<(Tensor<D>, Tensor<1>)> = None;
        let mut last = origin.clone();
        for _ in 0..restarts {
            let mut point = self.start(&origin, &mut noise);
            for _ in 0..self.perturbation.steps {
                let (values, gradient) = self.ascend_from(point.clone());
                self.keep_better(&mut best, &point, values);
                point = self.project(point + self.perturbation.direction(gradient), &origin);
            }
            if self.search != Search::Last {
                let values = (self.objective)((self.model)(point.clone()).inner()).inner();
                self.keep_better(&mut best, &point, values);
            }
            last = point;
        }
        match best {
            Some((point, _)) => point,
            None => last,
        }
    }

    fn start<const D: usize>(&self, origin: &Tensor<D>, noise: &mut ChaCha8Rng) -> Tensor<D> {
        if !self.perturbation.random_start {
            return origin.clone();
        }
        let shift = self.perturbation.random_shift(origin, noise);
        self.project(origin.clone() + shift, origin)
    }

    fn ascend_from<const D: usize>(&self, point: Tensor<D>) -> (Tensor<1>, Tensor<D>)
    where
        M: Fn(Tensor<D>) -> Tensor<2>,
        O: Fn(Tensor<2>) -> Tensor<1>,
    {
        let point = point.autodiff().require_grad();
        let values = (self.objective)((self.model)(point.clone()));
        let mut gradients = values.clone().sum().backward();
        let gradient = point.grad_remove(&mut gradients).unwrap_or_else(|| point.inner().zeros_like());
        (values.inner(), gradient)
    }

    fn keep_better<const D: usize>(
        &self,
        best: &mut Option<(Tensor<D>, Tensor<1>)>,
        point: &Tensor<D>,
        values: Tensor<1>,
    ) {
        if self.search == Search::Last {
            return;
        }
        *best = Some(match best.take() {
            None => (point.clone(), values),
            Some((kept, reached)) => {
                let better = values.clone().greater(reached.clone());
                let mut by_example = [1; D];
                by_example[0] = point.dims()[0];
                let everywhere = better.clone().reshape(by_example).expand(point.dims());
                (kept.mask_where(everywhere, point.clone()), reached.mask_where(better, values))
            }
        });
    }

    /// The nearest point of the ball (in each coordinate, or along the radius) and of the clip range.
    fn project<const D: usize>(&self, point: Tensor<D>, origin: &Tensor<D>) -> Tensor<D> {
        let Perturbation { gamma, norm, clip, .. } = *self.perturbation;
        let shift = point - origin.clone();
        let shift = match norm {
            AttackNorm::LInf => shift.clamp(-gamma, gamma),
            AttackNorm::L2 => {
                let excess = (example_norm(&shift) / gamma).clamp_min(1.0);
                shift / excess
            }
        };
        let point = origin.clone() + shift;
        match clip {
            Some((low, high)) => point.clamp(low, high),
            None => point,
        }
    }
}

impl Perturbation {
    /// A step of the configured length up the gradient.
    fn direction<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D> {
        match self.norm {
            AttackNorm::LInf => gradient.sign() * self.step_size,
            AttackNorm::L2 => {
                let length = example_norm(&gradient).clamp_min(1e-20);
                gradient / length * self.step_size
            }
        }
    }

    /// A uniform point of the ball around zero. The noise is the host's own, so that a seed means the same on every
    /// device and does not disturb the device's generator.
    fn random_shift<const D: usize>(&self, origin: &Tensor<D>, noise: &mut ChaCha8Rng) -> Tensor<D> {
        let shape = origin.dims();
        let size: usize = shape.iter().product();
        let values: Vec<f64> = match self.norm {
            AttackNorm::LInf => (0..size).map(|_| noise.random_range(-self.gamma..=self.gamma)).collect(),
            AttackNorm::L2 => {
                let width = size / shape[0].max(1);
                (0..shape[0]).flat_map(|_| uniform_in_ball(width, self.gamma, noise)).collect()
            }
        };
        let dtype = origin.dtype();
        Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (&origin.device(), dtype))
    }
}

fn uniform_in_ball(width: usize, radius: f64, noise: &mut ChaCha8Rng) -> Vec<f64> {
    let direction: Vec<f64> = (0..width).map(|_| StandardNormal.sample(noise)).collect();
    let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    let distance = radius * noise.random_range(0.0..1.0_f64).powf(1.0 / width.max(1) as f64);
    direction.into_iter().map(|value| value / length * distance).collect()
}

/// Euclidean length of each example, `[batch_size, 1, ...]`.
fn example_norm<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    let rows = tensor.dims()[0];
    let mut by_example = [1; D];
    by_example[0] = rows;
    let flat = tensor.clone().reshape([rows as i64, -1]);
    (flat.clone() * flat).sum_dim(1).sqrt().reshape(by_example)
}

#[cfg(test)]
impl From<AttackNorm> for kiln_check::attack_suite::Norm {
    fn from(norm: AttackNorm) -> Self {
        match norm {
            AttackNorm::LInf => Self::LInf,
            AttackNorm::L2 => Self::L2,
        }
    }
}
