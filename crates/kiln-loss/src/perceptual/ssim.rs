//! Structural similarity at one scale.

use burn::config::Config;
use burn::tensor::Tensor;

use super::field::Field;
use super::scores::{Maps, Statistics, assert_images, at_least};
use super::{ImageLoss, OddPolicy, Window};
use crate::LossError;

const NAME: &str = "ssim";

/// Configuration of [`Ssim`]. The defaults are those of Wang et al. (2004).
#[derive(Config, Debug)]
pub struct SsimConfig {
    /// Window of the local statistics.
    #[config(default = "Window::Gaussian { size: 11, sigma: 1.5 }")]
    pub window: Window,
    /// Difference `L` between the largest and the smallest value that a pixel can have, from 1e-6 to 1e9.
    #[config(default = 1.0)]
    pub data_range: f64,
    /// `K1` from 1e-6 to 1: means below `K1 L` count little.
    #[config(default = 0.01)]
    pub k1: f64,
    /// `K2` from 1e-6 to 1: standard deviations below `K2 L` count little.
    #[config(default = 0.03)]
    pub k2: f64,
    /// Whether a plane whose mean similarity is negative counts as 0.
    #[config(default = false)]
    pub nonnegative: bool,
}

impl SsimConfig {
    /// For images of this size: the largest Gaussian window up to 11 that fits them.
    ///
    /// # Errors
    /// [`LossError::ImageSize`] for a side below 3.
    pub fn for_size(height: usize, width: usize) -> Result<Self, LossError> {
        let config = Self::new().with_window(Window::largest_usual(|size| size <= height.min(width)));
        config.init()?.check_size(&[height, width])?;
        Ok(config)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for an even window, or a number outside its range.
    pub fn init(&self) -> Result<Ssim, LossError> {
        let statistics = Statistics::new(NAME, self.window, self.data_range, [self.k1, self.k2])?;
        Ok(Ssim { statistics, nonnegative: self.nonnegative })
    }
}

/// Structural similarity (SSIM) of images or volumes.
///
/// ```text
///          2 mu_x mu_y + C1        2 s_xy + C2
/// SSIM = --------------------- * -----------------        C1 = (K1 L)^2    C2 = (K2 L)^2
///        mu_x^2 + mu_y^2 + C1    s_x^2 + s_y^2 + C2
/// ```
/// Means, variances and the covariance are those under a window around each position at which it lies inside the image; the
/// similarity is the mean over positions and channels. It lies in `[-1, 1]` and is 1 for equal images.
///
/// Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004;
/// arXiv 1511.06409, section 2.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_loss::perceptual::SsimConfig;
///
/// let device = Device::flex();
/// let ssim = SsimConfig::new().init()?;
/// let grey = Tensor::<4>::full([1, 1, 16, 16], 0.5, &device);
/// let darker = Tensor::<4>::full([1, 1, 16, 16], 0.25, &device);
/// let value: f32 = ssim.forward(grey, darker).into_scalar();
/// assert!((value - 0.8000640).abs() < 1e-6);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Ssim {
    statistics: Statistics,
    nonnegative: bool,
}

impl Ssim {
    /// Whether images of this height and width, or volumes of this depth, height and width, are large enough.
    ///
    /// # Errors
    /// [`LossError::ImageSize`] where the window does not fit.
    pub fn check_size(&self, dims: &[usize]) -> Result<(), LossError> {
        self.statistics.check_size(NAME, dims, 1, OddPolicy::ZeroPad)
    }

    /// Similarity of each pair.
    ///
    /// # Shapes
    /// - `x`, `y`: `[batch_size, channels, height, width]` or `[batch_size, channels, depth, height, width]`
    /// - output: `[batch_size]`
    ///
    /// # Panics
    /// Where the shapes differ, or [`Ssim::check_size`] refuses them.
    pub fn forward_no_reduction<const D: usize>(&self, x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
        self.assert_fit(&x, &y);
        let [batch, channels] = [x.dims()[0], x.dims()[1]];
        let means = self.statistics.scale_means(x, y, 1, OddPolicy::ZeroPad).reshape([batch, channels]);
        let means = if self.nonnegative { at_least(means, 0.0) } else { means };
        means.mean_dim(1).squeeze_dim(1)
    }

    /// Mean similarity of a batch, `[1]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
        self.forward_no_reduction(x, y).mean()
    }

    /// Similarity at each position at which the window lies inside.
    ///
    /// # Shapes
    /// - `x`, `y`: `[batch_size, channels, ..]`
    /// - output: `[batch_size, channels, ..]`, each axis shorter by the window's size less one
    ///
    /// # Panics
    /// As [`Ssim::forward_no_reduction`].
    pub fn map<const D: usize>(&self, x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
        self.assert_fit(&x, &y);
        let [batch, channels] = [x.dims()[0], x.dims()[1]];
        let Maps { luminance, contrast_structure } = self.statistics.maps(Field::of(x), Field::of(y));
        let values = luminance.values * contrast_structure.values;
        Field { values, dims: luminance.dims }.into_images(batch, channels)
    }

    fn assert_fit<const D: usize>(&self, x: &Tensor<D>, y: &Tensor<D>) {
        assert_images(NAME, x, y);
        self.check_size(&x.dims()[2..]).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// `1 - SSIM`.
impl ImageLoss for Ssim {
    fn dissimilarity(&self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        -self.forward_no_reduction(output, target) + 1.0
    }
}
