//! NumPy's `.npy` and `.npz` files.

use std::io::Cursor;
use std::path::Path;

use crate::array::{Array, ArrayKind, half, num_values};
use crate::{DataError, file_bytes};

/// Reads a `.npy` file of numbers or truth values.
///
/// # Errors
/// [`DataError::Io`], or [`DataError::Malformed`] for a wrong magic number, an unknown type of values, a truncated
/// or an overlong file.
pub fn read(path: &Path) -> Result<Array, DataError> {
    parse(path, &file_bytes::read_all(path)?)
}

/// Reads the arrays of numbers of a `.npz` file, sorted by name; arrays of text or objects are passed over.
///
/// # Errors
/// As [`read`].
pub fn read_archive(path: &Path) -> Result<Vec<(String, Array)>, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
    parse_archive(path, &bytes)
}

/// Reads the bytes of a `.npy` file; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Array, DataError> {
    parse_numbers(path, bytes)?
}

/// The inner error is that of a whole file whose values are no numbers.
fn parse_numbers(path: &Path, bytes: &[u8]) -> Result<Result<Array, DataError>, DataError> {
    let malformed = |found: String, expected: &str| DataError::malformed(path, "", found, expected);
    let Some(versioned) = bytes.strip_prefix(b"\x93NUMPY") else {
        let found = format!("magic bytes {:02x?}", &bytes[..bytes.len().min(6)]);
        return Err(malformed(found, "a NumPy file (93 4e 55 4d 50 59)"));
    };
    let damaged = || malformed("a damaged or truncated header".into(), "a whole NumPy file");
    let (length, rest) = match *versioned {
        [1, _, a, b, ref rest @ ..] => (usize::from(u16::from_le_bytes([a, b])), rest),
        [2 | 3, _, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
        _ => return Err(damaged()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let header = std::str::from_utf8(header).map_err(|_| damaged())?;
    let Some(value_type) = text_of(header) else {
        return Ok(Err(malformed("records or a header without the type".into(), "an array of numbers")));
    };
    let column_major = value_of(header, "fortran_order").ok_or_else(damaged)?.starts_with("True");
    let shape = shape_of(header).ok_or_else(damaged)?;
    let Some(number) = NumberType::parse(value_type) else {
        let expected = "numbers (f2, f4, f8, i1 to i8, u1 to u8) or truth values (b1)";
        return Ok(Err(malformed(format!("values of type {value_type}"), expected)));
    };
    if num_values(path, &shape)?.checked_mul(number.width) != Some(data.len()) {
        let found = format!("{} bytes of values", data.len());
        return Err(malformed(found, &format!("values of type {value_type} for shape {shape:?}")));
    }
    let kind = match (number.kind, number.width) {
        (b'u', 1) => ArrayKind::Bytes,
        (b'f', _) => ArrayKind::Floats,
        _ => ArrayKind::Integers,
    };
    let values: Vec<f32> = data.chunks_exact(number.width).map(|bytes| number.value(bytes)).collect();
    let values = if column_major { row_major(&values, &shape) } else { values };
    Ok(Ok(Array { shape, values, kind }))
}

/// What stands behind a key of the header's dictionary.
fn value_of<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let quoted = format!("'{key}'");
    let behind = &header[header.find(&quoted)? + quoted.len()..];
    behind.trim_start().strip_prefix(':').map(str::trim_start)
}

fn text_of(header: &str) -> Option<&str> {
    value_of(header, "descr")?.strip_prefix('\'')?.split_once('\'').map(|(text, _)| text)
}

fn shape_of(header: &str) -> Option<Vec<usize>> {
    let (inside, _) = value_of(header, "shape")?.strip_prefix('(')?.split_once(')')?;
    let lengths = inside.split(',').map(str::trim).filter(|length| !length.is_empty());
    lengths.map(|length| length.trim_end_matches('L').parse().ok()).collect()
}

/// Type of the values: `<f4` is a little-endian float of four bytes.
#[derive(Debug, Clone, Copy)]
struct NumberType {
    big_endian: bool,
    kind: u8,
    width: usize,
}

impl NumberType {
    fn parse(text: &str) -> Option<Self> {
        let &[order, kind, width] = text.as_bytes() else { return None };
        let known = match kind {
            b'f' => matches!(width, b'2' | b'4' | b'8'),
            b'i' | b'u' => matches!(width, b'1' | b'2' | b'4' | b'8'),
            b'b' => width == b'1',
            _ => false,
        };
        let order_known = matches!(order, b'<' | b'>' | b'|' | b'=');
        (known && order_known).then(|| Self { big_endian: order == b'>', kind, width: usize::from(width - b'0') })
    }

    fn value(self, bytes: &[u8]) -> f32 {
        let mut little = [0; 8];
        little[..self.width].copy_from_slice(bytes);
        if self.big_endian {
            little[..self.width].reverse();
        }
        let whole = u64::from_le_bytes(little);
        match (self.kind, self.width) {
            (b'f', 2) => half(whole as u16),
            (b'f', 4) => f32::from_bits(whole as u32),
            (b'f', _) => f64::from_bits(whole) as f32,
            (b'i', width) => {
                let unused = 64 - 8 * width as u32;
                ((whole << unused).cast_signed() >> unused) as f32
            }
            (b'b', _) => f32::from(u8::from(whole != 0)),
            _ => whole as f32,
        }
    }
}

fn row_major(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    let mut index = vec![0; shape.len()];
    for _ in 0..values.len() {
        turned.push(values[index.iter().zip(&strides).map(|(at, stride)| at * stride).sum::<usize>()]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    turned
}

/// Reads the bytes of a `.npz` file; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse_archive(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Array)>, DataError> {
    let members = members(path, bytes)?.into_iter();
    Ok(members.filter_map(|(name, array)| array.ok().map(|array| (name, array))).collect())
}

/// An array and its name; the error of one that holds no numbers.
pub(crate) type Member = (String, Result<Array, DataError>);

/// The members of a `.npz` file by name.
pub(crate) fn members(path: &Path, bytes: &[u8]) -> Result<Vec<Member>, DataError> {
    let damaged = |error: &dyn std::fmt::Display| {
        DataError::malformed(path, "", format!("a damaged archive ({error})"), "a whole .npz (zip) file")
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    let mut arrays = Vec::new();
    for at in 0..archive.len() {
        let mut member = archive.by_index(at).map_err(|error| damaged(&error))?;
        let name = member.name().map_err(|error| damaged(&error))?.into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
            continue;
        };
        let mut bytes = Vec::new();
        std::io::copy(&mut member, &mut bytes).map_err(|error| damaged(&error))?;
        let array = parse_numbers(&path.join(&name), &bytes)?;
        arrays.push((name, array));
    }
    arrays.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16 + 1).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.push(b'\n');
        bytes.extend(data);
        bytes
    }

    #[test]
    fn both_orders_give_the_same_rows() {
        let data: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let c = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", &data);
        let f = npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", &data);
        assert_eq!(parse(Path::new("c"), &c).unwrap().values, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(parse(Path::new("f"), &f).unwrap().values, vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        for length in 0..c.len() {
            assert!(parse(Path::new("c"), &c[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn all_widths_signs_and_byte_orders_are_read() {
        let read = |kind: &str, data: &[u8]| {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (1,), }}");
            parse(Path::new("c"), &npy(&header, data)).map(|array| array.values[0])
        };
        assert_eq!(read("|i1", &[0xfe]).unwrap(), -2.0);
        assert_eq!(read("<i2", &[0xfe, 0xff]).unwrap(), -2.0);
        assert_eq!(read(">i4", &[0, 0, 1, 0]).unwrap(), 256.0);
        assert_eq!(read("<i8", &(-5_i64).to_le_bytes()).unwrap(), -5.0);
        assert_eq!(read(">u2", &[1, 1]).unwrap(), 257.0);
        assert_eq!(read(">f8", &1.25_f64.to_be_bytes()).unwrap(), 1.25);
        assert_eq!(read("|b1", &[1]).unwrap(), 1.0);
        assert_eq!(read("<f2", &[0x00, 0x3e]).unwrap(), 1.5);
        assert_eq!(read(">f2", &[0xc0, 0x00]).unwrap(), -2.0);
        assert!(read("<c8", &[0; 8]).is_err() && read("|O", &[0; 8]).is_err());
    }

    #[test]
    fn an_enormous_shape_is_refused_without_reserving_it() {
        let bytes = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999), }", &[0; 8]);
        assert!(parse(Path::new("c"), &bytes).is_err());
        let bytes = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999,), }", &[0; 8]);
        assert!(parse(Path::new("c"), &bytes).is_err());
    }
}
