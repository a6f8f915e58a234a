//! The comparison on a residual network with batch normalisation, the paper's kind of network.

use kiln_lab::{Finding, LabError, Run};

use super::equal_rates::EqualRates;
use super::training::{Course, Images};
use super::{ResNetSettings, Settings};

const TAG: &str = "resnet";

pub(super) fn finding_ids() -> Vec<String> {
    EqualRates::finding_ids(TAG)
}

/// Trains with every optimizer at the paper's rate.
pub(super) fn run(
    settings: &Settings,
    own: &ResNetSettings,
    images: &Images,
    run: &mut Run,
) -> Result<Vec<Finding>, LabError> {
    let images = images.with_train_images(own.train_images);
    let comparison = EqualRates {
        tag: TAG.into(),
        place: format!("ResNet-{} and batches of {}", own.depth, own.batch_size),
        course: &Course::residual(own),
        learning_rate: settings.learning_rate,
        batch_size: own.batch_size,
    };
    comparison.run(&images, run)
}
