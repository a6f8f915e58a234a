//! Arrays in files: `.npy`, `.npz`, `.safetensors`.

use std::path::Path;

use crate::array::{Array, ArrayKind};
use crate::contents::{ArrayTargets, Arrays, Contents, How, Labels, Parts};
use crate::error::listed;
use crate::numpy::{self, Member};
use crate::table::{Cells, Column, OwnTargets, Table};
use crate::{DataError, tensors};

/// Names under which inputs and targets of the parts are looked for.
const TRAIN: ([&str; 8], [&str; 7]) = (
    ["x_train", "train_images", "train_x", "train_inputs", "x", "X", "inputs", "images"],
    ["y_train", "train_labels", "train_y", "train_targets", "y", "labels", "targets"],
);
const VALIDATION: ([&str; 4], [&str; 4]) = (
    ["x_val", "val_images", "x_validation", "validation_inputs"],
    ["y_val", "val_labels", "y_validation", "validation_targets"],
);
const TEST: ([&str; 4], [&str; 4]) =
    (["x_test", "test_images", "test_x", "test_inputs"], ["y_test", "test_labels", "test_y", "test_targets"]);

/// Reads a file of arrays. Rows of one number each, and rows of several, are the rows of a table.
pub(crate) fn read(path: &Path, how: &How<'_>) -> Result<Contents, DataError> {
    let mut arrays = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => {
            let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
            numpy::members(path, &bytes)?
        }
        Some("safetensors") => tensors::read(path)?.into_iter().map(|(name, array)| (name, Ok(array))).collect(),
        _ => return single(path, numpy::read(path)?, how),
    };
    let mut part = |names: (&[&str], &[&str])| pair(path, &mut arrays, names.0, names.1, how.labels);
    let train = part((&TRAIN.0, &TRAIN.1))?;
    let validation = part((&VALIDATION.0, &VALIDATION.1))?;
    let test = part((&TEST.0, &TEST.1))?;
    let Some((first, _)) = [&train, &validation, &test].into_iter().flatten().next() else {
        let found = format!("the arrays {}", listed(arrays.iter().map(|(name, _)| name.as_str())));
        let expected = "inputs named x (or x_train, inputs, images) and targets named y (or labels)";
        return Err(DataError::malformed(path, "", found, expected));
    };
    if first.shape.len() <= 2 {
        let table = |part: Option<(Array, Option<Array>)>| part.map(|(x, y)| columns(path, x, y, how)).transpose();
        let (train, validation, test) = (table(train)?, table(validation)?, table(test)?);
        return Ok(Contents::Table(Parts { train, validation, test }));
    }
    let arrays = |part: Option<(Array, Option<Array>)>| part.map(|(x, y)| rows(path, x, y)).transpose();
    let (train, validation, test) = (arrays(train)?, arrays(validation)?, arrays(test)?);
    Ok(Contents::Arrays(Parts { train, validation, test }))
}

/// A single array: to learn from, a table with the target in its last column; to predict, rows of any shape.
fn single(path: &Path, array: Array, how: &How<'_>) -> Result<Contents, DataError> {
    if how.labels == Labels::Needed && (array.shape.len() != 2 || array.shape[1] < 2) {
        let found = format!("one array of shape {:?}", array.shape);
        let expected = "[rows, columns] with the target in the last column; or a .npz file with x and y";
        return Err(DataError::malformed(path, "", found, expected));
    }
    if array.shape.len() > 2 {
        return rows(path, array, None).map(|rows| Contents::Arrays(Parts::whole(rows)));
    }
    columns(path, array, None, how).map(|table| Contents::Table(Parts::whole(table)))
}

/// Features `x0`, `x1`, ... and the targets.
fn columns(path: &Path, inputs: Array, targets: Option<Array>, how: &How<'_>) -> Result<Table, DataError> {
    let rows = inputs.rows();
    let mut table = Table::of_rows(path, rows);
    if rows == 0 {
        return Err(DataError::malformed(path, "", "no rows", "at least one row"));
    }
    let names: Vec<String> = (0..inputs.values.len() / rows).map(|column| format!("x{column}")).collect();
    push_columns(&mut table, &inputs, &names, |name| how.columns.wants(name))?;
    if let Some(targets) = targets {
        one_target_a_row(path, rows, &targets)?;
        push_targets(&mut table, &targets)?;
    }
    Ok(table)
}

/// Arrays of more than one dimension a row, the targets as columns beside them.
fn rows(path: &Path, array: Array, targets: Option<Array>) -> Result<Arrays, DataError> {
    let targets = match targets {
        Some(targets) => {
            one_target_a_row(path, array.rows(), &targets)?;
            let mut table = Table::of_rows(path, targets.rows());
            push_targets(&mut table, &targets)?;
            Some(ArrayTargets::Columns(Box::new(table)))
        }
        None => None,
    };
    Ok(Arrays { path: path.to_owned(), array, targets })
}

fn one_target_a_row(path: &Path, rows: usize, targets: &Array) -> Result<(), DataError> {
    if targets.rows() == rows {
        return Ok(());
    }
    let found = format!("{} targets", targets.rows());
    Err(DataError::malformed(path, "", found, format!("one for each of {rows} rows")))
}

fn push_targets(table: &mut Table, targets: &Array) -> Result<(), DataError> {
    let names: Vec<String> = match targets.values.len() / targets.rows().max(1) {
        1 => vec!["target".to_owned()],
        width => (0..width).map(|column| format!("target{column}")).collect(),
    };
    push_columns(table, targets, &names, |_| true)?;
    let are_classes = targets.kind != ArrayKind::Floats && names.len() == 1;
    table.own_targets = Some(OwnTargets { columns: names, are_classes });
    Ok(())
}

fn push_columns(
    table: &mut Table,
    array: &Array,
    names: &[String],
    wants: impl Fn(&str) -> bool,
) -> Result<(), DataError> {
    for (column, name) in names.iter().enumerate() {
        if !wants(name) {
            table.not_read.push(name.clone());
            continue;
        }
        let values: Vec<f32> = array.values.iter().skip(column).step_by(names.len()).copied().collect();
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            let (path, feature) = (table.path.clone(), format!("`{name}`"));
            return Err(DataError::NonFinite { path, row: row + 1, feature, value: values[row] });
        }
        table.columns.push(Column { name: name.clone(), cells: Cells::Numbers(values.into()) });
    }
    Ok(())
}

/// Inputs and targets of a part, by the first of their names that the file has.
fn pair(
    path: &Path,
    arrays: &mut Vec<Member>,
    inputs: &[&str],
    targets: &[&str],
    labels: Labels,
) -> Result<Option<(Array, Option<Array>)>, DataError> {
    let mut take = |names: &[&str]| {
        let at = names.iter().find_map(|name| arrays.iter().position(|(have, _)| have == name))?;
        Some(arrays.remove(at))
    };
    let x = take(inputs);
    let y = if labels == Labels::Unused { None } else { take(targets) };
    match (x, y) {
        (Some((_, x)), Some((_, y))) => Ok(Some((x?, Some(y?)))),
        (None, None) => Ok(None),
        (Some((_, x)), None) if labels != Labels::Needed => Ok(Some((x?, None))),
        (Some((x, _)), None) => {
            let found = format!("inputs `{x}` without targets");
            Err(DataError::malformed(path, "", found, listed(targets.iter().copied())))
        }
        (None, Some((y, _))) => {
            Err(DataError::malformed(path, "", format!("targets `{y}` without inputs"), listed(inputs.iter().copied())))
        }
    }
}
