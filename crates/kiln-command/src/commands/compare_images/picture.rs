//! Pictures as numbers between 0 and 1.

use std::path::Path;

use image::{ColorType, DynamicImage};
use kiln_data::image_folder::decode_opaque;

use crate::failure::Failure;

/// The colours of a picture, `[channels, height, width]`, 0 black and 1 white.
pub struct Pixels {
    pub values: Vec<f32>,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Bits of each number in the file.
    bits: u16,
}

impl Pixels {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes =
            std::fs::read(path).map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
        let picture = decode_opaque(path, &bytes, None)?;
        let colour = picture.color();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let channels = if colour.has_color() { 3 } else { 1 };
        let values = if channels == 1 { picture.to_luma32f().into_raw() } else { by_planes(&picture) };
        Ok(Self { values, channels, height, width, bits: bits(colour) })
    }

    /// What has to be the same in pictures that are compared, in words.
    pub fn kind(&self) -> String {
        let colours = if self.channels == 1 { "grey" } else { "red, green and blue" };
        format!("{} x {} pixels, {colours} of {} bits", self.width, self.height, self.bits)
    }
}

fn bits(colour: ColorType) -> u16 {
    8 * u16::from(colour.bytes_per_pixel()) / u16::from(colour.channel_count())
}

fn by_planes(picture: &DynamicImage) -> Vec<f32> {
    let interleaved = picture.to_rgb32f().into_raw();
    (0..3).flat_map(|channel| interleaved.iter().skip(channel).step_by(3).copied()).collect()
}
