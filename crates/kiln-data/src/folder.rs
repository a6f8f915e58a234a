//! Folders: IDX pairs, CIFAR records, Parquet files, class subfolders, tables, each with or without its own parts; and
//! pictures without classes, for a model to tell.

use std::path::{Path, PathBuf};

use crate::array::Array;
use crate::contents::{ArrayTargets, Arrays, Contents, Format, How, Labels, Parts, Piece, parent, read_piece};
use crate::image_folder::{self, Pictures, file_name, list, pictures_in, read_classes};
use crate::role::{ByRole, Role, by_role};
use crate::table::Table;
use crate::{DataError, error, file_bytes, idx};

/// Digits of the set `mnist` that are for training; the rest of the 10,000 is for testing.
const MNIST_TRAINING: usize = 8000;

/// Reads a folder.
pub(crate) fn read(folder: &Path, how: &How<'_>, notes: &mut Vec<String>) -> Result<Contents, DataError> {
    let entries = list(folder)?;
    let of_format = |format: Format| -> Vec<PathBuf> {
        entries.iter().filter(|path| path.is_file() && Format::of(path) == Some(format)).cloned().collect()
    };
    let pictures: Vec<PathBuf> =
        of_format(Format::Idx).into_iter().filter(|path| file_name(path).contains("images")).collect();
    if !pictures.is_empty() {
        if let Some(path) = pictures.iter().find(|path| how.is_mnist && idx_prefix(path) == "train10k-") {
            return mnist(read_idx(path, how)?).map(Contents::Arrays);
        }
        // `train10k` comes before `train10k-20k`.
        return join(folder, by_role(folder, pictures, idx_prefix)?, how, notes);
    }
    for format in [Format::Cifar, Format::Parquet] {
        let files = of_format(format);
        if !files.is_empty() {
            return join(folder, by_role(folder, files, file_name)?, how, notes);
        }
    }
    let folders: Vec<PathBuf> = entries.iter().filter(|path| path.is_dir()).cloned().collect();
    // A folder `train` with pictures right inside is a class, such as the vehicle.
    let is_part = |path: &PathBuf| Ok(Role::of(&file_name(path)) == Some(Role::Train) && pictures_in(path)?.is_empty());
    let has_parts: Result<Vec<bool>, DataError> = folders.iter().map(is_part).collect();
    if has_parts?.contains(&true) {
        return join(folder, by_role(folder, folders, file_name)?, how, notes);
    }
    for path in &folders {
        if !pictures_in(path)?.is_empty() {
            return classes(folder, how).map(|arrays| Contents::Arrays(Parts::whole(arrays)));
        }
    }
    let tables = of_format(Format::Delimited);
    let unsorted = pictures_in(folder)?;
    let lists_pictures = |path: &PathBuf| image_folder::has_columns(path, &["path", "label"]);
    let pictures_alone = how.arrays == Some(true) && !unsorted.is_empty() && !tables.iter().any(lists_pictures);
    if !tables.is_empty() && !pictures_alone {
        return join(folder, by_role(folder, tables, file_name)?, how, notes);
    }
    if !unsorted.is_empty() {
        return classes(folder, how).map(|arrays| Contents::Arrays(Parts::whole(arrays)));
    }
    Err(DataError::malformed(
        folder,
        "",
        "no data that is known",
        "IDX pairs (...-images-idx3-ubyte, ...-labels-idx1-ubyte), CIFAR records (.bin), Parquet files, one subfolder \
         of pictures a class, or train.csv and test.csv",
    ))
}

/// Reads the files of each part, one after the other.
fn join(folder: &Path, files: ByRole, how: &How<'_>, notes: &mut Vec<String>) -> Result<Contents, DataError> {
    if !files.left_out.is_empty() {
        let names: Vec<String> = files.left_out.iter().map(|path| file_name(path)).collect();
        notes.push(format!(
            "{}: left out are {}, whose names have no word train, validation or test",
            folder.display(),
            error::listed(names.iter().map(String::as_str))
        ));
    }
    let mut tables = Parts { train: None, validation: None, test: None };
    let mut arrays: Parts<Arrays> = Parts { train: None, validation: None, test: None };
    let parts = [
        (files.train, &mut tables.train, &mut arrays.train),
        (files.validation, &mut tables.validation, &mut arrays.validation),
        (files.test, &mut tables.test, &mut arrays.test),
    ];
    for (paths, table, array) in parts {
        let mut shards = Vec::new();
        for path in paths {
            let piece = if path.is_dir() { classes(&path, how).map(Piece::Arrays) } else { read_piece(&path, how) }?;
            match (piece, &mut *array) {
                (Piece::Table(read), _) => shards.push(read),
                (Piece::Arrays(read), Some(before)) => before.append(read)?,
                (Piece::Arrays(read), place) => *place = Some(read),
            }
        }
        *table = join_tables(shards, how, notes)?;
    }
    let has_tables = tables.train.is_some() || tables.validation.is_some() || tables.test.is_some();
    let has_arrays = arrays.train.is_some() || arrays.validation.is_some() || arrays.test.is_some();
    match (has_tables, has_arrays) {
        (true, true) => Err(DataError::malformed(folder, "", "tables and pictures", "files of one kind")),
        (true, false) => Ok(Contents::Table(tables)),
        _ => Ok(Contents::Arrays(arrays)),
    }
}

fn join_tables(mut shards: Vec<Table>, how: &How<'_>, notes: &mut Vec<String>) -> Result<Option<Table>, DataError> {
    // Each file may count its own rows; a count over all files is found in the whole table.
    if shards.len() > 1 && how.labels == Labels::Needed && shards.iter().all(Table::counts_rows) {
        shards.iter_mut().for_each(Table::drop_first);
        notes.push(row_numbers_note(&shards[0]));
    }
    let mut shards = shards.into_iter();
    let Some(mut whole) = shards.next() else { return Ok(None) };
    shards.try_for_each(|shard| whole.append(shard))?;
    Ok(Some(whole))
}

/// What is said where the row numbers were taken out.
pub(crate) fn row_numbers_note(table: &Table) -> String {
    format!(
        "{}: the first column has no name and only counts the rows; it was left out (give it a name to keep it)",
        table.path.display()
    )
}

/// Pictures of a folder: by class where it has subfolders of pictures, else, where classes are not needed, those inside.
fn classes(folder: &Path, how: &How<'_>) -> Result<Arrays, DataError> {
    let unsorted = pictures_in(folder)?;
    let mut has_classes = false;
    for class in list(folder)?.into_iter().filter(|path| path.is_dir()) {
        has_classes |= !pictures_in(&class)?.is_empty();
    }
    if !has_classes && !unsorted.is_empty() {
        if how.labels == Labels::Needed {
            let found = format!("{} pictures without classes", unsorted.len());
            let expected = "one subfolder of pictures a class, or a CSV file of path,label";
            return Err(DataError::malformed(folder, "", found, expected));
        }
        let array = image_folder::read_files(&unsorted, how.picture)?;
        return Ok(Arrays { path: folder.to_owned(), array, targets: None });
    }
    let Pictures { array, labels, names } = read_classes(folder, how.picture)?;
    let targets = (how.labels != Labels::Unused).then_some(ArrayTargets::Classes { labels, names });
    Ok(Arrays { path: folder.to_owned(), array, targets })
}

/// A file of pictures, with the labels from the file beside it.
pub(crate) fn read_idx(path: &Path, how: &How<'_>) -> Result<Arrays, DataError> {
    let name = file_name(path);
    if !name.contains("images") && name.contains("labels") {
        return Err(DataError::malformed(path, "", "a file of labels", "the file of pictures, or their folder"));
    }
    let labels = if how.labels == Labels::Unused { None } else { labels_beside(path)? };
    if labels.is_none() && how.labels == Labels::Needed {
        let expected = format!("{}labels-idx1-ubyte[.gz]", idx_prefix(path));
        return Err(DataError::malformed(path, "", "no file of labels beside it", expected));
    }
    let array = idx::read(path)?;
    match labels {
        Some(labels) => {
            let values = idx::read(&labels)?.into_labels(&labels)?;
            let named = Arrays::labelled(&labels, array, Some(values), class_names(parent(path), how.classes)?)?;
            Ok(Arrays { path: path.to_owned(), ..named })
        }
        None => Ok(Arrays { path: path.to_owned(), array, targets: None }),
    }
}

/// What stands before `images` in the name of a file of pictures, and before `labels` in that of their labels.
fn idx_prefix(path: &Path) -> String {
    file_name(path).split("images").next().unwrap_or_default().to_owned()
}

/// The file of labels that goes with a file of pictures: `PREFIXlabels...`, or `char-labels...` beside `images...`.
fn labels_beside(pictures: &Path) -> Result<Option<PathBuf>, DataError> {
    let name = file_name(pictures);
    if !name.contains("images") {
        return Ok(None);
    }
    let entries = list(parent(pictures))?;
    let begins = |start: &str| {
        let start = format!("{}{start}", idx_prefix(pictures));
        entries.iter().find(|path| file_name(path).starts_with(&start) && Format::of(path) == Some(Format::Idx))
    };
    Ok(begins("labels").or_else(|| begins("char-labels")).cloned())
}

/// The first 8,000 of the 10,000 digits to learn from, the last 2,000 to test on.
fn mnist(mut digits: Arrays) -> Result<Parts<Arrays>, DataError> {
    let rows = digits.array.rows();
    if rows <= MNIST_TRAINING {
        return Ok(Parts::whole(digits));
    }
    let width = digits.array.values.len() / rows;
    let values = digits.array.values.split_off(MNIST_TRAINING * width);
    let mut shape = digits.array.shape.clone();
    shape[0] = rows - MNIST_TRAINING;
    digits.array.shape[0] = MNIST_TRAINING;
    let targets = match &mut digits.targets {
        Some(ArrayTargets::Classes { labels, names }) => {
            Some(ArrayTargets::Classes { labels: labels.split_off(MNIST_TRAINING), names: names.clone() })
        }
        _ => None,
    };
    let array = Array { shape, values, kind: digits.array.kind };
    let test = Arrays { path: digits.path.clone(), array, targets };
    Ok(Parts { train: Some(digits), validation: None, test: Some(test) })
}

/// Class names from the caller, from `classes.txt` or `batches.meta.txt` (one a line), or from `classes.csv` (the last
/// two columns, of which a number or a name such as `character01` alone would not tell classes apart).
pub(crate) fn class_names(folder: &Path, classes: &[&str]) -> Result<Vec<String>, DataError> {
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
            let lines = text(&path)?;
            return Ok(lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect());
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
