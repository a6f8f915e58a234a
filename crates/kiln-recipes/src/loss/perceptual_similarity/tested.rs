//! What is kept of test images.

use burn::tensor::Tensor;
use kiln_lab::LabError;
use serde::{Deserialize, Serialize};

use super::contenders::ByName;
use super::judgement::Results;
use super::pictures::Shown;
use super::quality::{Quality, judge};

/// Images of the first seed that are drawn.
const DRAWN: usize = 8;

/// The quality of a network's images, and some of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Tested {
    pub(super) quality: Quality,
    /// Some of them, of the first seed.
    pub(super) shown: Option<Shown>,
}

impl Tested {
    /// Judges outputs; keeps some where `is_drawn`. Nothing where they cannot be judged, as after a training that diverged.
    pub(super) fn new([outputs, targets]: [Tensor<4>; 2], is_drawn: bool) -> Result<Option<Self>, LabError> {
        let shown = is_drawn.then(|| Shown::spread(&outputs, &targets, DRAWN));
        Ok(judge(outputs, targets)?.map(|quality| Self { quality, shown }))
    }
}

/// Results and pictures apart.
pub(super) fn taken_apart<T>(
    kept: &ByName<Vec<Option<T>>>,
    tested: impl Fn(&T) -> &Tested,
) -> (Results, ByName<Shown>) {
    let quality = |kept: &Option<T>| kept.as_ref().map(|kept| tested(kept).quality);
    let results = kept.entries.iter().map(|(name, kept)| (name.clone(), kept.iter().map(quality).collect())).collect();
    let shown = kept.entries.iter().filter_map(|(name, kept)| {
        let shown = tested(kept.first()?.as_ref()?).shown.clone()?;
        Some((name.clone(), shown))
    });
    let shown = shown.collect();
    (ByName { entries: results }, ByName { entries: shown })
}
