//! Projected gradient descent attacks on a classifier.

use burn::config::Config;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::ascent::{Ascent, Perturbation, PerturbationConfig, Search};
use crate::comp_sum::{CompSumLoss, CompSumLossConfig};
use crate::error::require;
use crate::{ClassificationLoss, LossError};

const NAME: &str = "pgd";

/// What an attack makes grow.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum AttackObjective {
    /// Cross-entropy.
    Ce,
    /// `max_{y' != y} s_y' - s_y`: positive exactly where the example is misclassified.
    #[default]
    Margin,
    /// The comp-sum loss of this tau.
    Comp(f64),
}

/// Configuration of [`Pgd`].
#[derive(Config, Debug)]
pub struct PgdConfig {
    /// How far and by which steps the attack may move.
    pub perturbation: PerturbationConfig,
    /// What the attack makes grow.
    #[config(default = "AttackObjective::Margin")]
    pub objective: AttackObjective,
    /// Independent ascents; more than one needs the random start.
    #[config(default = 1)]
    pub restarts: usize,
    /// Return the best point that was visited instead of the one where the ascent ends: one more forward pass.
    /// Always so with several restarts.
    #[config(default = false)]
    pub keep_best: bool,
}

impl PgdConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] as [`PerturbationConfig::init`], and for no restarts, several restarts from the same point,
    /// or a tau out of range.
    pub fn init(&self) -> Result<Pgd, LossError> {
        let restarts = self.restarts as f64;
        require(self.restarts > 0, NAME, "restarts", restarts, "at least 1")?;
        let distinct = self.restarts == 1 || self.perturbation.random_start;
        require(distinct, NAME, "restarts", restarts, "1 without a random start")?;
        let objective = match self.objective {
            AttackObjective::Ce => Objective::Loss(CompSumLoss::logistic()),
            AttackObjective::Margin => Objective::Margin,
            AttackObjective::Comp(tau) => Objective::Loss(CompSumLossConfig::new().with_tau(tau).init()?),
        };
        let search =
            if self.restarts > 1 || self.keep_best { Search::Best { restarts: self.restarts } } else { Search::Last };
        Ok(Pgd { perturbation: self.perturbation.init(NAME)?, objective, search })
    }
}

/// Projected gradient descent attack: random start, signed (or normalised) gradient steps, projection to the ball.
///
/// ```text
/// x <- clip( project( x + step_size sign(d objective / d x) ) )
/// ```
/// Judge robustness by the margin objective with several restarts: gradients of the cross-entropy vanish where a model
/// is sure of itself, and one ascent with few steps makes any model look robust.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::attack::{PerturbationConfig, PgdConfig};
///
/// let device = Device::flex();
/// let weights = Tensor::<2>::from_floats([[1.0, -1.0], [0.5, 2.0]], &device);
/// let model = |x: Tensor<2>| x.matmul(weights.clone());
/// let inputs = Tensor::<2>::from_floats([[0.5, 0.5]], &device);
/// let targets = Tensor::<1, Int>::from_ints([0], &device);
/// let attack = PgdConfig::new(PerturbationConfig::new().with_gamma(0.1)).init()?;
/// let adversarial = attack.run(&model, inputs, targets, 42);
/// let found: Vec<f32> = adversarial.to_data().iter::<f32>().collect();
/// assert!((found[0] - 0.4).abs() < 1e-6 && (found[1] - 0.6).abs() < 1e-6);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pgd {
    perturbation: Perturbation,
    objective: Objective,
    search: Search,
}

#[derive(Debug, Clone)]
enum Objective {
    Loss(CompSumLoss),
    Margin,
}

impl Pgd {
    /// Adversarial inputs, outside the graph. Equal seeds give equal results on every device.
    ///
    /// `model` should have parameters that do not require gradients (`module.no_grad()`, on a copy made after the module was
    /// used or loaded): only the gradient by the input is needed.
    ///
    /// # Shapes
    /// - `model`: `[batch_size, ...]` to logits `[batch_size, num_classes]`
    /// - `inputs`: `[batch_size, ...]`, inside the clip range if there is one
    /// - `targets`: `[batch_size]`
    /// - output: as `inputs`
    pub fn run<const D: usize>(
        &self,
        model: &impl Fn(Tensor<D>) -> Tensor<2>,
        inputs: Tensor<D>,
        targets: Tensor<1, Int>,
        seed: u64,
    ) -> Tensor<D> {
        let targets = targets.inner();
        let objective = |logits: Tensor<2>| match &self.objective {
            Objective::Loss(loss) => loss.forward_no_reduction(logits, targets.clone()),
            Objective::Margin => margin(logits, targets.clone()),
        };
        Ascent { perturbation: &self.perturbation, model, objective, search: self.search }.run(inputs, seed)
    }
}

/// `max_{y' != y} s_y' - s_y` of each example.
pub(crate) fn margin(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let [rows, classes] = logits.dims();
    let targets = targets.unsqueeze_dim::<2>(1);
    let own = logits.clone().gather(1, targets.clone());
    let is_own = Tensor::<1, Int>::arange(0..classes as i64, &targets.device())
        .reshape([1, classes])
        .expand([rows, classes])
        .equal(targets.expand([rows, classes]));
    let others = logits.mask_fill(is_own, f32::MIN).max_dim(1);
    (others - own).squeeze_dim::<1>(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::AttackNorm;
    use burn::tensor::Device;
    use kiln_check::attack_suite::{self, Model, Region};
    use kiln_check::{assert_close, values};

    fn linear_model(device: &Device) -> impl Fn(Tensor<2>) -> Tensor<2> {
        let weights = Tensor::<2>::from_floats([[1.0, -0.5, 0.2], [-0.3, 0.8, 0.1], [0.4, 0.2, -0.9]], device);
        move |x: Tensor<2>| (x.clone() * x.clone()).matmul(weights.clone()) + x.matmul(weights.clone() * 2.0)
    }

    fn batch(device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let inputs = Tensor::from_floats([[0.1, 0.9, 0.5], [0.02, 0.98, 0.4], [0.7, 0.3, 0.6]], device);
        (inputs, Tensor::from_ints([0, 1, 2], device))
    }

    #[test]
    fn stays_inside_the_ball_and_the_clip_range() {
        let device = Device::flex();
        let (inputs, targets) = batch(&device);
        for norm in [AttackNorm::LInf, AttackNorm::L2] {
            for objective in [AttackObjective::Ce, AttackObjective::Margin, AttackObjective::Comp(0.5)] {
                let perturbation =
                    PerturbationConfig::new().with_gamma(0.1).with_norm(norm).with_clip(Some((0.0, 1.0)));
                let attack = PgdConfig::new(perturbation).with_objective(objective).with_restarts(3).init().unwrap();
                let moved = attack.run(&linear_model(&device), inputs.clone(), targets.clone(), 3);
                let points = values(&moved);
                assert!(points.iter().all(|&value| (0.0..=1.0).contains(&value)), "{points:?}");
                let shift = values(&(moved - inputs.clone()));
                for row in shift.chunks(3) {
                    let size = match norm {
                        AttackNorm::LInf => row.iter().fold(0.0_f64, |largest, value| largest.max(value.abs())),
                        AttackNorm::L2 => row.iter().map(|value| value * value).sum::<f64>().sqrt(),
                    };
                    assert!(size <= 0.1 + 1e-6 && size > 0.0, "{norm:?} {objective:?}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn passes_the_attack_suite() {
        for norm in [AttackNorm::LInf, AttackNorm::L2] {
            let perturbation =
                PerturbationConfig::new().with_gamma(0.1).with_steps(40).with_norm(norm).with_clip(Some((0.0, 1.0)));
            let region = Region { norm: norm.into(), radius: 0.1, clip: Some((0.0, 1.0)) };
            let config = PgdConfig::new(perturbation.clone());
            for config in [config.clone(), config.with_restarts(3)] {
                let attack = config.init().unwrap();
                let run = |model: &Model, x, y, seed| attack.run(&model, x, y, seed);
                attack_suite::check(region, run, |_, moved, targets| margin(moved, targets));
            }
            for (objective, tau) in [(AttackObjective::Ce, 1.0), (AttackObjective::Comp(0.5), 0.5)] {
                let attack = PgdConfig::new(perturbation.clone()).with_objective(objective).init().unwrap();
                let run = |model: &Model, x, y, seed| attack.run(&model, x, y, seed);
                let loss = CompSumLossConfig::new().with_tau(tau).init().unwrap();
                attack_suite::check(region, run, |_, moved, targets| loss.forward_no_reduction(moved, targets));
            }
        }
    }

    #[test]
    fn raises_what_it_attacks_and_repeats_with_its_seed() {
        let device = Device::flex();
        let (inputs, targets) = batch(&device);
        let model = linear_model(&device);
        let attack = PgdConfig::new(PerturbationConfig::new().with_gamma(0.1)).init().unwrap();
        let moved = attack.run(&model, inputs.clone(), targets.clone(), 5);
        let before = values(&margin(model(inputs.clone()), targets.clone()));
        let after = values(&margin(model(moved.clone()), targets.clone()));
        assert!(before.iter().zip(&after).all(|(before, after)| after > before), "{before:?} {after:?}");
        let again = attack.run(&model, inputs.clone(), targets.clone(), 5);
        assert_eq!(values(&moved), values(&again));
    }

    #[test]
    fn more_restarts_are_never_weaker() {
        let device = Device::flex();
        let (inputs, targets) = batch(&device);
        let model = linear_model(&device);
        let strength = |restarts| {
            let perturbation = PerturbationConfig::new().with_gamma(0.3).with_steps(2);
            let config = PgdConfig::new(perturbation).with_restarts(restarts).with_keep_best(true);
            let moved = config.init().unwrap().run(&model, inputs.clone(), targets.clone(), 1);
            values(&margin(model(moved), targets.clone()))
        };
        let (one, five) = (strength(1), strength(5));
        assert!(one.iter().zip(&five).all(|(one, five)| five >= one), "{one:?} {five:?}");
    }

    #[test]
    fn margin_is_the_best_wrong_score_minus_the_right_one() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[2.0, 1.0, 0.5], [2.0, 1.0, 0.5]], &device);
        let found = margin(logits, Tensor::from_ints([0, 2], &device));
        assert_close(&values(&found), &[-1.0, 1.5], 1e-6);
    }

    #[test]
    fn refuses_what_is_out_of_range() {
        let with = |perturbation: PerturbationConfig| PgdConfig::new(perturbation).init();
        assert!(with(PerturbationConfig::new().with_gamma(-0.1)).is_err());
        assert!(with(PerturbationConfig::new().with_gamma(f64::NAN)).is_err());
        assert!(with(PerturbationConfig::new().with_steps(0)).is_err());
        assert!(with(PerturbationConfig::new().with_steps(0).with_gamma(0.0)).is_ok());
        assert!(with(PerturbationConfig::new().with_step_size(Some(0.0))).is_err());
        assert!(with(PerturbationConfig::new().with_clip(Some((1.0, 1.0)))).is_err());
        let several = PgdConfig::new(PerturbationConfig::new().with_random_start(false)).with_restarts(2);
        assert!(several.init().is_err());
        assert!(PgdConfig::new(PerturbationConfig::new()).with_restarts(0).init().is_err());
        let negative_tau = PgdConfig::new(PerturbationConfig::new()).with_objective(AttackObjective::Comp(-1.0));
        assert!(negative_tau.init().is_err());
    }
}
