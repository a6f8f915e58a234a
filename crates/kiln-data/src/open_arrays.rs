//! From pictures and other arrays to splits.

use std::path::Path;

use crate::contents::{ArrayTargets, Arrays, Parts};
use crate::open::{OpenOptions, Splits, divide};
use crate::preprocessing::{InputEncoding, TargetEncoding};
use crate::table_encoding::{encode_targets, fit_targets};
use crate::{ArrayDataset, DataError, Preprocessing, Targets, Task, nearest};

/// Fits the targets' encoding on the training part, makes rows of all parts and cuts the splits that are not there.
pub(crate) fn open(
    name: &str,
    path: &Path,
    mut parts: Parts<Arrays>,
    notes: Vec<String>,
    options: &OpenOptions,
) -> Result<Splits, DataError> {
    let train = parts.take_train(path)?;
    if let [first, ..] = options.ignore.as_slice() {
        let allowed = "columns of a table can be left out, and these rows are pictures or arrays".to_owned();
        return Err(DataError::InvalidOption { option: "--ignore", value: first.clone(), allowed });
    }
    if let (Some((height, width)), &[.., have_height, have_width]) = (options.image_size, &train.array.shape[1..])
        && (height, width) != (have_height, have_width)
    {
        let found =
            if train.array.shape.len() > 3 { train.array.shape[2..].to_vec() } else { vec![have_height, have_width] };
        let allowed = format!("picture files are resized; the arrays of {} are {found:?}", path.display());
        return Err(DataError::InvalidOption { option: "--image-size", value: format!("{height}x{width}"), allowed });
    }
    let targets = fit(&train, options)?;
    let (train, divisor) = encode(train, &targets)?;
    let other = |part: Option<Arrays>| part.map(|part| Ok::<_, DataError>(encode(part, &targets)?.0)).transpose();
    let (validation, test) = (other(parts.validation)?, other(parts.test)?);
    let inputs = InputEncoding::Array { shape: train.input_shape().to_vec(), divisor };
    let splits = divide(name, train, validation, test, Preprocessing { inputs, targets }, options)?;
    Ok(Splits { notes, ..splits })
}

fn fit(train: &Arrays, options: &OpenOptions) -> Result<TargetEncoding, DataError> {
    match &train.targets {
        Some(ArrayTargets::Classes { names, .. }) if options.task == Some(Task::Regress) => {
            if let Some(text) = names.iter().find(|name| number(name).is_none()) {
                let expected = "numbers, for regression; --task classify learns classes";
                return Err(DataError::malformed(&train.path, "labels", format!("`{text}`"), expected));
            }
            Ok(TargetEncoding::values(vec!["label".to_owned()]))
        }
        Some(ArrayTargets::Classes { names, .. }) => Ok(TargetEncoding::Classes { column: None, names: names.clone() }),
        Some(ArrayTargets::Columns(table)) => {
            let own = table.own_targets.as_ref();
            let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
            let classes = own.is_some_and(|own| own.are_classes).then_some(Task::Classify);
            fit_targets(table, &columns, options.task.or(classes))
        }
        None => Err(without_targets(&train.path)),
    }
}

fn number(text: &str) -> Option<f32> {
    text.parse::<f32>().ok().filter(|value| value.is_finite())
}

/// Rows with the targets that learning needs, and the divisor of the inputs.
fn encode(part: Arrays, encoding: &TargetEncoding) -> Result<(ArrayDataset, f32), DataError> {
    let path = part.path.clone();
    let EncodedArrays { inputs, input_shape, targets, divisor } = EncodedArrays::of(part, encoding, true)?;
    let targets = targets.ok_or_else(|| without_targets(&path))?;
    let data = ArrayDataset::new(inputs, input_shape, targets).map_err(|error| error.in_file(&path))?;
    Ok((data, divisor))
}

fn without_targets(path: &Path) -> DataError {
    DataError::malformed(path, "", "rows without targets", "a target for each row")
}

/// Rows of a part, ready for a data set.
pub(crate) struct EncodedArrays {
    pub inputs: Vec<f32>,
    pub input_shape: Vec<usize>,
    pub targets: Option<Targets>,
    pub divisor: f32,
}

impl EncodedArrays {
    /// Inputs as networks take them and, where they are wanted and there, targets by a fitted encoding.
    pub(crate) fn of(part: Arrays, encoding: &TargetEncoding, with_targets: bool) -> Result<Self, DataError> {
        let targets = match part.targets {
            Some(targets) if with_targets => Some(encode_array_targets(&part.path, targets, encoding)?),
            _ => None,
        };
        let rows = part.array.into_rows();
        Ok(Self { inputs: rows.values, input_shape: rows.shape, targets, divisor: rows.divisor })
    }
}

fn encode_array_targets(path: &Path, targets: ArrayTargets, encoding: &TargetEncoding) -> Result<Targets, DataError> {
    match (targets, encoding) {
        (ArrayTargets::Columns(table), TargetEncoding::Classes { names, .. }) => {
            let own = match table.columns.as_slice() {
                [only] => only.name.clone(),
                columns => {
                    let found = format!("{} targets a row", columns.len());
                    return Err(DataError::malformed(path, "", found, "one class a row, as in training"));
                }
            };
            encode_targets(&table, &TargetEncoding::Classes { column: Some(own), names: names.clone() })
        }
        (ArrayTargets::Columns(table), values) => encode_targets(&table, values),
        (ArrayTargets::Classes { labels, names }, TargetEncoding::Classes { names: known, .. }) => {
            renamed(path, &labels, &names, known)
        }
        (_, TargetEncoding::Pixels) => Err(DataError::malformed(path, "", "targets", "pictures alone, as in training")),
        (ArrayTargets::Classes { labels, names }, TargetEncoding::Values { columns, .. }) => {
            let numbers: Vec<f32> = names.iter().map(|name| number(name).unwrap_or(f32::NAN)).collect();
            if let Some(row) = labels.iter().position(|&label| numbers[label as usize].is_nan()) {
                let found = format!("`{}`", names[labels[row] as usize]);
                return Err(DataError::malformed(path, format!("row {}", row + 1), found, "a number, as in training"));
            }
            let values = labels.iter().map(|&label| numbers[label as usize]).collect();
            Ok(Targets::Values { values, names: columns.clone() })
        }
    }
}

/// Labels as indices into the classes of training.
fn renamed(path: &Path, labels: &[u32], names: &[String], known: &[String]) -> Result<Targets, DataError> {
    let place = |name: &String| {
        // A file may number its classes from 0, another may name the same numbers.
        let same = |other: &&String| *other == name || number(other).is_some() && number(other) == number(name);
        known.iter().position(|other| same(&other)).map(|at| at as u32)
    };
    let places: Vec<Option<u32>> = names.iter().map(place).collect();
    let labels = labels.iter().enumerate().map(|(row, &label)| {
        places[label as usize].ok_or_else(|| {
            let label = names[label as usize].clone();
            DataError::UnknownLabel {
                path: path.to_owned(),
                place: format!("row {}", row + 1),
                nearest: nearest(&label, known.iter().map(String::as_str)).map(str::to_owned),
                known: crate::error::listed(known.iter().map(String::as_str)),
                label,
            }
        })
    });
    Ok(Targets::Classes { labels: labels.collect::<Result<_, _>>()?, names: known.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_name_or_by_number() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let found = renamed(Path::new("p"), &[1, 0], &names(&["b", "a"]), &names(&["a", "b"])).unwrap();
        assert_eq!(found, Targets::Classes { labels: vec![0, 1], names: names(&["a", "b"]) });
        let found = renamed(Path::new("p"), &[0], &names(&["3"]), &names(&["3.0"])).unwrap();
        assert_eq!(found.len(), 1);
        let error = renamed(Path::new("p"), &[0], &names(&["c"]), &names(&["a", "b"])).unwrap_err().to_string();
        assert!(error.starts_with("p, row 1: label `c` is not in the training set"), "{error}");
    }
}
