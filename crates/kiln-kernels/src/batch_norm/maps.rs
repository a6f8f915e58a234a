//! Maps of some pixels: the plane of every example and channel lies in one piece.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::channel::{Affine, Spread, Sums};
use crate::Real;
use crate::flex::written;
use crate::rectify::{self, passed};
use crate::rows::TASK;
use crate::threads::share;
use crate::vector::{Kernel, LANES, sum_of, sum_of_terms, vectorised};

/// Numbers that are added up in their own precision, before double precision takes over.
const STRETCH: usize = 2048;

/// Sizes of a batch of maps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maps {
    pub(super) examples: usize,
    pub(super) channels: usize,
    pub(super) pixels: usize,
}

impl Maps {
    /// The [`Spread`] of every channel.
    pub(super) fn spreads<E: Real>(self, x: &[E]) -> Vec<Spread> {
        let mut spreads = vec![Spread::default(); self.channels];
        self.over_channels(&mut spreads, |channel, spread| *spread = vectorised(Moments { maps: self, channel, x }));
        spreads
    }

    /// `f((x - mean) scale + beta + residual)`
    pub(super) fn finished<E: Real>(
        self,
        affines: &[Affine<E>],
        x: &[E],
        residual: Option<&[E]>,
        rectified: bool,
    ) -> Vec<E> {
        let piece = self.numbers_of_task();
        let write = |memory: &mut [MaybeUninit<E>]| {
            let tasks = memory.chunks_mut(piece).zip(x.chunks(piece)).enumerate().collect();
            share(tasks, |(index, (outputs, inputs)): (usize, (&mut [MaybeUninit<E>], &[E]))| {
                let residuals = residual.map(|residual| &residual[index * piece..][..inputs.len()]);
                let first = index * piece / self.pixels;
                vectorised(Finish { maps: self, first, affines, inputs, residuals, rectified, outputs });
            });
        };
        // SAFETY: the pieces are whole planes and make up the output, and `Finish` writes every entry of its planes.
        unsafe { written(x.len(), write) }
    }

    /// Does the work on every channel: on so many at once that it is worth a task.
    fn over_channels<S: Send>(&self, of_channels: &mut [S], work: impl Fn(usize, &mut S) + Sync) {
        let together = (TASK / (self.examples * self.pixels).max(1)).max(1);
        share(of_channels.chunks_mut(together).enumerate().collect(), |(group, of_channels): (usize, &mut [S])| {
            for (index, of_channel) in of_channels.iter_mut().enumerate() {
                work(group * together + index, of_channel);
            }
        });
    }

    /// Numbers of a task of whole planes.
    fn numbers_of_task(&self) -> usize {
        (TASK / self.pixels.max(1)).max(1) * self.pixels.max(1)
    }

    /// Some pixels of one plane.
    #[inline(always)]
    fn part_of_plane<'a, E>(self, values: &'a [E], example: usize, channel: usize, pixels: &Range<usize>) -> &'a [E] {
        &values[(example * self.channels + channel) * self.pixels..][pixels.clone()]
    }

    /// Calls `each` with the examples and pixels of one stretch of a channel after another: small planes together, large
    /// ones in parts.
    #[inline(always)]
    fn over_stretches(self, mut each: impl FnMut(Range<usize>, Range<usize>)) {
        let together = (STRETCH / self.pixels.max(1)).max(1);
        for first in (0..self.examples).step_by(together) {
            for start in (0..self.pixels).step_by(STRETCH) {
                let pixels = start..(start + STRETCH).min(self.pixels);
                each(first..(first + together).min(self.examples), pixels);
            }
        }
    }
}

/// The forward pass, as its gradients need it.
pub(super) struct Layer<'a, E> {
    pub(super) maps: Maps,
    pub(super) affines: Vec<Affine<E>>,
    pub(super) x: &'a [E],
    /// The output, where what was rectified follows from that alone.
    pub(super) finished: Option<&'a [E]>,
    pub(super) rectified: bool,
}

impl<E: Real> Layer<'_, E> {
    /// The [`Sums`] of every channel.
    pub(super) fn sums(&self, gradients: &[E]) -> Vec<Sums> {
        let mut sums = vec![Sums::default(); self.maps.channels];
        let of_channel = |channel: usize| vectorised(GradientSums { layer: self, channel, gradients });
        self.maps.over_channels(&mut sums, |channel, sums| *sums = of_channel(channel));
        sums
    }

    /// The gradient by the inputs in the place of the upstream gradient; or by itself in `outputs`, all of which it writes,
    /// while the gradient that passed the rectification takes that place.
    pub(super) fn propagate(&self, sums: &[Sums], gradients: &mut [E], mut outputs: Option<&mut [MaybeUninit<E>]>) {
        assert!(outputs.as_ref().is_none_or(|outputs| outputs.len() == gradients.len()), "gradients of unlike lengths");
        let count = (self.maps.examples * self.maps.pixels) as f64;
        let mean = |sum: f64| E::from_f64(sum / count);
        let means: Vec<_> = sums.iter().map(|sums| [mean(sums.total), mean(sums.along)]).collect();
        let piece = self.maps.numbers_of_task();
        let mut tasks = Vec::new();
        for (index, gradients) in gradients.chunks_mut(piece).enumerate() {
            let outputs = outputs.as_mut().and_then(|outputs| outputs.split_off_mut(..gradients.len()));
            let first = index * piece / self.maps.pixels;
            tasks.push(Propagate { layer: self, first, means: &means, gradients, outputs });
        }
        share(tasks, vectorised);
    }

    /// `h`: what passed the rectification of the gradient `g`, beside the input and, where it is there, the output.
    #[inline(always)]
    fn passed(&self, affine: &Affine<E>, g: E, x: E, finished: Option<E>) -> E {
        match finished {
            Some(y) => passed(g, y),
            None if self.rectified => passed(g, affine.of(x)),
            None => g,
        }
    }
}

/// The [`Spread`] of a channel: that of each stretch of numbers by itself, and then of all of them together.
struct Moments<'a, E> {
    maps: Maps,
    channel: usize,
    x: &'a [E],
}

/// Numbers whose mean the distances of a stretch are taken from first.
const CENTRE: usize = 64;

/// Variances that the square of the mean distance may have before digits are worth a second reading: at four times the
/// variance, two to three bits are lost.
const FAR: f64 = 4.0;

impl<E: Real> Kernel for Moments<'_, E> {
    type Output = Spread;

    #[inline(always)]
    fn run(self) -> Spread {
        let mut all = Spread::default();
        self.maps.over_stretches(|examples, pixels| all.join(self.of_stretch(examples, pixels)));
        all
    }
}

impl<E: Real> Moments<'_, E> {
    /// Reads the numbers once, as distances from the mean of the first of them; and once more, from the mean of all, where
    /// the first are unlike the others.
    #[inline(always)]
    fn of_stretch(&self, examples: Range<usize>, pixels: Range<usize>) -> Spread {
        let plane = self.maps.part_of_plane(self.x, examples.start, self.channel, &pixels);
        let some = &plane[..pixels.len().min(CENTRE)];
        let mut centre = E::from_f64(sum_of_terms::<_, LANES>(some, |x| x).to_f64() / some.len() as f64);
        let mut is_last = false;
        loop {
            let spread = self.around(centre, examples.clone(), &pixels);
            let distance = spread.mean - centre.to_f64();
            if is_last || distance * distance * spread.count <= FAR * spread.squares || distance.is_nan() {
                return spread;
            }
            (centre, is_last) = (E::from_f64(spread.mean), true);
        }
    }

    /// By the distances from `centre`.
    #[inline(always)]
    fn around(&self, centre: E, examples: Range<usize>, pixels: &Range<usize>) -> Spread {
        let count = (examples.len() * pixels.len()) as f64;
        let (mut lanes, mut squares) = ([E::default(); LANES], [E::default(); LANES]);
        let (mut left, mut squares_left) = (E::default(), E::default());
        for example in examples {
            let plane = self.maps.part_of_plane(self.x, example, self.channel, pixels);
            let (chunks, rest) = plane.as_chunks::<LANES>();
            for chunk in chunks {
                for lane in 0..LANES {
                    let distance = chunk[lane] - centre;
                    lanes[lane] += distance;
                    squares[lane] += distance * distance;
                }
            }
            for number in rest {
                let distance = *number - centre;
                left += distance;
                squares_left += distance * distance;
            }
        }
        let beyond = (sum_of(lanes) + left).to_f64() / count;
        let squares = (sum_of(squares) + squares_left).to_f64() - beyond * beyond * count;
        // What is not a number stays that: it is not below zero.
        Spread { count, mean: centre.to_f64() + beyond, squares: if squares < 0.0 { 0.0 } else { squares } }
    }
}

/// Writes the outputs of neighbouring planes.
struct Finish<'a, 'm, E> {
    maps: Maps,
    first: usize,
    affines: &'a [Affine<E>],
    inputs: &'a [E],
    residuals: Option<&'a [E]>,
    rectified: bool,
    outputs: &'m mut [MaybeUninit<E>],
}

impl<E: Real> Kernel for Finish<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Maps { channels, pixels, .. } = self.maps;
        let finished = |y: E| if self.rectified { rectify::rectified(y) } else { y };
        for (index, (outputs, inputs)) in
            self.outputs.chunks_exact_mut(pixels).zip(self.inputs.chunks_exact(pixels)).enumerate()
        {
            let affine = self.affines[(self.first + index) % channels];
            match self.residuals {
                None => outputs.iter_mut().zip(inputs).for_each(|(y, x)| _ = y.write(finished(affine.of(*x)))),
                Some(residuals) => {
                    let pairs = inputs.iter().zip(&residuals[index * pixels..][..pixels]);
                    outputs.iter_mut().zip(pairs).for_each(|(y, (x, added))| {
                        y.write(finished(affine.of(*x) + *added));
                    });
                }
            }
        }
    }
}

/// Computes the [`Sums`] of a channel.
struct GradientSums<'a, E> {
    layer: &'a Layer<'a, E>,
    channel: usize,
    gradients: &'a [E],
}

impl<E: Real> Kernel for GradientSums<'_, E> {
    type Output = Sums;

    #[inline(always)]
    fn run(self) -> Sums {
        let mut sums = Sums::default();
        self.layer.maps.over_stretches(|examples, pixels| {
            let [total, along] = self.of_stretch(examples, pixels);
            sums.total += total.to_f64();
            sums.along += along.to_f64();
        });
        sums
    }
}

impl<E: Real> GradientSums<'_, E> {
    #[inline(always)]
    fn of_stretch(&self, examples: Range<usize>, pixels: Range<usize>) -> [E; 2] {
        let Layer { maps, x, finished, .. } = *self.layer;
        let affine = self.layer.affines[self.channel];
        let (mut total, mut along) = ([E::default(); LANES], [E::default(); LANES]);
        let (mut total_left, mut along_left) = (E::default(), E::default());
        for example in examples {
            let plane = |values| maps.part_of_plane(values, example, self.channel, &pixels);
            let (gradients, rest) = plane(self.gradients).as_chunks::<LANES>();
            let (inputs, inputs_left) = plane(x).as_chunks::<LANES>();
            let finished = finished.map(|finished| plane(finished).as_chunks::<LANES>());
            for (chunk, (g, x)) in gradients.iter().zip(inputs).enumerate() {
                let y = finished.map(|(finished, _)| &finished[chunk]);
                for lane in 0..LANES {
                    let h = self.layer.passed(&affine, g[lane], x[lane], y.map(|y| y[lane]));
                    total[lane] += h;
                    along[lane] += h * affine.normal(x[lane]);
                }
            }
            for (index, (g, x)) in rest.iter().zip(inputs_left).enumerate() {
                let h = self.layer.passed(&affine, *g, *x, finished.map(|(_, finished)| finished[index]));
                total_left += h;
                along_left += h * affine.normal(*x);
            }
        }
        [sum_of(total) + total_left, sum_of(along) + along_left]
    }
}

/// Writes the gradients of neighbouring planes.
struct Propagate<'a, 'g, E> {
    layer: &'a Layer<'a, E>,
    first: usize,
    /// Means of [`Sums`] over each channel.
    means: &'a [[E; 2]],
    gradients: &'g mut [E],
    outputs: Option<&'g mut [MaybeUninit<E>]>,
}

impl<E: Real> Kernel for Propagate<'_, '_, E> {
    type Output = ();

    // By index, in slices of one length: the compiler sees that no index is out of bounds, and makes vectors of the loops.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn run(mut self) {
        let Layer { maps: Maps { channels, pixels, .. }, x, finished, .. } = *self.layer;
        for (index, gradients) in self.gradients.chunks_exact_mut(pixels).enumerate() {
            let plane = self.first + index;
            let (affine, [total, along]) = (self.layer.affines[plane % channels], self.means[plane % channels]);
            let gradients = &mut gradients[..pixels];
            let inputs = &x[plane * pixels..][..pixels];
            let finished = finished.map(|finished| &finished[plane * pixels..][..pixels]);
            let outputs = self.outputs.as_mut().map(|outputs| &mut outputs[index * pixels..][..pixels]);
            let passed = |pixel: usize, g: E| {
                self.layer.passed(&affine, g, inputs[pixel], finished.map(|finished| finished[pixel]))
            };
            let of = |pixel: usize, h: E| (h - total - affine.normal(inputs[pixel]) * along) * affine.scale;
            match outputs {
                None => {
                    for pixel in 0..pixels {
                        gradients[pixel] = of(pixel, passed(pixel, gradients[pixel]));
                    }
                }
                Some(outputs) => {
                    for pixel in 0..pixels {
                        gradients[pixel] = passed(pixel, gradients[pixel]);
                        outputs[pixel].write(of(pixel, gradients[pixel]));
                    }
                }
            }
        }
    }
}
