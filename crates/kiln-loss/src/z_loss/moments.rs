//! The spherical family on rows of single precision: a row is seen through its sum and its centred sum of squares.

use burn::tensor::{Int, Tensor};

use super::Partials;
use crate::rows::{HostRows, Kernel, LANES, each, filled_up, sum_of, vectorised};

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
    let losses = rows.map(|| (), |(), _, row, target| of_row(row, target, &partials));
    Some(rows.into_losses(logits.clone(), losses))
}

/// The loss of a row of logits, which becomes its gradient.
fn of_row(row: &mut [f32], target: usize, partials: impl Fn(&Moments, f64, usize) -> Partials) -> f32 {
    let classes = row.len();
    let moments = vectorised(OfRow { row });
    let Partials { loss, da, dq, ds, .. } = partials(&moments, f64::from(row[target]), classes);
    // 2 F_v (o - s/D) + F_s on one line, its slope and intercept in double precision.
    let (slope, mean) = (2.0 * dq, moments.sum / classes as f64);
    let own = slope * (f64::from(row[target]) - mean) + ds + da;
    each(row, |logit| (slope * (f64::from(logit) - mean) + ds) as f32);
    row[target] = own as f32;
    loss as f32
}

struct OfRow<'a> {
    row: &'a [f32],
}

impl Kernel for OfRow<'_> {
    type Output = Moments;

    #[inline(always)]
    fn run(self) -> Moments {
        let (chunks, rest) = self.row.as_chunks::<LANES>();
        let (mut sums, mut magnitudes) = ([0.0; LANES], [0.0; LANES]);
        for chunk in chunks.iter().chain([&filled_up(rest, 0.0)]) {
            for lane in 0..LANES {
                sums[lane] += f64::from(chunk[lane]);
                magnitudes[lane] = f64::max(magnitudes[lane], f64::from(chunk[lane].abs()));
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
        let largest = |lanes: [f64; LANES]| lanes.into_iter().fold(0.0, f64::max);
        Moments { sum, centred: sum_of(squares), magnitude: largest(magnitudes), deviation: largest(deviations) }
    }
}
