//! IDX files, the format in which MNIST is published.
//!
//! Two zero bytes, a type, the number of dimensions, each length as a big-endian 32-bit number, then the values in
//! row-major order, big-endian. Gzipped files are unpacked.

use std::path::Path;

use crate::array::{Array, ArrayKind, num_values};
use crate::{DataError, file_bytes};

/// Reads an IDX file with 1 to 4 dimensions.
///
/// # Errors
/// [`DataError::Io`], or [`DataError::Malformed`] for a wrong magic number, a truncated or an overlong file.
pub fn read(path: &Path) -> Result<Array, DataError> {
    parse(path, &file_bytes::read_all(path)?)
}

/// Reads the (unpacked) bytes of an IDX file; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Array, DataError> {
    let wrong_magic = || {
        let found = format!("magic bytes {:02x?}", &bytes[..bytes.len().min(4)]);
        DataError::malformed(path, "", found, "an IDX file: 00 00, a type (08 for bytes), 1 to 4 dimensions")
    };
    let &[0, 0, code, dimensions @ 1..=4, ref rest @ ..] = bytes else {
        return Err(wrong_magic());
    };
    let (width, kind) = match code {
        0x08 => (1, ArrayKind::Bytes),
        0x09 => (1, ArrayKind::Integers),
        0x0b => (2, ArrayKind::Integers),
        0x0c => (4, ArrayKind::Integers),
        0x0d => (4, ArrayKind::Floats),
        0x0e => (8, ArrayKind::Floats),
        _ => return Err(wrong_magic()),
    };
    let header = 4 * usize::from(dimensions);
    if rest.len() < header {
        let expected = format!("{dimensions} lengths of 4 bytes");
        return Err(DataError::malformed(path, "header", format!("{} bytes", rest.len()), expected));
    }
    let (lengths, data) = rest.split_at(header);
    let shape: Vec<usize> = lengths
        .chunks_exact(4)
        .map(|length| u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize)
        .collect();
    let expected = num_values(path, &shape)? * width;
    if data.len() != expected {
        let what = if data.len() < expected { "a truncated file with" } else { "an overlong file with" };
        let found = format!("{what} {} bytes of values", data.len());
        return Err(DataError::malformed(path, "", found, format!("{expected} bytes for shape {shape:?}")));
    }
    let values = match code {
        0x08 => data.iter().map(|&value| f32::from(value)).collect(),
        0x09 => data.iter().map(|&value| f32::from(value.cast_signed())).collect(),
        0x0b => data.chunks_exact(2).map(|v| f32::from(i16::from_be_bytes([v[0], v[1]]))).collect(),
        0x0c => data.chunks_exact(4).map(|v| i32::from_be_bytes([v[0], v[1], v[2], v[3]]) as f32).collect(),
        0x0d => data.chunks_exact(4).map(|v| f32::from_be_bytes([v[0], v[1], v[2], v[3]])).collect(),
        _ => data
            .chunks_exact(8)
            .map(|v| f64::from_be_bytes([v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]]) as f32)
            .collect(),
    };
    Ok(Array { shape, values, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_of_bytes_is_read_and_a_shorter_or_longer_one_refused() {
        let whole = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255];
        let array = parse(Path::new("m"), &whole).unwrap();
        assert_eq!(array.shape, vec![2, 3]);
        assert_eq!(array.values, vec![1.0, 2.0, 3.0, 4.0, 5.0, 255.0]);
        for length in 0..whole.len() {
            assert!(parse(Path::new("m"), &whole[..length]).is_err(), "{length} bytes");
        }
        let message = parse(Path::new("m"), &[&whole[..], &[0]].concat()).unwrap_err().to_string();
        assert_eq!(message, "m: found an overlong file with 7 bytes of values, expected 6 bytes for shape [2, 3]");
    }

    #[test]
    fn wider_types_are_big_endian() {
        let read = |bytes: &[u8]| parse(Path::new("m"), bytes).unwrap().values;
        assert_eq!(read(&[0, 0, 0x09, 1, 0, 0, 0, 1, 0xff]), vec![-1.0]);
        assert_eq!(read(&[0, 0, 0x0b, 1, 0, 0, 0, 1, 1, 2]), vec![258.0]);
        assert_eq!(read(&[0, 0, 0x0c, 1, 0, 0, 0, 1, 0, 1, 0, 0]), vec![65536.0]);
        assert_eq!(read(&[0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0xc0, 0, 0]), vec![1.5]);
        assert_eq!(read(&[0, 0, 0x0e, 1, 0, 0, 0, 1, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), vec![1.5]);
    }

    #[test]
    fn another_magic_number_is_named() {
        let message = parse(Path::new("x.gz"), b"\x89PNG").unwrap_err().to_string();
        assert!(message.contains("magic bytes [89, 50, 4e, 47]"), "{message}");
    }
}
