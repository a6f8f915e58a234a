use std::path::{Path, PathBuf};

/// Everything that can be wrong with data, each with the place, what was found and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No such data set, file or folder.
    #[error("no data set, file or folder `{name}`{}; `kiln data list` shows the known sets", suggestion(.nearest))]
    UnknownSource {
        /// What was asked for.
        name: String,
        /// The known name nearest to it.
        nearest: Option<String>,
    },
    /// A known data set whose files are not in any data directory.
    #[error("data set `{name}` is not here: {file} was looked for in {searched}; {hint}")]
    NotHere {
        /// The data set.
        name: String,
        /// The first file that is missing.
        file: String,
        /// The directories that were searched.
        searched: String,
        /// How to get it.
        hint: String,
    },
    /// The contents of a file are not what its format says.
    #[error("{}{}: found {found}, expected {expected}", path.display(), at(.place))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in the file, such as `line 3, column age`; empty for the whole file.
        place: String,
        /// What is there.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A column that the table does not have.
    #[error("{}: no column `{column}`{}; the columns are {columns}", path.display(), suggestion(.nearest))]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        column: String,
        /// The column nearest to it.
        nearest: Option<String>,
        /// All columns (the first ones where there are many).
        columns: String,
    },
    /// A label that the training rows do not have.
    #[error(
        "{}{}: label `{label}` is not in the training set{}; its labels are {known}",
        path.display(), at(.place), suggestion(.nearest)
    )]
    UnknownLabel {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: String,
        /// The label.
        label: String,
        /// The known label nearest to it.
        nearest: Option<String>,
        /// The labels of the training set (the first ones where there are many).
        known: String,
    },
    /// A value that is infinite or not a number where a number is needed.
    #[error(
        "{}row {row}, feature {feature}: {value} is not a finite number; remove the row or fill the value in",
        in_file(.path)
    )]
    NonFinite {
        /// The file; empty where the values did not come out of one.
        path: PathBuf,
        /// Row, counted from 1.
        row: usize,
        /// Name or number of the feature.
        feature: String,
        /// The value.
        value: f32,
    },
    /// Shapes or lengths that do not belong together.
    #[error("{what}: {found}, expected {expected}")]
    Shape {
        /// Which array.
        what: String,
        /// Its shape or length.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A split without any row.
    #[error("the {split} split is empty: {rows} rows in all, {detail}")]
    EmptySplit {
        /// `training`, `validation` or `test`.
        split: &'static str,
        /// Rows before splitting.
        rows: usize,
        /// The fraction asked for, or the file that is empty.
        detail: String,
    },
    /// A classification set with a single class.
    #[error("{source_name}: every training row has the class `{class}`; at least two classes are needed")]
    OneClass {
        /// The data set or file.
        source_name: String,
        /// The only class.
        class: String,
    },
    /// A number to predict that is the same in every training row.
    #[error("{source_name}: every training row has {column} = {value}; there is nothing to learn from it")]
    OneValue {
        /// The data set or file.
        source_name: String,
        /// Column of the target.
        column: String,
        /// The only value.
        value: f32,
    },
    /// An option outside its range.
    #[error("{option} = {value}: {allowed}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A download that did not work.
    #[error(
        "cannot fetch `{name}` from the Hugging Face hub ({repository}/{file}): {reason}. Without a network, copy \
         the files of the set into {destination} by hand"
    )]
    Fetch {
        /// The data set.
        name: String,
        /// Repository on the hub.
        repository: String,
        /// File in the repository.
        file: String,
        /// What went wrong.
        reason: String,
        /// Where the files would go.
        destination: String,
    },
    /// A data set that cannot be downloaded because no place for it is known.
    #[error("`{name}` has no known place on the Hugging Face hub; {hint}")]
    NoHubLocation {
        /// The data set.
        name: String,
        /// Where a person gets it.
        hint: String,
    },
    /// A downloaded file that is not the one that was promised.
    #[error("{}: sha256 is {found}, expected {expected}; the file was not kept", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Its checksum.
        found: String,
        /// The right one.
        expected: String,
    },
}

impl DataError {
    /// Whether the user asked for something that does not exist or is not allowed, as opposed to a failure or a damaged
    /// file.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::UnknownSource { .. } | Self::UnknownColumn { .. } | Self::InvalidOption { .. })
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn malformed(
        path: impl Into<PathBuf>,
        place: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Malformed { path: path.into(), place: place.into(), found: found.into(), expected: expected.into() }
    }

    /// The same failure with the file in which the values stand.
    pub(crate) fn in_file(self, file: &Path) -> Self {
        match self {
            Self::NonFinite { path, row, feature, value } if path.as_os_str().is_empty() => {
                Self::NonFinite { path: file.to_owned(), row, feature, value }
            }
            other => other,
        }
    }

    pub(crate) fn shape(what: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Shape { what: what.into(), found: found.into(), expected: expected.into() }
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

fn at(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(", {place}") }
}

fn in_file(path: &Path) -> String {
    if path.as_os_str().is_empty() { String::new() } else { format!("{}, ", path.display()) }
}

/// The first names of a list, for a message.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let first: Vec<&str> = names.by_ref().take(12).collect();
    let more = names.count();
    let text = first.join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}

/// A value of a file as a message may show it: short and on one line.
pub(crate) fn shown(value: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(value).chars().take(40).flat_map(char::escape_default).collect();
    format!("`{text}`")
}
