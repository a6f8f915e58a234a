//! Test errors over the shares of the instance level: what the best share between the ends gains, and how much of that a choice
//! keeps which does not see the test rows.

use kiln_lab::statistics::Summary;
use kiln_lab::{Finding, Measured, Outcome};

/// Part of the gain that a choice has to keep.
const KEPT: f64 = 0.5;

/// Test errors with bags of one size.
pub(super) struct ByShare {
    pub(super) bag_size: usize,
    /// At each share, from the bag level to the instance level.
    pub(super) errors: Vec<Summary>,
}

impl ByShare {
    /// Least mean error of both ends.
    pub(super) fn better_end(&self) -> f64 {
        self.errors[0].mean.min(self.errors[self.errors.len() - 1].mean)
    }

    /// Place of the share between them with the least mean error.
    pub(super) fn best_inner(&self) -> usize {
        let inner = 1..self.errors.len() - 1;
        inner.min_by(|&a, &b| self.errors[a].mean.total_cmp(&self.errors[b].mean)).unwrap_or(0)
    }

    /// Error of the best share between the ends.
    pub(super) fn least_inner(&self) -> f64 {
        self.errors[self.best_inner()].mean
    }

    /// Whether the best share between the ends has no more error than these.
    pub(super) fn inner_is_best(&self) -> bool {
        self.least_inner().is_finite() && self.least_inner() <= self.better_end()
    }

    /// How much less error than the better end, as a part of that.
    pub(super) fn gain(&self, error: f64) -> f64 {
        1.0 - error / self.better_end()
    }

    /// What the best share between the ends gains.
    pub(super) fn best_gain(&self) -> f64 {
        self.gain(self.least_inner())
    }

    fn best_in_words(&self, rhos: &[f64]) -> String {
        format!("bags of {}: {} at rho {}", self.bag_size, percent(self.best_gain()), rhos[self.best_inner()])
    }
}

/// What was chosen without a look at the test rows, over the seeds.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    /// Test error at the chosen shares.
    pub(super) error: Summary,
    /// The chosen shares.
    pub(super) rho: Summary,
}

/// Decides that the best share between the ends has no more error than these with bags of any size.
pub(super) fn between(finding: Finding, rhos: &[f64], cells: &[&ByShare]) -> Finding {
    let text: Vec<String> = cells.iter().map(|cell| cell.best_in_words(rhos)).collect();
    finding
        .bound("for every bag size, in the mean over the seeds")
        .measured(format!("less error than the better end by {}", text.join(", ")))
        .held_if(cells.iter().all(|cell| cell.inner_is_best()))
}

/// Decides that a choice keeps at least half of what the best share between the ends gains, where that gains anything.
pub(super) fn keeps_half(finding: Finding, choices: &[(&ByShare, Choice)]) -> Finding {
    let gains = Gains::of(choices);
    let finding = gains
        .reported(finding, choices)
        .bound("sum of the gains over the bag sizes at least half of what the best share gains");
    match gains.kept_part() {
        Some(part) => finding.held_if(part >= KEPT),
        None => finding.outcome(Outcome::NotComparable),
    }
}

/// Reports how much a choice keeps.
pub(super) fn keeps(finding: Finding, choices: &[(&ByShare, Choice)]) -> Finding {
    Gains::of(choices).reported(finding, choices)
}

/// Sums over the bag sizes.
struct Gains {
    best: f64,
    kept: f64,
}

impl Gains {
    fn of(choices: &[(&ByShare, Choice)]) -> Self {
        Self {
            best: choices.iter().map(|(cell, _)| cell.best_gain()).sum(),
            kept: choices.iter().map(|(cell, choice)| cell.gain(choice.error.mean)).sum(),
        }
    }

    /// Nothing where there is no gain of which a part could be kept.
    fn kept_part(&self) -> Option<f64> {
        (self.best > 0.0 && self.best.is_finite()).then_some(self.kept / self.best)
    }

    fn reported(&self, finding: Finding, choices: &[(&ByShare, Choice)]) -> Finding {
        let text: Vec<String> = choices
            .iter()
            .map(|(cell, Choice { error, rho })| {
                let (own, best) = (percent(cell.gain(error.mean)), percent(cell.best_gain()));
                format!("bags of {}: {own} of {best} at rho {rho}", cell.bag_size)
            })
            .collect();
        let text = text.join(", ");
        match self.kept_part() {
            Some(part) if part.is_finite() => {
                finding.measured(Measured::from(part).text(format!("{:.0} % kept; {text}", 100.0 * part)))
            }
            Some(_) => finding.measured(format!("nothing kept, for trainings at the choice diverged; {text}")),
            None => {
                finding.measured(format!("the best share between the ends gains nothing that could be kept; {text}"))
            }
        }
    }
}

fn percent(part: f64) -> String {
    if part.is_finite() { format!("{:+.2} %", 100.0 * part) } else { "diverged".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errors: [f64; 3]) -> ByShare {
        ByShare { bag_size: 4, errors: errors.map(|error| Summary::of(&[error])).to_vec() }
    }

    fn choice(error: f64) -> Choice {
        Choice { error: Summary::of(&[error]), rho: Summary::of(&[0.1]) }
    }

    fn decided(errors: &[[f64; 3]], chosen: &[f64]) -> Finding {
        let cells: Vec<ByShare> = errors.iter().map(|&errors| of(errors)).collect();
        let choices: Vec<(&ByShare, Choice)> = cells.iter().zip(chosen).map(|(c, &e)| (c, choice(e))).collect();
        keeps_half(Finding::new("id", "it keeps half"), &choices)
    }

    #[test]
    fn gains_are_parts_of_the_better_end() {
        let cell = of([0.8, 0.6, 1.0]);
        assert_eq!((cell.better_end(), cell.best_inner(), cell.inner_is_best()), (0.8, 1, true));
        assert!((cell.best_gain() - 0.25).abs() < 1e-12);
        let found = between(Finding::new("id", "best"), &[0.0, 0.1, 1.0], &[&cell, &of([0.5, 0.6, 1.0])]);
        assert_eq!(found.outcome, Outcome::NotHeld);
        assert_eq!(
            found.measured.text,
            "less error than the better end by bags of 4: +25.00 % at rho 0.1, bags of 4: -20.00 % at rho 0.1"
        );
    }

    #[test]
    fn half_of_the_sum_of_the_gains_is_enough() {
        // Gains of 25 % and 10 %, of which 20 % and -2.5 % are kept.
        let found = decided(&[[0.8, 0.6, 1.0], [1.0, 0.9, 2.0]], &[0.64, 1.025]);
        assert_eq!(found.outcome, Outcome::Held);
        assert!((found.measured.mean.unwrap() - 0.5).abs() < 1e-9);
        assert!(found.measured.text.starts_with("50 % kept; bags of 4: +20.00 % of +25.00 % at rho 0.1"), "{found:?}");
        assert_eq!(decided(&[[0.8, 0.6, 1.0], [1.0, 0.9, 2.0]], &[0.64, 1.03]).outcome, Outcome::NotHeld);
    }

    #[test]
    fn where_nothing_is_gained_nothing_is_compared() {
        for errors in [[0.5, 0.6, 1.0], [0.5, 0.5, 1.0], [0.0, 0.0, 0.0], [f64::INFINITY; 3], [0.5, f64::INFINITY, 0.6]]
        {
            let found = decided(&[errors], &[0.55]);
            assert_eq!(found.outcome, Outcome::NotComparable, "{errors:?}");
            let text = &found.measured.text;
            assert!(text.starts_with("the best share between the ends gains nothing"), "{text}");
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
        let diverged = decided(&[[0.8, 0.6, 1.0]], &[f64::INFINITY]);
        assert_eq!((diverged.outcome, diverged.measured.mean), (Outcome::NotHeld, None));
        assert!(!diverged.measured.text.contains("inf"), "{}", diverged.measured);
    }
}
