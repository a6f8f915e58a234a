//! What a path holds, table rows or arrays, with the parts that it brings and before anything is encoded: the one way
//! in which training, evaluation and prediction read files.

use std::path::{Path, PathBuf};

use crate::array::Array;
use crate::delimited::{self, DelimitedOptions};
use crate::image_folder::{self, PictureShape, Pictures};
use crate::parquet_file::{self, ParquetData};
use crate::table::{Columns, Table};
use crate::{DataError, array_files, cifar, folder};

/// How files are read.
#[derive(Clone, Copy)]
pub(crate) struct How<'a> {
    /// Whether the first line of a delimited file names the columns.
    pub header: Option<bool>,
    /// Columns of tables that are read.
    pub columns: Columns<'a>,
    /// What picture files are brought to.
    pub picture: PictureShape,
    /// Names of the classes that a known set has.
    pub classes: &'a [&'a str],
    /// Targets of pictures and arrays.
    pub labels: Labels,
    /// Whether rows are pictures or arrays, where that is known: a list of paths is a table to a model of tables.
    pub arrays: Option<bool>,
    /// Whether the folder holds MNIST's first 10,000 digits, of which the last 2,000 are for testing.
    pub is_mnist: bool,
}

/// What becomes of the targets of pictures and arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    /// A source without them is refused.
    Needed,
    /// They are read where they are.
    IfThere,
    /// They are not even looked at.
    Unused,
}

/// Rows of one kind.
pub(crate) enum Contents {
    Table(Parts<Table>),
    Arrays(Parts<Arrays>),
}

/// The parts that a source brings; without a training part only where rows are to be predicted.
pub(crate) struct Parts<T> {
    pub train: Option<T>,
    pub validation: Option<T>,
    pub test: Option<T>,
}

/// Pictures or other arrays, with their targets where these were read.
pub(crate) struct Arrays {
    pub path: PathBuf,
    pub array: Array,
    pub targets: Option<ArrayTargets>,
}

/// Targets of arrays.
pub(crate) enum ArrayTargets {
    /// Classes with names in an order of their own.
    Classes { labels: Vec<u32>, names: Vec<String> },
    /// Numbers, of which the user or their kind decides what they are.
    Columns(Box<Table>),
}

/// Rows of one file.
pub(crate) enum Piece {
    Table(Table),
    Arrays(Arrays),
}

/// Reads a file or folder; `notes` are told what was left out.
///
/// # Errors
/// Any [`DataError`].
pub(crate) fn read(path: &Path, how: &How<'_>, notes: &mut Vec<String>) -> Result<Contents, DataError> {
    if path.is_dir() {
        return folder::read(path, how, notes);
    }
    if Format::of(path) == Some(Format::Arrays) {
        return array_files::read(path, how);
    }
    Ok(Contents::whole(read_piece(path, how)?))
}

/// Reads a file that has no parts.
pub(crate) fn read_piece(path: &Path, how: &How<'_>) -> Result<Piece, DataError> {
    if image_folder::is_picture(path) && how.labels != Labels::Needed {
        let array = image_folder::read_files(std::slice::from_ref(&path.to_owned()), how.picture)?;
        return Ok(Piece::Arrays(Arrays { path: path.to_owned(), array, targets: None }));
    }
    match Format::of(path) {
        Some(Format::Delimited) if is_picture_list(path, how) => {
            let pictures = image_folder::list_of_pictures(path, how.picture, how.labels)?;
            Ok(Piece::Arrays(Arrays::pictures(path, pictures)))
        }
        Some(Format::Delimited) => {
            let options = DelimitedOptions { header: how.header, ..DelimitedOptions::default() };
            delimited::read_columns(path, options, how.columns).map(Piece::Table)
        }
        Some(Format::Parquet) => match parquet_file::read_columns(path, how)? {
            ParquetData::Table(table) => Ok(Piece::Table(table)),
            ParquetData::Pictures(Pictures { array, labels, .. }) => {
                // The files of the hub number their classes; a known set has names for them.
                let names = folder::class_names(parent(path), how.classes)?;
                Arrays::labelled(path, array, (!labels.is_empty()).then_some(labels), names).map(Piece::Arrays)
            }
        },
        Some(Format::Cifar) => {
            let (array, labels) = cifar::read(path)?;
            let names = folder::class_names(parent(path), how.classes)?;
            Arrays::labelled(path, array, (how.labels != Labels::Unused).then_some(labels), names).map(Piece::Arrays)
        }
        Some(Format::Idx) => folder::read_idx(path, how).map(Piece::Arrays),
        Some(Format::Arrays) | None => Err(DataError::malformed(
            path,
            "",
            "a file of an unknown kind",
            "a name ending in .csv, .tsv, .parquet, .npy, .npz, .safetensors, .bin, -idx3-ubyte (or .gz of these)",
        )),
    }
}

/// A list of paths is one of pictures where it has labels, and where pictures are to be predicted.
fn is_picture_list(path: &Path, how: &How<'_>) -> bool {
    match how.arrays {
        Some(arrays) => arrays && image_folder::has_columns(path, &["path"]),
        None => image_folder::has_columns(path, &["path", "label"]),
    }
}

/// The folder of a file; the parent of a bare file name is the empty path, which no system opens.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Contents {
    fn whole(piece: Piece) -> Self {
        match piece {
            Piece::Table(table) => Self::Table(Parts::whole(table)),
            Piece::Arrays(arrays) => Self::Arrays(Parts::whole(arrays)),
        }
    }
}

impl<T> Parts<T> {
    /// A source without parts of its own.
    pub(crate) fn whole(train: T) -> Self {
        Self { train: Some(train), validation: None, test: None }
    }

    /// The parts that are there, training rows first.
    pub(crate) fn each(&self) -> impl Iterator<Item = &T> {
        [&self.train, &self.validation, &self.test].into_iter().flatten()
    }

    /// Everything, training rows first.
    pub(crate) fn all(self) -> impl Iterator<Item = T> {
        [self.train, self.validation, self.test].into_iter().flatten()
    }

    /// The training part, which a set to learn from needs.
    pub(crate) fn take_train(&mut self, path: &Path) -> Result<T, DataError> {
        self.train.take().ok_or_else(|| {
            let expected = "a file or folder whose name has the word train";
            DataError::malformed(path, "", "no rows for training", expected)
        })
    }
}

impl Arrays {
    fn pictures(path: &Path, pictures: Pictures) -> Self {
        let Pictures { array, labels, names } = pictures;
        let targets = (!labels.is_empty()).then_some(ArrayTargets::Classes { labels, names });
        Self { path: path.to_owned(), array, targets }
    }

    /// Labels get the given names, or numbers where there are none.
    pub(crate) fn labelled(
        path: &Path,
        array: Array,
        labels: Option<Vec<u32>>,
        names: Vec<String>,
    ) -> Result<Self, DataError> {
        let Some(labels) = labels else {
            return Ok(Self { path: path.to_owned(), array, targets: None });
        };
        if labels.len() != array.rows() {
            let found = format!("{} labels", labels.len());
            return Err(DataError::malformed(path, "", found, format!("one for each of {} pictures", array.rows())));
        }
        let most = labels.iter().max().map_or(0, |&label| label as usize + 1);
        let names = if names.is_empty() { (0..most).map(|label| label.to_string()).collect() } else { names };
        if most > names.len() {
            let row = labels.iter().position(|&label| label as usize >= names.len()).unwrap_or(0);
            let found = format!("class {}", labels[row]);
            let expected = format!("a class in 0..{}, for which there are names", names.len());
            return Err(DataError::malformed(path, format!("label {}", row + 1), found, expected));
        }
        Ok(Self { path: path.to_owned(), array, targets: Some(ArrayTargets::Classes { labels, names }) })
    }

    /// Rows of the next file of the same part.
    pub(crate) fn append(&mut self, other: Self) -> Result<(), DataError> {
        let (shape, other_shape) = (&self.array.shape[1..], &other.array.shape[1..]);
        if other_shape != shape || other.array.kind != self.array.kind {
            let found = format!("{:?} of shape {other_shape:?}", other.array.kind).to_lowercase();
            let expected = format!("{:?} of shape {shape:?}, as in the files before", self.array.kind).to_lowercase();
            return Err(DataError::malformed(other.path, "", found, expected));
        }
        match (&mut self.targets, other.targets) {
            (
                Some(ArrayTargets::Classes { labels, names }),
                Some(ArrayTargets::Classes { labels: more, names: other_names }),
            ) => {
                // Numbered classes of a file without the largest number are the beginning of the others'.
                if other_names.starts_with(names) {
                    *names = other_names;
                    labels.extend(more);
                } else {
                    let places: Vec<u32> = other_names.into_iter().map(|name| place_of(names, name)).collect();
                    labels.extend(more.into_iter().map(|label| places[label as usize]));
                }
            }
            (None, None) => {}
            _ => return Err(DataError::malformed(other.path, "", "other targets", "targets as in the files before")),
        }
        self.array.shape[0] += other.array.shape[0];
        self.array.values.extend(other.array.values);
        Ok(())
    }
}

/// Place of a name, at the end where it is new.
fn place_of(names: &mut Vec<String>, name: String) -> u32 {
    let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    });
    at as u32
}

/// What the name of a file says about its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Delimited,
    Parquet,
    Arrays,
    Cifar,
    Idx,
}

impl Format {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = image_folder::file_name(path).to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if ends(&[".csv", ".tsv", ".data"]) {
            Some(Self::Delimited)
        } else if ends(&[".parquet", ".pq"]) {
            Some(Self::Parquet)
        } else if ends(&[".npy", ".npz", ".safetensors"]) {
            Some(Self::Arrays)
        } else if ends(&[".bin"]) {
            Some(Self::Cifar)
        } else if name.contains("-idx") || name.contains(".idx") {
            Some(Self::Idx)
        } else {
            None
        }
    }
}
