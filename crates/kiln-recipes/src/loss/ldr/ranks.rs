//! Ranks of methods, and how far two groups of numbers are apart.

/// Mean rank of each of `methods` over rows of their figures, larger ones first; those that tie share their ranks.
pub(super) fn mean_ranks(methods: usize, rows: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    let (mut sums, mut count) = (vec![0.0; methods], 0.0);
    for row in rows {
        count += 1.0;
        for (method, figure) in row.iter().enumerate() {
            let above = row.iter().filter(|other| *other > figure).count() as f64;
            let equal = row.iter().filter(|other| *other == figure).count() as f64;
            sums[method] += above + 0.5 * (equal + 1.0);
        }
    }
    sums.into_iter().map(|sum| sum / count).collect()
}

/// Fraction of marked entries among the `first` with the largest numbers; between equal numbers the earlier one goes first.
pub(super) fn precision(numbers: &[f64], marked: &[bool], first: usize) -> f64 {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[b].total_cmp(&numbers[a]));
    order.truncate(first);
    order.iter().filter(|&&at| marked[at]).count() as f64 / order.len() as f64
}

/// How two groups of numbers differ, by the test of Mann and Whitney.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Separation {
    /// Probability that a number of the first group is larger than one of the second, ties counting half.
    pub(super) area: f64,
    /// Standard score of the difference, by the normal approximation with ties.
    pub(super) score: f64,
}

impl Separation {
    /// Nothing where a group is empty or all numbers are equal.
    pub(super) fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        let (m, n) = (first.len() as f64, second.len() as f64);
        let mut all: Vec<(f64, bool)> =
            first.iter().map(|&value| (value, true)).chain(second.iter().map(|&value| (value, false))).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut rank_sum, mut ties, mut done) = (0.0, 0.0, 0.0);
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            let size = group.len() as f64;
            rank_sum += group.iter().filter(|(_, own)| *own).count() as f64 * (done + 0.5 * (size + 1.0));
            ties += size.powi(3) - size;
            done += size;
        }
        let total = m + n;
        let variance = m * n / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
        if m == 0.0 || n == 0.0 || variance.is_nan() || variance <= 0.0 {
            return None;
        }
        let statistic = rank_sum - m * (m + 1.0) / 2.0;
        Some(Self { area: statistic / (m * n), score: (statistic - m * n / 2.0) / variance.sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_figure_has_rank_one_and_ties_share() {
        let rows = [vec![0.9, 0.5, 0.7], vec![0.4, 0.4, 0.1]];
        assert_eq!(mean_ranks(3, rows.into_iter()), [1.25, 2.25, 2.5]);
    }

    #[test]
    fn precision_is_of_the_largest() {
        let marked = [true, false, true, false];
        assert_eq!(precision(&[4.0, 3.0, 1.0, 2.0], &marked, 1), 1.0);
        assert_eq!(precision(&[4.0, 3.0, 1.0, 2.0], &marked, 2), 0.5);
    }

    #[test]
    fn separation_is_the_area_and_its_standard_score() {
        let apart = Separation::of(&[3.0, 4.0, 5.0], &[1.0, 2.0]).unwrap();
        assert_eq!(apart.area, 1.0);
        // U = 6, mean 3, variance 3 * 2 * 6 / 12 = 3.
        assert!((apart.score - 3.0_f64.sqrt()).abs() < 1e-12);
        // U = 1 + 1/2 of 4; variance 4 / 12 (5 - 6 / 12) = 1.5.
        let tied = Separation::of(&[1.0, 3.0], &[1.0, 2.0]).unwrap();
        assert_eq!(tied.area, 0.625);
        assert!((tied.score - 0.5 / 1.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Separation::of(&[1.0, 1.0], &[1.0]), None);
        assert_eq!(Separation::of(&[], &[1.0]), None);
    }
}
