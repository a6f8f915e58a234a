//! From tables to splits: targets, encoders fitted on the training rows, data sets.

use std::path::Path;

use crate::contents::Parts;
use crate::folder::row_numbers_note;
use crate::open::{Cut, OpenOptions, Splits, check, cut};
use crate::preprocessing::InputEncoding;
use crate::table::Table;
use crate::table_encoding::{encode_targets, fit_inputs, fit_targets, into_inputs};
use crate::{ArrayDataset, DataError, Preprocessing, Targets, Task};

/// Opens a table, or a training table with its own validation or test table.
pub(crate) fn open(
    name: &str,
    path: &Path,
    mut parts: Parts<Table>,
    mut notes: Vec<String>,
    options: &OpenOptions,
) -> Result<Splits, DataError> {
    let mut table = parts.take_train(path)?;
    if let Some((height, width)) = options.image_size {
        let (value, allowed) = (format!("{height}x{width}"), "pictures are resized, and this is a table".to_owned());
        return Err(DataError::InvalidOption { option: "--image-size", value, allowed });
    }
    if let Some(missing) = options.ignore.iter().find(|column| !table.has(column)) {
        return Err(table.unknown(missing));
    }
    if table.counts_rows() {
        notes.push(row_numbers_note(&table));
        table.drop_first();
    }
    let own = table.own_targets.as_ref();
    let targets: Vec<String> = match (&options.target, own) {
        (Some(names), _) => names.split(',').map(|name| name.trim().to_owned()).collect(),
        (None, Some(own)) => own.columns.clone(),
        (None, None) => table.columns.last().map(|column| column.name.clone()).into_iter().collect(),
    };
    let own_classes = own.is_some_and(|own| own.are_classes && own.columns == targets).then_some(Task::Classify);
    let mut encoding = fit_targets(&table, &targets, options.task.or(own_classes))?;
    let values = encode_targets(&table, &encoding)?;
    let labels = match &values {
        Targets::Classes { labels, .. } => Some(labels.as_slice()),
        Targets::Values { .. } => None,
    };
    let rows: Cut = cut(labels, table.rows, parts.validation.is_some(), parts.test.is_some(), options)?;
    encoding.fit(&values, &rows.train);
    let inputs = fit_inputs(&table, &encoding, &rows.train, options)?;
    let preprocessing = Preprocessing { inputs, targets: encoding };
    let data = encode(table, &preprocessing, values)?;
    let part = |other: Option<Table>, own: &[usize]| match other {
        Some(table) => {
            let values = encode_targets(&table, &preprocessing.targets)?;
            encode(table, &preprocessing, values)
        }
        None => Ok(data.select(own)),
    };
    let splits = Splits {
        name: name.to_owned(),
        validation: part(parts.validation, &rows.validation)?,
        test: part(parts.test, &rows.test)?,
        train: data.select(&rows.train),
        preprocessing: preprocessing.clone(),
        notes,
    };
    check(&splits, options)?;
    Ok(splits)
}

fn encode(table: Table, preprocessing: &Preprocessing, targets: Targets) -> Result<ArrayDataset, DataError> {
    let InputEncoding::Table { columns, .. } = &preprocessing.inputs else {
        return Err(DataError::shape("inputs", "a table", "an array, as in training"));
    };
    let path = table.path.clone();
    let (inputs, names) = into_inputs(table, columns)?;
    ArrayDataset::with_feature_names(inputs, vec![names.len()], targets, names).map_err(|error| error.in_file(&path))
}
