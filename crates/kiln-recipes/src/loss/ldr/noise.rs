//! The kinds of label noise of the paper.

use kiln_data::label_noise::{Noisy, cyclic, pairs, uniform};
use kiln_data::{ArrayDataset, Splits};
use kiln_lab::LabError;

/// Letters that are taken for each other: B D, C G, E F, H N, I L, K X, M W, O Q, P R, U V.
const LETTERS: [(u32, u32); 10] =
    [(1, 3), (2, 6), (4, 5), (7, 13), (8, 11), (10, 23), (12, 22), (14, 16), (15, 17), (20, 21)];
/// Neighbouring vowels; the eleventh has no partner.
const VOWELS: [(u32, u32); 5] = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)];

/// Seeds of the noise on the validation rows lie so far from those on the training rows.
const VALIDATION: u64 = 1 << 32;

/// Noise named `clean`, `uniform:RATE` or `class:RATE`, on the training and validation rows; which training rows it has
/// changed.
pub(super) fn corrupted(splits: &Splits, noise: &str, seed: u64) -> Result<(Splits, Vec<bool>), LabError> {
    let (train, flipped) = noisy(&splits.name, &splits.train, noise, seed)?;
    let (validation, _) = noisy(&splits.name, &splits.validation, noise, seed + VALIDATION)?;
    Ok((Splits { train, validation, ..splits.clone() }, flipped))
}

fn noisy(set: &str, data: &ArrayDataset, noise: &str, seed: u64) -> Result<(ArrayDataset, Vec<bool>), LabError> {
    if noise == "clean" {
        return Ok((data.clone(), vec![false; data.len()]));
    }
    let (kind, rate) = kind_and_rate(noise)?;
    let labels: Vec<u32> = data.labels().into_iter().map(|label| label as u32).collect();
    let classes = data.num_classes();
    let both_ways = |table: &[(u32, u32)]| -> Vec<(u32, u32)> {
        table.iter().flat_map(|&(one, other)| [(one, other), (other, one)]).collect()
    };
    let Noisy { labels, flipped } = match (kind, set, classes) {
        (Kind::Uniform, ..) => uniform(&labels, classes, rate, seed)?,
        (Kind::Class, "letter", 26) => pairs(&labels, classes, &both_ways(&LETTERS), rate, seed)?,
        (Kind::Class, "vowel", 11) => pairs(&labels, classes, &both_ways(&VOWELS), rate, seed)?,
        (Kind::Class, ..) => cyclic(&labels, classes, rate, seed)?,
    };
    Ok((data.with_labels(labels)?, flipped))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Uniform,
    Class,
}

/// What `uniform:0.3` says; nothing for `clean` is asked here.
fn kind_and_rate(noise: &str) -> Result<(Kind, f64), LabError> {
    let refused = || LabError::setting("noises", noise, "clean, uniform:RATE or class:RATE with a rate in [0, 1]");
    let (kind, rate) = noise.split_once(':').ok_or_else(refused)?;
    let kind = match kind {
        "uniform" => Kind::Uniform,
        "class" => Kind::Class,
        _ => return Err(refused()),
    };
    let rate: f64 = rate.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)).ok_or_else(refused)?;
    Ok((kind, rate))
}

/// That a name says what noise is meant.
pub(super) fn check(noise: &str) -> Result<(), LabError> {
    if noise == "clean" { Ok(()) } else { kind_and_rate(noise).map(drop) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::Targets;

    #[test]
    fn letters_are_taken_for_those_that_look_alike() {
        let names: Vec<String> = ('A'..='Z').map(String::from).collect();
        let data =
            ArrayDataset::new(vec![0.0; 26], vec![1], Targets::Classes { labels: (0..26).collect(), names }).unwrap();
        let (after, flipped) = noisy("letter", &data, "class:1", 1).unwrap();
        let word: String = after.labels().into_iter().map(|label| char::from(b'A' + label as u8)).collect();
        assert_eq!(word, "ADGBFECNLJXIWHQROPSTVUMKYZ");
        assert_eq!(flipped.iter().filter(|flipped| **flipped).count(), 20);
        let (after, _) = noisy("digits", &data, "class:1", 1).unwrap();
        assert_eq!(after.labels()[..3], [1, 2, 3]);
    }

    #[test]
    fn names_of_noise_are_checked() {
        for good in ["clean", "uniform:0.3", "class:1"] {
            check(good).unwrap();
        }
        for wrong in ["", "uniform", "uniform:2", "odd:0.1", "class:x"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
