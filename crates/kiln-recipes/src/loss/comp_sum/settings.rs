//! What the reproduction of comp-sum losses can be told.

use kiln_lab::Scale;
use serde::{Deserialize, Serialize};

use super::adversarial::PARTS;

/// Settings of [`super::CompSumRecipe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Data sets of the standard part.
    pub datasets: Vec<String>,
    /// Sets among them with many classes, where more is claimed.
    pub many_class_datasets: Vec<String>,
    /// Values of the knob.
    pub taus: Vec<f64>,
    /// Learning rates to choose from, for each tau on the validation split.
    pub rates: Vec<f64>,
    /// Seeds, of all, on which the rate is chosen.
    pub tuning_seeds: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Passes over the training split.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// L2 penalty on all weights.
    pub weight_decay: f64,
    /// At most this many training rows of each set.
    pub max_train: usize,
    /// At most this many test rows of each set.
    pub max_test: usize,
    /// The adversarial part.
    pub adversarial: AdversarialSettings,
    /// The adversarial part on larger images; absent where there is no time for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adversarial_images: Option<AdversarialSettings>,
    /// The theory part.
    pub theory: TheorySettings,
}

/// Settings of the adversarial part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdversarialSettings {
    /// Data set with inputs in `[0, 1]`.
    pub dataset: String,
    /// Network: `mlp` with the hidden layers below, or `lenet`.
    pub network: String,
    /// Widths of the hidden layers of an `mlp`.
    pub widths: Vec<usize>,
    /// Radius of the ball (largest change of a pixel).
    pub gamma: f64,
    /// Ascent steps during training.
    pub attack_steps: usize,
    /// Passes over the training split.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// Learning rates to choose from, for each method on the validation split.
    pub rates: Vec<f64>,
    /// Weights of the robust term of TRADES.
    pub trades_betas: Vec<f64>,
    /// Weights of the smoothness term of the smooth adversarial comp-sum loss (at rho = 1).
    pub nus: Vec<f64>,
    /// Seeds, of those below, on which the rate is chosen.
    pub tuning_seeds: usize,
    /// Runs of each method.
    pub seeds: usize,
    /// Epochs between two looks at the validation split, from which the best network is kept.
    pub evaluate_every: usize,
    /// Ascent steps of the attack that judges.
    pub evaluation_steps: usize,
    /// Restarts of the attack that judges.
    pub evaluation_restarts: usize,
    /// Queries of the attack without gradients.
    pub black_box_queries: usize,
    /// At most this many training rows.
    pub max_train: usize,
    /// At most this many rows to judge by, on the validation and on the test split.
    pub max_judged: usize,
}

/// Settings of the theory part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TheorySettings {
    /// Values of the knob.
    pub taus: Vec<f64>,
    /// Numbers of classes of the table.
    pub classes: Vec<usize>,
    /// Excess of the loss, for the table and the picture.
    pub excess: f64,
    /// Random hypotheses on the finite problem.
    pub hypotheses: usize,
}

impl Settings {
    /// The settings of a scale.
    pub fn of(scale: Scale) -> Self {
        match scale {
            Scale::Smoke => Self::smoke(),
            Scale::Quick => Self::quick(),
            Scale::Full => Self::full(),
        }
    }

    /// The settings of the adversarial parts, under their names.
    pub(super) fn adversarial_problems(&self) -> impl Iterator<Item = (&'static str, &AdversarialSettings)> {
        PARTS.into_iter().zip(std::iter::once(&self.adversarial).chain(&self.adversarial_images))
    }

    fn full() -> Self {
        let adversarial = AdversarialSettings {
            dataset: "digits".into(),
            network: "mlp".into(),
            widths: vec![256, 128],
            gamma: 0.1,
            attack_steps: 10,
            epochs: 60,
            batch_size: 64,
            rates: vec![0.03, 0.1],
            trades_betas: vec![1.0, 3.0, 6.0],
            nus: vec![0.03, 0.1, 0.2, 0.3, 1.0],
            tuning_seeds: 3,
            seeds: 3,
            evaluate_every: 5,
            evaluation_steps: 40,
            evaluation_restarts: 5,
            black_box_queries: 300,
            max_train: 10_000,
            max_judged: 1_000,
        };
        let images = AdversarialSettings {
            dataset: "mnist".into(),
            network: "lenet".into(),
            widths: Vec::new(),
            epochs: 8,
            rates: vec![0.02, 0.05],
            trades_betas: vec![1.0, 3.0, 6.0],
            nus: vec![0.03, 0.1, 0.3],
            tuning_seeds: 1,
            evaluate_every: 2,
            black_box_queries: 100,
            max_train: 1_500,
            max_judged: 500,
            ..adversarial.clone()
        };
        Self {
            datasets: ["digits", "fashion-mnist", "letter", "omniglot-small"].map(String::from).to_vec(),
            many_class_datasets: ["letter", "omniglot-small"].map(String::from).to_vec(),
            taus: vec![0.0, 0.5, 1.0, 1.5, 2.0],
            rates: vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
            tuning_seeds: 2,
            hidden: vec![128, 128],
            epochs: 20,
            batch_size: 64,
            weight_decay: 1e-4,
            max_train: 10_000,
            max_test: 3_000,
            adversarial,
            adversarial_images: Some(images),
            theory: TheorySettings {
                taus: vec![0.0, 0.5, 1.0, 1.5, 2.0, 3.0],
                classes: vec![10, 100],
                excess: 0.05,
                hypotheses: 1000,
            },
        }
    }

    fn quick() -> Self {
        let full = Self::full();
        Self {
            datasets: vec!["digits".into()],
            many_class_datasets: Vec::new(),
            taus: vec![0.0, 1.0, 2.0],
            rates: vec![0.003, 0.03, 0.3, 1.0],
            adversarial: AdversarialSettings {
                epochs: 30,
                rates: vec![0.1],
                trades_betas: vec![3.0],
                nus: vec![0.1, 0.3],
                seeds: 1,
                evaluation_steps: 20,
                evaluation_restarts: 2,
                black_box_queries: 100,
                ..full.adversarial
            },
            adversarial_images: None,
            ..full
        }
    }

    fn smoke() -> Self {
        let quick = Self::quick();
        let adversarial = AdversarialSettings {
            widths: vec![32],
            attack_steps: 3,
            epochs: 4,
            nus: vec![0.3],
            evaluate_every: 2,
            evaluation_steps: 5,
            black_box_queries: 10,
            max_train: 400,
            max_judged: 100,
            ..quick.adversarial
        };
        Self {
            rates: vec![0.03, 0.3],
            hidden: vec![32],
            epochs: 4,
            max_train: 400,
            max_test: 200,
            adversarial_images: Some(AdversarialSettings {
                network: "lenet".into(),
                widths: Vec::new(),
                ..adversarial.clone()
            }),
            adversarial,
            theory: TheorySettings { hypotheses: 100, ..quick.theory },
            ..quick
        }
    }
}
