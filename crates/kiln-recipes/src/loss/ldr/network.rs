//! The networks that the losses are compared on.

use kiln_lab::LabError;
use kiln_nn::{Activation, MlpNorm, NetworkConfig};

/// Name of the paper's network.
pub(super) const NARROW: &str = "narrow";

/// A network of hidden layers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Perceptron {
    /// The paper's on tables: two hidden layers with tanh, as wide as there are inputs or classes, whichever are fewer.
    Narrow,
    /// Hidden layers of these widths, with rectification.
    Wide(Vec<usize>),
}

impl Perceptron {
    /// The one that a setting names: `narrow`, or widths such as `128-128`.
    pub(super) fn named(setting: &str, name: &str) -> Result<Self, LabError> {
        if name == NARROW {
            return Ok(Self::Narrow);
        }
        let widths = name.split('-').map(|width| width.parse().ok().filter(|width| *width > 0));
        let refused = || LabError::setting(setting, name, "narrow, or the widths of hidden layers such as 128-128");
        widths.collect::<Option<Vec<usize>>>().map(Self::Wide).ok_or_else(refused)
    }

    /// The network for rows of so many numbers and so many classes.
    pub(super) fn config(&self, inputs: usize, classes: usize) -> NetworkConfig {
        match self {
            Self::Narrow => {
                let hidden = vec![inputs.min(classes); 2];
                NetworkConfig::Mlp { hidden, activation: Activation::Tanh, dropout: 0.0, norm: MlpNorm::None }
            }
            Self::Wide(hidden) => NetworkConfig::mlp(hidden.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_named_by_their_widths() {
        assert_eq!(Perceptron::named("network", "narrow").unwrap(), Perceptron::Narrow);
        assert_eq!(Perceptron::named("network", "128-32").unwrap(), Perceptron::Wide(vec![128, 32]));
        for wrong in ["", "narow", "128-", "0", "-1"] {
            let error = Perceptron::named("tables.network", wrong).unwrap_err().to_string();
            assert!(error.contains("tables.network") && error.contains("such as 128-128"), "{error}");
        }
    }

    #[test]
    fn the_narrow_network_is_as_wide_as_inputs_or_classes() {
        for (inputs, classes, width) in [(64, 10, 10), (16, 26, 16)] {
            let NetworkConfig::Mlp { hidden, activation, .. } = Perceptron::Narrow.config(inputs, classes) else {
                panic!("no perceptron");
            };
            assert_eq!((hidden, activation), (vec![width; 2], Activation::Tanh));
        }
    }
}
