//! CIFAR's binary records: one label byte (two for CIFAR-100, the fine class second) and 3,072 bytes of 32 x 32
//! pixels in a red, a green and a blue plane.

use std::path::Path;

use crate::array::{Array, ArrayKind};
use crate::{DataError, file_bytes};

const PIXELS: usize = 3 * 32 * 32;

/// Pictures `[records, 3, 32, 32]` and their labels (the fine ones of CIFAR-100), from a `.bin` or `.bin.gz` file.
///
/// # Errors
/// [`DataError::Io`], or [`DataError::Malformed`] where the length is not a number of whole records.
pub fn read(path: &Path) -> Result<(Array, Vec<u32>), DataError> {
    parse(path, &file_bytes::read_all(path)?)
}

/// Reads the (unpacked) bytes of a file of records; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<(Array, Vec<u32>), DataError> {
    let label_bytes = [1, 2].into_iter().find(|label| !bytes.is_empty() && bytes.len().is_multiple_of(PIXELS + label));
    let Some(label_bytes) = label_bytes else {
        let found = format!("{} bytes", bytes.len());
        let expected = "whole records of 3073 bytes (CIFAR-10) or 3074 bytes (CIFAR-100), at least one";
        return Err(DataError::malformed(path, "", found, expected));
    };
    let records = bytes.chunks_exact(PIXELS + label_bytes);
    let shape = vec![records.len(), 3, 32, 32];
    let mut values = Vec::with_capacity(records.len() * PIXELS);
    let mut labels = Vec::with_capacity(records.len());
    for record in records {
        let (label, pixels) = record.split_at(label_bytes);
        labels.push(u32::from(label[label_bytes - 1]));
        values.extend(pixels.iter().map(|&pixel| f32::from(pixel)));
    }
    Ok((Array { shape, values, kind: ArrayKind::Bytes }, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_both_kinds_are_read_and_cut_ones_refused() {
        let mut ten = vec![7_u8];
        ten.extend((0..PIXELS).map(|pixel| pixel as u8));
        let (array, labels) = parse(Path::new("c"), &ten.repeat(2)).unwrap();
        assert_eq!((array.shape, labels), (vec![2, 3, 32, 32], vec![7, 7]));
        assert_eq!(array.values[5], 5.0);
        ten.insert(0, 1);
        assert_eq!(parse(Path::new("c"), &ten).unwrap().1, vec![7]);
        assert!(parse(Path::new("c"), &ten[..PIXELS]).is_err());
        assert!(parse(Path::new("c"), &[]).is_err());
    }
}
