//! Windows of pictures, as a training or a judgement sees them.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use kiln_data::ImagePlanes;
use kiln_data::augment::{Augmentation, apply_in_place};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::fit::epoch_seed;
use super::super::{BatchTargets, Examples};
use super::ImageTask;
use crate::LabError;

/// Windows of one size of pictures that are at least as large. Of an autoencoder, a window is the input and the target; of
/// an upscaler, the input is the same window of the picture that was made small and large again.
///
/// There are as many windows as fit beside each other, in a grid in the middle of each picture.
#[derive(Clone, Debug)]
pub struct ImageRows {
    pairs: Arc<Vec<Pair>>,
    windows: Vec<Window>,
    shape: [usize; 3],
    /// Seed of the places, where these are drawn anew in every epoch.
    drawn: Option<u64>,
    augmentations: Vec<Augmentation>,
    augmentation_seed: u64,
}

/// A picture, and what the network gets of it where that is another.
#[derive(Clone, Debug)]
struct Pair {
    target: ImagePlanes,
    input: Option<ImagePlanes>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    pair: usize,
    place: [usize; 2],
}

impl ImageRows {
    /// Windows of `[height, width]`.
    ///
    /// # Errors
    /// [`LabError::Setting`] where a picture is smaller than the window.
    pub fn new(pictures: &[ImagePlanes], size: [usize; 2], task: ImageTask) -> Result<Self, LabError> {
        let mut windows = Vec::new();
        for (pair, picture) in pictures.iter().enumerate() {
            windows.extend(grid(picture, size)?.into_iter().map(|place| Window { pair, place }));
        }
        let pair = |picture: &ImagePlanes| match task {
            ImageTask::Autoencode => Pair { target: picture.clone(), input: None },
            ImageTask::Upscale { factor } => {
                Pair { target: picture.clone(), input: Some(enlarged(&lowered(picture, factor), factor)) }
            }
        };
        let channels = pictures.first().map_or(1, |picture| picture.shape[0]);
        Ok(Self {
            pairs: Arc::new(pictures.iter().map(pair).collect()),
            windows,
            shape: [channels, size[0], size[1]],
            drawn: None,
            augmentations: Vec::new(),
            augmentation_seed: 0,
        })
    }

    /// Places windows anywhere in their pictures, anew in every epoch: where is decided by `seed`, the epoch and the row.
    pub fn placed_at_random(mut self, seed: u64) -> Self {
        self.drawn = Some(seed);
        self
    }

    /// Changes windows at random, input and target in the same way, decided by `seed`, the epoch and the row.
    pub fn augmented(mut self, augmentations: Vec<Augmentation>, seed: u64) -> Self {
        self.augmentations = augmentations;
        self.augmentation_seed = seed;
        self
    }

    /// `[channels, height, width]` of a window.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The picture of a row, and the place `[top, left]` of its window in the grid.
    pub fn window(&self, row: usize) -> (&ImagePlanes, [usize; 2]) {
        let window = self.windows[row];
        (&self.pairs[window.pair].target, window.place)
    }

    /// All rows in blocks to go through a network one after the other, fewer of large windows: memory grows neither with the
    /// number of windows nor with their size.
    pub fn blocks(&self) -> impl Iterator<Item = Vec<usize>> + use<> {
        const MOST_ROWS: usize = 64;
        const MOST_VALUES: usize = 1 << 20;
        let (count, values) = (self.windows.len(), self.shape.iter().product::<usize>());
        let rows = (MOST_VALUES / values.max(1)).clamp(1, MOST_ROWS);
        (0..count).step_by(rows).map(move |first| (first..count.min(first + rows)).collect())
    }

    fn place(&self, row: usize, epoch: usize) -> [usize; 2] {
        let window = self.windows[row];
        let Some(seed) = self.drawn else { return window.place };
        let mut random = ChaCha8Rng::seed_from_u64(epoch_seed(seed, epoch).rotate_left(16));
        random.set_stream(row as u64);
        let [_, height, width] = self.pairs[window.pair].target.shape;
        let [_, window_height, window_width] = self.shape;
        [random.random_range(0..=height - window_height), random.random_range(0..=width - window_width)]
    }

    fn values(&self, rows: &[usize], epoch: usize, picture: impl Fn(&Pair) -> &ImagePlanes) -> Vec<f32> {
        let [_, height, width] = self.shape;
        let part = |&row: &usize| {
            picture(&self.pairs[self.windows[row].pair]).part(self.place(row, epoch), [height, width]).values
        };
        let mut values: Vec<f32> = rows.iter().flat_map(part).collect();
        let seed = epoch_seed(self.augmentation_seed, epoch).rotate_left(32);
        apply_in_place(&mut values, self.shape, rows, &self.augmentations, seed);
        values
    }
}

impl Examples for ImageRows {
    fn len(&self) -> usize {
        self.windows.len()
    }

    fn has_classes(&self) -> bool {
        false
    }

    fn examples(&self, rows: &[usize], epoch: usize, device: &Device) -> (Tensor<2>, BatchTargets) {
        let shape = [rows.len(), self.shape.iter().product()];
        let tensor = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, shape), device);
        let targets = tensor(self.values(rows, epoch, |pair| &pair.target));
        let inputs = match self.pairs.iter().any(|pair| pair.input.is_some()) {
            true => tensor(self.values(rows, epoch, |pair| pair.input.as_ref().unwrap_or(&pair.target))),
            false => targets.clone(),
        };
        (inputs, BatchTargets::Values(targets))
    }
}

/// Places of the windows that fit beside each other, in the middle of a picture.
pub(super) fn grid(
    picture: &ImagePlanes,
    [window_height, window_width]: [usize; 2],
) -> Result<Vec<[usize; 2]>, LabError> {
    let [_, height, width] = picture.shape;
    if height < window_height || width < window_width {
        let given = if window_height == window_width {
            window_height.to_string()
        } else {
            format!("{window_height}x{window_width}")
        };
        let expected = format!("at most {}, for {} has {height} x {width} pixels", height.min(width), picture.name);
        return Err(LabError::setting("crop", given, expected));
    }
    let (down, across) = (height / window_height, width / window_width);
    let (top, left) = ((height - down * window_height) / 2, (width - across * window_width) / 2);
    let place = |at: usize| [top + at / across * window_height, left + at % across * window_width];
    Ok((0..down * across).map(place).collect())
}

/// The picture `factor` times smaller, as a camera of fewer pixels would have taken it.
pub(super) fn lowered(picture: &ImagePlanes, factor: usize) -> ImagePlanes {
    let [_, height, width] = picture.shape;
    picture.resized(height / factor, width / factor)
}

/// The picture `factor` times larger, by bicubic interpolation.
pub(super) fn enlarged(picture: &ImagePlanes, factor: usize) -> ImagePlanes {
    let [_, height, width] = picture.shape;
    picture.resized(height * factor, width * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(height: usize, width: usize) -> ImagePlanes {
        let values = (0..height * width).map(|at| at as f32 / (height * width) as f32).collect();
        ImagePlanes { name: format!("{height}x{width}.png"), shape: [1, height, width], values }
    }

    fn seen(rows: &ImageRows, order: &[usize], epoch: usize) -> (Vec<f32>, Vec<f32>) {
        let (inputs, targets) = rows.examples(order, epoch, &Device::flex());
        let numbers = |tensor: Tensor<2>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
        (numbers(inputs), numbers(targets.values()))
    }

    #[test]
    fn a_grid_covers_the_middle_and_small_pictures_are_refused() {
        let rows = ImageRows::new(&[ramp(9, 13), ramp(4, 4)], [4, 4], ImageTask::Autoencode).unwrap();
        assert_eq!(rows.len(), 2 * 3 + 1);
        assert_eq!((rows.window(0).1, rows.window(5).1, rows.window(6).1), ([0, 0], [4, 8], [0, 0]));
        let error = ImageRows::new(&[ramp(9, 13)], [10, 10], ImageTask::Autoencode).unwrap_err().to_string();
        assert_eq!(error, "setting `crop` cannot be `10`: at most 9, for 9x13.png has 9 x 13 pixels");
    }

    #[test]
    fn blocks_hold_every_row_once_and_fewer_of_large_windows() {
        let sizes = |side: usize, window: usize| {
            let rows = ImageRows::new(&[ramp(side, side)], [window, window], ImageTask::Autoencode).unwrap();
            let blocks: Vec<Vec<usize>> = rows.blocks().collect();
            assert_eq!(blocks.concat(), (0..rows.len()).collect::<Vec<_>>());
            blocks.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(40, 4), [64, 36]);
        assert_eq!(sizes(1024, 512), [4]);
        assert_eq!(sizes(1100, 1100), [1]);
        assert_eq!(sizes(1536, 768), [1; 4]);
    }

    #[test]
    fn drawn_places_depend_on_the_epoch_and_the_row_alone() {
        let rows = ImageRows::new(&[ramp(40, 50)], [8, 8], ImageTask::Autoencode).unwrap().placed_at_random(3);
        let ((first, _), (turned, _)) = (seen(&rows, &[0, 1, 2], 1), seen(&rows, &[2, 1], 1));
        assert_eq!(first[64..128], turned[64..]);
        assert_eq!(first[128..], turned[..64]);
        assert_ne!(first, seen(&rows, &[0, 1, 2], 2).0);
        let grid = ImageRows::new(&[ramp(40, 50)], [8, 8], ImageTask::Autoencode).unwrap();
        assert_eq!(seen(&grid, &[3], 1), seen(&grid, &[3], 2));
    }

    #[test]
    fn an_upscaler_sees_the_same_window_blurred() {
        let values = (0..32 * 32).map(|at| (at * 7919 % 64) as f32 / 64.0).collect();
        let noise = ImagePlanes { name: "noise".into(), shape: [1, 32, 32], values };
        let rows = ImageRows::new(&[noise], [16, 16], ImageTask::Upscale { factor: 2 }).unwrap();
        let flips = vec![Augmentation::Flip];
        for rows in [rows.clone(), rows.clone().placed_at_random(1), rows.placed_at_random(2).augmented(flips, 5)] {
            let (inputs, targets) = seen(&rows, &[0, 1, 2, 3], 1);
            let error = |shift: usize| -> f32 {
                let pairs = inputs.iter().zip(targets.iter().skip(shift));
                pairs.map(|(input, target)| (input - target).powi(2)).sum::<f32>()
            };
            assert!(error(0) > 0.0 && error(0) < error(1), "{} and {}", error(0), error(1));
        }
    }
}
