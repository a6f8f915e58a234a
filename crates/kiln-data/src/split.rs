//! Seeded shuffles and splits that are the same on every platform and in every release.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::DataError;

/// How rows are divided into training, validation and test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitOptions {
    /// Fraction of all rows held back for the test split, in `0..1`; used where a set brings no test split.
    pub test: f64,
    /// Fraction of the rows that remain after the test split and are held back for validation, in `0..1`;
    /// 0 leaves the validation split empty.
    pub validation: f64,
    /// Seed of the shuffle.
    pub seed: u64,
    /// Rows are in time order: the test split is the end, validation comes before it, and nothing is shuffled.
    pub chronological: bool,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self { test: 0.2, validation: 0.1, seed: 0, chronological: false }
    }
}

impl SplitOptions {
    /// Refuses fractions outside `0..1`.
    ///
    /// # Errors
    /// [`DataError::InvalidOption`] that names the fraction.
    pub fn check(&self) -> Result<(), DataError> {
        for (option, value) in [("split.test", self.test), ("split.validation", self.validation)] {
            if !(0.0..1.0).contains(&value) {
                return Err(DataError::InvalidOption {
                    option,
                    value: value.to_string(),
                    allowed: "a fraction of at least 0 and below 1 is needed".into(),
                });
            }
        }
        Ok(())
    }
}

/// The numbers `0..n` in an order that depends on `seed` only: Fisher-Yates over ChaCha8.
///
/// ```
/// assert_eq!(kiln_data::split::permutation(5, 1), kiln_data::split::permutation(5, 1));
/// ```
pub fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    shuffle(&mut order, &mut ChaCha8Rng::seed_from_u64(seed));
    order
}

/// Row numbers that are held back and row numbers that remain, both in increasing order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Rows that remain.
    pub kept: Vec<usize>,
    /// Rows that are held back.
    pub held: Vec<usize>,
}

/// Holds back the rounded `fraction` of `n` rows, chosen at random; one row always remains.
pub fn random(n: usize, fraction: f64, seed: u64) -> Held {
    let order = permutation(n, seed);
    divide(n, &order[..share(n, fraction)])
}

/// Holds back the rounded `fraction` of each class, chosen at random; one row of each class always remains.
///
/// `labels` holds the class of each row. Classes are drawn from independent streams of the generator, so that adding
/// rows to one class does not change the draw of another.
pub fn stratified(labels: &[u32], fraction: f64, seed: u64) -> Held {
    let classes = labels.iter().max().map_or(0, |&largest| largest as usize + 1);
    let mut sizes = vec![0; classes];
    labels.iter().for_each(|&label| sizes[label as usize] += 1);
    let mut members: Vec<Vec<usize>> = sizes.into_iter().map(Vec::with_capacity).collect();
    for (row, &label) in labels.iter().enumerate() {
        members[label as usize].push(row);
    }
    let mut held = Vec::with_capacity(members.iter().map(|rows| share(rows.len(), fraction)).sum());
    for (class, rows) in members.iter_mut().enumerate() {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(class as u64 + 1);
        shuffle(rows, &mut generator);
        held.extend_from_slice(&rows[..share(rows.len(), fraction)]);
    }
    divide(labels.len(), &held)
}

/// Holds back the last rounded `fraction` of `n` rows.
pub fn last(n: usize, fraction: f64) -> Held {
    let kept = n - share(n, fraction);
    Held { kept: (0..kept).collect(), held: (kept..n).collect() }
}

fn share(n: usize, fraction: f64) -> usize {
    ((n as f64 * fraction).round() as usize).min(n.saturating_sub(1))
}

fn divide(n: usize, chosen: &[usize]) -> Held {
    let mut is_held = vec![false; n];
    for &row in chosen {
        is_held[row] = true;
    }
    // The lists of a large set are long: they get the room that they need, not twice as much.
    let mut held = Vec::with_capacity(chosen.len());
    let mut kept = Vec::with_capacity(n - chosen.len());
    (0..n).for_each(|row| if is_held[row] { held.push(row) } else { kept.push(row) });
    Held { kept, held }
}

fn shuffle(order: &mut [usize], generator: &mut ChaCha8Rng) {
    for last in (1..order.len()).rev() {
        order.swap(last, below(generator, last + 1));
    }
}

/// A uniform number below `bound`, by the high half of a 128-bit product; its bias is below `bound / 2^64`.
pub(crate) fn below(generator: &mut ChaCha8Rng, bound: usize) -> usize {
    ((u128::from(generator.next_u64()) * bound as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_has_every_number_once_and_depends_on_the_seed() {
        let order = permutation(10, 42);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        assert_ne!(order, permutation(10, 43));
    }

    #[test]
    fn a_stratified_split_takes_the_same_share_of_each_class() {
        let labels: Vec<u32> = (0..200).map(|row| u32::from(row % 4 == 0)).collect();
        let Held { kept, held } = stratified(&labels, 0.2, 7);
        assert_eq!(held.len(), 40);
        assert_eq!(held.iter().filter(|&&row| labels[row] == 1).count(), 10);
        assert_eq!(kept.len() + held.len(), 200);
        assert!(held.iter().all(|row| !kept.contains(row)));
    }

    #[test]
    fn the_only_row_of_a_class_stays_in_training() {
        let Held { kept, held } = stratified(&[0, 0, 0, 0, 1], 0.75, 0);
        assert_eq!(held.len(), 3);
        assert!(kept.contains(&4));
    }

    #[test]
    fn rows_in_time_order_are_cut_at_the_end() {
        assert_eq!(last(10, 0.2).held, vec![8, 9]);
    }
}
