//! Random changes of pictures that leave their class alone, for training.
//!
//! Each works on a batch `[batch_size, channels, height, width]` of values in `0..=1`, draws anew for each picture, and
//! depends on the seed only. [`Augmentation`] lists several; [`apply`] runs them in order.

use std::f32::consts::PI;

use burn::tensor::{Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::split::below;

/// One random change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Augmentation {
    /// A window of the same size, moved by up to `padding` pixels over a border of zeros.
    Crop {
        /// Largest shift in pixels.
        padding: usize,
    },
    /// Left and right swapped in half of the pictures.
    Flip,
    /// A square set to zero, its centre anywhere in the picture.
    Cutout {
        /// Side of the square in pixels.
        size: usize,
    },
    /// Brightness, contrast and saturation, each multiplied by a factor in `1 - strength..=1 + strength`, in this
    /// order; the result stays in `0..=1`.
    ColourJitter {
        /// Strength of each, at least 0.
        strength: f32,
    },
    /// A turn about the centre by an angle in `-max_degrees..=max_degrees`, bilinear, zeros outside.
    Rotation {
        /// Largest angle in degrees.
        max_degrees: f32,
    },
    /// Normal noise added to each value.
    Noise {
        /// Standard deviation.
        deviation: f32,
    },
}

/// Height and width of a picture with its channels.
#[derive(Debug, Clone, Copy)]
struct Size {
    channels: usize,
    height: usize,
    width: usize,
}

/// Applies the changes in order, each with its own random numbers.
///
/// # Shapes
/// - `pictures`: `[batch_size, channels, height, width]`
/// - output: the same
///
/// # Panics
/// Where the values of `pictures` cannot be read as `f32`.
pub fn apply(pictures: Tensor<4>, augmentations: &[Augmentation], seed: u64) -> Tensor<4> {
    let [batch_size, channels, height, width] = pictures.dims();
    let device = pictures.device();
    if augmentations.is_empty() || batch_size * channels * height * width == 0 {
        return pictures;
    }
    let mut values: Vec<f32> = pictures.into_data().iter::<f32>().collect();
    let numbers: Vec<usize> = (0..batch_size).collect();
    apply_in_place(&mut values, [channels, height, width], &numbers, augmentations, seed);
    Tensor::from_data(TensorData::new(values, [batch_size, channels, height, width]), &device)
}

/// As [`apply`], on pictures that lie one after the other. What becomes of a picture depends on `seed` and on its number
/// alone, whatever lies beside it.
///
/// # Shapes
/// - `values`: `numbers.len()` pictures of `shape`, `[channels, height, width]`
pub fn apply_in_place(
    values: &mut [f32],
    shape: [usize; 3],
    numbers: &[usize],
    augmentations: &[Augmentation],
    seed: u64,
) {
    let [channels, height, width] = shape;
    let size = Size { channels, height, width };
    let length = (channels * height * width).max(1);
    values.par_chunks_mut(length).zip(numbers).for_each(|(values, &number)| {
        for (step, augmentation) in augmentations.iter().enumerate() {
            let mut random = ChaCha8Rng::seed_from_u64(seed.wrapping_add(step as u64));
            random.set_stream(number as u64);
            augmentation.apply_one(values, size, &mut random);
        }
    });
}

/// [`Augmentation::Crop`] alone.
pub fn crop(pictures: Tensor<4>, padding: usize, seed: u64) -> Tensor<4> {
    apply(pictures, &[Augmentation::Crop { padding }], seed)
}

/// [`Augmentation::Flip`] alone.
pub fn flip(pictures: Tensor<4>, seed: u64) -> Tensor<4> {
    apply(pictures, &[Augmentation::Flip], seed)
}

/// [`Augmentation::Cutout`] alone.
pub fn cutout(pictures: Tensor<4>, size: usize, seed: u64) -> Tensor<4> {
    apply(pictures, &[Augmentation::Cutout { size }], seed)
}

/// [`Augmentation::ColourJitter`] alone.
pub fn colour_jitter(pictures: Tensor<4>, strength: f32, seed: u64) -> Tensor<4> {
    apply(pictures, &[Augmentation::ColourJitter { strength }], seed)
}

/// [`Augmentation::Rotation`] alone.
pub fn rotation(pictures: Tensor<4>, max_degrees: f32, seed: u64) -> Tensor<4> {
    apply(pictures, &[Augmentation::Rotation { max_degrees }], seed)
}

/// [`Augmentation::Noise`] alone.
pub fn noise(pictures: Tensor<4>, deviation: f32, seed: u64) -> Tensor<4> {
    apply(pictures, &[Augmentation::Noise { deviation }], seed)
}

impl Augmentation {
    fn apply_one(&self, values: &mut [f32], size: Size, random: &mut ChaCha8Rng) {
        match *self {
            Self::Crop { padding } => {
                let mut offset = || below(random, 2 * padding + 1) as isize - padding as isize;
                let (down, right) = (offset(), offset());
                resample(values, size, |y, x| (y as f32 + down as f32, x as f32 + right as f32));
            }
            Self::Flip => {
                if random.next_u32() & 1 == 1 {
                    values.chunks_exact_mut(size.width).for_each(<[f32]>::reverse);
                }
            }
            Self::Cutout { size: side } => {
                let (y, x) = (below(random, size.height), below(random, size.width));
                let rows = y.saturating_sub(side / 2)..(y + side.div_ceil(2)).min(size.height);
                let columns = x.saturating_sub(side / 2)..(x + side.div_ceil(2)).min(size.width);
                for plane in values.chunks_exact_mut(size.height * size.width) {
                    for row in rows.clone() {
                        plane[row * size.width..(row + 1) * size.width][columns.clone()].fill(0.0);
                    }
                }
            }
            Self::ColourJitter { strength } => {
                let mut factor = || 1.0 + strength * (2.0 * unit(random) - 1.0);
                let (brightness, contrast, saturation) = (factor(), factor(), factor());
                jitter(values, size, brightness, contrast, saturation);
            }
            Self::Rotation { max_degrees } => {
                let angle = max_degrees * (2.0 * unit(random) - 1.0) * PI / 180.0;
                let (sine, cosine) = angle.sin_cos();
                let (middle_y, middle_x) = ((size.height as f32 - 1.0) / 2.0, (size.width as f32 - 1.0) / 2.0);
                resample(values, size, |y, x| {
                    let (y, x) = (y as f32 - middle_y, x as f32 - middle_x);
                    (middle_y + cosine * y + sine * x, middle_x - sine * y + cosine * x)
                });
            }
            Self::Noise { deviation } => values.iter_mut().for_each(|value| *value += deviation * normal(random)),
        }
    }
}

/// Brightness scales; contrast moves away from the mean grey; saturation moves away from each pixel's own grey.
fn jitter(values: &mut [f32], size: Size, brightness: f32, contrast: f32, saturation: f32) {
    let pixels = size.height * size.width;
    let limit = |value: f32| value.clamp(0.0, 1.0);
    values.iter_mut().for_each(|value| *value = limit(*value * brightness));
    let grey = |values: &[f32], pixel: usize| {
        if size.channels == 3 {
            0.299 * values[pixel] + 0.587 * values[pixels + pixel] + 0.114 * values[2 * pixels + pixel]
        } else {
            (0..size.channels).map(|channel| values[channel * pixels + pixel]).sum::<f32>() / size.channels as f32
        }
    };
    let mean = (0..pixels).map(|pixel| grey(values, pixel)).sum::<f32>() / pixels as f32;
    values.iter_mut().for_each(|value| *value = limit(mean + contrast * (*value - mean)));
    if size.channels == 3 {
        for pixel in 0..pixels {
            let grey = grey(values, pixel);
            for channel in 0..3 {
                let value = &mut values[channel * pixels + pixel];
                *value = limit(grey + saturation * (*value - grey));
            }
        }
    }
}

/// Each pixel becomes the bilinear value at the place that `from(y, x)` gives; zeros outside the picture.
fn resample(values: &mut [f32], size: Size, from: impl Fn(usize, usize) -> (f32, f32)) {
    let source = values.to_vec();
    let pixels = size.height * size.width;
    for y in 0..size.height {
        for x in 0..size.width {
            let (at_y, at_x) = from(y, x);
            let (top, left) = (at_y.floor(), at_x.floor());
            let (down, right) = (at_y - top, at_x - left);
            let corners = [
                (0.0, 0.0, (1.0 - down) * (1.0 - right)),
                (0.0, 1.0, (1.0 - down) * right),
                (1.0, 0.0, down * (1.0 - right)),
                (1.0, 1.0, down * right),
            ];
            for channel in 0..size.channels {
                let plane = &source[channel * pixels..(channel + 1) * pixels];
                let mut sum = 0.0;
                for (step_y, step_x, weight) in corners {
                    let (row, column) = (top + step_y, left + step_x);
                    let inside = row >= 0.0 && column >= 0.0 && row < size.height as f32 && column < size.width as f32;
                    if inside && weight != 0.0 {
                        sum += weight * plane[row as usize * size.width + column as usize];
                    }
                }
                values[channel * pixels + y * size.width + x] = sum;
            }
        }
    }
}

/// Uniform in `0..1` with 24 bits.
fn unit(random: &mut ChaCha8Rng) -> f32 {
    (random.next_u32() >> 8) as f32 / (1 << 24) as f32
}

/// Standard normal, by Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - unit(random)).ln()).sqrt();
    radius * (2.0 * PI * unit(random)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn pictures(batch_size: usize, channels: usize, side: usize) -> Tensor<4> {
        let count = batch_size * channels * side * side;
        let values: Vec<f32> = (0..count).map(|value| (value * 37 % 101) as f32 / 100.0).collect();
        Tensor::from_data(TensorData::new(values, [batch_size, channels, side, side]), &Device::flex())
    }

    fn values(pictures: Tensor<4>) -> Vec<f32> {
        pictures.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_pictures_and_another_seed_others() {
        let all = [
            Augmentation::Crop { padding: 2 },
            Augmentation::Flip,
            Augmentation::Cutout { size: 3 },
            Augmentation::ColourJitter { strength: 0.3 },
            Augmentation::Rotation { max_degrees: 20.0 },
            Augmentation::Noise { deviation: 0.1 },
        ];
        let once = values(apply(pictures(4, 3, 8), &all, 5));
        assert_eq!(once, values(apply(pictures(4, 3, 8), &all, 5)));
        assert_ne!(once, values(apply(pictures(4, 3, 8), &all, 6)));
    }

    #[test]
    fn a_picture_does_not_depend_on_its_neighbours() {
        let all = [Augmentation::Crop { padding: 2 }, Augmentation::Flip, Augmentation::Noise { deviation: 0.1 }];
        let before = values(pictures(3, 1, 5));
        let mut together = before.clone();
        apply_in_place(&mut together, [1, 5, 5], &[7, 8, 9], &all, 3);
        let mut alone = before[25..50].to_vec();
        apply_in_place(&mut alone, [1, 5, 5], &[8], &all, 3);
        assert_eq!(alone, together[25..50]);
        let mut renumbered = before[25..50].to_vec();
        apply_in_place(&mut renumbered, [1, 5, 5], &[1], &all, 3);
        assert_ne!(alone, renumbered);
    }

    #[test]
    fn nothing_changes_where_the_strength_is_zero() {
        let still = [
            Augmentation::Crop { padding: 0 },
            Augmentation::Cutout { size: 0 },
            Augmentation::ColourJitter { strength: 0.0 },
            Augmentation::Rotation { max_degrees: 0.0 },
            Augmentation::Noise { deviation: 0.0 },
        ];
        for (a, b) in values(apply(pictures(2, 3, 6), &still, 1)).iter().zip(values(pictures(2, 3, 6))) {
            assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn a_flip_mirrors_about_half_of_the_pictures() {
        let before = values(pictures(64, 1, 4));
        let after = values(flip(pictures(64, 1, 4), 3));
        let mut flipped = 0;
        for (before, after) in before.chunks(16).zip(after.chunks(16)) {
            let mirror: Vec<f32> = before.chunks(4).flat_map(|row| row.iter().rev().copied()).collect();
            assert!(after == before || after == mirror);
            flipped += usize::from(after == mirror);
        }
        assert!((20..=44).contains(&flipped), "{flipped}");
    }

    #[test]
    fn a_crop_moves_whole_pixels_and_a_cutout_clears_a_square() {
        let ones = Tensor::<4>::ones([32, 1, 8, 8], &Device::flex());
        for picture in values(crop(ones.clone(), 2, 9)).chunks(64) {
            let kept = picture.iter().filter(|&&value| value == 1.0).count();
            assert!((36..=64).contains(&kept) && picture.iter().all(|value| *value == 0.0 || *value == 1.0));
        }
        for picture in values(cutout(ones, 4, 9)).chunks(64) {
            assert!((4..=16).contains(&picture.iter().filter(|&&value| value == 0.0).count()));
        }
    }

    #[test]
    fn noise_has_the_deviation_that_was_asked_for() {
        let noisy = values(noise(Tensor::<4>::zeros([8, 1, 32, 32], &Device::flex()), 0.5, 2));
        let mean = noisy.iter().sum::<f32>() / noisy.len() as f32;
        let deviation = (noisy.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / noisy.len() as f32).sqrt();
        assert!(mean.abs() < 0.02 && (deviation - 0.5).abs() < 0.02, "{mean} {deviation}");
    }

    #[test]
    fn a_turn_by_a_right_angle_moves_the_corner() {
        let size = Size { channels: 1, height: 3, width: 3 };
        let mut values = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        resample(&mut values, size, |y, x| (1.0 + (x as f32 - 1.0), 1.0 - (y as f32 - 1.0)));
        assert_eq!(values.iter().position(|&value| value == 1.0), Some(6));
    }
}
