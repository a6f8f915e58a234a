//! TensorBoard event files: records of a length, its checksum, a protocol buffer, and the buffer's checksum.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::LabError;

/// Writes scalars to a TensorBoard event file.
///
/// A record is `length: u64, masked crc of length: u32, event, masked crc of event: u32`, little-endian, where the
/// checksum is CRC-32C and `masked(c) = rotate_right(c, 15) + 0xa282ead8`.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Starts the event file of `folder`, replacing an earlier one.
    ///
    /// # Errors
    /// [`LabError::Io`] when the file cannot be created.
    pub fn create(folder: &Path) -> Result<Self, LabError> {
        let path = folder.join("events.out.tfevents.0.kiln");
        let file = File::create(&path).map_err(|source| LabError::io("create", &path, source))?;
        let mut writer = Self { path, file: BufWriter::new(file) };
        writer.record(&version_event(seconds()))?;
        Ok(writer)
    }

    /// Appends one scalar.
    ///
    /// # Errors
    /// [`LabError::Io`], for example on a full disk.
    pub fn scalar(&mut self, step: u64, name: &str, value: f64) -> Result<(), LabError> {
        self.record(&scalar_event(seconds(), step, name, value))
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// As [`scalar`](Self::scalar).
    pub fn flush(&mut self) -> Result<(), LabError> {
        self.file.flush().map_err(|source| LabError::io("write", &self.path, source))
    }

    fn record(&mut self, event: &[u8]) -> Result<(), LabError> {
        self.file.write_all(&framed(event)).map_err(|source| LabError::io("write", &self.path, source))
    }
}

fn seconds() -> f64 {
    jiff::Timestamp::now().as_microsecond() as f64 * 1e-6
}

/// `Event { wall_time = 1, file_version = 3 }`.
fn version_event(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    put_double(&mut event, 1, wall_time);
    put_bytes(&mut event, 3, b"brain.Event:2");
    event
}

/// `Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } } }`.
fn scalar_event(wall_time: f64, step: u64, name: &str, value: f64) -> Vec<u8> {
    let mut entry = Vec::new();
    put_bytes(&mut entry, 1, name.as_bytes());
    entry.push(2 << 3 | 5);
    entry.extend_from_slice(&(value as f32).to_le_bytes());
    let mut summary = Vec::new();
    put_bytes(&mut summary, 1, &entry);
    let mut event = Vec::new();
    put_double(&mut event, 1, wall_time);
    event.push(2 << 3);
    put_varint(&mut event, step);
    put_bytes(&mut event, 5, &summary);
    event
}

fn put_double(message: &mut Vec<u8>, field: u8, value: f64) {
    message.push(field << 3 | 1);
    message.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn framed(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(event.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked(crc32c(&length)).to_le_bytes());
    record.extend_from_slice(event);
    record.extend_from_slice(&masked(crc32c(event)).to_le_bytes());
    record
}

fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected polynomial `0x82f63b78`.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc32c_table();
    !bytes.iter().fold(!0, |crc: u32, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

const fn crc32c_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of RFC 3720, appendix B.4, and the usual check value.
    #[test]
    fn checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46dd_794e);
    }

    /// The first record of a file that TensorFlow wrote at time 0: the frame around `brain.Event:2`.
    #[test]
    fn frame_of_the_version_record() {
        let record = framed(&version_event(0.0));
        assert_eq!(&record[..8], &[24, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&record[8..12], &[0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(&record[12..23], &[0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a, 13]);
        assert_eq!(&record[23..36], b"brain.Event:2");
        assert_eq!(record.len(), 40);
    }

    #[test]
    fn a_scalar_event_has_the_wire_format() {
        let event = scalar_event(1.0, 300, "loss", 0.5);
        let expected = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f][..],
            &[0x10, 0xac, 0x02],
            &[0x2a, 13, 0x0a, 11, 0x0a, 4],
            b"loss",
            &[0x15, 0, 0, 0, 0x3f],
        ]
        .concat();
        assert_eq!(event, expected);
    }
}
