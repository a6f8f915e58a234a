//! Downloads of known sets from the Hugging Face hub.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};
use sha2::{Digest, Sha256};

use crate::catalogue::{self, Entry, Hub, HubFile, Kind};
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
    Downloaded(Vec<Arrived>),
}

/// A downloaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Where it lies.
    pub path: PathBuf,
    /// What its contents were compared with.
    pub checked: Checked,
}

/// Whose checksum a downloaded file was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The one that kiln's catalogue has.
    Catalogue,
    /// The one that the hub says, which finds damage on the way and no change at the source.
    Hub,
    /// None is known.
    Not,
}

impl Checked {
    /// `catalogue`, `hub` or `nothing`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Hub => "hub",
            Self::Not => "nothing",
        }
    }
}

/// Brings a known set into the first data directory, unless it is in one already.
///
/// What arrives is compared with the checksum of the catalogue; where that has none, with the hub's own, which is the
/// address in its large-file storage. [`Arrived::checked`] says which it was. Files are moved into place whole.
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
    let downloaded: Result<Vec<Arrived>, DataError> = hub
        .files
        .iter()
        .map(|file| download(entry, &hub, file, &destination.join(file.local), cache.path(), progress))
        .collect();
    downloaded.map(Fetched::Downloaded)
}

/// The files of a set where all of them are in a data directory; none for a set inside the program.
pub fn here(entry: &Entry, dir: &DataDir) -> Option<Vec<PathBuf>> {
    if entry.kind == Kind::Embedded {
        return Some(Vec::new());
    }
    let shipped = entry.files.iter().map(|file| file.path).collect::<Vec<_>>();
    let hub = entry.hub.map_or_else(Vec::new, |hub| hub.files.iter().map(|file| file.local).collect());
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
            0 => return Ok(hexadecimal(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// SHA-256 of bytes in memory, in hexadecimal.
pub(crate) fn sha256_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn download(
    entry: &Entry,
    hub: &Hub,
    file: &HubFile,
    local: &Path,
    cache: &Path,
    progress: &mut dyn FetchProgress,
) -> Result<Arrived, DataError> {
    let failed = |reason: String| DataError::Fetch {
        name: entry.name.to_owned(),
        repository: hub.repository.to_owned(),
        file: file.remote.to_owned(),
        reason,
        destination: local.parent().unwrap_or(local).display().to_string(),
    };
    let api = ApiBuilder::from_env()
        .with_cache_dir(cache.to_owned())
        .with_token(None)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let repository = hub.repository.to_owned();
    let repository = match hub.revision {
        Some(revision) => Repo::with_revision(repository, RepoType::Dataset, revision.to_owned()),
        None => Repo::new(repository, RepoType::Dataset),
    };
    let arrived = api
        .repo(repository)
        .download_with_progress(file.remote, Reporter(progress))
        .map_err(|error| failed(error.to_string()))?;
    let arrived = arrived.canonicalize().map_err(|source| DataError::io(&arrived, source))?;
    let checked = compare(&arrived, local, file.sha256, &crate::image_folder::file_name(&arrived))?;
    let folder = local.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|source| DataError::io(folder, source))?;
    std::fs::rename(&arrived, local).map_err(|source| DataError::io(local, source))?;
    Ok(Arrived { path: local.to_owned(), checked })
}

/// Compares a file with the checksum that is known of it: the catalogue's, else the hub's `address`, which is a SHA-256
/// for large files and something else for small ones.
fn compare(arrived: &Path, local: &Path, known: Option<&str>, address: &str) -> Result<Checked, DataError> {
    let is_sha256 = address.len() == 64 && address.bytes().all(|letter| letter.is_ascii_hexdigit());
    let (expected, checked) = match known {
        Some(known) => (known, Checked::Catalogue),
        None if is_sha256 => (address, Checked::Hub),
        None => return Ok(Checked::Not),
    };
    let found = sha256(arrived)?;
    if found != expected.to_lowercase() {
        return Err(DataError::Checksum { path: local.to_owned(), found, expected: expected.to_owned() });
    }
    Ok(checked)
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
    fn the_catalogues_checksum_counts_more_than_the_hubs() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        let (right, wrong) = (sha256_of(b"abc"), sha256_of(b"abd"));
        let compare = |known: Option<&str>, address: &str| compare(file.path(), Path::new("there"), known, address);
        assert_eq!(compare(Some(&right), &wrong).unwrap(), Checked::Catalogue);
        assert_eq!(compare(None, &right).unwrap(), Checked::Hub);
        assert_eq!(compare(None, "d670460b4b4aece5915caf5c68d12f560a9fe3e4").unwrap(), Checked::Not);
        for message in
            [compare(Some(&wrong), &right), compare(None, &wrong)].map(|refused| refused.unwrap_err().to_string())
        {
            assert!(message.starts_with("there: sha256 is ba7816bf") && message.contains(&wrong), "{message}");
        }
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        assert_eq!(sha256(file.path()).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
