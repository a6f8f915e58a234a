use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::DataError;

/// The two bytes with which every gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Contents of a file, unpacked where it is gzipped.
pub(crate) fn read_all(path: &Path) -> Result<Vec<u8>, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
    unpack(path, bytes)
}

/// The bytes as they are, or unpacked where they begin like gzip.
pub(crate) fn unpack(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, DataError> {
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    match MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked) {
        Ok(_) => Ok(unpacked),
        Err(source) => Err(broken_gzip(path, unpacked.len(), &source)),
    }
}

/// A reader of a file's contents, unpacked on the way where it is gzipped, and the size of the file on disk.
pub(crate) fn reader(path: &Path) -> Result<(Box<dyn Read>, u64, bool), DataError> {
    let mut file = File::open(path).map_err(|source| DataError::io(path, source))?;
    let metadata = file.metadata().map_err(|source| DataError::io(path, source))?;
    if metadata.is_dir() {
        return Err(DataError::malformed(path, "", "a folder", "a file"));
    }
    let mut start = [0; 2];
    let mut have = 0;
    while have < 2 {
        match file.read(&mut start[have..]).map_err(|source| DataError::io(path, source))? {
            0 => break,
            n => have += n,
        }
    }
    let whole = std::io::Cursor::new(start[..have].to_vec()).chain(file);
    let zipped = have == 2 && start == GZIP;
    let reader: Box<dyn Read> = if zipped { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
    Ok((reader, metadata.len(), zipped))
}

/// What a reader that unpacks on the way says where the file is cut or damaged.
pub(crate) fn broken_gzip(path: &Path, unpacked: usize, source: &std::io::Error) -> DataError {
    let place = format!("after {unpacked} unpacked bytes");
    DataError::malformed(path, place, format!("damaged or truncated gzip data ({source})"), "a whole gzip file")
}
