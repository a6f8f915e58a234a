//! Folders of pictures: IDX pairs, CIFAR records, Parquet files, class subfolders, with or without their own splits;
//! and folders of tables.

use std::path::{Path, PathBuf};

use crate::array::Array;
use crate::delimited::DelimitedOptions;
use crate::image_folder::{PictureShape, Pictures, file_name, list, pictures_in, read_classes, read_list};
use crate::open::{Format, OpenOptions, Splits, divide};
use crate::parquet_file::ParquetData;
use crate::table::Table;
use crate::{
    ArrayDataset, DataError, Preprocessing, Targets, cifar, delimited, file_bytes, idx, open_table, parquet_file,
};

/// Digits of the set `mnist` that are for training; the rest of the 10,000 is for testing.
const MNIST_TRAINING: usize = 8000;

/// Pictures with labels, before they become rows.
pub(crate) struct Part {
    array: Array,
    labels: Vec<u32>,
    names: Vec<String>,
}

/// The parts that a set brings.
pub(crate) struct Parts {
    train: Part,
    validation: Option<Part>,
    test: Option<Part>,
}

/// Which part a file or folder is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Train,
    Validation,
    Test,
}

impl Role {
    /// `train...` or `data_batch...`, `val...`, `test...` or `t10k` and its like; `None` for everything else.
    fn of(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let digit_after_t = name.starts_with('t') && name[1..].starts_with(|letter: char| letter.is_ascii_digit());
        if name.starts_with("train") || name.starts_with("data_batch") {
            Some(Self::Train)
        } else if name.starts_with("val") {
            Some(Self::Validation)
        } else if name.starts_with("test") || digit_after_t {
            Some(Self::Test)
        } else {
            None
        }
    }
}

impl Part {
    pub(crate) fn pictures(pictures: Pictures) -> Self {
        Self { array: pictures.array, labels: pictures.labels, names: pictures.names }
    }

    /// A file of CIFAR records; class names from the caller or from `classes.txt` beside it.
    pub(crate) fn records(path: &Path, classes: &[&str]) -> Result<Self, DataError> {
        let (array, labels) = cifar::read(path)?;
        Self::named(path, array, labels, class_names(path.parent().unwrap_or(Path::new(".")), classes)?)
    }

    /// Labels get the given names, or numbers where there are none.
    fn named(path: &Path, array: Array, labels: Vec<u32>, names: Vec<String>) -> Result<Self, DataError> {
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
            return Err(DataError::malformed(path, format!("label {row}"), found, expected));
        }
        Ok(Self { array, labels, names })
    }

    fn join(&mut self, other: Self, path: &Path) -> Result<(), DataError> {
        if other.array.shape[1..] != self.array.shape[1..] {
            let expected = format!("{:?} as in the files before", &self.array.shape[1..]);
            return Err(DataError::malformed(path, "", format!("pictures {:?}", &other.array.shape[1..]), expected));
        }
        self.array.shape[0] += other.array.rows();
        self.array.values.extend(other.array.values);
        self.labels.extend(other.labels);
        if other.names.len() > self.names.len() {
            self.names = other.names;
        }
        Ok(())
    }

    /// The classes under the names of the training part.
    fn with_names(mut self, path: &Path, names: &[String]) -> Result<Self, DataError> {
        for label in &mut self.labels {
            let name = &self.names[*label as usize];
            let place = names.iter().position(|known| known == name).ok_or_else(|| DataError::UnknownLabel {
                path: path.to_owned(),
                place: String::new(),
                label: name.clone(),
                nearest: crate::nearest(name, names.iter().map(String::as_str)).map(str::to_owned),
                known: crate::error::listed(names.iter().map(String::as_str)),
            })?;
            *label = place as u32;
        }
        self.names = names.to_vec();
        Ok(self)
    }

    pub(crate) fn into_dataset(self) -> Result<(ArrayDataset, f32), DataError> {
        let rows = self.array.into_rows();
        let targets = Targets::Classes { labels: self.labels, names: self.names };
        Ok((ArrayDataset::new(rows.values, rows.shape, targets)?, rows.divisor))
    }
}

impl Parts {
    /// A set without splits of its own.
    pub(crate) fn whole(train: Part) -> Self {
        Self { train, validation: None, test: None }
    }
}

/// Opens a folder.
pub(crate) fn open(name: &str, folder: &Path, classes: &[&str], options: &OpenOptions) -> Result<Splits, DataError> {
    let entries = list(folder)?;
    if let Some(parts) = idx_parts(name, &entries, folder, classes)? {
        return finish(name, folder, parts, options);
    }
    let of_format = |format: Format| -> Vec<PathBuf> {
        entries.iter().filter(|path| path.is_file() && Format::of(path) == Some(format)).cloned().collect()
    };
    let records = of_format(Format::Cifar);
    if !records.is_empty() {
        let parts = by_role(&records, folder, |path| Part::records(path, classes))?;
        return finish(name, folder, parts, options);
    }
    let parquet = of_format(Format::Parquet);
    if !parquet.is_empty() {
        return open_parquet(name, folder, &parquet, classes, options);
    }
    let shape = PictureShape { size: options.image_size, channels: None };
    let folders: Vec<PathBuf> = entries.iter().filter(|path| path.is_dir()).cloned().collect();
    // A folder `train` with pictures right inside is a class, such as the vehicle.
    let is_part = |path: &PathBuf| Ok(Role::of(&file_name(path)) == Some(Role::Train) && pictures_in(path)?.is_empty());
    let has_parts: Result<Vec<bool>, DataError> = folders.iter().map(is_part).collect();
    if has_parts?.contains(&true) {
        let parts: Vec<PathBuf> = folders.into_iter().filter(|path| Role::of(&file_name(path)).is_some()).collect();
        let parts = by_role(&parts, folder, |path| Ok(Part::pictures(read_classes(path, shape)?)))?;
        return finish(name, folder, parts, options);
    }
    for path in &folders {
        if !pictures_in(path)?.is_empty() {
            return finish(name, folder, Parts::whole(Part::pictures(read_classes(folder, shape)?)), options);
        }
    }
    let tables = of_format(Format::Delimited);
    if let [only] = tables.as_slice()
        && crate::image_folder::is_list(only)
    {
        return finish(name, folder, Parts::whole(Part::pictures(read_list(only, shape)?)), options);
    }
    let role = |wanted| tables.iter().find(|path| Role::of(&file_name(path)) == Some(wanted));
    if let Some(train) = role(Role::Train) {
        let read = |path: &PathBuf| delimited::read(path, DelimitedOptions::default());
        let validation = role(Role::Validation).map(read).transpose()?;
        return open_table::open(name, read(train)?, validation, role(Role::Test).map(read).transpose()?, options);
    }
    Err(DataError::malformed(
        folder,
        "",
        "no data that is known",
        "IDX pairs (...-images-idx3-ubyte, ...-labels-idx1-ubyte), CIFAR records (.bin), Parquet files, one subfolder \
         of pictures a class, or train.csv and test.csv",
    ))
}

/// Makes rows of the parts and cuts the splits that are not there.
pub(crate) fn finish(name: &str, path: &Path, parts: Parts, options: &OpenOptions) -> Result<Splits, DataError> {
    let names = parts.train.names.clone();
    let other = |part: Option<Part>| -> Result<Option<ArrayDataset>, DataError> {
        part.map(|part| Ok(part.with_names(path, &names)?.into_dataset()?.0)).transpose()
    };
    let validation = other(parts.validation)?;
    let test = other(parts.test)?;
    let (train, divisor) = parts.train.into_dataset()?;
    let preprocessing = Preprocessing::array(train.input_shape(), divisor, &names);
    divide(name, train, validation, test, preprocessing, options)
}

/// Files joined by the part that their names say; a single file without such a name is the whole set.
fn by_role(
    paths: &[PathBuf],
    folder: &Path,
    mut read: impl FnMut(&Path) -> Result<Part, DataError>,
) -> Result<Parts, DataError> {
    let (mut train, mut validation, mut test) = (None::<Part>, None::<Part>, None::<Part>);
    let alone = paths.len() == 1;
    for path in paths {
        let place = match Role::of(&file_name(path)) {
            Some(Role::Train) => &mut train,
            Some(Role::Validation) => &mut validation,
            Some(Role::Test) => &mut test,
            None if alone => &mut train,
            None => continue,
        };
        let part = read(path)?;
        match place {
            Some(have) => have.join(part, path)?,
            None => *place = Some(part),
        }
    }
    let train = train.ok_or_else(|| {
        let found = crate::error::listed(paths.iter().filter_map(|path| path.file_name()?.to_str()));
        DataError::malformed(folder, "", found, "a file whose name begins with train")
    })?;
    Ok(Parts { train, validation, test })
}

fn idx_parts(name: &str, entries: &[PathBuf], folder: &Path, classes: &[&str]) -> Result<Option<Parts>, DataError> {
    let is_idx = |path: &&PathBuf| Format::of(path) == Some(Format::Idx);
    let mut pictures: Vec<&PathBuf> =
        entries.iter().filter(is_idx).filter(|path| file_name(path).contains("images")).collect();
    if pictures.is_empty() {
        return Ok(None);
    }
    // `train10k` comes before `train10k-20k`.
    pictures.sort_by_key(|path| (file_name(path).len(), file_name(path)));
    let prefix = |path: &Path| file_name(path).split("images").next().unwrap_or_default().to_owned();
    let names = class_names(folder, classes)?;
    let read = |path: &Path| {
        let labels = labels_beside(path, &prefix(path), entries)?;
        let label_values = idx::read(&labels)?.into_labels(&labels)?;
        Part::named(&labels, idx::read(path)?, label_values, names.clone())
    };
    let first_ten_thousand = pictures.iter().find(|path| prefix(path) == "train10k-");
    if let (Some(path), "mnist") = (first_ten_thousand, name) {
        return mnist(read(path)?).map(Some);
    }
    if pictures.iter().all(|path| Role::of(&prefix(path)).is_none()) {
        return Ok(Some(Parts::whole(read(pictures[0])?)));
    }
    let pictures: Vec<PathBuf> = pictures.into_iter().cloned().collect();
    by_role(&pictures, folder, read).map(Some)
}

/// The first 8,000 of the 10,000 digits to learn from, the last 2,000 to test on.
fn mnist(mut part: Part) -> Result<Parts, DataError> {
    let rows = part.array.rows();
    if rows <= MNIST_TRAINING {
        return Ok(Parts::whole(part));
    }
    let width = part.array.values.len() / rows;
    let values = part.array.values.split_off(MNIST_TRAINING * width);
    let labels = part.labels.split_off(MNIST_TRAINING);
    let mut shape = part.array.shape.clone();
    shape[0] = rows - MNIST_TRAINING;
    part.array.shape[0] = MNIST_TRAINING;
    let test = Part { array: Array { shape, values, kind: part.array.kind }, labels, names: part.names.clone() };
    Ok(Parts { train: part, validation: None, test: Some(test) })
}

/// The file of labels that goes with a file of pictures: `PREFIXlabels...`, or `char-labels...` beside `images...`.
fn labels_beside(pictures: &Path, prefix: &str, entries: &[PathBuf]) -> Result<PathBuf, DataError> {
    let begins = |start: &str| {
        let start = format!("{prefix}{start}");
        entries.iter().find(|path| file_name(path).starts_with(&start) && Format::of(path) == Some(Format::Idx))
    };
    begins("labels").or_else(|| begins("char-labels")).cloned().ok_or_else(|| {
        DataError::malformed(pictures, "", "no file of labels beside it", format!("{prefix}labels-idx1-ubyte[.gz]"))
    })
}

/// Class names from the caller, from `classes.txt` or `batches.meta.txt` (one a line), or from `classes.csv` (the last
/// two columns, of which a number or a name such as `character01` alone would not tell classes apart).
fn class_names(folder: &Path, classes: &[&str]) -> Result<Vec<String>, DataError> {
    if !classes.is_empty() {
        return Ok(classes.iter().map(|&name| name.to_owned()).collect());
    }
    let text = |path: &Path| -> Result<String, DataError> {
        String::from_utf8(file_bytes::read_all(path)?)
            .map_err(|_| DataError::malformed(path, "", "text that is not UTF-8", "class names in UTF-8"))
    };
    for file in ["classes.txt", "batches.meta.txt"] {
        let path = folder.join(file);
        if path.is_file() {
            return Ok(text(&path)?
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect());
        }
    }
    let path = folder.join("classes.csv");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let table = text(&path)?;
    if !table.starts_with("char_id,") {
        return Ok(Vec::new());
    }
    let rows = table.lines().skip(1).filter(|line| !line.trim().is_empty());
    Ok(rows.map(|line| line.split(',').skip(2).map(str::trim).collect::<Vec<_>>().join("/")).collect())
}

fn open_parquet(
    name: &str,
    folder: &Path,
    paths: &[PathBuf],
    classes: &[&str],
    options: &OpenOptions,
) -> Result<Splits, DataError> {
    let first = paths.iter().find(|path| Role::of(&file_name(path)) != Some(Role::Test)).unwrap_or(&paths[0]);
    match parquet_file::read(first)? {
        ParquetData::Pictures(_) => {
            let parts = by_role(paths, folder, |path| match parquet_file::read(path)? {
                ParquetData::Pictures(pictures) => {
                    Part::named(path, pictures.array, pictures.labels, class_names(folder, classes)?)
                }
                ParquetData::Table(_) => {
                    Err(DataError::malformed(path, "", "a table", "pictures as in the other files"))
                }
            })?;
            finish(name, folder, parts, options)
        }
        ParquetData::Table(table) => {
            let role = |wanted| -> Result<Option<Table>, DataError> {
                match paths.iter().find(|path| Role::of(&file_name(path)) == Some(wanted)) {
                    None => Ok(None),
                    Some(path) => match parquet_file::read(path)? {
                        ParquetData::Table(table) => Ok(Some(table)),
                        ParquetData::Pictures(_) => {
                            Err(DataError::malformed(path, "", "pictures", "a table as in the other files"))
                        }
                    },
                }
            };
            open_table::open(name, table, role(Role::Validation)?, role(Role::Test)?, options)
        }
    }
}
