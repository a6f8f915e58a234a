//! What the reproduction of EnsLoss can be told.

use kiln_lab::train::Selector;
use kiln_lab::{Run, Scale};
use serde::{Deserialize, Serialize};

/// The loss that the claims are about, and the one that every comparison has.
pub(super) const ENSEMBLE: &str = "ens-loss";
pub(super) const LOGISTIC: &str = "logistic";

/// Settings of [`super::EnsLossRecipe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The losses; `ens-loss` and `logistic` are among them, each once.
    pub losses: Vec<Selector>,
    /// Learning rates to choose from, for each loss, task and network on the validation split.
    pub rates: Vec<f64>,
    /// The one rate of the comparison in which all losses share it; among the rates.
    pub shared_rate: f64,
    /// L2 penalty on all weights.
    pub weight_decay: f64,
    /// Weight decays of the part on compatibility.
    pub weight_decays: Vec<f64>,
    /// Dropout of the part on compatibility.
    pub dropout: f64,
    /// Random changes of the training pictures in the part on compatibility.
    pub augmentations: Vec<Selector>,
    /// The part on tables with few training rows; the course of its first task is drawn.
    pub tables: ContestSettings,
    /// The part on tables with more training rows.
    pub tables_large: ContestSettings,
    /// The part on pairs of grey images.
    pub images: ContestSettings,
    /// The part on photographs: pairs of colour images, and X-rays.
    pub photographs: ContestSettings,
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
    /// Seeds, of those, on which the learning rate is chosen.
    pub tuning_seeds: usize,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// Training rows, drawn anew for each seed.
    pub train_rows: usize,
    /// At most this many validation and test rows.
    pub max_judged: usize,
}

impl ContestSettings {
    /// The seeds that the run has for it.
    pub(super) fn seeds_of(&self, run: &Run) -> Vec<u64> {
        run.seeds().iter().copied().take(self.seeds).collect()
    }
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

    /// The one loss of that name.
    pub(super) fn loss(&self, name: &str) -> &Selector {
        self.losses.iter().find(|loss| loss.name() == name).expect("the losses were checked for it")
    }

    fn full() -> Self {
        let losses = ["ens-loss", "logistic", "hinge", "exponential", "margin:phi=focal,gamma=2"];
        let tables = [
            "sonar",
            "spambase",
            "breast_cancer_wdbc",
            "ionosphere",
            "pima_diabetes",
            "house_votes_84",
            "digits:odd",
            "digits:high",
            "letter:odd",
        ];
        let large = ["spambase", "pima_diabetes", "digits:odd", "digits:high", "letter:odd", "letter:high"];
        let pairs = ["fashion-mnist:6-0", "fashion-mnist:2-4", "fashion-mnist:6-4", "fashion-mnist:2-6"];
        let photographs = [
            "caltech10:0-1",
            "caltech10:0-2",
            "caltech10:1-2",
            "caltech10:0-3",
            "caltech10:1-3",
            "caltech10:2-3",
            "pneumoniamnist",
        ];
        let tables = ContestSettings {
            tasks: tables.map(String::from).to_vec(),
            models: ["256", "256-256-256", "256-256-256-256-256"].map(batch_normalised).to_vec(),
            seeds: 10,
            tuning_seeds: 3,
            epochs: 200,
            batch_size: 64,
            train_rows: 128,
            max_judged: 1000,
        };
        let images = ContestSettings {
            tasks: pairs.map(String::from).to_vec(),
            models: ["convnet:channels=8-16-32", "resnet:depth=8,width=4"].map(selector).to_vec(),
            seeds: 5,
            tuning_seeds: 2,
            epochs: 36,
            batch_size: 64,
            train_rows: 500,
            max_judged: 600,
        };
        Self {
            losses: losses.map(selector).to_vec(),
            rates: vec![0.003, 0.01, 0.03],
            shared_rate: 0.01,
            weight_decay: 5e-4,
            weight_decays: vec![5e-5, 5e-4, 5e-3],
            dropout: 0.5,
            augmentations: ["crop:padding=2", "flip"].map(selector).to_vec(),
            tables_large: ContestSettings {
                tasks: large.map(String::from).to_vec(),
                tuning_seeds: 2,
                epochs: 120,
                train_rows: 384,
                ..tables.clone()
            },
            tables,
            photographs: ContestSettings {
                tasks: photographs.map(String::from).to_vec(),
                models: vec![selector("convnet:channels=8-16-32")],
                train_rows: 240,
                ..images.clone()
            },
            images,
        }
    }

    fn quick() -> Self {
        let full = Self::full();
        let tables = ContestSettings {
            tasks: ["digits:odd", "breast_cancer_wdbc", "digits:high"].map(String::from).to_vec(),
            models: vec![batch_normalised("256-256-256")],
            seeds: 5,
            tuning_seeds: 2,
            epochs: 100,
            ..full.tables
        };
        let images = ContestSettings {
            tasks: vec!["fashion-mnist:6-0".into()],
            models: vec![selector("convnet:channels=4-8-16")],
            seeds: 2,
            epochs: 10,
            ..full.images
        };
        Self {
            rates: vec![0.003, 0.01],
            weight_decays: vec![5e-4],
            tables_large: ContestSettings {
                tasks: ["digits:odd", "spambase"].map(String::from).to_vec(),
                models: vec![batch_normalised("256")],
                seeds: 5,
                epochs: 80,
                ..full.tables_large
            },
            tables,
            photographs: ContestSettings {
                tasks: vec!["caltech10:0-1".into()],
                train_rows: images.train_rows.min(240),
                ..images.clone()
            },
            images,
            ..full
        }
    }

    fn smoke() -> Self {
        let quick = Self::quick();
        let tables = ContestSettings {
            tasks: vec!["digits:odd".into()],
            models: vec![batch_normalised("32")],
            seeds: 2,
            tuning_seeds: 1,
            epochs: 40,
            max_judged: 200,
            ..quick.tables
        };
        let images = ContestSettings {
            tasks: vec!["digits:3-8".into()],
            models: vec![selector("convnet:channels=4-4-4")],
            tuning_seeds: 1,
            epochs: 2,
            train_rows: 64,
            max_judged: 100,
            ..quick.images
        };
        Self {
            losses: ["ens-loss", "logistic", "hinge"].map(selector).to_vec(),
            rates: vec![0.03],
            shared_rate: 0.03,
            tables_large: ContestSettings { epochs: 8, train_rows: 384, ..tables.clone() },
            tables,
            photographs: ContestSettings {
                tasks: vec!["caltech10:0-1".into()],
                train_rows: images.train_rows.min(240),
                ..images.clone()
            },
            images,
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
