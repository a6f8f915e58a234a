//! The kinds of label noise of the paper.

use kiln_data::{LabelNoise, Splits};
use kiln_lab::LabError;

/// Letters that are taken for each other.
const LETTERS: [(&str, &str); 10] = [
    ("B", "D"),
    ("C", "G"),
    ("E", "F"),
    ("H", "N"),
    ("I", "L"),
    ("K", "X"),
    ("M", "W"),
    ("O", "Q"),
    ("P", "R"),
    ("U", "V"),
];
/// Neighbours in the order of the vowel set's authors; `hed`, the eleventh, has no partner.
const VOWELS: [(&str, &str); 5] = [("hid", "hId"), ("hEd", "hAd"), ("hYd", "had"), ("hOd", "hod"), ("hUd", "hud")];

/// Noise named `clean`, `uniform:RATE` or `class:RATE`, on the training and validation rows; which training rows it has
/// changed.
pub(super) fn corrupted(splits: &Splits, noise: &str, seed: u64) -> Result<(Splits, Vec<bool>), LabError> {
    let noisy = match kind(noise)? {
        Kind::Clean => splits.clone(),
        Kind::Uniform(rate) => LabelNoise::Uniform(rate).corrupt_splits(splits.clone(), seed)?,
        Kind::Class(rate) => class_noise(&splits.name, rate).corrupt_splits(splits.clone(), seed)?,
    };
    let flipped = (0..splits.train.len()).map(|row| splits.train.label(row) != noisy.train.label(row));
    let flipped = flipped.collect();
    Ok((noisy, flipped))
}

/// Classes that look alike where the paper names them, elsewhere the next class.
fn class_noise(set: &str, rate: f64) -> LabelNoise {
    let named: &[(&str, &str)] = match set {
        "letter" => &LETTERS,
        "vowel" => &VOWELS,
        _ => return LabelNoise::Pair(rate),
    };
    let both_ways = named.iter().flat_map(|&(one, other)| [(one, other), (other, one)]);
    let pairs = both_ways.map(|(from, to)| (from.to_string(), to.to_string())).collect();
    LabelNoise::Asymmetric { rate, pairs }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Clean,
    Uniform(f64),
    Class(f64),
}

fn kind(noise: &str) -> Result<Kind, LabError> {
    let refused = || LabError::setting("noises", noise, "clean, uniform:RATE or class:RATE with a rate in [0, 1]");
    if noise == "clean" {
        return Ok(Kind::Clean);
    }
    let (kind, rate) = noise.split_once(':').ok_or_else(refused)?;
    let rate: f64 = rate.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)).ok_or_else(refused)?;
    match kind {
        "uniform" => Ok(Kind::Uniform(rate)),
        "class" => Ok(Kind::Class(rate)),
        _ => Err(refused()),
    }
}

/// That a name says what noise is meant.
pub(super) fn check(noise: &str) -> Result<(), LabError> {
    kind(noise).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::{DataDir, OpenOptions, open};

    /// Which class every class is taken for when all labels of the set are corrupted.
    fn taken_for(set: &str, noise: &str) -> Vec<(String, String)> {
        let splits = open(set, &DataDir::find(None), &OpenOptions::default()).unwrap();
        let (noisy, flipped) = corrupted(&splits, noise, 1).unwrap();
        let names = splits.train.class_names();
        let name = |class: usize| names[class].clone();
        let mut pairs: Vec<(String, String)> =
            (0..splits.train.len()).map(|row| (name(splits.train.label(row)), name(noisy.train.label(row)))).collect();
        assert!(pairs.iter().zip(flipped).all(|((from, to), flipped)| (from != to) == flipped));
        pairs.sort();
        pairs.dedup();
        pairs
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        let mut pairs: Vec<(String, String)> = text
            .split(' ')
            .map(|pair| pair.split_once('>').map(|(from, to)| (from.to_string(), to.to_string())).unwrap())
            .collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn vowels_are_taken_for_their_neighbours_by_name() {
        let expected = "hid>hId hId>hid hEd>hAd hAd>hEd hYd>had had>hYd hOd>hod hod>hOd hUd>hud hud>hUd hed>hed";
        assert_eq!(taken_for("vowel", "class:1"), pairs(expected));
    }

    #[test]
    fn letters_are_taken_for_those_that_look_alike() {
        let found = taken_for("letter", "class:1");
        let expected = "A>A B>D C>G D>B E>F F>E G>C H>N I>L J>J K>X L>I M>W N>H O>Q P>R Q>O R>P S>S T>T U>V V>U W>M \
                        X>K Y>Y Z>Z";
        assert_eq!(found, pairs(expected));
    }

    #[test]
    fn other_classes_are_taken_for_the_next_one() {
        assert_eq!(taken_for("digits", "class:1"), pairs("0>1 1>2 2>3 3>4 4>5 5>6 6>7 7>8 8>9 9>0"));
        assert!(taken_for("digits", "clean").iter().all(|(from, to)| from == to));
    }

    #[test]
    fn a_set_that_only_has_the_name_is_refused() {
        let mut splits = open("digits", &DataDir::find(None), &OpenOptions::default()).unwrap();
        splits.name = "vowel".into();
        let error = corrupted(&splits, "class:0.3", 1).unwrap_err().to_string();
        assert!(error.contains("hid") && error.contains("no class"), "{error}");
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
