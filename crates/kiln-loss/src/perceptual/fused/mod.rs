//! Scale means of images of single precision on the processor, plane by plane.
//!
//! As Burn's operations, a scale is some thirty passes over the batch, there and back. Here a plane is read row by row: what
//! is blurred, compared and spread back over the pixels stays in the cache, and the derivative of a plane's mean is
//! found in the pass that finds the mean, because nothing but a factor is missing from it until the backward pass.

mod level;
mod pyramid;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_autodiff::custom_gradient;
use kiln_kernels::{FlexSlice, share};

use super::OddPolicy;
use super::scores::Statistics;
use level::Level;
use pyramid::{Pyramid, join};

/// [`Statistics::scale_means`] by one pass over each plane, where the images are of single precision on the processor.
///
/// # Shapes
/// - `x`, `y`: `[batch_size, channels, height, width]`
/// - output: `[scales, batch_size, channels]`
pub(super) fn scale_means<const D: usize>(
    statistics: &Statistics,
    x: &Tensor<D>,
    y: &Tensor<D>,
    scales: usize,
    odd: OddPolicy,
) -> Option<Tensor<3>> {
    let accepts = |images: &Tensor<D>| FlexSlice::<f32>::accepts(&images.clone().inner());
    if D != 4 || !accepts(x) || !accepts(y) || x.dims().contains(&0) {
        return None;
    }
    let dims = x.dims();
    let kernel = Kernel {
        taps: statistics.taps.iter().map(|&tap| tap as f32).collect(),
        c1: statistics.c1 as f32,
        c2: statistics.c2 as f32,
        pyramid: Pyramid::new([dims[2], dims[3]], scales, odd),
    };
    let tracked = [x.is_tracked(), y.is_tracked()];
    let means = custom_gradient(
        (x.clone(), y.clone()),
        |(x, y)| {
            let (means, slopes) = kernel.means(FlexSlice::new(x).values(), FlexSlice::new(y).values(), tracked);
            let means = TensorData::new(means, [dims[0] * dims[1], scales]);
            let means = Tensor::<2>::from_data(means, (&Device::flex(), DType::F32)).transpose();
            (means.reshape([scales, dims[0], dims[1]]), (kernel.pyramid, slopes))
        },
        move |(pyramid, [of_x, of_y]), upstream: Tensor<3>, _wanted| {
            let planes = dims[0] * dims[1];
            let factors = FlexSlice::<f32>::new(upstream.reshape([scales, planes]).transpose());
            let gradient = |slopes: Option<Slopes>| {
                let finest = join(&pyramid, slopes?, factors.values());
                Some(Tensor::<D>::from_data(TensorData::new(finest, dims), (&Device::flex(), DType::F32)))
            };
            (gradient(of_x), gradient(of_y))
        },
    );
    Some(means)
}

/// Derivatives of the means of every plane by its pixels, at each scale.
struct Slopes {
    /// At the finest scale, plane after plane.
    finest: Vec<f32>,
    /// At the other scales: plane after plane, from fine to coarse.
    coarser: Vec<f32>,
}

impl Slopes {
    fn zeros(pyramid: &Pyramid, planes: usize) -> Self {
        Self { finest: vec![0.0; planes * pyramid.finest()], coarser: vec![0.0; planes * pyramid.coarser()] }
    }

    /// Those of each plane.
    fn planes_mut(&mut self, pyramid: &Pyramid) -> Vec<[&mut [f32]; 2]> {
        let mut coarser = self.coarser.as_mut_slice();
        let split = |finest| {
            let (plane, rest) = std::mem::take(&mut coarser).split_at_mut(pyramid.coarser());
            coarser = rest;
            [finest, plane]
        };
        self.finest.chunks_mut(pyramid.finest()).map(split).collect()
    }
}

struct Kernel {
    taps: Vec<f32>,
    c1: f32,
    c2: f32,
    pyramid: Pyramid,
}

/// A plane of both images, the place for its means, and those for the derivatives by either image.
type Task<'a> = (&'a [f32], &'a [f32], &'a mut [f32], [Option<[&'a mut [f32]; 2]>; 2]);

impl Kernel {
    /// Means of each plane, scale by scale, and the derivatives by the images that are tracked.
    fn means(&self, x: &[f32], y: &[f32], tracked: [bool; 2]) -> (Vec<f32>, [Option<Slopes>; 2]) {
        let (pixels, scales) = (self.pyramid.finest(), self.pyramid.scales());
        let planes = x.len() / pixels;
        let mut means = vec![0.0; planes * scales];
        let mut slopes = tracked.map(|tracked| tracked.then(|| Slopes::zeros(&self.pyramid, planes)));
        let [mut of_x, mut of_y] = slopes.each_mut().map(|slopes| {
            slopes.as_mut().map(|slopes| slopes.planes_mut(&self.pyramid)).unwrap_or_default().into_iter()
        });
        let images = x.chunks(pixels).zip(y.chunks(pixels));
        let tasks: Vec<Task<'_>> = images
            .zip(means.chunks_mut(scales))
            .map(|((x, y), means)| (x, y, means, [of_x.next(), of_y.next()]))
            .collect();
        drop((of_x, of_y));
        share(tasks, |task| self.plane(task));
        (means, slopes)
    }

    fn plane(&self, (x, y, means, [mut by_x, mut by_y]): Task<'_>) {
        let (mut x, mut y) = (Cow::Borrowed(x), Cow::Borrowed(y));
        for (scale, mean) in means.iter_mut().enumerate() {
            if scale > 0 {
                (x, y) = (self.pyramid.halved(scale, &x).into(), self.pyramid.halved(scale, &y).into());
            }
            let by_x = by_x.as_mut().map(|slopes| self.pyramid.part_mut(slopes, scale));
            let by_y = by_y.as_mut().map(|slopes| self.pyramid.part_mut(slopes, scale));
            // The similarity is symmetric: the derivative by the second image is that by the first of the exchanged pair.
            *mean = match (by_x, by_y) {
                (None, Some(by_y)) => self.level(scale, &y, &x, Some(by_y)),
                (by_x, None) => self.level(scale, &x, &y, by_x),
                (by_x, by_y) => {
                    self.level(scale, &y, &x, by_y);
                    self.level(scale, &x, &y, by_x)
                }
            };
        }
    }

    fn level(&self, scale: usize, x: &[f32], y: &[f32], slopes: Option<&mut [f32]>) -> f32 {
        let c1 = (scale + 1 == self.pyramid.scales()).then_some(self.c1);
        Level { x, y, dims: self.pyramid.dims(scale), taps: &self.taps, c1, c2: self.c2, slopes }.mean()
    }
}
