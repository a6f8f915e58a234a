//! How good images are, by measures of which at most one was trained for.

use burn::tensor::Tensor;
use kiln_lab::LabError;
use kiln_loss::perceptual::{MsSsimConfig, SsimConfig, Window, metrics};
use serde::{Deserialize, Serialize};

/// Gradient above which a pixel is on an edge.
const EDGE: f64 = 0.1;
/// Decibels of an image without any error, whose ratio is infinite: far above what eight bits can show, 59.
const EXACT: f64 = 100.0;

/// Means over images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Quality {
    /// Decibels, of an image at most 100.
    pub(super) psnr: f64,
    pub(super) ssim: f64,
    pub(super) ms_ssim: f64,
    /// Gradient magnitude similarity deviation: less is better.
    pub(super) gmsd: f64,
    /// `|log(E / E')|` of the energies of the fine detail, over images that should have any: less is better.
    pub(super) detail: f64,
    pub(super) edge_f1: f64,
    /// Images whose signal-to-noise ratio counts as 100 dB because it is higher.
    pub(super) exact: usize,
    /// Images that should have no fine detail, whose ratio of energies says nothing.
    pub(super) flat: usize,
}

/// A figure of [`Quality`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// The figure in ids of findings.
    pub(super) id: &'static str,
    /// As a person calls it.
    pub(super) name: &'static str,
    pub(super) of: fn(&Quality) -> f64,
    pub(super) more_is_better: bool,
    /// Images that the mean does not count as they are: how many, and what was done with them.
    pub(super) exceptions: Option<Exceptions>,
}

/// How many images a mean does not count as they are, and what was done with them.
type Exceptions = (fn(&Quality) -> usize, &'static str);

impl Measure {
    pub(super) const PSNR: Self = Self {
        exceptions: Some((|q| q.exact, "images above 100 dB count as 100 dB")),
        ..Self::more_is_better("psnr", "PSNR (dB)", |q| q.psnr)
    };
    pub(super) const SSIM: Self = Self::more_is_better("ssim", "SSIM", |q| q.ssim);
    pub(super) const MS_SSIM: Self = Self::more_is_better("ms-ssim", "MS-SSIM", |q| q.ms_ssim);
    pub(super) const GMSD: Self = Self { more_is_better: false, ..Self::more_is_better("gmsd", "GMSD", |q| q.gmsd) };
    pub(super) const DETAIL: Self = Self {
        more_is_better: false,
        exceptions: Some((|q| q.flat, "images that should have no fine detail are left out")),
        ..Self::more_is_better("fine-detail", "|log fine detail|", |q| q.detail)
    };
    pub(super) const EDGES: Self = Self::more_is_better("edges", "edge F1", |q| q.edge_f1);
    /// In the order of tables.
    pub(super) const ALL: [Self; 6] = [Self::PSNR, Self::SSIM, Self::MS_SSIM, Self::GMSD, Self::DETAIL, Self::EDGES];

    const fn more_is_better(id: &'static str, name: &'static str, of: fn(&Quality) -> f64) -> Self {
        Self { id, name, of, more_is_better: true, exceptions: None }
    }

    /// Whether one figure is better than another.
    pub(super) fn is_better(&self, figure: f64, other: f64) -> bool {
        if self.more_is_better { figure > other } else { figure < other }
    }
}

/// The means over a batch; nothing where one is no number, as of outputs of a training that diverged. Values outside
/// `[0, 1]` count as the nearest inside, as they do in a file.
///
/// # Shapes
/// - `outputs`, `targets`: `[batch_size, 1, height, width]`
pub(super) fn judge(outputs: Tensor<4>, targets: Tensor<4>) -> Result<Option<Quality>, LabError> {
    let [_, _, height, width] = targets.dims();
    // Clamped, what is no number would look like one.
    if !outputs.clone().sum().into_scalar::<f64>().is_finite() {
        return Ok(None);
    }
    let outputs = outputs.clamp(0.0, 1.0);
    let scales = MsSsimConfig::for_size(height, width).map_err(LabError::method)?;
    let window = if height.min(width) >= 11 { Window::Gaussian { size: 11, sigma: 1.5 } } else { scales.window };
    let ssim = SsimConfig::new().with_window(window).init().map_err(LabError::method)?;
    let ms_ssim = scales.init().map_err(LabError::method)?;
    let psnr = each(metrics::psnr(outputs.clone(), targets.clone(), 1.0));
    let detail = each(metrics::hf_ratio(outputs.clone(), targets.clone()).log().abs());
    let detailed: Vec<f64> =
        detail.iter().zip(are_flat(&targets)).filter(|(_, is_flat)| !is_flat).map(|(detail, _)| *detail).collect();
    let quality = Quality {
        psnr: mean(&psnr.iter().map(|&decibels| if decibels > EXACT { EXACT } else { decibels }).collect::<Vec<_>>()),
        ssim: mean(&each(ssim.forward_no_reduction(outputs.clone(), targets.clone()))),
        ms_ssim: mean(&each(ms_ssim.forward_no_reduction(outputs.clone(), targets.clone()))),
        gmsd: mean(&gmsd_of_each(outputs.clone(), targets.clone())),
        detail: mean(&detailed),
        edge_f1: mean(&each(metrics::edge_f1(outputs, targets, EDGE))),
        exact: psnr.iter().filter(|&&decibels| decibels > EXACT).count(),
        flat: detail.len() - detailed.len(),
    };
    let is_sound = Measure::ALL.iter().all(|measure| (measure.of)(&quality).is_finite());
    Ok(is_sound.then_some(quality))
}

/// Gradient magnitude similarity deviation of each image.
///
/// # Shapes
/// - `outputs`, `targets`: `[batch_size, 1, height, width]`
pub(super) fn gmsd_of_each(outputs: Tensor<4>, targets: Tensor<4>) -> Vec<f64> {
    each(metrics::gmsd(outputs.clamp(0.0, 1.0), targets, 1.0))
}

/// Whether the images have no fine detail: its energy is not above the floor from which [`metrics::hf_ratio`] counts it, so
/// that the ratio to a black image is 1.
fn are_flat(images: &Tensor<4>) -> Vec<bool> {
    let over_floor = metrics::hf_ratio(images.clone(), images.zeros_like());
    each(over_floor).into_iter().map(|ratio| ratio <= 1.0).collect()
}

fn each(values: Tensor<1>) -> Vec<f64> {
    values.into_data().iter::<f64>().collect()
}

/// NaN of no values.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    fn noise(images: usize) -> Tensor<4> {
        let device = Device::flex();
        device.seed(3);
        Tensor::random([images, 1, 16, 16], Distribution::Default, &device)
    }

    #[test]
    fn an_image_without_error_counts_as_100_decibels_and_is_counted() {
        let target = noise(2);
        let shift = Tensor::<4>::from_floats([[[[0.0]]], [[[0.1]]]], &target.device());
        let quality = judge(target.clone() * 0.5 + shift, target * 0.5).unwrap().unwrap();
        assert!((quality.psnr - (100.0 + 20.0) / 2.0).abs() < 1e-3, "{}", quality.psnr);
        assert_eq!((quality.exact, quality.flat), (1, 0));
    }

    #[test]
    fn an_image_that_should_have_no_detail_is_left_out_of_the_mean_of_detail() {
        let detailed = noise(1);
        let targets = Tensor::cat(vec![detailed.clone(), detailed.zeros_like()], 0);
        let quality = judge(Tensor::cat(vec![detailed.clone() * 0.5, noise(1)], 0), targets).unwrap().unwrap();
        assert!((quality.detail - 4.0_f64.ln()).abs() < 1e-4, "{}", quality.detail);
        assert_eq!(quality.flat, 1);
    }

    #[test]
    fn outputs_that_are_no_numbers_have_no_quality() {
        let target = noise(2);
        let broken = target.clone().slice_fill([0..1, 0..1, 3..4, 3..4], f32::NAN);
        assert_eq!(judge(broken, target).unwrap(), None);
    }
}
