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
    let parts: Vec<String> = figures.named().into_iter().map(|(name, value)| shown(name, value)).collect();
    parts.join(", ")
}

fn shown(name: &str, value: f64) -> String {
    if name == "PSNR" { format!("PSNR {} dB", decibels(value)) } else { format!("{name} {value:.4}") }
}

fn decibels(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { figure(value) }
}
