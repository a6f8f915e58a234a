use std::path::{Path, PathBuf};

use crate::DataError;

/// Directories in which data sets are looked for.
///
/// Each holds `tabular/<name>.csv`, `images/<name>/...` and `text/...`. The one that the user names comes first and
/// is the only one then; otherwise `KILN_DATA`, then `./data`, then the `data` folder that the program was built
/// beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    directories: Vec<PathBuf>,
}

impl DataDir {
    /// The directories for `--data-dir` (`named`), or without it those of the environment.
    pub fn find(named: Option<&Path>) -> Self {
        let mut directories = Vec::new();
        match named {
            Some(directory) => directories.push(directory.to_owned()),
            None => {
                if let Some(directory) = std::env::var_os("KILN_DATA").filter(|value| !value.is_empty()) {
                    directories.push(directory.into());
                }
                directories.push("data".into());
                let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
                if source.is_dir() {
                    directories.push(source.canonicalize().unwrap_or(source));
                }
            }
        }
        Self { directories }
    }

    /// The directories in the order of the search.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The directory into which `kiln data fetch` writes: the first one.
    pub fn destination(&self) -> &Path {
        self.directories.first().map_or(Path::new("data"), PathBuf::as_path)
    }

    /// The first directory's `relative` that exists, such as `images/mnist` or `tabular/iris.csv`.
    pub fn get(&self, relative: impl AsRef<Path>) -> Option<PathBuf> {
        let relative = relative.as_ref();
        self.directories.iter().map(|directory| directory.join(relative)).find(|path| path.exists())
    }

    /// Where the set called `name` lies: the folder or file in the layout's usual places.
    ///
    /// # Errors
    /// [`DataError::UnknownSource`] where there is none.
    pub fn path(&self, name: &str) -> Result<PathBuf, DataError> {
        let usual = [
            format!("images/{name}"),
            format!("tabular/{name}.csv"),
            format!("tabular/{name}.csv.gz"),
            format!("tabular/{name}.parquet"),
            format!("text/{name}"),
            format!("text/{name}.txt"),
            format!("text/{name}.txt.gz"),
            name.to_owned(),
        ];
        // A name that climbs out of the directory is a path, not a name.
        let plain = !name.is_empty() && Path::new(name).components().all(|part| part.as_os_str() != "..");
        usual.iter().filter(|_| plain).find_map(|relative| self.get(relative)).ok_or_else(|| DataError::UnknownSource {
            name: name.to_owned(),
            nearest: crate::nearest(name, crate::catalogue::names()).map(str::to_owned),
        })
    }

    /// The searched directories, for messages.
    pub(crate) fn shown(&self) -> String {
        self.directories.iter().map(|directory| directory.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_directory_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tabular")).unwrap();
        std::fs::write(folder.path().join("tabular/own.csv"), "a,b\n").unwrap();
        let found = DataDir::find(Some(folder.path()));
        assert_eq!(found.directories(), &[folder.path().to_owned()]);
        assert_eq!(found.path("own").unwrap(), folder.path().join("tabular/own.csv"));
        assert!(found.path("../own").is_err());
        let message = found.path("irsi").unwrap_err().to_string();
        assert!(message.contains("did you mean `iris`?"), "{message}");
    }
}
