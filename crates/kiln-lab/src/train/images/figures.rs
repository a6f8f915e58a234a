//! How near pictures are to those that they should be.

use burn::tensor::Tensor;
use kiln_loss::perceptual::{MsSsimConfig, SsimConfig, metrics};
use serde::{Deserialize, Serialize};

use crate::LabError;

/// Means over pictures with values in `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFigures {
    /// Number of pictures, or of windows of pictures.
    pub pictures: usize,
    /// Peak signal-to-noise ratio in decibels, the mean over the `psnr_pictures`; nothing where there is none of these.
    pub psnr: Option<f64>,
    /// Pictures that are not hit exactly: of one that is, the ratio is infinite, and so would every mean with it be.
    pub psnr_pictures: usize,
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
    /// The figures with their names as tables show them; PSNR is infinite where every picture is hit exactly.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let further = [("SSIM", self.ssim), ("MS-SSIM", self.ms_ssim), ("GMSD", self.gmsd)];
        let further = further.into_iter().filter_map(|(name, value)| Some((name, value?)));
        std::iter::once(("PSNR", self.psnr.unwrap_or(f64::INFINITY))).chain(further).collect()
    }
}

/// Gathers figures batch by batch; the pictures of one batch have one size.
#[derive(Clone, Debug, Default)]
pub struct ImageJudge {
    pictures: usize,
    psnr: Sum,
    ssim: Sum,
    ms_ssim: Sum,
    gmsd: Sum,
}

/// A sum over those pictures that a measure has a finite value of.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    value: f64,
    pictures: usize,
}

impl ImageJudge {
    /// A side below which no window fits.
    const WINDOW: usize = 3;
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
        self.psnr.add(metrics::psnr(outputs.clone(), targets.clone(), 1.0));
        if side >= Self::WINDOW {
            let ssim =
                SsimConfig::for_size(height, width).and_then(|config| config.init()).map_err(LabError::method)?;
            self.ssim.add(ssim.forward_no_reduction(outputs.clone(), targets.clone()));
        }
        if side >= Self::TWO_SCALES {
            let ms_ssim =
                MsSsimConfig::for_size(height, width).and_then(|config| config.init()).map_err(LabError::method)?;
            self.ms_ssim.add(ms_ssim.forward_no_reduction(outputs.clone(), targets.clone()));
        }
        if side >= Self::GRADIENTS {
            self.gmsd.add(metrics::gmsd(outputs, targets, 1.0));
        }
        Ok(())
    }

    /// The means over all pictures, and of PSNR over those that are not hit exactly; a measure that one of them was too small
    /// for is left out.
    pub fn figures(&self) -> ImageFigures {
        let mean = |sum: Sum| if sum.pictures == self.pictures { sum.mean() } else { None };
        ImageFigures {
            pictures: self.pictures,
            psnr: self.psnr.mean(),
            psnr_pictures: self.psnr.pictures,
            ssim: mean(self.ssim),
            ms_ssim: mean(self.ms_ssim),
            gmsd: mean(self.gmsd),
        }
    }
}

impl Sum {
    fn add(&mut self, values: Tensor<1>) {
        // NaN is no exact hit: it stays in the mean, where it is seen.
        for value in values.into_data().iter::<f64>().filter(|&value| value != f64::INFINITY) {
            self.value += value;
            self.pictures += 1;
        }
    }

    fn mean(self) -> Option<f64> {
        (self.pictures > 0).then(|| self.value / self.pictures as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::DType;
    use kiln_check::random;

    #[test]
    fn figures_are_means_over_pictures_and_small_ones_have_fewer() {
        let images = pictures([3, 1, 32, 32]);
        let shifted = images.clone() + 0.1;
        let mut judge = ImageJudge::default();
        judge.add(shifted.clone().narrow(0, 0, 2), images.clone().narrow(0, 0, 2)).unwrap();
        judge.add(shifted.narrow(0, 2, 1), images.clone().narrow(0, 2, 1)).unwrap();
        let found = judge.figures();
        assert_eq!((found.pictures, found.psnr_pictures), (3, 3));
        assert!((found.psnr.unwrap() - 20.0).abs() < 1e-3, "{found:?}");
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

    #[test]
    fn exact_hits_are_counted_beside_the_mean_of_the_others() {
        let images = pictures([3, 1, 12, 12]);
        let shifted = images.clone() + 0.1;
        let outputs = Tensor::cat(vec![images.clone().narrow(0, 0, 1), shifted.clone().narrow(0, 1, 2)], 0);
        let judged = |outputs: Tensor<4>| {
            let mut judge = ImageJudge::default();
            judge.add(outputs, images.clone()).unwrap();
            judge.figures()
        };
        let some = judged(outputs);
        assert_eq!((some.pictures, some.psnr_pictures), (3, 2));
        assert!((some.psnr.unwrap() - 20.0).abs() < 1e-3, "{some:?}");
        let all = judged(images.clone());
        assert_eq!((all.psnr, all.psnr_pictures, all.named()[0]), (None, 0, ("PSNR", f64::INFINITY)));
        assert!(serde_json::to_string(&all).unwrap().contains(r#""psnr":null,"psnr_pictures":0"#));
        let broken = judged(shifted * f32::NAN);
        assert!(broken.psnr.unwrap().is_nan() && broken.ssim.unwrap().is_nan(), "{broken:?}");
        assert!(broken.ms_ssim.unwrap().is_nan(), "{broken:?}");
    }

    /// Values in `[0.2, 0.8]`.
    fn pictures(shape: [usize; 4]) -> Tensor<4> {
        (random::normal(shape, DType::F32) * 0.1 + 0.5).clamp(0.2, 0.8)
    }
}
