//! The shape of one input, as a network sees it.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::NetworkError;

/// Shape of one input: `[features]` for rows, `[channels, height, width]` for images.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputShape(pub Vec<usize>);

impl InputShape {
    /// Number of values of one input; the largest number where the product has no room.
    pub fn num_features(&self) -> usize {
        self.0.iter().fold(1, |product, &side| product.saturating_mul(side))
    }

    /// `[channels, height, width]`, for `network`, which takes images alone. `[height, width]` counts as one channel.
    ///
    /// # Errors
    /// [`NetworkError::InputShape`] where the shape is not that of an image, or of one that no memory holds.
    pub fn as_image(&self, network: &'static str) -> Result<[usize; 3], NetworkError> {
        let image = match self.0[..] {
            [channels, height, width] => [channels, height, width],
            [height, width] => [1, height, width],
            _ => {
                return Err(NetworkError::input_shape(
                    network,
                    &self.0,
                    "it takes images, [channels, height, width]; for rows of a table use an MLP",
                ));
            }
        };
        if image.contains(&0) {
            return Err(NetworkError::input_shape(network, &self.0, "every side must be at least 1"));
        }
        const MOST: usize = 1 << 31;
        if self.num_features() > MOST {
            let right = format!("an image has at most {MOST} values");
            return Err(NetworkError::input_shape(network, &self.0, right));
        }
        Ok(image)
    }
}

impl From<&[usize]> for InputShape {
    fn from(shape: &[usize]) -> Self {
        Self(shape.to_vec())
    }
}

impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&sides.join("x"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_that_overflow_are_no_images() {
        let shape = |sides: &[usize]| InputShape::from(sides);
        assert_eq!(shape(&[3, 4, 5]).num_features(), 60);
        assert_eq!(shape(&[usize::MAX, 2]).num_features(), usize::MAX);
        for sides in [[1, usize::MAX, 1], [usize::MAX, usize::MAX, usize::MAX], [1 << 11, 1 << 11, 1 << 11]] {
            let message = shape(&sides).as_image("LeNet").unwrap_err().to_string();
            assert!(message.contains("at most 2147483648 values"), "{message}");
        }
        assert_eq!(shape(&[1 << 10, 1 << 10, 1 << 11]).as_image("LeNet"), Ok([1 << 10, 1 << 10, 1 << 11]));
    }
}
