//! How good images are, by measures of which at most one was trained for.

use burn::tensor::Tensor;
use kiln_lab::LabError;
use kiln_loss::perceptual::{MsSsimConfig, SsimConfig, Window, metrics};
use serde::{Deserialize, Serialize};

/// Gradient above which a pixel is on an edge.
const EDGE: f64 = 0.1;

/// Means over images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Quality {
    /// Decibels.
    pub(super) psnr: f64,
    pub(super) ssim: f64,
    pub(super) ms_ssim: f64,
    /// Gradient magnitude similarity deviation: less is better.
    pub(super) gmsd: f64,
    /// `|log(E / E')|` of the energies of the fine detail: less is better.
    pub(super) detail: f64,
    pub(super) edge_f1: f64,
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
}

impl Measure {
    pub(super) const PSNR: Self = Self { id: "psnr", name: "PSNR (dB)", of: |q| q.psnr, more_is_better: true };
    pub(super) const SSIM: Self = Self { id: "ssim", name: "SSIM", of: |q| q.ssim, more_is_better: true };
    pub(super) const MS_SSIM: Self = Self { id: "ms-ssim", name: "MS-SSIM", of: |q| q.ms_ssim, more_is_better: true };
    pub(super) const GMSD: Self = Self { id: "gmsd", name: "GMSD", of: |q| q.gmsd, more_is_better: false };
    pub(super) const DETAIL: Self =
        Self { id: "fine-detail", name: "|log fine detail|", of: |q| q.detail, more_is_better: false };
    pub(super) const EDGES: Self = Self { id: "edges", name: "edge F1", of: |q| q.edge_f1, more_is_better: true };
    /// In the order of tables.
    pub(super) const ALL: [Self; 6] = [Self::PSNR, Self::SSIM, Self::MS_SSIM, Self::GMSD, Self::DETAIL, Self::EDGES];

    /// Whether one figure is better than another.
    pub(super) fn is_better(&self, figure: f64, other: f64) -> bool {
        if self.more_is_better { figure > other } else { figure < other }
    }
}

/// The means over a batch. Values outside `[0, 1]` count as the nearest inside, as they do in a file.
///
/// # Shapes
/// - `outputs`, `targets`: `[batch_size, 1, height, width]`
pub(super) fn judge(outputs: Tensor<4>, targets: Tensor<4>) -> Result<Quality, LabError> {
    let [_, _, height, width] = targets.dims();
    let outputs = outputs.clamp(0.0, 1.0);
    let scales = MsSsimConfig::for_size(height, width).map_err(LabError::method)?;
    let window = if height.min(width) >= 11 { Window::Gaussian { size: 11, sigma: 1.5 } } else { scales.window };
    let ssim = SsimConfig::new().with_window(window).init().map_err(LabError::method)?;
    let ms_ssim = scales.init().map_err(LabError::method)?;
    let mean = |values: Tensor<1>| values.mean().into_scalar::<f64>();
    Ok(Quality {
        psnr: mean(metrics::psnr(outputs.clone(), targets.clone(), 1.0)),
        ssim: mean(ssim.forward_no_reduction(outputs.clone(), targets.clone())),
        ms_ssim: mean(ms_ssim.forward_no_reduction(outputs.clone(), targets.clone())),
        gmsd: mean(metrics::gmsd(outputs.clone(), targets.clone(), 1.0)),
        detail: mean(metrics::hf_ratio(outputs.clone(), targets.clone()).log().abs()),
        edge_f1: mean(metrics::edge_f1(outputs, targets, EDGE)),
    })
}
