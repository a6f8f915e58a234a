//! The smooth adversarial comp-sum loss.

use burn::config::Config;
use burn::tensor::{Int, Tensor};

use super::loss::{CompSumLoss, CompSumLossConfig};
use crate::attack::{Ascent, AttackNorm, Perturbation, PerturbationConfig, Search};
use crate::error::require;
use crate::{ClassificationLoss, LossError};

const NAME: &str = "smooth-adversarial-comp-sum";

/// Configuration of [`SmoothAdvCompSum`].
#[derive(Config, Debug)]
pub struct SmoothAdvCompSumConfig {
    /// The knob of the comp-sum loss on clean inputs.
    #[config(default = 1.0)]
    pub tau: f64,
    /// Temperature of the clean term, larger than 0: scores are divided by it.
    #[config(default = 1.0)]
    pub rho: f64,
    /// Weight of the smoothness term, not negative.
    #[config(default = 1.0)]
    pub nu: f64,
    /// Radius of the ball, in the units of the input, not negative.
    #[config(default = 0.03137254901960784)]
    pub gamma: f64,
    /// Norm of the ball.
    #[config(default = "AttackNorm::LInf")]
    pub norm: AttackNorm,
    /// Steps of the inner ascent.
    #[config(default = 10)]
    pub steps: usize,
    /// Length of a step; `None` is `gamma / 4`.
    pub step_size: Option<f64>,
    /// Start the ascent at a random point of the ball. Refused without it, unless `nu` or `gamma` is 0: at the input
    /// itself the gradient of the ascent is zero.
    #[config(default = true)]
    pub random_start: bool,
    /// Smallest and largest legal input value.
    pub clip: Option<(f64, f64)>,
}

impl SmoothAdvCompSumConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a tau or nu that is negative, a rho that is not positive, and as
    /// [`PerturbationConfig::init`]; [`LossError::StartWithoutGradient`] without a random start.
    pub fn init(&self) -> Result<SmoothAdvCompSum, LossError> {
        let perturbation = PerturbationConfig {
            gamma: self.gamma,
            norm: self.norm,
            steps: self.steps,
            step_size: self.step_size,
            random_start: self.random_start,
            clip: self.clip,
        };
        require(self.rho > 0.0 && self.rho.is_finite(), NAME, "rho", self.rho, "a finite number larger than 0")?;
        require(self.nu >= 0.0 && self.nu.is_finite(), NAME, "nu", self.nu, "finite and not negative")?;
        Ok(SmoothAdvCompSum {
            base: CompSumLossConfig::new().with_tau(self.tau).init()?,
            rho: self.rho,
            nu: self.nu,
            perturbation: perturbation.init(NAME)?.require_moving_start(NAME, ("nu", self.nu))?,
        })
    }
}

/// Smooth adversarial comp-sum loss: a comp-sum loss on clean inputs plus the largest change of the score differences
/// within a ball around the input.
///
/// ```text
/// Delta(x, y) = (s_y(x) - s_y'(x))_{y' != y}
/// L = Phi^tau( sum_{y' != y} exp(-(s_y(x) - s_y'(x)) / rho) )  +  nu max_{||x' - x|| <= gamma} ||Delta(x', y) - Delta(x, y)||_2
/// ```
/// The maximum is searched by projected gradient ascent; the gradient of the loss flows through both `Delta(x')` and
/// `Delta(x)` at the point that was found.
///
/// Source: arXiv 2304.07288, section 5 (ADV-COMP-SUM).
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_loss::comp_sum::SmoothAdvCompSumConfig;
///
/// let device = Device::flex();
/// let weights = Tensor::<2>::from_floats([[1.0, -1.0], [0.5, 2.0]], &device);
/// let model = |x: Tensor<2>| x.matmul(weights.clone());
/// let inputs = Tensor::<2>::from_floats([[0.5, 0.5]], &device);
/// let targets = Tensor::<1, Int>::from_ints([0], &device);
/// let loss = SmoothAdvCompSumConfig::new().with_gamma(0.1).init()?;
/// let output = loss.forward(&model, inputs, targets, 42);
/// let smooth: f32 = output.smooth.into_scalar();
/// assert!((smooth - 0.1 * (2.0 + 1.5)).abs() < 1e-5);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SmoothAdvCompSum {
    base: CompSumLoss,
    rho: f64,
    nu: f64,
    perturbation: Perturbation,
}

/// What an adversarial loss gives back for a batch.
#[derive(Debug, Clone)]
pub struct AdversarialOutput<const D: usize> {
    /// The loss to minimise, mean over the batch, `[1]`.
    pub loss: Tensor<1>,
    /// Its clean part, outside the graph, `[1]`.
    pub base: Tensor<1>,
    /// Its adversarial part before it is weighted, outside the graph, `[1]`.
    pub smooth: Tensor<1>,
    /// The adversarial inputs, outside the graph, as the inputs.
    pub adversarial: Tensor<D>,
}

impl SmoothAdvCompSum {
    /// Mean loss of a batch.
    ///
    /// # Shapes
    /// - `model`: `[batch_size, ...]` to logits `[batch_size, num_classes]`
    /// - `inputs`: `[batch_size, ...]`
    /// - `targets`: `[batch_size]`, in `0..num_classes`
    pub fn forward<const D: usize>(
        &self,
        model: &impl Fn(Tensor<D>) -> Tensor<2>,
        inputs: Tensor<D>,
        targets: Tensor<1, Int>,
        seed: u64,
    ) -> AdversarialOutput<D> {
        self.forward_frozen(model, model, inputs, targets, seed)
    }

    /// Mean loss of a batch, with a second form of the same model whose parameters do not require gradients
    /// (`module.no_grad()`) for the ascent: saves the gradients by the parameters in every step. Copy a module only after it
    /// was used or loaded: until then its copies share one switch.
    pub fn forward_frozen<const D: usize>(
        &self,
        model: &impl Fn(Tensor<D>) -> Tensor<2>,
        frozen: &impl Fn(Tensor<D>) -> Tensor<2>,
        inputs: Tensor<D>,
        targets: Tensor<1, Int>,
        seed: u64,
    ) -> AdversarialOutput<D> {
        let scores = model(inputs.clone());
        if self.nu == 0.0 || self.perturbation.gamma() == 0.0 {
            let base = self.base_loss(scores, targets);
            let smooth = base.clone().inner().zeros_like();
            return AdversarialOutput { base: base.clone().inner(), smooth, loss: base, adversarial: inputs.inner() };
        }
        let adversarial = self.worst_inputs(frozen, inputs, &scores, targets.clone(), seed);
        let smooth = change_of_differences(model(adversarial.clone()) - scores.clone(), targets.clone()).mean();
        let base = self.base_loss(scores, targets);
        AdversarialOutput {
            base: base.clone().inner(),
            smooth: smooth.clone().inner(),
            loss: base + smooth * self.nu,
            adversarial,
        }
    }

    fn base_loss(&self, scores: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        self.base.forward(scores / self.rho, targets)
    }

    fn worst_inputs<const D: usize>(
        &self,
        frozen: &impl Fn(Tensor<D>) -> Tensor<2>,
        inputs: Tensor<D>,
        scores: &Tensor<2>,
        targets: Tensor<1, Int>,
        seed: u64,
    ) -> Tensor<D> {
        let scores = scores.clone().inner();
        let targets = targets.inner();
        let objective = |moved: Tensor<2>| change_of_differences(moved - scores.clone(), targets.clone());
        Ascent { perturbation: &self.perturbation, model: frozen, objective, search: Search::Last }.run(inputs, seed)
    }
}

/// `||Delta(x', y) - Delta(x, y)||_2 = sqrt( sum_{y'} (e_y - e_y')^2 )` for the change `e = s(x') - s(x)` of the scores.
///
/// # Shapes
/// - `change`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`
/// - output: `[batch_size]`
fn change_of_differences(change: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let own = change.clone().gather(1, targets.unsqueeze_dim(1));
    let difference = own - change;
    ((difference.clone() * difference).sum_dim(1) + 1e-12).sqrt().squeeze_dim::<1>(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};
    use kiln_check::attack_suite::{self, Model, Region};
    use kiln_check::{assert_close, assert_near, central_differences, check_gradient, gradient_and, values};

    const INPUTS: [[f64; 3]; 2] = [[0.2, 0.8, 0.5], [0.9, 0.1, 0.4]];

    fn double<const D: usize>(data: impl Into<TensorData>) -> Tensor<D> {
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn targets() -> Tensor<1, Int> {
        Tensor::from_ints([1, 0], &Device::flex())
    }

    fn linear(weights: Tensor<2>) -> impl Fn(Tensor<2>) -> Tensor<2> {
        move |x| x.matmul(weights.clone())
    }

    #[test]
    fn finds_the_known_maximum_of_a_linear_model() {
        let weights = [[1.0_f64, -2.0], [0.3, 0.1], [-0.5, 0.7]];
        let model = linear(double(weights));
        let loss = SmoothAdvCompSumConfig::new().with_gamma(0.1).init().unwrap();
        let output = loss.forward(&model, double(INPUTS), targets(), 11);
        let exact = 0.1 * weights.iter().map(|row| (row[0] - row[1]).abs()).sum::<f64>();
        let found = values(&output.smooth)[0];
        assert!(found >= 0.999 * exact && found <= exact + 1e-9, "{found} of {exact}");
    }

    #[test]
    fn without_weight_or_radius_only_the_clean_loss_is_left() {
        let model = linear(double([[1.0, -2.0], [0.3, 0.1], [-0.5, 0.7]]));
        let clean = CompSumLoss::logistic().forward(model(double(INPUTS)), targets());
        for config in [SmoothAdvCompSumConfig::new().with_nu(0.0), SmoothAdvCompSumConfig::new().with_gamma(0.0)] {
            let output = config.init().unwrap().forward(&model, double(INPUTS), targets(), 0);
            assert_close(&values(&output.loss), &values(&clean), 1e-12);
            assert_close(&values(&output.adversarial), &values(&double::<2>(INPUTS)), 0.0);
            assert_near(values(&output.smooth)[0], 0.0, 0.0);
        }
    }

    #[test]
    fn gradient_is_right_where_the_inputs_are_frozen() {
        let adversarial: Tensor<2> = double([[0.25, 0.74, 0.58], [0.83, 0.17, 0.33]]);
        let weights = [0.4, -0.3, 0.8, -0.6, 0.2, 0.1];
        for (tau, rho) in [(1.0, 1.0), (0.5, 2.0), (1.6, 0.5)] {
            let loss = SmoothAdvCompSumConfig::new().with_tau(tau).with_rho(rho).with_nu(0.7).init().unwrap();
            let of_weights = |weights: Tensor<2>| {
                let model = linear(weights);
                let scores = model(double(INPUTS));
                let change = model(adversarial.clone()) - scores.clone();
                loss.base_loss(scores, targets()) + change_of_differences(change, targets()).mean() * loss.nu
            };
            check_gradient(of_weights, &weights, [3, 2], 1e-7);
        }
    }

    #[test]
    fn the_change_of_differences_is_the_norm_of_delta() {
        let change = double::<2>([[1.0, -2.0, 0.5]]);
        let found = values(&change_of_differences(change, Tensor::from_ints([1], &Device::flex())));
        assert_near(found[0], (9.0_f64 + 6.25).sqrt(), 1e-9);
    }

    #[test]
    fn a_frozen_model_gives_the_same_loss() {
        let weights = [1.0, -2.0, 0.3, 0.1, -0.5, 0.7];
        let loss = SmoothAdvCompSumConfig::new().with_clip(Some((0.0, 1.0))).init().unwrap();
        let (slopes, one) = gradient_and(
            |weights| {
                let output = loss.forward(&linear(weights), double(INPUTS), targets(), 4);
                (output.loss.clone(), output)
            },
            &weights,
            [3, 2],
        );
        let (slopes_of_two, two) = gradient_and(
            |weights| {
                let frozen = linear(weights.clone().inner());
                let output = loss.forward_frozen(&linear(weights), &frozen, double(INPUTS), targets(), 4);
                (output.loss.clone(), output)
            },
            &weights,
            [3, 2],
        );
        assert_eq!(values(&one.loss), values(&two.loss));
        assert_eq!(values(&one.adversarial), values(&two.adversarial));
        assert_eq!(slopes, slopes_of_two);
        assert_near(values(&one.loss)[0], values(&one.base)[0] + values(&one.smooth)[0], 1e-12);
    }

    #[test]
    fn has_the_gradient_of_its_formula_at_the_inputs_it_found() {
        let weights = [1.0, -2.0, 0.6, 0.3, 0.1, -0.9, -0.5, 0.7, 0.2];
        for norm in [AttackNorm::LInf, AttackNorm::L2] {
            let config = SmoothAdvCompSumConfig::new().with_rho(2.0).with_nu(0.7).with_gamma(0.1).with_norm(norm);
            let loss = config.init().unwrap();
            let run = |weights: Tensor<2>| {
                let output = loss.forward(&linear(weights), double(INPUTS), targets(), 5);
                (output.loss.clone(), output)
            };
            let (found, output) = gradient_and(run, &weights, [3, 3]);
            let worst = values(&output.adversarial);
            let scores = |weights: &[f64], input: &[f64]| {
                [0, 1, 2].map(|class| (0..3).map(|feature| input[feature] * weights[3 * feature + class]).sum::<f64>())
            };
            let formula = |weights: &[f64]| {
                let of_example = |(example, target): (usize, usize)| {
                    let clean = scores(weights, &INPUTS[example]);
                    let moved = scores(weights, &worst[3 * example..3 * example + 3]);
                    let (mut sum, mut square) = (0.0, 0.0);
                    for other in (0..3).filter(|other| *other != target) {
                        sum += (-(clean[target] - clean[other]) / 2.0).exp();
                        square += ((moved[target] - moved[other]) - (clean[target] - clean[other])).powi(2);
                    }
                    sum.ln_1p() + 0.7 * (square + 1e-12).sqrt()
                };
                [(0, 1), (1, 0)].into_iter().map(of_example).sum::<f64>() / 2.0
            };
            assert_near(values(&output.loss)[0], formula(&weights), 1e-12);
            assert_close(&found, &central_differences(formula, &weights), 1e-8);
        }
    }

    #[test]
    fn passes_the_attack_suite() {
        for norm in [AttackNorm::LInf, AttackNorm::L2] {
            let clip = Some((0.0, 1.0));
            let config = SmoothAdvCompSumConfig::new().with_gamma(0.1).with_steps(40).with_norm(norm).with_clip(clip);
            let loss = config.init().unwrap();
            let run = |model: &Model, x, y, seed| loss.forward(&model, x, y, seed).adversarial;
            let region = Region { norm: norm.into(), radius: 0.1, clip };
            attack_suite::check(region, run, |clean, moved, targets| change_of_differences(moved - clean, targets));
        }
    }

    #[test]
    fn refuses_what_is_out_of_range() {
        assert!(SmoothAdvCompSumConfig::new().with_tau(-0.5).init().is_err());
        assert!(SmoothAdvCompSumConfig::new().with_rho(0.0).init().is_err());
        assert!(SmoothAdvCompSumConfig::new().with_nu(-1.0).init().is_err());
        assert!(SmoothAdvCompSumConfig::new().with_gamma(-1.0).init().is_err());
        assert!(SmoothAdvCompSumConfig::new().with_steps(0).init().is_err());
        assert!(SmoothAdvCompSumConfig::new().with_clip(Some((1.0, 0.0))).init().is_err());
    }

    #[test]
    fn refuses_an_ascent_that_would_never_move() {
        let fixed = SmoothAdvCompSumConfig::new().with_random_start(false);
        let error = fixed.init().unwrap_err();
        assert!(matches!(error, LossError::StartWithoutGradient { weight: "nu", .. }), "{error}");
        assert!(fixed.clone().with_nu(0.0).init().is_ok());
        assert!(fixed.with_gamma(0.0).init().is_ok());
    }
}
