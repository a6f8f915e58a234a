//! Where the sizes of the derivatives come from.

use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution, Exp, Gamma, StandardNormal};
use serde::{Deserialize, Serialize};

use super::loss::NAME;
use crate::LossError;
use crate::error::require;

/// A distribution of positive numbers, the sizes of the derivatives before they are cut and ordered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum DerivativeDist {
    /// The inverse Box-Cox transformation of a standard normal number: `exp(r)` for `lam = 0`, otherwise
    /// `max(1 + lam r, 0)^(1 / lam)`.
    InvBoxCox {
        /// Any finite number.
        lam: f64,
    },
    /// Exponential with this rate.
    Exponential {
        /// Above 0.
        rate: f64,
    },
    /// Gamma.
    Gamma {
        /// Above 0.
        shape: f64,
        /// Above 0.
        scale: f64,
    },
    /// The size of a normal number with mean 0.
    HalfNormal {
        /// Standard deviation of the normal number, above 0.
        scale: f64,
    },
    /// Beta, on `(0, 1)`.
    Beta {
        /// Above 0.
        alpha: f64,
        /// Above 0.
        beta: f64,
    },
}

impl Default for DerivativeDist {
    fn default() -> Self {
        Self::InvBoxCox { lam: 0.0 }
    }
}

impl DerivativeDist {
    /// Refuses parameters of which the distribution does not exist.
    ///
    /// # Errors
    /// [`LossError::Setting`] with the parameter and its value.
    pub fn check(self) -> Result<Self, LossError> {
        let positive = |name, value: f64| {
            require(value > 0.0 && value.is_finite(), NAME, name, value, "a finite number above 0").map(drop)
        };
        match self {
            Self::InvBoxCox { lam } => require(lam.is_finite(), NAME, "lam", lam, "a finite number").map(drop)?,
            Self::Exponential { rate } => positive("rate", rate)?,
            Self::Gamma { shape, scale } => positive("shape", shape).and_then(|()| positive("scale", scale))?,
            Self::HalfNormal { scale } => positive("scale", scale)?,
            Self::Beta { alpha, beta } => positive("alpha", alpha).and_then(|()| positive("beta", beta))?,
        }
        Ok(self)
    }

    /// `count` numbers; infinite ones stand for what a negative power makes of zero.
    pub(super) fn draw(self, count: usize, random: &mut ChaCha8Rng) -> Vec<f64> {
        let normal = |random: &mut ChaCha8Rng| StandardNormal.sample(random);
        match self {
            Self::InvBoxCox { lam } => (0..count).map(|_| inverse_box_cox(normal(random), lam)).collect(),
            Self::HalfNormal { scale } => (0..count).map(|_| scale * f64::abs(normal(random))).collect(),
            Self::Exponential { rate } => drawn(Exp::new(rate), count, random),
            Self::Gamma { shape, scale } => drawn(Gamma::new(shape, scale), count, random),
            Self::Beta { alpha, beta } => drawn(Beta::new(alpha, beta), count, random),
        }
    }
}

/// Numbers from a distribution whose parameters [`DerivativeDist::check`] has accepted.
fn drawn<D: Distribution<f64>, E: std::fmt::Debug>(
    distribution: Result<D, E>,
    count: usize,
    random: &mut ChaCha8Rng,
) -> Vec<f64> {
    let distribution = distribution.expect("the parameters were checked");
    (0..count).map(|_| distribution.sample(random)).collect()
}

/// `exp(r)` for `lam = 0`, otherwise `max(1 + lam r, 0)^(1 / lam)`, which is infinite where `lam < 0` and the base is 0.
pub(super) fn inverse_box_cox(r: f64, lam: f64) -> f64 {
    let x = lam * r;
    if x > -1.0 {
        // log(1 + x) / lam, as a factor on r that keeps its digits where x is small or vanishes.
        let factor = if x == 0.0 { 1.0 } else { x.ln_1p() / x };
        return (r * factor).exp();
    }
    if lam > 0.0 { 0.0 } else { f64::INFINITY }
}
