//! Downloads of known sets from the Hugging Face hub.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::ApiBuilder;
use sha2::{Digest, Sha256};

use crate::catalogue::{self, Entry, Hub, Kind};
use crate::{DataDir, DataError, nearest};

/// Told how a download goes on.
pub trait FetchProgress {
    /// A file of `bytes` bytes begins.
    fn start(&mut self, file: &str, bytes: u64);
    /// Another `bytes` bytes have arrived.
    fn advance(&mut self, bytes: u64);
    /// The file is complete.
    fn finish(&mut self);
}

/// No report.
impl FetchProgress for () {
    fn start(&mut self, _: &str, _: u64) {}
    fn advance(&mut self, _: u64) {}
    fn finish(&mut self) {}
}

/// What [`fetch`] found or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The set was there already (or is inside the program).
    AlreadyHere(Vec<PathBuf>),
    /// These files were downloaded.
    Downloaded(Vec<PathBuf>),
}

/// Brings a known set into the first data directory, unless it is in one already.
///
/// Files come from the hub's large-file storage, whose address is the SHA-256 of the contents; what arrives is checked
/// against it and moved into place whole.
///
/// # Errors
/// [`DataError::UnknownSource`], [`DataError::NoHubLocation`], [`DataError::Fetch`] (also where there is no network),
/// [`DataError::Checksum`], [`DataError::Io`].
pub fn fetch(name: &str, dir: &DataDir, progress: &mut dyn FetchProgress) -> Result<Fetched, DataError> {
    let entry = catalogue::find(name).ok_or_else(|| DataError::UnknownSource {
        name: name.to_owned(),
        nearest: nearest(name, catalogue::names()).map(str::to_owned),
    })?;
    if let Some(files) = here(entry, dir) {
        return Ok(Fetched::AlreadyHere(files));
    }
    let Some(hub) = entry.hub else {
        return Err(DataError::NoHubLocation { name: entry.name.to_owned(), hint: entry.hint.to_owned() });
    };
    let destination = dir.destination();
    std::fs::create_dir_all(destination).map_err(|source| DataError::io(destination, source))?;
    let cache = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(destination)
        .map_err(|source| DataError::io(destination, source))?;
    let downloaded: Result<Vec<PathBuf>, DataError> = hub
        .files
        .iter()
        .map(|(remote, local)| download(entry, &hub, remote, &destination.join(local), cache.path(), progress))
        .collect();
    downloaded.map(Fetched::Downloaded)
}

/// The files of a set where all of them are in a data directory; none for a set inside the program.
pub fn here(entry: &Entry, dir: &DataDir) -> Option<Vec<PathBuf>> {
    if entry.kind == Kind::Embedded {
        return Some(Vec::new());
    }
    let shipped = entry.files.iter().map(|file| file.path).collect::<Vec<_>>();
    let hub = entry.hub.map_or_else(Vec::new, |hub| hub.files.iter().map(|(_, local)| *local).collect());
    let complete = |files: Vec<&str>| {
        let found: Option<Vec<PathBuf>> = files.iter().map(|file| dir.get(file)).collect();
        found.filter(|found| !found.is_empty())
    };
    let own_copy = || {
        let folder = dir.get(format!("images/{}", entry.name))?;
        let any = crate::image_folder::list(&folder).is_ok_and(|entries| !entries.is_empty());
        (entry.files.is_empty() && any).then(|| vec![folder])
    };
    complete(shipped).or_else(|| complete(hub)).or_else(own_copy)
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`DataError::Io`].
pub fn sha256(path: &Path) -> Result<String, DataError> {
    let mut file = File::open(path).map_err(|source| DataError::io(path, source))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(|source| DataError::io(path, source))? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn download(
    entry: &Entry,
    hub: &Hub,
    remote: &str,
    local: &Path,
    cache: &Path,
    progress: &mut dyn FetchProgress,
) -> Result<PathBuf, DataError> {
    let failed = |reason: String| DataError::Fetch {
        name: entry.name.to_owned(),
        repository: hub.repository.to_owned(),
        file: remote.to_owned(),
        reason,
        destination: local.parent().unwrap_or(local).display().to_string(),
    };
    let api = ApiBuilder::from_env()
        .with_cache_dir(cache.to_owned())
        .with_token(None)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let arrived = api
        .dataset(hub.repository.to_owned())
        .download_with_progress(remote, Reporter(progress))
        .map_err(|error| failed(error.to_string()))?;
    let arrived = arrived.canonicalize().map_err(|source| DataError::io(&arrived, source))?;
    let address = crate::image_folder::file_name(&arrived);
    if address.len() == 64 && address.bytes().all(|letter| letter.is_ascii_hexdigit()) {
        let found = sha256(&arrived)?;
        if found != address {
            return Err(DataError::Checksum { path: local.to_owned(), found, expected: address });
        }
    }
    let folder = local.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|source| DataError::io(folder, source))?;
    std::fs::rename(&arrived, local).map_err(|source| DataError::io(local, source))?;
    Ok(local.to_owned())
}

struct Reporter<'p>(&'p mut dyn FetchProgress);

impl Progress for Reporter<'_> {
    fn init(&mut self, size: usize, file: &str) {
        self.0.start(file, size as u64);
    }

    fn update(&mut self, size: usize) {
        self.0.advance(size as u64);
    }

    fn finish(&mut self) {
        self.0.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_without_a_place_on_the_hub_and_unknown_ones_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::find(Some(folder.path()));
        let message = fetch("iris", &dir, &mut ()).unwrap_err().to_string();
        assert!(message.contains("it ships with kiln"), "{message}");
        let message = fetch("mnits", &dir, &mut ()).unwrap_err().to_string();
        assert!(message.contains("did you mean `mnist`?"), "{message}");
        assert_eq!(fetch("digits", &dir, &mut ()).unwrap(), Fetched::AlreadyHere(Vec::new()));
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        assert_eq!(sha256(file.path()).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
