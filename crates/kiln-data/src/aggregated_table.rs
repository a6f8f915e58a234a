//! Tables whose target is replaced by its mean over bags.

use std::path::Path;

use crate::contents::{self, Contents, How, Labels};
use crate::image_folder::PictureShape;
use crate::source::Source;
use crate::table::{Column, Columns, Table};
use crate::table_encoding::{encode_targets, fit_targets};
use crate::{Bags, DataDir, DataError, OpenOptions, TargetEncoding, Targets, Task};

/// The rows of a table with a column of numbers or classes that is to be averaged over bags.
#[derive(Debug, Clone)]
pub struct TargetTable {
    table: Table,
    column: String,
    /// Classes in order; nothing for numbers.
    classes: Option<Vec<String>>,
    /// `[rows, width]`: the number, or one share a class.
    values: Vec<f32>,
}

impl TargetTable {
    /// Reads a file, a folder or a known set of one table; `target` is the set's own or the last column where nothing is said,
    /// and `task` decides by the column, as in [`open`](crate::open).
    ///
    /// # Errors
    /// Those of [`open`](crate::open) about files and columns; [`DataError::Malformed`] with the line of a target that is missing.
    pub fn read(
        source: &str,
        dir: &DataDir,
        target: Option<&str>,
        task: Option<Task>,
        header: Option<bool>,
    ) -> Result<Self, DataError> {
        let source = Source::find(source, dir)?;
        let options = OpenOptions { target: target.map(str::to_owned), task, header, ..Default::default() };
        let options = options.of_set(source.entry)?;
        let refused = || {
            let allowed = "a table is needed: its target column is averaged".to_owned();
            DataError::InvalidOption { option: "data", value: source.name.clone(), allowed }
        };
        let path = source.path.as_deref().ok_or_else(refused)?;
        let table = match read(&source, path, header)? {
            Contents::Table(parts) => {
                let mut tables = parts.all();
                let mut first = tables.next().ok_or_else(refused)?;
                tables.try_for_each(|table| first.append(table))?;
                first
            }
            Contents::Arrays(_) => return Err(refused()),
        };
        let last = table.columns.last().map(|column| column.name.clone());
        let column = options.target.or(last).ok_or_else(refused)?;
        if column.contains(',') {
            let allowed = "one column is averaged; name one".to_owned();
            return Err(DataError::InvalidOption { option: "--target", value: column, allowed });
        }
        Self::of(table, column, task)
    }

    fn of(table: Table, column: String, task: Option<Task>) -> Result<Self, DataError> {
        let encoding = fit_targets(&table, std::slice::from_ref(&column), task)?;
        let targets = encode_targets(&table, &encoding)?;
        let (classes, values) = match (encoding, targets) {
            (TargetEncoding::Classes { names, .. }, Targets::Classes { labels, .. }) => {
                let width = names.len();
                let shares = labels.iter().flat_map(|&label| (0..width).map(move |at| f32::from(at == label as usize)));
                (Some(names), shares.collect())
            }
            (_, Targets::Values { values, .. }) => (None, values),
            (_, Targets::Classes { labels, .. }) => (None, labels.into_iter().map(|label| label as f32).collect()),
        };
        Ok(Self { table, column, classes, values })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.table.rows
    }

    /// Name of the target column.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// Classes in order; nothing for numbers.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// The number of each row, or one share a class, `[rows, width]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Numbers that stand for a row's target.
    pub fn width(&self) -> usize {
        self.classes.as_ref().map_or(1, Vec::len)
    }

    /// The bags of a column.
    ///
    /// # Errors
    /// As [`Bags::by_column`]; [`DataError::InvalidOption`] for the target column.
    pub fn bags_by(&self, column: &str) -> Result<Bags, DataError> {
        if column == self.column {
            let allowed = "it is the column that is averaged; --target names another one".to_owned();
            return Err(DataError::InvalidOption { option: "--by", value: column.to_owned(), allowed });
        }
        Bags::by_column(&self.table, column)
    }

    /// Where a row stands, for messages.
    pub fn place(&self, row: usize) -> String {
        format!("{}, {}", self.table.file(row).display(), self.table.place(row, &self.column))
    }

    /// Names of the columns in which the means stand: the target's, or `target=class` for each class.
    pub fn mean_columns(&self) -> Vec<String> {
        match &self.classes {
            None => vec![self.column.clone()],
            Some(classes) => classes.iter().map(|class| format!("{}={class}", self.column)).collect(),
        }
    }

    /// Refuses names under which a column of [`csv`](Self::csv) could not be found again.
    ///
    /// # Errors
    /// [`DataError::InvalidOption`] where two columns would have one name, or a class has a comma in its name: the columns of
    /// proportions are named in a list joined by commas.
    pub fn check_names(&self, bag_column: &str, by: Option<&str>) -> Result<(), DataError> {
        let refused = |option, value: &str, allowed: String| {
            Err(DataError::InvalidOption { option, value: value.to_owned(), allowed })
        };
        let means = self.mean_columns();
        if means.iter().any(|name| name == bag_column) {
            let allowed = "the means are in a column of that name; choose another name for the bags".to_owned();
            return refused("--bag-column", bag_column, allowed);
        }
        if self.kept(by).any(|column| column.name == bag_column) {
            let allowed = "the table has a column of that name; choose another name for the bags".to_owned();
            return refused("--bag-column", bag_column, allowed);
        }
        if let Some(taken) = means.iter().find(|name| self.kept(by).any(|column| column.name == **name)) {
            let allowed = format!("the table has a column `{taken}`, where proportions would go; rename it");
            return refused("--target", &self.column, allowed);
        }
        if let Some(class) = self.classes.iter().flatten().find(|class| class.contains(',')) {
            let allowed = format!(
                "its class `{class}` has a comma, and the columns of proportions are named in a list joined by commas; rename the class"
            );
            return refused("--target", &self.column, allowed);
        }
        Ok(())
    }

    /// Delimited text with a column `bag_column` in front and the means `[bags, width]` behind the other columns, in the order of
    /// the rows; rows in no bag are left out. `by` is the column that said the bags, where one did: it makes room for the new one.
    ///
    /// # Errors
    /// As [`check_names`](Self::check_names).
    pub fn csv(&self, bags: &Bags, means: &[f64], bag_column: &str, by: Option<&str>) -> Result<String, DataError> {
        self.check_names(bag_column, by)?;
        let kept: Vec<&Column> = self.kept(by).collect();
        let mut bag_of_row = vec![None; self.table.rows];
        bags.rows().iter().zip(bags.bag_of_row()).for_each(|(&row, bag)| bag_of_row[row] = Some(bag));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let names = kept.iter().map(|column| column.name.clone());
        let mut write = |record: Vec<String>| {
            writer.write_record(record).map_err(|error| DataError::shape("row", error.to_string(), "one cell a column"))
        };
        write([bag_column.to_owned()].into_iter().chain(names).chain(self.mean_columns()).collect())?;
        for (row, bag) in bag_of_row.into_iter().enumerate() {
            let Some(bag) = bag else { continue };
            let cells = kept.iter().map(|column| column.cells.text(row).unwrap_or_default().into_owned());
            let own = &means[bag * self.width()..(bag + 1) * self.width()];
            let own = own.iter().map(f64::to_string);
            write([bags.name(bag).to_owned()].into_iter().chain(cells).chain(own).collect())?;
        }
        let bytes = writer.into_inner().map_err(|error| DataError::shape("table", error.to_string(), "text"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Columns that are written as they are.
    fn kept(&self, by: Option<&str>) -> impl Iterator<Item = &Column> {
        self.table.columns.iter().filter(move |column| column.name != self.column && Some(column.name.as_str()) != by)
    }
}

fn read(source: &Source, path: &Path, header: Option<bool>) -> Result<Contents, DataError> {
    let how = How {
        header,
        columns: Columns::All,
        picture: PictureShape::default(),
        classes: source.classes(),
        labels: Labels::Needed,
        arrays: None,
        is_mnist: source.is_mnist(),
    };
    contents::read(path, &how, &mut Vec::new())
}
