//! Data sets in array files: `.npy`, `.npz`, `.safetensors`.

use std::path::Path;

use crate::array::{Array, ArrayKind};
use crate::error::listed;
use crate::open::{OpenOptions, Splits, divide};
use crate::table::{Cells, Column, Table};
use crate::{ArrayDataset, DataError, Preprocessing, Targets, Task, numpy, open_table, tensors};

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

/// Opens a file of arrays.
pub(crate) fn open(name: &str, path: &Path, options: &OpenOptions) -> Result<Splits, DataError> {
    let mut arrays = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => numpy::read_archive(path)?,
        Some("safetensors") => tensors::read(path)?,
        _ => return open_table::open(name, single(path, numpy::read(path)?)?, None, None, options),
    };
    let train = pair(path, &mut arrays, &TRAIN.0, &TRAIN.1)?.ok_or_else(|| {
        let found = format!("the arrays {}", listed(arrays.iter().map(|(name, _)| name.as_str())));
        DataError::malformed(
            path,
            "",
            found,
            "inputs named x (or x_train, inputs, images) and targets named y (or labels)",
        )
    })?;
    let validation = pair(path, &mut arrays, &VALIDATION.0, &VALIDATION.1)?;
    let test = pair(path, &mut arrays, &TEST.0, &TEST.1)?;
    if train.0.shape.len() <= 2 {
        let whole = train.1.kind != ArrayKind::Floats && train.1.values.len() == train.1.rows();
        let target = target_names(&train.1).join(",");
        let options = OpenOptions {
            task: options.task.or(whole.then_some(Task::Classify)),
            target: options.target.clone().or(Some(target)),
            ..options.clone()
        };
        let table = |(x, y)| columns(path, x, Some(y));
        let validation = validation.map(table).transpose()?;
        return open_table::open(name, table(train)?, validation, test.map(table).transpose()?, &options);
    }
    let (train, divisor) = dataset(path, train)?;
    let validation = validation.map(|part| Ok::<_, DataError>(dataset(path, part)?.0)).transpose()?;
    let test = test.map(|part| Ok::<_, DataError>(dataset(path, part)?.0)).transpose()?;
    let mut preprocessing = Preprocessing::array(train.input_shape(), divisor, train.class_names());
    if !train.is_classification() {
        preprocessing.targets = crate::TargetEncoding::Values { columns: train.class_names().to_vec() };
    }
    divide(name, train, validation, test, preprocessing, options)
}

/// A single array as a table, the target in its last column.
fn single(path: &Path, array: Array) -> Result<Table, DataError> {
    if array.shape.len() != 2 || array.shape[1] < 2 {
        let found = format!("one array of shape {:?}", array.shape);
        let expected = "[rows, columns] with the target in the last column; or a .npz file with x and y";
        return Err(DataError::malformed(path, "", found, expected));
    }
    columns(path, array, None)
}

/// Features `x0`, `x1`, ... and the targets.
pub(crate) fn columns(path: &Path, inputs: Array, targets: Option<Array>) -> Result<Table, DataError> {
    let rows = inputs.rows();
    let mut table = Table { path: path.to_owned(), columns: Vec::new(), rows, first_line: 0 };
    if rows == 0 {
        return Err(DataError::malformed(path, "", "no rows", "at least one row"));
    }
    let feature = |column| format!("x{column}");
    push_columns(&mut table, &inputs, feature)?;
    if let Some(targets) = targets {
        if targets.rows() != rows {
            let found = format!("{} targets", targets.rows());
            return Err(DataError::malformed(path, "", found, format!("one for each of {rows} rows")));
        }
        let names = target_names(&targets);
        push_columns(&mut table, &targets, |column| names[column].clone())?;
    }
    Ok(table)
}

fn push_columns(table: &mut Table, array: &Array, name: impl Fn(usize) -> String) -> Result<(), DataError> {
    let width = array.values.len() / array.rows().max(1);
    for column in 0..width {
        let values: Vec<f32> = array.values.iter().skip(column).step_by(width).copied().collect();
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(DataError::NonFinite { row, feature: format!("`{}`", name(column)), value: values[row] });
        }
        table.columns.push(Column { name: name(column), cells: Cells::Numbers(values) });
    }
    Ok(())
}

fn target_names(targets: &Array) -> Vec<String> {
    match targets.values.len() / targets.rows().max(1) {
        1 => vec!["target".to_owned()],
        width => (0..width).map(|column| format!("target{column}")).collect(),
    }
}

fn pair(
    path: &Path,
    arrays: &mut Vec<(String, Array)>,
    inputs: &[&str],
    targets: &[&str],
) -> Result<Option<(Array, Array)>, DataError> {
    let mut take = |names: &[&str]| {
        let at = names.iter().find_map(|name| arrays.iter().position(|(have, _)| have == name))?;
        Some(arrays.remove(at))
    };
    match (take(inputs), take(targets)) {
        (Some((_, x)), Some((_, y))) => Ok(Some((x, y))),
        (None, None) => Ok(None),
        (Some((x, _)), None) => Err(DataError::malformed(
            path,
            "",
            format!("inputs `{x}` without targets"),
            listed(targets.iter().copied()),
        )),
        (None, Some((y, _))) => {
            Err(DataError::malformed(path, "", format!("targets `{y}` without inputs"), listed(inputs.iter().copied())))
        }
    }
}

fn dataset(path: &Path, (inputs, targets): (Array, Array)) -> Result<(ArrayDataset, f32), DataError> {
    if inputs.rows() != targets.rows() {
        let expected = format!("one for each of {} rows", inputs.rows());
        return Err(DataError::malformed(path, "", format!("{} targets", targets.rows()), expected));
    }
    let targets = if targets.kind == ArrayKind::Floats {
        Targets::Values { names: target_names(&targets), values: targets.values }
    } else {
        let labels = targets.into_labels(path)?;
        let most = labels.iter().max().map_or(0, |&label| label + 1);
        Targets::Classes { labels, names: (0..most).map(|label| label.to_string()).collect() }
    };
    let rows = inputs.into_rows();
    Ok((ArrayDataset::new(rows.values, rows.shape, targets)?, rows.divisor))
}
