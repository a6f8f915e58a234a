//! Which pictures belong together.

use std::path::{Path, PathBuf};

use kiln_data::image_folder::is_picture;

use super::picture::Pixels;
use crate::failure::Failure;

/// Two pictures that belong together.
pub struct Pair {
    /// File name of the second.
    pub name: String,
    pub a: PathBuf,
    pub b: PathBuf,
}

impl Pair {
    /// Both pictures, of one size, depth and number of colours.
    pub fn read(&self) -> Result<[Pixels; 2], Failure> {
        let (a, b) = (Pixels::read(&self.a)?, Pixels::read(&self.b)?);
        same_kind((&self.a, &a), (&self.b, &b))?;
        Ok([a, b])
    }
}

/// Refuses pictures that cannot be compared pixel by pixel.
pub fn same_kind((path, picture): (&Path, &Pixels), (other_path, other): (&Path, &Pixels)) -> Result<(), Failure> {
    if picture.kind() == other.kind() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "{} has {}, and {} has {}: pictures can be compared if size, colours and depth are the same",
        path.display(),
        picture.kind(),
        other_path.display(),
        other.kind()
    )))
}

/// Two files are a pair; of two folders, every picture of `b` with that of the same name in `a`.
pub fn pairs(a: &Path, b: &Path) -> Result<Vec<Pair>, Failure> {
    for path in [a, b] {
        if !path.exists() {
            return Err(Failure::usage(format!("{}: there is no such file or folder", path.display())));
        }
    }
    if a.is_dir() != b.is_dir() {
        let (folder, file) = if a.is_dir() { (a, b) } else { (b, a) };
        return Err(Failure::Usage {
            message: format!("{} is a folder and {} is a file", folder.display(), file.display()),
            help: Some("two files or two folders are needed".into()),
        });
    }
    if b.is_file() {
        return Ok(vec![Pair { name: file_name(b), a: a.to_path_buf(), b: b.to_path_buf() }]);
    }
    let pictures = pictures_in(b)?;
    if pictures.is_empty() {
        return Err(Failure::usage(format!("{}: there are no pictures in this folder", b.display())));
    }
    pictures
        .into_iter()
        .map(|picture| Ok(Pair { name: file_name(&picture), a: partner(a, &picture)?, b: picture }))
        .collect()
}

/// The picture of a folder that has the name of another, if need be with another ending.
pub fn partner(folder: &Path, picture: &Path) -> Result<PathBuf, Failure> {
    let name = file_name(picture);
    let same = folder.join(&name);
    if same.is_file() {
        return Ok(same);
    }
    let of_stem: Vec<PathBuf> =
        pictures_in(folder)?.into_iter().filter(|path| path.file_stem() == picture.file_stem()).collect();
    match of_stem.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            Err(Failure::Failed(format!("{}: there is no picture {name} for {}", folder.display(), picture.display())))
        }
        [one, other, ..] => Err(Failure::Failed(format!(
            "{}: both {} and {} could belong to {}",
            folder.display(),
            file_name(one),
            file_name(other),
            picture.display()
        ))),
    }
}

fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::Failed(format!("cannot read {}: {error}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.retain(|path| path.is_file() && is_picture(path) && !file_name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
