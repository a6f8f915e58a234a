use serde::{Deserialize, Serialize};

use crate::Targets;
use crate::text::Unit;

/// What was done to the inputs and targets of the training rows, so that new rows get the same.
///
/// Fitted on the training split only; stored beside a model and applied by
/// [`open_like`](crate::open_like) and its kin to the rows to be predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Inputs.
    pub inputs: InputEncoding,
    /// Targets.
    pub targets: TargetEncoding,
}

impl Preprocessing {
    /// Whether every number to scale by is there and can be divided by: a description may have been edited.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let usable = |mean: f32, deviation: f32| mean.is_finite() && deviation.is_finite() && deviation > 0.0;
        if let InputEncoding::Table { columns, .. } = &self.inputs {
            for column in columns {
                match column {
                    ColumnEncoder::Number { name, mean, deviation, .. } if !usable(*mean, *deviation) => {
                        return Err(format!(
                            "column {name} has mean {mean} and deviation {deviation}; a finite mean and a deviation above 0 are needed"
                        ));
                    }
                    _ => {}
                }
            }
        }
        if let TargetEncoding::Values { columns, means, deviations } = &self.targets {
            let whole = means.len() == columns.len() && deviations.len() == columns.len();
            if !whole || !means.iter().zip(deviations).all(|(&mean, &deviation)| usable(mean, deviation)) {
                let count = columns.len();
                return Err(format!(
                    "the targets have means {means:?} and deviations {deviations:?}; {count} finite means and deviations above 0 are needed"
                ));
            }
        }
        Ok(())
    }
}

/// How inputs become numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputEncoding {
    /// Columns of a table, each a number or a one-hot group.
    Table {
        /// Encoders of the feature columns, in the order of the features.
        columns: Vec<ColumnEncoder>,
        /// Whether the user said that the first line of delimited files names the columns, or that it does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<bool>,
    },
    /// Images or other arrays: `value / divisor`.
    Array {
        /// Shape of one row, such as `[channels, height, width]`.
        shape: Vec<usize>,
        /// 255 for bytes, 16 for `digits`, 1 for values that are taken as they are.
        divisor: f32,
    },
    /// Running text: the numbers of the words before the one to predict, oldest first. The classes are the words of the
    /// vocabulary: word `i` is class `i - 1`, and 0 stands for every word that is none of them.
    Text {
        /// Words or bytes.
        unit: Unit,
        /// Words before the one to predict.
        context: usize,
    },
}

/// How one column of a table becomes features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ColumnEncoder {
    /// `(value - mean) / deviation`; a missing value becomes 0, the mean of the training rows.
    Number {
        /// Column name.
        name: String,
        /// Mean over the training rows, or the value that stands for a missing one where nothing is standardised.
        mean: f32,
        /// Standard deviation over the training rows (divided by n), 1 for a constant column.
        deviation: f32,
        /// Whether the mean is subtracted and the deviation divided by.
        standardise: bool,
    },
    /// One feature a level, 1 for the row's level and 0 elsewhere; all 0 for a missing or a new level.
    Category {
        /// Column name.
        name: String,
        /// Levels of the training rows, sorted.
        levels: Vec<String>,
    },
}

impl ColumnEncoder {
    /// Name of the column that it reads.
    pub fn name(&self) -> &str {
        match self {
            Self::Number { name, .. } | Self::Category { name, .. } => name,
        }
    }

    /// Number of features that it gives.
    pub fn width(&self) -> usize {
        match self {
            Self::Number { .. } => 1,
            Self::Category { levels, .. } => levels.len(),
        }
    }

    /// Names of its features: the column's, or `column=level`.
    pub fn feature_names(&self) -> Vec<String> {
        match self {
            Self::Number { name, .. } => vec![name.clone()],
            Self::Category { name, levels } => levels.iter().map(|level| format!("{name}={level}")).collect(),
        }
    }
}

/// How targets become class indices or numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TargetEncoding {
    /// Class indices.
    Classes {
        /// Column of the class, where the set is a table.
        column: Option<String>,
        /// Class names in the order of their indices.
        names: Vec<String>,
    },
    /// Numbers, as they are.
    Values {
        /// Columns.
        columns: Vec<String>,
        /// Mean of each column over the training rows.
        means: Vec<f32>,
        /// Standard deviation of each column over the training rows (divided by n), 1 for a constant column.
        deviations: Vec<f32>,
    },
    /// The pixels of a picture of the shape of the inputs.
    Pixels,
}

impl TargetEncoding {
    /// Numbers whose means and deviations are not yet known.
    pub(crate) fn values(columns: Vec<String>) -> Self {
        Self::Values { columns, means: Vec::new(), deviations: Vec::new() }
    }

    /// Takes means and deviations from the training rows.
    pub(crate) fn fit(&mut self, targets: &Targets, training_rows: &[usize]) {
        let (Self::Values { columns, means, deviations }, Targets::Values { values, .. }) = (self, targets) else {
            return;
        };
        let width = columns.len();
        let value = |column: usize, row: usize| values[row * width + column];
        (*means, *deviations) = means_and_deviations(width, training_rows, value).into_iter().unzip();
    }

    /// `(value - mean) / deviation` of numbers `[rows, columns]`, row after row: a good scale to train on. Classes are
    /// left as they are.
    ///
    /// ```
    /// use kiln_data::TargetEncoding;
    ///
    /// let columns = vec!["price".to_string()];
    /// let encoding = TargetEncoding::Values { columns, means: vec![10.0], deviations: vec![2.0] };
    /// let mut values = vec![10.0, 14.0];
    /// encoding.standardise(&mut values);
    /// assert_eq!(values, [0.0, 2.0]);
    /// encoding.restore(&mut values);
    /// assert_eq!(values, [10.0, 14.0]);
    /// ```
    pub fn standardise(&self, values: &mut [f32]) {
        self.for_each(values, |value, mean, deviation| (value - mean) / deviation);
    }

    /// `value * deviation + mean`: undoes [`standardise`](Self::standardise), as for predictions.
    pub fn restore(&self, values: &mut [f32]) {
        self.for_each(values, |value, mean, deviation| value * deviation + mean);
    }

    fn for_each(&self, values: &mut [f32], change: impl Fn(f32, f32, f32) -> f32) {
        let Self::Values { columns, means, deviations } = self else { return };
        for row in values.chunks_mut(columns.len().max(1)) {
            for ((value, &mean), &deviation) in row.iter_mut().zip(means).zip(deviations) {
                *value = change(*value, mean, deviation);
            }
        }
    }
}

/// Mean and standard deviation (divided by n) of several columns over some rows, of the numbers that are there; deviation 1
/// where all are the same. `value` gives the number in a column and a row; it is asked row by row.
pub(crate) fn means_and_deviations(
    columns: usize,
    rows: &[usize],
    value: impl Fn(usize, usize) -> f32,
) -> Vec<(f32, f32)> {
    let mut counts = vec![0.0_f64; columns];
    let mut means = vec![0.0; columns];
    for_each_number(columns, rows, &value, |column, value| {
        counts[column] += 1.0;
        means[column] += value;
    });
    means.iter_mut().zip(&counts).for_each(|(mean, count)| *mean /= count.max(1.0));
    let mut variances = vec![0.0; columns];
    for_each_number(columns, rows, &value, |column, value| variances[column] += (value - means[column]).powi(2));
    let deviation = |(variance, count): (f64, &f64)| {
        let deviation = (variance / count.max(1.0)).sqrt() as f32;
        if deviation.is_finite() && deviation > 0.0 { deviation } else { 1.0 }
    };
    let deviations = variances.into_iter().zip(&counts).map(deviation);
    means.iter().map(|&mean| mean as f32).zip(deviations).collect()
}

/// Hands every number that is there, with its column, to `visit`.
fn for_each_number(
    columns: usize,
    rows: &[usize],
    value: &impl Fn(usize, usize) -> f32,
    mut visit: impl FnMut(usize, f64),
) {
    for &row in rows {
        for column in 0..columns {
            let value = value(column, row);
            if !value.is_nan() {
                visit(column, f64::from(value));
            }
        }
    }
}

impl Preprocessing {
    /// Pictures of a shape, `[channels, height, width]`, from which pictures of the same shape are made.
    pub fn of_images(shape: [usize; 3]) -> Self {
        let inputs = InputEncoding::Array { shape: shape.to_vec(), divisor: 255.0 };
        Self { inputs, targets: TargetEncoding::Pixels }
    }

    /// Inputs divided by `divisor`, with class targets.
    pub(crate) fn array(shape: &[usize], divisor: f32, classes: &[String]) -> Self {
        Self {
            inputs: InputEncoding::Array { shape: shape.to_vec(), divisor },
            targets: TargetEncoding::Classes { column: None, names: classes.to_vec() },
        }
    }

    /// Whether the inputs are words of running text.
    pub fn is_text(&self) -> bool {
        matches!(self.inputs, InputEncoding::Text { .. })
    }

    /// Shape of one row of inputs: `[features]` or `[channels, height, width]`.
    pub fn input_shape(&self) -> Vec<usize> {
        match &self.inputs {
            InputEncoding::Table { columns, .. } => vec![columns.iter().map(ColumnEncoder::width).sum()],
            InputEncoding::Array { shape, .. } => shape.clone(),
            InputEncoding::Text { context, .. } => vec![*context],
        }
    }

    /// Names of the classes, or of the numbers to predict; pixels have none.
    pub fn class_names(&self) -> &[String] {
        match &self.targets {
            TargetEncoding::Classes { names, .. } => names,
            TargetEncoding::Values { columns, .. } => columns,
            TargetEncoding::Pixels => &[],
        }
    }

    /// Number of classes, or of the numbers to predict.
    pub fn num_outputs(&self) -> usize {
        match &self.targets {
            TargetEncoding::Pixels => self.input_shape().iter().product(),
            _ => self.class_names().len(),
        }
    }
}
