//! What the reproduction of the label-distributionally robust losses can be told.

use kiln_lab::{LabError, Scale};
use serde::{Deserialize, Serialize};

use super::contenders::{self, ADAPTIVE, CROSS_ENTROPY, Contender, FIXED};
use super::noise;

/// Settings of [`super::LdrRecipe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Data sets.
    pub datasets: Vec<String>,
    /// Kinds of noise: `clean`, `uniform:RATE`, `class:RATE`.
    pub noises: Vec<String>,
    /// Learning rates to choose from, for each loss on the noisy validation split.
    pub rates: Vec<f64>,
    /// Seeds, of all, on which rate and settings are chosen.
    pub tuning_seeds: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Passes over the training split; the rate falls to a tenth after each third.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// L2 penalty on all weights.
    pub weight_decay: f64,
    /// At most this many training rows of each set.
    pub max_train: usize,
    /// At most this many test rows of each set.
    pub max_test: usize,
    /// The part on the learnt temperatures.
    pub temperatures: TemperatureSettings,
    /// The losses with their settings to choose from.
    pub contenders: Vec<Contender>,
}

/// Settings of the part on the learnt temperatures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TemperatureSettings {
    /// Data set.
    pub dataset: String,
    /// Kind of noise.
    pub noise: String,
    /// Largest temperature.
    pub lambda0: f64,
    /// Learning rate.
    pub rate: f64,
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

    /// Refuses settings without the losses that the claims are about, and names that mean nothing.
    pub(super) fn check(&self) -> Result<(), LabError> {
        self.noises.iter().chain([&self.temperatures.noise]).try_for_each(|noise| noise::check(noise))?;
        for needed in [ADAPTIVE, FIXED, CROSS_ENTROPY] {
            if !self.contenders.iter().any(|contender| contender.name == needed) {
                return Err(LabError::setting("contenders", "", format!("a list with {needed}, which is compared")));
            }
        }
        if self.rates.is_empty() || self.tuning_seeds == 0 {
            return Err(LabError::setting("rates", "[]", "at least one learning rate and one tuning seed"));
        }
        self.contenders.iter().try_for_each(Contender::check)
    }

    fn full() -> Self {
        let epochs = 30;
        let noises = ["clean", "uniform:0.3", "uniform:0.6", "uniform:0.9", "class:0.1", "class:0.3", "class:0.5"];
        Self {
            datasets: ["digits", "letter", "vowel", "satellite_landsat"].map(String::from).to_vec(),
            noises: noises.map(String::from).to_vec(),
            rates: vec![0.01, 0.03, 0.1, 0.3],
            tuning_seeds: 1,
            hidden: vec![128],
            epochs,
            batch_size: 64,
            weight_decay: 1e-3,
            max_train: 1200,
            max_test: 1500,
            temperatures: TemperatureSettings {
                dataset: "digits".into(),
                noise: "uniform:0.3".into(),
                lambda0: 1.0,
                rate: 0.1,
            },
            contenders: contenders::all(epochs),
        }
    }

    fn quick() -> Self {
        let full = Self::full();
        Self {
            datasets: vec!["digits".into()],
            noises: ["clean", "uniform:0.6", "class:0.3"].map(String::from).to_vec(),
            rates: vec![0.03, 0.1],
            contenders: contenders::few(full.epochs),
            ..full
        }
    }

    fn smoke() -> Self {
        let quick = Self::quick();
        let epochs = 4;
        let mut contenders = contenders::few(epochs);
        contenders.iter_mut().for_each(|contender| contender.losses.truncate(1));
        Self {
            noises: ["clean", "uniform:0.6"].map(String::from).to_vec(),
            rates: vec![0.1],
            hidden: vec![32],
            epochs,
            max_train: 400,
            max_test: 200,
            contenders,
            ..quick
        }
    }
}
