//! What the first lines of a delimited file say about the others: separator, header, kinds of the columns.

use std::path::Path;

use crate::DataError;
use crate::delimited::{Corrections, DelimitedOptions};
use crate::delimited_block::{Kind, Obstacle, Records, comma_number, number};
use crate::error::shown;
use crate::table::{Columns, is_missing};

/// Rows by which header and kinds of columns are decided; a column that turns out to hold text later is read again.
const SAMPLE: usize = 1000;

/// How the rows of a file are parsed.
pub(crate) struct Layout {
    pub names: Vec<String>,
    pub kinds: Vec<Kind>,
    pub delimiter: u8,
    /// Lines before the first row.
    pub header_lines: usize,
    /// Whether the first column has no name of its own.
    pub unnamed_first: bool,
}

impl Layout {
    /// The layout of a file that begins with `block`, and the bytes before the first row. `Err(Obstacle)` where the first
    /// line cannot be taken apart.
    pub(crate) fn of(
        path: &Path,
        block: &[u8],
        options: DelimitedOptions,
        wanted: Columns<'_>,
        corrections: &Corrections,
    ) -> Result<Result<(Self, usize), DataError>, Obstacle> {
        let delimiter = options.delimiter.unwrap_or_else(|| detect_delimiter(path, block));
        let mut records = Records::new(block, delimiter);
        let mut first: Vec<Vec<u8>> = Vec::new();
        match records.next(|_, cell| first.push(cell.trim_ascii().to_vec())) {
            None => return Ok(Err(DataError::malformed(path, "", "an empty file", "a table"))),
            Some(visited) => visited?,
        };
        let after_first = (records.consumed(), records.line());
        let mut seen = vec![Seen::default(); first.len()];
        for _ in 0..SAMPLE {
            let visited = records.next(|column, cell| {
                if let Some(seen) = seen.get_mut(column) {
                    seen.add(&cell);
                }
            });
            if !matches!(visited, Some(Ok(_))) {
                break;
            }
        }
        let header = options.header.unwrap_or_else(|| is_header(&first, &seen, delimiter, wanted));
        let unnamed_first = !header || first[0].is_empty() || first[0] == b"Unnamed: 0";
        let names = if header {
            match header_names(path, &first) {
                Ok(names) => names,
                Err(error) => return Ok(Err(error)),
            }
        } else {
            first.iter().zip(&mut seen).for_each(|(cell, seen)| seen.add(cell));
            (1..=first.len()).map(column_name).collect()
        };
        let kind = |(column, seen): (usize, &Seen)| match corrections.get(&column) {
            _ if !wanted.wants(&names[column]) => Kind::Skipped,
            Some(&kind) => kind,
            None => seen.kind(delimiter),
        };
        let kinds = seen.iter().enumerate().map(kind).collect();
        let (skipped, header_lines) = if header { after_first } else { (0, 0) };
        Ok(Ok((Self { names, kinds, delimiter, header_lines, unnamed_first }, skipped)))
    }
}

/// What the cells of a column below the first line look like.
#[derive(Clone, Default)]
struct Seen {
    present: bool,
    not_number: bool,
    not_comma_number: bool,
}

impl Seen {
    fn add(&mut self, cell: &[u8]) {
        self.present |= !is_missing(cell.trim_ascii());
        self.not_number |= number(cell).is_none();
        self.not_comma_number |= comma_number(cell).is_none();
    }

    fn kind(&self, delimiter: u8) -> Kind {
        if !self.not_number {
            Kind::Number
        } else if delimiter != b',' && !self.not_comma_number {
            Kind::CommaNumber
        } else {
            Kind::Text
        }
    }

    fn is_of_numbers(&self, delimiter: u8) -> bool {
        self.present && self.kind(delimiter) != Kind::Text
    }
}

/// Whether the first line names the columns.
fn is_header(first: &[Vec<u8>], seen: &[Seen], delimiter: u8, wanted: Columns<'_>) -> bool {
    if let Columns::Only(names) = wanted {
        let has = |name: &String| first.iter().any(|cell| cell == name.as_bytes());
        if names.iter().any(has) {
            return true;
        }
        if names.iter().all(|name| is_column_name(name)) {
            return false;
        }
    }
    let is_text = |cell: &Vec<u8>| number(cell).is_none() && (delimiter == b',' || comma_number(cell).is_none());
    let no_number = first.iter().all(is_text) || (first.len() > 1 && first[1..].iter().all(is_text));
    let text_above_numbers =
        || first.iter().zip(seen).any(|(cell, seen)| is_text(cell) && seen.is_of_numbers(delimiter));
    // What pandas writes above columns without names: nothing above the row numbers, then 0, 1, 2, ...
    let counted = || {
        let numbered = first[1..].iter().zip(0_usize..).take_while(|(cell, at)| **cell == at.to_string().as_bytes());
        let count = numbered.count();
        first[0].is_empty() && seen[0].present && count > 0 && first[1 + count..].iter().all(is_text)
    };
    no_number || text_above_numbers() || counted()
}

/// Name of a column without one; columns are counted from 1.
fn column_name(column: usize) -> String {
    format!("column{column}")
}

fn is_column_name(name: &str) -> bool {
    name.strip_prefix("column").is_some_and(|number| number.parse::<usize>().is_ok())
}

fn detect_delimiter(path: &Path, block: &[u8]) -> u8 {
    let name = path.to_string_lossy().to_lowercase();
    if name.trim_end_matches(".gz").ends_with(".tsv") {
        return b'\t';
    }
    let line = block.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|&&byte| byte == delimiter).count();
    let likeliest = [b'\t', b','].into_iter().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',');
    // Commas between semicolons are decimal commas, or stand in some lines only.
    let decimal = |cell: &[u8]| cell.contains(&b',') && comma_number(cell).is_some();
    let decimal_commas = || line.split(|&byte| byte == b';').any(decimal) || !all_lines_agree(block, likeliest);
    let semicolon = count(b';') >= count(likeliest) || (all_lines_agree(block, b';') && decimal_commas());
    if count(b';') > 0 && semicolon { b';' } else { likeliest }
}

/// Whether the first lines have the same number of a separator.
fn all_lines_agree(block: &[u8], delimiter: u8) -> bool {
    let lines = block.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).take(20);
    let mut counts = lines.map(|line| line.iter().filter(|&&byte| byte == delimiter).count());
    let first = counts.next();
    counts.all(|count| Some(count) == first)
}

fn header_names(path: &Path, cells: &[Vec<u8>]) -> Result<Vec<String>, DataError> {
    let mut names: Vec<String> = Vec::with_capacity(cells.len());
    for (column, cell) in cells.iter().enumerate() {
        let place = || format!("line 1, column {}", column + 1);
        let name = std::str::from_utf8(cell)
            .map_err(|_| DataError::malformed(path, place(), shown(cell), "a name in UTF-8"))?;
        // Row names that R and pandas write have no heading.
        names.push(if name.is_empty() { column_name(column + 1) } else { name.to_owned() });
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(DataError::malformed(path, "line 1", format!("two columns `{}`", pair[0]), "different names"))
        }
        None => Ok(names),
    }
}
