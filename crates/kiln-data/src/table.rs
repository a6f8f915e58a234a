use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::listed;
use crate::{DataError, Numbers, nearest};

/// A table in memory, column after column, as CSV, Parquet and array files give it.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Where it came from: the first file where it was put together from several.
    pub path: PathBuf,
    /// Columns, each with [`rows`](Self::rows) cells.
    pub columns: Vec<Column>,
    /// Number of rows.
    pub rows: usize,
    /// Where the rows stand, by rising first row; the first entry begins with row 0.
    pub(crate) origins: Vec<Origin>,
    /// Names of the columns that were not asked for.
    pub(crate) not_read: Vec<String>,
    /// What the file itself says about its targets, as archives with `x` and `y` do.
    pub(crate) own_targets: Option<OwnTargets>,
    /// Whether the first column has no name, as the row numbers that R and pandas write.
    pub(crate) unnamed_first: bool,
}

/// Rows that follow one another in a file: line after line, or row after row where a file has no lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    pub first_row: usize,
    pub file: Arc<Path>,
    /// Line or row, from 1, of `first_row` in the file.
    pub number: usize,
    pub has_lines: bool,
}

/// The target columns of an archive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnTargets {
    pub columns: Vec<String>,
    /// Whether one whole number a row was stored as such: a class.
    pub are_classes: bool,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Name from the header, or `column1`, `column2`, ...
    pub name: String,
    /// Cells.
    pub cells: Cells,
}

/// The cells of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    /// Numbers; a missing one is NaN.
    Numbers(Numbers),
    /// Text, each cell an index into the sorted `levels`; a missing one is [`MISSING`].
    Text {
        /// Level of each row.
        codes: Vec<u32>,
        /// The different texts, sorted.
        levels: Vec<String>,
    },
}

/// Code of a missing text cell.
pub const MISSING: u32 = u32::MAX;

/// At most this many different texts are kept in a column.
pub const MAX_LEVELS: usize = 1 << 16;

/// Which columns of a file are read; the others may hold anything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Columns<'a> {
    #[default]
    All,
    Except(&'a [String]),
    Only(&'a [String]),
}

impl Columns<'_> {
    pub(crate) fn wants(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Except(names) => names.iter().all(|other| other != name),
            Self::Only(names) => names.iter().any(|other| other == name),
        }
    }
}

impl Table {
    /// A table without columns, of a file that has no lines.
    pub(crate) fn of_rows(path: &Path, rows: usize) -> Self {
        let origin = Origin { first_row: 0, file: path.into(), number: 1, has_lines: false };
        Self {
            path: path.to_owned(),
            columns: Vec::new(),
            rows,
            origins: vec![origin],
            not_read: Vec::new(),
            own_targets: None,
            unnamed_first: false,
        }
    }

    /// The column called `name`.
    ///
    /// # Errors
    /// [`DataError::UnknownColumn`] with the nearest name.
    pub fn column(&self, name: &str) -> Result<&Column, DataError> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| self.unknown(name))
    }

    /// What is said of a column that the file does not have.
    pub(crate) fn unknown(&self, name: &str) -> DataError {
        let names = || self.columns.iter().map(|column| &column.name).chain(&self.not_read).map(String::as_str);
        DataError::UnknownColumn {
            path: self.path.clone(),
            column: name.to_owned(),
            nearest: nearest(name, names()).map(str::to_owned),
            columns: listed(names()),
        }
    }

    /// Whether the file has a column called `name`, read or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.columns.iter().map(|column| &column.name).chain(&self.not_read).any(|other| other == name)
    }

    /// Where a row stands, for messages: its line, or its number where the file has no lines.
    pub fn place(&self, row: usize, column: &str) -> String {
        match self.origin(row) {
            Some(origin) => {
                let unit = if origin.has_lines { "line" } else { "row" };
                format!("{unit} {}, column {column}", origin.number + row - origin.first_row)
            }
            None => format!("row {}, column {column}", row + 1),
        }
    }

    /// The file in which a row stands.
    pub fn file(&self, row: usize) -> &Path {
        self.origin(row).map_or(&self.path, |origin| &origin.file)
    }

    fn origin(&self, row: usize) -> Option<&Origin> {
        let after = self.origins.partition_point(|origin| origin.first_row <= row);
        self.origins.get(after.checked_sub(1)?)
    }

    /// A cell that is not what it should be, with its file, line and column.
    pub(crate) fn malformed(&self, row: usize, column: &str, found: impl Into<String>, expected: &str) -> DataError {
        DataError::malformed(self.file(row), self.place(row, column), found, expected)
    }

    /// Rows of another file with the same columns, in any order.
    pub(crate) fn append(&mut self, mut other: Self) -> Result<(), DataError> {
        let is_new = |column: &&Column| self.columns.iter().all(|known| known.name != column.name);
        if let Some(extra) = other.columns.iter().find(is_new) {
            let found = format!("a column `{}`", extra.name);
            let names = listed(self.columns.iter().map(|column| column.name.as_str()));
            return Err(DataError::malformed(
                other.path,
                "",
                found,
                format!("the columns of the files before: {names}"),
            ));
        }
        for column in &mut self.columns {
            let at = other.columns.iter().position(|candidate| candidate.name == column.name);
            let cells = match at {
                Some(at) => other.columns.swap_remove(at).cells,
                None => return Err(other.unknown(&column.name)),
            };
            column.cells.append(cells);
            if let Cells::Text { levels, .. } = &column.cells
                && levels.len() > MAX_LEVELS
            {
                let found = format!("more than {MAX_LEVELS} different texts, such as `{}`", levels[0]);
                let place = format!("column {}", column.name);
                return Err(DataError::malformed(
                    other.path,
                    place,
                    found,
                    "numbers, or a few categories; --ignore leaves a column out",
                ));
            }
        }
        let rows = self.rows;
        let later = |origin: Origin| Origin { first_row: origin.first_row + rows, ..origin };
        self.origins.extend(other.origins.into_iter().map(later));
        self.rows += other.rows;
        Ok(())
    }

    /// Whether an unnamed first column only counts the rows, from 0 or from 1.
    pub(crate) fn counts_rows(&self) -> bool {
        let counts = |values: &Numbers| {
            let first = values.iter().next().copied().unwrap_or(f32::NAN);
            (first == 0.0 || first == 1.0) && values.iter().enumerate().all(|(row, &value)| value == first + row as f32)
        };
        match self.columns.first() {
            Some(Column { cells: Cells::Numbers(values), .. }) if self.unnamed_first => {
                self.columns.len() > 2 && counts(values)
            }
            _ => false,
        }
    }

    /// Takes the first column out.
    pub(crate) fn drop_first(&mut self) {
        self.unnamed_first = false;
        let dropped = self.columns.remove(0);
        self.not_read.insert(0, dropped.name);
    }
}

impl Cells {
    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Text { codes, .. } => codes.len(),
        }
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cells of a column of numbers.
    pub(crate) fn numbers(&self) -> Option<&Numbers> {
        match self {
            Self::Numbers(values) => Some(values),
            Self::Text { .. } => None,
        }
    }

    /// Text of a cell; `None` where it is missing.
    pub(crate) fn text(&self, row: usize) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Text { codes, levels } => levels.get(codes[row] as usize).map(|level| level.as_str().into()),
            Self::Numbers(values) => (!values[row].is_nan()).then(|| number_text(values[row]).into()),
        }
    }

    /// Text cells with their levels sorted.
    pub(crate) fn sorted_text(mut codes: Vec<u32>, levels: Vec<String>) -> Self {
        let mut order: Vec<usize> = (0..levels.len()).collect();
        order.sort_by(|&a, &b| levels[a].cmp(&levels[b]));
        let mut place = vec![0; levels.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old] = new as u32;
        }
        for code in codes.iter_mut().filter(|code| **code != MISSING) {
            *code = place[*code as usize];
        }
        let mut levels: Vec<Option<String>> = levels.into_iter().map(Some).collect();
        let sorted = order.into_iter().filter_map(|old| levels[old].take()).collect();
        Self::Text { codes, levels: sorted }
    }

    /// Numbers become text where the other file has text.
    fn append(&mut self, other: Self) {
        if let (Self::Numbers(values), Self::Numbers(more)) = (&mut *self, &other) {
            values.append(more);
            return;
        }
        let mut places = std::collections::HashMap::new();
        let (mut codes, mut levels) = (Vec::new(), Vec::new());
        for cells in [&*self, &other] {
            for row in 0..cells.len() {
                let code = cells.text(row).map_or(MISSING, |text| {
                    *places.entry(text.clone().into_owned()).or_insert_with(|| {
                        levels.push(text.into_owned());
                        levels.len() as u32 - 1
                    })
                });
                codes.push(code);
            }
        }
        *self = Self::sorted_text(codes, levels);
    }
}

/// A number as a label: whole numbers without a point.
pub(crate) fn number_text(value: f32) -> String {
    if value.fract() == 0.0 && value.abs() < 1e7 { (value as i64).to_string() } else { value.to_string() }
}

/// Whether a cell (without the blanks around it) stands for a missing value.
pub(crate) fn is_missing(cell: &[u8]) -> bool {
    matches!(cell, b"" | b"?" | b"NA" | b"N/A" | b"n/a" | b"NaN" | b"nan" | b"null" | b"NULL" | b"None")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, numbers: &[f32]) -> Table {
        let mut table = Table::of_rows(Path::new(name), numbers.len());
        for column in ["a", "b", "c"] {
            table.columns.push(Column { name: column.into(), cells: Cells::Numbers(numbers.to_vec().into()) });
        }
        table
    }

    #[test]
    fn rows_of_a_second_file_keep_their_place() {
        let mut first = table("one", &[1.0, 2.0]);
        first.append(table("two", &[3.0])).unwrap();
        assert_eq!((first.rows, first.file(2), first.place(2, "a")), (3, Path::new("two"), "row 1, column a".into()));
        let mut text = table("text", &[7.0]);
        text.columns[1].cells = Cells::Text { codes: vec![0], levels: vec!["x".into()] };
        first.append(text).unwrap();
        let shown: Vec<_> = (0..4).filter_map(|row| first.columns[1].cells.text(row)).collect();
        assert_eq!(shown, ["1", "2", "3", "x"]);
        let mut fewer = table("fewer", &[1.0]);
        fewer.columns.pop();
        assert!(first.append(fewer).unwrap_err().to_string().contains("fewer: no column `c`"));
    }

    #[test]
    fn an_unnamed_column_that_counts_is_taken_out() {
        for (numbers, dropped) in [(vec![0.0, 1.0, 2.0], true), (vec![1.0, 2.0], true), (vec![0.0, 2.0], false)] {
            let mut counted = table("t", &numbers);
            assert!(!counted.counts_rows(), "a column with a name stays");
            counted.unnamed_first = true;
            assert_eq!(counted.counts_rows(), dropped, "{numbers:?}");
        }
    }
}
