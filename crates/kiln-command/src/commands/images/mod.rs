//! `kiln train`, `evaluate` and `predict` where pictures come out: autoencoders and upscalers.

mod evaluate;
mod predict;
mod train;

pub(super) use evaluate::evaluate;
pub(super) use predict::{PictureOutput, predict};
pub(super) use train::{resume, run};

use kiln_lab::statistics::figure;
use kiln_lab::train::ImageFigures;

/// The figures in one line.
fn line(figures: &ImageFigures) -> String {
    let unit = |name: &str| if name == "PSNR" { " dB" } else { "" };
    let parts = figures.named().into_iter().map(|(name, value)| format!("{name} {}{}", shown(name, value), unit(name)));
    parts.collect::<Vec<_>>().join(", ") + &exact_hits(figures).map_or(String::new(), |note| format!(" ({note})"))
}

/// A figure without its name.
fn shown(name: &str, value: f64) -> String {
    match name {
        "PSNR" if value.is_finite() => format!("{value:.2}"),
        "PSNR" => figure(value),
        _ => format!("{value:.4}"),
    }
}

/// What PSNR is the mean of, where some pictures are hit exactly and others are not.
fn exact_hits(figures: &ImageFigures) -> Option<String> {
    let ImageFigures { pictures, psnr_pictures, .. } = *figures;
    let is_of_all = psnr_pictures == pictures || psnr_pictures == 0;
    (!is_of_all).then(|| format!("PSNR of {psnr_pictures} of {pictures}, the others are hit exactly"))
}
