//! Arrays in safetensors files.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::DataError;
use crate::array::{Array, ArrayKind, half, num_values};

/// Reads all arrays of a `.safetensors` file, sorted by name.
///
/// # Errors
/// [`DataError::Io`], or [`DataError::Malformed`] for a damaged or truncated file or a type of values that is not
/// read (8-bit floats and smaller ones, complex numbers).
pub fn read(path: &Path) -> Result<Vec<(String, Array)>, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
    parse(path, &bytes)
}

/// Reads the bytes of a `.safetensors` file; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Array)>, DataError> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
        DataError::malformed(path, "", format!("a damaged or truncated file ({error})"), "a whole safetensors file")
    })?;
    let mut arrays = Vec::new();
    for (name, tensor) in tensors.iter() {
        let shape = tensor.shape().to_vec();
        num_values(path, &shape)?;
        let data = tensor.data();
        macro_rules! cast {
            ($type:ty, $width:literal) => {
                data.chunks_exact($width)
                    .map(|bytes| {
                        let mut value = [0; $width];
                        value.copy_from_slice(bytes);
                        <$type>::from_le_bytes(value) as f32
                    })
                    .collect()
            };
        }
        let (values, kind) = match tensor.dtype() {
            Dtype::F32 => (cast!(f32, 4), ArrayKind::Floats),
            Dtype::F64 => (cast!(f64, 8), ArrayKind::Floats),
            Dtype::F16 => {
                let widen = |bytes: &[u8]| half(u16::from_le_bytes([bytes[0], bytes[1]]));
                (data.chunks_exact(2).map(widen).collect(), ArrayKind::Floats)
            }
            Dtype::BF16 => {
                let widen = |bytes: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16);
                (data.chunks_exact(2).map(widen).collect(), ArrayKind::Floats)
            }
            Dtype::U8 => (cast!(u8, 1), ArrayKind::Bytes),
            Dtype::BOOL => (cast!(u8, 1), ArrayKind::Integers),
            Dtype::I8 => (cast!(i8, 1), ArrayKind::Integers),
            Dtype::I16 => (cast!(i16, 2), ArrayKind::Integers),
            Dtype::I32 => (cast!(i32, 4), ArrayKind::Integers),
            Dtype::I64 => (cast!(i64, 8), ArrayKind::Integers),
            Dtype::U16 => (cast!(u16, 2), ArrayKind::Integers),
            Dtype::U32 => (cast!(u32, 4), ArrayKind::Integers),
            Dtype::U64 => (cast!(u64, 8), ArrayKind::Integers),
            other => {
                let expected = "F16, BF16, F32, F64, BOOL, or whole numbers of 8 to 64 bits";
                return Err(DataError::malformed(path, format!("array {name}"), format!("type {other:?}"), expected));
            }
        };
        arrays.push((name.to_owned(), Array { shape, values, kind }));
    }
    arrays.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    #[test]
    fn arrays_come_back_and_a_cut_file_is_refused() {
        let data: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![2], &data).unwrap();
        let bytes = safetensors::serialize([("x", view)], None).unwrap();
        let arrays = parse(Path::new("s"), &bytes).unwrap();
        assert_eq!(arrays[0].0, "x");
        assert_eq!(arrays[0].1.values, vec![1.5, -2.0]);
        for (kind, bits) in [(Dtype::F16, [0x00, 0x3e]), (Dtype::BF16, [0xc0, 0x3f])] {
            let view = TensorView::new(kind, vec![1], &bits).unwrap();
            let bytes = safetensors::serialize([("x", view)], None).unwrap();
            assert_eq!(parse(Path::new("s"), &bytes).unwrap()[0].1.values, vec![1.5]);
        }
        assert!((0..bytes.len()).all(|length| parse(Path::new("s"), &bytes[..length]).is_err()));
    }
}
