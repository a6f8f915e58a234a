//! What drawn derivatives look like as a loss.

use super::EnsLoss;

/// Where derivatives are not those of a convex, calibrated loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// The derivative at the smaller margin is larger than that at the larger one.
    NotConvex {
        /// Index of the smaller margin.
        lower: usize,
        /// Index of the larger margin.
        upper: usize,
    },
    /// The derivative at a margin that is not positive is not below zero.
    NotCalibrated {
        /// Index of the margin.
        at: usize,
    },
    /// The margin or its derivative is not a number.
    NotANumber {
        /// Index of the margin.
        at: usize,
    },
}

/// All margins at which `derivatives` contradict a convex, calibrated loss; each one beside the worst of its
/// predecessors. What is not a number is named, and left out of the comparison of the others. Empty for every draw of
/// [`EnsLoss`].
///
/// # Panics
/// Where the lengths differ.
pub fn check_calibration(margins: &[f64], derivatives: &[f64]) -> Vec<Violation> {
    assert_eq!(margins.len(), derivatives.len(), "one derivative a margin is needed");
    let is_number = |at: &usize| !margins[*at].is_nan() && !derivatives[*at].is_nan();
    let (order, strange): (Vec<usize>, Vec<usize>) = rising(margins).into_iter().partition(is_number);
    let mut violations: Vec<Violation> = strange.into_iter().map(|at| Violation::NotANumber { at }).collect();
    // Among equal margins any order is right, so that they are compared with those strictly before them.
    let (mut worst, mut start): (Option<usize>, usize) = (None, 0);
    for (place, &at) in order.iter().enumerate() {
        if margins[at] > margins[order[start]] {
            let group = order[start..place].iter().copied();
            worst = worst.into_iter().chain(group).max_by(|&a, &b| derivatives[a].total_cmp(&derivatives[b]));
            start = place;
        }
        if let Some(lower) = worst.filter(|&lower| derivatives[lower] > derivatives[at]) {
            violations.push(Violation::NotConvex { lower, upper: at });
        }
        if margins[at] <= 0.0 && derivatives[at] >= 0.0 {
            violations.push(Violation::NotCalibrated { at });
        }
    }
    violations
}

/// The loss whose derivative is piecewise constant, `derivatives[i]` from `margins[i]` to the next larger margin, with the
/// value 1 at 0; at each point of `grid`.
///
/// # Panics
/// Where the lengths differ or there is no margin.
pub fn implied_loss(margins: &[f64], derivatives: &[f64], grid: &[f64]) -> Vec<f64> {
    assert!(margins.len() == derivatives.len() && !margins.is_empty(), "one derivative a margin is needed");
    let order = rising(margins);
    let from_first = |z: f64| {
        let first = order[0];
        let mut integral = (z.min(margins[first]) - margins[first]) * derivatives[first];
        for (place, &at) in order.iter().enumerate() {
            let end = order.get(place + 1).map_or(z, |&next| margins[next].min(z));
            integral += (end - margins[at]).max(0.0) * derivatives[at];
        }
        integral
    };
    let at_zero = from_first(0.0);
    grid.iter().map(|&z| 1.0 + from_first(z) - at_zero).collect()
}

/// Mean of the implied losses of so many draws at the same margins: the loss that the ensemble minimises.
///
/// # Panics
/// Where there is no margin.
pub fn population_loss(loss: &EnsLoss, margins: &[f64], grid: &[f64], draws: u64) -> Vec<f64> {
    let mut mean = vec![0.0; grid.len()];
    for step in 0..draws {
        let derivatives = loss.derivatives_at(margins, step, 1);
        let drawn = implied_loss(margins, &derivatives, grid);
        mean.iter_mut().zip(drawn).for_each(|(mean, value)| *mean += value / draws as f64);
    }
    mean
}

fn rising(margins: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..margins.len()).collect();
    order.sort_by(|&a, &b| margins[a].total_cmp(&margins[b]));
    order
}
