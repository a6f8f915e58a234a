//! The variational autoencoder with any dissimilarity in place of a likelihood.

use burn::config::Config;
use burn::tensor::Tensor;

use super::ImageLoss;
use crate::LossError;
use crate::error::require;

const NAME: &str = "el-vae";

/// Configuration of [`ElVaeLoss`].
#[derive(Config, Debug)]
pub struct ElVaeLossConfig {
    /// Weight `C > 0` of the dissimilarity against a nat of the code. It fits one dissimilarity only: compare two of them at
    /// weights that lead to the same divergence, not at the same weight.
    pub c: f64,
}

impl ElVaeLossConfig {
    /// The loss with this dissimilarity.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a `c` that is not above 0 and finite.
    pub fn init<L: ImageLoss>(&self, dissimilarity: L) -> Result<ElVaeLoss<L>, LossError> {
        let c = require(self.c > 0.0 && self.c.is_finite(), NAME, "c", self.c, "above 0 and finite")?;
        Ok(ElVaeLoss { c, dissimilarity })
    }
}

/// Expected-loss variational autoencoder: the negative evidence bound of a Gibbs likelihood.
///
/// ```text
/// J = KL(q(z|x) || N(0, 1)) + C E_q Delta(x, D(z))        KL = sum_k (mu_k^2 + e^v_k - v_k - 1) / 2
/// ```
/// `q` is Gaussian with means `mu` and log-variances `v`; the expectation is that of the sample from which the output was
/// decoded. With `Delta` the mean squared error and `C` half the number of pixels it is the usual autoencoder of unit
/// variance, up to a constant.
///
/// Source: arXiv 1511.06409, section 4.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_loss::perceptual::{ElVaeLossConfig, PixelLoss};
///
/// let device = Device::flex();
/// let loss = ElVaeLossConfig::new(8.0).init(PixelLoss::L2)?;
/// let image = Tensor::<4>::zeros([1, 1, 4, 4], &device);
/// let (mean, log_variance) = (Tensor::<2>::ones([1, 3], &device), Tensor::<2>::zeros([1, 3], &device));
/// let value: f32 = loss.forward(image.clone(), image + 1.0, mean, log_variance).into_scalar();
/// assert_eq!(value, 1.5 + 8.0);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ElVaeLoss<L> {
    c: f64,
    dissimilarity: L,
}

impl<L: ImageLoss> ElVaeLoss<L> {
    /// Mean loss of a batch.
    ///
    /// # Shapes
    /// - `target`, `output`: `[batch_size, channels, height, width]`
    /// - `mean`, `log_variance`: `[batch_size, code_size]`
    /// - output: `[1]`
    pub fn forward(&self, target: Tensor<4>, output: Tensor<4>, mean: Tensor<2>, log_variance: Tensor<2>) -> Tensor<1> {
        let distortion = self.dissimilarity.mean_dissimilarity(output, target);
        kl_divergence(mean, log_variance).mean() + distortion * self.c
    }
}

/// Divergence of each code from the standard normal distribution, in nats: the rate of the autoencoder.
///
/// # Shapes
/// - `mean`, `log_variance`: `[batch_size, code_size]`
/// - output: `[batch_size]`
pub fn kl_divergence(mean: Tensor<2>, log_variance: Tensor<2>) -> Tensor<1> {
    let each = mean.square() + log_variance.clone().exp() - log_variance - 1.0;
    each.sum_dim(1).squeeze_dim::<1>(1) / 2.0
}
