use std::path::PathBuf;
use std::sync::Arc;

use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::DataError;

/// Rows of `f32` features with their targets, in memory.
///
/// A clone or a subset ([`select`](Self::select)) shares the values and costs only its list of rows.
///
/// ```
/// use kiln_data::{ArrayDataset, Targets};
///
/// let targets = Targets::Classes { labels: vec![0, 1], names: vec!["no".into(), "yes".into()] };
/// let data = ArrayDataset::new(vec![0.0, 0.5, 1.0, 1.5], vec![2], targets)?;
/// assert_eq!(data.row(1), &[1.0, 1.5]);
/// assert_eq!(data.select(&[1]).label(0), 1);
/// # Ok::<(), kiln_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ArrayDataset {
    storage: Arc<Storage>,
    /// Rows of the storage that this set shows, in its order.
    rows: Arc<[u32]>,
}

#[derive(Debug)]
struct Storage {
    inputs: Vec<f32>,
    input_shape: Vec<usize>,
    targets: Targets,
    feature_names: Vec<String>,
    /// Where each row begins, for rows that overlap; the others stand one after the other.
    starts: Option<Vec<u32>>,
}

/// What is to be predicted, for each row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Targets {
    /// One class a row.
    Classes {
        /// Class of each row, an index into `names`.
        labels: Vec<u32>,
        /// Name of each class.
        names: Vec<String>,
    },
    /// One or several numbers a row.
    Values {
        /// `[rows, names.len()]`, row after row.
        values: Vec<f32>,
        /// Name of each number.
        names: Vec<String>,
    },
}

impl Targets {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values { values, names } => values.len() / names.len().max(1),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One row, as Burn's data loaders hand it on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Features, flat.
    pub inputs: Vec<f32>,
    /// What is to be predicted.
    pub target: Target,
}

/// The target of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// A class index.
    Class(u32),
    /// Numbers.
    Values(Vec<f32>),
}

impl ArrayDataset {
    /// A set of all rows of `inputs`.
    ///
    /// # Shapes
    /// - `inputs`: `[rows, input_shape...]`, flat, row after row
    /// - `input_shape`: `[features]` or `[channels, height, width]`
    ///
    /// # Errors
    /// [`DataError::Shape`] where the lengths do not agree or a label has no name, [`DataError::NonFinite`] where a
    /// value is infinite or not a number.
    pub fn new(inputs: Vec<f32>, input_shape: Vec<usize>, targets: Targets) -> Result<Self, DataError> {
        let names = feature_names(&input_shape);
        Self::with_feature_names(inputs, input_shape, targets, names)
    }

    /// The same with a name for each feature.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`DataError::Shape`] where the number of names is not the number of features.
    pub fn with_feature_names(
        inputs: Vec<f32>,
        input_shape: Vec<usize>,
        targets: Targets,
        feature_names: Vec<String>,
    ) -> Result<Self, DataError> {
        let features: usize = input_shape.iter().product();
        if features == 0 {
            return Err(DataError::shape("input shape", format!("{input_shape:?}"), "at least one feature"));
        }
        let rows = targets.len();
        if rows.checked_mul(features) != Some(inputs.len()) || rows > u32::MAX as usize {
            return Err(DataError::shape(
                "inputs",
                format!("{} values", inputs.len()),
                format!("{rows} rows of {features} features"),
            ));
        }
        if feature_names.len() != features {
            let found = feature_names.len().to_string();
            return Err(DataError::shape("feature names", found, features.to_string()));
        }
        match &targets {
            Targets::Classes { labels, names } => {
                if let Some(label) = labels.iter().find(|&&label| label as usize >= names.len()) {
                    let expected = format!("a class in 0..{}", names.len());
                    return Err(DataError::shape("label", label.to_string(), expected));
                }
            }
            Targets::Values { values, names } => {
                if names.is_empty() || values.len() != rows * names.len() {
                    let expected = format!("{rows} rows of {} values", names.len());
                    return Err(DataError::shape("target values", values.len().to_string(), expected));
                }
                if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                    let feature = format!("`{}` (the target)", names[at % names.len()]);
                    return Err(non_finite(at / names.len(), feature, values[at]));
                }
            }
        }
        if let Some(at) = inputs.iter().position(|value| !value.is_finite()) {
            let feature = format!("`{}`", feature_names[at % features]);
            return Err(non_finite(at / features, feature, inputs[at]));
        }
        let rows = (0..rows as u32).collect();
        Ok(Self { storage: Arc::new(Storage { inputs, input_shape, targets, feature_names, starts: None }), rows })
    }

    /// A set of rows that are windows of one sequence and may overlap: row `i` is `width` values from `starts[i]` on.
    ///
    /// # Errors
    /// [`DataError::Shape`] where there is not one class for each row, a class has no name, or a window reaches beyond the
    /// sequence.
    pub(crate) fn of_windows(
        sequence: Vec<f32>,
        width: usize,
        starts: Vec<u32>,
        labels: Vec<u32>,
        names: Vec<String>,
    ) -> Result<Self, DataError> {
        let ends = |start: &u32| *start as usize + width;
        if starts.len() != labels.len() || starts.iter().any(|start| ends(start) > sequence.len()) {
            let found = format!("{} windows of {width} with {} classes", starts.len(), labels.len());
            return Err(DataError::shape("windows", found, format!("within {} values", sequence.len())));
        }
        if let Some(label) = labels.iter().find(|&&label| label as usize >= names.len()) {
            return Err(DataError::shape("label", label.to_string(), format!("a class in 0..{}", names.len())));
        }
        let (input_shape, rows) = (vec![width], (0..starts.len() as u32).collect());
        let feature_names = feature_names(&input_shape);
        let targets = Targets::Classes { labels, names };
        let storage = Storage { inputs: sequence, input_shape, targets, feature_names, starts: Some(starts) };
        Ok(Self { storage: Arc::new(storage), rows })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Shape of one row: `[features]` or `[channels, height, width]`.
    pub fn input_shape(&self) -> &[usize] {
        &self.storage.input_shape
    }

    /// Numbers in one row.
    pub fn num_features(&self) -> usize {
        self.storage.feature_names.len()
    }

    /// Number of classes, or of numbers to predict where targets are [`Targets::Values`].
    pub fn num_classes(&self) -> usize {
        self.class_names().len()
    }

    /// Names of the classes, or of the numbers to predict.
    pub fn class_names(&self) -> &[String] {
        match &self.storage.targets {
            Targets::Classes { names, .. } | Targets::Values { names, .. } => names,
        }
    }

    /// Names of the features.
    pub fn feature_names(&self) -> &[String] {
        &self.storage.feature_names
    }

    /// Whether the targets are classes.
    pub fn is_classification(&self) -> bool {
        matches!(self.storage.targets, Targets::Classes { .. })
    }

    /// Features of a row.
    ///
    /// # Panics
    /// Where `row` is not below [`len`](Self::len).
    pub fn row(&self, row: usize) -> &[f32] {
        let features = self.num_features();
        let row = self.rows[row] as usize;
        let at = self.storage.starts.as_ref().map_or(row * features, |starts| starts[row] as usize);
        &self.storage.inputs[at..at + features]
    }

    /// Class of a row.
    ///
    /// # Panics
    /// Where `row` is not below [`len`](Self::len), or the targets are numbers.
    pub fn label(&self, row: usize) -> usize {
        match &self.storage.targets {
            Targets::Classes { labels, .. } => labels[self.rows[row] as usize] as usize,
            Targets::Values { names, .. } => panic!("labels of a regression set (targets {})", names.join(", ")),
        }
    }

    /// Class of every row.
    ///
    /// # Panics
    /// Where the targets are numbers.
    pub fn labels(&self) -> Vec<usize> {
        (0..self.len()).map(|row| self.label(row)).collect()
    }

    /// Target numbers of a row; the class as a number where targets are classes.
    pub fn values(&self, row: usize) -> Vec<f32> {
        let at = self.rows[row] as usize;
        match &self.storage.targets {
            Targets::Classes { labels, .. } => vec![labels[at] as f32],
            Targets::Values { values, names } => values[at * names.len()..(at + 1) * names.len()].to_vec(),
        }
    }

    /// Targets of the rows of this set, in its order.
    pub fn targets(&self) -> Targets {
        match &self.storage.targets {
            Targets::Classes { labels, names } => Targets::Classes {
                labels: self.rows.iter().map(|&row| labels[row as usize]).collect(),
                names: names.clone(),
            },
            Targets::Values { names, .. } => Targets::Values {
                values: (0..self.len()).flat_map(|row| self.values(row)).collect(),
                names: names.clone(),
            },
        }
    }

    /// Rows of each class.
    ///
    /// # Panics
    /// Where the targets are numbers.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.num_classes()];
        for label in self.labels() {
            counts[label] += 1;
        }
        counts
    }

    /// The given rows, in the given order; a row may come several times.
    ///
    /// # Panics
    /// Where a row is not below [`len`](Self::len).
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { storage: self.storage.clone(), rows: rows.iter().map(|&row| self.rows[row]).collect() }
    }

    /// The same rows with other classes.
    ///
    /// # Errors
    /// [`DataError::Shape`] where there is not one label a row, or one names no class.
    pub fn with_labels(&self, labels: Vec<u32>) -> Result<Self, DataError> {
        let inputs = (0..self.len()).flat_map(|row| self.row(row)).copied().collect();
        let targets = Targets::Classes { labels, names: self.class_names().to_vec() };
        Self::with_feature_names(inputs, self.input_shape().to_vec(), targets, self.feature_names().to_vec())
    }

    /// Features and classes of the given rows.
    ///
    /// # Shapes
    /// - output: `[rows, features]` and `[rows]`
    ///
    /// # Panics
    /// Where a row is not below [`len`](Self::len), or the targets are numbers.
    pub fn batch(&self, rows: &[usize], device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let labels: Vec<i64> = rows.iter().map(|&row| self.label(row) as i64).collect();
        (self.inputs(rows, device), Tensor::from_data(TensorData::new(labels, [rows.len()]), device))
    }

    /// Features and target numbers of the given rows.
    ///
    /// # Shapes
    /// - output: `[rows, features]` and `[rows, targets]`
    ///
    /// # Panics
    /// Where a row is not below [`len`](Self::len).
    pub fn batch_values(&self, rows: &[usize], device: &Device) -> (Tensor<2>, Tensor<2>) {
        let values: Vec<f32> = rows.iter().flat_map(|&row| self.values(row)).collect();
        let width = values.len() / rows.len().max(1);
        (self.inputs(rows, device), Tensor::from_data(TensorData::new(values, [rows.len(), width]), device))
    }

    /// Features and classes of all rows: `[len, features]` and `[len]`.
    ///
    /// # Panics
    /// Where the targets are numbers.
    pub fn all(&self, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        self.batch(&(0..self.len()).collect::<Vec<_>>(), device)
    }

    /// Features of the given rows: `[rows, features]`.
    ///
    /// # Panics
    /// Where a row is not below [`len`](Self::len).
    pub fn inputs(&self, rows: &[usize], device: &Device) -> Tensor<2> {
        let features = self.num_features();
        let mut values = Vec::with_capacity(rows.len() * features);
        for &row in rows {
            values.extend_from_slice(self.row(row));
        }
        Tensor::from_data(TensorData::new(values, [rows.len(), features]), device)
    }
}

impl Dataset<Example> for ArrayDataset {
    fn get(&self, index: usize) -> Result<Example, DatasetError> {
        let target = match &self.storage.targets {
            Targets::Classes { .. } => Target::Class(self.label(index) as u32),
            Targets::Values { .. } => Target::Values(self.values(index)),
        };
        Ok(Example { inputs: self.row(index).to_vec(), target })
    }

    fn len(&self) -> usize {
        self.rows.len()
    }
}

fn non_finite(row: usize, feature: String, value: f32) -> DataError {
    DataError::NonFinite { path: PathBuf::new(), row: row + 1, feature, value }
}

/// `x0, x1, ...` for tables, `channel,row,column` for images.
fn feature_names(input_shape: &[usize]) -> Vec<String> {
    match input_shape {
        [channels, height, width] if channels.saturating_mul(*height).saturating_mul(*width) < 1 << 24 => (0
            ..*channels)
            .flat_map(|channel| (0..*height).map(move |row| (channel, row)))
            .flat_map(|(channel, row)| (0..*width).map(move |column| format!("{channel},{row},{column}")))
            .collect(),
        shape => (0..shape.iter().product()).map(|feature: usize| format!("x{feature}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> ArrayDataset {
        let targets = Targets::Classes { labels: vec![0, 1, 1], names: vec!["a".into(), "b".into()] };
        ArrayDataset::new(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], vec![2], targets).unwrap()
    }

    #[test]
    fn a_subset_of_a_subset_shows_the_right_rows() {
        let subset = small().select(&[2, 0]).select(&[0, 0, 1]);
        assert_eq!(subset.row(1), &[4.0, 5.0]);
        assert_eq!(subset.labels(), vec![1, 1, 0]);
        assert_eq!(subset.class_counts(), vec![1, 2]);
        assert_eq!(subset.targets().len(), 3);
    }

    #[test]
    fn windows_overlap_and_stay_within_their_sequence() {
        let names = || vec!["a".to_owned(), "b".to_owned()];
        let windows = |starts| ArrayDataset::of_windows(vec![0.0, 1.0, 2.0, 3.0], 3, starts, vec![1, 0], names());
        let set = windows(vec![1, 0]).unwrap();
        assert_eq!((set.row(0), set.row(1)), (&[1.0, 2.0, 3.0][..], &[0.0, 1.0, 2.0][..]));
        assert_eq!(set.select(&[1]).row(0), &[0.0, 1.0, 2.0]);
        assert_eq!(set.with_labels(vec![0, 0]).unwrap().row(0), &[1.0, 2.0, 3.0]);
        assert!(windows(vec![2, 0]).is_err() && windows(vec![0]).is_err());
    }

    #[test]
    fn a_batch_has_the_rows_in_the_order_asked_for() {
        let (inputs, labels) = small().batch(&[2, 0], &Device::flex());
        assert_eq!(inputs.into_data().try_to_vec::<f32>().unwrap(), vec![4.0, 5.0, 0.0, 1.0]);
        assert_eq!(labels.into_data().iter::<i64>().collect::<Vec<_>>(), vec![1, 0]);
    }

    #[test]
    fn wrong_lengths_labels_and_values_are_refused() {
        let names = vec!["a".to_owned(), "b".to_owned()];
        let classes = |labels: Vec<u32>| Targets::Classes { labels, names: names.clone() };
        assert!(ArrayDataset::new(vec![0.0; 5], vec![2], classes(vec![0, 1])).is_err());
        assert!(ArrayDataset::new(vec![0.0; 4], vec![2], classes(vec![0, 2])).is_err());
        assert!(ArrayDataset::new(vec![], vec![0], classes(vec![])).is_err());
        let error = ArrayDataset::new(vec![0.0, 1.0, f32::NAN, 0.0], vec![2], classes(vec![0, 1])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "row 2, feature `x0`: NaN is not a finite number; remove the row or fill the value in"
        );
    }
}
