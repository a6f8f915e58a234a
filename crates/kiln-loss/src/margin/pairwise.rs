//! Losses that add a function of the gap to each rival.

use burn::config::Config;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, activation};

use super::check_margin;
use crate::gaps::of_gaps;
use crate::{ClassificationLoss, LossError};

macro_rules! pairwise_loss {
    (
        $(#[$about:meta])* $loss:ident, $(#[$configuration:meta])* $config:ident, $name:literal,
        $margin:literal, $function:path
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
                mean_over_rivals(logits, targets, self.margin, $function)
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
    hinge
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
    squared_hinge
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
    smooth_hinge
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
    softplus
);

/// `(1 / D) sum_{k != y} h(d_k)` for a function of the gaps and its derivative.
fn mean_over_rivals(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    margin: f64,
    function: impl FnOnce(Tensor<2>) -> (Tensor<2>, Tensor<2>),
) -> Tensor<1> {
    let classes = logits.dims()[1] as f64;
    of_gaps(logits, targets, margin, |gaps, targets| {
        let (values, slopes) = function(gaps);
        let without_target = |terms: Tensor<2>| {
            let own = terms.clone().gather(1, targets.clone());
            terms.scatter(1, targets.clone(), -own, IndexingUpdateOp::Add) / classes
        };
        (without_target(values).sum_dim(1), without_target(slopes))
    })
}

fn hinge(gaps: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let slopes = gaps.clone().greater_scalar(0.0);
    let none = gaps.zeros_like();
    (gaps.clamp_min(0.0), none.mask_fill(slopes, 1.0))
}

fn squared_hinge(gaps: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let violation = gaps.clamp_min(0.0);
    (violation.clone().square(), violation * 2.0)
}

fn smooth_hinge(gaps: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let violation = gaps.clamp_min(0.0);
    let slopes = violation.clone().clamp_max(1.0);
    // u^2 / 2 up to 1 and u - 1/2 above are one formula in the slope c = min(u, 1): c (u - c / 2).
    (slopes.clone() * (violation - slopes.clone() * 0.5), slopes)
}

fn softplus(gaps: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let values = gaps.clone().clamp_min(0.0) + (-gaps.clone().abs()).exp().log1p();
    (values, activation::sigmoid(gaps))
}
