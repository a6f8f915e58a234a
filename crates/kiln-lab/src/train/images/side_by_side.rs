//! What went in, what came out and what should have come out, beside each other.

use burn::tensor::{Device, Tensor};
use kiln_data::ImagePlanes;
use kiln_nn::Network;

use super::{ImageRows, ImageTask, Upscaler};
use crate::train::Examples;
use crate::{LabError, Picture, Plot};

/// A grid of pictures, one example a row: of an autoencoder the original, its reconstruction and the error; of an upscaler
/// the small picture, bicubic interpolation, the network's picture and the original.
#[derive(Clone, Debug)]
pub struct SideBySide {
    rows: Vec<Vec<ImagePlanes>>,
    task: ImageTask,
}

/// Examples that are shown.
const SHOWN: usize = 6;
/// Largest side of what is shown of a picture.
const SIDE: usize = 96;
/// An error of this size is drawn white.
const LARGE_ERROR: f32 = 0.5;

impl SideBySide {
    /// Windows spread evenly over `rows`.
    pub fn of_rows(network: &Network, rows: &ImageRows, task: ImageTask, device: &Device) -> Self {
        let count = SHOWN.min(rows.len());
        let chosen: Vec<usize> = (0..count).map(|at| at * rows.len() / count).collect();
        let (inputs, targets) = rows.examples(&chosen, 1, device);
        let outputs = network.forward(inputs.clone());
        let [inputs, targets, outputs] = [inputs, targets.values(), outputs].map(|batch| pictures(batch, rows.shape()));
        let shown = targets.into_iter().zip(outputs).zip(inputs);
        let shown = shown.map(|((target, output), input)| match task {
            ImageTask::Autoencode => vec![target.clone(), output.clone(), difference(&target, &output)],
            ImageTask::Upscale { factor } => {
                vec![repeated(&super::rows::lowered(&input, factor), factor), input, output, target]
            }
        });
        Self { rows: shown.collect(), task }
    }

    /// The middles of whole pictures, made smaller and large again.
    ///
    /// # Errors
    /// As [`Upscaler::judge`].
    pub fn of_pictures(upscaler: &Upscaler<'_>, pictures: &[ImagePlanes]) -> Result<Self, LabError> {
        let factor = upscaler.factor;
        let row = |picture: &ImagePlanes| {
            let [_, target] = upscaler.pair(picture)?;
            let [_, target] = upscaler.pair(&middle(&target, SIDE))?;
            let low = super::rows::lowered(&target, factor);
            let input = super::rows::enlarged(&low, factor);
            let output = upscaler.sharpened(&input);
            Ok(vec![repeated(&low, factor), input, output, target])
        };
        let rows = pictures.iter().take(SHOWN).map(row).collect::<Result<_, LabError>>()?;
        Ok(Self { rows, task: ImageTask::Upscale { factor } })
    }

    /// The grid, with a caption under each column's first picture.
    pub fn plot(&self, title: impl Into<String>) -> Plot {
        let captions: &[&str] = match self.task {
            ImageTask::Autoencode => &["original", "reconstruction", "error"],
            ImageTask::Upscale { .. } => &["low resolution", "bicubic", "network", "original"],
        };
        let drawn = |(column, picture): (usize, &ImagePlanes)| {
            let high = if captions[column] == "error" { LARGE_ERROR } else { 1.0 };
            Picture::from_values(&picture.values, picture.shape, 0.0, high).caption(captions[column])
        };
        let pictures = self.rows.iter().flat_map(|row| row.iter().enumerate().map(drawn)).collect();
        Plot::pictures(title, captions.len(), pictures)
    }
}

fn pictures(batch: Tensor<2>, shape: [usize; 3]) -> Vec<ImagePlanes> {
    let values: Vec<f32> = batch.into_data().iter::<f32>().collect();
    let pixels: usize = shape.iter().product();
    let picture = |values: &[f32]| middle(&ImagePlanes { name: String::new(), shape, values: values.to_vec() }, SIDE);
    values.chunks_exact(pixels.max(1)).map(picture).collect()
}

/// The middle of a picture, of at most `side` pixels a side.
fn middle(picture: &ImagePlanes, side: usize) -> ImagePlanes {
    let [_, height, width] = picture.shape;
    let (shown_height, shown_width) = (height.min(side), width.min(side));
    picture.part([(height - shown_height) / 2, (width - shown_width) / 2], [shown_height, shown_width])
}

/// The absolute error of each pixel, the mean over the channels.
fn difference(one: &ImagePlanes, other: &ImagePlanes) -> ImagePlanes {
    let [channels, height, width] = one.shape;
    let pixels = height * width;
    let error = |at: usize| {
        let of_channel =
            |channel: usize| (one.values[channel * pixels + at] - other.values[channel * pixels + at]).abs();
        (0..channels).map(of_channel).sum::<f32>() / channels as f32
    };
    ImagePlanes { name: one.name.clone(), shape: [1, height, width], values: (0..pixels).map(error).collect() }
}

/// Each pixel as a square, so that a small picture is seen beside a large one.
fn repeated(picture: &ImagePlanes, factor: usize) -> ImagePlanes {
    let [channels, height, width] = picture.shape;
    let (large_height, large_width) = (height * factor, width * factor);
    let mut values = Vec::with_capacity(channels * large_height * large_width);
    for channel in 0..channels {
        for row in 0..large_height {
            let from = (channel * height + row / factor) * width;
            values.extend((0..large_width).map(|column| picture.values[from + column / factor]));
        }
    }
    ImagePlanes { name: picture.name.clone(), shape: [channels, large_height, large_width], values }
}
