//! The comparison on a residual network with batch normalisation, the paper's kind of network.

use kiln_lab::{Finding, LabError, Run};

use super::comparison::Comparison;
use super::training::{Course, Images};
use super::{ResNetSettings, Settings, equal_rates, images, own_rates};

/// The parts of the comparison, each with its batch size.
pub(super) const PARTS: [(&str, usize); 2] = [("resnet-32", 32), ("resnet-128", 128)];

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    if settings.resnet.is_none() {
        return Vec::new();
    }
    PARTS.iter().flat_map(|(part, _)| images::tagged_ids(settings, part)).collect()
}

/// Trains with every optimizer at the paper's rate on every seed, and at its own rate on the first.
pub(super) fn run(
    part: &str,
    batch_size: usize,
    own: &ResNetSettings,
    settings: &Settings,
    images: &Images,
    run: &mut Run,
) -> Result<Vec<Finding>, LabError> {
    let comparison = Comparison {
        tag: part.into(),
        place: format!("ResNet-{} of width {}, batches of {batch_size}", own.depth, own.width),
        course: &Course::residual(own),
        images,
        batch_size,
    };
    let mut findings = equal_rates::run(&comparison, settings.learning_rate, run)?;
    if settings.tunes() {
        let first_seed = run.seeds().first().copied();
        findings.extend(own_rates::run(&comparison, settings, first_seed.as_slice(), run)?);
    }
    Ok(findings)
}
