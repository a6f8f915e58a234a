//! The usual losses of adversarial training, to compare with: PGD adversarial training and TRADES.

use burn::config::Config;
use burn::tensor::{Int, Tensor, activation::log_softmax};

use crate::attack::{Ascent, AttackObjective, Perturbation, PerturbationConfig, Pgd, PgdConfig, Search};
use crate::comp_sum::{AdversarialOutput, CompSumLoss};
use crate::error::require;
use crate::{ClassificationLoss, LossError};

/// Configuration of [`TradesLoss`].
#[derive(Config, Debug)]
pub struct TradesLossConfig {
    /// How far and by which steps the inner ascent may move.
    pub perturbation: PerturbationConfig,
    /// Weight `1 / lambda` of the robust term, not negative.
    #[config(default = 6.0)]
    pub beta: f64,
}

impl TradesLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a negative beta, and as [`PerturbationConfig::init`];
    /// [`LossError::StartWithoutGradient`] without a random start.
    pub fn init(&self) -> Result<TradesLoss, LossError> {
        require(self.beta >= 0.0 && self.beta.is_finite(), "trades", "beta", self.beta, "finite and not negative")?;
        let perturbation = self.perturbation.init("trades")?.require_moving_start("trades", ("beta", self.beta))?;
        Ok(TradesLoss { perturbation, beta: self.beta })
    }
}

/// TRADES: cross-entropy on clean inputs plus the divergence of the predictions within a ball around them.
///
/// ```text
/// L = -log softmax(s(x))_y + beta max_{||x' - x|| <= gamma} KL( softmax(s(x)) || softmax(s(x')) )
/// ```
///
/// Source: arXiv 1901.08573, equation 5.
#[derive(Debug, Clone)]
pub struct TradesLoss {
    perturbation: Perturbation,
    beta: f64,
}

impl TradesLoss {
    /// Mean loss of a batch.
    ///
    /// `frozen` is the same model with parameters that do not require gradients, for the ascent; `model` itself is right,
    /// but slower.
    ///
    /// # Shapes
    /// - `model`, `frozen`: `[batch_size, ...]` to logits `[batch_size, num_classes]`
    /// - `inputs`: `[batch_size, ...]`
    /// - `targets`: `[batch_size]`, in `0..num_classes`
    pub fn forward<const D: usize>(
        &self,
        model: &impl Fn(Tensor<D>) -> Tensor<2>,
        frozen: &impl Fn(Tensor<D>) -> Tensor<2>,
        inputs: Tensor<D>,
        targets: Tensor<1, Int>,
        seed: u64,
    ) -> AdversarialOutput<D> {
        let scores = model(inputs.clone());
        let clean = log_softmax(scores.clone(), 1);
        let fixed = clean.clone().inner();
        let objective = |moved: Tensor<2>| divergence(fixed.clone(), log_softmax(moved, 1));
        let ascent = Ascent { perturbation: &self.perturbation, model: frozen, objective, search: Search::Last };
        let adversarial = ascent.run(inputs, seed);
        let smooth = divergence(clean, log_softmax(model(adversarial.clone()), 1)).mean();
        let base = CompSumLoss::logistic().forward(scores, targets);
        AdversarialOutput {
            base: base.clone().inner(),
            smooth: smooth.clone().inner(),
            loss: base + smooth * self.beta,
            adversarial,
        }
    }
}

/// `KL(p || q)` of each example, from `log p` and `log q`, `[batch_size, num_classes]` to `[batch_size]`.
fn divergence(log_p: Tensor<2>, log_q: Tensor<2>) -> Tensor<1> {
    (log_p.clone().exp() * (log_p - log_q)).sum_dim(1).squeeze_dim::<1>(1)
}

/// PGD adversarial training: a loss on the inputs that an attack on the cross-entropy has found.
///
/// ```text
/// L = l( s(x'), y )        x' = argmax_{||x' - x|| <= gamma} -log softmax(s(x'))_y
/// ```
///
/// Source: arXiv 1706.06083, equation 2.1.
#[derive(Debug, Clone)]
pub struct PgdTraining<L = CompSumLoss> {
    attack: Pgd,
    loss: L,
}

impl PgdTraining {
    /// With cross-entropy as the loss.
    ///
    /// # Errors
    /// [`LossError::Setting`] as [`PerturbationConfig::init`].
    pub fn new(perturbation: PerturbationConfig) -> Result<Self, LossError> {
        Self::with_loss(perturbation, CompSumLoss::logistic())
    }
}

impl<L: ClassificationLoss> PgdTraining<L> {
    /// With any loss on the attacked inputs.
    ///
    /// # Errors
    /// [`LossError::Setting`] as [`PerturbationConfig::init`].
    pub fn with_loss(perturbation: PerturbationConfig, loss: L) -> Result<Self, LossError> {
        Ok(Self { attack: PgdConfig::new(perturbation).with_objective(AttackObjective::Ce).init()?, loss })
    }

    /// Mean loss of a batch; arguments as in [`TradesLoss::forward`].
    pub fn forward<const D: usize>(
        &self,
        model: &impl Fn(Tensor<D>) -> Tensor<2>,
        frozen: &impl Fn(Tensor<D>) -> Tensor<2>,
        inputs: Tensor<D>,
        targets: Tensor<1, Int>,
        seed: u64,
    ) -> AdversarialOutput<D> {
        let adversarial = self.attack.run(frozen, inputs, targets.clone(), seed);
        let loss = self.loss.forward(model(adversarial.clone()), targets);
        let value = loss.clone().inner();
        AdversarialOutput { loss, base: value.clone(), smooth: value.zeros_like(), adversarial }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::AttackNorm;
    use burn::tensor::{DType, Device, TensorData};
    use kiln_check::attack_suite::{self, Model, Region};
    use kiln_check::{assert_close, assert_near, central_differences, gradient_and, values};

    fn double(data: [[f64; 2]; 2]) -> Tensor<2> {
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn targets() -> Tensor<1, Int> {
        Tensor::from_ints([1, 0], &Device::flex())
    }

    fn model(x: Tensor<2>) -> Tensor<2> {
        x.matmul(double([[1.0, -1.0], [-0.5, 2.0]]))
    }

    const INPUTS: [[f64; 2]; 2] = [[0.5, 0.4], [0.8, 0.1]];

    #[test]
    fn divergence_is_zero_for_equal_predictions_and_right_elsewhere() {
        let p = double([[0.2, 0.8], [0.5, 0.5]]).log();
        let q = double([[0.2, 0.8], [0.25, 0.75]]).log();
        let expected = 0.5 * 2.0_f64.ln() + 0.5 * (2.0_f64 / 3.0).ln();
        assert_close(&values(&divergence(p, q)), &[0.0, expected], 1e-12);
    }

    #[test]
    fn trades_without_weight_is_cross_entropy() {
        let loss = TradesLossConfig::new(PerturbationConfig::new()).with_beta(0.0).init().unwrap();
        let output = loss.forward(&model, &model, double(INPUTS), targets(), 1);
        let clean = CompSumLoss::logistic().forward(model(double(INPUTS)), targets());
        assert_close(&values(&output.loss), &values(&clean), 1e-12);
        assert!(values(&output.smooth)[0] > 0.0);
    }

    const WEIGHTS: [f64; 6] = [1.0, -1.0, 0.3, -0.5, 2.0, 0.8];

    /// Log-probabilities of a linear model with three classes and these weights.
    fn log_probabilities(weights: &[f64], input: &[f64]) -> [f64; 3] {
        let scores = [0, 1, 2].map(|class| input[0] * weights[class] + input[1] * weights[3 + class]);
        let log_sum = scores.iter().map(|score| score.exp()).sum::<f64>().ln();
        scores.map(|score| score - log_sum)
    }

    #[test]
    fn trades_has_the_gradient_of_its_formula_at_the_inputs_it_found() {
        for norm in [AttackNorm::LInf, AttackNorm::L2] {
            let perturbation = PerturbationConfig::new().with_gamma(0.2).with_norm(norm);
            let loss = TradesLossConfig::new(perturbation).with_beta(3.0).init().unwrap();
            let constant = TensorData::new(WEIGHTS.to_vec(), [2, 3]);
            let constant = Tensor::<2>::from_data(constant, (&Device::flex(), DType::F64));
            let frozen = |x: Tensor<2>| x.matmul(constant.clone());
            let run = |weights: Tensor<2>| {
                let model = |x: Tensor<2>| x.matmul(weights.clone());
                let output = loss.forward(&model, &frozen, double(INPUTS), targets(), 5);
                (output.loss.clone(), output)
            };
            let (found, output) = gradient_and(run, &WEIGHTS, [2, 3]);
            let worst = values(&output.adversarial);
            let formula = |weights: &[f64]| {
                let of_example = |(example, target): (usize, usize)| {
                    let clean = log_probabilities(weights, &INPUTS[example]);
                    let moved = log_probabilities(weights, &worst[2 * example..2 * example + 2]);
                    let divergence: f64 = clean.iter().zip(&moved).map(|(p, q)| p.exp() * (p - q)).sum();
                    -clean[target] + 3.0 * divergence
                };
                [(0, 1), (1, 0)].into_iter().map(of_example).sum::<f64>() / 2.0
            };
            assert_near(values(&output.loss)[0], formula(&WEIGHTS), 1e-12);
            assert_close(&found, &central_differences(formula, &WEIGHTS), 1e-8);
        }
    }

    #[test]
    fn pgd_training_has_the_gradient_of_its_formula_at_the_inputs_it_found() {
        let training = PgdTraining::new(PerturbationConfig::new().with_gamma(0.2)).unwrap();
        let run = |weights: Tensor<2>| {
            let model = |x: Tensor<2>| x.matmul(weights.clone());
            let output = training.forward(&model, &model, double(INPUTS), targets(), 5);
            (output.loss.clone(), output)
        };
        let (found, output) = gradient_and(run, &WEIGHTS, [2, 3]);
        let worst = values(&output.adversarial);
        let formula = |weights: &[f64]| {
            let first = log_probabilities(weights, &worst[..2])[1];
            let second = log_probabilities(weights, &worst[2..])[0];
            -0.5 * (first + second)
        };
        assert_near(values(&output.loss)[0], formula(&WEIGHTS), 1e-12);
        assert_close(&found, &central_differences(formula, &WEIGHTS), 1e-8);
    }

    #[test]
    fn passes_the_attack_suite() {
        for norm in [AttackNorm::LInf, AttackNorm::L2] {
            let clip = Some((0.0, 1.0));
            let perturbation = PerturbationConfig::new().with_gamma(0.1).with_steps(40).with_norm(norm).with_clip(clip);
            let region = Region { norm: norm.into(), radius: 0.1, clip };
            let trades = TradesLossConfig::new(perturbation.clone()).init().unwrap();
            let run = |model: &Model, x, y, seed| trades.forward(&model, &model, x, y, seed).adversarial;
            let objective = |clean, moved, _: Tensor<1, Int>| divergence(log_softmax(clean, 1), log_softmax(moved, 1));
            attack_suite::check(region, run, objective);
            let training = PgdTraining::new(perturbation).unwrap();
            let run = |model: &Model, x, y, seed| training.forward(&model, &model, x, y, seed).adversarial;
            let objective = |_, moved, targets| CompSumLoss::logistic().forward_no_reduction(moved, targets);
            attack_suite::check(region, run, objective);
        }
    }

    #[test]
    fn pgd_training_reaches_the_worst_corner_of_a_linear_model() {
        let training = PgdTraining::new(PerturbationConfig::new().with_gamma(0.1)).unwrap();
        let output = training.forward(&model, &model, double(INPUTS), targets(), 1);
        assert_close(&values(&output.adversarial), &[0.6, 0.3, 0.7, 0.2], 1e-9);
        let expected = CompSumLoss::logistic().forward(model(output.adversarial), targets());
        assert_near(values(&output.loss)[0], values(&expected)[0], 1e-12);
    }

    #[test]
    fn refuses_a_negative_weight() {
        assert!(TradesLossConfig::new(PerturbationConfig::new()).with_beta(-1.0).init().is_err());
        assert!(PgdTraining::new(PerturbationConfig::new().with_steps(0)).is_err());
    }

    #[test]
    fn refuses_an_ascent_that_would_never_move() {
        let fixed = PerturbationConfig::new().with_random_start(false);
        let error = TradesLossConfig::new(fixed.clone()).init().unwrap_err().to_string();
        assert!(error.starts_with("trades: random_start = false") && error.contains("beta = 0"), "{error}");
        assert!(TradesLossConfig::new(fixed.clone()).with_beta(0.0).init().is_ok());
        assert!(TradesLossConfig::new(fixed.clone().with_gamma(0.0)).init().is_ok());
        // The cross-entropy has a gradient at the input.
        assert!(PgdTraining::new(fixed).is_ok());
    }
}
