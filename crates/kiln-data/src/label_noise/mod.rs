//! Wrong labels on purpose: noise of a known kind and rate, for experiments with losses that should withstand it.
//!
//! [`LabelNoise`] is what `--label-noise` and `kiln data corrupt` take; the functions beside it work on bare labels.
//!
//! ```
//! use kiln_data::{DataDir, LabelNoise, OpenOptions, open};
//!
//! let splits = open("digits", &DataDir::find(None), &OpenOptions::default())?;
//! let noise: LabelNoise = "uniform:0.4".parse()?;
//! let (noisy, flipped) = noise.corrupt(&splits.train, 1)?;
//! let wrong = flipped.iter().filter(|flipped| **flipped).count() as f64 / noisy.len() as f64;
//! assert!((wrong - 0.36).abs() < 0.05);
//! # Ok::<(), kiln_data::DataError>(())
//! ```

mod annotators;
mod spec;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub use annotators::table;
pub use spec::LabelNoise;

use crate::DataError;
use crate::split::below;

/// Labels after noise, and which of them are no longer what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noisy {
    /// Class of each row.
    pub labels: Vec<u32>,
    /// Whether the class of each row has changed.
    pub flipped: Vec<bool>,
}

impl Noisy {
    fn new(clean: &[u32], labels: Vec<u32>) -> Self {
        let flipped = clean.iter().zip(&labels).map(|(before, after)| before != after).collect();
        Self { labels, flipped }
    }
}

/// With probability `rate` a label becomes a uniform draw over all classes, its own among them: the rate of wrong labels is
/// `rate (classes - 1) / classes`.
///
/// # Errors
/// [`DataError::InvalidOption`] for a rate outside `[0, 1]`, or a label that is no class.
pub fn uniform(labels: &[u32], classes: usize, rate: f64, seed: u64) -> Result<Noisy, DataError> {
    replaced(labels, classes, rate, seed, |_, random| below(random, classes) as u32)
}

/// With probability `rate` a label becomes the next class, and the last one the first.
///
/// # Errors
/// [`DataError::InvalidOption`] for a rate outside `[0, 1]`, or a label that is no class.
pub fn cyclic(labels: &[u32], classes: usize, rate: f64, seed: u64) -> Result<Noisy, DataError> {
    replaced(labels, classes, rate, seed, |label, _| (label + 1) % classes as u32)
}

/// With probability `rate` a label that stands first in one of the `pairs` becomes the second of that pair.
///
/// # Errors
/// [`DataError::InvalidOption`] for a rate outside `[0, 1]`, a label that is no class, a pair with a class that does not
/// exist, a class that is to become two others, and one that is to become itself.
pub fn pairs(labels: &[u32], classes: usize, pairs: &[(u32, u32)], rate: f64, seed: u64) -> Result<Noisy, DataError> {
    let mut partner: Vec<Option<u32>> = vec![None; classes];
    for &(from, to) in pairs {
        check_classes(&[from, to], classes)?;
        if from == to {
            return Err(wrong("label-noise", format!("{from}/{to}"), "two different classes are needed".into()));
        }
        if let Some(other) = partner[from as usize].replace(to) {
            let allowed = format!("class {from} is to become {other} already, it can stand first in one pair only");
            return Err(wrong("label-noise", format!("{from}/{to}"), allowed));
        }
    }
    replaced(labels, classes, rate, seed, |label, _| partner[label as usize].unwrap_or(label))
}

/// A label `i` becomes `j` with probability `matrix[i][j]`.
///
/// # Errors
/// [`DataError::Shape`] for a matrix that is not square over the classes, [`DataError::InvalidOption`] for a row that is
/// not a distribution, or a label that is no class.
pub fn asymmetric_matrix(labels: &[u32], classes: usize, matrix: &[Vec<f64>], seed: u64) -> Result<Noisy, DataError> {
    if matrix.len() != classes || matrix.iter().any(|row| row.len() != classes) {
        let found = format!("{} rows of {:?} columns", matrix.len(), matrix.first().map(Vec::len));
        return Err(DataError::shape("label noise matrix", found, format!("{classes} rows of {classes} columns")));
    }
    for (class, row) in matrix.iter().enumerate() {
        let sum: f64 = row.iter().sum();
        if row.iter().any(|&p| !(0.0..=1.0).contains(&p)) || (sum - 1.0).abs() > 1e-6 {
            let allowed = format!("probabilities that add up to 1 are needed in row {class}");
            return Err(wrong("label-noise", format!("{row:?}"), allowed));
        }
    }
    check_classes(labels, classes)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let noisy = labels.iter().map(|&label| {
        let mut left = unit(&mut random);
        let row = &matrix[label as usize];
        let chosen = row.iter().position(|&p| {
            left -= p;
            left < 0.0
        });
        // Rounding may leave a sum just below 1.
        chosen.unwrap_or_else(|| row.iter().rposition(|&p| p > 0.0).unwrap_or(label as usize)) as u32
    });
    Ok(Noisy::new(labels, noisy.collect()))
}

fn replaced(
    labels: &[u32],
    classes: usize,
    rate: f64,
    seed: u64,
    replacement: impl Fn(u32, &mut ChaCha8Rng) -> u32,
) -> Result<Noisy, DataError> {
    if !(0.0..=1.0).contains(&rate) {
        return Err(wrong("label-noise", rate, "a rate in [0, 1] is needed".into()));
    }
    check_classes(labels, classes)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let noisy = labels.iter().map(|&label| {
        // Both numbers are drawn for every row, so that a higher rate flips all that a lower one flips.
        let (chance, other) = (unit(&mut random), replacement(label, &mut random));
        if chance < rate { other } else { label }
    });
    Ok(Noisy::new(labels, noisy.collect()))
}

fn check_classes(labels: &[u32], classes: usize) -> Result<(), DataError> {
    match labels.iter().find(|label| **label as usize >= classes) {
        Some(label) => Err(wrong("label-noise", label, format!("a class in 0..{classes} is needed"))),
        None => Ok(()),
    }
}

/// Uniform in `[0, 1)`.
fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

fn wrong(option: &'static str, value: impl ToString, allowed: String) -> DataError {
    DataError::InvalidOption { option, value: value.to_string(), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(rows: usize, classes: u32) -> Vec<u32> {
        (0..rows as u32).map(|row| row % classes).collect()
    }

    fn share(noisy: &Noisy) -> f64 {
        noisy.flipped.iter().filter(|flipped| **flipped).count() as f64 / noisy.flipped.len() as f64
    }

    #[test]
    fn uniform_noise_may_draw_the_same_class_again() {
        let clean = labels(20_000, 4);
        let noisy = uniform(&clean, 4, 0.6, 1).unwrap();
        assert!((share(&noisy) - 0.45).abs() < 0.015, "{}", share(&noisy));
        let flipped = clean.iter().zip(&noisy.labels).map(|(before, after)| before != after);
        assert!(flipped.eq(noisy.flipped.iter().copied()));
        assert_eq!(uniform(&clean, 4, 0.6, 1).unwrap(), noisy);
        assert_ne!(uniform(&clean, 4, 0.6, 2).unwrap(), noisy);
        assert_eq!(uniform(&clean, 4, 0.0, 1).unwrap().labels, clean);
    }

    #[test]
    fn a_higher_rate_flips_all_that_a_lower_one_flips() {
        let clean = labels(1000, 5);
        let [low, high] = [0.2, 0.5].map(|rate| uniform(&clean, 5, rate, 3).unwrap());
        assert!(low.flipped.iter().zip(&high.flipped).all(|(low, high)| !low || *high));
    }

    #[test]
    fn cyclic_noise_goes_to_the_next_class() {
        let clean = labels(6000, 3);
        let noisy = cyclic(&clean, 3, 0.3, 1).unwrap();
        assert!((share(&noisy) - 0.3).abs() < 0.02);
        assert!(clean.iter().zip(&noisy.labels).all(|(before, after)| before == after || (before + 1) % 3 == *after));
        assert_eq!(cyclic(&[0, 1, 2], 3, 1.0, 1).unwrap().labels, [1, 2, 0]);
    }

    #[test]
    fn pairs_leave_other_classes_alone() {
        let noisy = pairs(&labels(400, 4), 4, &[(0, 1), (1, 0)], 1.0, 1).unwrap();
        assert_eq!(noisy.labels[..4], [1, 0, 2, 3]);
        assert_eq!(share(&noisy), 0.5);
        let error = pairs(&[0], 2, &[(0, 2)], 0.5, 1).unwrap_err().to_string();
        assert_eq!(error, "label-noise = 2: a class in 0..2 is needed");
        let error = pairs(&[0], 3, &[(0, 1), (0, 2)], 0.5, 1).unwrap_err().to_string();
        assert!(error.contains("0/2") && error.contains("class 0 is to become 1 already"), "{error}");
        assert!(pairs(&[0], 2, &[(1, 1)], 0.5, 1).unwrap_err().to_string().contains("1/1"));
    }

    #[test]
    fn a_matrix_gives_the_rates() {
        let matrix = vec![vec![0.5, 0.5, 0.0], vec![0.0, 1.0, 0.0], vec![0.1, 0.2, 0.7]];
        let clean = labels(30_000, 3);
        let noisy = asymmetric_matrix(&clean, 3, &matrix, 1).unwrap();
        for (from, row) in matrix.iter().enumerate() {
            for (to, expected) in row.iter().enumerate() {
                let pairs = clean.iter().zip(&noisy.labels);
                let found = pairs.filter(|(a, b)| (**a as usize, **b as usize) == (from, to)).count() as f64 / 10_000.0;
                assert!((found - expected).abs() < 0.02, "{from} to {to}: {found}");
            }
        }
        assert!(asymmetric_matrix(&clean, 3, &matrix[..2], 1).is_err());
        assert!(asymmetric_matrix(&[0], 2, &[vec![0.5, 0.4], vec![0.0, 1.0]], 1).is_err());
    }

    #[test]
    fn labels_that_are_no_class_are_refused() {
        let identity = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        for found in [
            uniform(&[0, 2], 2, 0.5, 1),
            cyclic(&[0, 2], 2, 0.5, 1),
            pairs(&[0, 2], 2, &[(0, 1)], 0.5, 1),
            asymmetric_matrix(&[0, 2], 2, &identity, 1),
            uniform(&[0], 0, 0.5, 1),
        ] {
            assert!(found.unwrap_err().to_string().contains("a class in 0.."));
        }
        assert_eq!(uniform(&[], 0, 0.5, 1).unwrap().labels, [0_u32; 0]);
    }

    #[test]
    fn rates_outside_the_unit_interval_are_refused() {
        for rate in [-0.1, 1.1, f64::NAN] {
            assert!(uniform(&[0, 1], 2, rate, 1).is_err());
            assert!(cyclic(&[0, 1], 2, rate, 1).is_err());
        }
    }
}
