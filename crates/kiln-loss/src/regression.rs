//! Losses on numbers: how far a prediction is from the number that it should be.

use std::f64::consts::LN_2;

use burn::tensor::{Tensor, activation::softplus};

use crate::LossError;
use crate::error::require;

/// A loss of the residual `r = prediction - target`, the mean over all numbers of a batch.
///
/// ```text
/// mse: r^2     l1: |r|     huber: r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2)     log-cosh: ln cosh r
/// ```
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_loss::RegressionLoss;
///
/// let device = Device::flex();
/// let predictions = Tensor::<2>::from_data([[1.0], [5.0]], &device);
/// let targets = Tensor::<2>::from_data([[0.0], [2.0]], &device);
/// let loss: f32 = RegressionLoss::Mse.forward(predictions, targets).into_scalar();
/// assert_eq!(loss, 5.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RegressionLoss {
    /// Squared error: its minimiser is the conditional mean.
    Mse,
    /// Absolute error: its minimiser is the conditional median.
    L1,
    /// Squared near zero, absolute beyond `delta`; see [`RegressionLoss::huber`].
    Huber {
        /// Residual at which the loss becomes linear, above 0.
        delta: f64,
    },
    /// Squared near zero, absolute far away, smooth everywhere.
    LogCosh,
}

impl RegressionLoss {
    /// The Huber loss.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a `delta` that is not above 0 and finite.
    pub fn huber(delta: f64) -> Result<Self, LossError> {
        let delta = require(delta > 0.0 && delta.is_finite(), "huber", "delta", delta, "above 0 and finite")?;
        Ok(Self::Huber { delta })
    }

    /// Loss of each number.
    ///
    /// # Shapes
    /// - `predictions`, `targets` and output: `[batch_size, num_targets]`
    pub fn forward_no_reduction(&self, predictions: Tensor<2>, targets: Tensor<2>) -> Tensor<2> {
        assert_eq!(predictions.dims(), targets.dims(), "one prediction for each target is needed");
        let residuals = predictions - targets;
        match *self {
            Self::Mse => residuals.square(),
            Self::L1 => residuals.abs(),
            Self::Huber { delta } => {
                // With c = min(|r|, delta), both branches are c (|r| - c / 2).
                let size = residuals.abs();
                let bounded = size.clone().clamp_max(delta);
                bounded.clone() * (size - bounded / 2.0)
            }
            // ln cosh r = |r| + ln(1 + e^(-2 |r|)) - ln 2 does not overflow.
            Self::LogCosh => {
                let size = residuals.abs();
                size.clone() + softplus(size * -2.0, 1.0) - LN_2
            }
        }
    }

    /// Mean loss of a batch.
    ///
    /// # Shapes
    /// - `predictions` and `targets`: `[batch_size, num_targets]`
    /// - output: `[1]`
    pub fn forward(&self, predictions: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
        self.forward_no_reduction(predictions, targets).mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kiln_check::gradient::check_gradient;

    const ALL: [RegressionLoss; 4] =
        [RegressionLoss::Mse, RegressionLoss::L1, RegressionLoss::Huber { delta: 1.5 }, RegressionLoss::LogCosh];

    fn losses(loss: RegressionLoss, residuals: [f32; 4]) -> Vec<f32> {
        let device = Device::flex();
        let predictions = Tensor::<1>::from_data(residuals, &device).reshape([2, 2]);
        loss.forward_no_reduction(predictions, Tensor::zeros([2, 2], &device)).into_data().iter::<f32>().collect()
    }

    #[test]
    fn worked_values() {
        let residuals = [0.0, -1.0, 2.0, -4.0];
        let expected = [
            [0.0, 1.0, 4.0, 16.0],
            [0.0, 1.0, 2.0, 4.0],
            [0.0, 0.5, 1.5 * (2.0 - 0.75), 1.5 * (4.0 - 0.75)],
            // ln cosh of 1, 2 and 4
            [0.0, 0.433_780_8, 1.325_002_7, 3.307_188_2],
        ];
        for (loss, expected) in ALL.into_iter().zip(expected) {
            for (found, expected) in losses(loss, residuals).into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{loss:?}: {found} {expected}");
            }
        }
    }

    #[test]
    fn huge_residuals_stay_finite() {
        for loss in [RegressionLoss::L1, RegressionLoss::Huber { delta: 1.0 }, RegressionLoss::LogCosh] {
            let found = losses(loss, [1e30, -1e30, 1e4, -1e4]);
            assert!(found.iter().all(|value| value.is_finite()), "{loss:?}: {found:?}");
        }
    }

    #[test]
    fn gradients_are_right() {
        for loss in ALL {
            let function = |predictions: Tensor<2>| {
                let targets = predictions.ones_like();
                loss.forward(predictions, targets)
            };
            check_gradient(function, &[0.2, 1.7, -3.0, 2.4, 9.0, -0.4], [3, 2], 1e-6);
        }
    }

    #[test]
    fn a_threshold_is_a_positive_number() {
        assert_eq!(RegressionLoss::huber(2.0), Ok(RegressionLoss::Huber { delta: 2.0 }));
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(RegressionLoss::huber(wrong).is_err(), "{wrong}");
        }
    }
}
