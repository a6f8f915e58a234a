//! The number types that a layer's weights can have.

use kiln_kernels::Real;

/// Element type of the large weight matrix of an output layer: `f32` (half the memory) or `f64` (for checks).
pub trait LayerScalar: Real {
    /// The same type as safetensors names it.
    const STORED_AS: safetensors::Dtype;
    /// How far the condition number of `U` may grow before rounding of `V` in this type shows in `W = V U`: the relative
    /// error of `W` is about the condition number times the rounding of one value.
    const LARGEST_CONDITION: f64;

    /// The value, widened.
    fn widen(self) -> f64;

    /// Reads little-endian bytes, as safetensors stores them.
    fn read_little_endian(bytes: &[u8]) -> Vec<Self>;

    /// Appends the little-endian bytes.
    fn write_little_endian(self, bytes: &mut Vec<u8>);
}

impl LayerScalar for f32 {
    const STORED_AS: safetensors::Dtype = safetensors::Dtype::F32;
    const LARGEST_CONDITION: f64 = 1e2;

    #[inline]
    fn widen(self) -> f64 {
        f64::from(self)
    }

    fn read_little_endian(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
    }

    fn write_little_endian(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
}

impl LayerScalar for f64 {
    const STORED_AS: safetensors::Dtype = safetensors::Dtype::F64;
    const LARGEST_CONDITION: f64 = 1e6;

    #[inline]
    fn widen(self) -> f64 {
        self
    }

    fn read_little_endian(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect()
    }

    fn write_little_endian(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
}
