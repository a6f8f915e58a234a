//! Tables whose targets are means over bags of rows: the bag column, what the targets have to be, whole bags in every part.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bags::Disagreement;
use crate::contents::{self, Contents, How, Labels, Parts};
use crate::image_folder::PictureShape;
use crate::open::{Cut, OpenOptions, cut};
use crate::preprocessing::{ColumnEncoder, InputEncoding, TargetEncoding};
use crate::source::Source;
use crate::table::{Columns, Table};
use crate::table_encoding::{encode_inputs, encode_targets, target_columns};
use crate::{ArrayDataset, Bags, DataDir, DataError, Preprocessing, Targets, Task};

/// Which rows belong together, and what their targets are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BagOptions {
    /// Column with the id of each row's bag.
    pub column: String,
    /// What stands in the target columns.
    #[serde(default)]
    pub targets: BagTargets,
}

/// What stands in the target columns of rows in bags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BagTargets {
    /// The mean over the bag, the same in all its rows: a number or, for classes, one column of proportions a class.
    #[default]
    Bag,
    /// Each row's own number or class, of which a training may use the mean over the bag only.
    Row,
}

impl BagTargets {
    /// `bag` or `row`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bag => "bag",
            Self::Row => "row",
        }
    }
}

impl std::str::FromStr for BagTargets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Bag, Self::Row].into_iter().find(|targets| targets.name() == text);
        known.ok_or_else(|| "bag or row is needed".into())
    }
}

/// The bags of each part of a data set; the rows are those of the part, bag after bag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitBags {
    /// Of the rows to learn from.
    pub train: Bags,
    /// Of the rows to choose settings by.
    pub validation: Bags,
    /// Of the rows to report on.
    pub test: Bags,
}

/// Rows in bags with what is known of their targets.
#[derive(Debug, Clone)]
pub struct BagRows {
    /// The rows.
    pub data: ArrayDataset,
    /// Their bags.
    pub bags: Bags,
}

/// Sets that have no columns have no bags.
pub(crate) fn refuse(options: &OpenOptions, source: &str) -> Result<(), DataError> {
    match &options.bags {
        Some(bags) => {
            let allowed = format!("bags are a column of a table, and {source} is none");
            Err(DataError::InvalidOption { option: "--bags", value: bags.column.clone(), allowed })
        }
        None => Ok(()),
    }
}

/// Refuses a bag column that is to be something else as well.
pub(crate) fn check_options(options: &OpenOptions) -> Result<(), DataError> {
    let Some(BagOptions { column, .. }) = &options.bags else { return Ok(()) };
    let refused = |allowed: &str| {
        Err(DataError::InvalidOption { option: "--bags", value: column.clone(), allowed: allowed.to_owned() })
    };
    if options.target.iter().flat_map(|names| names.split(',')).any(|name| name.trim() == column) {
        return refused("it is the column to predict; name another one");
    }
    if options.ignore.iter().any(|name| name == column) {
        return refused("it is left out by --ignore; a bag column is no feature anyway");
    }
    Ok(())
}

/// Refuses a bag that has rows in two parts of a folder, for no part would have it whole.
pub(crate) fn refuse_cut_bags<'a>(parts: impl IntoIterator<Item = &'a Table>, column: &str) -> Result<(), DataError> {
    let mut places: HashMap<String, String> = HashMap::new();
    for table in parts {
        let bags = Bags::by_column(table, column)?;
        let mut own = Vec::with_capacity(bags.len());
        for bag in 0..bags.len() {
            let (name, row) = (bags.name(bag), bags.rows_of(bag)[0]);
            if let Some(place) = places.get(name) {
                let found = format!("bag {name}, of which {place} has rows too");
                return Err(table.malformed(
                    row,
                    column,
                    found,
                    "all rows of a bag in one part: training, validation or test",
                ));
            }
            own.push((name.to_owned(), table.file(row).display().to_string()));
        }
        places.extend(own);
    }
    Ok(())
}

/// The bags of a table, whose column is no feature.
pub(crate) fn take_bags(table: &mut Table, column: &str) -> Result<Bags, DataError> {
    let bags = Bags::by_column(table, column)?;
    table.columns.retain(|candidate| candidate.name != column);
    table.not_read.push(column.to_owned());
    Ok(bags)
}

/// How class proportions, one column a class, are encoded; nothing for other targets.
pub(crate) fn proportions(options: &OpenOptions, targets: &[String]) -> Option<TargetEncoding> {
    let in_bags = options.bags.is_some() && options.task == Some(Task::Classify) && targets.len() > 1;
    in_bags.then(|| TargetEncoding::Classes { column: None, names: targets.to_vec() })
}

/// Targets of all rows, those of class proportions as numbers.
pub(crate) fn bag_targets(table: &Table, encoding: &TargetEncoding) -> Result<Targets, DataError> {
    match encoding {
        TargetEncoding::Classes { column: None, names } => {
            let targets = encode_targets(table, &TargetEncoding::values(names.clone()))?;
            check_proportions(table, &targets)?;
            Ok(targets)
        }
        other => encode_targets(table, other),
    }
}

fn check_proportions(table: &Table, targets: &Targets) -> Result<(), DataError> {
    /// Proportions are given with a few decimals.
    const ROUNDING: f32 = 1e-3;
    let Targets::Values { values, names } = targets else { return Ok(()) };
    for (row, shares) in values.chunks(names.len()).enumerate() {
        if let Some(at) = shares.iter().position(|share| !(0.0..=1.0).contains(share)) {
            return Err(table.malformed(row, &names[at], shares[at].to_string(), "a proportion from 0 to 1"));
        }
        let sum: f32 = shares.iter().sum();
        if (sum - 1.0).abs() > ROUNDING {
            let found = format!("proportions that sum to {sum}");
            return Err(table.malformed(row, &names.join(","), found, "proportions that sum to 1"));
        }
    }
    Ok(())
}

/// Refuses targets that differ within a bag, where they should be those of the bag.
pub(crate) fn check_agreement(
    table: &Table,
    bags: &Bags,
    targets: &Targets,
    encoding: &TargetEncoding,
    options: &BagOptions,
) -> Result<(), DataError> {
    if options.targets == BagTargets::Row {
        return Ok(());
    }
    let Some(Disagreement { bag, rows: [one, other], column }) = bags.disagreement(targets) else { return Ok(()) };
    let names: Vec<String> = match encoding {
        TargetEncoding::Classes { column: None, names } => names.clone(),
        other => target_columns(other),
    };
    let shown = |row: usize| match targets {
        Targets::Classes { labels, names } => names[labels[row] as usize].clone(),
        Targets::Values { values, names } => values[row * names.len() + column].to_string(),
    };
    let place = table.place(one, &names[column]);
    let first = place.split(',').next().unwrap_or_default();
    let found = format!("{} in bag {}, which has {} in {first}", shown(other), bags.name(bag), shown(one));
    let expected =
        "the target of the bag in each of its rows; --bag-targets row takes the mean of the rows' own targets";
    Err(table.malformed(other, &names[column], found, expected))
}

/// Targets as a training knows them: numbers of rows in bags are the means of these.
pub(crate) fn observed(targets: &Targets, bags: Option<&Bags>) -> Targets {
    let (Targets::Values { values, names }, Some(bags)) = (targets, bags) else { return targets.clone() };
    let (width, means) = (names.len(), bags.means(values, names.len()));
    let mut observed = values.clone();
    for (&row, bag) in bags.rows().iter().zip(bags.bag_of_row()) {
        for target in 0..width {
            observed[row * width + target] = means[bag * width + target] as f32;
        }
    }
    Targets::Values { values: observed, names: names.clone() }
}

/// Bag numbers of each part.
pub(crate) fn cut_bags(
    bags: &Bags,
    has_validation: bool,
    has_test: bool,
    options: &OpenOptions,
) -> Result<Cut, DataError> {
    cut(None, bags.len(), has_validation, has_test, options).map_err(|error| match error {
        DataError::EmptySplit { split, rows, detail } => DataError::Shape {
            what: format!("{split} split"),
            found: format!("no bag of {rows}, {detail}"),
            expected: "at least one bag in each split, for bags are never cut".into(),
        },
        other => other,
    })
}

/// Reads rows in bags for a model trained with `preprocessing`, with the targets of their bags or their own: with
/// `only_test` those that [`open`](crate::open) would keep for the test with the same `options`, else all.
///
/// # Errors
/// As [`open_like`](crate::open_like), and those of bags as in [`open`](crate::open); [`DataError::InvalidOption`] where the
/// options have no bags.
pub fn open_bags_like(
    source: &str,
    dir: &DataDir,
    preprocessing: &Preprocessing,
    options: &OpenOptions,
    only_test: bool,
) -> Result<BagRows, DataError> {
    options.check()?;
    let source = Source::find(source, dir)?;
    let options = options.of_set(source.entry)?;
    let Some(own) = options.bags.clone() else {
        let allowed = "the name of a column is needed".to_owned();
        return Err(DataError::InvalidOption { option: "--bags", value: String::new(), allowed });
    };
    let Some(path) = &source.path else { return Err(refuse(&options, &source.name).err().unwrap_or_else(no_table)) };
    let (columns, header) = wanted(preprocessing, &own)?;
    let mut parts = read(&source, path, &columns, header)?;
    refuse_cut_bags(parts.each(), &own.column)?;
    let encode = |table: Table| encoded(table, preprocessing, &own);
    if !only_test {
        let mut tables = parts.all();
        let mut first = tables.next().ok_or_else(no_table)?;
        tables.try_for_each(|table| first.append(table))?;
        return encode(first);
    }
    if let Some(test) = parts.test.take() {
        return encode(test);
    }
    let has_validation = parts.validation.is_some();
    let BagRows { data, bags } = encode(parts.take_train(path)?)?;
    let test = bags.select(&cut_bags(&bags, has_validation, false, &options)?.test);
    Ok(BagRows { data: data.select(test.rows()), bags: test.renumbered() })
}

fn no_table() -> DataError {
    DataError::shape("rows in bags", "no table", "a table with a bag column")
}

/// Columns that are read for a model, and whether the first line names them.
fn wanted(preprocessing: &Preprocessing, own: &BagOptions) -> Result<(Vec<String>, Option<bool>), DataError> {
    let InputEncoding::Table { columns, header } = &preprocessing.inputs else { return Err(no_table()) };
    let targets = match &preprocessing.targets {
        TargetEncoding::Classes { column: None, names } => names.clone(),
        other => target_columns(other),
    };
    let features = columns.iter().map(ColumnEncoder::name).map(str::to_owned);
    Ok((features.chain(targets).chain([own.column.clone()]).collect(), *header))
}

fn read(source: &Source, path: &Path, columns: &[String], header: Option<bool>) -> Result<Parts<Table>, DataError> {
    let how = How {
        header,
        columns: Columns::Only(columns),
        picture: PictureShape::default(),
        classes: source.classes(),
        labels: Labels::Needed,
        arrays: Some(false),
        is_mnist: source.is_mnist(),
    };
    match contents::read(path, &how, &mut Vec::new())? {
        Contents::Table(parts) => Ok(parts),
        Contents::Arrays(_) => Err(no_table()),
    }
}

fn encoded(mut table: Table, preprocessing: &Preprocessing, own: &BagOptions) -> Result<BagRows, DataError> {
    let InputEncoding::Table { columns, .. } = &preprocessing.inputs else { return Err(no_table()) };
    let bags = take_bags(&mut table, &own.column)?;
    let targets = bag_targets(&table, &preprocessing.targets)?;
    check_agreement(&table, &bags, &targets, &preprocessing.targets, own)?;
    let (inputs, names) = encode_inputs(&table, columns)?;
    let data = ArrayDataset::with_feature_names(inputs, vec![names.len()], targets, names);
    let data = data.map_err(|error| error.in_file(&table.path))?;
    Ok(BagRows { data: data.select(bags.rows()), bags: bags.renumbered() })
}
