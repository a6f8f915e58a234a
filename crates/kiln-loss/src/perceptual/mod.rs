//! Perceptual similarity of images, as a loss and as a measure: structural similarity at one scale and at several.
//!
//! A network whose output is an image is usually trained with the squared error of its pixels, which asks for the mean of
//! all images that could be meant: a blurred one. Structural similarity compares local means, contrasts and patterns.
//!
//! - [`Ssim`], [`MsSsim`]: the similarity at one scale and at several, of images `[batch, channels, height, width]` and of
//!   volumes `[batch, channels, depth, height, width]`;
//! - [`MsSsimLoss`], [`PixelLoss`]: losses, all of them an [`ImageLoss`];
//! - [`ElVaeLoss`]: any of them in a variational autoencoder;
//! - [`metrics`]: measures that nothing here is trained with.
//!
//! Source: J. Snell et al., "Learning to Generate Images with Perceptual Similarity Metrics", ICIP 2017, arXiv 1511.06409;
//! the measures are those of Wang et al. (2003, 2004).

mod el_vae;
mod field;
mod fused;
mod image_loss;
pub mod metrics;
mod ms_ssim;
mod ms_ssim_loss;
mod pixel;
mod scores;
mod ssim;
#[cfg(test)]
mod tests;
mod window;

pub use el_vae::{ElVaeLoss, ElVaeLossConfig, kl_divergence};
pub use image_loss::ImageLoss;
pub use ms_ssim::{MsSsim, MsSsimConfig, MsSsimVariant, OddPolicy};
pub use ms_ssim_loss::{MsSsimForm, MsSsimLoss, MsSsimLossConfig};
pub use pixel::PixelLoss;
pub use ssim::{Ssim, SsimConfig};
pub use window::Window;
