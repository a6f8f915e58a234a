//! How near pictures are to those that they should be.

use burn::tensor::Tensor;
use kiln_loss::perceptual::{MsSsimConfig, SsimConfig, Window, metrics};
use serde::{Deserialize, Serialize};

use super::losses::largest_window;
use crate::LabError;

/// Means over pictures with values in `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFigures {
    /// Number of pictures, or of windows of pictures.
    pub pictures: usize,
    /// Peak signal-to-noise ratio in decibels; infinite where a picture is hit exactly, which JSON writes as null.
    pub psnr: f64,
    /// Structural similarity under a Gaussian window of 11 pixels, or the largest that fits; nothing for a side below 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim: Option<f64>,
    /// Structural similarity at as many of the five scales as fit; nothing where only one would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms_ssim: Option<f64>,
    /// Gradient magnitude similarity deviation, 0 for equal pictures; nothing for a side below 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gmsd: Option<f64>,
}

impl ImageFigures {
    /// The figures with their names as tables show them.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let further = [("SSIM", self.ssim), ("MS-SSIM", self.ms_ssim), ("GMSD", self.gmsd)];
        let further = further.into_iter().filter_map(|(name, value)| Some((name, value?)));
        std::iter::once(("PSNR", self.psnr)).chain(further).collect()
    }
}

/// Gathers figures batch by batch; the pictures of one batch have one size.
#[derive(Clone, Debug, Default)]
pub struct ImageJudge {
    pictures: usize,
    psnr: f64,
    ssim: Sum,
    ms_ssim: Sum,
    gmsd: Sum,
}

/// A sum over pictures, of which some may be too small for the measure.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    value: f64,
    pictures: usize,
}

impl ImageJudge {
    /// A side below which only one scale fits.
    const TWO_SCALES: usize = 9;
    /// A side below which there is no gradient to compare.
    const GRADIENTS: usize = 6;

    /// Judges a batch: values of `outputs` outside `[0, 1]` count as the nearest inside, as they do in a file.
    ///
    /// # Shapes
    /// - `outputs`, `targets`: `[batch_size, channels, height, width]`
    ///
    /// # Errors
    /// [`LabError::Method`] where a measure refuses the size.
    pub fn add(&mut self, outputs: Tensor<4>, targets: Tensor<4>) -> Result<(), LabError> {
        let [count, _, height, width] = targets.dims();
        let outputs = outputs.clamp(0.0, 1.0);
        let side = height.min(width);
        self.pictures += count;
        self.psnr += total(metrics::psnr(outputs.clone(), targets.clone(), 1.0));
        if side >= 3 {
            let window = Window::Gaussian { size: largest_window(side), sigma: 1.5 };
            let ssim = SsimConfig::new().with_window(window).init().map_err(LabError::method)?;
            self.ssim.add(ssim.forward_no_reduction(outputs.clone(), targets.clone()), count);
        }
        if side >= Self::TWO_SCALES {
            let ms_ssim =
                MsSsimConfig::for_size(height, width).and_then(|config| config.init()).map_err(LabError::method)?;
            self.ms_ssim.add(ms_ssim.forward_no_reduction(outputs.clone(), targets.clone()), count);
        }
        if side >= Self::GRADIENTS {
            self.gmsd.add(metrics::gmsd(outputs, targets, 1.0), count);
        }
        Ok(())
    }

    /// The means over all pictures; a measure that one of them was too small for is left out.
    pub fn figures(&self) -> ImageFigures {
        let mean =
            |sum: Sum| (sum.pictures == self.pictures && sum.pictures > 0).then(|| sum.value / self.pictures as f64);
        ImageFigures {
            pictures: self.pictures,
            psnr: self.psnr / self.pictures as f64,
            ssim: mean(self.ssim),
            ms_ssim: mean(self.ms_ssim),
            gmsd: mean(self.gmsd),
        }
    }
}

impl Sum {
    fn add(&mut self, values: Tensor<1>, count: usize) {
        self.value += total(values);
        self.pictures += count;
    }
}

fn total(values: Tensor<1>) -> f64 {
    values.into_data().iter::<f64>().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    #[test]
    fn figures_are_means_over_pictures_and_small_ones_have_fewer() {
        let device = Device::flex();
        let images = Tensor::<4>::random([3, 1, 32, 32], Distribution::Uniform(0.2, 0.8), &device);
        let shifted = images.clone() + 0.1;
        let mut judge = ImageJudge::default();
        judge.add(shifted.clone().narrow(0, 0, 2), images.clone().narrow(0, 0, 2)).unwrap();
        judge.add(shifted.narrow(0, 2, 1), images.clone().narrow(0, 2, 1)).unwrap();
        let found = judge.figures();
        assert_eq!(found.pictures, 3);
        assert!((found.psnr - 20.0).abs() < 1e-3, "{found:?}");
        assert!(found.ssim.unwrap() > 0.9 && found.ms_ssim.unwrap() > 0.9 && found.gmsd.unwrap() < 1e-3, "{found:?}");
        let small = |side| {
            let mut judge = ImageJudge::default();
            let images = images.clone().slice([0..3, 0..1, 0..side, 0..side]);
            judge.add(images.clone(), images).unwrap();
            judge.figures().named().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(small(8), ["PSNR", "SSIM", "GMSD"]);
        assert_eq!(small(5), ["PSNR", "SSIM"]);
        assert_eq!(small(2), ["PSNR"]);
    }
}
