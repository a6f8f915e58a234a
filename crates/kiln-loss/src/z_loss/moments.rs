//! The spherical family on rows of single precision: a row is seen through its sum and its centred sum of squares.

use burn::tensor::{Int, Tensor};

use super::Partials;
use crate::rows::{HostRows, Kernel, LANES, Line, Look, ROWS, Tile, filled_up, largest, sum_of, vectorised};

/// What a loss of the family sees of a row, besides the target's logit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    /// `s = sum_k o_k`.
    pub(super) sum: f64,
    /// `v = sum_k (o_k - s/D)^2`.
    pub(super) centred: f64,
    /// Largest `|o_k|`.
    pub(super) magnitude: f64,
    /// Largest `|o_k - s/D|`.
    pub(super) deviation: f64,
}

/// Loss of each example with its gradient `2 F_v (o_k - s/D) + F_s + F_a [k = c]`, where the logits are of single precision
/// on the processor; `partials` is given a row's moments, the target's logit and the number of classes.
///
/// # Shapes
/// - `logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`
/// - output: `[batch_size]`
pub(super) fn of_moments(
    logits: &Tensor<2>,
    targets: &Tensor<1, Int>,
    partials: impl Fn(&Moments, f64, usize) -> Partials + Sync + Send,
) -> Option<Tensor<1>> {
    let mut rows = HostRows::of(logits, targets)?;
    let losses = rows.onto_lines(ThroughMoments, |row| {
        let Partials { loss, da, dq, ds, .. } = partials(&row.moments, row.own, row.classes);
        // 2 F_v (o - s/D) + F_s
        let slope = 2.0 * dq;
        let mean = row.moments.sum / row.classes as f64;
        Line { loss, slope, intercept: slope * mean - ds, own: da }
    });
    Some(rows.into_losses(logits.clone(), losses))
}

/// Leaves a row as it is.
struct ThroughMoments;

struct MomentsRow {
    moments: Moments,
    /// The target's logit.
    own: f64,
    classes: usize,
}

impl Look for ThroughMoments {
    type Seen = MomentsRow;

    fn at_row(&self, row: &mut [f32], target: usize) -> MomentsRow {
        MomentsRow { moments: vectorised(OfRow { row }), own: f64::from(row[target]), classes: row.len() }
    }

    fn at_tile(&self, tile: &mut Tile, targets: &[usize]) -> [MomentsRow; ROWS] {
        let classes = tile.classes().len();
        let moments = vectorised(OfTile { tile });
        std::array::from_fn(|lane| {
            let own = targets.get(lane).map_or(0.0, |&target| f64::from(tile.classes()[target][lane]));
            MomentsRow { moments: moments[lane], own, classes }
        })
    }
}

struct OfTile<'a> {
    tile: &'a Tile,
}

impl Kernel for OfTile<'_> {
    type Output = [Moments; ROWS];

    #[inline(always)]
    fn run(self) -> [Moments; ROWS] {
        let logits = self.tile.classes();
        let (mut sums, mut magnitudes) = ([0.0; ROWS], [0.0_f32; ROWS]);
        for logits in logits {
            for lane in 0..ROWS {
                sums[lane] += f64::from(logits[lane]);
                magnitudes[lane] = f32::max(magnitudes[lane], logits[lane].abs());
            }
        }
        let mut means = [0.0; ROWS];
        for lane in 0..ROWS {
            means[lane] = sums[lane] / logits.len() as f64;
        }
        let (mut squares, mut deviations) = ([0.0; ROWS], [0.0; ROWS]);
        for logits in logits {
            for lane in 0..ROWS {
                let deviation = f64::from(logits[lane]) - means[lane];
                squares[lane] += deviation * deviation;
                deviations[lane] = f64::max(deviations[lane], deviation.abs());
            }
        }
        std::array::from_fn(|lane| Moments {
            sum: sums[lane],
            centred: squares[lane],
            magnitude: f64::from(magnitudes[lane]),
            deviation: deviations[lane],
        })
    }
}

struct OfRow<'a> {
    row: &'a [f32],
}

impl Kernel for OfRow<'_> {
    type Output = Moments;

    #[inline(always)]
    fn run(self) -> Moments {
        let (chunks, rest) = self.row.as_chunks::<LANES>();
        let (mut sums, mut magnitudes) = ([0.0; LANES], [0.0_f32; LANES]);
        for chunk in chunks.iter().chain([&filled_up(rest, 0.0)]) {
            for lane in 0..LANES {
                sums[lane] += f64::from(chunk[lane]);
                magnitudes[lane] = f32::max(magnitudes[lane], chunk[lane].abs());
            }
        }
        let sum = sum_of(sums);
        let mean = sum / self.row.len() as f64;
        let (mut squares, mut deviations) = ([0.0; LANES], [0.0; LANES]);
        let mut add = |logits: &[f32], lane: usize| {
            let deviation = f64::from(logits[lane]) - mean;
            squares[lane] += deviation * deviation;
            deviations[lane] = f64::max(deviations[lane], deviation.abs());
        };
        for chunk in chunks {
            for lane in 0..LANES {
                add(chunk, lane);
            }
        }
        for lane in 0..rest.len() {
            add(rest, lane);
        }
        let (magnitude, deviation) = (f64::from(largest(&magnitudes, 0.0)), largest(&deviations, 0.0));
        Moments { sum, centred: sum_of(squares), magnitude, deviation }
    }
}
