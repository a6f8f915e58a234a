//! The settings of `kiln train`, as flags and as `train.toml`.

use std::path::Path;

use kiln_data::text::{CorpusOptions, Unit};
use kiln_data::{BagOptions, BagTargets, LabelNoise, OpenOptions, SplitOptions, Task};
use serde::{Deserialize, Serialize};

use super::{FitSettings, SCHEDULES, Selector, TrainingTask, default_bag_loss, default_loss};
use crate::LabError;

/// Everything that decides a training. Each field is a flag of `kiln train` and a key of `train.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// Name of a data set, or a file or folder.
    pub data: String,
    /// Column to predict; the last one by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Class, number, next word or picture; decided by the data where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TrainingTask>,
    /// Columns that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Height and width to which picture files are resized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<(usize, usize)>,
    /// Where pictures come out: side of the square windows that are learnt from; whole pictures where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// Of an autoencoder: pictures in colour are taken as grey.
    #[serde(skip_serializing_if = "is_false")]
    pub grey: bool,
    /// Of an upscaler: how many times larger a picture becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<usize>,
    /// Whether the first line of a table names the columns; decided by the lines where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Column with the id of each row's bag, where targets are known in the mean over bags only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bags: Option<String>,
    /// Whether the target columns hold the mean of the bag or each row's own target; the bag's where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bag_targets: Option<BagTargets>,
    /// Of text: words before the one to predict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// Of text: words that come less often in the training text are `<unk>`, which is never to be predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_count: Option<usize>,
    /// Of text: words or bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Noise on the labels of the training and validation rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_noise: Option<LabelNoise>,
    /// Random changes of the training pictures, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<Selector>,
    /// The network; where nothing is said, the task's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Selector>,
    /// What stands between the network's features and its classes.
    pub output_layer: Selector,
    /// What is minimised; where nothing is said, the output layer's own, see
    /// [`OutputLayer::default_loss`](super::OutputLayer::default_loss).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Selector>,
    /// How gradients become steps.
    pub optimizer: Selector,
    /// Passes over the training set.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// Learning rate before the schedule.
    pub lr: f64,
    /// Change of the learning rate.
    pub schedule: Selector,
    /// Decides the initial weights, the splits, the order of the examples, and the draws of a loss that draws.
    pub seed: u64,
    /// Stop after so many epochs without a better validation loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Probes that watch the training.
    pub watch: Vec<String>,
    /// Fraction of the rows that are not test rows, held out to choose the epoch, where the data set has no split of its own.
    pub validation: f64,
    /// Fraction of the data held out to measure the result, where the data set has no split of its own; where nothing is said,
    /// a fifth of rows and a tenth of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<f64>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            data: String::new(),
            target: None,
            task: None,
            ignore: Vec::new(),
            image_size: None,
            crop: None,
            grey: false,
            factor: None,
            header: None,
            bags: None,
            bag_targets: None,
            context: None,
            min_count: None,
            unit: None,
            label_noise: None,
            augment: Vec::new(),
            model: None,
            output_layer: Selector::named("dense"),
            loss: None,
            optimizer: Selector::named("adam"),
            epochs: 20,
            batch_size: 64,
            lr: 1e-3,
            schedule: Selector::named("constant"),
            seed: 1,
            patience: None,
            watch: Vec::new(),
            validation: 0.1,
            test: None,
        }
    }
}

impl TrainConfig {
    /// Names of all keys of `train.toml`.
    pub const KEYS: [&str; 29] = [
        "data",
        "target",
        "task",
        "ignore",
        "image-size",
        "crop",
        "grey",
        "factor",
        "header",
        "bags",
        "bag-targets",
        "context",
        "min-count",
        "unit",
        "label-noise",
        "augment",
        "model",
        "output-layer",
        "loss",
        "optimizer",
        "epochs",
        "batch-size",
        "lr",
        "schedule",
        "seed",
        "patience",
        "watch",
        "validation",
        "test",
    ];

    /// Reads a `train.toml`.
    ///
    /// # Errors
    /// [`LabError::Io`] when the file cannot be read, [`LabError::Configuration`] with the line and the key when it does
    /// not say what it could.
    pub fn read(path: &Path) -> Result<Self, LabError> {
        let text = std::fs::read_to_string(path).map_err(|error| LabError::io("read", path, error))?;
        let wrong = |reason: String| LabError::Configuration { path: path.to_path_buf(), reason };
        let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if let Some(key) = table.keys().find(|key| !Self::KEYS.contains(&key.as_str())) {
            let nearest = kiln_data::nearest(key, Self::KEYS).map(|name| format!("; did you mean `{name}`?"));
            return Err(wrong(format!("unknown key `{key}`{}", nearest.unwrap_or_default())));
        }
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))
    }

    /// Refuses values that no training can have.
    ///
    /// # Errors
    /// [`LabError::Setting`] with the flag, the value and what would be right.
    pub fn check(&self) -> Result<(), LabError> {
        if self.data.is_empty() {
            return Err(LabError::setting("data", "", "the name of a data set (see `kiln data list`) or a file"));
        }
        if self.epochs == 0 {
            return Err(LabError::setting("epochs", self.epochs, "at least 1"));
        }
        if self.batch_size == 0 {
            return Err(LabError::setting("batch-size", self.batch_size, "at least 1"));
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return Err(LabError::setting("lr", self.lr, "a learning rate above 0"));
        }
        if self.patience == Some(0) {
            return Err(LabError::setting("patience", 0, "at least 1"));
        }
        for (flag, count) in [("context", self.context), ("min-count", self.min_count), ("crop", self.crop)] {
            if count == Some(0) {
                return Err(LabError::setting(flag, 0, "at least 1"));
            }
        }
        if let Some(factor) = self.factor.filter(|factor| !(2..=4).contains(factor)) {
            return Err(LabError::setting("factor", factor, "2, 3 or 4"));
        }
        let test = self.test_fraction();
        for (flag, fraction) in [("validation", self.validation), ("test", test)] {
            if !(fraction > 0.0 && fraction < 1.0) {
                return Err(LabError::setting(flag, fraction, "a fraction above 0 and below 1"));
            }
        }
        Ok(())
    }

    /// Fraction of the data held out to measure the result.
    pub fn test_fraction(&self) -> f64 {
        let is_text = self.task == Some(TrainingTask::LanguageModel);
        self.test.unwrap_or(if is_text { CorpusOptions::default().test } else { 0.2 })
    }

    /// The network, by name.
    pub fn model(&self) -> Selector {
        let usual = match self.task {
            Some(TrainingTask::LanguageModel) => "ngram",
            Some(TrainingTask::Autoencode) => "autoencoder",
            Some(TrainingTask::Upscale) => "srcnn",
            _ => "mlp",
        };
        self.model.clone().unwrap_or_else(|| Selector::named(usual))
    }

    /// What is minimised, by name.
    pub fn loss(&self) -> Selector {
        self.loss.clone().unwrap_or_else(|| match &self.bags {
            Some(_) => default_bag_loss(),
            None => default_loss(self.task.and_then(TrainingTask::of_rows).unwrap_or(Task::Classify)),
        })
    }

    /// How text is read and cut.
    pub fn corpus_options(&self) -> CorpusOptions {
        let usual = CorpusOptions::default();
        CorpusOptions {
            unit: self.unit.unwrap_or_default(),
            min_count: self.min_count.unwrap_or(usual.min_count),
            test: self.test_fraction(),
            validation: self.validation,
            ..usual
        }
    }

    /// How the data is read and split.
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions {
            target: self.target.clone(),
            task: self.task.and_then(TrainingTask::of_rows),
            ignore: self.ignore.clone(),
            image_size: self.image_size,
            header: self.header,
            bags: self.bag_options(),
            split: SplitOptions {
                test: self.test_fraction(),
                validation: self.validation,
                seed: self.seed,
                ..SplitOptions::default()
            },
            ..OpenOptions::default()
        }
    }

    /// Which rows are in one bag, where any are.
    fn bag_options(&self) -> Option<BagOptions> {
        let column = self.bags.clone()?;
        Some(BagOptions { column, targets: self.bag_targets.unwrap_or_default() })
    }

    /// How long and how fast, for [`fit`](super::fit) and [`train`](super::train).
    ///
    /// # Errors
    /// [`LabError::Selector`] when the schedule does not exist or a setting of it is not right.
    pub fn fit_settings(&self) -> Result<FitSettings, LabError> {
        Ok(FitSettings {
            epochs: self.epochs,
            batch_size: self.batch_size,
            learning_rate: self.lr,
            schedule: SCHEDULES.build(&self.schedule)?,
            seed: self.seed,
        })
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_configuration_reads_back() {
        let config = TrainConfig { data: "digits".into(), watch: vec!["filters".into()], ..Default::default() };
        let text = toml::to_string(&config).unwrap();
        assert!(text.contains("batch-size = 64"), "{text}");
        assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config);
    }

    #[test]
    fn every_field_is_a_known_key() {
        let config = TrainConfig {
            target: Some("y".into()),
            task: Some(TrainingTask::Classify),
            context: Some(5),
            min_count: Some(2),
            unit: Some(Unit::Words),
            model: Some(Selector::named("mlp")),
            test: Some(0.2),
            loss: Some(Selector::named("mae")),
            ignore: vec!["id".into()],
            image_size: Some((32, 32)),
            crop: Some(32),
            grey: true,
            factor: Some(2),
            header: Some(true),
            bags: Some("id".into()),
            bag_targets: Some(BagTargets::Row),
            label_noise: Some(LabelNoise::Uniform(0.3)),
            augment: vec![Selector::named("flip")],
            patience: Some(3),
            ..Default::default()
        };
        let written = toml::Table::try_from(&config).unwrap();
        let mut known = TrainConfig::KEYS.to_vec();
        known.sort_unstable();
        assert_eq!(written.keys().map(String::as_str).collect::<Vec<_>>(), known);
    }

    #[test]
    fn a_misspelt_key_gets_the_nearest_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.toml");
        std::fs::write(&path, "data = \"digits\"\nlos = \"mae\"\n").unwrap();
        let error = TrainConfig::read(&path).unwrap_err();
        assert!(error.is_usage());
        assert!(error.to_string().ends_with("train.toml: unknown key `los`; did you mean `loss`?"), "{error}");
    }

    #[test]
    fn wrong_keys_and_values_are_refused() {
        assert!(toml::from_str::<TrainConfig>("batchsize = 3").is_err());
        assert!(toml::from_str::<TrainConfig>("loss = \"a:b\"").is_err());
        let good = TrainConfig { data: "digits".into(), ..Default::default() };
        assert!(good.check().is_ok());
        assert!(TrainConfig { lr: f64::NAN, ..good.clone() }.check().is_err());
        assert!(TrainConfig { epochs: 0, ..good.clone() }.check().is_err());
        // The validation rows are a share of what is left after the test rows.
        assert!(TrainConfig { validation: 0.5, test: Some(0.5), ..good }.check().is_ok());
    }
}
