//! Structural similarity at several scales.

use burn::config::Config;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::field::Field;
use super::scores::{Maps, Statistics, assert_images};
use super::{ImageLoss, Window};
use crate::LossError;
use crate::error::require;

const NAME: &str = "ms-ssim";
/// Exponents of the scales, from fine to coarse, that observers' judgements were fitted with.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// What is not above it counts as 0: the slope of a power grows without bound towards 0.
const LEAST: f64 = 1e-8;

/// What happens to an odd number of pixels before they are halved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OddPolicy {
    /// A zero stands before the first pixel, as in pytorch-msssim.
    #[default]
    ZeroPad,
    /// The last pixel is left out.
    Crop,
    /// The first pixel counts twice.
    Replicate,
}

/// When the scales are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MsSsimVariant {
    /// The product of the scales' means: the usual index.
    #[default]
    ScaleMean,
    /// The mean of the products at each pixel, which takes the nearest position of the coarser maps.
    PerPixel,
}

/// Configuration of [`MsSsim`]. The defaults are those of Wang et al. (2003).
#[derive(Config, Debug)]
pub struct MsSsimConfig {
    /// Window of the local statistics, the same number of pixels at every scale.
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
    /// Exponents of the scales, from fine to coarse, as many as there are scales, each from 0 to 100; the classic five by
    /// default. A scale of exponent 0 is not looked at.
    pub weights: Option<Vec<f64>>,
    /// What happens to an odd number of pixels before they are halved.
    #[config(default = "OddPolicy::ZeroPad")]
    pub odd: OddPolicy,
    /// When the scales are joined.
    #[config(default = "MsSsimVariant::ScaleMean")]
    pub variant: MsSsimVariant,
}

impl MsSsimConfig {
    /// For images of this size: as many of the five scales as have room for a window of at least 5, the largest window up to
    /// 11 that fits them, and the classic exponents of these scales, with sum 1. Images of 3 or 4 pixels get one scale and a
    /// window of 3.
    ///
    /// # Errors
    /// [`LossError::ImageSize`] for a side below 3.
    pub fn for_size(height: usize, width: usize) -> Result<Self, LossError> {
        Self::for_size_with(height, width, None, None)
    }

    /// As [`for_size`](Self::for_size), where the number of scales or the side of the window is already chosen.
    ///
    /// # Errors
    /// [`LossError::Setting`] for a number of scales that is not 1 to 5 and for what no window can be;
    /// [`LossError::ImageSize`] where what was chosen does not fit, with what would.
    pub fn for_size_with(
        height: usize,
        width: usize,
        scales: Option<usize>,
        window: Option<usize>,
    ) -> Result<Self, LossError> {
        /// Side of a window for whose sake a scale is left out.
        const WORTHWHILE: usize = 5;
        let most = WEIGHTS.len();
        if let Some(scales) = scales {
            require((1..=most).contains(&scales), NAME, "scales", scales as f64, "from 1 to 5")?;
        }
        let side = height.min(width);
        let fits = |size: usize, scales: usize| side >= OddPolicy::default().least_side(size, scales);
        let scales = scales.unwrap_or_else(|| {
            (1..=most).rev().find(|&scales| fits(window.unwrap_or(WORTHWHILE), scales)).unwrap_or(1)
        });
        let window = window.map_or_else(|| Window::largest_usual(|size| fits(size, scales)), Window::usual);
        let config = Self::new().with_window(window).with_scales(scales);
        config.init()?.check_size(&[height, width])?;
        Ok(config)
    }

    /// The classic exponents of the `scales` finest scales, with sum 1.
    ///
    /// # Panics
    /// Where there are not 1 to 5 scales.
    pub fn with_scales(self, scales: usize) -> Self {
        assert!(
            (1..=WEIGHTS.len()).contains(&scales),
            "{NAME}: the classic exponents are of 1 to 5 scales, not {scales}"
        );
        let sum: f64 = WEIGHTS[..scales].iter().sum();
        self.with_weights(Some(WEIGHTS[..scales].iter().map(|weight| weight / sum).collect()))
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`LossError::Setting`] for an even window, a number outside its range, and for weights that are none, negative, or
    /// all 0.
    pub fn init(&self) -> Result<MsSsim, LossError> {
        let statistics = Statistics::new(NAME, self.window, self.data_range, [self.k1, self.k2])?;
        let weights = self.weights.clone().unwrap_or_else(|| WEIGHTS.to_vec());
        let count = weights.len();
        require((1..=16).contains(&count), NAME, "number of weights", count as f64, "1 to 16, one for each scale")?;
        for &weight in &weights {
            require((0.0..=100.0).contains(&weight), NAME, "weight", weight, "from 0 to 100")?;
        }
        let sum = weights.iter().sum::<f64>();
        require(sum > 0.0, NAME, "sum of the weights", sum, "above 0")?;
        Ok(MsSsim { statistics, weights, odd: self.odd, variant: self.variant })
    }
}

/// Multi-scale structural similarity (MS-SSIM) of images or volumes.
///
/// ```text
/// MS-SSIM = I_M^{w_M} prod_{j=1..M} CS_j^{w_j}        scale j + 1 = means of 2 x 2 pixels of scale j
/// I = (2 mu_x mu_y + C1) / (mu_x^2 + mu_y^2 + C1)        CS = (2 s_xy + C2) / (s_x^2 + s_y^2 + C2)
/// ```
/// At each scale the mean over the positions comes first (at the last scale, that of `I CS`), then what is negative becomes
/// 0, then come the power and the product; the similarity of an image is the mean of its channels'. It lies in `[0, 1]`
/// and is 1 for equal images. Brightness counts at the coarsest scale alone.
///
/// Source: Wang et al., "Multiscale structural similarity for image quality assessment", 2003; arXiv 1511.06409, section 2.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use kiln_loss::perceptual::MsSsimConfig;
///
/// let device = Device::flex();
/// let ms_ssim = MsSsimConfig::for_size(32, 32)?.init()?;
/// assert_eq!(ms_ssim.scales(), 3);
/// let image = Tensor::<4>::random([1, 3, 32, 32], Distribution::Uniform(0.0, 1.0), &device);
/// let value: f32 = ms_ssim.forward(image.clone(), image).into_scalar();
/// assert!((value - 1.0).abs() < 1e-6);
/// # Ok::<(), kiln_loss::LossError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MsSsim {
    statistics: Statistics,
    weights: Vec<f64>,
    odd: OddPolicy,
    variant: MsSsimVariant,
}

impl MsSsim {
    /// Number of scales.
    pub fn scales(&self) -> usize {
        self.weights.len()
    }

    /// Window at each scale.
    pub fn window(&self) -> Window {
        self.statistics.window
    }

    /// Whether images of this height and width, or volumes of this depth, height and width, are large enough: the smallest
    /// side has to exceed `(window - 1) 2^(scales - 1)`, or reach `window 2^(scales - 1)` where odd pixels are cropped.
    ///
    /// # Errors
    /// [`LossError::ImageSize`] where the window does not fit, with the number of scales that does.
    pub fn check_size(&self, dims: &[usize]) -> Result<(), LossError> {
        self.statistics.check_size(NAME, dims, self.scales(), self.odd)
    }

    /// Similarity of each pair.
    ///
    /// # Shapes
    /// - `x`, `y`: `[batch_size, channels, height, width]` or `[batch_size, channels, depth, height, width]`
    /// - output: `[batch_size]`
    ///
    /// # Panics
    /// Where the shapes differ, or [`MsSsim::check_size`] refuses them.
    pub fn forward_no_reduction<const D: usize>(&self, x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
        assert_images(NAME, &x, &y);
        self.check_size(&x.dims()[2..]).unwrap_or_else(|error| panic!("{error}"));
        let [batch, channels] = [x.dims()[0], x.dims()[1]];
        let planes = match self.variant {
            MsSsimVariant::ScaleMean => self.of_scale_means(x, y),
            MsSsimVariant::PerPixel => self.of_pixels(x, y).values.mean_dim(1).reshape([batch, channels]),
        };
        planes.mean_dim(1).squeeze_dim(1)
    }

    /// Mean similarity of a batch, `[1]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
        self.forward_no_reduction(x, y).mean()
    }

    /// `[batch_size, channels]`.
    fn of_scale_means<const D: usize>(&self, x: Tensor<D>, y: Tensor<D>) -> Tensor<2> {
        let means = self.statistics.scale_means(x, y, self.scales(), self.odd);
        let factor = |(scale, &weight)| power(means.clone().narrow(0, scale, 1).squeeze_dim::<2>(0), weight);
        let weights = self.weights.iter().enumerate().filter(|(_, weight)| counts(**weight));
        weights.map(factor).reduce(|product, next| product * next).expect("at least one scale")
    }

    /// The product at each position of the finest scale.
    fn of_pixels<const D: usize>(&self, x: Tensor<D>, y: Tensor<D>) -> Field {
        let (mut x, mut y) = (Field::of(x), Field::of(y));
        let last = self.scales() - 1;
        // For each axis, the pixel of the scale that holds the centre of each position of the finest.
        let half = self.window().size() / 2;
        let mut holders: Vec<Vec<usize>> = x.dims.iter().map(|&length| (half..length - half).collect()).collect();
        let mut product: Option<Field> = None;
        for (scale, &weight) in self.weights.iter().enumerate() {
            if counts(weight) {
                let mut factor = self.factor(x.clone(), y.clone(), scale);
                for (axis, holders) in holders.iter().enumerate() {
                    let end = factor.dims[axis] - 1;
                    let places: Vec<usize> = holders.iter().map(|&pixel| pixel.saturating_sub(half).min(end)).collect();
                    factor = factor.taken(axis, &places);
                }
                product = Some(match product {
                    None => factor,
                    Some(product) => Field { values: product.values * factor.values, dims: product.dims },
                });
            }
            if scale < last {
                for (holders, &length) in holders.iter_mut().zip(&x.dims) {
                    holders.iter_mut().for_each(|pixel| *pixel = self.odd.half_of(*pixel, length));
                }
                (x, y) = (x.halved(self.odd), y.halved(self.odd));
            }
        }
        product.expect("at least one scale")
    }

    /// The factor of a scale at each of its positions.
    fn factor(&self, x: Field, y: Field, scale: usize) -> Field {
        let Maps { luminance, contrast_structure: Field { values, dims } } = self.statistics.maps(x, y);
        let similarity = if scale + 1 == self.scales() { values * luminance.values } else { values };
        Field { values: power(similarity, self.weights[scale]), dims }
    }
}

impl OddPolicy {
    /// The smallest side that has room for a window at every scale.
    pub(super) fn least_side(self, window: usize, scales: usize) -> usize {
        let halvings = 1 << (scales - 1);
        match self {
            Self::Crop => window.saturating_mul(halvings),
            Self::ZeroPad | Self::Replicate => window.saturating_sub(1).saturating_mul(halvings).saturating_add(1),
        }
    }

    /// The pixel of the next scale that holds this one.
    fn half_of(self, pixel: usize, length: usize) -> usize {
        match self {
            Self::Crop => (pixel / 2).min(length / 2 - 1),
            Self::ZeroPad | Self::Replicate => (pixel + length % 2) / 2,
        }
    }
}

/// Whether a scale of this weight takes part: `m^0` is 1 whatever `m` is, also where a power would find no similarity.
fn counts(weight: f64) -> bool {
    weight > 0.0
}

/// `value^weight` with 0 for what is not positive, where the slope is 0 too; NaN stays NaN.
fn power<const D: usize>(value: Tensor<D>, weight: f64) -> Tensor<D> {
    // Not the negation of "is above": that would take NaN for none at all, and hide that a training has diverged.
    let is_none = value.clone().lower_equal_scalar(LEAST);
    value.mask_fill(is_none.clone(), LEAST).powf_scalar(weight).mask_fill(is_none, 0.0)
}

/// `1 - MS-SSIM`.
impl ImageLoss for MsSsim {
    fn dissimilarity(&self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        -self.forward_no_reduction(output, target) + 1.0
    }
}
