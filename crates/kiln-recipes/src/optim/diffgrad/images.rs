//! The comparison on a small convolutional network.

use kiln_lab::{Finding, LabError, Run};

use super::comparison::Comparison;
use super::training::{Course, Images};
use super::{Settings, equal_rates, own_rates};

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    settings.batch_sizes.iter().flat_map(|batch_size| tagged_ids(settings, &tag(*batch_size))).collect()
}

/// Names of all findings of one comparison.
pub(super) fn tagged_ids(settings: &Settings, tag: &str) -> Vec<String> {
    let tuned = if settings.tunes() { &own_rates::FINDINGS[..] } else { &[] };
    equal_rates::FINDINGS.iter().chain(tuned).map(|name| format!("{name}-{tag}")).collect()
}

fn tag(batch_size: usize) -> String {
    format!("b{batch_size}")
}

/// Trains with every optimizer at each batch size.
pub(super) fn run(settings: &Settings, images: &Images, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let seeds = run.seeds().to_vec();
    let mut findings = Vec::new();
    for &batch_size in &settings.batch_sizes {
        let comparison = Comparison {
            tag: tag(batch_size),
            place: format!("three convolutions, batches of {batch_size}"),
            course: &Course::small(settings),
            images,
            batch_size,
        };
        findings.extend(equal_rates::run(&comparison, settings.learning_rate, run)?);
        if settings.tunes() {
            findings.extend(own_rates::run(&comparison, settings, &seeds, run)?);
        }
    }
    Ok(findings)
}
