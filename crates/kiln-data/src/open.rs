use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalogue::{Entry, Kind};
use crate::contents::{self, Contents, How, Labels};
use crate::error::listed;
use crate::image_folder::PictureShape;
use crate::source::Source;
use crate::split::{self, Held};
use crate::table::Columns;
use crate::{
    ArrayDataset, BagOptions, DataDir, DataError, Preprocessing, SplitBags, SplitOptions, TargetEncoding, digits,
    open_arrays, open_bags, open_table,
};

/// Training, validation and test rows of one data set.
#[derive(Debug, Clone)]
pub struct Splits {
    /// Name of the set, or the path that was opened.
    pub name: String,
    /// Rows to learn from.
    pub train: ArrayDataset,
    /// Rows to choose settings by; empty where [`SplitOptions::validation`] is 0.
    pub validation: ArrayDataset,
    /// Rows to report on.
    pub test: ArrayDataset,
    /// What was fitted on the training rows.
    pub preprocessing: Preprocessing,
    /// Which rows are in one bag, where the targets are known in the mean over bags only; each part then has whole bags.
    pub bags: Option<SplitBags>,
    /// What a person should know about the reading: files and columns that were left out, in whole sentences.
    pub notes: Vec<String>,
}

/// What to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// A class.
    Classify,
    /// One or several numbers.
    Regress,
}

/// How a set is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenOptions {
    /// Target column of a table, or several for regression, separated by commas; `None` is the set's own, or the
    /// last column.
    pub target: Option<String>,
    /// Class or number; `None` decides by the target: text, or whole numbers with at most 20 different values, are
    /// classes.
    pub task: Option<Task>,
    /// Whether number columns of tables get mean 0 and standard deviation 1 over the training rows.
    pub standardise: bool,
    /// Fractions and seed of the splits.
    pub split: SplitOptions,
    /// At most this many training rows, chosen at random (by class, in proportion).
    pub max_train: Option<usize>,
    /// Height and width to which picture files are resized; `None` needs pictures of one size.
    pub image_size: Option<(usize, usize)>,
    /// Columns of a table that are no features; what they hold does not matter.
    pub ignore: Vec<String>,
    /// Whether the first line of a delimited file names the columns; `None` decides by the lines.
    pub header: Option<bool>,
    /// Rows of a table that are in one bag, and what their targets are; bags are never cut, and their column is no feature.
    pub bags: Option<BagOptions>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            target: None,
            task: None,
            standardise: true,
            split: SplitOptions::default(),
            max_train: None,
            image_size: None,
            ignore: Vec::new(),
            header: None,
            bags: None,
        }
    }
}

/// Opens a known set by its name, or the user's own file or folder.
///
/// A known name wins over a file of the same name in the current folder; write `./name` for the file. Read are: CSV,
/// TSV and Parquet tables; a CSV of `path,label`; `.npy`, `.npz` and `.safetensors` arrays; IDX files and CIFAR
/// records; folders with IDX files, CIFAR records, Parquet files, a subfolder of pictures a class, tables, or `train`,
/// `validation` and `test` parts of any of these. Files whose names say the same part are read one after the other.
///
/// # Errors
/// Any [`DataError`]: the file is missing or malformed, a name is unknown, a split would be empty, ...
pub fn open(source: &str, dir: &DataDir, options: &OpenOptions) -> Result<Splits, DataError> {
    options.check()?;
    let source = Source::find(source, dir)?;
    let options = options.of_set(source.entry)?;
    let Some(path) = &source.path else {
        open_bags::refuse(&options, &source.name)?;
        let (data, preprocessing) = digits::read()?;
        return divide(&source.name, data, None, None, preprocessing, &options);
    };
    let how = How {
        header: options.header,
        columns: Columns::Except(&options.ignore),
        picture: PictureShape { size: options.image_size, channels: None },
        classes: source.classes(),
        labels: Labels::Needed,
        arrays: None,
        is_mnist: source.is_mnist(),
    };
    let mut notes = Vec::new();
    match contents::read(path, &how, &mut notes)? {
        Contents::Table(parts) => open_table::open(&source.name, path, parts, notes, &options),
        Contents::Arrays(parts) => {
            open_bags::refuse(&options, &source.name)?;
            open_arrays::open(&source.name, path, parts, notes, &options)
        }
    }
}

impl OpenOptions {
    /// Refuses values that no set can be read with.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        self.split.check()?;
        match self.image_size {
            Some((height, width)) if !(1..=1 << 14).contains(&height) || !(1..=1 << 14).contains(&width) => {
                let (value, allowed) =
                    (format!("{height}x{width}"), "sides of 1 to 16384 pixels are needed".to_owned());
                Err(DataError::InvalidOption { option: "--image-size", value, allowed })
            }
            _ => Ok(()),
        }
    }

    /// What a known set says by itself, such as its target columns, where the user says nothing.
    pub(crate) fn of_set(&self, entry: Option<&Entry>) -> Result<Self, DataError> {
        let mut options = self.clone();
        match entry.map(|entry| (entry.name, entry.kind)) {
            Some((_, Kind::Table { target, chronological })) => {
                options.target = options.target.or_else(|| target.map(str::to_owned));
                options.split.chronological |= chronological;
            }
            Some((name, Kind::Text)) => {
                let allowed = "running text is for language models; rows and classes are needed here".to_owned();
                return Err(DataError::InvalidOption { option: "data", value: name.to_owned(), allowed });
            }
            _ => {}
        }
        let targets = options.target.iter().flat_map(|names| names.split(',')).map(str::trim);
        if let Some(ignored) = targets.into_iter().find(|target| options.ignore.iter().any(|name| name == target)) {
            let allowed = "it is the column to predict; name another one with --target".to_owned();
            return Err(DataError::InvalidOption { option: "--ignore", value: ignored.to_owned(), allowed });
        }
        open_bags::check_options(&options)?;
        Ok(options)
    }
}

impl Entry {
    /// The table's file or the pictures' folder.
    ///
    /// # Errors
    /// [`DataError::NotHere`] with what to do.
    pub fn locate(&self, dir: &DataDir) -> Result<PathBuf, DataError> {
        let first = self.files.first().map(|file| Path::new(file.path));
        let found = match (&self.kind, first.and_then(Path::parent)) {
            (Kind::Images { .. }, Some(folder)) => dir.get(folder),
            (Kind::Images { .. }, None) => dir.get(format!("images/{}", self.name)),
            _ => first.and_then(|file| dir.get(file)),
        };
        found.ok_or_else(|| DataError::NotHere {
            name: self.name.to_owned(),
            file: self.files.first().map_or_else(|| format!("images/{}", self.name), |file| file.path.to_owned()),
            searched: dir.shown(),
            hint: match self.hub {
                Some(_) => format!("`kiln data fetch {}` downloads it", self.name),
                None => self.hint.to_owned(),
            },
        })
    }
}

/// Cuts the splits that a set does not bring itself.
pub(crate) fn divide(
    name: &str,
    data: ArrayDataset,
    validation: Option<ArrayDataset>,
    test: Option<ArrayDataset>,
    preprocessing: Preprocessing,
    options: &OpenOptions,
) -> Result<Splits, DataError> {
    let labels =
        data.is_classification().then(|| data.labels().into_iter().map(|label| label as u32).collect::<Vec<u32>>());
    let cut = cut(labels.as_deref(), data.len(), validation.is_some(), test.is_some(), options)?;
    let mut splits = Splits {
        name: name.to_owned(),
        train: data.select(&cut.train),
        validation: validation.unwrap_or_else(|| data.select(&cut.validation)),
        test: test.unwrap_or_else(|| data.select(&cut.test)),
        preprocessing,
        bags: None,
        notes: Vec::new(),
    };
    splits.preprocessing.targets.fit(&splits.train.targets(), &(0..splits.train.len()).collect::<Vec<_>>());
    check(&splits, options)?;
    Ok(splits)
}

/// Row numbers of the splits.
pub(crate) struct Cut {
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
}

/// Divides the rows of a set; `labels` are the classes, for classification.
pub(crate) fn cut(
    labels: Option<&[u32]>,
    rows: usize,
    has_validation: bool,
    has_test: bool,
    options: &OpenOptions,
) -> Result<Cut, DataError> {
    let hold_back = |rows: &[usize], fraction: f64, step: u64| {
        let seed = options.split.seed.wrapping_mul(3).wrapping_add(step);
        let Held { kept, held } = match labels {
            _ if options.split.chronological && step < 2 => split::last(rows.len(), fraction),
            Some(labels) => split::stratified(&rows.iter().map(|&row| labels[row]).collect::<Vec<_>>(), fraction, seed),
            None => split::random(rows.len(), fraction, seed),
        };
        let take = |chosen: Vec<usize>| chosen.into_iter().map(|at| rows[at]).collect::<Vec<usize>>();
        (take(kept), take(held))
    };
    let (train, test) = {
        let all: Vec<usize> = (0..rows).collect();
        if has_test { (all, Vec::new()) } else { hold_back(&all, options.split.test, 0) }
    };
    let (mut train, validation) =
        if has_validation { (train, Vec::new()) } else { hold_back(&train, options.split.validation, 1) };
    if let Some(most) = options.max_train.filter(|&most| most < train.len()) {
        train = hold_back(&train, 1.0 - most as f64 / train.len() as f64, 2).0;
        if train.len() > most {
            let mut chosen = split::permutation(train.len(), options.split.seed);
            chosen.truncate(most);
            chosen.sort_unstable();
            train = chosen.into_iter().map(|at| train[at]).collect();
        }
    }
    let empty = |split: &'static str, fraction: f64| DataError::EmptySplit {
        split,
        rows,
        detail: format!("of which a fraction of {fraction} was asked for"),
    };
    if train.is_empty() {
        return Err(DataError::EmptySplit { split: "training", rows, detail: "none of them left for training".into() });
    }
    if !has_test && test.is_empty() && options.split.test > 0.0 {
        return Err(empty("test", options.split.test));
    }
    if !has_validation && validation.is_empty() && options.split.validation > 0.0 {
        return Err(empty("validation", options.split.validation));
    }
    Ok(Cut { train, validation, test })
}

/// Refuses parts of different shapes, one class or value only, and classes that only the other parts have.
pub(crate) fn check(splits: &Splits, options: &OpenOptions) -> Result<(), DataError> {
    let train = &splits.train;
    for (name, part) in [("validation", &splits.validation), ("test", &splits.test)] {
        if part.input_shape() != train.input_shape() {
            let expected = format!("{:?} as in the training rows", train.input_shape());
            return Err(DataError::shape(format!("{name} rows"), format!("{:?}", part.input_shape()), expected));
        }
    }
    if !train.is_classification() {
        // Class proportions are numbers too, and one class may have the same everywhere.
        let are_values = matches!(splits.preprocessing.targets, TargetEncoding::Values { .. });
        return if are_values { check_values(splits) } else { Ok(()) };
    }
    let counts = train.class_counts();
    if counts.iter().filter(|&&count| count > 0).count() < 2 {
        let class = counts.iter().position(|&count| count > 0).unwrap_or(0);
        return Err(DataError::OneClass {
            source_name: splits.name.clone(),
            class: train.class_names()[class].clone(),
        });
    }
    if options.max_train.is_some() {
        return Ok(());
    }
    for part in [&splits.validation, &splits.test] {
        for row in 0..part.len() {
            if counts[part.label(row)] == 0 {
                let names = || train.class_names().iter().map(String::as_str);
                let known = || names().zip(&counts).filter(|(_, count)| **count > 0).map(|(name, _)| name);
                let label = part.class_names()[part.label(row)].clone();
                return Err(DataError::UnknownLabel {
                    path: splits.name.clone().into(),
                    place: String::new(),
                    nearest: None,
                    known: listed(known()),
                    label,
                });
            }
        }
    }
    Ok(())
}

/// Refuses numbers to predict that are the same in every training row.
fn check_values(splits: &Splits) -> Result<(), DataError> {
    let train = &splits.train;
    let first = train.values(0);
    let varies = |target: usize| (0..train.len()).any(|row| train.values(row)[target] != first[target]);
    match (0..first.len()).find(|&target| !varies(target)) {
        None => Ok(()),
        Some(target) => Err(DataError::OneValue {
            source_name: splits.name.clone(),
            column: train.class_names()[target].clone(),
            value: first[target],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_scaled_divided_by_class_and_the_same_every_time() {
        let dir = DataDir::find(None);
        let splits = open("digits", &dir, &OpenOptions::default()).unwrap();
        assert_eq!(splits.train.len() + splits.validation.len() + splits.test.len(), 1797);
        assert!((357..=362).contains(&splits.test.len()), "{}", splits.test.len());
        assert!(splits.test.class_counts().iter().all(|&count| (34..=38).contains(&count)));
        let largest = splits.train.row(0).iter().copied().fold(0.0, f32::max);
        assert!(largest > 0.5 && largest <= 1.0);
        let again = open("digits", &dir, &OpenOptions::default()).unwrap();
        assert_eq!(splits.test.row(17), again.test.row(17));
    }

    #[test]
    fn the_number_of_training_rows_can_be_bounded() {
        let options = OpenOptions { max_train: Some(100), ..OpenOptions::default() };
        let splits = open("digits", &DataDir::find(None), &options).unwrap();
        assert!((95..=100).contains(&splits.train.len()));
        assert!(splits.train.class_counts().iter().all(|&count| count >= 9));
    }

    #[test]
    fn a_fraction_that_leaves_nothing_is_refused() {
        let mut options = OpenOptions::default();
        options.split.test = 1.5;
        let message = open("digits", &DataDir::find(None), &options).unwrap_err().to_string();
        assert!(message.starts_with("split.test = 1.5"), "{message}");
        options.split.test = 1e-6;
        assert!(matches!(
            open("digits", &DataDir::find(None), &options),
            Err(DataError::EmptySplit { split: "test", .. })
        ));
    }
}
