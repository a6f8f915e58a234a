//! A problem that is known exactly: four points, three classes, linear scores.

use kiln_loss::LossError;
use kiln_loss::comp_sum::minimizability::min_conditional_risk;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const CLASSES: usize = 3;
/// The points, each with a constant 1 as its last coordinate; all equally likely.
const POINTS: [[f64; 3]; 4] = [[0.0, 0.0, 1.0], [1.0, 0.2, 1.0], [-0.5, 1.0, 1.0], [0.3, -1.2, 1.0]];
/// `p(y | x)` of each point.
const LABELS: [[f64; CLASSES]; 4] = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.05, 0.15, 0.8], [0.4, 0.35, 0.25]];

/// Linear scores: one row of weights for each class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hypothesis([[f64; 3]; CLASSES]);

/// Both sides of the H-consistency bound for one hypothesis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Excess {
    /// `R01(h) - R01*(H) + M01(H)`: mean over x of the error probability above the least possible one.
    pub(super) error: f64,
    /// `R_tau(h) - R_tau*(H) + M_tau(H)`: mean over x of the conditional risk above the least possible one.
    pub(super) loss: f64,
}

impl Hypothesis {
    /// Normal weights; their scale is drawn too, so that flat and steep scores both come up.
    pub(super) fn random(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let scale = [0.1, 0.5, 2.0, 6.0][seed as usize % 4];
        let mut draw = || -> f64 {
            let normal: f64 = StandardNormal.sample(&mut random);
            scale * normal
        };
        Self(std::array::from_fn(|_| std::array::from_fn(|_| draw())))
    }

    fn scores(&self, point: &[f64; 3]) -> [f64; CLASSES] {
        self.0.map(|weights| weights.iter().zip(point).map(|(weight, x)| weight * x).sum())
    }

    /// Exact excess over the pointwise best, for the comp-sum loss of `tau`.
    ///
    /// The stars and the gaps of the bound cancel: `R*(H)` is added by the gap and subtracted by the excess risk.
    pub(super) fn excess(&self, tau: f64) -> Result<Excess, LossError> {
        let (mut error, mut loss) = (0.0, 0.0);
        for (point, labels) in POINTS.iter().zip(&LABELS) {
            let scores = self.scores(point);
            let decided = (1..CLASSES).fold(0, |best, class| if scores[class] > scores[best] { class } else { best });
            error += labels.iter().fold(0.0_f64, |most, &p| most.max(p)) - labels[decided];
            loss += conditional_risk(tau, &scores, labels) - min_conditional_risk(tau, labels)?;
        }
        let count = POINTS.len() as f64;
        Ok(Excess { error: error / count, loss: loss / count })
    }

    /// Risk of the loss, and the least that any linear hypothesis reaches, by descent from here.
    pub(super) fn best_linear_risk(mut self, tau: f64) -> f64 {
        let mut reached = self.risk(tau);
        let mut step = 1.0;
        while step > 1e-6 {
            let mut moved = false;
            for index in 0..CLASSES * 3 {
                for sign in [-step, step] {
                    let mut trial = self;
                    trial.0[index / 3][index % 3] += sign;
                    let risk = trial.risk(tau);
                    if risk < reached {
                        (self, reached, moved) = (trial, risk, true);
                    }
                }
            }
            if !moved {
                step *= 0.5;
            }
        }
        reached
    }

    fn risk(&self, tau: f64) -> f64 {
        let parts =
            POINTS.iter().zip(&LABELS).map(|(point, labels)| conditional_risk(tau, &self.scores(point), labels));
        parts.sum::<f64>() / POINTS.len() as f64
    }
}

/// `p(y | x)` of all points.
pub(super) fn conditionals() -> &'static [[f64; CLASSES]] {
    &LABELS
}

/// Number of classes.
pub(super) fn classes() -> usize {
    CLASSES
}

/// `sum_y p_y l_tau(s, y)`.
fn conditional_risk(tau: f64, scores: &[f64; CLASSES], labels: &[f64; CLASSES]) -> f64 {
    let highest = scores.iter().fold(f64::NEG_INFINITY, |most, &score| most.max(score));
    let log_sum = highest + scores.iter().map(|score| (score - highest).exp()).sum::<f64>().ln();
    let power = 1.0 - tau;
    let loss = |nll: f64| if power == 0.0 { nll } else { (power * nll).exp_m1() / power };
    scores.iter().zip(labels).map(|(score, p)| p * loss(log_sum - score)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_is_never_negative_and_zero_where_nothing_can_be_better() {
        for seed in 0..50 {
            for tau in [0.0, 1.0, 1.5, 2.0] {
                let excess = Hypothesis::random(seed).excess(tau).unwrap();
                assert!(excess.error >= -1e-12 && excess.loss >= -1e-9, "{excess:?}");
            }
        }
        let labels = [0.5, 0.3, 0.2_f64];
        let risk = conditional_risk(1.0, &labels.map(f64::ln), &labels);
        assert!((risk - 1.0296530141).abs() < 1e-9);
    }
}
