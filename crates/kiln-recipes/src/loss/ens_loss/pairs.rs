//! EnsLoss beside a fixed loss, cell by cell.

use kiln_lab::statistics::paired_difference;

/// How two methods compare on one task with one network, over the same seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Standing {
    Better,
    Even,
    Worse,
}

/// The mean difference of the accuracies, and whether it is significant: its 95 % interval by Student's t leaves out zero.
pub(super) fn standing(own: &[f64], other: &[f64]) -> (f64, Standing) {
    let paired = paired_difference(own, other);
    let mean = paired.difference.mean;
    let standing = match (paired.interval.above(0.0), paired.interval.below(0.0)) {
        _ if own.len() < 2 => Standing::Even,
        (true, _) => Standing::Better,
        (_, true) => Standing::Worse,
        _ => Standing::Even,
    };
    (mean, standing)
}

/// Cells in which the method is better, even and worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) better: usize,
    pub(super) even: usize,
    pub(super) worse: usize,
}

impl Tally {
    pub(super) fn of(standings: impl IntoIterator<Item = Standing>) -> Self {
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

/// Probability of so many wins or more among fair coin tosses: the one-sided sign test.
pub(super) fn sign_test(wins: usize, losses: usize) -> f64 {
    let tosses = wins + losses;
    let mut coefficient = 1.0;
    let mut tail = 0.0;
    for successes in 0..=tosses {
        if successes >= wins {
            tail += coefficient;
        }
        coefficient *= (tosses - successes) as f64 / (successes + 1) as f64;
    }
    tail / 2.0_f64.powi(tosses as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clear_differences_count() {
        assert_eq!(standing(&[0.9, 0.91, 0.92], &[0.8, 0.81, 0.82]).1, Standing::Better);
        assert_eq!(standing(&[0.8, 0.81, 0.82], &[0.9, 0.91, 0.92]).1, Standing::Worse);
        assert_eq!(standing(&[0.9, 0.7], &[0.8, 0.81]).1, Standing::Even);
        assert_eq!(standing(&[0.9], &[0.1]).1, Standing::Even);
        let tally = Tally::of([Standing::Better, Standing::Even, Standing::Better]);
        assert_eq!((tally.to_string(), tally.cells()), ("(2, 1, 0)".to_string(), 3));
    }

    #[test]
    fn the_sign_test_is_the_binomial_tail() {
        assert_eq!(sign_test(0, 0), 1.0);
        assert!((sign_test(5, 0) - 1.0 / 32.0).abs() < 1e-12);
        // (10 + 5 + 1) / 32
        assert!((sign_test(3, 2) - 0.5).abs() < 1e-12);
        assert!((sign_test(4, 1) - 6.0 / 32.0).abs() < 1e-12);
    }
}
