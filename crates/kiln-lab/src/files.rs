//! Files that are written whole or not at all.

use std::{fs, io::Write, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use crate::LabError;

/// Writes `bytes` to a temporary file beside `path`, then renames it: a reader sees the old file or the new one.
///
/// # Errors
/// [`LabError::Io`], for example on a full disk or in a read-only folder.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    let failed = |source| LabError::io("write", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|source| LabError::io("create", folder, source))?;
    let mut file = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    readable_by_all(file.as_file()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Temporary files are private; what a run leaves behind has the rights of an ordinary file.
#[cfg(unix)]
fn readable_by_all(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &fs::File) -> std::io::Result<()> {
    Ok(())
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
