//! Small pictures in memory: examples, filters, contact sheets.

use serde::{Deserialize, Serialize};

/// An RGB picture, eight bits a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Rows from top to bottom, each pixel as red, green, blue: `3 * width * height` bytes.
    pub rgb: Vec<u8>,
    /// What stands under the picture; empty for nothing.
    #[serde(default)]
    pub caption: String,
}

impl Picture {
    /// A picture from numbers in `[channels, height, width]` order, `low` drawn black and `high` white. One channel is
    /// drawn grey; three are red, green and blue.
    ///
    /// # Panics
    /// When `values` has not `channels * height * width` numbers, or `channels` is neither 1 nor 3.
    pub fn from_values(values: &[f32], [channels, height, width]: [usize; 3], low: f32, high: f32) -> Self {
        assert_eq!(values.len(), channels * height * width, "a picture of [{channels}, {height}, {width}]");
        assert!(channels == 1 || channels == 3, "a picture has 1 or 3 channels, not {channels}");
        let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
        let level = |value: f32| ((value - low) * scale).clamp(0.0, 255.0).round() as u8;
        let plane = height * width;
        let channel = |index: usize| if channels == 1 { 0 } else { index };
        let rgb = (0..plane)
            .flat_map(|pixel| [0, 1, 2].map(|colour| level(values[channel(colour) * plane + pixel])))
            .collect();
        Self { width, height, rgb, caption: String::new() }
    }

    /// As [`from_values`](Self::from_values) over the range of the values themselves, which is how weights are shown.
    pub fn normalised(values: &[f32], shape: [usize; 3]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let low = finite().fold(f32::INFINITY, f32::min);
        let high = finite().fold(f32::NEG_INFINITY, f32::max);
        Self::from_values(values, shape, low, high)
    }

    /// The same picture with text under it.
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// The colour at column `x` and row `y`.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels() {
        let picture = Picture::from_values(&[0.0, 1.0, 0.5, 0.0, 1.0, 2.0], [3, 1, 2], 0.0, 1.0);
        assert_eq!((picture.pixel(0, 0), picture.pixel(1, 0)), ([0, 128, 255], [255, 0, 255]));
    }

    #[test]
    fn grey_and_flat_pictures() {
        assert_eq!(Picture::normalised(&[-1.0, 1.0], [1, 1, 2]).rgb, [0, 0, 0, 255, 255, 255]);
        assert_eq!(Picture::normalised(&[3.0, 3.0], [1, 2, 1]).rgb, [0; 6]);
    }
}
