//! From tables to splits: targets, encoders fitted on the training rows, data sets.

use crate::open::{Cut, OpenOptions, Splits, check, cut};
use crate::preprocessing::InputEncoding;
use crate::table::Table;
use crate::table_encoding::{encode_inputs, encode_targets, fit_inputs, fit_targets};
use crate::{ArrayDataset, DataError, Preprocessing, Targets};

/// Opens a table, or a training table with its own validation or test table.
pub(crate) fn open(
    name: &str,
    table: Table,
    validation: Option<Table>,
    test: Option<Table>,
    options: &OpenOptions,
) -> Result<Splits, DataError> {
    let targets: Vec<String> = match &options.target {
        Some(names) => names.split(',').map(|name| name.trim().to_owned()).collect(),
        None => table.columns.last().map(|column| column.name.clone()).into_iter().collect(),
    };
    let encoding = fit_targets(&table, &targets, options.task)?;
    let values = encode_targets(&table, &encoding)?;
    let labels = match &values {
        Targets::Classes { labels, .. } => Some(labels.as_slice()),
        Targets::Values { .. } => None,
    };
    let rows: Cut = cut(labels, table.rows, validation.is_some(), test.is_some(), options)?;
    let inputs = fit_inputs(&table, &encoding, &rows.train, options.standardise)?;
    let preprocessing = Preprocessing { inputs, targets: encoding };
    let data = encode(&table, &preprocessing, values)?;
    drop(table);
    let part = |other: Option<Table>, own: &[usize]| match other {
        Some(table) => {
            let values = encode_targets(&table, &preprocessing.targets)?;
            encode(&table, &preprocessing, values)
        }
        None => Ok(data.select(own)),
    };
    let splits = Splits {
        name: name.to_owned(),
        validation: part(validation, &rows.validation)?,
        test: part(test, &rows.test)?,
        train: data.select(&rows.train),
        preprocessing: preprocessing.clone(),
    };
    check(&splits, options)?;
    Ok(splits)
}

fn encode(table: &Table, preprocessing: &Preprocessing, targets: Targets) -> Result<ArrayDataset, DataError> {
    let InputEncoding::Table { columns } = &preprocessing.inputs else {
        return Err(DataError::shape("inputs", "a table", "an array, as in training"));
    };
    let (inputs, names) = encode_inputs(table, columns)?;
    ArrayDataset::with_feature_names(inputs, vec![names.len()], targets, names)
}
