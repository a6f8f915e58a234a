//! Whether confidence means what it says.

use super::{Probe, ProbeView, argmax, classes, draw, rows};
use crate::train::Evaluation;
use crate::{LabError, Plot, Series};

const BINS: usize = Evaluation::BINS;

/// Expected calibration error, metric `calibration/error`, with a reliability diagram:
///
/// ```text
/// ECE = sum_b (n_b / n) |accuracy_b - confidence_b|
/// ```
/// over fifteen equal bins of the largest softmax probability, as `kiln evaluate` has it.
///
/// Source: arXiv 1706.04599, eq. 3.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calibration;

#[derive(Default, Clone, Copy)]
struct Bin {
    count: f64,
    confidence: f64,
    right: f64,
}

impl Probe for Calibration {
    fn name(&self) -> &str {
        "calibration"
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn sees_words(&self) -> bool {
        true
    }

    fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError> {
        let logits = rows(view.network.forward(view.inputs.clone()))?;
        let bins = binned(&logits, &classes(view.targets.classes())?);
        view.context.metric(view.step, "calibration/error", error(&bins));
        let filled = bins.iter().filter(|bin| bin.count > 0.0);
        let points = filled.map(|bin| (bin.confidence / bin.count, bin.right / bin.count));
        let plot = Plot::line(format!("Epoch {}", view.epoch), "confidence", "share of right answers")
            .x_range(0.0, 1.0)
            .y_range(0.0, 1.0)
            .series(Series::new("measured").points(points))
            .series(Series::new("calibrated").points([(0.0, 0.0), (1.0, 1.0)]));
        draw(view, "calibration", &plot)
    }
}

fn binned(logits: &[Vec<f32>], targets: &[usize]) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for (row, target) in logits.iter().zip(targets).filter(|(row, _)| !row.is_empty()) {
        let predicted = argmax(row);
        let total: f64 = row.iter().map(|logit| f64::from(logit - row[predicted]).exp()).sum();
        let confidence = 1.0 / total;
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1.0;
        bin.confidence += confidence;
        bin.right += f64::from(u8::from(predicted == *target));
    }
    bins
}

fn error(bins: &[Bin]) -> f64 {
    let total: f64 = bins.iter().map(|bin| bin.count).sum();
    bins.iter().map(|bin| (bin.right - bin.confidence).abs()).sum::<f64>() / total.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_and_right_half_of_the_time_is_off_by_a_half() {
        let logits = vec![vec![100.0, 0.0], vec![100.0, 0.0]];
        assert!((error(&binned(&logits, &[0, 1])) - 0.5).abs() < 1e-12);
        assert!(error(&binned(&logits, &[0, 0])) < 1e-12);
    }

    #[test]
    fn a_coin_that_knows_it_is_one_is_calibrated() {
        let logits = vec![vec![0.0, 0.0]; 4];
        assert!(error(&binned(&logits, &[0, 1, 0, 1])) < 1e-12);
    }
}
