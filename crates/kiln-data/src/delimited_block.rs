//! One block of whole lines of a delimited file, parsed into columns.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::table::{MAX_LEVELS, MISSING, is_missing};

/// What a column was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
}

/// The rows of one block.
pub(crate) struct Block {
    pub columns: Vec<BlockColumn>,
    pub rows: usize,
    /// Line ends in the block.
    pub lines: usize,
}

pub(crate) enum BlockColumn {
    Numbers(Vec<f32>),
    Text { codes: Vec<u32>, levels: Vec<String> },
}

/// Why a block could not be parsed; lines are counted from the start of the block, from 0.
pub(crate) enum Obstacle {
    /// Columns taken for numbers that hold text, with the first text and its line.
    Text(BTreeMap<usize, (usize, String)>),
    /// A row with another number of cells.
    Ragged { line: usize, cells: usize },
    /// A cell that is wrong in any column, with what would be right.
    Cell { line: usize, column: usize, cell: Vec<u8>, expected: &'static str },
}

/// Splits one line or quoted record after the other into cells.
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    delimiter: u8,
    line: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        Self { bytes, at: 0, delimiter, line: 0 }
    }

    /// Line on which the next record begins, from 0; the number of lines at the end.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// Bytes consumed so far.
    pub(crate) fn consumed(&self) -> usize {
        self.at
    }

    /// Hands the cells of the next record to `visit`, in order; `None` at the end, else the number of cells.
    ///
    /// Blank lines are skipped. `Err` where a quoted cell has no end or text follows its closing quote.
    pub(crate) fn next(&mut self, mut visit: impl FnMut(usize, Cow<'a, [u8]>)) -> Option<Result<usize, Obstacle>> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' => self.line += 1,
                b'\r' => {}
                _ => break,
            }
            self.at += 1;
        }
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.line;
        let mut column = 0;
        loop {
            let cell = if self.bytes.get(self.at) == Some(&b'"') {
                match self.quoted(start, column) {
                    Ok(cell) => cell,
                    Err(obstacle) => return Some(Err(obstacle)),
                }
            } else {
                let rest = &self.bytes[self.at..];
                let delimiter = self.delimiter;
                let length = rest.iter().position(|&b| b == delimiter || b == b'\n').unwrap_or(rest.len());
                self.at += length;
                Cow::Borrowed(&rest[..length])
            };
            visit(column, cell);
            column += 1;
            match self.bytes.get(self.at) {
                Some(&byte) if byte == self.delimiter => self.at += 1,
                Some(_) => {
                    self.at += 1;
                    self.line += 1;
                    return Some(Ok(column));
                }
                None => return Some(Ok(column)),
            }
        }
    }

    fn quoted(&mut self, line: usize, column: usize) -> Result<Cow<'a, [u8]>, Obstacle> {
        let start = self.at + 1;
        let mut at = start;
        let mut doubled = false;
        loop {
            match self.bytes.get(at) {
                Some(b'"') if self.bytes.get(at + 1) == Some(&b'"') => {
                    doubled = true;
                    at += 2;
                }
                Some(b'"') => break,
                Some(b'\n') => {
                    self.line += 1;
                    at += 1;
                }
                Some(_) => at += 1,
                None => {
                    let cell = self.bytes[self.at..].to_vec();
                    return Err(Obstacle::Cell { line, column, cell, expected: "a closing quote" });
                }
            }
        }
        let inside = &self.bytes[start..at];
        self.at = at + 1;
        while matches!(self.bytes.get(self.at), Some(b'\r' | b' ')) && self.delimiter != b' ' {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(&byte) if byte != self.delimiter && byte != b'\n' => {
                let cell = self.bytes[start - 1..self.at + 1].to_vec();
                Err(Obstacle::Cell { line, column, cell, expected: "a separator after the closing quote" })
            }
            _ if doubled => {
                let mut single = Vec::with_capacity(inside.len());
                let mut bytes = inside.iter();
                while let Some(&byte) = bytes.next() {
                    single.push(byte);
                    if byte == b'"' {
                        bytes.next();
                    }
                }
                Ok(Cow::Owned(single))
            }
            _ => Ok(Cow::Borrowed(inside)),
        }
    }
}

/// Parses whole lines by the kinds of their columns.
pub(crate) fn parse(bytes: &[u8], delimiter: u8, kinds: &[Kind]) -> Result<Block, Obstacle> {
    // A rough count of the rows saves most of the growing.
    let expected_rows =
        bytes.iter().take(4096).filter(|&&byte| byte == b'\n').count().max(1) * (bytes.len() / 4096 + 1);
    let mut columns: Vec<Growing> = kinds.iter().map(|&kind| Growing::new(kind, expected_rows)).collect();
    let mut records = Records::new(bytes, delimiter);
    let mut texts = BTreeMap::new();
    let mut rows = 0;
    loop {
        let line = records.line();
        let mut wrong = None;
        let visited = records.next(|at, cell| {
            if let Some(column) = columns.get_mut(at) {
                match column.push(&cell) {
                    Ok(()) => {}
                    Err(Refused::Text) => {
                        texts.entry(at).or_insert_with(|| (line, String::from_utf8_lossy(&cell).into_owned()));
                    }
                    Err(Refused::Cell(expected)) => {
                        wrong.get_or_insert_with(|| (at, cell.into_owned(), expected));
                    }
                }
            }
        });
        match visited {
            None => break,
            Some(Err(obstacle)) => return Err(obstacle),
            Some(Ok(cells)) if cells != kinds.len() => {
                // Blank lines before the record moved the counter on.
                let line = records.line().saturating_sub(1).max(line);
                return Err(Obstacle::Ragged { line, cells });
            }
            Some(Ok(_)) => {}
        }
        if let Some((column, cell, expected)) = wrong {
            return Err(Obstacle::Cell { line, column, cell, expected });
        }
        rows += 1;
    }
    if !texts.is_empty() {
        return Err(Obstacle::Text(texts));
    }
    let columns = columns.into_iter().map(Growing::finish).collect();
    Ok(Block { columns, rows, lines: records.line() })
}

enum Growing {
    Numbers(Vec<f32>),
    Text { codes: Vec<u32>, levels: HashMap<String, u32> },
}

enum Refused {
    Text,
    Cell(&'static str),
}

impl Growing {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Number => Self::Numbers(Vec::with_capacity(rows)),
            Kind::Text => Self::Text { codes: Vec::with_capacity(rows), levels: HashMap::new() },
        }
    }

    #[inline]
    fn push(&mut self, cell: &[u8]) -> Result<(), Refused> {
        match self {
            Self::Numbers(values) => match number(cell) {
                Some(value) if value.is_infinite() => {
                    Err(Refused::Cell("a finite number (or an empty cell for a missing one)"))
                }
                Some(value) => {
                    values.push(value);
                    Ok(())
                }
                None => Err(Refused::Text),
            },
            Self::Text { codes, levels } => {
                let cell = cell.trim_ascii();
                if is_missing(cell) {
                    codes.push(MISSING);
                    return Ok(());
                }
                let text = std::str::from_utf8(cell).map_err(|_| Refused::Cell("text in UTF-8"))?;
                let code = match levels.get(text) {
                    Some(&code) => code,
                    None if levels.len() >= MAX_LEVELS => {
                        return Err(Refused::Cell("numbers, or at most 65536 different texts"));
                    }
                    None => {
                        let code = levels.len() as u32;
                        levels.insert(text.to_owned(), code);
                        code
                    }
                };
                codes.push(code);
                Ok(())
            }
        }
    }

    fn finish(self) -> BlockColumn {
        match self {
            Self::Numbers(values) => BlockColumn::Numbers(values),
            Self::Text { codes, levels } => {
                let mut names = vec![String::new(); levels.len()];
                for (level, code) in levels {
                    names[code as usize] = level;
                }
                BlockColumn::Text { codes, levels: names }
            }
        }
    }
}

/// The number in a cell, NaN for a missing one, infinite where it is too large or said to be; `None` for text.
#[inline]
pub(crate) fn number(cell: &[u8]) -> Option<f32> {
    if let Ok(value) = fast_float2::parse::<f32, _>(cell)
        && !value.is_nan()
    {
        return Some(value);
    }
    let cell = cell.trim_ascii();
    if is_missing(cell) {
        return Some(f32::NAN);
    }
    fast_float2::parse::<f32, _>(cell).ok()
}
