//! Label noise that comes out of files.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::Noisy;
use crate::split::below;
use crate::{ArrayDataset, DataError};

/// Columns of what `kiln data corrupt` writes that no annotator filled in.
const NOT_ANNOTATORS: [&str; 3] = ["row", "label", "flipped"];

/// One annotator's label for each row of `data`, drawn among those who gave one.
pub(super) fn drawn(path: &Path, data: &ArrayDataset, seed: u64) -> Result<Noisy, DataError> {
    let mut reader = csv::ReaderBuilder::new().from_path(path).map_err(|error| unreadable(path, &error))?;
    let header = reader.headers().map_err(|error| unreadable(path, &error))?.clone();
    let own: Vec<bool> = header.iter().map(|name| !NOT_ANNOTATORS.contains(&name)).collect();
    let column = |wanted: &str| header.iter().position(|name| name == wanted);
    let (row_column, clean_column) = (column("row"), column("label"));
    if own.iter().all(|own| !own) {
        return Err(DataError::malformed(path, "line 1", "no column of an annotator", "at least one"));
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let clean: Vec<u32> = data.labels().into_iter().map(|label| label as u32).collect();
    let mut labels = Vec::with_capacity(clean.len());
    let mut rows = 0;
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|error| unreadable(path, &error))?;
        let place = format!("line {}", record.position().map_or(row as u64 + 2, csv::Position::line));
        rows = row + 1;
        let Some(&label) = clean.get(row) else { continue };
        let stated = row_column.and_then(|column| record.get(column));
        if let Some(stated) = stated.filter(|stated| stated.trim().parse() != Ok(row)) {
            let expected = format!("row {row}: the training rows in their order, from 0");
            return Err(DataError::malformed(path, place, format!("row `{stated}`"), expected));
        }
        let name = &data.class_names()[label as usize];
        if let Some(stated) = clean_column.and_then(|column| record.get(column)).filter(|stated| stated != name) {
            let expected = format!("`{name}`, the label of that training row");
            return Err(DataError::malformed(path, place, format!("the label `{stated}`"), expected));
        }
        let given: Vec<&str> =
            record.iter().zip(&own).filter(|(cell, own)| **own && !cell.is_empty()).map(|(cell, _)| cell).collect();
        if given.is_empty() {
            return Err(DataError::malformed(path, place, "no annotator's label", "at least one"));
        }
        let chosen = given[below(&mut random, given.len())];
        let class = data.class_names().iter().position(|name| name == chosen).ok_or_else(|| {
            let known = data.class_names().join(", ");
            DataError::malformed(path, place, format!("the label `{chosen}`"), format!("one of {known}"))
        })?;
        labels.push(class as u32);
    }
    if rows != clean.len() {
        let expected = format!("{} rows, one a training row", clean.len());
        return Err(DataError::malformed(path, "", format!("{rows} rows"), expected));
    }
    Ok(Noisy::new(&clean, labels))
}

/// Labels before and after noise as a comma-separated table with the columns `row`, `label`, `noisy` and `flipped`, which
/// [`LabelNoise::Annotators`](super::LabelNoise::Annotators) reads.
///
/// # Panics
/// Where the sets differ in their number of rows, or their targets are numbers.
pub fn table(clean: &ArrayDataset, noisy: &ArrayDataset) -> String {
    assert_eq!(clean.len(), noisy.len(), "the rows of one set");
    let mut text = String::from("row,label,noisy,flipped\n");
    for row in 0..clean.len() {
        let [before, after] = [clean, noisy].map(|data| cell(&data.class_names()[data.label(row)]));
        text += &format!("{row},{before},{after},{}\n", u8::from(clean.label(row) != noisy.label(row)));
    }
    text
}

/// A name as a cell, in quotes where it needs them.
fn cell(name: &str) -> String {
    let plain = !name.contains([',', '"', '\n', '\r']);
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Rows of comma-separated numbers.
pub(super) fn matrix(path: &Path) -> Result<Vec<Vec<f64>>, DataError> {
    let text = std::fs::read_to_string(path).map_err(|error| DataError::io(path, error))?;
    let number = |line: usize, cell: &str| {
        cell.trim().parse::<f64>().map_err(|_| {
            DataError::malformed(path, format!("line {}", line + 1), format!("`{}`", cell.trim()), "a number")
        })
    };
    let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    rows.map(|(at, line)| line.split(',').map(|cell| number(at, cell)).collect()).collect()
}

fn unreadable(path: &Path, error: &csv::Error) -> DataError {
    match error.kind() {
        csv::ErrorKind::Io(source) => DataError::io(path, std::io::Error::new(source.kind(), source.to_string())),
        _ => DataError::malformed(path, "", error.to_string(), "a comma-separated table"),
    }
}
