//! Pictures in files: a folder with one subfolder a class, or a CSV file of `path,label`.

use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{ColorType, DynamicImage};
use rayon::prelude::*;

use crate::DataError;
use crate::array::{Array, ArrayKind};
use crate::contents::Labels;

const EXTENSIONS: [&str; 7] = ["png", "jpg", "jpeg", "gif", "webp", "bmp", "jpe"];

/// Pictures with their classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Pictures {
    /// `[pictures, channels, height, width]`, bytes; one channel where every picture is grey, else three.
    pub array: Array,
    /// Class of each picture; empty where the source has none.
    pub labels: Vec<u32>,
    /// Class names, sorted.
    pub names: Vec<String>,
}

/// Size and channels that pictures are brought to; `None` keeps what they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PictureShape {
    /// Height and width.
    pub size: Option<(usize, usize)>,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: Option<usize>,
}

/// Whether the file name says that it is a picture of a format that is read.
pub fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}

/// Reads a folder with one subfolder a class.
///
/// # Errors
/// [`DataError::Io`] and [`DataError::Malformed`] for unreadable pictures, pictures of different sizes where no size
/// is asked for, or a folder without pictures.
pub fn read_classes(folder: &Path, shape: PictureShape) -> Result<Pictures, DataError> {
    let (mut paths, mut labels, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for class in list(folder)?.into_iter().filter(|path| path.is_dir()) {
        let pictures = pictures_in(&class)?;
        if pictures.is_empty() {
            continue;
        }
        labels.resize(labels.len() + pictures.len(), names.len() as u32);
        names.push(file_name(&class));
        paths.extend(pictures);
    }
    if paths.is_empty() {
        return Err(DataError::malformed(folder, "", "no pictures in subfolders", "one subfolder of pictures a class"));
    }
    Ok(Pictures { array: read_files(&paths, shape)?, labels, names })
}

/// Reads a CSV file with the columns `path` (relative to the file) and `label`.
///
/// # Errors
/// As [`read_classes`], with the line of the list.
pub fn read_list(list: &Path, shape: PictureShape) -> Result<Pictures, DataError> {
    list_of_pictures(list, shape, Labels::Needed)
}

/// As [`read_list`]; without labels where they are not needed and the list has none.
pub(crate) fn list_of_pictures(list: &Path, shape: PictureShape, wanted: Labels) -> Result<Pictures, DataError> {
    let expected =
        if wanted == Labels::Needed { "rows of path,label below a header" } else { "rows of paths below a header" };
    let malformed = |line: u64, found: String| DataError::malformed(list, format!("line {line}"), found, expected);
    let mut reader = csv::Reader::from_path(list).map_err(|error| malformed(1, error.to_string()))?;
    let headers = reader.headers().map_err(|error| malformed(1, error.to_string()))?.clone();
    let column = |name: &str| headers.iter().position(|header| header.trim() == name);
    let path_column = column("path").ok_or_else(|| malformed(1, "no column `path`".into()))?;
    let label_column = match column("label") {
        None if wanted == Labels::Needed => return Err(malformed(1, "no column `label`".into())),
        label => label.filter(|_| wanted != Labels::Unused),
    };
    let folder = list.parent().unwrap_or(Path::new("."));
    let (mut paths, mut texts) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record =
            record.map_err(|error| malformed(error.position().map_or(0, csv::Position::line), error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: usize, name: &str| {
            let cell = record.get(column).map(str::trim).filter(|cell| !cell.is_empty());
            cell.ok_or_else(|| malformed(line, format!("no {name}")))
        };
        let path = folder.join(cell(path_column, "path")?);
        if !path.is_file() {
            return Err(malformed(line, format!("{}, which is not a file", path.display())));
        }
        paths.push(path);
        if let Some(column) = label_column {
            texts.push(cell(column, "label")?.to_owned());
        }
    }
    if paths.is_empty() {
        return Err(malformed(2, "no rows".into()));
    }
    let mut names = texts.clone();
    names.sort_unstable();
    names.dedup();
    let labels = texts.iter().filter_map(|text| names.binary_search(text).ok()).map(|label| label as u32).collect();
    Ok(Pictures { array: read_files(&paths, shape)?, labels, names })
}

/// Whether the first line of a CSV file has all the given columns.
pub(crate) fn has_columns(path: &Path, names: &[&str]) -> bool {
    let Ok(mut reader) = csv::Reader::from_path(path) else { return false };
    let has = |headers: &csv::StringRecord, name: &str| headers.iter().any(|header| header.trim() == name);
    reader.headers().is_ok_and(|headers| names.iter().all(|name| has(headers, name)))
}

/// Decodes pictures on all cores: `[pictures, channels, height, width]`, bytes.
///
/// # Errors
/// As [`read_classes`].
pub fn read_files(paths: &[PathBuf], shape: PictureShape) -> Result<Array, DataError> {
    let decoded: Vec<_> = paths.par_iter().map(|path| decode_file(path, shape.size)).collect();
    // Rayon's own collecting of results reports whichever failure comes first in time; this is the first in the list.
    let decoded = decoded.into_iter().collect::<Result<Vec<_>, _>>()?;
    stack(&decoded, |at| paths[at].clone(), shape)
}

/// Pictures of one size as planes; `path` names a picture for messages.
pub(crate) fn stack(
    pictures: &[DynamicImage],
    path: impl Fn(usize) -> PathBuf,
    shape: PictureShape,
) -> Result<Array, DataError> {
    let Some(first) = pictures.first() else {
        return Err(DataError::shape("pictures", "none", "at least one"));
    };
    let (width, height) = (first.width(), first.height());
    if let Some(at) = pictures.iter().position(|picture| (picture.width(), picture.height()) != (width, height)) {
        let found = format!("{} x {} pixels", pictures[at].width(), pictures[at].height());
        let expected = format!(
            "{width} x {height} as in the first picture, or a size for all, such as --image-size {height}x{width}"
        );
        return Err(DataError::malformed(path(at), "", found, expected));
    }
    let grey = |picture: &DynamicImage| {
        matches!(picture.color(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16)
    };
    let channels = shape.channels.unwrap_or(if pictures.iter().all(grey) { 1 } else { 3 });
    let pixels = width as usize * height as usize;
    let mut values = vec![0.0; pictures.len() * channels * pixels];
    values.par_chunks_mut((channels * pixels).max(1)).zip(pictures).for_each(|(values, picture)| {
        if channels == 1 {
            let bytes = picture.to_luma8();
            values.iter_mut().zip(bytes.as_raw()).for_each(|(value, &byte)| *value = f32::from(byte));
        } else {
            let bytes = picture.to_rgb8();
            for (pixel, colours) in bytes.as_raw().chunks_exact(3).enumerate() {
                for (channel, &byte) in colours.iter().enumerate() {
                    values[channel * pixels + pixel] = f32::from(byte);
                }
            }
        }
    });
    let shape = vec![pictures.len(), channels, height as usize, width as usize];
    Ok(Array { shape, values, kind: ArrayKind::Bytes })
}

fn decode_file(path: &Path, size: Option<(usize, usize)>) -> Result<DynamicImage, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
    decode(path, &bytes, size)
}

/// Decodes the bytes of a picture; `path` is for messages.
///
/// # Errors
/// [`DataError::Malformed`] where they are no picture or a truncated one.
pub fn decode(path: &Path, bytes: &[u8], size: Option<(usize, usize)>) -> Result<DynamicImage, DataError> {
    Ok(resized(load(path, bytes)?, size))
}

/// As [`decode`], but a picture that lets something through is refused: what is behind it is not known, and what its file
/// says of the colours there is seen by nobody.
///
/// # Errors
/// [`DataError::Malformed`], also for a picture that is transparent somewhere.
pub fn decode_opaque(path: &Path, bytes: &[u8], size: Option<(usize, usize)>) -> Result<DynamicImage, DataError> {
    let picture = load(path, bytes)?;
    if picture.color().has_alpha() && picture.to_rgba16().pixels().any(|pixel| pixel.0[3] != u16::MAX) {
        let expected =
            "a picture that is opaque everywhere: what is behind it is not known, save it without transparency";
        return Err(DataError::malformed(path, "", "transparent parts", expected));
    }
    Ok(resized(picture, size))
}

fn load(path: &Path, bytes: &[u8]) -> Result<DynamicImage, DataError> {
    image::load_from_memory(bytes).map_err(|error| {
        DataError::malformed(
            path,
            "",
            format!("an unreadable picture ({error})"),
            "a whole PNG, JPEG, GIF, WebP or BMP",
        )
    })
}

fn resized(picture: DynamicImage, size: Option<(usize, usize)>) -> DynamicImage {
    match size {
        Some((height, width)) if (picture.height() as usize, picture.width() as usize) != (height, width) => {
            picture.resize_exact(width as u32, height as u32, FilterType::Triangle)
        }
        _ => picture,
    }
}

/// Pictures directly in a folder, sorted by name.
pub(crate) fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(list(folder)?.into_iter().filter(|path| path.is_file() && is_picture(path)).collect())
}

/// Entries of a folder, sorted by name, without hidden ones.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = std::fs::read_dir(folder).map_err(|source| DataError::io(folder, source))?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|source| DataError::io(folder, source))?;
    paths.retain(|path| !file_name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    fn picture(path: &Path, width: u32, colour: [u8; 3]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(width, 4, Rgb(colour)).save(path).unwrap();
    }

    #[test]
    fn subfolders_are_classes_and_sizes_must_agree() {
        let folder = tempfile::tempdir().unwrap();
        picture(&folder.path().join("cat/1.png"), 4, [255, 0, 10]);
        picture(&folder.path().join("dog/1.png"), 4, [0, 255, 20]);
        let pictures = read_classes(folder.path(), PictureShape::default()).unwrap();
        assert_eq!(pictures.names, ["cat", "dog"]);
        assert_eq!(pictures.array.shape, [2, 3, 4, 4]);
        assert_eq!(pictures.array.values[16], 0.0);
        assert_eq!(pictures.array.values[48 + 16], 255.0);
        picture(&folder.path().join("dog/2.png"), 6, [0, 0, 0]);
        let message = read_classes(folder.path(), PictureShape::default()).unwrap_err().to_string();
        assert!(message.contains("2.png: found 6 x 4 pixels, expected 4 x 4"), "{message}");
        let resized = PictureShape { size: Some((2, 2)), channels: Some(1) };
        assert_eq!(read_classes(folder.path(), resized).unwrap().array.shape, [3, 1, 2, 2]);
    }

    #[test]
    fn a_list_names_the_line_of_a_missing_picture_and_a_cut_picture_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        picture(&folder.path().join("1.png"), 4, [255, 0, 10]);
        let list = folder.path().join("list.csv");
        std::fs::write(&list, "path,label\n1.png,b\n2.png,a\n").unwrap();
        assert!(has_columns(&list, &["path", "label"]));
        let message = read_list(&list, PictureShape::default()).unwrap_err().to_string();
        assert!(message.contains("line 3") && message.contains("2.png"), "{message}");
        let whole = std::fs::read(folder.path().join("1.png")).unwrap();
        std::fs::write(folder.path().join("2.png"), &whole[..whole.len() / 2]).unwrap();
        assert!(read_list(&list, PictureShape::default()).unwrap_err().to_string().contains("unreadable picture"));
        std::fs::write(folder.path().join("2.png"), &whole).unwrap();
        let pictures = read_list(&list, PictureShape::default()).unwrap();
        assert_eq!((pictures.labels, pictures.names), (vec![1, 0], vec!["a".to_owned(), "b".to_owned()]));
    }
}
