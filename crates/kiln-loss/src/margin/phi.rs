//! The functions of the binary margin.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::LossError;
use crate::error::require;

pub(crate) const NAME: &str = "margin loss";

/// A loss `phi(z)` of the margin `z = y f`, with `y` in `{-1, 1}`.
///
/// All are convex with `phi'(0) < 0`, hence calibrated, except the focal loss, which is calibrated without being
/// convex, and the tails that say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum MarginPhi {
    /// `log(1 + exp(-z))`: binary cross-entropy.
    #[default]
    Logistic,
    /// `max(0, 1 - z)`.
    Hinge,
    /// `exp(-z)`, with the exponent cut at 30 and the slope kept there; its gradients need clipping.
    Exponential,
    /// `(1 - z)^2`.
    Squared,
    /// `max(0, 1 - z)^2`.
    SquaredHinge,
    /// `(1 - sigmoid(z))^gamma log(1 + exp(-z))` with `gamma >= 0`.
    Focal(f64),
    /// `1 - z` up to 1, and a tail that falls on from there.
    HingeTail(HingeTail),
}

/// How a hinge goes on beyond the margin 1, where it would be constant. All tails are 0 at 1.
///
/// For ensembles to be consistent, the loss has to fall no faster than the logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HingeTail {
    /// `exp(1 - z) - 1`. The paper prints `-exp(-(z - 1))`, which rises beyond 1; with the sign turned the loss falls on.
    Exponential,
    /// `1 / z - 1`.
    #[default]
    Inverse,
    /// `e / log(z + e - 1) - e`.
    InverseLog,
    /// `-log z`.
    Log,
    /// `-2 sqrt(z - 1)`: falls faster than a logarithm for ever, and is not convex at 1, where its slope has a pole.
    SquareRoot,
}

impl MarginPhi {
    /// Refuses a focus that is negative or not finite.
    ///
    /// # Errors
    /// [`LossError::Setting`] with the value.
    pub fn check(self) -> Result<Self, LossError> {
        if let Self::Focal(gamma) = self {
            require(gamma >= 0.0 && gamma.is_finite(), NAME, "gamma", gamma, "a finite number of at least 0")?;
        }
        Ok(self)
    }

    /// `phi(z)`, outside the graph.
    pub fn value<const D: usize>(self, z: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Logistic => softplus(-z),
            Self::Hinge => (-z + 1.0).clamp_min(0.0),
            Self::Exponential => (-z).clamp_max(CUT).exp(),
            Self::Squared => (-z + 1.0).square(),
            Self::SquaredHinge => (-z + 1.0).clamp_min(0.0).square(),
            Self::Focal(gamma) => activation::sigmoid(-z.clone()).powf_scalar(gamma) * softplus(-z),
            Self::HingeTail(tail) => {
                let beyond = z.clone().greater_scalar(1.0);
                let end = tail.value(z.clone().clamp_min(1.0));
                (-z + 1.0).mask_where(beyond, end)
            }
        }
    }

    /// `phi'(z)`, outside the graph; at a kink a slope from between its sides.
    pub fn slope<const D: usize>(self, z: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Logistic => -activation::sigmoid(-z),
            Self::Hinge => {
                let inside = z.clone().lower_scalar(1.0);
                z.zeros_like().mask_fill(inside, -1.0)
            }
            Self::Exponential => -(-z).clamp_max(CUT).exp(),
            Self::Squared => (z - 1.0) * 2.0,
            Self::SquaredHinge => (z - 1.0).clamp_max(0.0) * 2.0,
            Self::Focal(gamma) => {
                let missing = activation::sigmoid(-z.clone());
                let held = activation::sigmoid(z.clone());
                let sum = softplus(-z) * held * gamma + missing.clone();
                -missing.powf_scalar(gamma) * sum
            }
            Self::HingeTail(tail) => {
                let beyond = z.clone().greater_scalar(1.0);
                let end = tail.slope(z.clone().clamp_min(1.0));
                (z.zeros_like() - 1.0).mask_where(beyond, end)
            }
        }
    }
}

/// Largest exponent of the exponential loss: the norm that clips the gradients sums squares, and `exp(30)^2` times the
/// number of weights still fits into single precision.
const CUT: f64 = 30.0;
const E: f64 = std::f64::consts::E;

impl HingeTail {
    /// The tail at `z >= 1`.
    fn value<const D: usize>(self, z: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Exponential => (-z + 1.0).exp() - 1.0,
            Self::Inverse => z.recip() - 1.0,
            Self::InverseLog => (z + (E - 1.0)).log().recip() * E - E,
            Self::Log => -z.log(),
            Self::SquareRoot => (z - 1.0).sqrt() * -2.0,
        }
    }

    /// Its derivative.
    fn slope<const D: usize>(self, z: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Exponential => -(-z + 1.0).exp(),
            Self::Inverse => -z.square().recip(),
            Self::InverseLog => {
                let shifted = z + (E - 1.0);
                (shifted.clone().log().square() * shifted).recip() * -E
            }
            Self::Log => -z.recip(),
            Self::SquareRoot => -(z - 1.0).clamp_min(1e-12).sqrt().recip(),
        }
    }
}

/// `log(1 + exp(x))` without overflow, exact for small values.
fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone().clamp_min(0.0) + (-x.abs()).exp().log1p()
}
