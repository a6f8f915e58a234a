//! How good a classifier is: the figures that `kiln evaluate` prints.

use serde::{Deserialize, Serialize};

/// Quality of predicted class probabilities against true classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Number of examples.
    pub examples: usize,
    /// Fraction of right answers, in `[0, 1]`.
    pub accuracy: f64,
    /// Mean negative log-probability of the true class, in nats.
    pub log_loss: f64,
    /// Mean over examples of `sum_c (p_c - 1[c = y])^2`, in `[0, 2]`.
    pub brier: f64,
    /// Expected calibration error of the largest probability over 15 equal bins, in `[0, 1]`.
    pub calibration_error: f64,
    /// Mean over classes of the F1 score; a class that is neither present nor predicted does not count.
    pub macro_f1: f64,
    /// `confusion[true][predicted]`: number of examples.
    pub confusion: Vec<Vec<usize>>,
}

impl Evaluation {
    /// Number of equal bins of the calibration error.
    pub const BINS: usize = 15;

    /// Scores `probabilities[example][class]` against `labels`.
    ///
    /// # Panics
    /// When there is no example, or a label has no probability: the readers refuse such data before.
    pub fn new(probabilities: &[Vec<f64>], labels: &[usize]) -> Self {
        assert!(!labels.is_empty() && probabilities.len() == labels.len(), "one row of probabilities a label");
        let num_classes = probabilities[0].len();
        let count = labels.len() as f64;
        let mut confusion = vec![vec![0; num_classes]; num_classes];
        let mut bins = [(0.0, 0.0, 0.0); Self::BINS];
        let (mut log_loss, mut brier) = (0.0, 0.0);
        for (row, &label) in probabilities.iter().zip(labels) {
            let predicted = argmax(row);
            confusion[label][predicted] += 1;
            log_loss -= row[label].max(f64::MIN_POSITIVE).ln();
            brier += row.iter().enumerate().map(|(c, p)| (p - f64::from(c == label)).powi(2)).sum::<f64>();
            let bin = &mut bins[((row[predicted] * Self::BINS as f64) as usize).min(Self::BINS - 1)];
            *bin = (bin.0 + 1.0, bin.1 + row[predicted], bin.2 + f64::from(predicted == label));
        }
        let right: usize = (0..num_classes).map(|class| confusion[class][class]).sum();
        Self {
            examples: labels.len(),
            accuracy: right as f64 / count,
            log_loss: log_loss / count,
            brier: brier / count,
            calibration_error: bins.iter().map(|(_, sure, right)| (sure - right).abs()).sum::<f64>() / count,
            macro_f1: macro_f1(&confusion),
            confusion,
        }
    }
}

fn argmax(row: &[f64]) -> usize {
    row.iter().enumerate().fold(0, |best, (class, p)| if *p > row[best] { class } else { best })
}

fn macro_f1(confusion: &[Vec<usize>]) -> f64 {
    let scores: Vec<f64> = (0..confusion.len())
        .filter_map(|class| {
            let present: usize = confusion[class].iter().sum();
            let predicted: usize = confusion.iter().map(|row| row[class]).sum();
            (present + predicted > 0).then(|| 2.0 * confusion[class][class] as f64 / (present + predicted) as f64)
        })
        .collect();
    scores.iter().sum::<f64>() / scores.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_figures() {
        let probabilities = vec![vec![0.8, 0.2], vec![0.4, 0.6], vec![0.3, 0.7], vec![0.9, 0.1]];
        let evaluation = Evaluation::new(&probabilities, &[0, 0, 1, 1]);
        assert_eq!(evaluation.confusion, vec![vec![1, 1], vec![1, 1]]);
        assert!((evaluation.accuracy - 0.5).abs() < 1e-12);
        let log_loss = -(0.8f64.ln() + 0.4f64.ln() + 0.7f64.ln() + 0.1f64.ln()) / 4.0;
        assert!((evaluation.log_loss - log_loss).abs() < 1e-12);
        let brier = 2.0 * (0.04 + 0.36 + 0.09 + 0.81) / 4.0;
        assert!((evaluation.brier - brier).abs() < 1e-12);
        assert!((evaluation.calibration_error - (0.2 + 0.6 + 0.3 + 0.9) / 4.0).abs() < 1e-12);
        assert!((evaluation.macro_f1 - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_sure_and_right_classifier_is_perfect() {
        let evaluation = Evaluation::new(&[vec![1.0, 0.0], vec![0.0, 1.0]], &[0, 1]);
        assert_eq!((evaluation.accuracy, evaluation.brier, evaluation.calibration_error), (1.0, 0.0, 0.0));
        assert_eq!((evaluation.log_loss, evaluation.macro_f1), (0.0, 1.0));
    }
}
