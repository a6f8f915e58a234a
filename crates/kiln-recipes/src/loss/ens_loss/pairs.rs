//! EnsLoss beside a fixed loss, cell by cell.

use kiln_lab::statistics::paired_difference;

use super::field::{Cell, Protocol, Trained};

/// How two methods compare on one task with one network, over the same seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Standing {
    Better,
    Even,
    Worse,
}

/// Whether the mean difference of the accuracies is significant: its two-sided 95 % interval by Student's t leaves out
/// zero. The paper's one-sided test at 5 % is the easier one.
fn standing(own: &[f64], other: &[f64]) -> Standing {
    let paired = paired_difference(own, other);
    match (paired.interval.above(0.0), paired.interval.below(0.0)) {
        _ if own.len() < 2 => Standing::Even,
        (true, _) => Standing::Better,
        (_, true) => Standing::Worse,
        _ => Standing::Even,
    }
}

/// Cells in which the method is better, even and worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) better: usize,
    pub(super) even: usize,
    pub(super) worse: usize,
}

impl Tally {
    /// EnsLoss in each cell beside another loss of that cell.
    pub(super) fn of<'a>(rivals: impl IntoIterator<Item = (&'a Cell, &'a Trained)>, protocol: Protocol) -> Self {
        let beside =
            |(cell, rival): (&Cell, &Trained)| standing(&cell.ensemble().test(protocol), &rival.test(protocol));
        Self::counted(rivals.into_iter().map(beside))
    }

    fn counted(standings: impl IntoIterator<Item = Standing>) -> Self {
        let mut tally = Self::default();
        for standing in standings {
            match standing {
                Standing::Better => tally.better += 1,
                Standing::Even => tally.even += 1,
                Standing::Worse => tally.worse += 1,
            }
        }
        tally
    }

    pub(super) fn cells(self) -> usize {
        self.better + self.even + self.worse
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}, {}, {})", self.better, self.even, self.worse)
    }
}

/// Level of all tests.
pub(super) const SIGNIFICANCE: f64 = 0.05;

/// The one-sided sign test over the cells, in which those without a difference do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignTest {
    pub(super) wins: usize,
    pub(super) losses: usize,
}

impl SignTest {
    pub(super) fn of(differences: &[f64]) -> Self {
        let count = |counts: fn(&&f64) -> bool| differences.iter().filter(counts).count();
        Self { wins: count(|difference| **difference > 0.0), losses: count(|difference| **difference < 0.0) }
    }

    /// Probability of so many wins or more among fair tosses of a coin.
    pub(super) fn p(self) -> f64 {
        let tosses = self.wins + self.losses;
        let mut coefficient = 1.0;
        let mut tail = 0.0;
        for successes in 0..=tosses {
            if successes >= self.wins {
                tail += coefficient;
            }
            coefficient *= (tosses - successes) as f64 / (successes + 1) as f64;
        }
        tail / 2.0_f64.powi(tosses as i32)
    }

    /// Whether so many cells could be significant, were they all won.
    pub(super) fn can_decide(cells: usize) -> bool {
        Self { wins: cells, losses: 0 }.p() < SIGNIFICANCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clear_differences_count() {
        assert_eq!(standing(&[0.9, 0.91, 0.92], &[0.8, 0.81, 0.82]), Standing::Better);
        assert_eq!(standing(&[0.8, 0.81, 0.82], &[0.9, 0.91, 0.92]), Standing::Worse);
        assert_eq!(standing(&[0.9, 0.7], &[0.8, 0.81]), Standing::Even);
        assert_eq!(standing(&[0.9], &[0.1]), Standing::Even);
        let tally = Tally::counted([Standing::Better, Standing::Even, Standing::Better]);
        assert_eq!((tally.to_string(), tally.cells()), ("(2, 1, 0)".to_string(), 3));
    }

    #[test]
    fn the_sign_test_is_the_binomial_tail() {
        let p = |wins, losses| SignTest { wins, losses }.p();
        assert_eq!(p(0, 0), 1.0);
        assert!((p(5, 0) - 1.0 / 32.0).abs() < 1e-12);
        // (10 + 5 + 1) / 32
        assert!((p(3, 2) - 0.5).abs() < 1e-12);
        assert!((p(4, 1) - 6.0 / 32.0).abs() < 1e-12);
        assert_eq!(SignTest::of(&[0.1, 0.0, -0.2, 0.3]), SignTest { wins: 2, losses: 1 });
    }

    #[test]
    fn four_cells_decide_nothing() {
        assert!(SignTest { wins: 4, losses: 0 }.p() > SIGNIFICANCE);
        assert!(!SignTest::can_decide(4) && SignTest::can_decide(5));
    }
}
