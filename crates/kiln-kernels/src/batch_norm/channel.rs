//! Loops over the planes of one channel.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::Real;
use crate::rectify::{self, passed};
use crate::vector::{Kernel, LANES, sum_of};

/// `(x - mean) scale + beta` with `scale = gamma rate` and `rate = 1 / sqrt(variance + epsilon)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Affine<E> {
    pub(super) mean: E,
    pub(super) rate: E,
    pub(super) scale: E,
    pub(super) beta: E,
}

impl<E: Real> Affine<E> {
    pub(super) fn new(mean: f64, variance: f64, epsilon: f64, gamma: E, beta: E) -> Self {
        let rate = (variance + epsilon).sqrt().recip();
        Self { mean: E::from_f64(mean), rate: E::from_f64(rate), scale: E::from_f64(gamma.to_f64() * rate), beta }
    }

    #[inline(always)]
    fn of(&self, x: E) -> E {
        (x - self.mean) * self.scale + self.beta
    }
}

/// Number, mean and sum of squared distances from the mean.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spread {
    pub(super) count: f64,
    pub(super) mean: f64,
    pub(super) squares: f64,
}

impl Spread {
    /// That of these numbers and of the others together.
    ///
    /// Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    #[inline(always)]
    pub(super) fn join(&mut self, other: Self) {
        let distance = other.mean - self.mean;
        let together = self.count + other.count;
        self.squares += other.squares + distance * distance * self.count * other.count / together;
        self.mean += distance * other.count / together;
        self.count = together;
    }

    /// Mean squared distance from the mean.
    pub(super) fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

/// The [`Spread`] of all planes: that of each stretch of numbers by itself, and then of all of them together, so that
/// nothing is lost where the mean is far from zero.
pub(super) struct Moments<'a, E> {
    pub(super) planes: &'a [&'a [E]],
}

/// Numbers that stay in the first-level cache.
const STRETCH: usize = 2048;

impl<E: Real> Kernel for Moments<'_, E> {
    type Output = Spread;

    #[inline(always)]
    fn run(self) -> Spread {
        let mut all = Spread::default();
        let of_plane = self.planes.first().map_or(1, |plane| plane.len().max(1));
        // Small planes together, as many as there are numbers in a stretch of a large one.
        for planes in self.planes.chunks((STRETCH / of_plane).max(1)) {
            for start in (0..of_plane).step_by(STRETCH) {
                let stretch = start..(start + STRETCH).min(of_plane);
                let count = (planes.len() * stretch.len()) as f64;
                let mean = sum_over(planes, stretch.clone(), |x| x).to_f64() / count;
                let centre = E::from_f64(mean);
                let squares = sum_over(planes, stretch, |x| (x - centre) * (x - centre)).to_f64();
                all.join(Spread { count, mean, squares });
            }
        }
        all
    }
}

/// The sum of `term` over a stretch of each plane.
#[inline(always)]
fn sum_over<E: Real>(planes: &[&[E]], stretch: Range<usize>, term: impl Fn(E) -> E) -> E {
    let (mut lanes, mut left) = ([E::default(); LANES], E::default());
    for plane in planes {
        let (chunks, rest) = plane[stretch.clone()].as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += term(chunk[lane]);
            }
        }
        for number in rest {
            left += term(*number);
        }
    }
    sum_of(lanes) + left
}

/// Writes the outputs of a channel.
pub(super) struct Finish<'a, 'm, E> {
    pub(super) affine: Affine<E>,
    pub(super) inputs: &'a [&'a [E]],
    pub(super) residuals: Option<&'a [&'a [E]]>,
    pub(super) rectified: bool,
    pub(super) outputs: Vec<&'m mut [MaybeUninit<E>]>,
}

impl<E: Real> Kernel for Finish<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (affine, rectified) = (self.affine, self.rectified);
        let finished = |y: E| if rectified { rectify::rectified(y) } else { y };
        for (index, (outputs, inputs)) in self.outputs.into_iter().zip(self.inputs).enumerate() {
            match self.residuals {
                None => outputs.iter_mut().zip(*inputs).for_each(|(y, x)| _ = y.write(finished(affine.of(*x)))),
                Some(residuals) => {
                    let pairs = inputs.iter().zip(residuals[index]);
                    outputs.iter_mut().zip(pairs).for_each(|(y, (x, added))| {
                        y.write(finished(affine.of(*x) + *added));
                    });
                }
            }
        }
    }
}

/// Sums over a channel of the gradient `h` that passed the rectification.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    /// `sum(h)`
    pub(super) total: f64,
    /// `sum(h u)`
    pub(super) along: f64,
}

/// Computes [`Sums`]. Where the finished outputs are given, `h` takes the place of the upstream gradient.
pub(super) struct GradientSums<'a, 'g, E> {
    pub(super) affine: Affine<E>,
    pub(super) inputs: &'a [&'a [E]],
    pub(super) finished: Option<&'a [&'a [E]]>,
    pub(super) rectified: bool,
    pub(super) gradients: &'a mut [&'g mut [E]],
}

impl<E: Real> Kernel for GradientSums<'_, '_, E> {
    type Output = Sums;

    #[inline(always)]
    fn run(self) -> Sums {
        let affine = self.affine;
        let mut sums = Sums::default();
        for (index, (gradients, inputs)) in self.gradients.iter_mut().zip(self.inputs).enumerate() {
            if let Some(finished) = self.finished {
                gradients.iter_mut().zip(finished[index]).for_each(|(g, y)| *g = passed(*g, *y));
            }
            let masks = self.rectified && self.finished.is_none();
            sums.add(affine, gradients, inputs, |g, x| if masks { passed(g, affine.of(x)) } else { g });
        }
        sums
    }
}

impl Sums {
    #[inline(always)]
    fn add<E: Real>(&mut self, affine: Affine<E>, gradients: &[E], inputs: &[E], passed: impl Fn(E, E) -> E) {
        for (gradients, inputs) in gradients.chunks(STRETCH).zip(inputs.chunks(STRETCH)) {
            let ((g_chunks, g_rest), (x_chunks, x_rest)) =
                (gradients.as_chunks::<LANES>(), inputs.as_chunks::<LANES>());
            let (mut total, mut along) = ([E::default(); LANES], [E::default(); LANES]);
            for (g, x) in g_chunks.iter().zip(x_chunks) {
                for lane in 0..LANES {
                    let h = passed(g[lane], x[lane]);
                    total[lane] += h;
                    along[lane] += h * ((x[lane] - affine.mean) * affine.rate);
                }
            }
            let (mut total, mut along) = (sum_of(total), sum_of(along));
            for (g, x) in g_rest.iter().zip(x_rest) {
                let h = passed(*g, *x);
                total += h;
                along += h * ((*x - affine.mean) * affine.rate);
            }
            self.total += total.to_f64();
            self.along += along.to_f64();
        }
    }
}

/// Writes the gradient by the inputs: to `outputs`, or in the place of the upstream gradient.
pub(super) struct Propagate<'a, 'g, 'm, E> {
    pub(super) affine: Affine<E>,
    pub(super) inputs: &'a [&'a [E]],
    /// Whether the rectification is still to be done.
    pub(super) rectified: bool,
    pub(super) sums: Sums,
    pub(super) count: f64,
    pub(super) gradients: &'a mut [&'g mut [E]],
    pub(super) outputs: Option<Vec<&'m mut [MaybeUninit<E>]>>,
}

impl<E: Real> Kernel for Propagate<'_, '_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (affine, rectified) = (self.affine, self.rectified);
        let (total, along) = (E::from_f64(self.sums.total / self.count), E::from_f64(self.sums.along / self.count));
        let of = |g: E, x: E| {
            let h = if rectified { passed(g, affine.of(x)) } else { g };
            let u = (x - affine.mean) * affine.rate;
            (h - total - u * along) * affine.scale
        };
        match self.outputs {
            None => {
                for (gradients, inputs) in self.gradients.iter_mut().zip(self.inputs) {
                    gradients.iter_mut().zip(*inputs).for_each(|(g, x)| *g = of(*g, *x));
                }
            }
            Some(outputs) => {
                for ((outputs, gradients), inputs) in outputs.into_iter().zip(self.gradients.iter()).zip(self.inputs) {
                    let pairs = gradients.iter().zip(*inputs);
                    outputs.iter_mut().zip(pairs).for_each(|(output, (g, x))| _ = output.write(of(*g, *x)));
                }
            }
        }
    }
}
