//! From drawn sizes to the derivatives of a loss at given margins.

use serde::{Deserialize, Serialize};

/// What becomes of the derivative beyond the margin 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DerivativeTail {
    /// Divided by the margin, so that the loss falls no faster than a logarithm, which consistency asks for.
    #[default]
    Inverse,
    /// As it is.
    None,
}

/// The shape of the drawn losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) clip: f64,
    pub(super) tail: DerivativeTail,
    pub(super) floor: f64,
}

impl Shape {
    /// The derivative at each margin: the sizes, cut at `clip`, in falling order over rising margins, so that the loss is
    /// convex; all below zero, so that it is calibrated.
    pub(super) fn derivatives(self, margins: &[f64], mut sizes: Vec<f64>) -> Vec<f64> {
        for size in &mut sizes {
            *size = size.min(self.clip);
        }
        sizes.sort_unstable_by(|a, b| b.total_cmp(a));
        let mut order: Vec<usize> = (0..margins.len()).collect();
        order.sort_by(|&a, &b| margins[a].total_cmp(&margins[b]));
        let mut derivatives = vec![0.0; margins.len()];
        for (&at, size) in order.iter().zip(sizes) {
            let margin = margins[at];
            let size = if self.tail == DerivativeTail::Inverse && margin > 1.0 { size / margin } else { size };
            derivatives[at] = -size - self.floor;
        }
        derivatives
    }
}
