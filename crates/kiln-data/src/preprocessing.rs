use serde::{Deserialize, Serialize};

/// What was done to the inputs and targets of the training rows, so that new rows get the same.
///
/// Fitted on the training split only; stored beside a model and applied by
/// [`open_like`](crate::open_like) to the rows to be predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Inputs.
    pub inputs: InputEncoding,
    /// Targets.
    pub targets: TargetEncoding,
}

/// How inputs become numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputEncoding {
    /// Columns of a table, each a number or a one-hot group.
    Table {
        /// Encoders of the feature columns, in the order of the features.
        columns: Vec<ColumnEncoder>,
    },
    /// Images or other arrays: `value / divisor`.
    Array {
        /// Shape of one row, such as `[channels, height, width]`.
        shape: Vec<usize>,
        /// 255 for bytes, 16 for `digits`, 1 for values that are taken as they are.
        divisor: f32,
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
    },
}

impl Preprocessing {
    /// Inputs divided by `divisor`, with class targets.
    pub(crate) fn array(shape: &[usize], divisor: f32, classes: &[String]) -> Self {
        Self {
            inputs: InputEncoding::Array { shape: shape.to_vec(), divisor },
            targets: TargetEncoding::Classes { column: None, names: classes.to_vec() },
        }
    }

    /// Shape of one row of inputs: `[features]` or `[channels, height, width]`.
    pub fn input_shape(&self) -> Vec<usize> {
        match &self.inputs {
            InputEncoding::Table { columns } => vec![columns.iter().map(ColumnEncoder::width).sum()],
            InputEncoding::Array { shape, .. } => shape.clone(),
        }
    }

    /// Names of the classes, or of the numbers to predict.
    pub fn class_names(&self) -> &[String] {
        match &self.targets {
            TargetEncoding::Classes { names, .. } => names,
            TargetEncoding::Values { columns } => columns,
        }
    }
}
