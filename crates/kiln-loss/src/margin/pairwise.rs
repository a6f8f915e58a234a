//! Losses that add a function of the gap to each rival.

use std::marker::PhantomData;

use burn::config::Config;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use super::check_margin;
use crate::gaps::of_gaps;
use crate::quantity::Quantity;
use crate::rows::{FusedKernel, HostRows, LANES, MultiplyAdd, exp_of_negative, sum_of, vectorised};
use crate::{ClassificationLoss, LossError};

macro_rules! pairwise_loss {
    (
        $(#[$about:meta])* $loss:ident, $(#[$configuration:meta])* $config:ident, $name:literal,
        $margin:literal, $function:ident
    ) => {
        $(#[$configuration])*
        #[derive(Config, Debug)]
        pub struct $config {
            /// Margin `m >= 0` by which the target has to win against each rival.
            #[config(default = $margin)]
            pub margin: f64,
        }

        impl $config {
            /// Checks the settings.
            ///
            /// # Errors
            /// [`LossError::Setting`] for a margin that is negative or not finite.
            pub fn init(&self) -> Result<$loss, LossError> {
                Ok($loss { margin: check_margin($name, self.margin)? })
            }
        }

        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $loss {
            margin: f64,
        }

        impl ClassificationLoss for $loss {
            fn forward_no_reduction(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
                mean_over_rivals::<$function>(logits, targets, self.margin)
            }
        }
    };
}

pairwise_loss!(
    /// Multi-class hinge of all rivals.
    ///
    /// ```text
    /// L = (1 / D) sum_{k != y} max(0, m + s_k - s_y)
    /// ```
    /// Source: J. Weston and C. Watkins, "Support Vector Machines for Multi-Class Pattern Recognition", 1999; with the
    /// mean over all `D` classes, as in the comparison of arXiv 2112.14869.
    WestonWatkinsLoss,
    /// Configuration of [`WestonWatkinsLoss`].
    WestonWatkinsLossConfig,
    "weston-watkins",
    1.0,
    Hinge
);

pairwise_loss!(
    /// Squared hinge of all rivals.
    ///
    /// ```text
    /// L = (1 / D) sum_{k != y} max(0, m + s_k - s_y)^2
    /// ```
    SquaredHingeLoss,
    /// Configuration of [`SquaredHingeLoss`].
    SquaredHingeLossConfig,
    "squared-hinge",
    1.0,
    SquaredHinge
);

pairwise_loss!(
    /// Hinge of all rivals with its kink rounded off.
    ///
    /// ```text
    /// L = (1 / D) sum_{k != y} h(m + s_k - s_y)        h(u) = u^2 / 2 on [0, 1], u - 1/2 above, 0 below
    /// ```
    /// Source: J. Rennie and N. Srebro, "Loss Functions for Preference Levels", 2005.
    SmoothHingeLoss,
    /// Configuration of [`SmoothHingeLoss`].
    SmoothHingeLossConfig,
    "smooth-hinge",
    1.0,
    SmoothHinge
);

pairwise_loss!(
    /// Logistic loss of all rivals.
    ///
    /// ```text
    /// L = (1 / D) sum_{k != y} log(1 + exp(m + s_k - s_y))
    /// ```
    /// For two classes half of cross-entropy with the margin `m`.
    LogisticMarginLoss,
    /// Configuration of [`LogisticMarginLoss`].
    LogisticMarginLossConfig,
    "logistic-margin",
    0.0,
    Softplus
);

/// A function of the gap to one rival, with its derivative.
trait OfGap {
    fn at<N: Quantity>(gap: N) -> (N, N);

    /// The same for single precision, in a form that loops over many gaps compile to vectors.
    #[inline(always)]
    fn at_single<M: MultiplyAdd>(_: M, gap: f32) -> (f32, f32) {
        let (value, slope) = Self::at(f64::from(gap));
        (value as f32, slope as f32)
    }
}

/// `(1 / D) sum_{k != y} h(d_k)` for a function of the gaps.
fn mean_over_rivals<F: OfGap>(logits: Tensor<2>, targets: Tensor<1, Int>, margin: f64) -> Tensor<1> {
    if let Some(mut rows) = HostRows::of(&logits, &targets) {
        let losses = rows.map(|| (), |(), _, row, target| mean_of_row::<F>(row, target, margin as f32));
        return rows.into_losses(logits, losses);
    }
    let classes = logits.dims()[1] as f64;
    of_gaps(logits, targets, margin, |gaps, targets| {
        let (values, slopes) = F::at(gaps);
        let without_target = |terms: Tensor<2>| {
            let own = terms.clone().gather(1, targets.clone());
            terms.scatter(1, targets.clone(), -own, IndexingUpdateOp::Add) / classes
        };
        (without_target(values).sum_dim(1), without_target(slopes))
    })
}

/// The loss of a row of scores, which becomes its gradient.
fn mean_of_row<F: OfGap>(row: &mut [f32], target: usize, margin: f32) -> f32 {
    let classes = row.len() as f64;
    // With the margin taken off the target's own score, its gap to itself is zero as well.
    row[target] -= margin;
    let own = row[target];
    let (value, slope) = vectorised(Rivals { row, own, function: PhantomData::<F> });
    row[target] = (-slope / classes) as f32;
    (value / classes) as f32
}

/// Replaces each score by the derivative of its term, divided by the number of classes.
struct Rivals<'a, F> {
    row: &'a mut [f32],
    own: f32,
    function: PhantomData<F>,
}

impl<F: OfGap> FusedKernel for Rivals<'_, F> {
    /// Sums of the values and of the derivatives, without those of the target's own gap.
    type Output = (f64, f64);

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) -> (f64, f64) {
        let Self { row, own, .. } = self;
        let share = 1.0 / row.len() as f32;
        let (chunks, rest) = row.as_chunks_mut::<LANES>();
        let (mut values, mut slopes) = ([0.0; LANES], [0.0; LANES]);
        for chunk in chunks {
            for lane in 0..LANES {
                let (value, slope) = F::at_single(m, chunk[lane] - own);
                values[lane] += f64::from(value);
                slopes[lane] += f64::from(slope);
                chunk[lane] = slope * share;
            }
        }
        for (lane, score) in rest.iter_mut().enumerate() {
            let (value, slope) = F::at_single(m, *score - own);
            values[lane] += f64::from(value);
            slopes[lane] += f64::from(slope);
            *score = slope * share;
        }
        let (own_value, own_slope) = F::at_single(m, 0.0);
        (sum_of(values) - f64::from(own_value), sum_of(slopes) - f64::from(own_slope))
    }
}

struct Hinge;

impl OfGap for Hinge {
    #[inline(always)]
    fn at<N: Quantity>(gap: N) -> (N, N) {
        (gap.clone().at_least(0.0), gap.step())
    }
}

struct SquaredHinge;

impl OfGap for SquaredHinge {
    #[inline(always)]
    fn at<N: Quantity>(gap: N) -> (N, N) {
        let violation = gap.at_least(0.0);
        (violation.clone() * violation.clone(), violation * 2.0_f64)
    }
}

struct SmoothHinge;

impl OfGap for SmoothHinge {
    #[inline(always)]
    fn at<N: Quantity>(gap: N) -> (N, N) {
        let violation = gap.at_least(0.0);
        let slope = violation.clone().at_most(1.0);
        // u^2 / 2 up to 1 and u - 1/2 above are one formula in the slope c = min(u, 1): c (u - c / 2).
        (slope.clone() * (violation - slope.clone() * 0.5_f64), slope)
    }
}

struct Softplus;

impl OfGap for Softplus {
    #[inline(always)]
    fn at<N: Quantity>(gap: N) -> (N, N) {
        let power = (-gap.clone().abs()).exp();
        let value = gap.clone().at_least(0.0) + power.clone().log1p();
        // 1 / (1 + exp(-d)), without an exponential that overflows.
        (value, gap.at_most(0.0).exp() / (power + 1.0_f64))
    }

    #[inline(always)]
    fn at_single<M: MultiplyAdd>(m: M, gap: f32) -> (f32, f32) {
        let power = exp_of_negative(m, -gap.abs());
        let numerator = if gap < 0.0 { power } else { 1.0 };
        (if gap < 0.0 { 0.0 } else { gap } + log1p_of_fraction(power), numerator / (power + 1.0))
    }
}

/// `log(1 + x)` for `x` from 0 to 1, with an error of some 2e-7 of itself: `2 atanh(x / (2 + x))` by its Taylor polynomial.
#[inline(always)]
fn log1p_of_fraction(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let square = s * s;
    let mut p = 2.0 / 13.0;
    for coefficient in [2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
        p = p * square + coefficient;
    }
    p * s
}

#[cfg(test)]
mod tests {
    use super::*;

    struct SoftplusAt(f32);

    impl FusedKernel for SoftplusAt {
        type Output = (f32, f32);

        #[inline(always)]
        fn run_with<M: MultiplyAdd>(self, m: M) -> (f32, f32) {
            Softplus::at_single(m, self.0)
        }
    }

    #[test]
    fn single_precision_keeps_small_values_and_slopes() {
        for step in -860..=860 {
            let gap = 0.1 * step as f32;
            let (value, slope) = vectorised(SoftplusAt(gap));
            let (exact, exact_slope) = Softplus::at(f64::from(gap));
            assert!((f64::from(value) / exact - 1.0).abs() < 1e-6, "log(1 + exp({gap})) = {value}");
            assert!((f64::from(slope) / exact_slope - 1.0).abs() < 1e-6, "its slope at {gap} is {slope}");
        }
        assert!(vectorised(SoftplusAt(f32::NAN)).0.is_nan());
        assert_eq!(vectorised(SoftplusAt(f32::INFINITY)), (f32::INFINITY, 1.0));
    }
}
