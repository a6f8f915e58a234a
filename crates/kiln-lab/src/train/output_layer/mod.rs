//! Output layers by name: what stands between a network's features and its classes, and how it learns.

mod factored;
mod hierarchical;
mod spherical;

use kiln_data::ArrayDataset;
use kiln_loss::FactoredSphericalConfig;
use kiln_nn::{Network, NetworkConfig, WordOutputKind};

pub use self::factored::{FactoredObjective, is_divergence};
pub use self::hierarchical::HierarchicalObjective;
pub use self::spherical::{BothForms, SPHERICAL_LOSSES};
pub(super) use self::spherical::{EPS, MARGIN, SHARPNESS, spherical_softmax, z_loss};
use super::selector::{Entry, Registry, SelectorError, SettingInfo, Settings};
use super::{FitSettings, Objective, Selector, build_objective, default_loss, task_of};
use crate::LabError;

/// How the classes come out of a network's features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OutputLayer {
    /// The network's own linear layer, which learns with the rest.
    Dense,
    /// A linear layer that takes its own steps, exact ones, at a cost that does not grow with the number of classes.
    Factored(FactoredSettings),
    /// Two levels of softmax, which learn with the rest.
    Hierarchical,
}

/// How the factored layer learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactoredSettings {
    /// Learning rate of its SGD, before the schedule; where nothing is said, one that suits the loss and the number of
    /// classes.
    pub learning_rate: Option<f64>,
    /// Standard deviation of its initial weights.
    pub init_std: f64,
    /// L2 weight decay.
    pub weight_decay: f64,
}

/// Output layers by name.
pub const OUTPUT_LAYERS: Registry<OutputLayer> = Registry {
    kind: "output layer",
    entries: &[
        Entry {
            name: "dense",
            summary: "the network's own linear layer, for any loss",
            settings: &[],
            build: |_| Ok(OutputLayer::Dense),
        },
        Entry {
            name: "factored",
            summary: "exact SGD steps at a cost that does not grow with the number of classes, for the spherical losses",
            settings: &[
                SettingInfo {
                    key: "lr",
                    default: "auto",
                    about: "learning rate of the layer, above 0, which the schedule changes too; auto is a thousandth of the number of classes, and 0.1 for squared-error",
                },
                SettingInfo {
                    key: "init-std",
                    default: "0.05",
                    about: "standard deviation of its initial weights, above 0",
                },
                SettingInfo { key: "weight-decay", default: "0", about: "L2 weight decay, at least 0" },
            ],
            build: factored,
        },
        Entry {
            name: "hierarchical",
            summary: "softmax over clusters of words, then over the words of a cluster, for cross-entropy",
            settings: &[],
            build: |_| Ok(OutputLayer::Hierarchical),
        },
    ],
};

fn factored(settings: &Settings<'_>) -> Result<OutputLayer, SelectorError> {
    let positive = |key, default| match settings.number(key, default)? {
        value if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err(settings.wrong(key, "a number above 0")),
    };
    let learning_rate = match settings.text("lr") {
        None | Some("auto") => None,
        Some(_) => Some(positive("lr", 1.0)?),
    };
    let weight_decay = settings.number("weight-decay", 0.0)?;
    if !(weight_decay >= 0.0 && weight_decay.is_finite()) {
        return Err(settings.wrong("weight-decay", "a number of at least 0"));
    }
    Ok(OutputLayer::Factored(FactoredSettings { learning_rate, init_std: positive("init-std", 0.05)?, weight_decay }))
}

impl FactoredSettings {
    /// The learning rate for a loss on so many classes. The steps of the spherical losses that compare a score with the
    /// others become shorter as these become more; squared error has no such comparison.
    fn rate(&self, loss: &Selector, num_classes: usize) -> f64 {
        let automatic = if loss.name() == "squared-error" { 0.1 } else { num_classes as f64 / 1000.0 };
        self.learning_rate.unwrap_or(automatic)
    }
}

impl OutputLayer {
    /// Name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Factored(_) => "factored",
            Self::Hierarchical => "hierarchical",
        }
    }

    /// The loss of a training on `data` that names none.
    pub fn default_loss(&self, data: &ArrayDataset) -> Selector {
        match self {
            Self::Dense => default_loss(task_of(data)),
            Self::Factored(_) => Selector::named("z-loss"),
            Self::Hierarchical => Selector::named("cross-entropy"),
        }
    }

    /// The network with this output layer.
    ///
    /// # Errors
    /// [`SelectorError::Refused`] where the network cannot have it.
    pub fn fit_network(&self, mut network: NetworkConfig) -> Result<NetworkConfig, SelectorError> {
        if *self == Self::Hierarchical {
            match &mut network {
                NetworkConfig::Ngram { output, .. } | NetworkConfig::Decoder { output, .. } => {
                    *output = WordOutputKind::Hierarchical;
                }
                other => {
                    let message = format!(
                        "it takes classes in the order of their frequency, as words are; {} has others",
                        other.name()
                    );
                    return Err(self.refused(message));
                }
            }
        }
        Ok(network)
    }

    /// Refuses a loss that does not go with the layer, or with the targets of `data`.
    ///
    /// # Errors
    /// [`SelectorError::Refused`] or [`SelectorError::OtherTask`] with the losses that fit, and the errors of
    /// [`Registry::build`].
    pub fn check_loss(&self, loss: &Selector, data: &ArrayDataset) -> Result<(), SelectorError> {
        match self {
            Self::Dense => build_objective(loss, data).map(drop),
            _ if !data.is_classification() => Err(self.refused("it is for classes, and the target is a number")),
            Self::Factored(factored) => {
                let rate = factored.rate(loss, data.num_classes());
                if factored.weight_decay * rate >= 1.0 {
                    let decay = factored.weight_decay;
                    return Err(self.refused(format!("weight-decay={decay} at lr={rate}: their product must be below 1")));
                }
                self.spherical(loss).map(drop)
            }
            Self::Hierarchical if *loss == Selector::named("cross-entropy") => Ok(()),
            Self::Hierarchical => Err(self.refused(format!(
                "it learns by cross-entropy without settings, and the loss is {loss}; with the dense layer any loss goes"
            ))),
        }
    }

    /// What a training of `network` on `data` minimises, in `total_steps` steps.
    ///
    /// # Errors
    /// As [`check_loss`](Self::check_loss); [`LabError::Method`] where the layer does not fit into memory.
    pub fn objective(
        &self,
        loss: &Selector,
        data: &ArrayDataset,
        network: &Network,
        settings: &FitSettings,
        total_steps: usize,
    ) -> Result<Box<dyn Objective>, LabError> {
        self.check_loss(loss, data)?;
        let Self::Factored(factored) = self else {
            return match self {
                Self::Hierarchical => Ok(Box::new(HierarchicalObjective)),
                _ => Ok(build_objective(loss, data)?),
            };
        };
        let head = network.linear_head().ok_or_else(|| self.refused("the network has no linear layer in its place"))?;
        let [width, classes] = head.weight.dims();
        let layer = FactoredSphericalConfig::new(width, classes)
            .with_bias(head.bias.is_some())
            .with_init_std(factored.init_std)
            .with_weight_decay(factored.weight_decay)
            .init(settings.seed)
            .map_err(LabError::method)?;
        let rate = settings.schedule.scheduler(factored.rate(loss, classes), total_steps);
        Ok(Box::new(FactoredObjective::new(layer, self.spherical(loss)?, rate)))
    }

    /// A loss of the spherical family.
    fn spherical(&self, loss: &Selector) -> Result<Box<dyn BothForms>, SelectorError> {
        if SPHERICAL_LOSSES.names().all(|name| name != loss.name()) && super::LOSSES.build(loss).is_ok() {
            let known: Vec<&str> = SPHERICAL_LOSSES.names().collect();
            return Err(self.refused(format!(
                "its step is exact for the losses {}, and the loss is {loss}; with the dense layer any loss goes",
                known.join(", ")
            )));
        }
        SPHERICAL_LOSSES.build(loss)
    }

    fn refused(&self, message: impl Into<String>) -> SelectorError {
        SelectorError::Refused { kind: OUTPUT_LAYERS.kind, name: self.name().to_string(), message: message.into() }
    }
}
