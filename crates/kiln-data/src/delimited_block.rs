//! One block of whole lines of a delimited file, parsed into columns.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::table::{MAX_LEVELS, MISSING, is_missing};

/// What a column was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    /// Numbers with a decimal comma, in a file that something else separates.
    CommaNumber,
    Text,
    /// A column that nobody asked for.
    Skipped,
}

/// The rows of one block.
pub(crate) struct Block {
    /// Cells of the columns of numbers, row after row.
    pub numbers: Vec<f32>,
    /// The columns of text by their places among all columns.
    pub texts: Vec<(usize, BlockText)>,
    pub rows: usize,
    /// Line ends in the block.
    pub lines: usize,
    /// Rows that do not stand on the line after the row before, the first row among them, with their lines from 0.
    pub jumps: Vec<(usize, usize)>,
}

/// A column of text: levels in the order in which they came.
pub(crate) struct BlockText {
    pub codes: Vec<u32>,
    pub levels: Vec<String>,
}

impl Kind {
    /// Whether the cells become numbers that are kept.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::CommaNumber)
    }
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

    /// Line on which the next record begins (after [`skip_blank`](Self::skip_blank)), from 0; the number of lines at the
    /// end.
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
        self.skip_blank();
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

    /// Goes to the beginning of the next record.
    pub(crate) fn skip_blank(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' => self.line += 1,
                b'\r' => {}
                _ => break,
            }
            self.at += 1;
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
    let width = kinds.iter().filter(|kind| kind.is_number()).count();
    let mut numbers = Vec::with_capacity(expected_rows * width);
    let mut columns: Vec<Growing> = kinds.iter().map(|&kind| Growing::new(kind, expected_rows)).collect();
    let mut records = Records::new(bytes, delimiter);
    let mut texts = BTreeMap::new();
    let mut rows = 0;
    let (mut jumps, mut following) = (Vec::new(), None);
    loop {
        records.skip_blank();
        let line = records.line();
        let mut wrong = None;
        let visited = records.next(|at, cell| {
            if let Some(column) = columns.get_mut(at) {
                match column.push(&cell, &mut numbers) {
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
            Some(Ok(cells)) if cells != kinds.len() => return Err(Obstacle::Ragged { line, cells }),
            Some(Ok(_)) => {}
        }
        if let Some((column, cell, expected)) = wrong {
            return Err(Obstacle::Cell { line, column, cell, expected });
        }
        if following != Some(line) {
            jumps.push((rows, line));
        }
        following = Some(line + 1);
        rows += 1;
    }
    if !texts.is_empty() {
        return Err(Obstacle::Text(texts));
    }
    let texts = columns.into_iter().enumerate().filter_map(|(at, column)| Some((at, column.finish()?))).collect();
    Ok(Block { numbers, texts, rows, lines: records.line(), jumps })
}

/// A column while its block is parsed; its numbers go into the rows that all columns share.
enum Growing {
    Numbers,
    CommaNumbers,
    Text { codes: Vec<u32>, levels: HashMap<String, u32> },
    Skipped,
}

enum Refused {
    Text,
    Cell(&'static str),
}

impl Growing {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Number => Self::Numbers,
            Kind::CommaNumber => Self::CommaNumbers,
            Kind::Text => Self::Text { codes: Vec::with_capacity(rows), levels: HashMap::new() },
            Kind::Skipped => Self::Skipped,
        }
    }

    #[inline]
    fn push(&mut self, cell: &[u8], numbers: &mut Vec<f32>) -> Result<(), Refused> {
        match self {
            Self::Numbers => push_number(numbers, number(cell)),
            Self::CommaNumbers => push_number(numbers, comma_number(cell)),
            Self::Skipped => Ok(()),
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
                        return Err(Refused::Cell(
                            "numbers, or at most 65536 different texts; --ignore leaves a column out",
                        ));
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

    fn finish(self) -> Option<BlockText> {
        let Self::Text { codes, levels } = self else { return None };
        let mut names = vec![String::new(); levels.len()];
        for (level, code) in levels {
            names[code as usize] = level;
        }
        Some(BlockText { codes, levels: names })
    }
}

#[inline]
fn push_number(values: &mut Vec<f32>, number: Option<f32>) -> Result<(), Refused> {
    match number {
        Some(value) if value.is_infinite() => {
            Err(Refused::Cell("a finite number (or an empty cell for a missing one)"))
        }
        Some(value) => {
            values.push(value);
            Ok(())
        }
        None => Err(Refused::Text),
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

/// The number in a cell that has a decimal comma or no fraction, as in `1,5` and `-20`; otherwise as [`number`].
pub(crate) fn comma_number(cell: &[u8]) -> Option<f32> {
    let cell = cell.trim_ascii();
    if is_missing(cell) {
        return Some(f32::NAN);
    }
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let unsigned = cell.strip_prefix(b"-").or_else(|| cell.strip_prefix(b"+")).unwrap_or(cell);
    match unsigned.iter().position(|&byte| byte == b',') {
        None => digits(unsigned).then(|| number(cell)).flatten(),
        Some(at) if digits(&unsigned[..at]) && digits(&unsigned[at + 1..]) => {
            let with_point: Vec<u8> = cell.iter().map(|&byte| if byte == b',' { b'.' } else { byte }).collect();
            number(&with_point)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_comma_stands_between_digits() {
        let read = |cell: &str| comma_number(cell.as_bytes());
        assert_eq!([read("1,5"), read(" -0,25 "), read("+3")], [Some(1.5), Some(-0.25), Some(3.0)]);
        assert!(read("").is_some_and(f32::is_nan));
        for cell in ["1.5", "1,2,3", ",5", "5,", "1.000,5", "x", "1,e5", "inf"] {
            assert_eq!(read(cell), None, "{cell}");
        }
    }

    #[test]
    fn jumps_are_where_lines_do_not_follow_one_another() {
        let block = parse(b"1\n\n2\n\"3\n\"\n4\n", b',', &[Kind::Text]).ok().unwrap();
        assert_eq!((block.rows, block.lines), (4, 6));
        assert_eq!(block.jumps, [(0, 0), (1, 2), (3, 5)]);
    }
}
