use std::path::Path;

use crate::DataError;

/// Numbers of any shape, as array files hold them.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Lengths of the dimensions; the first one counts rows.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<f32>,
    /// What the file stored.
    pub kind: ArrayKind,
}

/// What the numbers of an array were in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayKind {
    /// Unsigned bytes, as pictures have them.
    Bytes,
    /// Whole numbers of another width, or truth values.
    Integers,
    /// Floating-point numbers.
    Floats,
}

/// Array rows ready for a data set: shape of a row, values, and the divisor that was applied.
pub(crate) struct Rows {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
    pub divisor: f32,
}

impl Array {
    /// Length of the first dimension; 1 for a single number.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Rows as networks take them: `[n, f]` stays, `[n, h, w]` gets a channel, `[n, h, w, c]` with 1, 3 or 4 channels
    /// becomes `[n, c, h, w]`, and bytes are divided by 255 unless they are the columns of a table.
    pub(crate) fn into_rows(self) -> Rows {
        let divisor = if self.kind == ArrayKind::Bytes && self.shape.len() != 2 { 255.0 } else { 1.0 };
        let channels = |length: usize| matches!(length, 1 | 3 | 4);
        let (shape, mut values) = match self.shape[..] {
            [] | [_] => (vec![1], self.values),
            [_, height, width] => (vec![1, height, width], self.values),
            [rows, height, width, depth] if channels(depth) && !channels(height) => {
                (vec![depth, height, width], channels_first(&self.values, rows, height * width, depth))
            }
            _ => (self.shape[1..].to_vec(), self.values),
        };
        if divisor != 1.0 {
            values.iter_mut().for_each(|value| *value /= divisor);
        }
        Rows { shape, values, divisor }
    }

    /// Class indices, where the values are whole numbers from 0.
    pub(crate) fn into_labels(self, path: &Path) -> Result<Vec<u32>, DataError> {
        if self.values.len() != self.rows() {
            let found = format!("labels of shape {:?}", self.shape);
            return Err(DataError::malformed(path, "", found, "one label a row"));
        }
        let mut labels = Vec::with_capacity(self.values.len());
        for (row, value) in self.values.into_iter().enumerate() {
            if value.fract() != 0.0 || !(0.0..1e6).contains(&value) {
                let place = format!("label {}", row + 1);
                return Err(DataError::malformed(path, place, value.to_string(), "a whole number from 0 to 999999"));
            }
            labels.push(value as u32);
        }
        Ok(labels)
    }
}

fn channels_first(values: &[f32], rows: usize, pixels: usize, depth: usize) -> Vec<f32> {
    let mut turned = vec![0.0; values.len()];
    for row in 0..rows {
        let at = row * pixels * depth;
        for pixel in 0..pixels {
            for channel in 0..depth {
                turned[at + channel * pixels + pixel] = values[at + pixel * depth + channel];
            }
        }
    }
    turned
}

/// The number with the given bits of an IEEE half-precision float.
pub(crate) fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 0x1f, u32::from(bits) & 0x3ff);
    match exponent {
        // Subnormal numbers are multiples of 2^-24.
        0 => f32::from_bits(sign | (fraction as f32 / 16_777_216.0).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The number of values of a shape; refused where it does not fit the memory of any machine.
pub(crate) fn num_values(path: &Path, shape: &[usize]) -> Result<usize, DataError> {
    let product = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
    product.filter(|&count| count <= isize::MAX as usize / 16).ok_or_else(|| {
        DataError::malformed(path, "", format!("an array of shape {shape:?}"), "a shape whose values fit in memory")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_pictures_become_planes_and_bytes_become_fractions() {
        let values = vec![255.0, 0.0, 51.0, 0.0, 255.0, 102.0];
        let array = Array { shape: vec![1, 2, 1, 3], values, kind: ArrayKind::Bytes };
        let rows = array.into_rows();
        assert_eq!(rows.shape, vec![3, 2, 1]);
        assert_eq!(rows.values, vec![1.0, 0.0, 0.0, 1.0, 0.2, 0.4]);
    }

    #[test]
    fn half_precision_bits_are_the_numbers_of_the_standard() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x3555, 0.333_251_95),
            (0x8000, -0.0),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:04x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn labels_must_be_whole_numbers() {
        let array = |values| Array { shape: vec![2], values, kind: ArrayKind::Floats };
        assert_eq!(array(vec![3.0, 0.0]).into_labels(Path::new("l")).unwrap(), vec![3, 0]);
        assert!(array(vec![0.5, 0.0]).into_labels(Path::new("l")).is_err());
        assert!(array(vec![-1.0, f32::NAN]).into_labels(Path::new("l")).is_err());
    }
}
