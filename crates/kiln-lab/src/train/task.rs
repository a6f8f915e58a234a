//! What is learnt, and the losses that fit it.

use std::fmt;
use std::str::FromStr;

use kiln_data::{ArrayDataset, Task};
use kiln_loss::{ClassificationLoss, RegressionLoss};
use serde::{Deserialize, Serialize};

use super::selector::{Entry, Registry, SelectorError, SettingInfo};
use super::{BAG_LOSSES, LOSSES, Objective, RegressionObjective, Selector};

/// Losses on numbers by name. Numbers to predict are standardised, so that 1 is a standard deviation of the training rows.
pub const REGRESSION_LOSSES: Registry<RegressionLoss> = Registry {
    kind: "loss",
    entries: &[
        Entry {
            name: "mse",
            summary: "mean squared error: predicts the mean",
            settings: &[],
            build: |_| Ok(RegressionLoss::Mse),
        },
        Entry {
            name: "l1",
            summary: "mean absolute error: predicts the median, little moved by outliers",
            settings: &[],
            build: |_| Ok(RegressionLoss::L1),
        },
        Entry {
            name: "huber",
            summary: "squared near zero, absolute beyond delta",
            settings: &[SettingInfo {
                key: "delta",
                default: "1",
                about: "above 0, in standard deviations of the target over the training rows",
            }],
            build: |settings| {
                RegressionLoss::huber(settings.number("delta", 1.0)?).map_err(|error| settings.refused(error))
            },
        },
        Entry {
            name: "log-cosh",
            summary: "logarithm of the hyperbolic cosine: squared near zero, absolute far away, smooth everywhere",
            settings: &[],
            build: |_| Ok(RegressionLoss::LogCosh),
        },
    ],
};

/// What a training is for, as a person says it.
///
/// ```
/// use kiln_lab::train::TrainingTask;
///
/// let task: TrainingTask = "language-model".parse()?;
/// assert_eq!(task.to_string(), "language-model");
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingTask {
    /// A class for each row.
    Classify,
    /// Numbers for each row.
    Regress,
    /// The next word of a text.
    LanguageModel,
    /// A picture from its code.
    Autoencode,
    /// A picture from one with fewer pixels.
    Upscale,
}

impl TrainingTask {
    /// All of them, in the order in which messages name them.
    pub const ALL: [Self; 5] = [Self::Classify, Self::Regress, Self::LanguageModel, Self::Autoencode, Self::Upscale];

    /// Whether pictures come out.
    pub fn gives_images(self) -> bool {
        matches!(self, Self::Autoencode | Self::Upscale)
    }

    /// What it says about the targets of rows; nothing for text and where pictures come out.
    pub fn of_rows(self) -> Option<Task> {
        match self {
            Self::Classify => Some(Task::Classify),
            Self::Regress => Some(Task::Regress),
            Self::LanguageModel | Self::Autoencode | Self::Upscale => None,
        }
    }
}

impl From<Task> for TrainingTask {
    fn from(task: Task) -> Self {
        match task {
            Task::Classify => Self::Classify,
            Task::Regress => Self::Regress,
        }
    }
}

impl fmt::Display for TrainingTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classify => "classify",
            Self::Regress => "regress",
            Self::LanguageModel => "language-model",
            Self::Autoencode => "autoencode",
            Self::Upscale => "upscale",
        })
    }
}

impl FromStr for TrainingTask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|task| task.to_string() == text);
        found.ok_or_else(|| {
            let [others @ .., last] = Self::ALL.map(|task| task.to_string());
            format!("{} or {last} is needed", others.join(", "))
        })
    }
}

/// The task of data that is learnt from.
pub fn task_of(data: &ArrayDataset) -> Task {
    if data.is_classification() { Task::Classify } else { Task::Regress }
}

/// The loss of a training that names none.
pub fn default_loss(task: Task) -> Selector {
    Selector::named(match task {
        Task::Classify => "cross-entropy",
        Task::Regress => "mse",
    })
}

/// The objective that `loss` names, for learning the targets of `data`.
///
/// # Errors
/// [`SelectorError::OtherTask`] with the losses that fit where the loss is for the other kind of targets, and the errors of
/// [`Registry::build`]; [`SelectorError::Refused`] where the loss is set for another number of classes.
pub fn build_objective(loss: &Selector, data: &ArrayDataset) -> Result<Box<dyn Objective>, SelectorError> {
    if BAG_LOSSES.names().any(|name| name == loss.name()) {
        let message =
            "it learns from the means of bags: name the column with the ids of the bags by --bags (kiln train)";
        return Err(SelectorError::Refused {
            kind: LOSSES.kind,
            name: loss.name().to_string(),
            message: message.into(),
        });
    }
    match task_of(data) {
        Task::Classify => {
            refuse_other(loss, "numbers", &REGRESSION_LOSSES, "classes", &LOSSES)?;
            let built = LOSSES.build(loss)?;
            built.check_classes(data.num_classes()).map_err(|error| SelectorError::Refused {
                kind: LOSSES.kind,
                name: loss.name().to_string(),
                message: error.to_string(),
            })?;
            Ok(Box::new(built))
        }
        Task::Regress => {
            refuse_other(loss, "classes", &LOSSES, "numbers", &REGRESSION_LOSSES)?;
            Ok(Box::new(RegressionObjective(REGRESSION_LOSSES.build(loss)?)))
        }
    }
}

/// Refuses a loss of the registry that does not fit, with those of the one that does.
pub(super) fn refuse_other<A, B>(
    loss: &Selector,
    other_targets: &'static str,
    other: &Registry<A>,
    targets: &'static str,
    fitting: &Registry<B>,
) -> Result<(), SelectorError> {
    let is_other = other.names().any(|name| name == loss.name()) && fitting.names().all(|name| name != loss.name());
    if is_other {
        let (name, known) = (loss.name().to_string(), fitting.names().map(str::to_string).collect());
        return Err(SelectorError::OtherTask { kind: other.kind, name, learns: other_targets, targets, known });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::Targets;

    #[test]
    fn a_loss_of_the_other_task_is_refused_with_those_that_fit() {
        let set = |targets| ArrayDataset::new(vec![0.0, 1.0], vec![1], targets).unwrap();
        let numbers = set(Targets::Values { values: vec![0.5, 1.5], names: vec!["y".into()] });
        let classes = set(Targets::Classes { labels: vec![0, 1], names: vec!["no".into(), "yes".into()] });
        let refusal = |loss: &str, data| build_objective(&loss.parse().unwrap(), data).err().unwrap().to_string();
        assert_eq!(
            refusal("z-loss", &numbers),
            "loss 'z-loss' is for classes, and the target is numbers; for numbers there are: mse, l1, huber, log-cosh"
        );
        assert!(refusal("huber:delta=2", &classes).contains("for classes there are: cross-entropy, comp-sum"));
        assert!(refusal("hubber", &numbers).contains("did you mean 'huber'?"));
        assert!(refusal("huber:delta=0", &numbers).contains("delta"));
        assert!(refusal("cross-entropy:weights=1/2/3", &classes).contains("3 class weights given for 2 classes"));
        for (loss, data) in [("log-cosh", &numbers), ("gce", &classes)] {
            assert!(build_objective(&loss.parse().unwrap(), data).is_ok(), "{loss}");
        }
    }
}
