//! A picture of where two pictures differ.

use std::io::Cursor;
use std::path::Path;

use burn::tensor::Tensor;
use image::{ImageFormat, Rgb, RgbImage};
use kiln_lab::write_whole;
use kiln_loss::perceptual::Ssim;

use super::pairs::Pair;
use super::picture::Pixels;
use crate::failure::Failure;

/// Pixels between the four parts.
const GAP: usize = 4;
/// How much brighter differences are drawn than they are.
const AMPLIFICATION: f32 = 4.0;
/// Where the window does not fit, there is no similarity.
const UNKNOWN: Rgb<u8> = Rgb([128, 128, 128]);

/// Writes both pictures, the similarity at each pixel and the absolute difference, side by side.
pub fn write(
    folder: &Path,
    pair: &Pair,
    pixels: [&Pixels; 2],
    ssim: &Ssim,
    images: [Tensor<4>; 2],
) -> Result<(), Failure> {
    let path = folder.join(format!("{}.png", pair.name));
    let mut png = Cursor::new(Vec::new());
    let drawn = sheet(pixels, ssim, images).write_to(&mut png, ImageFormat::Png);
    drawn.map_err(|error| Failure::Failed(format!("cannot draw {}: {error}", path.display())))?;
    Ok(write_whole(&path, &png.into_inner())?)
}

fn sheet([a, b]: [&Pixels; 2], ssim: &Ssim, [x, y]: [Tensor<4>; 2]) -> RgbImage {
    let (width, height) = (a.width, a.height);
    let mut sheet = RgbImage::from_pixel((4 * width + 3 * GAP) as u32, height as u32, Rgb([255, 255, 255]));
    let mut draw = |part: usize, colour: &dyn Fn(usize, usize) -> Rgb<u8>| {
        for row in 0..height {
            for column in 0..width {
                let x = part * (width + GAP) + column;
                sheet.put_pixel(x as u32, row as u32, colour(row, column));
            }
        }
    };
    draw(0, &|row, column| colour(a, |channel| a.values[(channel * height + row) * width + column]));
    draw(1, &|row, column| colour(b, |channel| b.values[(channel * height + row) * width + column]));
    let map = ssim.map(x, y).mean_dim(1);
    let [_, _, rows, columns] = map.dims();
    let map: Vec<f32> = map.into_data().iter::<f32>().collect();
    let border = (height - rows) / 2;
    draw(2, &|row, column| {
        let inside = |place: usize, length: usize| place.checked_sub(border).filter(|&place| place < length);
        match (inside(row, rows), inside(column, columns)) {
            (Some(row), Some(column)) => grey(map[row * columns + column]),
            _ => UNKNOWN,
        }
    });
    draw(3, &|row, column| {
        colour(a, |channel| {
            let place = (channel * height + row) * width + column;
            AMPLIFICATION * (a.values[place] - b.values[place]).abs()
        })
    });
    sheet
}

fn colour(pixels: &Pixels, value: impl Fn(usize) -> f32) -> Rgb<u8> {
    if pixels.channels == 1 { grey(value(0)) } else { Rgb([0, 1, 2].map(|channel| byte(value(channel)))) }
}

fn grey(value: f32) -> Rgb<u8> {
    Rgb([byte(value); 3])
}

fn byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}
