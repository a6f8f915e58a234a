//! Similarity of two images at each scale, before the scales are joined.

use burn::tensor::Tensor;

use super::field::Field;
use super::{OddPolicy, Window, fused};
use crate::LossError;
use crate::error::require;

/// The numbers that a similarity is computed with, all of them in their ranges.
#[derive(Debug, Clone)]
pub(super) struct Statistics {
    pub(super) window: Window,
    /// The window's weights along one axis.
    pub(super) taps: Vec<f64>,
    /// `(K1 L)^2`, beside the means.
    pub(super) c1: f64,
    /// `(K2 L)^2`, beside the variances.
    pub(super) c2: f64,
}

/// The maps of a scale, `[planes, positions]`.
pub(super) struct Maps {
    /// `(2 mu_x mu_y + C1) / (mu_x^2 + mu_y^2 + C1)`.
    pub(super) luminance: Field,
    /// `(2 s_xy + C2) / (s_x^2 + s_y^2 + C2)`.
    pub(super) contrast_structure: Field,
}

impl Statistics {
    pub(super) fn new(
        loss: &'static str,
        window: Window,
        data_range: f64,
        [k1, k2]: [f64; 2],
    ) -> Result<Self, LossError> {
        window.check(loss)?;
        // Within these, the constants and the squares of the values are ordinary numbers of single precision.
        require((1e-6..=1e9).contains(&data_range), loss, "data_range", data_range, "from 1e-6 to 1e9")?;
        for (name, value) in [("k1", k1), ("k2", k2)] {
            require((1e-6..=1.0).contains(&value), loss, name, value, "from 1e-6 to 1")?;
        }
        let square = |k: f64| (k * data_range).powi(2);
        Ok(Self { window, taps: window.taps(), c1: square(k1), c2: square(k2) })
    }

    /// The maps of both factors over the positions at which the window lies inside the image.
    ///
    /// With `s = x + y` and `d = x - y`, `4 mu_x mu_y = mu_s^2 - mu_d^2` and `2 (mu_x^2 + mu_y^2) = mu_s^2 + mu_d^2`; the
    /// variances likewise. Four maps are blurred where `x`, `y`, `x^2`, `y^2`, `xy` would be five, and images that differ
    /// little lose no digits. The means of the planes are taken out first: otherwise the variance of a bright plane would
    /// be the small difference of large numbers.
    pub(super) fn maps(&self, x: Field, y: Field) -> Maps {
        let planes = x.values.dims()[0];
        let [centre_s, centre_d] = {
            let means = [&x, &y].map(|field| field.values.clone().detach().mean_dim(1));
            [means[0].clone() + means[1].clone(), means[0].clone() - means[1].clone()]
        };
        let sum = x.values.clone() + y.values.clone() - centre_s.clone();
        let difference = x.values - y.values - centre_d.clone();
        let moments = vec![sum.clone(), difference.clone(), sum.square(), difference.square()];
        let blurred = Field { values: Tensor::cat(moments, 0), dims: x.dims }.blurred(&self.taps);
        let moment = |place: usize| blurred.values.clone().narrow(0, place * planes, planes);
        let (mean_s, mean_d) = (moment(0), moment(1));
        let variance_s = moment(2) - mean_s.clone().square();
        let variance_d = moment(3) - mean_d.clone().square();
        let ratio = |s: Tensor<2>, d: Tensor<2>, c: f64| {
            let (above, below) = (s.clone() - d.clone(), s + d);
            Field { values: (above / 2.0 + c) / (below / 2.0 + c), dims: blurred.dims.clone() }
        };
        Maps {
            luminance: ratio((mean_s + centre_s).square(), (mean_d + centre_d).square(), self.c1),
            contrast_structure: ratio(variance_s, variance_d, self.c2),
        }
    }

    /// Mean over the positions of the similarity at each scale: contrast and structure, with the luminance at the coarsest.
    ///
    /// # Shapes
    /// - `x`, `y`: `[batch_size, channels, ..]`
    /// - output: `[scales, batch_size, channels]`
    pub(super) fn scale_means<const D: usize>(
        &self,
        x: Tensor<D>,
        y: Tensor<D>,
        scales: usize,
        odd: OddPolicy,
    ) -> Tensor<3> {
        fused::scale_means(self, &x, &y, scales, odd).unwrap_or_else(|| self.composed_means(x, y, scales, odd))
    }

    /// As [`scale_means`](Self::scale_means), by Burn's operations: for every device, precision and number of axes.
    pub(super) fn composed_means<const D: usize>(
        &self,
        x: Tensor<D>,
        y: Tensor<D>,
        scales: usize,
        odd: OddPolicy,
    ) -> Tensor<3> {
        let [batch, channels] = [x.dims()[0], x.dims()[1]];
        let (mut x, mut y) = (Field::of(x), Field::of(y));
        let mut means = Vec::with_capacity(scales);
        for _ in 1..scales {
            means.push(self.maps(x.clone(), y.clone()).contrast_structure.values.mean_dim(1));
            (x, y) = (x.halved(odd), y.halved(odd));
        }
        let Maps { luminance, contrast_structure } = self.maps(x, y);
        means.push((luminance.values * contrast_structure.values).mean_dim(1));
        Tensor::cat(means, 1).transpose().reshape([scales, batch, channels])
    }

    /// Whether images of these sizes have room for the window at every scale.
    pub(super) fn check_size(
        &self,
        loss: &'static str,
        dims: &[usize],
        scales: usize,
        odd: OddPolicy,
    ) -> Result<(), LossError> {
        let side = dims.iter().copied().min().unwrap_or(0);
        let least = |scales: usize| odd.least_side(self.window.size(), scales);
        if side >= least(scales) {
            return Ok(());
        }
        Err(LossError::ImageSize {
            loss,
            size: dims.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
            scales,
            window: self.window.size(),
            least: least(scales),
            fitting: (1..scales).rev().find(|&scales| side >= least(scales)).unwrap_or(0),
        })
    }
}

/// The larger of a value and `least`, where the slope is 0; NaN stays NaN.
pub(super) fn at_least<const D: usize>(value: Tensor<D>, least: f64) -> Tensor<D> {
    let below = value.clone().lower_equal_scalar(least);
    value.mask_fill(below, least)
}

/// Panics where two batches of images do not have one shape, or are neither images nor volumes.
pub(super) fn assert_images<const D: usize>(loss: &str, x: &Tensor<D>, y: &Tensor<D>) {
    assert!(D == 4 || D == 5, "{loss}: images have 4 dimensions and volumes 5, not {D}");
    assert_eq!(x.dims(), y.dims(), "{loss}: the images differ in shape");
}
