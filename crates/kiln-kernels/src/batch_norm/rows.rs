//! Maps of one pixel: rows in which the channels lie side by side, as after a linear layer.

use std::mem::MaybeUninit;

use super::channel::{Affine, Spread, Sums};
use crate::Real;
use crate::flex::written;
use crate::rectify::{self, passed};
use crate::rows::{TASK, numbers_of_task};
use crate::threads::share;
use crate::vector::{Kernel, LANES, vectorised};

/// Rows that are added up in their own precision, before double precision takes over.
const STRETCH: usize = 64;

/// The [`Spread`] of every channel.
pub(super) fn spreads<E: Real>(x: &[E], channels: usize) -> Vec<Spread> {
    let mut spreads = vec![Spread::default(); channels];
    over_channels(x.len(), &mut spreads, &Moments { x, channels });
    spreads
}

/// `f((x - mean) scale + beta + residual)`
pub(super) fn finished<E: Real>(affines: &[Affine<E>], x: &[E], residual: Option<&[E]>, rectified: bool) -> Vec<E> {
    let affines = &Affines::new(affines);
    let piece = numbers_of_task(affines.len());
    let write = |memory: &mut [MaybeUninit<E>]| {
        let tasks = memory.chunks_mut(piece).zip(x.chunks(piece)).enumerate().collect();
        share(tasks, |(index, (outputs, inputs)): (usize, (&mut [MaybeUninit<E>], &[E]))| {
            let residuals = residual.map(|residual| &residual[index * piece..][..inputs.len()]);
            vectorised(Finish { affines, inputs, residuals, rectified, outputs });
        });
    };
    // SAFETY: the pieces are whole rows and make up the output, and `Finish` writes every entry of its rows.
    unsafe { written(x.len(), write) }
}

/// The gradient by the inputs, in the place of the upstream gradient, and what [`Sums`] it needed of every channel.
pub(super) fn backward<E: Real>(affines: &[Affine<E>], x: &[E], rectified: bool, gradients: &mut [E]) -> Vec<Sums> {
    let (channels, affines) = (affines.len(), &Affines::new(affines));
    let mut sums = vec![Sums::default(); channels];
    over_channels(x.len(), &mut sums, &GradientSums { affines, x, gradients, rectified });
    let rows = (x.len() / channels) as f64;
    let mean = |of: fn(&Sums) -> f64| sums.iter().map(|sums| E::from_f64(of(sums) / rows)).collect::<Vec<E>>();
    let (total, along) = (&mean(|sums| sums.total), &mean(|sums| sums.along));
    let piece = numbers_of_task(channels);
    let tasks = gradients.chunks_mut(piece).zip(x.chunks(piece)).collect();
    share(tasks, |(gradients, inputs)| vectorised(Propagate { affines, total, along, rectified, inputs, gradients }));
    sums
}

/// Work on neighbouring channels, side by side.
trait OfChannels: Sync {
    /// What there is of each channel.
    type Of: Send;

    /// Adds to what there is of `N` channels from the `first` one on; to be inlined.
    fn add<const N: usize>(&self, first: usize, of_channels: &mut [Self::Of; N]);
}

/// Does the work on all channels, where there are so many numbers in all.
fn over_channels<W: OfChannels>(numbers: usize, of_channels: &mut [W::Of], work: &W) {
    let rows = numbers / of_channels.len();
    let width = (TASK / rows.max(1)).next_multiple_of(LANES).max(LANES);
    let groups = of_channels.chunks_mut(width).enumerate().collect();
    share(groups, |(index, of_channels)| vectorised(InLanes { work, first: index * width, of_channels }));
}

/// As many channels at once as there are lanes, and those that are left one by one.
struct InLanes<'a, W: OfChannels> {
    work: &'a W,
    first: usize,
    of_channels: &'a mut [W::Of],
}

impl<W: OfChannels> Kernel for InLanes<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (many, rest) = self.of_channels.as_chunks_mut::<LANES>();
        let singles = self.first + many.len() * LANES;
        for (index, of_channels) in many.iter_mut().enumerate() {
            self.work.add(self.first + index * LANES, of_channels);
        }
        for (index, of_channels) in rest.as_chunks_mut::<1>().0.iter_mut().enumerate() {
            self.work.add(singles + index, of_channels);
        }
    }
}

/// What [`Affine`] has of each channel, in vectors.
struct Affines<E> {
    mean: Vec<E>,
    rate: Vec<E>,
    scale: Vec<E>,
    beta: Vec<E>,
}

impl<E: Real> Affines<E> {
    fn new(affines: &[Affine<E>]) -> Self {
        let each = |of: fn(&Affine<E>) -> E| affines.iter().map(of).collect();
        Self { mean: each(|a| a.mean), rate: each(|a| a.rate), scale: each(|a| a.scale), beta: each(|a| a.beta) }
    }

    fn len(&self) -> usize {
        self.mean.len()
    }
}

/// `N` neighbouring numbers of a row.
#[inline(always)]
fn some_of_row<E: Copy, const N: usize>(values: &[E], at: usize) -> [E; N] {
    values[at..at + N].as_chunks::<N>().0[0]
}

struct Moments<'a, E> {
    x: &'a [E],
    channels: usize,
}

impl<E: Real> OfChannels for Moments<'_, E> {
    type Of = Spread;

    /// Stretch by stretch, by the distances from the stretch's own mean.
    #[inline(always)]
    fn add<const N: usize>(&self, first: usize, spreads: &mut [Spread; N]) {
        let Self { x, channels } = *self;
        for rows in x.chunks(STRETCH * channels) {
            let length = rows.len() / channels;
            let count = length as f64;
            let mut sums = [E::default(); N];
            for row in 0..length {
                let values = some_of_row::<E, N>(rows, row * channels + first);
                for lane in 0..N {
                    sums[lane] += values[lane];
                }
            }
            let mut centres = [E::default(); N];
            for lane in 0..N {
                centres[lane] = E::from_f64(sums[lane].to_f64() / count);
            }
            let mut squares = [E::default(); N];
            for row in 0..length {
                let values = some_of_row::<E, N>(rows, row * channels + first);
                for lane in 0..N {
                    let distance = values[lane] - centres[lane];
                    squares[lane] += distance * distance;
                }
            }
            for lane in 0..N {
                let mean = sums[lane].to_f64() / count;
                spreads[lane].join(Spread { count, mean, squares: squares[lane].to_f64() });
            }
        }
    }
}

struct Finish<'a, 'm, E> {
    affines: &'a Affines<E>,
    inputs: &'a [E],
    residuals: Option<&'a [E]>,
    rectified: bool,
    outputs: &'m mut [MaybeUninit<E>],
}

impl<E: Real> Kernel for Finish<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.affines.len();
        let Affines { mean, scale, beta, .. } = self.affines;
        let (mean, scale, beta) = (&mean[..channels], &scale[..channels], &beta[..channels]);
        for start in (0..self.inputs.len()).step_by(channels) {
            let (outputs, inputs) = (&mut self.outputs[start..][..channels], &self.inputs[start..][..channels]);
            let residuals = self.residuals.map(|residuals| &residuals[start..][..channels]);
            for channel in 0..channels {
                let y = (inputs[channel] - mean[channel]) * scale[channel] + beta[channel];
                let y = residuals.map_or(y, |residuals| y + residuals[channel]);
                outputs[channel].write(if self.rectified { rectify::rectified(y) } else { y });
            }
        }
    }
}

struct GradientSums<'a, E> {
    affines: &'a Affines<E>,
    x: &'a [E],
    gradients: &'a [E],
    rectified: bool,
}

impl<E: Real> OfChannels for GradientSums<'_, E> {
    type Of = Sums;

    #[inline(always)]
    fn add<const N: usize>(&self, first: usize, sums: &mut [Sums; N]) {
        let channels = self.affines.len();
        let of_channels = |values: &[E]| some_of_row::<E, N>(values, first);
        let (mean, rate) = (of_channels(&self.affines.mean), of_channels(&self.affines.rate));
        let (scale, beta) = (of_channels(&self.affines.scale), of_channels(&self.affines.beta));
        let stretch = STRETCH * channels;
        for (gradients, inputs) in self.gradients.chunks(stretch).zip(self.x.chunks(stretch)) {
            let (mut total, mut along) = ([E::default(); N], [E::default(); N]);
            for start in (0..inputs.len()).step_by(channels) {
                let gradients = some_of_row::<E, N>(gradients, start + first);
                let inputs = some_of_row::<E, N>(inputs, start + first);
                for lane in 0..N {
                    let centred = inputs[lane] - mean[lane];
                    let y = centred * scale[lane] + beta[lane];
                    let h = if self.rectified { passed(gradients[lane], y) } else { gradients[lane] };
                    total[lane] += h;
                    along[lane] += h * (centred * rate[lane]);
                }
            }
            for lane in 0..N {
                sums[lane].total += total[lane].to_f64();
                sums[lane].along += along[lane].to_f64();
            }
        }
    }
}

struct Propagate<'a, 'g, E> {
    affines: &'a Affines<E>,
    /// Means of [`Sums`] over the rows.
    total: &'a [E],
    along: &'a [E],
    rectified: bool,
    inputs: &'a [E],
    gradients: &'g mut [E],
}

impl<E: Real> Kernel for Propagate<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.affines.len();
        let Affines { mean, rate, scale, beta } = self.affines;
        let (mean, rate, scale) = (&mean[..channels], &rate[..channels], &scale[..channels]);
        let (beta, total, along) = (&beta[..channels], &self.total[..channels], &self.along[..channels]);
        for start in (0..self.inputs.len()).step_by(channels) {
            let (gradients, inputs) = (&mut self.gradients[start..][..channels], &self.inputs[start..][..channels]);
            for channel in 0..channels {
                let centred = inputs[channel] - mean[channel];
                let y = centred * scale[channel] + beta[channel];
                let h = if self.rectified { passed(gradients[channel], y) } else { gradients[channel] };
                let u = centred * rate[channel];
                gradients[channel] = (h - total[channel] - u * along[channel]) * scale[channel];
            }
        }
    }
}
