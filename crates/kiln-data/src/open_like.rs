//! New rows for a trained model: read like the training rows, encoded by their [`Preprocessing`].

use std::path::Path;

use crate::contents::{self, Arrays, Contents, How, Labels};
use crate::image_folder::PictureShape;
use crate::open::{OpenOptions, cut};
use crate::open_arrays::EncodedArrays;
use crate::preprocessing::{ColumnEncoder, InputEncoding, TargetEncoding};
use crate::source::Source;
use crate::table::{Columns, Table};
use crate::table_encoding::{encode_inputs, encode_targets, target_columns};
use crate::{ArrayDataset, DataDir, DataError, Preprocessing, Targets, digits};

/// Reads all rows of a file, a folder or a known set for a model trained with `preprocessing`, with their targets where
/// the source has them.
///
/// A table needs the feature columns of the training table, in any order, and may have the target column. Pictures
/// are resized to the size that the model takes. The truth value says whether every row has a target; where it has
/// not, every target is 0 and must not be read.
///
/// # Errors
/// Any [`DataError`]: a column is missing, a label is not in the training set, the shapes differ, ...
pub fn open_like(
    source: &str,
    dir: &DataDir,
    preprocessing: &Preprocessing,
) -> Result<(ArrayDataset, bool), DataError> {
    let rows = EncodedRows::all(&Source::find(source, dir)?, preprocessing, Labels::IfThere)?;
    let has_targets = rows.targets.is_some();
    Ok((rows.into_dataset(preprocessing)?, has_targets))
}

/// As [`open_like`] for rows to be predicted: whatever the source says about targets is not looked at, and every target
/// of the set is 0.
///
/// # Errors
/// As [`open_like`], none of them about targets.
pub fn open_inputs_like(source: &str, dir: &DataDir, preprocessing: &Preprocessing) -> Result<ArrayDataset, DataError> {
    EncodedRows::all(&Source::find(source, dir)?, preprocessing, Labels::Unused)?.into_dataset(preprocessing)
}

/// The rows that [`open`](crate::open) would keep for the test with the same `options`, encoded by what was fitted on
/// the training rows of a model.
///
/// # Errors
/// As [`open_like`]; [`DataError::EmptySplit`] where no row would be kept.
pub fn open_test_like(
    source: &str,
    dir: &DataDir,
    preprocessing: &Preprocessing,
    options: &OpenOptions,
) -> Result<ArrayDataset, DataError> {
    options.check()?;
    let source = Source::find(source, dir)?;
    let options = options.of_set(source.entry)?;
    let (own_test, has_validation, rows) = EncodedRows::learnt_from(&source, preprocessing)?;
    if let Some(test) = own_test {
        return test.into_dataset(preprocessing);
    }
    let data = rows.into_dataset(preprocessing)?;
    let labels =
        data.is_classification().then(|| data.labels().into_iter().map(|label| label as u32).collect::<Vec<_>>());
    let rows = cut(labels.as_deref(), data.len(), has_validation, false, &options)?;
    Ok(data.select(&rows.test))
}

/// Rows in the encoding of a model.
struct EncodedRows {
    /// For messages.
    path: std::path::PathBuf,
    inputs: Vec<f32>,
    input_shape: Vec<usize>,
    targets: Option<Targets>,
    feature_names: Option<Vec<String>>,
}

impl EncodedRows {
    /// All rows of a source, those for training first.
    fn all(source: &Source, preprocessing: &Preprocessing, labels: Labels) -> Result<Self, DataError> {
        let parts: Vec<Self> = match &source.path {
            None => vec![Self::digits()?],
            Some(path) => match read(source, path, preprocessing, labels)? {
                Contents::Table(parts) => {
                    parts.all().map(|part| Self::of_table(&part, preprocessing, labels)).collect::<Result<_, _>>()?
                }
                Contents::Arrays(parts) => {
                    parts.all().map(|part| Self::of_arrays(part, preprocessing, labels)).collect::<Result<_, _>>()?
                }
            },
        };
        let mut parts = parts.into_iter();
        let first = parts.next().ok_or_else(|| {
            let place = source.path.as_deref().unwrap_or(Path::new(&source.name));
            DataError::malformed(place, "", "no rows", "at least one")
        })?;
        parts.try_fold(first, Self::followed_by)?.fitting(preprocessing)
    }

    /// The test rows that a source brings, whether it brings validation rows, and the rows that are cut.
    fn learnt_from(source: &Source, preprocessing: &Preprocessing) -> Result<(Option<Self>, bool, Self), DataError> {
        let labels = Labels::Needed;
        let Some(path) = &source.path else {
            return Ok((None, false, Self::digits()?.fitting(preprocessing)?));
        };
        let (test, has_validation, rows) = match read(source, path, preprocessing, labels)? {
            Contents::Table(mut parts) => {
                let encode = |part: &Table| Self::of_table(part, preprocessing, labels);
                let test = parts.test.as_ref().map(encode).transpose()?;
                (test, parts.validation.is_some(), encode(&parts.take_train(path)?)?)
            }
            Contents::Arrays(mut parts) => {
                let encode = |part: Arrays| Self::of_arrays(part, preprocessing, labels);
                let test = parts.test.take().map(encode).transpose()?;
                (test, parts.validation.is_some(), encode(parts.take_train(path)?)?)
            }
        };
        let test = test.map(|test| test.fitting(preprocessing)).transpose()?;
        Ok((test, has_validation, rows.fitting(preprocessing)?))
    }

    fn digits() -> Result<Self, DataError> {
        let data = digits::read()?.0;
        let inputs = (0..data.len()).flat_map(|row| data.row(row)).copied().collect();
        let (input_shape, targets) = (data.input_shape().to_vec(), Some(data.targets()));
        Ok(Self { path: "digits".into(), inputs, input_shape, targets, feature_names: None })
    }

    fn of_table(table: &Table, preprocessing: &Preprocessing, labels: Labels) -> Result<Self, DataError> {
        let InputEncoding::Table { columns, .. } = &preprocessing.inputs else {
            return Err(DataError::malformed(&table.path, "", "a table", "pictures or arrays, as in training"));
        };
        let (inputs, names) = encode_inputs(table, columns)?;
        let wanted = target_columns(&preprocessing.targets);
        let there = !wanted.is_empty() && wanted.iter().all(|column| table.has(column));
        let targets = match labels {
            Labels::Unused => None,
            Labels::IfThere if !there => None,
            _ => Some(encode_targets(table, &preprocessing.targets)?),
        };
        let path = table.path.clone();
        Ok(Self { path, inputs, input_shape: vec![names.len()], targets, feature_names: Some(names) })
    }

    fn of_arrays(part: Arrays, preprocessing: &Preprocessing, labels: Labels) -> Result<Self, DataError> {
        if let InputEncoding::Table { .. } = &preprocessing.inputs {
            return Err(DataError::malformed(&part.path, "", "pictures or arrays", "a table, as in training"));
        }
        let path = part.path.clone();
        let rows = EncodedArrays::of(part, &preprocessing.targets, labels != Labels::Unused)?;
        let EncodedArrays { inputs, input_shape, targets, .. } = rows;
        Ok(Self { path, inputs, input_shape, targets, feature_names: None })
    }

    /// The rows of the next part, behind these.
    fn followed_by(mut self, next: Self) -> Result<Self, DataError> {
        if self.input_shape != next.input_shape {
            let found = format!("rows of shape {:?}", next.input_shape);
            return Err(DataError::malformed(next.path, "", found, format!("{:?} as before", self.input_shape)));
        }
        self.inputs.extend(next.inputs);
        self.targets = match (self.targets, next.targets) {
            (Some(Targets::Classes { mut labels, names }), Some(Targets::Classes { labels: more, .. })) => {
                labels.extend(more);
                Some(Targets::Classes { labels, names })
            }
            (Some(Targets::Values { mut values, names }), Some(Targets::Values { values: more, .. })) => {
                values.extend(more);
                Some(Targets::Values { values, names })
            }
            _ => None,
        };
        Ok(self)
    }

    /// Refuses rows of another shape than the model takes, and classes or numbers where it has the other.
    fn fitting(self, preprocessing: &Preprocessing) -> Result<Self, DataError> {
        let expected = preprocessing.input_shape();
        if self.input_shape != expected {
            let found = format!("rows of shape {:?}", self.input_shape);
            return Err(DataError::malformed(self.path, "", found, format!("{expected:?}, as in training")));
        }
        match (&self.targets, &preprocessing.targets) {
            (Some(Targets::Classes { names, .. }), TargetEncoding::Classes { names: known, .. }) if names != known => {
                let (found, expected) =
                    (format!("{} classes", names.len()), format!("{}, as in training", known.len()));
                Err(DataError::malformed(self.path, "", found, expected))
            }
            (Some(Targets::Classes { .. }), TargetEncoding::Values { .. }) => {
                Err(DataError::malformed(self.path, "", "classes", "numbers to predict, as in training"))
            }
            _ => Ok(self),
        }
    }

    /// A data set, with targets of 0 where there are none.
    fn into_dataset(self, preprocessing: &Preprocessing) -> Result<ArrayDataset, DataError> {
        let rows = self.inputs.len() / self.input_shape.iter().product::<usize>().max(1);
        let targets = self.targets.unwrap_or_else(|| match &preprocessing.targets {
            TargetEncoding::Classes { names, .. } => Targets::Classes { labels: vec![0; rows], names: names.clone() },
            TargetEncoding::Values { columns, .. } => {
                Targets::Values { values: vec![0.0; rows * columns.len()], names: columns.clone() }
            }
            TargetEncoding::Pixels => Targets::Values { values: Vec::new(), names: Vec::new() },
        });
        let data = match self.feature_names {
            Some(names) => ArrayDataset::with_feature_names(self.inputs, self.input_shape, targets, names),
            None => ArrayDataset::new(self.inputs, self.input_shape, targets),
        };
        data.map_err(|error| error.in_file(&self.path))
    }
}

/// Reads what the model's inputs need, and its targets unless these are unused.
fn read(source: &Source, path: &Path, preprocessing: &Preprocessing, labels: Labels) -> Result<Contents, DataError> {
    let mut wanted: Vec<String> = Vec::new();
    let (mut header, mut arrays) = (None, true);
    if let InputEncoding::Table { columns, header: told } = &preprocessing.inputs {
        wanted.extend(columns.iter().map(ColumnEncoder::name).map(str::to_owned));
        (header, arrays) = (*told, false);
    }
    if labels != Labels::Unused {
        wanted.extend(target_columns(&preprocessing.targets));
    }
    let picture = match preprocessing.input_shape()[..] {
        [channels @ (1 | 3), height, width] => PictureShape { size: Some((height, width)), channels: Some(channels) },
        _ => PictureShape::default(),
    };
    let how = How {
        header,
        columns: Columns::Only(&wanted),
        picture,
        classes: source.classes(),
        labels,
        arrays: Some(arrays),
        is_mnist: source.is_mnist(),
    };
    contents::read(path, &how, &mut Vec::new())
}
