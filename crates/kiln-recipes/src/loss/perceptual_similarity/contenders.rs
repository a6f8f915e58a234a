//! The losses by the names that findings call them.

use kiln_lab::LabError;
use kiln_lab::train::{IMAGE_LOSSES, Selector};
use kiln_loss::perceptual::ImageLoss;

pub(super) const MSE: &str = "mse";
pub(super) const MAE: &str = "mae";
pub(super) const MS_SSIM: &str = "ms-ssim";

/// A loss on images of this height and width.
pub(super) fn loss_of(selector: &Selector, size: [usize; 2]) -> Result<Box<dyn ImageLoss>, LabError> {
    IMAGE_LOSSES.build(selector)?.dissimilarity(size).map_err(LabError::method)
}

/// One entry for each contender, called by name.
#[derive(Debug, Clone)]
pub(super) struct ByName<T> {
    pub(super) entries: Vec<(String, T)>,
}

impl<T> ByName<T> {
    /// The entry of a name that the settings were checked for.
    pub(super) fn of(&self, name: &str) -> &T {
        let found = self.entries.iter().find(|(known, _)| known == name);
        &found.expect("the settings were checked for it").1
    }
}
