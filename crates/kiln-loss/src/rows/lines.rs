//! Losses whose gradient lies on a line over the numbers that stand in a row, but for the target.

use kiln_kernels::vector::LANES;

use super::each::each;
use super::tile::{ROWS, Tile};

/// The loss of a row, and its gradient `slope x_k - intercept + own [k = y]` by the numbers `x_k` of the row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) loss: f64,
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    pub(crate) own: f64,
}

impl Line {
    /// Of a multiple of the loss.
    pub(crate) fn times(self, factor: f64) -> Self {
        let Self { loss, slope, intercept, own } = self;
        Self { loss: loss * factor, slope: slope * factor, intercept: intercept * factor, own: own * factor }
    }

    /// Of the sum of two losses.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            loss: self.loss + other.loss,
            slope: self.slope + other.slope,
            intercept: self.intercept + other.intercept,
            own: self.own + other.own,
        }
    }

    /// Turns the row into the gradient.
    pub(crate) fn replace(self, row: &mut [f32], target: usize) {
        let of_target = self.of_target(row[target]);
        if self.intercept == 0.0 {
            let slope = self.slope as f32;
            each(row, |number| number * slope);
        } else {
            each(row, |number| self.of_other(number));
        }
        row[target] = of_target;
    }

    #[inline(always)]
    fn of_other(self, number: f32) -> f32 {
        (f64::from(number) * self.slope - self.intercept) as f32
    }

    fn of_target(self, number: f32) -> f32 {
        (f64::from(number) * self.slope - self.intercept + self.own) as f32
    }
}

/// What losses see of a row, and what they leave in its place.
pub(crate) trait Look: Sync {
    /// What is seen.
    type Seen;

    /// Of one row.
    fn at_row(&self, row: &mut [f32], target: usize) -> Self::Seen;

    /// Of rows side by side, as many as there are targets; what it says of further ones means nothing.
    fn at_tile(&self, tile: &mut Tile, targets: &[usize]) -> [Self::Seen; ROWS];
}

/// Turns all rows of a slice into the gradients of losses that see them through `look`; gives the losses.
pub(super) fn onto_lines<L: Look>(
    scores: &mut [f32],
    targets: &[usize],
    look: &L,
    line: impl Fn(&L::Seen) -> Line,
) -> Vec<f32> {
    let classes = scores.len() / targets.len();
    if classes >= LANES {
        let of_row = |(row, &target): (&mut [f32], &usize)| {
            let line = line(&look.at_row(row, target));
            line.replace(row, target);
            line.loss as f32
        };
        return scores.chunks_mut(classes).zip(targets).map(of_row).collect();
    }
    let mut losses = Vec::with_capacity(targets.len());
    let mut tile = Tile::new(classes);
    for (rows, targets) in scores.chunks_mut(ROWS * classes).zip(targets.chunks(ROWS)) {
        tile.read(rows);
        let seen = look.at_tile(&mut tile, targets);
        for (lane, (row, (&target, seen))) in rows.chunks_mut(classes).zip(targets.iter().zip(&seen)).enumerate() {
            let line = line(seen);
            let of_target = tile.classes()[target][lane];
            for (slope, number) in row.iter_mut().zip(tile.row(lane)) {
                *slope = line.of_other(number);
            }
            row[target] = line.of_target(of_target);
            losses.push(line.loss as f32);
        }
    }
    losses
}
