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
        let images = targets.dims()[0];
        let count = count.min(images);
        Self::at(outputs, targets, (0..count).map(|at| at * images / count))
    }

    /// The images in these places of the batch.
    ///
    /// # Shapes
    /// - `outputs`, `targets`: `[batch_size, 1, height, width]`
    pub(super) fn at(outputs: &Tensor<4>, targets: &Tensor<4>, places: impl Iterator<Item = usize> + Clone) -> Self {
        let [_, _, height, width] = targets.dims();
        let values = |of: &Tensor<4>| {
            let image = |at: usize| of.clone().narrow(0, at, 1).into_data().iter::<f32>().collect();
            places.clone().map(image).collect()
        };
        Self { height, width, outputs: values(outputs), targets: values(targets) }
    }

    /// Pictures side by side with a caption under the first: they are small and have no room for more.
    fn row(&self, name: &str, images: &[Vec<f32>]) -> Vec<Picture> {
        let picture = |(at, values): (usize, &Vec<f32>)| {
            let caption = if at == 0 { name } else { "" };
            Picture::from_values(values, [1, self.height, self.width], 0.0, 1.0).caption(caption)
        };
        images.iter().enumerate().map(picture).collect()
    }
}

/// A row of originals, one for each network, and one for the errors of each.
pub(super) fn rows(title: &str, shown: &ByName<Shown>) -> Plot {
    let mut pictures = Vec::new();
    if let Some((_, first)) = shown.entries.first() {
        pictures.extend(first.row("original", &first.targets));
    }
    for (name, shown) in &shown.entries {
        pictures.extend(shown.row(name, &shown.outputs));
    }
    for (name, shown) in &shown.entries {
        let error = |(output, target): (&Vec<f32>, &Vec<f32>)| {
            output.iter().zip(target).map(|(output, target)| AMPLIFICATION * (output - target).abs()).collect()
        };
        let errors: Vec<Vec<f32>> = shown.outputs.iter().zip(&shown.targets).map(error).collect();
        pictures.extend(shown.row(&format!("{name} err"), &errors));
    }
    Plot::pictures(format!("{title}; errors three times as bright"), columns(shown), pictures)
}

/// Two rows for each network: originals, and under them what the network makes of these.
pub(super) fn pairs(title: &str, shown: &ByName<Shown>) -> Plot {
    let both =
        |(name, shown): &(String, Shown)| [shown.row("original", &shown.targets), shown.row(name, &shown.outputs)];
    let pictures = shown.entries.iter().flat_map(both).flatten().collect();
    Plot::pictures(title, columns(shown), pictures)
}

fn columns(shown: &ByName<Shown>) -> usize {
    shown.entries.iter().map(|(_, shown)| shown.targets.len()).max().unwrap_or(1)
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

    #[test]
    fn pairs_stand_under_each_other_in_the_order_of_their_places() {
        let levels: Vec<f32> = vec![0.0, 0.2, 0.4, 0.6];
        let images = Tensor::<1>::from_floats(levels.as_slice(), &Device::flex()).reshape([4, 1, 1, 1]);
        let shown = Shown::at(&(images.clone() + 0.2), &images, [2, 0].into_iter());
        let plot = pairs("a", &ByName { entries: vec![("mse".into(), shown)] });
        let levels: Vec<u8> = plot.pictures.iter().map(|picture| picture.pixel(0, 0)[0]).collect();
        assert_eq!((levels, plot.columns), (vec![102, 0, 153, 51], 2));
        assert_eq!((plot.pictures[0].caption.as_str(), plot.pictures[2].caption.as_str()), ("original", "mse"));
    }
}
