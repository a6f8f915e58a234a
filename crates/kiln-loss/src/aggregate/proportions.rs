//! Cross-entropy of class proportions in single precision on the processor, bag by bag.
//!
//! As Burn's operations the loss passes over all rows a few dozen times. Here the rows of a bag are read once, stay in the cache
//! while their probabilities are summed, and are left as the gradient:
//!
//! ```text
//! p_ic = softmax(f_i)_c    P_c = sum_i p_ic    b_c = -B k/n ybar_c / P_c    w_c = -I/n ybar_c
//! L = sum_c b_c P_c log(P_c / k) + sum_ic w_c log p_ic        dL/df_ic = p_ic (b_c - t_i) + w_c,  t_i = sum_c (b_c p_ic + w_c)
//! ```
//! for weights `B` and `I` of both levels. A class with next to no probability in a whole bag is worked out by its logarithms. The
//! results do not depend on the number of threads.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_kernels::{FlexSlice, share};

use super::formulas::{Part, Weights};
use super::grouping::{Layout, Members};
use crate::rows::{
    FusedKernel, LANES, MultiplyAdd, exp_of_negative, filled_up, largest, log_of_positive, sum_of, vectorised,
};

/// Scores that are not worth a second thread.
const SCORES_A_TASK: usize = 4096;
/// Probability of a class in a bag below which that of a single row may have been lost.
const LEAST: f64 = 1e-30;

/// The weighted loss of both levels; nothing for tensors that are elsewhere or of another precision.
///
/// # Shapes
/// - `logits`: `[num_rows, num_classes]`, outside the graph
/// - `responses`: `[num_bags, num_classes]`, outside the graph
pub(super) fn on_processor(
    logits: &Tensor<2>,
    layout: &Layout,
    responses: &Tensor<2>,
    weights: Weights,
) -> Option<Part> {
    let [rows, classes] = logits.dims();
    let accepts = FlexSlice::<f32>::accepts(logits) && FlexSlice::<f32>::accepts(responses);
    if !accepts || rows * classes == 0 {
        return None;
    }
    let (logits, responses) = (FlexSlice::<f32>::new(logits.clone()), FlexSlice::<f32>::new(responses.clone()));
    let members = layout.members();
    let batch = Batch { logits: logits.values(), responses: responses.values(), classes, members: &members, weights };
    let mut slopes = vec![0.0; rows * classes];
    let value = batch.losses(&mut slopes);
    let options = (&Device::flex(), DType::F32);
    let slopes = TensorData::new(members.in_order_of_rows(slopes, classes), [rows, classes]);
    Some(Part {
        value: Tensor::from_data(TensorData::new(vec![value as f32], [1]), options),
        slope: Tensor::from_data(slopes, options),
    })
}

/// All bags of a step.
struct Batch<'a> {
    logits: &'a [f32],
    responses: &'a [f32],
    classes: usize,
    members: &'a Members,
    weights: Weights,
}

impl Batch<'_> {
    /// The loss; `slopes` become its derivatives by the logits, bag after bag.
    fn losses(&self, slopes: &mut [f32]) -> f64 {
        let tasks = self.tasks(slopes);
        let mut losses = vec![0.0; tasks.len()];
        let work = tasks.into_iter().zip(&mut losses).collect();
        share(work, |((bags, slopes), loss): ((Range<usize>, &mut [f32]), &mut f64)| {
            *loss = self.of_bags(bags, slopes)
        });
        losses.iter().sum()
    }

    /// Consecutive bags that have enough scores together, with their slopes.
    fn tasks<'s>(&self, mut slopes: &'s mut [f32]) -> Vec<(Range<usize>, &'s mut [f32])> {
        let bags = self.members.len();
        let (mut tasks, mut first) = (Vec::new(), 0);
        for end in 1..=bags {
            let scores = self.members.places(first..end).len() * self.classes;
            if scores >= SCORES_A_TASK || end == bags {
                let (own, rest) = std::mem::take(&mut slopes).split_at_mut(scores);
                tasks.push((first..end, own));
                (slopes, first) = (rest, end);
            }
        }
        tasks
    }

    fn of_bags(&self, bags: Range<usize>, mut slopes: &mut [f32]) -> f64 {
        let rows = self.logits.len() / self.classes;
        let mut scratch = Scratch::default();
        let mut loss = 0.0;
        for bag in bags {
            let places = self.members.places(bag..bag + 1);
            let (own, rest) = std::mem::take(&mut slopes).split_at_mut(places.len() * self.classes);
            slopes = rest;
            let logits = |scores: &mut Vec<f32>| {
                scores.clear();
                let row_of = |place| self.members.row(place) * self.classes;
                places
                    .clone()
                    .for_each(|place| scores.extend_from_slice(&self.logits[row_of(place)..][..self.classes]));
            };
            logits(&mut scratch.powers);
            let bag = Bag {
                targets: &self.responses[bag * self.classes..(bag + 1) * self.classes],
                size: places.len() as f64,
                whole: self.weights.bag * places.len() as f64 / rows as f64,
                single: self.weights.instance / rows as f64,
            };
            loss += vectorised(Work { bag: &bag, scratch: &mut scratch, slopes: own }).unwrap_or_else(|| {
                logits(&mut scratch.powers);
                bag.by_logs(&scratch.powers, own)
            });
        }
        loss
    }
}

/// A bag of a batch.
struct Bag<'a> {
    targets: &'a [f32],
    /// Rows.
    size: f64,
    /// Weight of the bag as a whole, `B k/n`.
    whole: f64,
    /// Weight of each row, `I/n`.
    single: f64,
}

/// Memory that one bag leaves to the next.
#[derive(Default)]
struct Scratch {
    /// Scores that become powers and probabilities, row after row.
    powers: Vec<f32>,
    /// Sum of the powers of each row.
    sums: Vec<f32>,
    /// Sum over the rows of each class's distance to the largest score.
    distances: Vec<f64>,
    /// Sum over the rows of each class's probability, `P_c`.
    likely: Vec<f64>,
    /// `b_c`
    factors: Vec<f32>,
    /// `w_c`
    shifts: Vec<f32>,
}

impl Scratch {
    fn fit(&mut self, classes: usize) {
        self.sums.clear();
        for sums in [&mut self.distances, &mut self.likely] {
            sums.clear();
            sums.resize(classes, 0.0);
        }
        for terms in [&mut self.factors, &mut self.shifts] {
            terms.clear();
            terms.resize(classes, 0.0);
        }
    }
}

/// One bag, whose scores lie in `scratch.powers`.
struct Work<'a> {
    bag: &'a Bag<'a>,
    scratch: &'a mut Scratch,
    slopes: &'a mut [f32],
}

impl FusedKernel for Work<'_> {
    /// The loss; nothing where single precision has lost a class.
    type Output = Option<f64>;

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) -> Option<f64> {
        let Self { bag, scratch, slopes } = self;
        let classes = bag.targets.len();
        scratch.fit(classes);
        let Scratch { powers, sums, distances, likely, factors, shifts } = scratch;
        for row in powers.chunks_exact_mut(classes) {
            let max = largest(row, f32::NEG_INFINITY);
            for (score, distance) in row.iter_mut().zip(distances.iter_mut()) {
                *score -= max;
                *distance += f64::from(*score);
            }
        }
        exponentials(m, powers);
        for row in powers.chunks_exact_mut(classes) {
            let sum = sum(row);
            let inverse = 1.0 / sum;
            sums.push(sum);
            for (power, likely) in row.iter_mut().zip(likely.iter_mut()) {
                *power *= inverse;
                *likely += f64::from(*power);
            }
        }
        let log_sums = sum_of_logs(m, sums);
        let (mut loss, mut all_shifts) = (0.0, 0.0);
        for class in 0..classes {
            let target = f64::from(bag.targets[class]);
            if target == 0.0 {
                continue;
            }
            if bag.whole != 0.0 {
                if likely[class].is_nan() || likely[class] <= LEAST {
                    return None;
                }
                loss -= bag.whole * target * (likely[class] / bag.size).ln();
                factors[class] = (-bag.whole * target / likely[class]) as f32;
            }
            if bag.single != 0.0 {
                loss -= bag.single * target * (distances[class] - log_sums);
                shifts[class] = (-bag.single * target) as f32;
                all_shifts += shifts[class];
            }
        }
        for (row, slopes) in powers.chunks_exact(classes).zip(slopes.chunks_exact_mut(classes)) {
            let total = product(row, factors) + all_shifts;
            for class in 0..classes {
                slopes[class] = row[class] * (factors[class] - total) + shifts[class];
            }
        }
        Some(loss)
    }
}

/// Replaces scores that are not above zero by their powers; zero where these have no normal number.
#[inline(always)]
fn exponentials<M: MultiplyAdd>(m: M, scores: &mut [f32]) {
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for score in chunk {
            *score = exp_of_negative(m, *score);
        }
    }
    let mut last = filled_up(rest, 0.0);
    for score in &mut last {
        *score = exp_of_negative(m, *score);
    }
    rest.copy_from_slice(&last[..rest.len()]);
}

#[inline(always)]
fn sum(numbers: &[f32]) -> f32 {
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    let whole = if chunks.is_empty() { 0.0 } else { sum_of(lanes) };
    rest.iter().fold(whole, |sum, number| sum + number)
}

#[inline(always)]
fn product(left: &[f32], right: &[f32]) -> f32 {
    let ((chunks, rest), (others, other_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (chunk, other) in chunks.iter().zip(others) {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane] * other[lane];
        }
    }
    let whole = if chunks.is_empty() { 0.0 } else { sum_of(lanes) };
    rest.iter().zip(other_rest).fold(whole, |sum, (a, b)| sum + a * b)
}

/// Of sums of powers, the largest of which is one.
#[inline(always)]
fn sum_of_logs<M: MultiplyAdd>(m: M, sums: &[f32]) -> f64 {
    let (chunks, rest) = sums.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks.iter().chain([&filled_up(rest, 1.0)]) {
        for lane in 0..LANES {
            lanes[lane] += f64::from(log_of_positive(m, chunk[lane]));
        }
    }
    sum_of(lanes)
}

impl Bag<'_> {
    /// The same by logarithms in double precision, however small a probability is.
    fn by_logs(&self, scores: &[f32], slopes: &mut [f32]) -> f64 {
        let classes = self.targets.len();
        let logs: Vec<f64> = scores.chunks_exact(classes).flat_map(log_softmax).collect();
        let mut by_logs = vec![0.0; logs.len()];
        let mut loss = 0.0;
        for (class, &target) in self.targets.iter().enumerate().filter(|(_, target)| **target != 0.0) {
            let column = || logs.iter().skip(class).step_by(classes).copied();
            let largest = column().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = column().map(|log| (log - largest).exp()).sum();
            let (whole, single) = (self.whole * f64::from(target), self.single * f64::from(target));
            if whole != 0.0 {
                loss -= whole * (largest + (sum / self.size).ln());
            }
            if single != 0.0 {
                loss -= single * column().sum::<f64>();
            }
            for (slope, log) in by_logs.iter_mut().skip(class).step_by(classes).zip(column()) {
                *slope = -whole * (log - largest).exp() / sum - single;
            }
        }
        let rows = logs.chunks_exact(classes).zip(by_logs.chunks_exact(classes)).zip(slopes.chunks_exact_mut(classes));
        for ((logs, by_logs), slopes) in rows {
            let total: f64 = by_logs.iter().sum();
            for (slope, (log, by_log)) in slopes.iter_mut().zip(logs.iter().zip(by_logs)) {
                *slope = (by_log - log.exp() * total) as f32;
            }
        }
        loss
    }
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let distances: Vec<f64> = row.iter().map(|&score| f64::from(score) - f64::from(largest)).collect();
    let log_sum = distances.iter().map(|distance| distance.exp()).sum::<f64>().ln();
    distances.into_iter().map(|distance| distance - log_sum).collect()
}
