//! Images of the networks beside the originals.

use burn::tensor::Tensor;
use kiln_lab::{Picture, Plot};
use serde::{Deserialize, Serialize};

use super::contenders::ByName;

/// How much brighter errors are drawn than they are.
const AMPLIFICATION: f32 = 3.0;

/// A few grey images and what they should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shown {
    height: usize,
    width: usize,
    outputs: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
}

impl Shown {
    /// `count` images, spread evenly over the batch.
    ///
    /// # Shapes
    /// - `outputs`, `targets`: `[batch_size, 1, height, width]`
    pub(super) fn spread(outputs: &Tensor<4>, targets: &Tensor<4>, count: usize) -> Self {
        let [images, _, height, width] = targets.dims();
        let count = count.min(images);
        let values = |of: &Tensor<4>| {
            let image = |at: usize| of.clone().narrow(0, at * images / count, 1).into_data().iter::<f32>().collect();
            (0..count).map(image).collect()
        };
        Self { height, width, outputs: values(outputs), targets: values(targets) }
    }

    fn picture(&self, values: &[f32], caption: &str) -> Picture {
        Picture::from_values(values, [1, self.height, self.width], 0.0, 1.0).caption(caption)
    }
}

/// A row of originals, one for each network, and one for the errors of each.
pub(super) fn rows(title: &str, shown: &ByName<Shown>) -> Plot {
    let columns = shown.entries.iter().map(|(_, shown)| shown.targets.len()).max().unwrap_or(1);
    let mut pictures = Vec::new();
    // A caption under the first picture of each row; the picture is small and has no room for more.
    let row = |pictures: &mut Vec<Picture>, name: &str, shown: &Shown, images: &[Vec<f32>]| {
        let caption = |at: usize| if at == 0 { name } else { "" };
        pictures.extend(images.iter().enumerate().map(|(at, values)| shown.picture(values, caption(at))));
    };
    if let Some((_, first)) = shown.entries.first() {
        row(&mut pictures, "original", first, &first.targets);
    }
    for (name, shown) in &shown.entries {
        row(&mut pictures, name, shown, &shown.outputs);
    }
    for (name, shown) in &shown.entries {
        let error = |(output, target): (&Vec<f32>, &Vec<f32>)| {
            output.iter().zip(target).map(|(output, target)| AMPLIFICATION * (output - target).abs()).collect()
        };
        let errors: Vec<Vec<f32>> = shown.outputs.iter().zip(&shown.targets).map(error).collect();
        row(&mut pictures, &format!("{name} err"), shown, &errors);
    }
    Plot::pictures(format!("{title}; errors three times as bright"), columns, pictures)
}

/// The learning rates that were chosen, in a sentence.
pub(super) fn rates(comparison: &str, rates: &[(String, f64)]) -> String {
    let rates: Vec<String> = rates.iter().map(|(name, rate)| format!("{name} {rate}")).collect();
    format!("Learning rates of {comparison}, chosen on validation images by each loss itself: {}.", rates.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn every_network_has_a_row_of_images_and_one_of_errors() {
        let images = Tensor::<4>::full([10, 1, 4, 5], 0.25, &Device::flex());
        let shown = Shown::spread(&images, &(images.clone() + 0.2), 4);
        let plot = rows("a", &ByName { entries: vec![("mse".into(), shown.clone()), ("mae".into(), shown)] });
        assert_eq!(plot.pictures.len(), 5 * 4);
        let captions: Vec<&str> = plot
            .pictures
            .iter()
            .map(|picture| picture.caption.as_str())
            .filter(|caption| !caption.is_empty())
            .collect();
        assert_eq!(captions, ["original", "mse", "mae", "mse err", "mae err"]);
        assert_eq!(plot.pictures[12].pixel(0, 0), [153; 3]);
    }
}
