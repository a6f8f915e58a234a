//! From the columns of a table to features and targets, by encoders fitted on training rows.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::error::listed;
use crate::open::OpenOptions;
use crate::preprocessing::{ColumnEncoder, InputEncoding, TargetEncoding, means_and_deviations};
use crate::table::{Cells, Column, MISSING, Table, number_text};
use crate::{DataError, Numbers, Targets, Task, nearest};

/// At most this many levels of a feature column become one-hot features.
const MAX_ONE_HOT: usize = 1000;
/// Whole-number targets with at most this many different values are classes unless the user says otherwise.
const MAX_WHOLE_CLASSES: usize = 20;
/// Rows that one thread encodes at a time.
const ROWS_A_CHUNK: usize = 1024;

/// Decides on the kind of the targets and, for classes, their names.
pub(crate) fn fit_targets(table: &Table, columns: &[String], task: Option<Task>) -> Result<TargetEncoding, DataError> {
    for column in columns {
        table.column(column)?;
    }
    let several = || DataError::InvalidOption {
        option: "target",
        value: columns.join(","),
        allowed: "classification needs one target column".into(),
    };
    let [name] = columns else {
        return if task == Some(Task::Classify) { Err(several()) } else { values(table, columns) };
    };
    let column = table.column(name)?;
    match (&column.cells, task) {
        (Cells::Text { levels, .. }, None | Some(Task::Classify)) => classes(name, levels.clone()),
        (Cells::Text { codes, levels }, Some(Task::Regress)) => {
            let row = codes.iter().position(|&code| code != MISSING).unwrap_or(0);
            let found = levels.first().map_or_else(|| "text".to_owned(), |level| format!("`{level}`"));
            Err(table.malformed(row, name, found, "a number, for regression"))
        }
        (Cells::Numbers(_), Some(Task::Regress)) => values(table, columns),
        (Cells::Numbers(values_of), task) => {
            let mut distinct: Vec<f32> = values_of.iter().copied().filter(|value| !value.is_nan()).collect();
            let whole = distinct.iter().all(|value| value.fract() == 0.0 && value.abs() < 1e7);
            distinct.sort_unstable_by(f32::total_cmp);
            distinct.dedup();
            match task {
                Some(_) if !whole || distinct.len() > 1 << 16 => {
                    let found = format!("{} different numbers", distinct.len());
                    let expected = "text or whole numbers for classes; --task regress predicts the number";
                    Err(DataError::malformed(&table.path, format!("column {name}"), found, expected))
                }
                None if !whole || distinct.len() > MAX_WHOLE_CLASSES => values(table, columns),
                _ => classes(name, distinct.into_iter().map(number_text).collect()),
            }
        }
    }
}

fn classes(column: &str, names: Vec<String>) -> Result<TargetEncoding, DataError> {
    Ok(TargetEncoding::Classes { column: Some(column.to_owned()), names })
}

fn values(table: &Table, columns: &[String]) -> Result<TargetEncoding, DataError> {
    for name in columns {
        if let Cells::Text { levels, .. } = &table.column(name)?.cells {
            let found = format!("text such as `{}`", levels.first().map_or("", String::as_str));
            return Err(DataError::malformed(&table.path, format!("column {name}"), found, "numbers, for regression"));
        }
    }
    Ok(TargetEncoding::values(columns.to_vec()))
}

/// Fits encoders of all columns that are not targets on the given rows.
pub(crate) fn fit_inputs(
    table: &Table,
    targets: &TargetEncoding,
    training_rows: &[usize],
    options: &OpenOptions,
) -> Result<InputEncoding, DataError> {
    let is_target = |name: &str| match targets {
        // Class proportions have one column a class.
        TargetEncoding::Classes { column: None, names } => names.iter().any(|column| column == name),
        TargetEncoding::Classes { column, .. } => column.as_deref() == Some(name),
        TargetEncoding::Values { columns, .. } => columns.iter().any(|column| column == name),
        TargetEncoding::Pixels => false,
    };
    let features: Vec<&Column> = table.columns.iter().filter(|column| !is_target(&column.name)).collect();
    if features.is_empty() {
        let found = "no column besides the target";
        return Err(DataError::malformed(&table.path, "", found, "at least one feature column"));
    }
    let numbers: Vec<&Numbers> = features.iter().filter_map(|column| column.cells.numbers()).collect();
    // Columns that lie in the same rows are read together.
    let together = numbers.len().div_ceil(rayon::current_num_threads()).max(1);
    let fit =
        |columns: &[&Numbers]| means_and_deviations(columns.len(), training_rows, |column, row| columns[column][row]);
    let fitted: Vec<Vec<(f32, f32)>> = numbers.par_chunks(together).map(fit).collect();
    let mut fitted = fitted.into_iter().flatten();
    let columns = features.iter().map(|column| match &column.cells {
        Cells::Numbers(_) => {
            let (mean, deviation) = fitted.next().unwrap_or((0.0, 1.0));
            Ok(ColumnEncoder::Number { name: column.name.clone(), mean, deviation, standardise: options.standardise })
        }
        Cells::Text { codes, levels } => fit_text(table, &column.name, (codes, levels), training_rows),
    });
    Ok(InputEncoding::Table { columns: columns.collect::<Result<_, _>>()?, header: options.header })
}

fn fit_text(
    table: &Table,
    name: &str,
    (codes, levels): (&[u32], &[String]),
    rows: &[usize],
) -> Result<ColumnEncoder, DataError> {
    let mut seen = vec![false; levels.len()];
    rows.iter().map(|&row| codes[row]).filter(|&code| code != MISSING).for_each(|code| {
        seen[code as usize] = true;
    });
    let levels: Vec<String> =
        levels.iter().zip(seen).filter(|(_, seen)| *seen).map(|(level, _)| level.clone()).collect();
    if levels.len() > MAX_ONE_HOT {
        let found = format!("{} different texts, such as `{}`", levels.len(), levels[0]);
        let expected = format!("numbers, or at most {MAX_ONE_HOT} categories; leave it out with --ignore {name}");
        return Err(DataError::malformed(&table.path, format!("column {name}"), found, expected));
    }
    // A column whose training rows are all missing carries nothing, but keeps its place.
    let levels = if levels.is_empty() { vec![String::new()] } else { levels };
    Ok(ColumnEncoder::Category { name: name.to_owned(), levels })
}

/// As [`encode_inputs`] of a table that is needed no more: numbers that lie row after row are encoded where they are, so
/// that a large table is in memory once.
pub(crate) fn into_inputs(table: Table, columns: &[ColumnEncoder]) -> Result<(Vec<f32>, Vec<String>), DataError> {
    let Some((rows, features)) = side_by_side(&table, columns)? else {
        return encode_inputs(&table, columns);
    };
    drop(table);
    let (values, stride) = rows.into_rows();
    let names = columns.iter().flat_map(ColumnEncoder::feature_names).collect();
    Ok((encode_in_place(values, stride, &features), names))
}

/// A column that stands for the rows of all features, and each feature's place in a row.
type SharedRows = (Numbers, Vec<(usize, NumberCode)>);

/// The rows that all features share, where all of them are numbers of the same rows, from left to right.
fn side_by_side(table: &Table, columns: &[ColumnEncoder]) -> Result<Option<SharedRows>, DataError> {
    let sources: Vec<Source<'_>> =
        columns.iter().map(|encoder| Source::new(table, encoder)).collect::<Result<_, _>>()?;
    let number = |source: &Source<'_>| match source {
        Source::Number { values, code } => Some(((*values).clone(), *code)),
        _ => None,
    };
    let Some(numbers) = sources.iter().map(number).collect::<Option<Vec<(Numbers, NumberCode)>>>() else {
        return Ok(None);
    };
    if !numbers.windows(2).all(|pair| pair[0].0.is_left_of(&pair[1].0)) {
        return Ok(None);
    }
    let features = numbers.iter().map(|(values, code)| (values.place(), *code)).collect();
    Ok(numbers.into_iter().next().map(|(rows, _)| (rows, features)))
}

/// Rows of `stride` numbers become rows of the features that stand at the given, rising places.
fn encode_in_place(mut values: Vec<f32>, stride: usize, features: &[(usize, NumberCode)]) -> Vec<f32> {
    let (rows, width) = (values.len() / stride, features.len());
    values.par_chunks_mut(ROWS_A_CHUNK * stride).for_each(|chunk| {
        for row in 0..chunk.len() / stride {
            // A feature never stands to the right of its number, so that nothing is overwritten before it is read.
            for (feature, (place, code)) in features.iter().enumerate() {
                chunk[row * width + feature] = code.encode(chunk[row * stride + place]);
            }
        }
    });
    for first in (0..rows).step_by(ROWS_A_CHUNK) {
        let from = first * stride;
        values.copy_within(from..from + ROWS_A_CHUNK.min(rows - first) * width, first * width);
    }
    values.truncate(rows * width);
    values
}

/// Features of all rows, `[rows, features]`, and their names.
pub(crate) fn encode_inputs(table: &Table, columns: &[ColumnEncoder]) -> Result<(Vec<f32>, Vec<String>), DataError> {
    let names: Vec<String> = columns.iter().flat_map(ColumnEncoder::feature_names).collect();
    let width = names.len();
    let sources: Vec<Source<'_>> =
        columns.iter().map(|encoder| Source::new(table, encoder)).collect::<Result<_, _>>()?;
    let total = width.checked_mul(table.rows).filter(|&total| total < isize::MAX as usize / 4).ok_or_else(|| {
        DataError::shape("encoded table", format!("{} x {width}", table.rows), "a table that fits in memory")
    })?;
    let mut inputs = vec![0.0; total];
    inputs.par_chunks_mut(width * ROWS_A_CHUNK).enumerate().for_each(|(chunk, rows)| {
        for (row, features) in rows.chunks_exact_mut(width).enumerate() {
            let row = chunk * ROWS_A_CHUNK + row;
            let mut at = 0;
            for source in &sources {
                at += source.write(row, &mut features[at..]);
            }
        }
    });
    Ok((inputs, names))
}

/// A column with its encoder.
enum Source<'t> {
    Number {
        values: &'t Numbers,
        code: NumberCode,
    },
    /// Feature of each code of the table; `None` for a level that the training rows do not have.
    Category {
        codes: &'t [u32],
        features: Vec<Option<usize>>,
        width: usize,
    },
    /// Feature of each row.
    NumberedCategory {
        features: Vec<Option<usize>>,
        width: usize,
    },
}

/// `(value - shift) / deviation`, or what stands for a missing value.
#[derive(Clone, Copy)]
struct NumberCode {
    shift: f32,
    deviation: f32,
    missing: f32,
}

impl NumberCode {
    fn encode(self, value: f32) -> f32 {
        if value.is_nan() { self.missing } else { (value - self.shift) / self.deviation }
    }
}

/// Labels that are numbers, by their values: `1` is `1.0` and `01`.
struct Numbered(HashMap<u32, usize>);

impl Numbered {
    fn new(labels: &[String]) -> Self {
        let numbers = labels.iter().enumerate().rev().filter_map(|(place, label)| {
            let value = label.parse::<f32>().ok().filter(|value| value.is_finite())?;
            Some((Self::key(value), place))
        });
        Self(numbers.collect())
    }

    fn key(value: f32) -> u32 {
        // Both zeros are one number.
        (value + 0.0).to_bits()
    }

    fn place(&self, value: f32) -> Option<usize> {
        self.0.get(&Self::key(value)).copied()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'t> Source<'t> {
    fn new(table: &'t Table, encoder: &ColumnEncoder) -> Result<Self, DataError> {
        let column = table.column(encoder.name())?;
        match (encoder, &column.cells) {
            (&ColumnEncoder::Number { mean, deviation, standardise, .. }, Cells::Numbers(values)) => {
                let code = if standardise {
                    NumberCode { shift: mean, deviation, missing: 0.0 }
                } else {
                    NumberCode { shift: 0.0, deviation: 1.0, missing: mean }
                };
                Ok(Self::Number { values, code })
            }
            (ColumnEncoder::Category { levels, .. }, Cells::Text { codes, levels: have }) => {
                let features = have.iter().map(|level| levels.binary_search(level).ok()).collect();
                Ok(Self::Category { codes, features, width: levels.len() })
            }
            // Missing cells, and labels such as 1 and 2 where the rows with other labels are elsewhere.
            (ColumnEncoder::Category { levels, .. }, Cells::Numbers(values)) => {
                let by_number = Numbered::new(levels);
                match values.iter().position(|value| !value.is_nan()) {
                    Some(row) if by_number.is_empty() => {
                        let expected =
                            format!("a category, as in training: {}", listed(levels.iter().map(String::as_str)));
                        Err(table.malformed(row, &column.name, number_text(values[row]), &expected))
                    }
                    _ => {
                        let features = values.iter().map(|&value| by_number.place(value)).collect();
                        Ok(Self::NumberedCategory { features, width: levels.len() })
                    }
                }
            }
            (ColumnEncoder::Number { .. }, Cells::Text { codes, levels }) => {
                let row = codes.iter().position(|&code| code != MISSING).unwrap_or(0);
                let found = codes.get(row).and_then(|&code| levels.get(code as usize)).map_or("", String::as_str);
                Err(table.malformed(row, &column.name, format!("`{found}`"), "a number, as in training"))
            }
        }
    }

    /// Writes the row's features to the front of `features` and says how many they are.
    fn write(&self, row: usize, features: &mut [f32]) -> usize {
        match self {
            Self::Number { values, code } => {
                features[0] = code.encode(values[row]);
                1
            }
            Self::Category { codes, features: places, width } => {
                let place = codes.get(row).and_then(|&code| places.get(code as usize)).copied().flatten();
                if let Some(place) = place {
                    features[place] = 1.0;
                }
                *width
            }
            Self::NumberedCategory { features: places, width } => {
                if let Some(place) = places[row] {
                    features[place] = 1.0;
                }
                *width
            }
        }
    }
}

/// Targets of all rows by a fitted encoding.
///
/// # Errors
/// A missing target, or a label that the encoding does not know.
pub(crate) fn encode_targets(table: &Table, encoding: &TargetEncoding) -> Result<Targets, DataError> {
    match encoding {
        TargetEncoding::Classes { column, names } => {
            let column = table.column(column.as_deref().unwrap_or_default())?;
            let by_name: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
            let by_number = Numbered::new(names);
            // Rows of a number that was seen before need not spell it out again.
            let mut seen: HashMap<u32, u32> = HashMap::new();
            let labels: Result<Vec<u32>, DataError> = (0..table.rows)
                .map(|row| {
                    let bits = column.cells.numbers().map(|values| values[row].to_bits());
                    if let Some(&place) = bits.and_then(|bits| seen.get(&bits)) {
                        return Ok(place);
                    }
                    let label = column.cells.text(row).ok_or_else(|| {
                        table.malformed(row, &column.name, "a missing target", "a class in every row")
                    })?;
                    let number = || by_number.place(label.parse().ok()?).map(|place| place as u32);
                    let place = by_name.get(&*label).copied().or_else(number);
                    if let (Some(bits), Some(place)) = (bits, place) {
                        seen.insert(bits, place);
                    }
                    place.ok_or_else(|| DataError::UnknownLabel {
                        path: table.file(row).to_owned(),
                        place: table.place(row, &column.name),
                        nearest: nearest(&label, names.iter().map(String::as_str)).map(str::to_owned),
                        known: listed(names.iter().map(String::as_str)),
                        label: label.into_owned(),
                    })
                })
                .collect();
            Ok(Targets::Classes { labels: labels?, names: names.clone() })
        }
        TargetEncoding::Values { columns, .. } => {
            let cells: Vec<&Numbers> = columns
                .iter()
                .map(|name| match &table.column(name)?.cells {
                    Cells::Numbers(values) => Ok(values),
                    Cells::Text { levels, .. } => {
                        let found = format!("text such as `{}`", levels.first().map_or("", String::as_str));
                        Err(DataError::malformed(&table.path, format!("column {name}"), found, "numbers"))
                    }
                })
                .collect::<Result<_, _>>()?;
            let mut values = Vec::with_capacity(table.rows * cells.len());
            for row in 0..table.rows {
                for (column, cells) in columns.iter().zip(&cells) {
                    if cells[row].is_nan() {
                        return Err(table.malformed(row, column, "a missing target", "a number in every row"));
                    }
                    values.push(cells[row]);
                }
            }
            Ok(Targets::Values { values, names: columns.clone() })
        }
        TargetEncoding::Pixels => {
            Err(DataError::malformed(&table.path, "", "rows of a table", "pictures, as in training"))
        }
    }
}

/// Columns that the targets stand in.
pub(crate) fn target_columns(encoding: &TargetEncoding) -> Vec<String> {
    match encoding {
        TargetEncoding::Classes { column, .. } => column.iter().cloned().collect(),
        TargetEncoding::Values { columns, .. } => columns.clone(),
        TargetEncoding::Pixels => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Rows of numbers with a column between and missing cells; more than one chunk, the last one not whole.
    fn table() -> Table {
        let rows = 2 * ROWS_A_CHUNK + 77;
        let cell = |at: usize| if at.is_multiple_of(101) { f32::NAN } else { (at as f32 * 0.37).sin() };
        let mut table = Table::of_rows(Path::new("t"), rows);
        for (numbers, name) in Numbers::columns_of((0..3 * rows).map(cell).collect(), 3).zip(["a", "b", "c"]) {
            table.columns.push(Column { name: name.into(), cells: Cells::Numbers(numbers) });
        }
        table
    }

    fn number(name: &str, standardise: bool) -> ColumnEncoder {
        ColumnEncoder::Number { name: name.into(), mean: 0.3, deviation: 1.7, standardise }
    }

    #[test]
    fn rows_are_encoded_in_place_to_what_a_copy_holds() {
        for names in [&["a", "c"][..], &["b", "c"], &["a", "b", "c"], &["c"], &["c", "a"]] {
            let encoders: Vec<ColumnEncoder> = names.iter().map(|name| number(name, *name != "b")).collect();
            let copied = encode_inputs(&table(), &encoders).unwrap();
            assert_eq!(into_inputs(table(), &encoders).unwrap(), copied, "{names:?}");
            let in_place = side_by_side(&table(), &encoders).unwrap().is_some();
            assert_eq!(in_place, names.is_sorted(), "{names:?}");
        }
    }
}
