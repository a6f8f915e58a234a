//! Which files of a folder are for training, validation and testing, by their names.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::error::listed;
use crate::image_folder::file_name;

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Train,
    Validation,
    Test,
}

impl Role {
    /// The part that a name says, as a whole word anywhere in it: `train` or `training`, `val`, `valid`, `validation` or
    /// `dev`, `test` or `testing`, each with or without a number behind it; `data_batch` of CIFAR; `t10k` and its like.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        if name.contains("data_batch") {
            return Some(Self::Train);
        }
        words(&name).find_map(Self::of_word)
    }

    fn of_word(word: &str) -> Option<Self> {
        let starts_with_digit = |rest: &str| rest.is_empty() || rest.starts_with(|next: char| next.is_ascii_digit());
        let is = |names: &[&str]| names.iter().any(|name| word.strip_prefix(name).is_some_and(starts_with_digit));
        let thousands = word.strip_prefix('t').and_then(|rest| rest.strip_suffix('k'));
        if is(&["train", "training"]) {
            Some(Self::Train)
        } else if is(&["val", "valid", "validation", "dev"]) {
            Some(Self::Validation)
        } else if is(&["test", "testing"]) || thousands.is_some_and(|number| number.parse::<u32>().is_ok()) {
            Some(Self::Test)
        } else {
            None
        }
    }
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// The words of a name that tell neither the part nor the number of a piece of it: pieces of one part have the same.
fn set_of(name: &str) -> Vec<String> {
    let name = name.to_lowercase();
    let is_number = |word: &str| word.strip_suffix('k').unwrap_or(word).bytes().all(|byte| byte.is_ascii_digit());
    let is_letter = |word: &str| word.len() == 1 && !matches!(word, "x" | "y");
    let tells = |word: &&str| Role::of_word(word).is_none() && !is_number(word) && !is_letter(word) && *word != "gz";
    words(&name).filter(tells).map(str::to_owned).collect()
}

/// Files of each part, in the order in which they are joined.
#[derive(Debug, Default)]
pub(crate) struct ByRole {
    pub train: Vec<PathBuf>,
    pub validation: Vec<PathBuf>,
    pub test: Vec<PathBuf>,
    /// Files that name no part, beside files that do.
    pub left_out: Vec<PathBuf>,
}

/// Sorts files or folders by the part that `name` gives them; a single one without a part is for training.
///
/// # Errors
/// Several without a part where none is for training, or several for one part that are no pieces of one set: which of
/// them is meant cannot be known.
pub(crate) fn by_role(
    folder: &Path,
    mut paths: Vec<PathBuf>,
    name: impl Fn(&Path) -> String,
) -> Result<ByRole, DataError> {
    // A file that lies there packed and unpacked counts once.
    let all = paths.clone();
    let unpacked = |path: &PathBuf| path.extension().is_some_and(|end| end == "gz").then(|| path.with_extension(""));
    paths.retain(|path| unpacked(path).is_none_or(|plain| !all.contains(&plain)));
    paths.sort_by(|a, b| natural_order(&name(a), &name(b)).then_with(|| a.cmp(b)));
    let several = |what: &str, paths: &[PathBuf]| {
        let names: Vec<String> = paths.iter().map(|path| file_name(path)).collect();
        let found = format!("{} files {what}: {}", names.len(), listed(names.iter().map(String::as_str)));
        let expected = "one file, or names with the word train, validation or test and otherwise alike but for numbers";
        DataError::malformed(folder, "", found, expected)
    };
    let mut sorted = ByRole::default();
    for path in paths {
        match Role::of(&name(&path)) {
            Some(Role::Train) => sorted.train.push(path),
            Some(Role::Validation) => sorted.validation.push(path),
            Some(Role::Test) => sorted.test.push(path),
            None => sorted.left_out.push(path),
        }
    }
    if sorted.train.is_empty() {
        if sorted.left_out.len() > 1 {
            return Err(several("that could be meant", &sorted.left_out));
        }
        sorted.train = std::mem::take(&mut sorted.left_out);
    }
    for (part, paths) in [("training", &sorted.train), ("validation", &sorted.validation), ("test", &sorted.test)] {
        if paths.iter().any(|path| set_of(&name(path)) != set_of(&name(&paths[0]))) {
            return Err(several(&format!("of different sets for the {part} rows"), paths));
        }
    }
    Ok(sorted)
}

/// Text by letters, numbers in it by their value: `train-2` comes before `train-10`.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (left, right) = match (a.first(), b.first()) {
            (None, _) | (_, None) => return a.len().cmp(&b.len()),
            (Some(left), Some(right)) => (left, right),
        };
        if left.is_ascii_digit() && right.is_ascii_digit() {
            let (number, rest) = split_number(a);
            let (other, other_rest) = split_number(b);
            match number.len().cmp(&other.len()).then_with(|| number.cmp(other)) {
                Ordering::Equal => (a, b) = (rest, other_rest),
                unequal => return unequal,
            }
        } else if left == right {
            (a, b) = (&a[1..], &b[1..]);
        } else {
            return left.cmp(right);
        }
    }
}

/// The digits in front, without leading zeros, and what follows them.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let zeros = text[..end].iter().position(|&byte| byte != b'0').unwrap_or(end);
    (&text[zeros..end], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_whole_word() {
        for (name, role) in [
            ("train10k-", Some(Role::Train)),
            ("emnist-letters-train-images-idx3-ubyte", Some(Role::Train)),
            ("emnist-letters-test-images-idx3-ubyte.gz", Some(Role::Test)),
            ("train-00000-of-00002.parquet", Some(Role::Train)),
            ("data_batch_3.bin", Some(Role::Train)),
            ("t10k-images", Some(Role::Test)),
            ("X_val.csv", Some(Role::Validation)),
            ("dev2.csv", Some(Role::Validation)),
            ("testament.csv", None),
            ("trainer.csv", None),
            ("valley.csv", None),
            ("t.csv", None),
        ] {
            assert_eq!(Role::of(name), role, "{name}");
        }
    }

    #[test]
    fn shards_are_joined_by_number_and_a_packed_copy_counts_once() {
        let paths =
            ["train-10.csv", "train-2.csv", "train-2.csv.gz", "test.csv", "notes.csv"].map(PathBuf::from).to_vec();
        let sorted = by_role(Path::new("f"), paths, file_name).unwrap();
        assert_eq!(sorted.train, ["train-2.csv", "train-10.csv"].map(PathBuf::from));
        assert_eq!(sorted.left_out, [PathBuf::from("notes.csv")]);
        let several = by_role(Path::new("f"), ["b.csv", "a.csv"].map(PathBuf::from).to_vec(), file_name).unwrap_err();
        assert!(several.to_string().contains("2 files that could be meant: a.csv, b.csv"), "{several}");
        let sets = ["emnist-letters-train-", "emnist-digits-train-"].map(PathBuf::from).to_vec();
        let error = by_role(Path::new("f"), sets, file_name).unwrap_err().to_string();
        assert!(error.contains("2 files of different sets for the training rows"), "{error}");
    }
}
