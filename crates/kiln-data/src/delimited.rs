//! CSV, TSV and other delimited text, read in one pass: blocks of whole lines go to all cores, and only the numbers
//! stay in memory.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

use rayon::prelude::*;

use crate::delimited_block::{Block, Kind, Obstacle, comma_number, parse};
use crate::delimited_layout::Layout;
use crate::error::shown;
use crate::table::{Cells, Column, Columns, MAX_LEVELS, MISSING, Origin, Table};
use crate::{DataError, Numbers, file_bytes};

/// How a delimited file is read; what is `None` is detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DelimitedOptions {
    /// Separator; detected among comma, tab and semicolon.
    pub delimiter: Option<u8>,
    /// Whether the first line names the columns; detected: it does where no cell of it is a number, where it has text
    /// above a column of numbers, or where it counts 0, 1, 2, ... behind an empty first cell, as pandas writes it.
    pub header: Option<bool>,
}

/// Bytes of a block that one core parses at a time.
const BLOCK: usize = 1 << 20;

/// Reads a file (gzipped or not) into columns of numbers and text.
///
/// A column is one of numbers where every cell that is not missing (empty, `?`, `NA`, `NaN`, `null`, ...) is one. Where
/// something other than a comma separates the cells, numbers may have a decimal comma.
///
/// # Errors
/// [`DataError::Io`], or [`DataError::Malformed`] with line and column for rows of different lengths, infinite
/// numbers, an open quote, text that is not UTF-8, a table without rows, a damaged gzip file.
pub fn read(path: &Path, options: DelimitedOptions) -> Result<Table, DataError> {
    read_columns(path, options, Columns::All)
}

/// As [`read`], and what the other columns hold does not matter.
pub(crate) fn read_columns(path: &Path, options: DelimitedOptions, wanted: Columns<'_>) -> Result<Table, DataError> {
    // Columns whose first cells look like something else than those further down: the file is then read again.
    let mut corrections = Corrections::new();
    loop {
        match Reader::open(path, options, wanted)?.read(&mut corrections)? {
            Some(table) => return Ok(table),
            None => continue,
        }
    }
}

/// Kinds of columns that the first rows do not show.
pub(crate) type Corrections = BTreeMap<usize, Kind>;

struct Reader<'p> {
    path: &'p Path,
    source: Box<dyn Read>,
    /// Size on disk where that is the size of the text.
    size: Option<u64>,
    options: DelimitedOptions,
    wanted: Columns<'p>,
    /// Read but not yet parsed.
    pending: Vec<u8>,
    total: usize,
    ended: bool,
}

impl<'p> Reader<'p> {
    fn open(path: &'p Path, options: DelimitedOptions, wanted: Columns<'p>) -> Result<Self, DataError> {
        let (source, size, zipped) = file_bytes::reader(path)?;
        let size = (!zipped).then_some(size);
        Ok(Self { path, source, size, options, wanted, pending: Vec::new(), total: 0, ended: false })
    }

    /// The table, or `None` where a column turned out to be of another kind and the file has to be read again.
    fn read(mut self, corrections: &mut Corrections) -> Result<Option<Table>, DataError> {
        let mut block = self.block()?;
        if block.starts_with(b"\xef\xbb\xbf") {
            block.drain(..3);
        }
        let (layout, skipped) = Layout::of(self.path, &block, self.options, self.wanted, corrections)
            .map_err(|obstacle| self.refuse(obstacle, 0, &[]))??;
        block.drain(..skipped);
        let width = layout.kinds.iter().filter(|kind| kind.is_number()).count();
        let mut numbers: Vec<f32> = Vec::new();
        let mut texts: BTreeMap<usize, Texts> = BTreeMap::new();
        let (mut rows, mut line, mut parsed_bytes) = (0, layout.header_lines, 0);
        let mut table = Table { origins: Vec::new(), ..Table::of_rows(self.path, 0) };
        let file: std::sync::Arc<Path> = self.path.into();
        let mut first = Some(block);
        loop {
            let mut blocks: Vec<Vec<u8>> = first.take().into_iter().collect();
            while blocks.len() < rayon::current_num_threads() {
                let block = self.block()?;
                if block.is_empty() {
                    break;
                }
                blocks.push(block);
            }
            if blocks.is_empty() {
                break;
            }
            let parsed: Vec<_> = blocks.par_iter().map(|block| parse(block, layout.delimiter, &layout.kinds)).collect();
            let lengths: Vec<usize> = blocks.iter().map(Vec::len).collect();
            drop(blocks);
            for (block, length) in parsed.into_iter().zip(lengths) {
                match block {
                    Ok(block) => {
                        for &(row, at) in &block.jumps {
                            let (first_row, number) = (rows + row, line + at + 1);
                            let follows = |last: &Origin| last.number + first_row - last.first_row == number;
                            if !table.origins.last().is_some_and(follows) {
                                table.origins.push(Origin { first_row, file: file.clone(), number, has_lines: true });
                            }
                        }
                        rows += block.rows;
                        line += block.lines;
                        parsed_bytes += length;
                        if numbers.capacity() - numbers.len() < block.numbers.len()
                            && let Some(rest) = self.rest(parsed_bytes)
                        {
                            // Room that stays empty is never touched, and so takes no memory.
                            let expected = (rows * width) as f64 * (1.0 + 1.1 * rest);
                            numbers.reserve_exact(expected as usize - numbers.len());
                        }
                        numbers.extend_from_slice(&block.numbers);
                        self.append(block, &mut texts, &layout)?;
                    }
                    Err(Obstacle::Text(found)) => {
                        corrections.extend(found.into_iter().map(|(column, (_, cell))| {
                            let comma = layout.kinds[column] == Kind::Number
                                && layout.delimiter != b','
                                && comma_number(cell.as_bytes()).is_some();
                            (column, if comma { Kind::CommaNumber } else { Kind::Text })
                        }));
                        return Ok(None);
                    }
                    Err(obstacle) => return Err(self.refuse(obstacle, line, &layout.names)),
                }
            }
        }
        if rows == 0 {
            return Err(DataError::malformed(self.path, "", "no rows", "at least one row below the header"));
        }
        table.rows = rows;
        table.unnamed_first = layout.unnamed_first && layout.kinds[0] != Kind::Skipped;
        let mut numbers = Numbers::columns_of(numbers, width);
        for (at, (name, kind)) in layout.names.into_iter().zip(layout.kinds).enumerate() {
            let cells = match kind {
                Kind::Skipped => None,
                Kind::Text => texts.remove(&at).map(|text| Cells::sorted_text(text.codes, text.names)),
                Kind::Number | Kind::CommaNumber => numbers.next().map(Cells::Numbers),
            };
            match cells {
                Some(cells) => table.columns.push(Column { name, cells }),
                None => table.not_read.push(name),
            }
        }
        Ok(Some(table))
    }

    /// How much is left to parse, as a multiple of what is; nothing where the size of the text is not known.
    fn rest(&self, parsed: usize) -> Option<f64> {
        Some(self.size?.saturating_sub(parsed as u64) as f64 / parsed.max(1) as f64)
    }

    /// The next whole lines, about [`BLOCK`] bytes of them; empty at the end.
    fn block(&mut self) -> Result<Vec<u8>, DataError> {
        let mut wanted = BLOCK;
        loop {
            while !self.ended && self.pending.len() < wanted {
                let have = self.pending.len();
                self.pending.resize(wanted.max(have + 1), 0);
                let result = self.source.read(&mut self.pending[have..]);
                let read = match result {
                    Ok(read) => read,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                        self.pending.truncate(have);
                        continue;
                    }
                    Err(error) if self.size.is_none() => {
                        return Err(file_bytes::broken_gzip(self.path, self.total, &error));
                    }
                    Err(error) => return Err(DataError::io(self.path, error)),
                };
                self.pending.truncate(have + read);
                self.total += read;
                self.ended = read == 0;
            }
            if self.ended {
                return Ok(std::mem::take(&mut self.pending));
            }
            if let Some(end) = last_record_end(&self.pending, self.options.delimiter) {
                let rest = self.pending[end..].to_vec();
                self.pending.truncate(end);
                return Ok(std::mem::replace(&mut self.pending, rest));
            }
            wanted = self.pending.len() + BLOCK;
        }
    }

    /// Adds the text of a block.
    fn append(&self, block: Block, texts: &mut BTreeMap<usize, Texts>, layout: &Layout) -> Result<(), DataError> {
        for (at, text) in block.texts {
            let all = texts.entry(at).or_default();
            let places: Vec<u32> = text.levels.into_iter().map(|name| all.code(name)).collect();
            if all.names.len() > MAX_LEVELS {
                let first = all.names.first().map_or("", String::as_str);
                let found = format!("more than {MAX_LEVELS} different texts, such as `{first}`");
                let place = format!("column {}", layout.names[at]);
                let expected = "numbers, or a few categories; --ignore leaves a column out";
                return Err(DataError::malformed(self.path, place, found, expected));
            }
            let code = |code: u32| if code == MISSING { code } else { places[code as usize] };
            all.codes.extend(text.codes.into_iter().map(code));
        }
        Ok(())
    }

    fn refuse(&self, obstacle: Obstacle, lines_before: usize, names: &[String]) -> DataError {
        let name = |column: usize| names.get(column).cloned().unwrap_or_else(|| (column + 1).to_string());
        match obstacle {
            Obstacle::Ragged { line, cells } => DataError::malformed(
                self.path,
                format!("line {}", lines_before + line + 1),
                format!("{cells} cells"),
                format!("{} as in the first line", names.len()),
            ),
            Obstacle::Cell { line, column, cell, expected } => DataError::malformed(
                self.path,
                format!("line {}, column {}", lines_before + line + 1, name(column)),
                shown(&cell),
                expected,
            ),
            Obstacle::Text(found) => {
                let (column, (line, cell)) = found.into_iter().next().unwrap_or_default();
                let place = format!("line {}, column {}", lines_before + line + 1, name(column));
                DataError::malformed(self.path, place, shown(cell.as_bytes()), "a number")
            }
        }
    }
}

/// The cells of a column of text, and its different texts numbered in the order in which they came.
#[derive(Default)]
struct Texts {
    codes: Vec<u32>,
    names: Vec<String>,
    known: HashMap<String, u32>,
}

impl Texts {
    fn code(&mut self, name: String) -> u32 {
        if let Some(&code) = self.known.get(&name) {
            return code;
        }
        let code = self.names.len() as u32;
        self.names.push(name.clone());
        self.known.insert(name, code);
        code
    }
}

/// The end of the last line that does not end inside quotes.
fn last_record_end(bytes: &[u8], delimiter: Option<u8>) -> Option<usize> {
    if !bytes.contains(&b'"') {
        return bytes.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
    }
    // A quote opens a cell at its beginning only: one in the middle, as for inches, is a letter like others.
    let separates = |byte| delimiter.map_or(matches!(byte, b',' | b';' | b'\t'), |delimiter| byte == delimiter);
    let (mut end, mut inside, mut opens) = (None, false, true);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            // Two quotes in a quoted cell are one: the first closes it, the second opens it again.
            b'"' if inside => (inside, opens) = (false, true),
            b'"' if opens => inside = true,
            b'\n' if !inside => (end, opens) = (Some(at + 1), true),
            _ if !inside => opens = separates(byte),
            _ => {}
        }
    }
    end
}
