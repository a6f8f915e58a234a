//! Pictures to learn from as pictures: of any size, without classes.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::contents::{self, Arrays, Contents, Format, How, Labels, Parts};
use crate::image_folder::{PictureShape, file_name, is_picture, list};
use crate::open::{OpenOptions, cut};
use crate::role::{Role, by_role};
use crate::source::Source;
use crate::table::Columns;
use crate::{DataDir, DataError, ImagePlanes, SplitOptions, digits};

/// Training, validation and test pictures, all grey or all in colour.
#[derive(Debug, Clone)]
pub struct ImageSplits {
    /// Name of the set, or the path that was opened.
    pub name: String,
    /// Pictures to learn from.
    pub train: Vec<ImagePlanes>,
    /// Pictures to choose settings by.
    pub validation: Vec<ImagePlanes>,
    /// Pictures to report on.
    pub test: Vec<ImagePlanes>,
    /// What a person should know about the reading, in whole sentences.
    pub notes: Vec<String>,
}

/// How pictures are read and divided.
#[derive(Debug, Clone, Default)]
pub struct ImageOptions {
    /// 1 (their luma) or 3 channels; by default one where every picture is grey, else three.
    pub channels: Option<usize>,
    /// Height and width to which picture files are resized.
    pub image_size: Option<(usize, usize)>,
    /// Fractions and seed of the splits, where the source brings none of its own.
    pub split: SplitOptions,
}

/// Opens pictures: a known set of pictures, a folder with picture files (in it and in its subfolders, or in those called
/// `train`, `validation` and `test`), or any file or folder of picture arrays that [`open`](crate::open) reads, whose
/// classes are not looked at. A picture is in one split as a whole.
///
/// # Errors
/// Any [`DataError`]: the source is missing or unreadable, holds no pictures or values outside `[0, 1]`, or leaves a split
/// empty.
pub fn open_images(source: &str, dir: &DataDir, options: &ImageOptions) -> Result<ImageSplits, DataError> {
    let open = OpenOptions { image_size: options.image_size, split: options.split.clone(), ..OpenOptions::default() };
    open.check()?;
    let source = Source::find(source, dir)?;
    let mut parts = read(&source, options.image_size)?;
    let path = source.path.clone().unwrap_or_else(|| source.name.clone().into());
    let train = parts.take_train(&path)?;
    let (validation, test) = (parts.validation, parts.test);
    let cut = cut(None, train.len(), validation.is_some(), test.is_some(), &open)?;
    let take = |rows: &[usize]| rows.iter().map(|&row| train[row].clone()).collect::<Vec<_>>();
    let mut splits = ImageSplits {
        name: source.name,
        train: take(&cut.train),
        validation: validation.unwrap_or_else(|| take(&cut.validation)),
        test: test.unwrap_or_else(|| take(&cut.test)),
        notes: Vec::new(),
    };
    splits.bring_to_channels(options.channels);
    Ok(splits)
}

/// All pictures of a source, training pictures first, each as it is.
///
/// # Errors
/// As [`open_images`].
pub fn read_images(source: &str, dir: &DataDir) -> Result<Vec<ImagePlanes>, DataError> {
    Ok(read(&Source::find(source, dir)?, None)?.all().flatten().collect())
}

/// As [`read_images`], but picture files are read when they are asked for: a folder may hold more than the memory does.
///
/// # Errors
/// As [`open_images`], but for what is wrong with a picture file.
pub fn image_sources(source: &str, dir: &DataDir) -> Result<Vec<ImageSource>, DataError> {
    Ok(sources(&Source::find(source, dir)?, None)?.all().flatten().collect())
}

/// A picture that may not have been read yet.
#[derive(Debug, Clone)]
pub enum ImageSource {
    /// A file.
    File(PathBuf),
    /// A picture in memory.
    Held(ImagePlanes),
}

impl ImageSource {
    /// The name that the picture has or will have, see [`ImagePlanes::name`].
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Held(picture) => picture.name.clone(),
        }
    }

    /// The picture.
    ///
    /// # Errors
    /// Those of [`ImagePlanes::read`].
    pub fn read(&self) -> Result<ImagePlanes, DataError> {
        self.read_resized(None)
    }

    fn read_resized(&self, size: Option<(usize, usize)>) -> Result<ImagePlanes, DataError> {
        match self {
            Self::File(path) => ImagePlanes::read_resized(path, size),
            Self::Held(picture) => Ok(picture.clone()),
        }
    }
}

impl ImageSplits {
    fn bring_to_channels(&mut self, channels: Option<usize>) {
        let mut parts = [&mut self.train, &mut self.validation, &mut self.test];
        let all = parts.iter().map(|part| part.len()).sum::<usize>();
        let grey = parts.iter().map(|part| part.iter().filter(|picture| picture.is_grey()).count()).sum::<usize>();
        let channels = channels.unwrap_or(if grey == all { 1 } else { 3 });
        if channels == 3 && grey > 0 {
            self.notes.push(format!(
                "{}: {grey} of {all} pictures are grey; they are taken as pictures in colour (--grey takes all as grey)",
                self.name
            ));
        }
        for picture in parts.iter_mut().flat_map(|part| part.iter_mut()).filter(|picture| picture.shape[0] != channels)
        {
            *picture = picture.in_channels(channels);
        }
    }
}

fn read(source: &Source, size: Option<(usize, usize)>) -> Result<Parts<Vec<ImagePlanes>>, DataError> {
    let Parts { train, validation, test } = sources(source, size)?;
    let read = |part: Option<Vec<ImageSource>>| part.map(|sources| read_all(sources, size)).transpose();
    Ok(Parts { train: read(train)?, validation: read(validation)?, test: read(test)? })
}

fn read_all(sources: Vec<ImageSource>, size: Option<(usize, usize)>) -> Result<Vec<ImagePlanes>, DataError> {
    let read: Vec<_> = sources.par_iter().map(|source| source.read_resized(size)).collect();
    // Rayon's own collecting of results reports whichever failure comes first in time; this is the first in the list.
    read.into_iter().collect()
}

fn sources(source: &Source, size: Option<(usize, usize)>) -> Result<Parts<Vec<ImageSource>>, DataError> {
    let Some(path) = &source.path else {
        let (data, _) = digits::read()?;
        let rows = (0..data.len()).flat_map(|row| data.row(row)).copied().collect();
        return pictures_of_rows(Path::new(&source.name), data.input_shape(), rows).map(Parts::whole);
    };
    if path.is_dir() && !holds_arrays(path)? {
        return picture_files(path);
    }
    if path.is_file() && is_picture(path) {
        return Ok(Parts::whole(vec![ImageSource::File(path.clone())]));
    }
    let how = How {
        header: None,
        columns: Columns::Except(&[]),
        picture: PictureShape { size, channels: None },
        classes: source.classes(),
        labels: Labels::Unused,
        arrays: Some(true),
        is_mnist: source.is_mnist(),
    };
    match contents::read(path, &how, &mut Vec::new())? {
        Contents::Arrays(Parts { train, validation, test }) => {
            let pictures = |part: Option<Arrays>| part.map(pictures_of_arrays).transpose();
            Ok(Parts { train: pictures(train)?, validation: pictures(validation)?, test: pictures(test)? })
        }
        Contents::Table(_) => Err(no_pictures(path, "rows of a table")),
    }
}

/// Whether a folder has files with many pictures each, beside which picture files are only there to be looked at.
fn holds_arrays(folder: &Path) -> Result<bool, DataError> {
    let format = |path: &PathBuf| if path.is_file() { Format::of(path) } else { None };
    let many = |path: &PathBuf| matches!(format(path), Some(Format::Idx | Format::Cifar | Format::Parquet));
    Ok(list(folder)?.iter().any(many))
}

/// The picture files of a folder, in the parts that it has.
fn picture_files(folder: &Path) -> Result<Parts<Vec<ImageSource>>, DataError> {
    let folders: Vec<PathBuf> = list(folder)?.into_iter().filter(|path| path.is_dir()).collect();
    let parts = if folders.iter().any(|path| Role::of(&file_name(path)) == Some(Role::Train)) {
        let parts = by_role(folder, folders, file_name)?;
        let below = |folders: Vec<PathBuf>| -> Result<Option<Vec<ImageSource>>, DataError> {
            let found: Result<Vec<_>, _> = folders.iter().map(|folder| pictures_below(folder)).collect();
            Ok(Some(found?.concat()).filter(|pictures| !pictures.is_empty()))
        };
        Parts { train: below(parts.train)?, validation: below(parts.validation)?, test: below(parts.test)? }
    } else {
        Parts::whole(pictures_below(folder)?)
    };
    if parts.train.as_ref().is_none_or(Vec::is_empty) {
        return Err(no_pictures(folder, "no picture files"));
    }
    Ok(parts)
}

/// Picture files of a folder and of its subfolders, sorted by name.
fn pictures_below(folder: &Path) -> Result<Vec<ImageSource>, DataError> {
    let mut found = Vec::new();
    for path in list(folder)? {
        if path.is_dir() {
            found.extend(pictures_below(&path)?);
        } else if is_picture(&path) {
            found.push(ImageSource::File(path));
        }
    }
    Ok(found)
}

fn pictures_of_arrays(arrays: Arrays) -> Result<Vec<ImageSource>, DataError> {
    let rows = arrays.array.into_rows();
    pictures_of_rows(&arrays.path, &rows.shape, rows.values)
}

fn pictures_of_rows(path: &Path, shape: &[usize], values: Vec<f32>) -> Result<Vec<ImageSource>, DataError> {
    let &[channels @ (1 | 3), height, width] = shape else {
        return Err(no_pictures(path, &format!("rows of shape {shape:?}")));
    };
    let pixels = channels * height * width;
    if let Some(at) = values.iter().position(|value| !(0.0..=1.0).contains(value)) {
        let (place, found) = (format!("picture {}", at / pixels + 1), format!("the value {}", values[at]));
        return Err(DataError::malformed(path, place, found, "values from 0 to 1, or bytes"));
    }
    let name = |row: usize| format!("{}, picture {}", path.display(), row + 1);
    let picture = |(row, values): (usize, &[f32])| {
        ImageSource::Held(ImagePlanes { name: name(row), shape: [channels, height, width], values: values.to_vec() })
    };
    Ok(values.chunks_exact(pixels.max(1)).enumerate().map(picture).collect())
}

fn no_pictures(path: &Path, found: &str) -> DataError {
    let expected = "a folder of picture files (PNG, JPEG, GIF, WebP, BMP), or arrays of pictures with 1 or 3 channels";
    DataError::malformed(path, "", found, expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, RgbImage};

    fn options() -> ImageOptions {
        ImageOptions::default()
    }

    fn picture(path: PathBuf, width: u32, grey: bool) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if grey {
            GrayImage::from_pixel(width, 4, image::Luma([51])).save(path).unwrap();
        } else {
            RgbImage::from_pixel(width, 4, image::Rgb([255, 0, 51])).save(path).unwrap();
        }
    }

    #[test]
    fn a_folder_gives_pictures_of_any_size_and_one_colour_makes_all_colour() {
        let folder = tempfile::tempdir().unwrap();
        for at in 0..10 {
            picture(folder.path().join(format!("sub{}/{at}.png", at % 2)), 4 + at, at > 0);
        }
        let (source, dir) = (folder.path().display().to_string(), DataDir::find(None));
        let splits = open_images(&source, &dir, &options()).unwrap();
        assert_eq!((splits.train.len(), splits.validation.len(), splits.test.len()), (7, 1, 2));
        let all = || [&splits.train, &splits.validation, &splits.test].into_iter().flatten();
        let mut widths: Vec<usize> = all().map(|picture| picture.shape[2]).collect();
        widths.sort_unstable();
        assert_eq!(widths, (4..14).collect::<Vec<_>>());
        assert!(all().all(|picture| picture.shape[0] == 3));
        assert!(splits.notes[0].contains("9 of 10 pictures are grey"), "{:?}", splits.notes);
        let grey = open_images(&source, &dir, &ImageOptions { channels: Some(1), ..options() }).unwrap();
        assert!(grey.notes.is_empty() && grey.train.iter().all(ImagePlanes::is_grey));
        assert_eq!(read_images(&source, &dir).unwrap().len(), 10);
        std::fs::write(folder.path().join("sub0/broken.png"), "no picture").unwrap();
        let message = open_images(&source, &dir, &options()).unwrap_err().to_string();
        assert!(message.contains("broken.png: found an unreadable picture"), "{message}");
    }

    #[test]
    fn parts_of_a_folder_stay_apart() {
        let folder = tempfile::tempdir().unwrap();
        for (part, count) in [("train", 5), ("test", 2)] {
            (0..count).for_each(|at| picture(folder.path().join(format!("{part}/{at}.png")), 6, true));
        }
        let splits = open_images(&folder.path().display().to_string(), &DataDir::find(None), &options()).unwrap();
        assert_eq!((splits.train.len(), splits.validation.len(), splits.test.len()), (4, 1, 2));
    }

    #[test]
    fn known_sets_are_pictures_and_tables_are_none() {
        let dir = DataDir::find(None);
        let splits = open_images("digits", &dir, &options()).unwrap();
        assert_eq!((splits.train[0].shape, splits.train[0].values.len()), ([1, 8, 8], 64));
        let message = open_images("iris", &dir, &options()).unwrap_err().to_string();
        assert!(message.contains("found rows of a table, expected a folder of picture files"), "{message}");
        let folder = tempfile::tempdir().unwrap();
        let message = open_images(&folder.path().display().to_string(), &dir, &options()).unwrap_err().to_string();
        assert!(message.contains("found no picture files"), "{message}");
        let error = pictures_of_rows(Path::new("a.npy"), &[1, 1, 2], vec![0.0, 1.0, 0.5, 1.5]).unwrap_err().to_string();
        assert_eq!(error, "a.npy, picture 2: found the value 1.5, expected values from 0 to 1, or bytes");
    }
}
