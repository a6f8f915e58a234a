//! Files that are written whole or not at all.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::LabError;

/// Writes `bytes` to a temporary file beside `path`, then renames it: a reader sees the old file or the new one.
///
/// # Errors
/// [`LabError::Io`], for example on a full disk or in a read-only folder.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    // A link stands for what it leads to, and what is no file, such as a pipe, is written to as it is.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let failed = |source| LabError::io("write", path, source);
    if target.metadata().is_ok_and(|known| !known.is_file()) {
        return fs::write(&target, bytes).map_err(failed);
    }
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|source| LabError::io("create", folder, source))?;
    let mut file = whole_file().tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Temporary files are private; what a run leaves behind has the rights of an ordinary file.
fn whole_file() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

/// Files that come into a folder all together: none of them where something goes wrong before the last.
///
/// They wait in a hidden folder on the same disk, which goes with the value.
#[derive(Debug)]
pub struct Together {
    folder: PathBuf,
    waiting: tempfile::TempDir,
    names: Vec<String>,
}

impl Together {
    /// For `folder`, which need not exist yet.
    ///
    /// # Errors
    /// [`LabError::Io`] where there can be no files.
    pub fn new(folder: &Path) -> Result<Self, LabError> {
        let here = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_path_buf() };
        let above = folder.ancestors().map(here).find(|path| path.exists()).unwrap_or_default();
        let made = tempfile::Builder::new().prefix(".partial-").tempdir_in(&above);
        let waiting = made.map_err(|source| LabError::io("create a folder in", &above, source))?;
        Ok(Self { folder: folder.to_path_buf(), waiting, names: Vec::new() })
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`LabError::Io`], for example on a full disk, and where a folder has the name.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), LabError> {
        let target = self.folder.join(name);
        if target.is_dir() {
            return Err(LabError::io("write", target, std::io::ErrorKind::IsADirectory.into()));
        }
        self.names.push(name.to_string());
        write_whole(&self.waiting.path().join(name), bytes)
    }

    /// Brings the files to their places, and gives these.
    ///
    /// # Errors
    /// [`LabError::Io`] where a place cannot be taken.
    pub fn finish(self) -> Result<Vec<PathBuf>, LabError> {
        fs::create_dir_all(&self.folder).map_err(|source| LabError::io("create", &self.folder, source))?;
        let place = |name: &String| -> Result<PathBuf, LabError> {
            let (from, to) = (self.waiting.path().join(name), self.folder.join(name));
            let failed = |source| LabError::io("write", &to, source);
            if fs::symlink_metadata(&to).is_ok_and(|known| !known.is_file()) {
                write_whole(&to, &fs::read(&from).map_err(failed)?)?;
            } else {
                fs::rename(&from, &to).map_err(failed)?;
            }
            Ok(to)
        };
        self.names.iter().map(place).collect()
    }
}

/// Writes `value` as indented JSON, whole.
///
/// # Errors
/// As [`write_whole`]; [`LabError::Corrupt`] when the value has no JSON form.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LabError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| LabError::corrupt("JSON value", path, error))?;
    text.push('\n');
    write_whole(path, text.as_bytes())
}

/// Reads a JSON file.
///
/// # Errors
/// [`LabError::Io`] when it cannot be read, [`LabError::Corrupt`] when it is not a `what`.
pub fn read_json<T: DeserializeOwned>(what: &'static str, path: &Path) -> Result<T, LabError> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|error| LabError::corrupt(what, path, error))
}

/// Writes single-precision numbers, little-endian, one after the other, whole.
///
/// # Errors
/// As [`write_whole`].
pub fn write_numbers(path: &Path, numbers: &[f32]) -> Result<(), LabError> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    write_whole(path, &bytes)
}

/// Reads what [`write_numbers`] wrote.
///
/// # Errors
/// [`LabError::Io`] when it cannot be read, [`LabError::Corrupt`] when it is no whole number of numbers.
pub fn read_numbers(what: &'static str, path: &Path) -> Result<Vec<f32>, LabError> {
    let bytes = fs::read(path).map_err(|source| LabError::io("read", path, source))?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        let reason = format!("{} bytes are no whole number of values", bytes.len());
        return Err(LabError::corrupt(what, path, reason));
    }
    Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

/// Reads a text file.
///
/// # Errors
/// [`LabError::Io`] when it cannot be read.
pub fn read_text(path: &Path) -> Result<String, LabError> {
    fs::read_to_string(path).map_err(|source| LabError::io("read", path, source))
}

/// A file name that says `text`: characters that a file system may refuse become `_`, and then a checksum keeps
/// different texts apart.
pub fn file_name(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '+');
    let name: String = text.chars().map(|c| if safe(c) { c } else { '_' }).take(100).collect();
    if name == text && !name.is_empty() && !name.starts_with('.') {
        name
    } else {
        format!("_{name}-{:08x}", crc32fast::hash(text.as_bytes()))
    }
}

/// The words of a title in small letters, joined by hyphens. Different titles may give the same name.
pub fn spoken_name(title: &str) -> String {
    const LONGEST: usize = 48;
    let letters = title.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), " ");
    let words = letters.split_whitespace().scan(0, |length, word| {
        *length += word.len() + 1;
        (*length <= LONGEST).then_some(word)
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        write_json(&path, &[1, 2]).unwrap();
        assert!(write_json(&path, &std::collections::HashMap::from([((1, 2), 3)])).is_err());
        assert_eq!(read_json::<Vec<i32>>("list", &path).unwrap(), [1, 2]);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a temporary file stayed behind");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_are_written_to_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        let null = Path::new("/dev/null");
        write_whole(null, b"nothing").unwrap();
        assert!(!null.metadata().unwrap().is_file());
    }

    #[test]
    fn files_come_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (new, entries) = (folder.path().join("a/b"), |path: &Path| fs::read_dir(path).unwrap().count());
        let mut files = Together::new(&new).unwrap();
        files.write("1", b"one").unwrap();
        assert!(!new.exists());
        drop(files);
        assert_eq!(entries(folder.path()), 0, "something stayed behind");

        let mut files = Together::new(&new).unwrap();
        files.write("1", b"one").unwrap();
        files.write("2", b"two").unwrap();
        assert_eq!(files.finish().unwrap(), [new.join("1"), new.join("2")]);
        assert_eq!((entries(folder.path()), entries(&new)), (1, 2));
        assert_eq!(fs::read_to_string(new.join("2")).unwrap(), "two");

        fs::create_dir(new.join("3")).unwrap();
        let mut files = Together::new(&new).unwrap();
        files.write("1", b"another").unwrap();
        assert!(files.write("3", b"").is_err());
        drop(files);
        assert_eq!((fs::read_to_string(new.join("1")).unwrap(), entries(&new)), ("one".to_string(), 3));
        assert!(Together::new(&new.join("1/below")).is_err());
    }

    #[test]
    fn numbers_come_back_and_half_a_number_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.f32");
        write_numbers(&path, &[1.5, -0.0, f32::INFINITY]).unwrap();
        assert_eq!(read_numbers("memory", &path).unwrap(), [1.5, -0.0, f32::INFINITY]);
        fs::write(&path, [0; 6]).unwrap();
        let error = read_numbers("memory", &path).unwrap_err();
        assert!(error.to_string().ends_with("memory.f32 is not a valid memory: 6 bytes are no whole number of values"));
    }

    #[test]
    fn titles_become_words() {
        assert_eq!(spoken_name("Rate 0.001 for all, batches of 32"), "rate-0-001-for-all-batches-of-32");
        assert_eq!(spoken_name(&"word ".repeat(30)), ["word"; 9].join("-"));
        assert_eq!(spoken_name("../"), "");
    }

    #[test]
    fn names_are_safe_and_distinct() {
        assert_eq!(file_name("adam-lr=0.1-seed=3"), "adam-lr=0.1-seed=3");
        assert_ne!(file_name("a/b"), file_name("a:b"));
        for name in ["a/b", "../..", "", ".hidden", "a\0b"] {
            let safe = file_name(name);
            assert!(!safe.contains(['/', '\0']) && !safe.starts_with('.') && !safe.is_empty(), "{safe}");
        }
    }
}
