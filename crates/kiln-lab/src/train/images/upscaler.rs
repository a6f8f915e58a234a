//! Pictures of any size made larger by a trained network.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_data::ImagePlanes;
use kiln_nn::SrCnn;

use super::rows::{enlarged, lowered};
use super::{ImageFigures, ImageJudge};
use crate::LabError;

/// Makes pictures of any size larger: the brightness by the network, the colours by bicubic interpolation.
#[derive(Clone, Copy, Debug)]
pub struct Upscaler<'a> {
    /// The network, without autodiff.
    pub network: &'a SrCnn,
    /// How many times larger.
    pub factor: usize,
    /// Where the network works.
    pub device: &'a Device,
}

impl Upscaler<'_> {
    /// Side of the tiles in which a large picture goes through the network, so that memory does not grow with its size.
    const TILE: usize = 256;

    /// The picture, `factor` times larger.
    pub fn upscale(&self, picture: &ImagePlanes) -> ImagePlanes {
        let (luma, chromas) = picture.luma_and_chromas();
        let luma = self.sharpened(&enlarged(&luma, self.factor));
        let chromas = chromas.map(|chromas| chromas.map(|chroma| enlarged(&chroma, self.factor)));
        ImagePlanes::of_luma_and_chromas(&luma, chromas.as_ref())
    }

    /// Judges the network, and bicubic interpolation beside it, by the brightness of whole pictures: each is made `factor`
    /// times smaller and large again. Rows and columns beyond a multiple of the factor are left out.
    ///
    /// # Errors
    /// [`LabError::Refused`] for a picture without a pixel left, and those of [`ImageJudge::add`].
    pub fn judge(&self, pictures: &[ImagePlanes]) -> Result<[ImageFigures; 2], LabError> {
        let (mut network, mut bicubic) = (ImageJudge::default(), ImageJudge::default());
        for picture in pictures {
            let [_, target] = self.pair(picture)?;
            let input = enlarged(&lowered(&target, self.factor), self.factor);
            let target = tensor(&target, self.device);
            network.add(tensor(&self.sharpened(&input), self.device), target.clone())?;
            bicubic.add(tensor(&input, self.device), target)?;
        }
        Ok([network.figures(), bicubic.figures()])
    }

    /// The brightness of a picture made smaller, and that of the picture itself as far as it is a multiple of the factor.
    pub(super) fn pair(&self, picture: &ImagePlanes) -> Result<[ImagePlanes; 2], LabError> {
        let [_, height, width] = picture.shape;
        let whole = |side: usize| side / self.factor * self.factor;
        if whole(height).min(whole(width)) == 0 {
            return Err(LabError::Refused(format!(
                "{}: {height} x {width} pixels are less than the factor {} of the model",
                picture.name, self.factor
            )));
        }
        let target = picture.in_channels(1).part([0, 0], [whole(height), whole(width)]);
        Ok([lowered(&target, self.factor), target])
    }

    /// An enlarged brightness made sharp.
    pub(super) fn sharpened(&self, enlarged: &ImagePlanes) -> ImagePlanes {
        self.sharpened_by_tiles(enlarged, Self::TILE)
    }

    /// Tiles overlap by the network's reach, so that the result is that of the whole picture.
    fn sharpened_by_tiles(&self, enlarged: &ImagePlanes, side: usize) -> ImagePlanes {
        let [_, height, width] = enlarged.shape;
        let reach = self.network.reach();
        let mut values = vec![0.0; height * width];
        for top in (0..height).step_by(side) {
            for left in (0..width).step_by(side) {
                let (bottom, right) = ((top + side).min(height), (left + side).min(width));
                let (from_top, from_left) = (top.saturating_sub(reach), left.saturating_sub(reach));
                let size = [(bottom + reach).min(height) - from_top, (right + reach).min(width) - from_left];
                let tile = self.forward(&enlarged.part([from_top, from_left], size));
                for row in top..bottom {
                    let from = (row - from_top) * size[1] + left - from_left;
                    values[row * width + left..row * width + right].copy_from_slice(&tile[from..from + right - left]);
                }
            }
        }
        ImagePlanes { name: enlarged.name.clone(), shape: enlarged.shape, values }
    }

    fn forward(&self, picture: &ImagePlanes) -> Vec<f32> {
        self.network.forward(tensor(picture, self.device)).into_data().iter::<f32>().collect()
    }
}

/// A picture as a batch of one.
pub(super) fn tensor(picture: &ImagePlanes, device: &Device) -> Tensor<4> {
    let [channels, height, width] = picture.shape;
    Tensor::from_data(TensorData::new(picture.values.clone(), [1, channels, height, width]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_nn::SrCnnConfig;

    fn picture(shape: [usize; 3]) -> ImagePlanes {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|at| ((at as f32 * 0.37).sin() + 1.0) / 2.0).collect();
        ImagePlanes { name: "p.png".into(), shape, values }
    }

    #[test]
    fn tiles_give_the_picture_of_the_whole() {
        let device = Device::flex();
        let network = SrCnnConfig::new([1, 8, 8]).init_seeded(3, &device).unwrap();
        let upscaler = Upscaler { network: &network, factor: 2, device: &device };
        let enlarged = picture([1, 37, 50]);
        let (whole, tiles) = (upscaler.sharpened(&enlarged), upscaler.sharpened_by_tiles(&enlarged, 16));
        assert!(whole.values.iter().zip(&tiles.values).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn a_network_that_adds_nothing_is_bicubic_interpolation() {
        let device = Device::flex();
        let mut network = SrCnnConfig::new([1, 8, 8]).init_seeded(3, &device).unwrap();
        network.conv3.weight = network.conv3.weight.map(|weight| weight.zeros_like());
        network.conv3.bias = network.conv3.bias.map(|bias| bias.map(|bias| bias.zeros_like()));
        let upscaler = Upscaler { network: &network, factor: 3, device: &device };
        let colour = picture([3, 10, 8]);
        let found = upscaler.upscale(&colour);
        assert_eq!(found.shape, [3, 30, 24]);
        let expected = colour.resized(30, 24);
        assert!(found.values.iter().zip(&expected.values).all(|(a, b)| (a - b).abs() < 2e-2));
        let [own, bicubic] = upscaler.judge(&[colour, picture([1, 20, 31])]).unwrap();
        assert_eq!(own, bicubic);
        let message = upscaler.judge(&[picture([1, 2, 9])]).unwrap_err().to_string();
        assert_eq!(message, "p.png: 2 x 9 pixels are less than the factor 3 of the model");
    }
}
