//! What the name or path of a data set stands for.

use std::path::{Path, PathBuf};

use crate::catalogue::{self, Entry, Kind};
use crate::{DataDir, DataError, fetch};

/// A known set or a file or folder of the user's own.
pub(crate) struct Source {
    /// Name of the set, or the path as it was given.
    pub name: String,
    /// `None` for a set inside the program.
    pub path: Option<PathBuf>,
    /// The catalogue's entry of a known set.
    pub entry: Option<&'static Entry>,
}

impl Source {
    /// Looks a set up: a known name wins over a file of that name.
    pub(crate) fn find(source: &str, dir: &DataDir) -> Result<Self, DataError> {
        let Some(entry) = catalogue::find(source) else {
            return Ok(Self { name: source.to_owned(), path: Some(locate(source, dir)?), entry: None });
        };
        let path = if entry.kind == Kind::Embedded { None } else { Some(entry.locate(dir)?) };
        Ok(Self { name: entry.name.to_owned(), path, entry: Some(entry) })
    }

    /// Names of the classes that the catalogue knows.
    pub(crate) fn classes(&self) -> &'static [&'static str] {
        match self.entry.map(|entry| entry.kind) {
            Some(Kind::Images { classes }) => classes,
            _ => &[],
        }
    }

    pub(crate) fn is_mnist(&self) -> bool {
        self.entry.is_some_and(|entry| entry.name == "mnist")
    }
}

/// The user's own file or folder, or a set of the data directory that the catalogue does not list.
pub(crate) fn locate(source: &str, dir: &DataDir) -> Result<PathBuf, DataError> {
    let path = Path::new(source);
    let looks_like_path = source.contains(std::path::MAIN_SEPARATOR) || path.extension().is_some();
    match dir.path(source) {
        _ if !source.is_empty() && path.exists() => Ok(path.to_owned()),
        Ok(found) => Ok(found),
        Err(_) if looks_like_path => {
            Err(DataError::io(path, std::io::Error::new(std::io::ErrorKind::NotFound, "no such file or folder")))
        }
        Err(unknown) => Err(unknown),
    }
}

/// Whether two names or paths, however spelt, stand for the same data.
///
/// ```
/// use kiln_data::{DataDir, is_same_source};
///
/// assert!(is_same_source("digits", "digits8x8", &DataDir::find(None)));
/// assert!(!is_same_source("digits", "no-such-file.csv", &DataDir::find(None)));
/// ```
pub fn is_same_source(one: &str, other: &str, dir: &DataDir) -> bool {
    let place = |source: &str| {
        let found = Source::find(source, dir).ok()?;
        match found.path.filter(|_| !found.entry.is_some_and(is_library)) {
            Some(path) => path.canonicalize().ok(),
            None => Some(found.name.into()),
        }
    };
    matches!((place(one), place(other)), (Some(one), Some(other)) if one == other)
}

/// Whether a known set is several files of text, none of which stands for all.
fn is_library(entry: &Entry) -> bool {
    entry.kind == Kind::Text && entry.files.len() > 1
}

/// Whether a name or path stands for running text, which [`Corpus`](crate::text::Corpus) reads: a known set of books, a
/// `.txt` file (gzipped or not), or a folder with such files and no others that are read.
pub fn is_text(source: &str, dir: &DataDir) -> bool {
    let Ok(found) = Source::find(source, dir) else {
        return catalogue::find(source).is_some_and(|entry| entry.kind == Kind::Text);
    };
    let is_book = |path: &Path| crate::image_folder::file_name(path).trim_end_matches(".gz").ends_with(".txt");
    match (found.entry, &found.path) {
        (Some(entry), _) => entry.kind == Kind::Text,
        (None, Some(path)) if path.is_dir() => crate::image_folder::list(path).is_ok_and(|entries| {
            let other = |entry: &PathBuf| entry.is_dir() || crate::contents::Format::of(entry).is_some();
            entries.iter().any(|entry| is_book(entry)) && !entries.iter().any(other)
        }),
        (None, Some(path)) => is_book(path),
        (None, None) => false,
    }
}

/// SHA-256 of a file, of the checksums of a known set's texts, or of the names and checksums of all files of a folder;
/// `None` for a set inside the program.
///
/// # Errors
/// [`DataError`] where there is no such set, or a file cannot be read.
pub fn fingerprint(source: &str, dir: &DataDir) -> Result<Option<String>, DataError> {
    if catalogue::find(source).is_some_and(is_library) {
        let files = crate::text::files(source, dir)?;
        let checksums: Result<Vec<String>, DataError> = files.iter().map(|file| fetch::sha256(file)).collect();
        return Ok(Some(fetch::sha256_of(checksums?.join("\n").as_bytes())));
    }
    match Source::find(source, dir)?.path {
        None => Ok(None),
        Some(path) if path.is_dir() => {
            let mut lines = String::new();
            list_checksums(&path, &path, &mut lines)?;
            Ok(Some(fetch::sha256_of(lines.as_bytes())))
        }
        Some(path) => fetch::sha256(&path).map(Some),
    }
}

fn list_checksums(root: &Path, folder: &Path, lines: &mut String) -> Result<(), DataError> {
    for path in crate::image_folder::list(folder)? {
        if path.is_dir() {
            list_checksums(root, &path, lines)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path);
            lines.push_str(&format!("{}  {}\n", fetch::sha256(&path)?, name.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_however_it_is_spelt_and_a_change_shows() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::find(Some(folder.path()));
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("own.csv"), "a,b\n1,2\n").unwrap();
        let plain = folder.path().join("own.csv").display().to_string();
        let roundabout = folder.path().join("inner/../own.csv").display().to_string();
        assert!(is_same_source(&plain, &roundabout, &dir));
        let all = folder.path().display().to_string();
        let before = [fingerprint(&plain, &dir).unwrap(), fingerprint(&all, &dir).unwrap()];
        assert_eq!(before[0].as_ref().map(String::len), Some(64));
        std::fs::write(folder.path().join("own.csv"), "a,b\n1,3\n").unwrap();
        assert_ne!(before[0], fingerprint(&plain, &dir).unwrap());
        assert_ne!(before[1], fingerprint(&all, &dir).unwrap());
        assert_eq!(fingerprint("digits", &dir).unwrap(), None);
    }

    #[test]
    fn a_set_of_books_is_none_of_its_books() {
        let dir = DataDir::find(None);
        let first =
            catalogue::find("austen").and_then(|entry| dir.get(entry.files[0].path)).unwrap().display().to_string();
        assert!(is_same_source("austen", "austen", &dir) && !is_same_source("austen", &first, &dir));
        let [all, one] = ["austen", &first].map(|source| fingerprint(source, &dir).unwrap().unwrap());
        assert_eq!((all.len(), one.len()), (64, 64));
        assert_ne!(all, one);
    }
}
