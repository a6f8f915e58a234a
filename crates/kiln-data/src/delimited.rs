//! CSV, TSV and other delimited text, read in one pass: blocks of whole lines go to all cores, and only the numbers
//! stay in memory.

use std::io::Read;
use std::path::Path;

use rayon::prelude::*;

use crate::delimited_block::{Block, BlockColumn, Kind, Obstacle, Records, number, parse};
use crate::error::shown;
use crate::table::{Cells, Column, MAX_LEVELS, MISSING, Table};
use crate::{DataError, file_bytes};

/// How a delimited file is read; what is `None` is detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DelimitedOptions {
    /// Separator; detected among comma, tab and semicolon.
    pub delimiter: Option<u8>,
    /// Whether the first line names the columns; detected: it does where no cell of it is a number.
    pub header: Option<bool>,
}

/// Bytes of a block that one core parses at a time.
const BLOCK: usize = 1 << 20;
/// Rows of the first block by which the kinds of columns are decided; a column that turns out to hold text later is
/// read again as text.
const SAMPLE: usize = 1000;

/// Reads a file (gzipped or not) into columns of numbers and text.
///
/// A column is one of numbers where every cell that is not missing (empty, `?`, `NA`, `NaN`, `null`, ...) is one.
///
/// # Errors
/// [`DataError::Io`], or [`DataError::Malformed`] with line and column for rows of different lengths, infinite
/// numbers, an open quote, text that is not UTF-8, a table without rows, a damaged gzip file.
pub fn read(path: &Path, options: DelimitedOptions) -> Result<Table, DataError> {
    // Columns that were taken for numbers and hold text further down: the file is then read again.
    let mut texts: Vec<usize> = Vec::new();
    loop {
        match Reader::open(path, options)?.read(&mut texts)? {
            Some(table) => return Ok(table),
            None => continue,
        }
    }
}

struct Reader<'p> {
    path: &'p Path,
    source: Box<dyn Read>,
    /// Size on disk where that is the size of the text.
    size: Option<u64>,
    options: DelimitedOptions,
    /// Read but not yet parsed.
    pending: Vec<u8>,
    total: usize,
    ended: bool,
}

struct Layout {
    names: Vec<String>,
    kinds: Vec<Kind>,
    delimiter: u8,
    /// Lines before the first row.
    header_lines: usize,
}

impl<'p> Reader<'p> {
    fn open(path: &'p Path, options: DelimitedOptions) -> Result<Self, DataError> {
        let (source, size, zipped) = file_bytes::reader(path)?;
        let size = (!zipped).then_some(size);
        Ok(Self { path, source, size, options, pending: Vec::new(), total: 0, ended: false })
    }

    /// The table, or `None` where columns were added to `texts` and the file has to be read again.
    fn read(mut self, texts: &mut Vec<usize>) -> Result<Option<Table>, DataError> {
        let mut block = self.block()?;
        if block.starts_with(b"\xef\xbb\xbf") {
            block.drain(..3);
        }
        let (layout, skipped) = self.layout(&block, texts)?;
        block.drain(..skipped);
        let mut columns: Vec<Cells> = layout.kinds.iter().map(|&kind| Cells::empty(kind)).collect();
        let mut levels: Vec<Levels> = layout.kinds.iter().map(|_| Levels::default()).collect();
        let (mut rows, mut line) = (0, layout.header_lines);
        let mut reserved = false;
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
            let bytes: usize = blocks.iter().map(Vec::len).sum();
            for block in parsed {
                match block {
                    Ok(block) => {
                        rows += block.rows;
                        line += block.lines;
                        self.append(block, &mut columns, &mut levels, &layout)?;
                    }
                    Err(Obstacle::Text(found)) => {
                        texts.extend(found.keys());
                        return Ok(None);
                    }
                    Err(obstacle) => return Err(self.refuse(obstacle, line, &layout)),
                }
            }
            if !reserved && let Some(size) = self.size {
                let estimate = (rows as f64 * (size as f64 / bytes.max(1) as f64) * 1.02) as usize;
                columns.iter_mut().for_each(|column| column.reserve(estimate.saturating_sub(rows)));
                reserved = true;
            }
        }
        if rows == 0 {
            return Err(DataError::malformed(self.path, "", "no rows", "at least one row below the header"));
        }
        let columns = layout.names.into_iter().zip(columns).zip(levels).map(|((name, cells), levels)| {
            let cells = match cells {
                Cells::Text { codes, .. } => Cells::sorted_text(codes, levels.names),
                numbers => numbers,
            };
            Column { name, cells }
        });
        let first_line = layout.header_lines + 1;
        Ok(Some(Table { path: self.path.to_owned(), columns: columns.collect(), rows, first_line }))
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
            if let Some(end) = last_record_end(&self.pending) {
                let rest = self.pending[end..].to_vec();
                self.pending.truncate(end);
                return Ok(std::mem::replace(&mut self.pending, rest));
            }
            wanted = self.pending.len() + BLOCK;
        }
    }

    fn layout(&self, block: &[u8], texts: &[usize]) -> Result<(Layout, usize), DataError> {
        let delimiter = self.options.delimiter.unwrap_or_else(|| detect_delimiter(self.path, block));
        let mut records = Records::new(block, delimiter);
        let mut first: Vec<Vec<u8>> = Vec::new();
        match records.next(|_, cell| first.push(cell.trim_ascii().to_vec())) {
            None => return Err(DataError::malformed(self.path, "", "an empty file", "a table")),
            Some(Err(obstacle)) => return Err(self.refuse(obstacle, 0, &Layout::nameless(delimiter))),
            Some(Ok(_)) => {}
        }
        let after_first = (records.consumed(), records.line());
        let numeric = |cell: &[u8]| number(cell).is_some();
        let header = self.options.header.unwrap_or_else(|| {
            first.iter().all(|cell| !numeric(cell)) || (first.len() > 1 && first[1..].iter().all(|cell| !numeric(cell)))
        });
        let names = if header {
            header_names(self.path, &first)?
        } else {
            (1..=first.len()).map(|column| format!("column{column}")).collect()
        };
        let mut seen_text = vec![false; names.len()];
        if !header {
            first.iter().zip(&mut seen_text).for_each(|(cell, text)| *text |= !numeric(cell));
        }
        for _ in 0..SAMPLE {
            let visited = records.next(|column, cell| {
                if let Some(text) = seen_text.get_mut(column) {
                    *text |= !numeric(&cell);
                }
            });
            if !matches!(visited, Some(Ok(_))) {
                break;
            }
        }
        texts.iter().for_each(|&column| seen_text[column] = true);
        let kinds = seen_text.into_iter().map(|text| if text { Kind::Text } else { Kind::Number }).collect();
        let (skipped, header_lines) = if header { after_first } else { (0, 0) };
        Ok((Layout { names, kinds, delimiter, header_lines }, skipped))
    }

    fn append(
        &self,
        block: Block,
        columns: &mut [Cells],
        levels: &mut [Levels],
        layout: &Layout,
    ) -> Result<(), DataError> {
        for (at, column) in block.columns.into_iter().enumerate() {
            match (column, &mut columns[at]) {
                (BlockColumn::Numbers(values), Cells::Numbers(all)) => all.extend_from_slice(&values),
                (BlockColumn::Text { codes, levels: names }, Cells::Text { codes: all, .. }) => {
                    let places: Vec<u32> = names.into_iter().map(|name| levels[at].code(name)).collect();
                    if levels[at].names.len() > MAX_LEVELS {
                        let first = levels[at].names.first().map_or("", String::as_str);
                        let found = format!("more than {MAX_LEVELS} different texts, such as `{first}`");
                        let place = format!("column {}", layout.names[at]);
                        return Err(DataError::malformed(self.path, place, found, "numbers, or a few categories"));
                    }
                    all.extend(
                        codes.into_iter().map(|code| if code == MISSING { code } else { places[code as usize] }),
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn refuse(&self, obstacle: Obstacle, lines_before: usize, layout: &Layout) -> DataError {
        let name = |column: usize| layout.names.get(column).cloned().unwrap_or_else(|| (column + 1).to_string());
        match obstacle {
            Obstacle::Ragged { line, cells } => DataError::malformed(
                self.path,
                format!("line {}", lines_before + line + 1),
                format!("{cells} cells"),
                format!("{} as in the first line", layout.names.len()),
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

impl Layout {
    fn nameless(delimiter: u8) -> Self {
        Self { names: Vec::new(), kinds: Vec::new(), delimiter, header_lines: 0 }
    }
}

/// Different texts of a column, numbered in the order in which they came.
#[derive(Default)]
struct Levels {
    names: Vec<String>,
    codes: std::collections::HashMap<String, u32>,
}

impl Levels {
    fn code(&mut self, name: String) -> u32 {
        if let Some(&code) = self.codes.get(&name) {
            return code;
        }
        let code = self.names.len() as u32;
        self.names.push(name.clone());
        self.codes.insert(name, code);
        code
    }
}

impl Cells {
    fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Number => Self::Numbers(Vec::new()),
            Kind::Text => Self::Text { codes: Vec::new(), levels: Vec::new() },
        }
    }

    fn reserve(&mut self, more: usize) {
        match self {
            Self::Numbers(values) => values.reserve_exact(more),
            Self::Text { codes, .. } => codes.reserve_exact(more),
        }
    }
}

/// The end of the last line that does not end inside quotes.
fn last_record_end(bytes: &[u8]) -> Option<usize> {
    if !bytes.contains(&b'"') {
        return bytes.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
    }
    let (mut end, mut inside) = (None, false);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => inside = !inside,
            b'\n' if !inside => end = Some(at + 1),
            _ => {}
        }
    }
    end
}

fn detect_delimiter(path: &Path, block: &[u8]) -> u8 {
    let name = path.to_string_lossy().to_lowercase();
    if name.trim_end_matches(".gz").ends_with(".tsv") {
        return b'\t';
    }
    let line = block.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|&&byte| byte == delimiter).count();
    [b';', b'\t', b','].into_iter().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

fn header_names(path: &Path, cells: &[Vec<u8>]) -> Result<Vec<String>, DataError> {
    let mut names: Vec<String> = Vec::with_capacity(cells.len());
    for (column, cell) in cells.iter().enumerate() {
        let place = || format!("line 1, column {}", column + 1);
        let name = std::str::from_utf8(cell)
            .map_err(|_| DataError::malformed(path, place(), shown(cell), "a name in UTF-8"))?;
        // Row names that R and pandas write have no heading.
        names.push(if name.is_empty() { format!("column{}", column + 1) } else { name.to_owned() });
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
