//! The two functions that a comp-sum loss is composed of.

use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::LossError;
use crate::error::require;
use crate::quantity::Quantity;
use crate::target_likelihood::OfLikelihood;

pub(crate) const NAME: &str = "comp-sum";

/// The inner function `Phi2` of the score difference `s_y - s_y'`, non-increasing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum CompSumPhi2 {
    /// `exp(-u)`: the family between sum-exponential loss and mean absolute error.
    #[default]
    Exp,
    /// `min(max(0, 1 - u / rho), 1)`: the rho-margin loss, with `rho > 0`.
    RhoMargin(f64),
    /// `max(0, 1 - u / rho)`: the hinge, with `rho > 0`.
    Hinge(f64),
}

/// Where the negative log-likelihood is cut before it enters a power that could overflow (`tau < 1`).
///
/// Beyond the cut the value stays constant; the gradient keeps the weight that it has at the cut, it does not vanish.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum NllClip {
    /// `60 / (1 - tau)` for `tau < 1`, so that no loss exceeds `exp(60) / (1 - tau)`; nothing for `tau >= 1`.
    #[default]
    Auto,
    /// No cut: single precision overflows when `(1 - tau) nll > 88`.
    Off,
    /// At this value, larger than 0.
    At(f64),
}

/// The outer function `Phi1 = Phi^tau`, as a function of `nll = log(1 + u)` for the inner sum `u`.
///
/// ```text
/// Phi^tau(u) = ((1 + u)^(1 - tau) - 1) / (1 - tau) = expm1((1 - tau) nll) / (1 - tau)      log(1 + u) for tau = 1
/// ```
/// With the exponential inner function `nll = -log softmax(s)_y`, otherwise `nll = log1p(sum)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Phi1 {
    tau: f64,
    limit: Option<f64>,
}

impl Phi1 {
    pub(crate) fn new(tau: f64, clip: NllClip) -> Result<Self, LossError> {
        require(tau >= 0.0 && tau.is_finite(), NAME, "tau", tau, "a finite number that is not negative")?;
        let limit = match clip {
            NllClip::Auto if tau < 1.0 => Some(60.0 / (1.0 - tau)),
            NllClip::Auto | NllClip::Off => None,
            NllClip::At(limit) => Some(require(limit > 0.0, NAME, "max_nll", limit, "larger than 0")?),
        };
        Ok(Self { tau, limit })
    }

    /// tau = 0, with the automatic cut.
    pub(crate) fn sum_exponential() -> Self {
        Self { tau: 0.0, limit: Some(60.0) }
    }

    /// tau = 1.
    pub(crate) fn logistic() -> Self {
        Self { tau: 1.0, limit: None }
    }

    /// tau = 2.
    pub(crate) fn mae() -> Self {
        Self { tau: 2.0, limit: None }
    }

    pub(crate) fn tau(&self) -> f64 {
        self.tau
    }

    /// The cut, if there is one.
    pub(crate) fn limit(&self) -> Option<f64> {
        self.limit
    }

    /// The function of a tensor in the graph: the slope is attached, powers are not differentiated.
    pub(crate) fn apply<const D: usize>(&self, nll: Tensor<D>) -> Tensor<D> {
        let origin = nll.clone().inner();
        let (value, slope) = self.at(origin.clone());
        if !nll.is_autodiff() {
            return value;
        }
        (nll - origin) * slope + value
    }
}

/// `expm1((1 - tau) nll) / (1 - tau)`, where `expm1(z) = tanh(z / 2) (exp(z) + 1)` is exact near zero, with the derivative
/// `exp((1 - tau) nll)`, which is `p_y^(tau - 1)`.
impl OfLikelihood for Phi1 {
    fn at<N: Quantity>(&self, nll: N) -> (N, N) {
        let nll = match self.limit {
            Some(limit) => nll.at_most(limit),
            None => nll,
        };
        let power = 1.0 - self.tau;
        if power.abs() < 1e-12 {
            return (nll.clone(), nll.power(0.0));
        }
        let exponent = nll * power;
        let slope = exponent.clone().exp();
        ((exponent * 0.5_f64).tanh() * (slope.clone() + 1.0_f64) / power, slope)
    }
}

impl CompSumPhi2 {
    pub(crate) fn check(&self) -> Result<(), LossError> {
        if let Self::RhoMargin(rho) | Self::Hinge(rho) = *self {
            require(rho > 0.0 && rho.is_finite(), NAME, "rho", rho, "a finite number larger than 0")?;
        }
        Ok(())
    }

    /// `log(1 + sum_{y' != y} Phi2(s_y - s_y'))` of each example, by differentiable operations.
    ///
    /// # Shapes
    /// - `logits`: `[batch_size, num_classes]`
    /// - `targets`: `[batch_size]`
    /// - output: `[batch_size]`
    pub(crate) fn log1p_sum(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let targets = targets.unsqueeze_dim::<2>(1);
        let own = logits.clone().gather(1, targets);
        let (rho, capped) = match *self {
            Self::Exp => {
                let highest = logits.clone().detach().max_dim(1);
                let log_sum = (logits - highest.clone()).exp().sum_dim(1).log() + highest;
                return (log_sum - own).squeeze_dim::<1>(1);
            }
            Self::RhoMargin(rho) => (rho, true),
            Self::Hinge(rho) => (rho, false),
        };
        let terms = ((logits - own) / rho + 1.0).clamp_min(0.0);
        let terms = if capped { terms.clamp_max(1.0) } else { terms };
        // The term of the target itself is Phi2(0) = 1: the sum over all classes is 1 + u already.
        terms.sum_dim(1).squeeze_dim::<1>(1).log()
    }
}
