//! What the reproduction of the label-distributionally robust losses can be told.

use kiln_data::{OpenOptions, SplitOptions};
use kiln_lab::{LabError, Scale};
use serde::{Deserialize, Serialize};

use super::contenders::{self, ADAPTIVE, CROSS_ENTROPY, Contender, FIXED};
use super::network::{NARROW, Perceptron};
use super::noise;

/// Settings of [`super::LdrRecipe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The comparison on tables.
    pub tables: RankingSettings,
    /// The comparison on pictures.
    pub images: RankingSettings,
    /// Kinds of noise: `clean`, `uniform:RATE`, `class:RATE`.
    pub noises: Vec<String>,
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
    /// Fraction of the rows beside the test rows that settings are chosen on, with noisy labels.
    pub validation: f64,
    /// The part on the learnt temperatures.
    pub temperatures: TemperatureSettings,
    /// The losses with their settings to choose from.
    pub contenders: Vec<Contender>,
}

/// Settings of one of the comparisons.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankingSettings {
    /// Data sets.
    pub datasets: Vec<String>,
    /// The network: `narrow`, the paper's on tables with two hidden layers with tanh as wide as the fewer of inputs and classes,
    /// or the widths of hidden layers with rectification, such as `128-128`.
    pub network: String,
    /// Learning rates to choose from, for each loss on the noisy validation split.
    pub rates: Vec<f64>,
    /// How many of the run's seeds are used.
    pub seeds: usize,
    /// On how many of these rate and settings are chosen; noise, weights and order are drawn anew for each.
    pub tuning_seeds: usize,
}

/// Settings of the part on the learnt temperatures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TemperatureSettings {
    /// Data sets.
    pub datasets: Vec<String>,
    /// The network, as in [`RankingSettings`].
    pub network: String,
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

    /// How sets are opened: with a larger share of validation rows than usual, because their labels are noisy and few of them
    /// would leave the choice to chance.
    pub(super) fn open_options(&self) -> OpenOptions {
        let split = SplitOptions { validation: self.validation, ..SplitOptions::default() };
        OpenOptions { max_train: Some(self.max_train), split, ..OpenOptions::default() }
    }

    /// Refuses settings without the losses that the claims are about, and names that mean nothing.
    pub(super) fn check(&self) -> Result<(), LabError> {
        self.noises.iter().chain([&self.temperatures.noise]).try_for_each(|noise| noise::check(noise))?;
        for needed in [ADAPTIVE, FIXED, CROSS_ENTROPY] {
            if !self.contenders.iter().any(|contender| contender.name == needed) {
                return Err(LabError::setting("contenders", "", format!("a list with {needed}, which is compared")));
            }
        }
        self.tables.check("tables")?;
        self.images.check("images")?;
        Perceptron::named("temperatures.network", &self.temperatures.network)?;
        if !(self.validation > 0.0 && self.validation < 1.0) {
            return Err(LabError::setting("validation", self.validation, "a fraction above 0 and below 1"));
        }
        self.contenders.iter().try_for_each(Contender::check)
    }

    fn full() -> Self {
        let epochs = 30;
        // A grid that ended at 0.3 was left at its end by most losses.
        let rates = vec![0.01, 0.03, 0.1, 0.3, 1.0];
        let noises = ["clean", "uniform:0.3", "uniform:0.6", "uniform:0.9", "class:0.1", "class:0.3", "class:0.5"];
        Self {
            tables: RankingSettings {
                datasets: ["digits", "letter", "vowel", "satellite_landsat"].map(String::from).to_vec(),
                network: NARROW.into(),
                rates: rates.clone(),
                seeds: 5,
                tuning_seeds: 5,
            },
            images: RankingSettings {
                datasets: ["fashion-mnist", "mnist"].map(String::from).to_vec(),
                network: "128-128".into(),
                rates,
                seeds: 3,
                tuning_seeds: 3,
            },
            noises: noises.map(String::from).to_vec(),
            epochs,
            batch_size: 64,
            weight_decay: 5e-3,
            max_train: 1200,
            max_test: 1500,
            validation: 0.25,
            temperatures: TemperatureSettings {
                datasets: ["digits", "fashion-mnist"].map(String::from).to_vec(),
                network: "128-128".into(),
                noise: "uniform:0.3".into(),
                lambda0: 1.0,
                rate: 0.1,
            },
            contenders: contenders::all(epochs),
        }
    }

    fn quick() -> Self {
        let full = Self::full();
        let mut contenders = contenders::few(full.epochs);
        contenders.iter_mut().for_each(|contender| contender.further_rates.clear());
        let rates = vec![0.03, 0.1];
        Self {
            tables: RankingSettings {
                datasets: vec!["digits".into()],
                rates: rates.clone(),
                seeds: 2,
                tuning_seeds: 1,
                ..full.tables
            },
            images: RankingSettings { datasets: Vec::new(), rates, seeds: 2, tuning_seeds: 1, ..full.images },
            noises: ["clean", "uniform:0.6", "class:0.3"].map(String::from).to_vec(),
            temperatures: TemperatureSettings { datasets: vec!["digits".into()], ..full.temperatures },
            contenders,
            ..full
        }
    }

    fn smoke() -> Self {
        let mut quick = Self::quick();
        let epochs = 4;
        quick.contenders = contenders::few(epochs);
        for contender in &mut quick.contenders {
            contender.losses.truncate(1);
            contender.further_rates.clear();
        }
        quick.tables.rates = vec![0.1];
        quick.temperatures.network = "32".into();
        Self {
            noises: ["clean", "uniform:0.6"].map(String::from).to_vec(),
            epochs,
            max_train: 400,
            max_test: 200,
            ..quick
        }
    }
}

impl RankingSettings {
    fn check(&self, part: &str) -> Result<(), LabError> {
        let key = |name: &str| format!("{part}.{name}");
        Perceptron::named(&key("network"), &self.network)?;
        if self.rates.is_empty() {
            return Err(LabError::setting(&key("rates"), "[]", "at least one learning rate"));
        }
        if let Some(rate) = self.rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
            return Err(LabError::setting(&key("rates"), rate, "learning rates above 0"));
        }
        for (name, value) in [("seeds", self.seeds), ("tuning_seeds", self.tuning_seeds)] {
            if value == 0 {
                return Err(LabError::setting(&key(name), value, "at least 1"));
            }
        }
        Ok(())
    }
}
