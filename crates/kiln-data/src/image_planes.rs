//! One picture of any size as planes of numbers.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage};

use crate::{DataError, image_folder};

/// A picture, grey or in colour, with values in `[0, 1]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePlanes {
    /// Its file, or its set and row, for messages and names of files.
    pub name: String,
    /// `[channels, height, width]`; one channel, or red, green and blue.
    pub shape: [usize; 3],
    /// Channel after channel, row after row.
    pub values: Vec<f32>,
}

impl ImagePlanes {
    /// Reads a picture file of eight or sixteen bits a channel, all of which count.
    ///
    /// # Errors
    /// [`DataError::Io`] and [`DataError::Malformed`] where it cannot be read or is transparent somewhere.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::read_resized(path, None)
    }

    /// As [`read`](Self::read), brought to a height and width where some are given.
    pub(crate) fn read_resized(path: &Path, size: Option<(usize, usize)>) -> Result<Self, DataError> {
        let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
        Ok(Self::of_picture(path.display().to_string(), &image_folder::decode_opaque(path, &bytes, size)?))
    }

    fn of_picture(name: String, picture: &DynamicImage) -> Self {
        let (height, width) = (picture.height() as usize, picture.width() as usize);
        if !picture.color().has_color() {
            return Self { name, shape: [1, height, width], values: picture.to_luma32f().into_raw() };
        }
        let levels = picture.to_rgb32f();
        let plane = |channel: usize| levels.as_raw().iter().skip(channel).step_by(3).copied();
        Self { name, shape: [3, height, width], values: (0..3).flat_map(plane).collect() }
    }

    /// Whether it has one channel.
    pub fn is_grey(&self) -> bool {
        self.shape[0] == 1
    }

    /// The picture in one channel, its luma `0.299 R + 0.587 G + 0.114 B`, or in three equal ones where it is grey.
    ///
    /// # Panics
    /// For other numbers of channels.
    pub fn in_channels(&self, channels: usize) -> Self {
        let [own, height, width] = self.shape;
        assert!(channels == 1 || channels == 3, "a picture has 1 or 3 channels, not {channels}");
        let values = match (own, channels) {
            (3, 1) => self.pixels().map(|pixel| luma_and_chroma(pixel)[0]).collect(),
            (1, 3) => self.values.repeat(3),
            _ => self.values.clone(),
        };
        Self { name: self.name.clone(), shape: [channels, height, width], values }
    }

    /// The luma, and of a picture in colour the two chromas `0.5 + (B - Y) / 1.772` and `0.5 + (R - Y) / 1.402`, each a
    /// picture of one channel (ITU-R BT.601 over the full range).
    pub fn luma_and_chromas(&self) -> (Self, Option<[Self; 2]>) {
        if self.is_grey() {
            return (self.clone(), None);
        }
        let plane = |component: usize| Self {
            name: self.name.clone(),
            shape: [1, self.shape[1], self.shape[2]],
            values: self.pixels().map(|pixel| luma_and_chroma(pixel)[component]).collect(),
        };
        (plane(0), Some([plane(1), plane(2)]))
    }

    /// The picture of a luma and chromas, clamped to `[0, 1]`; undoes [`luma_and_chromas`](Self::luma_and_chromas).
    ///
    /// # Panics
    /// Where their sizes differ.
    pub fn of_luma_and_chromas(luma: &Self, chromas: Option<&[Self; 2]>) -> Self {
        let Some([blue, red]) = chromas else {
            let values = luma.values.iter().map(|value| value.clamp(0.0, 1.0)).collect();
            return Self { name: luma.name.clone(), shape: luma.shape, values };
        };
        assert!(luma.shape == blue.shape && luma.shape == red.shape, "luma and chromas of one size");
        let channel = |channel: usize| {
            let parts = luma.values.iter().zip(&blue.values).zip(&red.values);
            parts.map(move |((&y, &cb), &cr)| colours(y, cb, cr)[channel].clamp(0.0, 1.0))
        };
        let [_, height, width] = luma.shape;
        Self { name: luma.name.clone(), shape: [3, height, width], values: (0..3).flat_map(channel).collect() }
    }

    /// The picture in another size by bicubic interpolation (Catmull-Rom); where it becomes smaller, the kernel grows with
    /// the distance of the new pixels, so that fine detail leaves no false patterns. Values stay in `[0, 1]`.
    ///
    /// ```
    /// use kiln_data::ImagePlanes;
    ///
    /// let flat = ImagePlanes { name: "flat".into(), shape: [1, 6, 9], values: vec![0.5; 54] };
    /// let small = flat.resized(2, 3);
    /// assert_eq!(small.shape, [1, 2, 3]);
    /// assert!(small.values.iter().all(|value| (value - 0.5).abs() < 1e-6));
    /// ```
    pub fn resized(&self, height: usize, width: usize) -> Self {
        let [channels, own_height, own_width] = self.shape;
        let mut values = Vec::with_capacity(channels * height * width);
        for plane in self.values.chunks_exact((own_height * own_width).max(1)) {
            let buffer = ImageBuffer::<Luma<f32>, _>::from_raw(own_width as u32, own_height as u32, plane.to_vec());
            let Some(buffer) = buffer else { continue };
            values.extend(imageops::resize(&buffer, width as u32, height as u32, FilterType::CatmullRom).into_raw());
        }
        Self { name: self.name.clone(), shape: [channels, height, width], values }
    }

    /// A part of the picture.
    ///
    /// # Panics
    /// Where it reaches beyond the picture.
    pub fn part(&self, [top, left]: [usize; 2], [height, width]: [usize; 2]) -> Self {
        let [channels, own_height, own_width] = self.shape;
        assert!(top + height <= own_height && left + width <= own_width, "a part of {:?}", self.shape);
        let mut values = Vec::with_capacity(channels * height * width);
        for channel in 0..channels {
            for row in top..top + height {
                let from = (channel * own_height + row) * own_width + left;
                values.extend_from_slice(&self.values[from..from + width]);
            }
        }
        Self { name: self.name.clone(), shape: [channels, height, width], values }
    }

    /// The picture as a PNG file of eight bits a channel.
    ///
    /// # Errors
    /// [`DataError::Shape`] for a picture without pixels.
    pub fn png(&self) -> Result<Vec<u8>, DataError> {
        let [channels, height, width] = self.shape;
        let pixels = height * width;
        let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        let picture = if channels == 1 {
            DynamicImage::ImageLuma8(GrayImage::from_fn(width as u32, height as u32, |x, y| {
                Luma([byte(self.values[y as usize * width + x as usize])])
            }))
        } else {
            DynamicImage::ImageRgb8(RgbImage::from_fn(width as u32, height as u32, |x, y| {
                let at = y as usize * width + x as usize;
                Rgb([0, 1, 2].map(|channel| byte(self.values[channel * pixels + at])))
            }))
        };
        let mut bytes = Cursor::new(Vec::new());
        let written = picture.write_to(&mut bytes, ImageFormat::Png);
        written.map_err(|error| DataError::shape(&self.name, error.to_string(), "a picture with pixels"))?;
        Ok(bytes.into_inner())
    }

    fn pixels(&self) -> impl Iterator<Item = [f32; 3]> + '_ {
        let pixels = self.shape[1] * self.shape[2];
        (0..pixels).map(move |at| [0, 1, 2].map(|channel| self.values[channel * pixels + at]))
    }
}

fn luma_and_chroma([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    [luma, 0.5 + (blue - luma) / 1.772, 0.5 + (red - luma) / 1.402]
}

fn colours(luma: f32, blue_difference: f32, red_difference: f32) -> [f32; 3] {
    let blue = luma + (blue_difference - 0.5) * 1.772;
    let red = luma + (red_difference - 0.5) * 1.402;
    [red, (luma - 0.299 * red - 0.114 * blue) / 0.587, blue]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(shape: [usize; 3]) -> ImagePlanes {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|at| (at * 37 % 101) as f32 / 100.0).collect();
        ImagePlanes { name: "p".into(), shape, values }
    }

    #[test]
    fn colours_come_back_from_luma_and_chromas() {
        let colour = picture([3, 4, 5]);
        let (luma, chromas) = colour.luma_and_chromas();
        let again = ImagePlanes::of_luma_and_chromas(&luma, chromas.as_ref());
        assert!(again.values.iter().zip(&colour.values).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_eq!(luma, colour.in_channels(1));
        let red = ImagePlanes { name: "red".into(), shape: [3, 1, 1], values: vec![1.0, 0.0, 0.0] };
        assert!((red.in_channels(1).values[0] - 0.299).abs() < 1e-6);
        let grey = picture([1, 3, 3]);
        assert_eq!(grey.in_channels(3).in_channels(1).values.len(), 9);
        assert_eq!(grey.luma_and_chromas(), (grey.clone(), None));
    }

    #[test]
    fn a_smaller_picture_is_smooth_where_the_large_one_is_a_fine_grid() {
        let values = (0..24 * 24).map(|at| ((at / 24 + at % 24) % 2) as f32).collect();
        let grid = ImagePlanes { name: "grid".into(), shape: [1, 24, 24], values };
        let small = grid.resized(8, 8);
        // Without a kernel that grows, every third pixel of the grid would be 0 or 1.
        assert!(small.values.iter().all(|value| (value - 0.5).abs() < 0.06), "{:?}", small.values);
        let ramp =
            ImagePlanes { name: "ramp".into(), shape: [1, 1, 8], values: (0..8).map(|x| x as f32 / 8.0).collect() };
        let large = ramp.resized(1, 16);
        // Cubic interpolation keeps straight lines: the new pixel 7 lies at 3.25 of the old ones.
        assert!((large.values[7] - 3.25 / 8.0).abs() < 1e-5, "{:?}", large.values);
    }

    #[test]
    fn a_written_picture_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        for shape in [[1, 5, 7], [3, 5, 7]] {
            let picture = picture(shape);
            let path = folder.path().join("p.png");
            std::fs::write(&path, picture.png().unwrap()).unwrap();
            let read = ImagePlanes::read(&path).unwrap();
            assert_eq!(read.shape, shape);
            assert!(read.values.iter().zip(&picture.values).all(|(a, b)| (a - b).abs() <= 0.5 / 255.0 + 1e-6));
        }
    }

    #[test]
    fn sixteen_bits_count_and_what_is_transparent_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let saved = |name: &str, picture: DynamicImage| {
            let path = folder.path().join(name);
            picture.save(&path).unwrap();
            path
        };
        let grey = saved("grey.png", ImageBuffer::from_pixel(2, 1, Luma([0x1234_u16])).into());
        assert_eq!(ImagePlanes::read(&grey).unwrap().values, [4660.0 / 65535.0; 2]);
        let colour = saved("colour.png", ImageBuffer::from_pixel(1, 1, Rgb([1_u16, 0x1234, u16::MAX])).into());
        assert_eq!(ImagePlanes::read(&colour).unwrap().values, [1.0 / 65535.0, 4660.0 / 65535.0, 1.0]);

        let with_alpha =
            |alpha: u8| -> DynamicImage { ImageBuffer::from_pixel(2, 2, image::Rgba([51, 0, 255, alpha])).into() };
        let opaque = ImagePlanes::read(&saved("opaque.png", with_alpha(255))).unwrap();
        assert_eq!((opaque.shape, opaque.values[0]), ([3, 2, 2], 51.0 / 255.0));
        let message = ImagePlanes::read(&saved("glass.png", with_alpha(254))).unwrap_err().to_string();
        assert!(message.contains("glass.png: found transparent parts, expected a picture that is opaque"), "{message}");
    }

    #[test]
    fn a_part_is_cut_from_every_channel() {
        let part = picture([3, 4, 5]).part([1, 2], [2, 3]);
        assert_eq!(part.shape, [3, 2, 3]);
        let whole = picture([3, 4, 5]);
        assert_eq!(part.values[0], whole.values[5 + 2]);
        assert_eq!(part.values[17], whole.values[2 * 20 + 2 * 5 + 4]);
    }
}
