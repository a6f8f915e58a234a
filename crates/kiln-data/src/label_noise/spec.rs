//! Label noise as a person writes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Noisy, annotators, asymmetric_matrix, cyclic, pairs, uniform, wrong};
use crate::{ArrayDataset, DataError, Splits, nearest};

/// A kind of label noise, written `uniform:0.4`, `pair:0.3`, `asymmetric:0.3:cat/dog,dog/cat`, `matrix:FILE` or
/// `annotators:FILE`.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelNoise {
    /// With this probability a uniform draw over all classes.
    Uniform(f64),
    /// With this probability the next class.
    Pair(f64),
    /// With this probability the partner of the class, where it has one.
    Asymmetric {
        /// In `[0, 1]`.
        rate: f64,
        /// Names of classes, from and to.
        pairs: Vec<(String, String)>,
    },
    /// Probabilities of every class for every class, a file of comma-separated rows in the order of the classes.
    Matrix(PathBuf),
    /// What people said: a table with one row a training row and one column an annotator, of whom one is drawn for each
    /// row. A column `flipped` is left out, and columns `row` (from 0) and `label` have to agree with the data.
    Annotators(PathBuf),
}

impl LabelNoise {
    /// The file that it reads, if it reads one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Matrix(file) | Self::Annotators(file) => Some(file),
            _ => None,
        }
    }

    /// `data` with noise on its labels, and which rows are affected.
    ///
    /// # Errors
    /// [`DataError::InvalidOption`] for rates, probabilities and classes that are not right and where the targets are
    /// numbers, [`DataError::Io`] and [`DataError::Malformed`] for a file.
    pub fn corrupt(&self, data: &ArrayDataset, seed: u64) -> Result<(ArrayDataset, Vec<bool>), DataError> {
        if !data.is_classification() {
            return Err(wrong("label-noise", self, "it changes classes, and the target is a number".into()));
        }
        let clean: Vec<u32> = data.labels().into_iter().map(|label| label as u32).collect();
        let classes = data.num_classes();
        let noisy = match self {
            Self::Uniform(rate) => uniform(&clean, classes, *rate, seed)?,
            Self::Pair(rate) => cyclic(&clean, classes, *rate, seed)?,
            Self::Asymmetric { rate, pairs: named } => {
                let classes_of = named.iter().map(|(from, to)| Ok((class_of(data, from)?, class_of(data, to)?)));
                let partners = classes_of.collect::<Result<Vec<_>, DataError>>()?;
                check_pairs(named)?;
                pairs(&clean, classes, &partners, *rate, seed)?
            }
            Self::Matrix(path) => asymmetric_matrix(&clean, classes, &annotators::matrix(path)?, seed)?,
            Self::Annotators(path) => annotators::drawn(path, data, seed)?,
        };
        let Noisy { labels, flipped } = noisy;
        Ok((data.with_labels(labels)?, flipped))
    }

    /// Noise on the training rows and, where it does not come out of a file of training rows, on the validation rows. The
    /// test rows stay as they are.
    ///
    /// # Errors
    /// As [`corrupt`](Self::corrupt).
    pub fn corrupt_splits(&self, splits: Splits, seed: u64) -> Result<Splits, DataError> {
        let train = self.corrupt(&splits.train, seed)?.0;
        let validation = match self {
            Self::Annotators(_) => splits.validation.clone(),
            _ => self.corrupt(&splits.validation, seed.wrapping_add(1 << 32))?.0,
        };
        Ok(Splits { train, validation, ..splits })
    }
}

/// Refuses, by their names, a class that is to become itself and one that is to become two others.
fn check_pairs(named: &[(String, String)]) -> Result<(), DataError> {
    for (place, (from, to)) in named.iter().enumerate() {
        let pair = format!("{from}/{to}");
        if from == to {
            return Err(wrong("label-noise", pair, "two different classes are needed".into()));
        }
        if let Some((_, other)) = named[..place].iter().find(|(before, _)| before == from) {
            let allowed = format!("`{from}` is to become `{other}` already, it can stand first in one pair only");
            return Err(wrong("label-noise", pair, allowed));
        }
    }
    Ok(())
}

fn class_of(data: &ArrayDataset, name: &str) -> Result<u32, DataError> {
    let names = data.class_names();
    names.iter().position(|known| known == name).map(|at| at as u32).ok_or_else(|| {
        let near = nearest(name, names.iter().map(String::as_str)).map(|near| format!("; did you mean `{near}`?"));
        wrong("label-noise", name, format!("no class has this name{}", near.unwrap_or_default()))
    })
}

const GRAMMAR: &str =
    "uniform:RATE, pair:RATE, asymmetric:RATE:FROM/TO,FROM/TO, matrix:FILE or annotators:FILE is needed";

impl FromStr for LabelNoise {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let refused = || wrong("label-noise", text, GRAMMAR.into());
        let (kind, rest) = text.split_once(':').filter(|(_, rest)| !rest.is_empty()).ok_or_else(refused)?;
        let rate = |text: &str| match text.parse::<f64>() {
            Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
            Ok(_) => Err(wrong("label-noise", text, "a rate in [0, 1] is needed".into())),
            Err(_) => Err(refused()),
        };
        match kind {
            "uniform" => Ok(Self::Uniform(rate(rest)?)),
            "pair" => Ok(Self::Pair(rate(rest)?)),
            "asymmetric" => {
                let (first, list) = rest.split_once(':').ok_or_else(refused)?;
                let pair = |part: &str| {
                    let (from, to) = part.split_once('/').ok_or_else(refused)?;
                    Ok((from.to_string(), to.to_string()))
                };
                let pairs = list.split(',').map(pair).collect::<Result<_, DataError>>()?;
                Ok(Self::Asymmetric { rate: rate(first)?, pairs })
            }
            "matrix" => Ok(Self::Matrix(rest.into())),
            "annotators" => Ok(Self::Annotators(rest.into())),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for LabelNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform(rate) => write!(f, "uniform:{rate}"),
            Self::Pair(rate) => write!(f, "pair:{rate}"),
            Self::Asymmetric { rate, pairs } => {
                let pairs: Vec<String> = pairs.iter().map(|(from, to)| format!("{from}/{to}")).collect();
                write!(f, "asymmetric:{rate}:{}", pairs.join(","))
            }
            Self::Matrix(path) => write!(f, "matrix:{}", path.display()),
            Self::Annotators(path) => write!(f, "annotators:{}", path.display()),
        }
    }
}

impl Serialize for LabelNoise {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LabelNoise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Targets;

    fn animals() -> ArrayDataset {
        let names = ["cat", "dog", "owl"].map(String::from).to_vec();
        let labels = vec![0, 1, 2, 0, 1, 2];
        ArrayDataset::new((0..6).map(|i| i as f32).collect(), vec![1], Targets::Classes { labels, names }).unwrap()
    }

    #[test]
    fn numbers_have_no_labels_to_change() {
        let targets = Targets::Values { values: vec![0.5, 1.5], names: vec!["price".into()] };
        let data = ArrayDataset::new(vec![0.0, 1.0], vec![1], targets).unwrap();
        let error = LabelNoise::Uniform(0.4).corrupt(&data, 1).unwrap_err().to_string();
        assert!(error.contains("uniform:0.4") && error.contains("the target is a number"), "{error}");
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["uniform:0.4", "pair:1", "asymmetric:0.5:cat/dog,dog/cat", "matrix:m.csv", "annotators:a/b.csv"] {
            let noise: LabelNoise = text.parse().unwrap();
            assert_eq!(noise.to_string(), text);
        }
        for text in [
            "",
            "uniform",
            "uniform:",
            "uniform:x",
            "uniform:1.5",
            "pair:-1",
            "asymmetric:0.1",
            "asymmetric:0.1:a",
            "odd:1",
        ] {
            assert!(text.parse::<LabelNoise>().is_err(), "{text:?} was accepted");
        }
        let error = "uniform:1.5".parse::<LabelNoise>().unwrap_err().to_string();
        assert_eq!(error, "label-noise = 1.5: a rate in [0, 1] is needed");
    }

    #[test]
    fn classes_are_meant_by_name() {
        let noise: LabelNoise = "asymmetric:1:cat/dog".parse().unwrap();
        let (noisy, flipped) = noise.corrupt(&animals().select(&[0, 2, 5]), 1).unwrap();
        assert_eq!((noisy.labels(), flipped), (vec![1, 2, 2], vec![true, false, false]));
        assert_eq!((noisy.row(1), noisy.class_names()), (&[2.0_f32][..], animals().class_names()));
        let error = "asymmetric:1:cat/dig".parse::<LabelNoise>().unwrap().corrupt(&animals(), 1).unwrap_err();
        assert_eq!(error.to_string(), "label-noise = dig: no class has this name; did you mean `dog`?");
        let refused = |text: &str| text.parse::<LabelNoise>().unwrap().corrupt(&animals(), 1).unwrap_err().to_string();
        let error = refused("asymmetric:0.3:cat/dog,cat/owl");
        assert_eq!(
            error,
            "label-noise = cat/owl: `cat` is to become `dog` already, it can stand first in one pair only"
        );
        assert_eq!(refused("asymmetric:0.3:owl/owl"), "label-noise = owl/owl: two different classes are needed");
    }

    #[test]
    fn annotators_are_drawn_and_checked_against_the_labels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("said.csv");
        let corrupt = |text: &str| {
            std::fs::write(&path, text).unwrap();
            LabelNoise::Annotators(path.clone()).corrupt(&animals(), 1).map_err(|error| error.to_string())
        };
        let two =
            "row,label,ann,bob\n0,cat,cat,dog\n1,dog,dog,\n2,owl,,owl\n3,cat,dog,dog\n4,dog,dog,dog\n5,owl,owl,owl\n";
        let (noisy, flipped) = corrupt(two).unwrap();
        assert_eq!(noisy.labels()[1..], [1, 2, 1, 1, 2]);
        assert!(!flipped[1] && flipped[3]);
        let error = corrupt(&two.replace("1,dog,dog", "1,owl,dog")).unwrap_err();
        assert!(error.contains("line 3") && error.contains("`owl`") && error.contains("`dog`"), "{error}");
        let error = corrupt(&two.replace("3,cat,dog,dog", "3,cat,dig,dig")).unwrap_err();
        assert!(error.contains("line 5") && error.contains("`dig`"), "{error}");
        assert!(corrupt("ann\ncat\n").unwrap_err().contains("6 rows"));
        assert!(corrupt(&two.replace("5,owl,owl,owl", "5,owl,,")).unwrap_err().contains("no annotator"));
    }

    #[test]
    fn the_rows_of_annotators_are_counted_and_not_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("said.csv");
        let corrupt = |text: &str| {
            std::fs::write(&path, text).unwrap();
            LabelNoise::Annotators(path.clone()).corrupt(&animals(), 1).map_err(|error| error.to_string())
        };
        let six = "row,ann\n0,cat\n1,dog\n2,owl\n3,cat\n4,dog\n5,owl";
        let (plain, _) = corrupt(six).unwrap();
        let (spaced, _) = corrupt(&format!("{six}\n\n")).unwrap();
        assert_eq!(plain.labels(), spaced.labels());
        assert!(corrupt(&format!("{six}\n6,cat")).unwrap_err().contains("7 rows"));
        let error = corrupt(&six.replace("3,cat\n4,dog", "4,dog\n3,cat")).unwrap_err();
        assert!(error.contains("line 5") && error.contains("row `4`") && error.contains("row 3"), "{error}");
    }

    #[test]
    fn the_table_of_a_corruption_gives_it_back() {
        let names = ["a,b", "say \"c\""].map(String::from).to_vec();
        let labels = vec![0, 1, 0, 1];
        let clean = ArrayDataset::new(vec![0.0; 4], vec![1], Targets::Classes { labels, names }).unwrap();
        let (noisy, flipped) = LabelNoise::Pair(0.5).corrupt(&clean, 2).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, crate::label_noise::table(&clean, &noisy)).unwrap();
        let (again, same) = LabelNoise::Annotators(path).corrupt(&clean, 9).unwrap();
        assert_eq!((again.labels(), same), (noisy.labels(), flipped));
    }

    #[test]
    fn a_matrix_comes_out_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("matrix.csv");
        std::fs::write(&path, "0,1,0\n0,1,0\n0.0,0.0,1.0\n").unwrap();
        let (noisy, _) = LabelNoise::Matrix(path.clone()).corrupt(&animals(), 1).unwrap();
        assert_eq!(noisy.labels(), [1, 1, 2, 1, 1, 2]);
        std::fs::write(&path, "0,x,0\n").unwrap();
        let error = LabelNoise::Matrix(path).corrupt(&animals(), 1).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains('x'), "{error}");
    }
}
