//! Trainings over several seeds, of which some may have diverged.

use std::cmp::Ordering;

use kiln_lab::LabError;
use kiln_lab::statistics::Summary;

/// What a training gave; nothing where it diverged.
pub(super) fn unless_diverged<T>(trained: Result<T, LabError>) -> Result<Option<T>, LabError> {
    match trained {
        Ok(trained) => Ok(Some(trained)),
        Err(LabError::Diverged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The results, where every training reached its end. A mean over the others would compare methods on different seeds.
pub(super) fn all<T: Copy>(results: &[Option<T>]) -> Option<Vec<T>> {
    results.iter().copied().collect()
}

/// `diverged on 2 of 5 seeds`, where any did.
pub(super) fn divergence<T>(results: &[Option<T>]) -> Option<String> {
    let diverged = results.iter().filter(|result| result.is_none()).count();
    (diverged > 0).then(|| format!("diverged on {diverged} of {} seeds", results.len()))
}

/// How good a choice did on the validation split: fewer divergences come first, then the mean score of the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Merit {
    diverged: usize,
    score: f64,
}

impl Merit {
    /// `scores` has one a training, none where it diverged.
    pub(super) fn of(scores: &[Option<f64>]) -> Self {
        let finished: Vec<f64> = scores.iter().flatten().copied().collect();
        Self { diverged: scores.len() - finished.len(), score: Summary::of(&finished).mean }
    }

    /// Mean score of the trainings that reached their end; NaN where none did.
    pub(super) fn score(&self) -> f64 {
        self.score
    }

    pub(super) fn is_above(&self, other: &Self) -> bool {
        match self.diverged.cmp(&other.diverged) {
            Ordering::Equal => self.score > other.score,
            fewer => fewer == Ordering::Less,
        }
    }
}

/// The learning rate with the highest merit, the first among equals.
pub(super) fn best_rate(rates: &[f64], merit: impl Fn(f64) -> Merit) -> Result<f64, LabError> {
    let mut best: Option<(f64, Merit)> = None;
    for &rate in rates {
        let merit = merit(rate);
        if best.as_ref().is_none_or(|(_, highest)| merit.is_above(highest)) {
            best = Some((rate, merit));
        }
    }
    best.map(|(rate, _)| rate).ok_or_else(|| LabError::setting("rates", "[]", "at least one learning rate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_at_which_a_training_diverged_is_chosen_only_where_all_do() {
        let sound = |rate: f64| match rate {
            0.1 => Merit::of(&[Some(0.6), Some(0.7)]),
            _ => Merit::of(&[Some(0.99), None]),
        };
        assert_eq!(best_rate(&[0.1, 1.0], sound).unwrap(), 0.1);
        assert_eq!(best_rate(&[1.0, 0.1], sound).unwrap(), 0.1);
        let failing = |rate: f64| Merit::of(&[(rate == 0.1).then_some(0.2), None]);
        assert_eq!(best_rate(&[1.0, 0.1], failing).unwrap(), 0.1);
        assert_eq!(best_rate(&[1.0, 0.1], |_| Merit::of(&[None])).unwrap(), 1.0);
    }

    #[test]
    fn the_first_of_equal_rates_is_chosen_and_no_rate_is_an_error() {
        assert_eq!(best_rate(&[0.3, 0.1], |_| Merit::of(&[Some(0.5)])).unwrap(), 0.3);
        let refused = best_rate(&[], |_| Merit::of(&[])).unwrap_err().to_string();
        assert!(refused.contains("rates"), "{refused}");
    }

    #[test]
    fn divergence_is_counted() {
        assert_eq!(divergence(&[Some(1.0), None, Some(2.0)]).unwrap(), "diverged on 1 of 3 seeds");
        assert_eq!(divergence(&[Some(1.0)]), None);
        assert_eq!(all(&[Some(1.0), None]), None);
        assert_eq!(all(&[Some(1.0), Some(2.0)]), Some(vec![1.0, 2.0]));
    }
}
