use serde::{Deserialize, Serialize};

use crate::OptimError;
use crate::hyperparameter::fraction_above_zero;

/// How the friction coefficient `xi` follows from the change `dg = g_prev - g` of a coordinate's gradient.
///
/// All but [`Normalized`](Self::Normalized) and [`Constant`](Self::Constant) depend on the gradient's scale: multiplying the
/// loss by 1000 changes the method.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiffGradFriction {
    /// `1 / (1 + exp(-|dg|))`, in `[0.5, 1)`: the paper's coefficient.
    #[default]
    AbsSigmoid,
    /// `1 / (1 + exp(-dg))`, in `(0, 1)`: a growing gradient is damped, a shrinking one is not.
    Sigmoid,
    /// The same `xi` in `(0, 1]` everywhere: 1 is Adam, 0.5 is Adam at half the rate.
    Constant(f64),
    /// `1 / (1 + exp(-|dg| / (sqrt(vhat) + eps)))`: does not depend on the gradient's scale. Ours, not the paper's.
    Normalized,
}

impl DiffGradFriction {
    /// The part of `xi` that is the same for all coordinates: the constant, or 1.
    pub(crate) fn common_factor(self) -> f64 {
        if let Self::Constant(value) = self { value } else { 1.0 }
    }

    /// Refuses a constant outside `(0, 1]`.
    pub(crate) fn check(self) -> Result<Self, OptimError> {
        if let Self::Constant(value) = self {
            fraction_above_zero("friction", value)?;
        }
        Ok(self)
    }
}

/// Where `eps` stands in diffGrad's denominator. The two differ through `eps` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpsPlacement {
    /// `sqrt(v) + eps`, before bias correction, as in the authors' code: the effective `eps` is `eps / sqrt(1 - beta_2^t)`.
    #[default]
    Authors,
    /// `sqrt(v / (1 - beta_2^t)) + eps`, as in the paper, and in Burn's and PyTorch's Adam.
    Paper,
}
