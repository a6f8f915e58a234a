//! How well the means of bags are predicted, which is all that their targets can tell.

use burn::tensor::Device;
use kiln_data::TargetEncoding;
use kiln_nn::Network;
use serde::{Deserialize, Serialize};

use super::BagExamples;
use crate::statistics::figure;
use crate::train::RegressionEvaluation;

/// Figures over bags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BagEvaluation {
    /// Of class proportions.
    Proportions(ProportionEvaluation),
    /// Of means of numbers, in the units of the data.
    Values(RegressionEvaluation),
}

/// Quality of predicted class proportions; every row weighs the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProportionEvaluation {
    /// Number of bags.
    pub bags: usize,
    /// Mean cross-entropy `- sum_c ybar_c log pbar_c`, in nats.
    pub cross_entropy: f64,
    /// The same less the entropy of the proportions themselves: 0 where they are met.
    pub divergence: f64,
    /// Mean share of a bag that is predicted into the wrong class, `sum_c |ybar_c - pbar_c| / 2`, in `[0, 1]`.
    pub misplaced: f64,
}

impl BagEvaluation {
    /// Judges `network` by the means of the bags.
    ///
    /// # Panics
    /// Where there is no bag: the readers refuse such data before.
    pub fn of(
        network: &Network,
        examples: &BagExamples,
        targets: &TargetEncoding,
        names: &[String],
        device: &Device,
    ) -> Self {
        let (predicted, truth) = (examples.predicted(network, device), examples.responses());
        match targets {
            TargetEncoding::Classes { .. } => {
                Self::Proportions(ProportionEvaluation::new(&predicted, &truth, &examples.sizes()))
            }
            TargetEncoding::Values { .. } | TargetEncoding::Pixels => {
                let restored = |rows: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
                    let units = |row: Vec<f64>| {
                        let mut values: Vec<f32> = row.into_iter().map(|value| value as f32).collect();
                        targets.restore(&mut values);
                        values.into_iter().map(f64::from).collect()
                    };
                    rows.into_iter().map(units).collect()
                };
                Self::Values(RegressionEvaluation::new(&restored(predicted), &restored(truth), names))
            }
        }
    }

    /// Name and value of each figure, for a table.
    pub fn figures(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Proportions(found) => vec![
                ("cross-entropy of the proportions", format!("{:.4}", found.cross_entropy)),
                ("above their entropy", format!("{:.4}", found.divergence)),
                ("share in the wrong class", format!("{:.4}", found.misplaced)),
            ],
            Self::Values(found) => vec![
                ("RMSE of the means", figure(found.rmse)),
                ("MAE of the means", figure(found.mae)),
                ("R2 of the means", found.shown_r2()),
            ],
        }
    }

    /// All figures in one line.
    pub fn line(&self) -> String {
        match self {
            Self::Proportions(found) => format!(
                "bag cross-entropy {:.4} ({:.4} above the least), misplaced {:.4}",
                found.cross_entropy, found.divergence, found.misplaced
            ),
            Self::Values(found) => {
                format!("bag RMSE {}, MAE {}, R2 {}", figure(found.rmse), figure(found.mae), found.shown_r2())
            }
        }
    }
}

impl ProportionEvaluation {
    /// Scores `predicted[bag][class]` against `truth[bag][class]` of bags of these sizes.
    ///
    /// # Panics
    /// Where there is no bag.
    pub fn new(predicted: &[Vec<f64>], truth: &[Vec<f64>], sizes: &[usize]) -> Self {
        assert!(!truth.is_empty() && predicted.len() == truth.len(), "one row of predictions for each bag");
        let rows = sizes.iter().sum::<usize>() as f64;
        let mean = |of: &dyn Fn(f64, f64) -> f64| {
            let bags = predicted.iter().zip(truth).zip(sizes);
            bags.map(|((p, y), &size)| size as f64 * p.iter().zip(y).map(|(&p, &y)| of(p, y)).sum::<f64>()).sum::<f64>()
                / rows
        };
        let log = |p: f64| p.max(f64::MIN_POSITIVE).ln();
        let cross_entropy = mean(&|p, y| -y * log(p));
        Self {
            bags: truth.len(),
            cross_entropy,
            divergence: cross_entropy - mean(&|_, y| -y * log(y)),
            misplaced: mean(&|p, y| 0.5 * (p - y).abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_figures() {
        let predicted = [vec![0.6, 0.4], vec![1.0, 0.0]];
        let found = ProportionEvaluation::new(&predicted, &[vec![0.5, 0.5], vec![1.0, 0.0]], &[3, 1]);
        let cross_entropy = -0.75 * 0.5 * (0.6_f64.ln() + 0.4_f64.ln());
        assert!((found.cross_entropy - cross_entropy).abs() < 1e-12);
        assert!((found.divergence - (cross_entropy - 0.75 * 2.0_f64.ln())).abs() < 1e-12);
        assert!((found.misplaced - 0.075).abs() < 1e-12);
    }
}
