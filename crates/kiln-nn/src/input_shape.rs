//! The shape of one input, as a network sees it.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::NetworkError;

/// Shape of one input: `[features]` for rows, `[channels, height, width]` for images.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputShape(pub Vec<usize>);

impl InputShape {
    /// Number of values of one input.
    pub fn num_features(&self) -> usize {
        self.0.iter().product()
    }

    /// `[channels, height, width]`, for `network`, which takes images alone. `[height, width]` counts as one channel.
    ///
    /// # Errors
    /// [`NetworkError::InputShape`] where the shape is not that of an image.
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
