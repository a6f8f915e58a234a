//! Halving of planes, and its adjoint.

use kiln_kernels::share;

use super::super::OddPolicy;
use super::Slopes;

/// The sizes of a plane at each scale.
pub(super) struct Pyramid {
    dims: Vec<[usize; 2]>,
    odd: OddPolicy,
}

impl Pyramid {
    pub(super) fn new(finest: [usize; 2], scales: usize, odd: OddPolicy) -> Self {
        let half = |length: usize| if odd == OddPolicy::Crop { length / 2 } else { length.div_ceil(2) };
        let dims = std::iter::successors(Some(finest), |dims| Some(dims.map(half))).take(scales).collect();
        Self { dims, odd }
    }

    pub(super) fn scales(&self) -> usize {
        self.dims.len()
    }

    /// Height and width at a scale.
    pub(super) fn dims(&self, scale: usize) -> [usize; 2] {
        self.dims[scale]
    }

    /// Pixels of a plane at the finest scale.
    pub(super) fn finest(&self) -> usize {
        self.pixels(0)
    }

    /// Pixels of a plane at all other scales.
    pub(super) fn coarser(&self) -> usize {
        (1..self.scales()).map(|scale| self.pixels(scale)).sum()
    }

    fn pixels(&self, scale: usize) -> usize {
        let [height, width] = self.dims[scale];
        height * width
    }

    /// The part of a plane's numbers that belongs to a scale.
    pub(super) fn part_mut<'a>(&self, [finest, coarser]: &'a mut [&mut [f32]; 2], scale: usize) -> &'a mut [f32] {
        if scale == 0 {
            return finest;
        }
        let start: usize = (1..scale).map(|scale| self.pixels(scale)).sum();
        &mut coarser[start..start + self.pixels(scale)]
    }

    /// A plane at `scale`, of what it is at the scale before.
    pub(super) fn halved(&self, scale: usize, plane: &[f32]) -> Vec<f32> {
        let ([height, width], [_, columns]) = (self.dims[scale - 1], self.dims[scale]);
        let (above, before) = (self.lead(height), self.lead(width));
        let mut halved = vec![0.0; self.pixels(scale)];
        let mut pair = vec![0.0; 2 * columns];
        for (row, out) in halved.chunks_mut(columns).enumerate() {
            let lower = &plane[(2 * row + 1 - above) * width..][..width];
            // Before the first row stands a zero, or the row itself.
            let upper = if 2 * row >= above { &plane[(2 * row - above) * width..][..width] } else { lower };
            let share = if 2 * row >= above || self.odd == OddPolicy::Replicate { 0.25 } else { 0.0 };
            let used = (2 * columns - before).min(width);
            for ((sum, &upper), &lower) in pair[before..].iter_mut().zip(&upper[..used]).zip(&lower[..used]) {
                *sum = share * upper + 0.25 * lower;
            }
            if before == 1 {
                pair[0] = if self.odd == OddPolicy::Replicate { pair[1] } else { 0.0 };
            }
            for (mean, pair) in out.iter_mut().zip(pair.as_chunks::<2>().0) {
                *mean = pair[0] + pair[1];
            }
        }
        halved
    }

    /// Adds to the derivatives by the pixels of the scale before what comes through the means of `coarse`, those by the
    /// pixels of `scale`; before that, the former are multiplied by `factor`.
    fn spread(&self, scale: usize, coarse: &[f32], fine: &mut [f32], factor: f32) {
        let ([height, width], [rows, columns]) = (self.dims[scale - 1], self.dims[scale]);
        let (above, before) = (self.lead(height), self.lead(width));
        let twice = |is_first: bool| if is_first && self.odd == OddPolicy::Replicate { 2.0 } else { 1.0 };
        let mut wide = vec![0.0; 2 * columns.max(width)];
        for (row, fine) in fine.chunks_mut(width).enumerate() {
            let holder = (row + above) / 2;
            if holder >= rows {
                fine.iter_mut().for_each(|slope| *slope *= factor);
                continue;
            }
            let share = 0.25 * twice(above == 1 && row == 0);
            let coarse = &coarse[holder * columns..][..columns];
            for (pair, &slope) in wide.as_chunks_mut::<2>().0.iter_mut().zip(coarse) {
                *pair = [share * slope; 2];
            }
            wide[before] *= twice(before == 1);
            for (slope, through) in fine.iter_mut().zip(&wide[before..]) {
                *slope = *slope * factor + through;
            }
        }
    }

    /// Whether something stands before the first of `length` pixels when they are halved: 0 or 1 pixels.
    fn lead(&self, length: usize) -> usize {
        if self.odd == OddPolicy::Crop { 0 } else { length % 2 }
    }
}

/// Derivatives by the pixels of the finest scale, where `factors` are those by the means, plane by plane.
pub(super) fn join(pyramid: &Pyramid, mut slopes: Slopes, factors: &[f32]) -> Vec<f32> {
    let scales = pyramid.scales();
    let tasks: Vec<_> = slopes.planes_mut(pyramid).into_iter().zip(factors.chunks(scales)).collect();
    share(tasks, |(mut slopes, factors)| {
        pyramid.part_mut(&mut slopes, scales - 1).iter_mut().for_each(|slope| *slope *= factors[scales - 1]);
        for scale in (1..scales).rev() {
            let coarse = pyramid.part_mut(&mut slopes, scale).to_vec();
            pyramid.spread(scale, &coarse, pyramid.part_mut(&mut slopes, scale - 1), factors[scale - 1]);
        }
    });
    slopes.finest
}
