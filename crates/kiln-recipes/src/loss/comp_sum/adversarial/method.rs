//! How a network is trained: without a defence, or with one of three.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use kiln_lab::LabError;
use kiln_lab::train::Objective;
use kiln_loss::ClassificationLoss;
use kiln_loss::adversarial::{PgdTraining, TradesLoss, TradesLossConfig};
use kiln_loss::attack::PerturbationConfig;
use kiln_loss::comp_sum::{CompSumLoss, SmoothAdvCompSum, SmoothAdvCompSumConfig};
use kiln_nn::Network;

use super::AdversarialSettings;

/// A way to train, with the weight of its robust term where it has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Method {
    CrossEntropy,
    PgdTraining,
    Trades { beta: f64 },
    SmoothCompSum { nu: f64 },
}

/// Methods that differ only in the weight of the robust term.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Family {
    CrossEntropy,
    PgdTraining,
    Trades,
    SmoothCompSum,
}

impl Family {
    pub(super) const ALL: [Self; 4] = [Self::CrossEntropy, Self::PgdTraining, Self::Trades, Self::SmoothCompSum];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross-entropy",
            Self::PgdTraining => "PGD training",
            Self::Trades => "TRADES",
            Self::SmoothCompSum => "smooth comp-sum",
        }
    }
}

impl Method {
    /// All that learn from attacked inputs.
    pub(super) fn defences(settings: &AdversarialSettings) -> Vec<Self> {
        let mut methods = vec![Self::PgdTraining];
        methods.extend(settings.trades_betas.iter().map(|&beta| Self::Trades { beta }));
        methods.extend(settings.nus.iter().map(|&nu| Self::SmoothCompSum { nu }));
        methods
    }

    pub(super) fn family(self) -> Family {
        match self {
            Self::CrossEntropy => Family::CrossEntropy,
            Self::PgdTraining => Family::PgdTraining,
            Self::Trades { .. } => Family::Trades,
            Self::SmoothCompSum { .. } => Family::SmoothCompSum,
        }
    }

    pub(super) fn label(self) -> String {
        let family = self.family().name();
        match self {
            Self::Trades { beta } => format!("{family} beta {beta}"),
            Self::SmoothCompSum { nu } => format!("{family} nu {nu}"),
            _ => family.to_string(),
        }
    }
}

/// The objective of a method, with the seed of its inner attack.
pub(super) enum Defence {
    None,
    Pgd(PgdTraining, u64),
    Trades(TradesLoss, u64),
    Smooth(SmoothAdvCompSum, u64),
}

impl Defence {
    pub(super) fn new(
        method: Method,
        seed: u64,
        perturbation: PerturbationConfig,
        settings: &AdversarialSettings,
    ) -> Result<Self, LabError> {
        Ok(match method {
            Method::CrossEntropy => Self::None,
            Method::PgdTraining => Self::Pgd(PgdTraining::new(perturbation).map_err(LabError::method)?, seed),
            Method::Trades { beta } => {
                let config = TradesLossConfig::new(perturbation).with_beta(beta);
                Self::Trades(config.init().map_err(LabError::method)?, seed)
            }
            Method::SmoothCompSum { nu } => {
                let config = SmoothAdvCompSumConfig::new()
                    .with_nu(nu)
                    .with_gamma(settings.gamma)
                    .with_steps(settings.attack_steps)
                    .with_clip(Some((0.0, 1.0)));
                Self::Smooth(config.init().map_err(LabError::method)?, seed)
            }
        })
    }
}

impl Objective for Defence {
    fn loss(&self, network: &Network, inputs: Tensor<2>, targets: Tensor<1, Int>, step: u64) -> Tensor<1> {
        let fixed = network.valid();
        let model = |inputs: Tensor<2>| network.forward(inputs);
        let frozen = |inputs: Tensor<2>| fixed.forward(inputs);
        let noise = |seed: u64| seed.wrapping_mul(1_000_003).wrapping_add(step);
        match self {
            Self::None => CompSumLoss::logistic().forward(model(inputs), targets),
            Self::Pgd(loss, seed) => loss.forward(&model, &frozen, inputs, targets, noise(*seed)).loss,
            Self::Trades(loss, seed) => loss.forward(&model, &frozen, inputs, targets, noise(*seed)).loss,
            Self::Smooth(loss, seed) => loss.forward_frozen(&model, &frozen, inputs, targets, noise(*seed)).loss,
        }
    }
}
