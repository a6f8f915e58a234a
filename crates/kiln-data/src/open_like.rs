//! New rows for a trained model: read like the training rows, encoded by their [`Preprocessing`].

use std::path::Path;

use crate::array::Array;
use crate::delimited::DelimitedOptions;
use crate::image_folder::{self, PictureShape, Pictures};
use crate::open::{Format, OpenOptions, locate, open};
use crate::parquet_file::ParquetData;
use crate::preprocessing::{InputEncoding, TargetEncoding};
use crate::table::Table;
use crate::{
    ArrayDataset, DataDir, DataError, Preprocessing, Targets, catalogue, delimited, idx, nearest, numpy, open_arrays,
    parquet_file, table_encoding,
};

/// Reads a file, a folder or a known set (of which the test rows are taken) for a model trained with `preprocessing`.
///
/// A table needs the feature columns of the training table, in any order, and may have the target column. Pictures
/// are resized to the size that the model takes. The truth value says whether the source has targets; where it has
/// none, every target is 0 and must not be read.
///
/// # Errors
/// Any [`DataError`]: a column is missing, a label is not in the training set, the shapes differ, ...
pub fn open_like(
    source: &str,
    dir: &DataDir,
    preprocessing: &Preprocessing,
) -> Result<(ArrayDataset, bool), DataError> {
    let new = read(source, dir, preprocessing)?;
    let has_targets = new.targets.is_some();
    let rows = new.inputs.len() / new.input_shape.iter().product::<usize>().max(1);
    let targets = new.targets.unwrap_or_else(|| match &preprocessing.targets {
        TargetEncoding::Classes { names, .. } => Targets::Classes { labels: vec![0; rows], names: names.clone() },
        TargetEncoding::Values { columns } => {
            Targets::Values { values: vec![0.0; rows * columns.len()], names: columns.clone() }
        }
    });
    let data = match new.feature_names {
        Some(names) => ArrayDataset::with_feature_names(new.inputs, new.input_shape, targets, names)?,
        None => ArrayDataset::new(new.inputs, new.input_shape, targets)?,
    };
    Ok((data, has_targets))
}

/// Encoded rows, with their targets where the source has them.
struct NewRows {
    inputs: Vec<f32>,
    input_shape: Vec<usize>,
    targets: Option<Targets>,
    feature_names: Option<Vec<String>>,
}

fn read(source: &str, dir: &DataDir, preprocessing: &Preprocessing) -> Result<NewRows, DataError> {
    let known = catalogue::find(source);
    if let InputEncoding::Table { columns } = &preprocessing.inputs {
        let path = match known {
            Some(entry) => entry.locate(dir)?,
            None => locate(source, dir)?,
        };
        let table = read_table(&path)?;
        let (inputs, names) = table_encoding::encode_inputs(&table, columns)?;
        let targets = table_encoding::targets_if_there(&table, preprocessing)?;
        return Ok(NewRows { inputs, input_shape: vec![names.len()], targets, feature_names: Some(names) });
    }
    if known.is_some() {
        let test = open(source, dir, &OpenOptions::default())?.test;
        return labelled(Path::new(source), test, preprocessing);
    }
    let path = locate(source, dir)?;
    let shape = preprocessing.input_shape();
    let picture_shape = match shape[..] {
        [channels @ (1 | 3), height, width] => PictureShape { size: Some((height, width)), channels: Some(channels) },
        _ => PictureShape::default(),
    };
    let pictures = if path.is_dir() { image_folder::pictures_in(&path)? } else { Vec::new() };
    if !pictures.is_empty() {
        return unlabelled(&path, image_folder::read_files(&pictures, picture_shape)?, preprocessing);
    }
    if path.is_dir() {
        let classes = image_folder::list(&path)?.into_iter().filter(|entry| entry.is_dir());
        let has_pictures = |folder: &Path| image_folder::pictures_in(folder).is_ok_and(|found| !found.is_empty());
        if classes.into_iter().any(|folder| has_pictures(&folder)) {
            return pictures_with_classes(&path, image_folder::read_classes(&path, picture_shape)?, preprocessing);
        }
        let options = OpenOptions { image_size: picture_shape.size, ..OpenOptions::default() };
        return labelled(&path, open(source, dir, &options)?.test, preprocessing);
    }
    if image_folder::is_picture(&path) {
        let array = image_folder::read_files(std::slice::from_ref(&path), picture_shape)?;
        return unlabelled(&path, array, preprocessing);
    }
    match Format::of(&path) {
        Some(Format::Delimited) if image_folder::is_list(&path) => {
            pictures_with_classes(&path, image_folder::read_list(&path, picture_shape)?, preprocessing)
        }
        Some(Format::Parquet) => match parquet_file::read(&path)? {
            ParquetData::Pictures(pictures) => pictures_with_classes(&path, pictures, preprocessing),
            ParquetData::Table(_) => Err(DataError::malformed(&path, "", "a table", "pictures, as in training")),
        },
        Some(Format::Idx) => unlabelled(&path, idx::read(&path)?, preprocessing),
        Some(Format::Arrays) if path.extension().is_some_and(|extension| extension == "npy") => {
            unlabelled(&path, numpy::read(&path)?, preprocessing)
        }
        _ => {
            let splits = open(source, dir, &OpenOptions::default())?;
            labelled(&path, splits.test, preprocessing)
        }
    }
}

fn read_table(path: &Path) -> Result<Table, DataError> {
    match Format::of(path) {
        Some(Format::Parquet) => match parquet_file::read(path)? {
            ParquetData::Table(table) => Ok(table),
            ParquetData::Pictures(_) => Err(DataError::malformed(path, "", "pictures", "a table, as in training")),
        },
        Some(Format::Arrays) if path.extension().is_some_and(|extension| extension == "npy") => {
            open_arrays::columns(path, numpy::read(path)?, None)
        }
        Some(Format::Delimited) => delimited::read(path, DelimitedOptions::default()),
        _ => Err(DataError::malformed(path, "", "no table", "a .csv, .tsv, .parquet or .npy file, as in training")),
    }
}

fn unlabelled(path: &Path, array: Array, preprocessing: &Preprocessing) -> Result<NewRows, DataError> {
    let rows = array.into_rows();
    fits(path, &rows.shape, preprocessing)?;
    Ok(NewRows { inputs: rows.values, input_shape: rows.shape, targets: None, feature_names: None })
}

fn pictures_with_classes(path: &Path, pictures: Pictures, preprocessing: &Preprocessing) -> Result<NewRows, DataError> {
    let rows = pictures.array.into_rows();
    fits(path, &rows.shape, preprocessing)?;
    let targets = Targets::Classes { labels: pictures.labels, names: pictures.names };
    let targets = Some(renamed(path, targets, preprocessing)?);
    Ok(NewRows { inputs: rows.values, input_shape: rows.shape, targets, feature_names: None })
}

fn labelled(path: &Path, data: ArrayDataset, preprocessing: &Preprocessing) -> Result<NewRows, DataError> {
    fits(path, data.input_shape(), preprocessing)?;
    let inputs = (0..data.len()).flat_map(|row| data.row(row)).copied().collect();
    let targets = Some(renamed(path, data.targets(), preprocessing)?);
    Ok(NewRows { inputs, input_shape: data.input_shape().to_vec(), targets, feature_names: None })
}

fn fits(path: &Path, shape: &[usize], preprocessing: &Preprocessing) -> Result<(), DataError> {
    let expected = preprocessing.input_shape();
    if shape == expected {
        return Ok(());
    }
    Err(DataError::malformed(path, "", format!("rows of shape {shape:?}"), format!("{expected:?}, as in training")))
}

/// Labels as indices into the classes of training.
fn renamed(path: &Path, targets: Targets, preprocessing: &Preprocessing) -> Result<Targets, DataError> {
    let (Targets::Classes { labels, names }, TargetEncoding::Classes { names: known, .. }) =
        (&targets, &preprocessing.targets)
    else {
        return Ok(targets);
    };
    let places: Vec<Option<u32>> =
        names.iter().map(|name| known.iter().position(|other| other == name).map(|at| at as u32)).collect();
    let labels = labels.iter().map(|&label| {
        places[label as usize].ok_or_else(|| {
            let label = names[label as usize].clone();
            DataError::UnknownLabel {
                path: path.to_owned(),
                place: String::new(),
                nearest: nearest(&label, known.iter().map(String::as_str)).map(str::to_owned),
                known: crate::error::listed(known.iter().map(String::as_str)),
                label,
            }
        })
    });
    Ok(Targets::Classes { labels: labels.collect::<Result<_, _>>()?, names: known.clone() })
}
