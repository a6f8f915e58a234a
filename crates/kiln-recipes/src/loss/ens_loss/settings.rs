//! What the reproduction of EnsLoss can be told.

use kiln_lab::train::{LOSSES, MODELS, Selector};
use kiln_lab::{LabError, Scale};
use serde::{Deserialize, Serialize};

use super::tasks::check_task;

/// The loss that the claims are about, and the one that every comparison has.
pub(super) const ENSEMBLE: &str = "ens-loss";
pub(super) const LOGISTIC: &str = "logistic";

/// Settings of [`super::EnsLossRecipe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The losses; `ens-loss` and `logistic` are among them.
    pub losses: Vec<Selector>,
    /// Learning rates to choose from, for each loss, task and network on the validation split.
    pub rates: Vec<f64>,
    /// The one rate of the comparison in which all losses share it; among the rates.
    pub shared_rate: f64,
    /// Seeds, of all, on which the rate is chosen.
    pub tuning_seeds: usize,
    /// L2 penalty on all weights.
    pub weight_decay: f64,
    /// Weight decays of the part on compatibility.
    pub weight_decays: Vec<f64>,
    /// Dropout of the part on compatibility.
    pub dropout: f64,
    /// The part on tables.
    pub tables: ContestSettings,
    /// The part on pairs of images.
    pub images: ContestSettings,
}

/// Settings of a comparison on some tasks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContestSettings {
    /// Tasks: a binary set, or `SET:odd`, `SET:high`, `SET:A-B` for classes of one with more.
    pub tasks: Vec<String>,
    /// Networks.
    pub models: Vec<Selector>,
    /// Seeds, of all.
    pub seeds: usize,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// Training rows, drawn anew for each seed.
    pub train_rows: usize,
    /// At most this many validation and test rows.
    pub max_judged: usize,
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

    /// Refuses settings without the losses that are compared, and names that mean nothing.
    pub(super) fn check(&self) -> Result<(), LabError> {
        for needed in [ENSEMBLE, LOGISTIC] {
            if !self.losses.iter().any(|loss| loss.name() == needed) {
                return Err(LabError::setting("losses", "", format!("a list with {needed}, which is compared")));
            }
        }
        if self.losses.len() < 3 {
            return Err(LabError::setting("losses", self.losses.len(), "at least three losses"));
        }
        if !self.rates.contains(&self.shared_rate) || self.tuning_seeds == 0 {
            return Err(LabError::setting("shared_rate", self.shared_rate, "one of the rates, and a tuning seed"));
        }
        for loss in &self.losses {
            LOSSES.build(loss)?;
        }
        for contest in [&self.tables, &self.images] {
            contest.models.iter().try_for_each(|model| MODELS.build(model).map(drop))?;
            contest.tasks.iter().try_for_each(|task| check_task(task))?;
        }
        Ok(())
    }

    fn full() -> Self {
        let losses = ["ens-loss", "logistic", "hinge", "exponential", "margin:phi=focal,gamma=2"];
        let tables = [
            "spambase",
            "breast_cancer_wdbc",
            "sonar",
            "ionosphere",
            "pima_diabetes",
            "house_votes_84",
            "digits:odd",
            "digits:high",
            "letter:odd",
        ];
        let pairs = ["fashion-mnist:6-0", "fashion-mnist:2-4", "fashion-mnist:6-4", "fashion-mnist:2-6"];
        Self {
            losses: losses.map(selector).to_vec(),
            rates: vec![0.003, 0.01, 0.03],
            shared_rate: 0.01,
            tuning_seeds: 3,
            weight_decay: 5e-4,
            weight_decays: vec![5e-5, 5e-4, 5e-3],
            dropout: 0.5,
            tables: ContestSettings {
                tasks: tables.map(String::from).to_vec(),
                models: ["256", "256-256-256", "256-256-256-256-256"].map(batch_normalised).to_vec(),
                seeds: 10,
                epochs: 80,
                batch_size: 64,
                train_rows: 128,
                max_judged: 1000,
            },
            images: ContestSettings {
                tasks: pairs.map(String::from).to_vec(),
                models: vec![selector("convnet:channels=8-16-32")],
                seeds: 5,
                epochs: 30,
                batch_size: 64,
                train_rows: 384,
                max_judged: 800,
            },
        }
    }

    fn quick() -> Self {
        let full = Self::full();
        Self {
            rates: vec![0.003, 0.01],
            tuning_seeds: 2,
            tables: ContestSettings {
                tasks: ["digits:odd", "breast_cancer_wdbc"].map(String::from).to_vec(),
                models: vec![batch_normalised("256-256-256")],
                seeds: 5,
                ..full.tables
            },
            images: ContestSettings { tasks: vec!["fashion-mnist:6-0".into()], seeds: 2, epochs: 10, ..full.images },
            ..full
        }
    }

    fn smoke() -> Self {
        let quick = Self::quick();
        Self {
            losses: ["ens-loss", "logistic", "hinge"].map(selector).to_vec(),
            rates: vec![0.03],
            shared_rate: 0.03,
            tuning_seeds: 1,
            weight_decays: vec![5e-4],
            tables: ContestSettings {
                tasks: vec!["digits:odd".into()],
                models: vec![batch_normalised("32")],
                seeds: 2,
                epochs: 40,
                max_judged: 200,
                ..quick.tables
            },
            images: ContestSettings {
                tasks: vec!["digits:3-8".into()],
                models: vec![selector("convnet:channels=4-4-4")],
                seeds: 2,
                epochs: 2,
                train_rows: 64,
                max_judged: 100,
                ..quick.images
            },
            ..quick
        }
    }
}

fn batch_normalised(hidden: &str) -> Selector {
    selector(&format!("mlp:hidden={hidden},norm=batch"))
}

fn selector(text: &str) -> Selector {
    text.parse().expect("the recipe's own selectors are well-formed")
}
