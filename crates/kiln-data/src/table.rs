use std::path::PathBuf;

use crate::error::listed;
use crate::{DataError, nearest};

/// A table in memory, column after column, as CSV, Parquet and array files give it.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Where it came from.
    pub path: PathBuf,
    /// Columns, each with [`rows`](Self::rows) cells.
    pub columns: Vec<Column>,
    /// Number of rows.
    pub rows: usize,
    /// Line of the file in which row 0 stands (without blank or broken lines before it); 0 where the file has no
    /// lines.
    pub first_line: usize,
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
    Numbers(Vec<f32>),
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

impl Table {
    /// The column called `name`.
    ///
    /// # Errors
    /// [`DataError::UnknownColumn`] with the nearest name.
    pub fn column(&self, name: &str) -> Result<&Column, DataError> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| {
            let names = || self.columns.iter().map(|column| column.name.as_str());
            DataError::UnknownColumn {
                path: self.path.clone(),
                column: name.to_owned(),
                nearest: nearest(name, names()).map(str::to_owned),
                columns: listed(names()),
            }
        })
    }

    /// Where a row stands, for messages: its line, or its number where the file has no lines.
    pub fn place(&self, row: usize, column: &str) -> String {
        match self.first_line {
            0 => format!("row {}, column {column}", row + 1),
            line => format!("line {}, column {column}", line + row),
        }
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
}

/// Whether a cell (without the blanks around it) stands for a missing value.
pub(crate) fn is_missing(cell: &[u8]) -> bool {
    matches!(cell, b"" | b"?" | b"NA" | b"N/A" | b"n/a" | b"NaN" | b"nan" | b"null" | b"NULL" | b"None")
}
