//! The pictures of a training, and what is made of them.

use kiln_data::augment::Augmentation;
use kiln_data::{ImagePlanes, ImageSplits};

use super::ImageRows;
use crate::LabError;

/// What an image network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageTask {
    /// The picture itself again.
    Autoencode,
    /// The picture from one that has `factor` times fewer pixels a side.
    Upscale {
        /// 2, 3 or 4.
        factor: usize,
    },
}

/// The pictures of a training.
#[derive(Clone, Debug)]
pub struct ImageData {
    /// Training, validation and test pictures.
    pub splits: ImageSplits,
    /// What is learnt from them.
    pub task: ImageTask,
    /// `[channels, height, width]` of the windows that the network learns from.
    pub shape: [usize; 3],
}

impl ImageData {
    /// Windows to learn from, placed and changed at random.
    ///
    /// # Errors
    /// Those of [`ImageRows::new`].
    pub fn training_rows(&self, augmentations: Vec<Augmentation>, seed: u64) -> Result<ImageRows, LabError> {
        Ok(self.rows(&self.splits.train)?.placed_at_random(seed).augmented(augmentations, seed))
    }

    /// The windows of a grid over pictures to judge by.
    ///
    /// # Errors
    /// Those of [`ImageRows::new`].
    pub fn rows(&self, pictures: &[ImagePlanes]) -> Result<ImageRows, LabError> {
        ImageRows::new(pictures, [self.shape[1], self.shape[2]], self.task)
    }
}
