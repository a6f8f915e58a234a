//! From tables to splits: targets, encoders fitted on the training rows, data sets.

use std::path::Path;

use crate::contents::Parts;
use crate::folder::row_numbers_note;
use crate::open::{Cut, OpenOptions, Splits, check, cut};
use crate::open_bags::{self, BagOptions, SplitBags};
use crate::preprocessing::InputEncoding;
use crate::table::Table;
use crate::table_encoding::{fit_inputs, fit_targets, into_inputs};
use crate::{ArrayDataset, Bags, DataError, Preprocessing, TargetEncoding, Targets, Task};

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
    if let Some(own) = &options.bags {
        open_bags::refuse_cut_bags([&table].into_iter().chain(parts.each()), &own.column)?;
    }
    if table.counts_rows() {
        notes.push(row_numbers_note(&table));
        table.drop_first();
    }
    let bags = options.bags.as_ref().map(|own| open_bags::take_bags(&mut table, &own.column)).transpose()?;
    let mut encoding = fit(&table, options)?;
    let values = open_bags::bag_targets(&table, &encoding)?;
    if let (Some(bags), Some(own)) = (&bags, &options.bags) {
        open_bags::check_agreement(&table, bags, &values, &encoding, own)?;
    }
    let (rows, own_bags) = cut_rows(&values, table.rows, bags.as_ref(), &parts, options)?;
    encoding.fit(&open_bags::observed(&values, bags.as_ref()), &rows.train);
    let inputs = fit_inputs(&table, &encoding, &rows.train, options)?;
    let preprocessing = Preprocessing { inputs, targets: encoding };
    let data = encode(table, &preprocessing, values)?;
    let part = |other: Option<Table>, own: &[usize], own_bags: Option<Bags>| match other {
        Some(table) => own_part(table, &preprocessing, options.bags.as_ref()),
        None => Ok((data.select(own), own_bags)),
    };
    let [train_bags, validation_bags, test_bags] = own_bags;
    let (validation, validation_bags) = part(parts.validation, &rows.validation, validation_bags)?;
    let (test, test_bags) = part(parts.test, &rows.test, test_bags)?;
    let bags = match (train_bags, validation_bags, test_bags) {
        (Some(train), Some(validation), Some(test)) => Some(SplitBags { train, validation, test }),
        _ => None,
    };
    let train = data.select(&rows.train);
    let splits =
        Splits { name: name.to_owned(), train, validation, test, preprocessing: preprocessing.clone(), bags, notes };
    check(&splits, options)?;
    Ok(splits)
}

/// The encoding of the targets, whose means are not yet known.
fn fit(table: &Table, options: &OpenOptions) -> Result<TargetEncoding, DataError> {
    let own = table.own_targets.as_ref();
    let targets: Vec<String> = match (&options.target, own) {
        (Some(names), _) => names.split(',').map(|name| name.trim().to_owned()).collect(),
        (None, Some(own)) => own.columns.clone(),
        (None, None) => table.columns.last().map(|column| column.name.clone()).into_iter().collect(),
    };
    if let Some(encoding) = open_bags::proportions(options, &targets) {
        return Ok(encoding);
    }
    let own_classes = own.is_some_and(|own| own.are_classes && own.columns == targets).then_some(Task::Classify);
    fit_targets(table, &targets, options.task.or(own_classes))
}

/// Rows of each part that the table does not bring itself and, where there are any, their bags.
fn cut_rows(
    values: &Targets,
    rows: usize,
    bags: Option<&Bags>,
    parts: &Parts<Table>,
    options: &OpenOptions,
) -> Result<(Cut, [Option<Bags>; 3]), DataError> {
    let (has_validation, has_test) = (parts.validation.is_some(), parts.test.is_some());
    let Some(bags) = bags else {
        let labels = match values {
            Targets::Classes { labels, .. } => Some(labels.as_slice()),
            Targets::Values { .. } => None,
        };
        return Ok((cut(labels, rows, has_validation, has_test, options)?, [const { None }; 3]));
    };
    let chosen = open_bags::cut_bags(bags, has_validation, has_test, options)?;
    let [train, validation, test] = [chosen.train, chosen.validation, chosen.test].map(|chosen| bags.select(&chosen));
    let [train_rows, validation_rows, test_rows] = [&train, &validation, &test].map(|bags| bags.rows().to_vec());
    let cut = Cut { train: train_rows, validation: validation_rows, test: test_rows };
    Ok((cut, [train, validation, test].map(|bags| Some(bags.renumbered()))))
}

/// A part that comes as a table of its own.
fn own_part(
    mut table: Table,
    preprocessing: &Preprocessing,
    options: Option<&BagOptions>,
) -> Result<(ArrayDataset, Option<Bags>), DataError> {
    let bags = options.map(|own| open_bags::take_bags(&mut table, &own.column)).transpose()?;
    let values = open_bags::bag_targets(&table, &preprocessing.targets)?;
    let Some((bags, own)) = bags.zip(options) else {
        return Ok((encode(table, preprocessing, values)?, None));
    };
    open_bags::check_agreement(&table, &bags, &values, &preprocessing.targets, own)?;
    let data = encode(table, preprocessing, values)?.select(bags.rows());
    Ok((data, Some(bags.renumbered())))
}

fn encode(table: Table, preprocessing: &Preprocessing, targets: Targets) -> Result<ArrayDataset, DataError> {
    let InputEncoding::Table { columns, .. } = &preprocessing.inputs else {
        return Err(DataError::shape("inputs", "a table", "an array, as in training"));
    };
    let path = table.path.clone();
    let (inputs, names) = into_inputs(table, columns)?;
    ArrayDataset::with_feature_names(inputs, vec![names.len()], targets, names).map_err(|error| error.in_file(&path))
}
