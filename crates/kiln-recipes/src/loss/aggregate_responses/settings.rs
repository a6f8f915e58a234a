//! What the reproduction of learning from aggregate responses can be told.

use kiln_lab::{LabError, Scale};
use kiln_loss::aggregate::{BagCrossValidation, BagCrossValidationConfig, RHO_GRID};
use serde::{Deserialize, Serialize};

/// Settings of [`super::AggregateResponsesRecipe`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Shares of the instance-level loss, from 0 to 1: with many rows for each feature the best ones are small.
    pub rhos: Vec<f64>,
    /// Parts of the cross-validation over bags that chooses one of them, by a single division, as `interpolate=auto` does.
    pub folds: usize,
    /// How often the bags are divided for the choice beside it, which is only reported.
    pub repeats: usize,
    /// Theory beside simulation.
    pub simulation: SimulationSettings,
    /// Linear models on tables.
    pub tables: TableSettings,
    /// A network on the largest table.
    pub network: NetworkSettings,
    /// A network on digits.
    pub classification: NetworkSettings,
    /// Private means.
    pub privacy: PrivacySettings,
}

/// Settings of the simulation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SimulationSettings {
    /// Number of features.
    pub features: usize,
    /// Rows for each feature.
    pub rows_per_feature: Vec<f64>,
    /// Rows of a bag.
    pub bag_sizes: Vec<usize>,
    /// Variance that the features explain.
    pub signal: f64,
    /// Variance that they do not.
    pub noise: f64,
    /// How many of the run's seeds are used.
    pub seeds: usize,
}

/// Settings of the linear models on tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TableSettings {
    /// Data sets.
    pub datasets: Vec<String>,
    /// Rows of a bag.
    pub bag_sizes: Vec<usize>,
    /// Share of the rows that is learnt from.
    pub train: f64,
    /// How many of the run's seeds are used; each draws rows and bags anew.
    pub seeds: usize,
}

/// Settings of a network on one set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NetworkSettings {
    /// Data set.
    pub dataset: String,
    /// Rows of a bag.
    pub bag_sizes: Vec<usize>,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows a step.
    pub batch_size: usize,
    /// Learning rates of Adam to choose from, for each bag size and share by the error of held-out bags in the
    /// cross-validation.
    pub rates: Vec<f64>,
    /// At most this many training rows.
    pub max_train: usize,
    /// How many of the run's seeds are used.
    pub seeds: usize,
}

/// Settings of the part on private means.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PrivacySettings {
    /// Losses of privacy.
    pub epsilons: Vec<f64>,
    /// Rows of a bag.
    pub bag_sizes: Vec<usize>,
    /// Number of features of the simulation.
    pub features: usize,
    /// Rows for each feature.
    pub rows_per_feature: f64,
    /// Variance that the features explain.
    pub signal: f64,
    /// Variance that they do not.
    pub noise: f64,
    /// Width of the range of a response.
    pub range: f64,
    /// A real table.
    pub dataset: String,
    /// How many of the run's seeds are used.
    pub seeds: usize,
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

    /// The choice of a share for which the bags are divided so often.
    pub(super) fn cross_validation(&self, repeats: usize) -> Result<BagCrossValidation, LabError> {
        let config = BagCrossValidationConfig::new().with_rhos(self.rhos.clone()).with_folds(self.folds);
        Ok(config.with_repeats(repeats).init()?)
    }

    /// Refuses settings from which nothing can be concluded.
    pub(super) fn check(&self, seeds: usize) -> Result<(), LabError> {
        let are_rising = self.rhos.windows(2).all(|pair| pair[0] < pair[1]);
        if self.rhos.len() < 3 || self.rhos.first() != Some(&0.0) || self.rhos.last() != Some(&1.0) || !are_rising {
            let given = format!("{:?}", self.rhos);
            return Err(LabError::setting("rhos", given, "rising from 0 to 1 with at least one value between"));
        }
        if self.repeats == 0 {
            return Err(LabError::setting("repeats", 0, "at least 1"));
        }
        if self.folds < 2 {
            return Err(LabError::setting("folds", self.folds, "at least 2"));
        }
        if !(self.tables.train > 0.0 && self.tables.train < 1.0) {
            return Err(LabError::setting("tables.train", self.tables.train, "a fraction above 0 and below 1"));
        }
        let counts = [
            ("simulation.seeds", self.simulation.seeds),
            ("tables.seeds", self.tables.seeds),
            ("network.seeds", self.network.seeds),
            ("classification.seeds", self.classification.seeds),
            ("privacy.seeds", self.privacy.seeds),
        ];
        for (key, count) in counts {
            if count == 0 || count > seeds {
                return Err(LabError::setting(
                    key,
                    count,
                    format!("from 1 to {seeds}, the number of seeds of the run"),
                ));
            }
        }
        for (key, sizes) in [
            ("simulation.bag_sizes", &self.simulation.bag_sizes),
            ("tables.bag_sizes", &self.tables.bag_sizes),
            ("network.bag_sizes", &self.network.bag_sizes),
            ("classification.bag_sizes", &self.classification.bag_sizes),
            ("privacy.bag_sizes", &self.privacy.bag_sizes),
        ] {
            if sizes.is_empty() || sizes.contains(&0) {
                return Err(LabError::setting(key, format!("{sizes:?}"), "at least one bag size of at least 1"));
            }
        }
        for (key, rates) in
            [("network.rates", &self.network.rates), ("classification.rates", &self.classification.rates)]
        {
            if rates.is_empty() || rates.iter().any(|rate| !(rate.is_finite() && *rate > 0.0)) {
                return Err(LabError::setting(key, format!("{rates:?}"), "at least one learning rate above 0"));
            }
        }
        Ok(())
    }

    fn full() -> Self {
        Self {
            rhos: RHO_GRID.to_vec(),
            folds: BagCrossValidationConfig::new().folds,
            repeats: 10,
            simulation: SimulationSettings {
                features: 150,
                rows_per_feature: vec![3.0, 4.0, 6.0, 10.0],
                bag_sizes: vec![2, 4, 8],
                signal: 1.0,
                noise: 1.0,
                seeds: 20,
            },
            tables: TableSettings {
                datasets: ["diabetes_efron", "abalone", "winequality_red", "bikeshare_hourly_2011"]
                    .map(String::from)
                    .to_vec(),
                bag_sizes: vec![4, 8, 16],
                train: 0.724,
                seeds: 40,
            },
            network: NetworkSettings {
                dataset: "bikeshare_hourly_2011".into(),
                bag_sizes: vec![4, 16, 64],
                hidden: vec![64, 64],
                epochs: 40,
                batch_size: 256,
                rates: vec![1e-3, 3e-3, 1e-2],
                max_train: 4096,
                seeds: 10,
            },
            classification: NetworkSettings {
                dataset: "digits".into(),
                bag_sizes: vec![4, 8, 16],
                hidden: vec![64],
                epochs: 60,
                batch_size: 64,
                rates: vec![1e-3, 3e-3, 1e-2],
                max_train: 4096,
                seeds: 5,
            },
            privacy: PrivacySettings {
                epsilons: vec![0.5, 1.0, 2.0, 8.0],
                bag_sizes: vec![1, 2, 4, 8, 16],
                features: 100,
                rows_per_feature: 20.0,
                signal: 1.0,
                noise: 0.5,
                range: 4.0,
                dataset: "bikeshare_hourly_2011".into(),
                seeds: 40,
            },
        }
    }

    fn quick() -> Self {
        let full = Self::full();
        Self {
            simulation: SimulationSettings {
                rows_per_feature: vec![6.0, 10.0],
                bag_sizes: vec![4],
                seeds: 10,
                ..full.simulation
            },
            tables: TableSettings {
                datasets: vec!["diabetes_efron".into()],
                bag_sizes: vec![8],
                seeds: 10,
                ..full.tables
            },
            network: NetworkSettings {
                bag_sizes: vec![16],
                epochs: 10,
                rates: vec![3e-3],
                max_train: 1024,
                seeds: 1,
                ..full.network
            },
            classification: NetworkSettings {
                bag_sizes: vec![8],
                epochs: 30,
                rates: vec![3e-3],
                seeds: 1,
                ..full.classification
            },
            privacy: PrivacySettings { seeds: 10, ..full.privacy },
            ..full
        }
    }

    fn smoke() -> Self {
        let quick = Self::quick();
        Self {
            rhos: vec![0.0, 0.05, 0.1, 0.3, 1.0],
            folds: 3,
            repeats: 2,
            simulation: SimulationSettings { features: 40, rows_per_feature: vec![10.0], seeds: 3, ..quick.simulation },
            tables: TableSettings { seeds: 3, ..quick.tables },
            network: NetworkSettings { epochs: 2, max_train: 256, hidden: vec![16], ..quick.network },
            classification: NetworkSettings { epochs: 3, hidden: vec![16], max_train: 300, ..quick.classification },
            privacy: PrivacySettings {
                epsilons: vec![0.5, 8.0],
                bag_sizes: vec![1, 4, 16],
                features: 20,
                seeds: 3,
                ..quick.privacy
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_judged_is_what_the_library_does_when_nothing_is_said() {
        let library = BagCrossValidationConfig::new().init().unwrap();
        for scale in [Scale::Quick, Scale::Full] {
            let settings = Settings::of(scale);
            assert_eq!(settings.cross_validation(super::super::DIVISIONS).unwrap(), library);
        }
    }
}
