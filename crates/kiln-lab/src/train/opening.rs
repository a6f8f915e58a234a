//! The data of a training, and what it decides where the person has said nothing.

use kiln_data::{DataDir, DataError, Splits, TargetEncoding, Task, is_text, open, open_text};
use kiln_nn::NetworkConfig;

use super::task::refuse_other;
use super::{LANGUAGE_MODELS, MODELS, OUTPUT_LAYERS, TrainConfig, TrainingTask};
use crate::LabError;

impl TrainConfig {
    /// Opens the data, and fills in what it decides: the task, the model, the loss, and of text how it is read.
    ///
    /// # Errors
    /// [`LabError::Setting`] for a task that the data is not for, and for settings of another task; the errors of
    /// [`open`] and [`open_text`].
    pub fn open(mut self, dir: &DataDir) -> Result<(Self, Splits), LabError> {
        let text = is_text(&self.data, dir);
        match self.task {
            Some(TrainingTask::LanguageModel) => {}
            Some(task) if task.gives_images() => {
                return Err(LabError::setting(
                    "task",
                    task,
                    "a class, a number or a word: pictures have `open_images`",
                ));
            }
            None if text => self.task = Some(TrainingTask::LanguageModel),
            Some(task) if text => {
                let fitting = format!("{}, for {} is running text", TrainingTask::LanguageModel, self.data);
                return Err(LabError::setting("task", task, fitting));
            }
            _ => {}
        }
        self.refuse_settings_of_images()?;
        self.refuse_foreign_settings()?;
        let splits = if self.task == Some(TrainingTask::LanguageModel) {
            self.open_text(dir)?
        } else {
            let splits = open(&self.data, dir, &self.open_options())?;
            self.task = Some(task_of(&splits).into());
            splits
        };
        self.model = Some(self.model());
        self.test = Some(self.test_fraction());
        if splits.bags.is_some() {
            self.refuse_what_needs_rows()?;
            self.loss = Some(self.loss());
        }
        let layer = OUTPUT_LAYERS.build(&self.output_layer)?;
        self.loss.get_or_insert_with(|| layer.default_loss(&splits.train));
        Ok((self, splits))
    }

    fn open_text(&mut self, dir: &DataDir) -> Result<Splits, LabError> {
        const CONTEXT: usize = 5;
        let options = self.corpus_options();
        let context = *self.context.get_or_insert(CONTEXT);
        (self.unit, self.min_count) = (Some(options.unit), Some(options.min_count));
        open_text(&self.data, dir, &options, context).map_err(|error| match error {
            DataError::InvalidOption { option: "data", value, .. } => {
                let fitting = format!("classify or regress, for {value} has rows with a target and is no running text");
                LabError::setting("task", TrainingTask::LanguageModel, fitting)
            }
            other => other.into(),
        })
    }

    /// Refuses what looks at the targets of single rows, where only the means of bags are known.
    fn refuse_what_needs_rows(&self) -> Result<(), LabError> {
        if let Some(noise) = &self.label_noise {
            return Err(LabError::setting("label-noise", noise, "left out: rows in bags have no labels of their own"));
        }
        if self.output_layer.name() != OUTPUT_LAYERS.entries[0].name {
            let expected = "dense, for the loss on bags; the others learn from the targets of single rows";
            return Err(LabError::setting("output-layer", &self.output_layer, expected));
        }
        Ok(())
    }

    /// Refuses settings that mean nothing for the task.
    fn refuse_foreign_settings(&self) -> Result<(), LabError> {
        if let (Some(targets), None) = (self.bag_targets, &self.bags) {
            return Err(LabError::setting(
                "bag-targets",
                targets.name(),
                "left out, or the bag column named with --bags",
            ));
        }
        let shown = |given: &dyn ToString| Some(given.to_string());
        let of_text = [
            ("context", self.context.as_ref().and_then(|context| shown(context))),
            ("min-count", self.min_count.as_ref().and_then(|count| shown(count))),
            ("unit", self.unit.map(|unit| format!("{unit:?}").to_lowercase())),
        ];
        let of_rows = [
            ("target", self.target.clone()),
            ("ignore", (!self.ignore.is_empty()).then(|| self.ignore.join(","))),
            ("image-size", self.image_size.map(|(height, width)| format!("{height}x{width}"))),
            ("header", self.header.as_ref().and_then(|header| shown(header))),
            ("bags", self.bags.clone()),
        ];
        let (foreign, expected) = match self.task {
            Some(TrainingTask::LanguageModel) => {
                (&of_rows[..], "left out: running text has no columns and no pictures")
            }
            _ => (&of_text[..], "left out: it is for running text, --task language-model"),
        };
        match foreign.iter().find_map(|(key, value)| Some((key, value.as_ref()?))) {
            Some((key, value)) => Err(LabError::setting(key, value, expected)),
            None => Ok(()),
        }
    }

    /// The network with its output layer, but for the shape of the data.
    ///
    /// # Errors
    /// [`LabError::Selector`] where the model or the output layer does not exist, is for another task, or where they do not
    /// go together.
    pub fn network(&self) -> Result<NetworkConfig, LabError> {
        let (model, layer) = (self.model(), OUTPUT_LAYERS.build(&self.output_layer)?);
        let network = if self.task == Some(TrainingTask::LanguageModel) {
            refuse_other(&model, "rows of numbers", &MODELS, "the next word of a text", &LANGUAGE_MODELS)?;
            LANGUAGE_MODELS.build(&model)?
        } else {
            refuse_other(&model, "running text", &LANGUAGE_MODELS, "a class or a number", &MODELS)?;
            MODELS.build(&model)?
        };
        Ok(layer.fit_network(network)?)
    }
}

/// The task of what was opened; class proportions are for classes.
fn task_of(splits: &Splits) -> Task {
    match splits.preprocessing.targets {
        TargetEncoding::Classes { .. } => Task::Classify,
        TargetEncoding::Values { .. } | TargetEncoding::Pixels => Task::Regress,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(data: &str, change: impl FnOnce(&mut TrainConfig)) -> Result<TrainConfig, String> {
        let mut config = TrainConfig { data: data.into(), ..Default::default() };
        change(&mut config);
        let (config, _) = config.open(&DataDir::find(None)).map_err(|error| error.to_string())?;
        config.network().map(|_| config).map_err(|error| error.to_string())
    }

    #[test]
    fn the_data_decides_what_nobody_has_said() {
        let text = opened("austen", |_| {}).unwrap();
        let written = toml::to_string(&text).unwrap();
        for line in [
            "task = \"language-model\"",
            "context = 5",
            "min-count = 2",
            "unit = \"words\"",
            "model = \"ngram\"",
            "loss = \"cross-entropy\"",
            "test = 0.1",
        ] {
            assert!(written.contains(line), "{line}: {written}");
        }
        assert_eq!(toml::from_str::<TrainConfig>(&written).unwrap(), text);
        let again = text.clone().open(&DataDir::find(None)).unwrap().0;
        assert_eq!(again, text);
        let factored = opened("austen", |config| config.output_layer = "factored:lr=2".parse().unwrap()).unwrap();
        assert_eq!(factored.loss.unwrap().to_string(), "z-loss");
        let rows = opened("digits", |_| {}).unwrap();
        assert_eq!((rows.task, rows.test, rows.context), (Some(TrainingTask::Classify), Some(0.2), None));
        assert_eq!(rows.model.unwrap().to_string(), "mlp");
    }

    #[test]
    fn what_is_for_another_task_is_refused_with_what_fits() {
        let refused = |data: &str, change: fn(&mut TrainConfig)| opened(data, change).unwrap_err();
        let message = refused("digits", |config| config.task = Some(TrainingTask::LanguageModel));
        assert!(message.contains("`task` cannot be `language-model`: classify or regress"), "{message}");
        let message = refused("austen", |config| config.task = Some(TrainingTask::Regress));
        assert!(message.contains("`task` cannot be `regress`: language-model"), "{message}");
        let message = refused("digits", |config| config.min_count = Some(3));
        assert!(message.contains("`min-count` cannot be `3`: left out"), "{message}");
        let message = refused("austen", |config| config.target = Some("y".into()));
        assert!(message.contains("`target` cannot be `y`: left out"), "{message}");
        let message = refused("austen", |config| config.model = Some("mlp".parse().unwrap()));
        assert!(message.contains("for the next word of a text there are: ngram, decoder"), "{message}");
        let message = refused("digits", |config| config.model = Some("ngram".parse().unwrap()));
        assert!(message.contains("model 'ngram' is for running text"), "{message}");
        let message = refused("digits", |config| config.output_layer = "hierarchical".parse().unwrap());
        assert!(message.contains("classes in the order of their frequency"), "{message}");
    }
}
