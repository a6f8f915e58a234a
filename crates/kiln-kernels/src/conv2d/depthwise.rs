//! Convolutions with one input channel a group: sums of shifted images, without unfolding.

use super::geometry::Geometry;
use super::unfold::{Run, Tap, runs};
use crate::Real;
use crate::rectify::rectify;
use crate::threads::for_each;
use crate::vector::{FEW_LANES, sum_of_pairs};

/// `y = w * x + b` for each output channel, what is negative made zero where it is `rectified`.
pub(super) fn output<E: Real>(
    geometry: &Geometry,
    x: &[E],
    weight: &[E],
    bias: Option<&[E]>,
    rectified: bool,
) -> Vec<E> {
    let (maps, taps, pixels) = (geometry.groups * geometry.out_channels, geometry.taps(), geometry.pixels());
    let mut output = vec![E::default(); geometry.images * maps * geometry.places()];
    let tasks = output.chunks_exact_mut(geometry.places()).enumerate().collect();
    for_each(
        tasks,
        geometry.work(),
        || (),
        |(), (index, map): (usize, &mut [E])| {
            let (image, output) = (index / maps, index % maps);
            let channel = image * geometry.groups + output / geometry.out_channels;
            let plane = &x[channel * pixels..][..pixels];
            map.fill(bias.map_or(E::default(), |bias| bias[output]));
            for (weight, tap) in weight[output * taps..][..taps].iter().zip(geometry.all_taps()) {
                for run in lines(geometry, tap) {
                    let (map, pixels) = (map[run.places].iter_mut(), &plane[run.first_pixel..]);
                    match geometry.horizontal.stride {
                        1 => map.zip(pixels).for_each(|(value, pixel)| *value += *weight * *pixel),
                        step => {
                            map.zip(pixels.iter().step_by(step)).for_each(|(value, pixel)| *value += *weight * *pixel)
                        }
                    }
                }
            }
            if rectified {
                rectify(map);
            }
        },
    );
    output
}

/// `dL/dx`: every weight times the upstream gradient, back where its pixel came from.
pub(super) fn input_gradient<E: Real>(geometry: &Geometry, weight: &[E], upstream: &[E]) -> Vec<E> {
    let (taps, outputs, places) = (geometry.taps(), geometry.out_channels, geometry.places());
    let mut gradient = vec![E::default(); geometry.images * geometry.groups * geometry.pixels()];
    let tasks = gradient.chunks_exact_mut(geometry.pixels().max(1)).enumerate().collect();
    for_each(
        tasks,
        geometry.work(),
        || (),
        |(), (index, plane): (usize, &mut [E])| {
            let kernels = &weight[index % geometry.groups * outputs * taps..][..outputs * taps];
            let maps = &upstream[index * outputs * places..][..outputs * places];
            for (kernel, map) in kernels.chunks_exact(taps).zip(maps.chunks_exact(places)) {
                for (weight, tap) in kernel.iter().zip(geometry.all_taps()) {
                    for run in lines(geometry, tap) {
                        let (map, pixels) = (map[run.places].iter(), &mut plane[run.first_pixel..]);
                        match geometry.horizontal.stride {
                            1 => map.zip(pixels).for_each(|(value, pixel)| *pixel += *weight * *value),
                            step => {
                                map.zip(pixels.iter_mut().step_by(step))
                                    .for_each(|(value, pixel)| *pixel += *weight * *value);
                            }
                        }
                    }
                }
            }
        },
    );
    gradient
}

/// `dL/dw`, `[out_channels, taps]`: for each weight the product of the upstream gradient and the pixels that it met.
pub(super) fn weight_gradient<E: Real>(geometry: &Geometry, x: &[E], upstream: &[E]) -> Vec<E> {
    let (maps, places, pixels) = (geometry.groups * geometry.out_channels, geometry.places(), geometry.pixels());
    let mut gradient = vec![E::default(); maps * geometry.taps()];
    let tasks = gradient.chunks_exact_mut(geometry.taps()).enumerate().collect();
    for_each(
        tasks,
        geometry.work(),
        || (),
        |(), (output, kernel): (usize, &mut [E])| {
            for image in 0..geometry.images {
                let channel = image * geometry.groups + output / geometry.out_channels;
                let plane = &x[channel * pixels..][..pixels];
                let map = &upstream[(image * maps + output) * places..][..places];
                for (weight, tap) in kernel.iter_mut().zip(geometry.all_taps()) {
                    for run in lines(geometry, tap) {
                        let (map, pixels) = (&map[run.places], &plane[run.first_pixel..]);
                        *weight += match geometry.horizontal.stride {
                            1 => sum_of_pairs::<_, FEW_LANES>(map, &pixels[..map.len()], |value, pixel| value * pixel),
                            step => {
                                map.iter().zip(pixels.iter().step_by(step)).map(|(value, pixel)| *value * *pixel).sum()
                            }
                        };
                    }
                }
            }
        },
    );
    gradient
}

/// The places of a whole map at which the tap meets a pixel, line by line.
fn lines(geometry: &Geometry, tap: Tap) -> impl Iterator<Item = Run> + use<> {
    runs(geometry, tap, &(0..geometry.places()))
}
