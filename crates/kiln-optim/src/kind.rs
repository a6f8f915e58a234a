use std::fmt;
use std::str::FromStr;

use burn::optim::ModuleOptimizer;
use serde::{Deserialize, Serialize};

use crate::settings::OptimizerSettings;
use crate::{OptimError, settings};

/// The first-order methods that are compared with each other, each with its standard update.
///
/// "Standard" is the arithmetic of PyTorch's optimizer of the same name; where Burn's own optimizer computes that, it is the one
/// behind the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// `u = momentum u + g`, `theta -= lr u`; Burn's SGD without dampening.
    Sgdm,
    /// `s += g^2`, `theta -= lr g / (sqrt(s) + eps)`; Burn's AdaGrad.
    AdaGrad,
    /// [`AdaDelta`](crate::AdaDelta), of this crate.
    AdaDelta,
    /// `v = alpha v + (1 - alpha) g^2`, `theta -= lr g / (sqrt(v) + eps)`; Burn's RMSProp without momentum.
    RmsProp,
    /// Adam over the largest second moment so far; [`Adam`](crate::Adam) of this crate.
    AmsGrad,
    /// `theta -= lr mhat / (sqrt(vhat) + eps)`; [`Adam`](crate::Adam) of this crate.
    Adam,
    /// [`DiffGrad`](crate::DiffGrad), of this crate.
    DiffGrad,
}

impl OptimizerKind {
    /// All kinds, the plainest first.
    pub const ALL: [Self; 7] =
        [Self::Sgdm, Self::AdaGrad, Self::AdaDelta, Self::RmsProp, Self::AmsGrad, Self::Adam, Self::DiffGrad];

    /// The name by which a kind is selected.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sgdm => "sgdm",
            Self::AdaGrad => "adagrad",
            Self::AdaDelta => "adadelta",
            Self::RmsProp => "rmsprop",
            Self::AmsGrad => "amsgrad",
            Self::Adam => "adam",
            Self::DiffGrad => "diffgrad",
        }
    }

    /// The name as the literature writes it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sgdm => "SGDM",
            Self::AdaGrad => "AdaGrad",
            Self::AdaDelta => "AdaDelta",
            Self::RmsProp => "RMSProp",
            Self::AmsGrad => "AMSGrad",
            Self::Adam => "Adam",
            Self::DiffGrad => "diffGrad",
        }
    }

    /// The optimizer with its default settings.
    ///
    /// # Errors
    /// None with the defaults; the signature is that of [`OptimizerSettings::init`].
    pub fn init(self) -> Result<ModuleOptimizer, OptimError> {
        OptimizerSettings::new(self).init()
    }
}

impl fmt::Display for OptimizerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for OptimizerKind {
    type Err = OptimError;

    fn from_str(name: &str) -> Result<Self, OptimError> {
        let lower = name.to_ascii_lowercase();
        Self::ALL.into_iter().find(|kind| kind.name() == lower).ok_or_else(|| OptimError::UnknownOptimizer {
            name: name.to_string(),
            hint: settings::hint(&lower, &Self::ALL.map(Self::name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_typing_errors_are_answered() {
        for kind in OptimizerKind::ALL {
            assert_eq!(kind.name().parse::<OptimizerKind>().unwrap(), kind);
            assert_eq!(kind.title().parse::<OptimizerKind>().unwrap(), kind);
            kind.init().unwrap();
        }
        let error = "difgrad".parse::<OptimizerKind>().unwrap_err().to_string();
        assert_eq!(error, "unknown optimizer 'difgrad'; did you mean 'diffgrad'?");
        let error = "lion".parse::<OptimizerKind>().unwrap_err().to_string();
        assert_eq!(error, "unknown optimizer 'lion'; known: sgdm, adagrad, adadelta, rmsprop, amsgrad, adam, diffgrad");
    }
}
