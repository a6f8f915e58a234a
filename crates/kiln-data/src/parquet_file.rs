//! Parquet files: flat tables, and the tables of encoded pictures with a label that the Hugging Face hub uses.

use std::fs::File;
use std::path::Path;

use parquet::basic::ConvertedType;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};

use crate::DataError;
use crate::contents::{How, Labels};
use crate::image_folder::{PictureShape, Pictures, decode, stack};
use crate::table::{Cells, Column, Columns, MAX_LEVELS, MISSING, Table};

/// Columns in which the files of the hub keep pictures, and those in which they keep classes, the likeliest first.
const PICTURES: [&str; 2] = ["image.bytes", "img.bytes"];
const LABELS: [&str; 3] = ["label", "fine_label", "coarse_label"];

/// What a Parquet file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum ParquetData {
    /// Columns of numbers and text.
    Table(Table),
    /// Encoded pictures (a column `image.bytes` or `img.bytes`), with whole-number labels where there are some.
    Pictures(Pictures),
}

/// Reads a Parquet file.
///
/// # Errors
/// [`DataError::Io`], or [`DataError::Malformed`] for a damaged or truncated file and for columns that are nested or
/// of a type that is not read.
pub fn read(path: &Path) -> Result<ParquetData, DataError> {
    read_columns(path, &ANYTHING)
}

/// As [`read`] for what is asked for; what the other columns hold does not matter.
pub(crate) fn read_columns(path: &Path, how: &How<'_>) -> Result<ParquetData, DataError> {
    let file = File::open(path).map_err(|source| DataError::io(path, source))?;
    read_as(path, file, how)
}

const ANYTHING: How<'static> = How {
    header: None,
    columns: Columns::All,
    picture: PictureShape { size: None, channels: None },
    classes: &[],
    labels: Labels::IfThere,
    arrays: None,
    is_mnist: false,
};

/// Reads Parquet from memory or a file; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn read_from<R: ChunkReader + 'static>(path: &Path, source: R) -> Result<ParquetData, DataError> {
    read_as(path, source, &ANYTHING)
}

fn read_as<R: ChunkReader + 'static>(path: &Path, source: R, how: &How<'_>) -> Result<ParquetData, DataError> {
    let damaged = |error: ParquetError| {
        DataError::malformed(path, "", format!("a damaged or truncated file ({error})"), "a whole Parquet file")
    };
    let reader = SerializedFileReader::new(source).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let mut columns: Vec<Growing> = Vec::new();
    let names: Vec<String> = schema.columns().iter().map(|leaf| leaf.path().string()).collect();
    let are_pictures = how.arrays != Some(false) && PICTURES.iter().any(|name| names.iter().any(|have| have == name));
    for (leaf, name) in schema.columns().iter().zip(names) {
        // A nested column is meant by its own name too.
        let outer = name.split('.').next().unwrap_or_default();
        let wanted = match how.columns {
            _ if are_pictures => PICTURES.iter().chain(&LABELS).any(|part| *part == name),
            // The row numbers that pandas stores.
            _ if name.starts_with("__index_level_") => false,
            Columns::Only(_) => how.columns.wants(&name),
            _ => how.columns.wants(&name) && how.columns.wants(outer),
        };
        if wanted && leaf.max_rep_level() > 0 {
            let expected =
                format!("numbers, text or truth values in a flat column; leave it out with --ignore {outer}");
            return Err(DataError::malformed(path, format!("column {name}"), "a list or map", expected));
        }
        let text = matches!(leaf.converted_type(), ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON);
        columns.push(Growing { name, text, levels_to_be_present: leaf.max_def_level(), wanted, cells: Raw::None });
    }
    let mut rows = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let group_rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        for (at, column) in columns.iter_mut().enumerate().filter(|(_, column)| column.wanted) {
            let reader = group.get_column_reader(at).map_err(damaged)?;
            let read = column.read(reader, group_rows).map_err(damaged)?;
            if read != group_rows {
                let found = format!("{read} cells in a group of {group_rows} rows");
                return Err(DataError::malformed(path, format!("column {}", column.name), found, "as many as rows"));
            }
        }
        rows += group_rows;
    }
    if rows == 0 {
        return Err(DataError::malformed(path, "", "no rows", "at least one row"));
    }
    finish(path, columns, rows, are_pictures, how)
}

struct Growing {
    name: String,
    text: bool,
    levels_to_be_present: i16,
    wanted: bool,
    cells: Raw,
}

enum Raw {
    None,
    Numbers(Vec<f32>),
    Bytes(Vec<Option<ByteArray>>),
}

impl Growing {
    /// Reads the cells of one row group; the number of cells.
    fn read(&mut self, reader: ColumnReader, rows: usize) -> Result<usize, ParquetError> {
        macro_rules! numbers {
            ($reader:expr, $cast:expr) => {{
                let (levels, values) = cells($reader, rows)?;
                if matches!(self.cells, Raw::None) {
                    self.cells = Raw::Numbers(Vec::with_capacity(values.len()));
                }
                let present = self.levels_to_be_present;
                let count = place(levels, values, present, |value| {
                    if let Raw::Numbers(all) = &mut self.cells {
                        all.push(value.map_or(f32::NAN, $cast));
                    }
                });
                Ok(count)
            }};
        }
        match reader {
            ColumnReader::BoolColumnReader(reader) => numbers!(reader, |value: bool| f32::from(u8::from(value))),
            ColumnReader::Int32ColumnReader(reader) => numbers!(reader, |value: i32| value as f32),
            ColumnReader::Int64ColumnReader(reader) => numbers!(reader, |value: i64| value as f32),
            ColumnReader::FloatColumnReader(reader) => numbers!(reader, |value: f32| value),
            ColumnReader::DoubleColumnReader(reader) => numbers!(reader, |value: f64| value as f32),
            ColumnReader::ByteArrayColumnReader(reader) => {
                let (levels, values) = cells(reader, rows)?;
                if matches!(self.cells, Raw::None) {
                    self.cells = Raw::Bytes(Vec::new());
                }
                Ok(place(levels, values, self.levels_to_be_present, |value| {
                    if let Raw::Bytes(all) = &mut self.cells {
                        all.push(value);
                    }
                }))
            }
            _ => Err(ParquetError::General(format!(
                "column {} has a type that is not read; numbers, text and truth values are",
                self.name
            ))),
        }
    }
}

/// Definition levels (empty for a column that is always present) and the values that are present.
fn cells<T: parquet::data_type::DataType>(
    mut reader: parquet::column::reader::ColumnReaderImpl<T>,
    rows: usize,
) -> Result<(Vec<i16>, Vec<T::T>), ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut done = 0;
    while done < rows {
        let (records, _, _) = reader.read_records(rows - done, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        done += records;
    }
    Ok((levels, values))
}

fn place<V>(levels: Vec<i16>, values: Vec<V>, present: i16, mut push: impl FnMut(Option<V>)) -> usize {
    if present == 0 || levels.is_empty() {
        let count = values.len();
        values.into_iter().for_each(|value| push(Some(value)));
        return count;
    }
    let count = levels.len();
    let mut values = values.into_iter();
    for level in levels {
        push(if level == present { values.next() } else { None });
    }
    count
}

fn finish(
    path: &Path,
    columns: Vec<Growing>,
    rows: usize,
    are_pictures: bool,
    how: &How<'_>,
) -> Result<ParquetData, DataError> {
    let named = |name: &&str| columns.iter().find(|column| column.name == **name).map(|column| &column.cells);
    if are_pictures && let Some(Raw::Bytes(encoded)) = PICTURES.iter().find_map(named) {
        let labels = match LABELS.iter().find_map(named) {
            _ if how.labels == Labels::Unused => None,
            Some(Raw::Numbers(labels)) => Some(labels.as_slice()),
            _ if how.labels == Labels::Needed => {
                let expected = format!("whole numbers in a column {}", LABELS.join(" or "));
                return Err(DataError::malformed(path, "", "pictures without labels", expected));
            }
            _ => None,
        };
        return pictures(path, encoded, labels, how.picture).map(ParquetData::Pictures);
    }
    let mut table = Table::of_rows(path, rows);
    for column in columns {
        if !column.wanted {
            table.not_read.push(column.name);
            continue;
        }
        let cells = match column.cells {
            Raw::Numbers(values) => {
                if let Some(row) = values.iter().position(|value| value.is_infinite()) {
                    let expected = "a finite number, or no value";
                    return Err(DataError::malformed(
                        path,
                        table.place(row, &column.name),
                        "an infinite number",
                        expected,
                    ));
                }
                Cells::Numbers(values.into())
            }
            Raw::Bytes(values) => text_cells(&table, &column.name, &values, column.text)?,
            Raw::None => Cells::Numbers(vec![f32::NAN; rows].into()),
        };
        table.columns.push(Column { name: column.name, cells });
    }
    Ok(ParquetData::Table(table))
}

fn text_cells(table: &Table, name: &str, values: &[Option<ByteArray>], text: bool) -> Result<Cells, DataError> {
    let mut places = std::collections::HashMap::new();
    let (mut codes, mut levels) = (Vec::with_capacity(values.len()), Vec::new());
    for (row, value) in values.iter().enumerate() {
        let Some(value) = value else {
            codes.push(MISSING);
            continue;
        };
        let malformed =
            |found: String, expected: &str| DataError::malformed(&table.path, table.place(row, name), found, expected);
        let kind = if text { "text" } else { "bytes" };
        let cell = std::str::from_utf8(value.data())
            .map_err(|_| malformed(format!("{kind} that is not UTF-8"), "numbers or text"))?;
        let code = match places.get(cell) {
            Some(&code) => code,
            None if levels.len() >= MAX_LEVELS => {
                return Err(malformed(format!("more than {MAX_LEVELS} different texts"), "a few categories"));
            }
            None => {
                let code = levels.len() as u32;
                levels.push(cell.to_owned());
                places.insert(cell, code);
                code
            }
        };
        codes.push(code);
    }
    Ok(Cells::sorted_text(codes, levels))
}

fn pictures(
    path: &Path,
    encoded: &[Option<ByteArray>],
    labels: Option<&[f32]>,
    shape: PictureShape,
) -> Result<Pictures, DataError> {
    use rayon::prelude::*;
    let name = |row: usize| path.join(format!("row {}", row + 1));
    let decoded: Vec<_> = encoded
        .par_iter()
        .enumerate()
        .map(|(row, bytes)| decode(&name(row), bytes.as_ref().map_or(&[], |bytes| bytes.data()), shape.size))
        .collect();
    let mut classes = Vec::new();
    for (row, &label) in labels.unwrap_or_default().iter().enumerate() {
        if label.fract() != 0.0 || !(0.0..65536.0).contains(&label) {
            return Err(DataError::malformed(name(row), "label", label.to_string(), "a whole number from 0"));
        }
        classes.push(label as u32);
    }
    // The first failure in the file's order, whichever came first in time.
    let decoded = decoded.into_iter().collect::<Result<Vec<_>, DataError>>()?;
    let array = stack(&decoded, name, shape)?;
    let most = classes.iter().max().map_or(0, |&label| label + 1);
    Ok(Pictures { array, labels: classes, names: (0..most).map(|label| label.to_string()).collect() })
}
