//! Which classes are taken for which.

use super::{Probe, ProbeView, argmax, classes, draw, rows};
use crate::{LabError, Plot, plot::HeatMap};

/// Counts of predicted against true classes; metric `confusion/accuracy`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Confusion;

impl Probe for Confusion {
    fn name(&self) -> &str {
        "confusion"
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError> {
        let logits = rows(view.network.forward(view.inputs.clone()))?;
        let targets = classes(view.targets.classes())?;
        let num_classes = logits.first().map_or(0, Vec::len);
        let mut counts = vec![vec![0.0; num_classes]; num_classes];
        for (row, target) in logits.iter().zip(&targets) {
            counts[*target][argmax(row)] += 1.0;
        }
        let right: f64 = (0..num_classes).map(|class| counts[class][class]).sum();
        view.context.metric(view.step, "confusion/accuracy", right / targets.len().max(1) as f64);
        let names: Vec<String> = (0..num_classes).map(|class| class.to_string()).collect();
        let heat = HeatMap { rows: names.clone(), columns: names, values: counts };
        draw(view, "confusion", &Plot::heat_map(format!("Epoch {}", view.epoch), "predicted class", "true class", heat))
    }
}
