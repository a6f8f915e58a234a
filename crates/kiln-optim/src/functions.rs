//! One-dimensional functions with local minima, on which first-order optimizers are compared.
//!
//! Source: arXiv 1909.11015, section IV.

use serde::{Deserialize, Serialize};

/// A function of one variable, with value and gradient.
///
/// At a breakpoint both take the left branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fn1d {
    /// Two parabolas, global minimum 0 at -0.3 and local minimum 0.05 at 0.2:
    /// `(x + 0.3)^2` for `x <= 0`, `(x - 0.2)^2 + 0.05` above.
    F1,
    /// A line into a rippled cubic, global minimum near -0.64292, local minima at 0 and near 0.588:
    /// `-40 x - 35.15` for `x <= -0.9`, `x^3 + x sin(8 x) + 0.85` above. It jumps by 0.015 at -0.9, as in the paper.
    F2,
    /// [`Fn1d::F2`] with the gradient `x cos(8 x) + sin(8 x) + 3 x^2` of the authors' notebook, which lacks a factor 8.
    F2Notebook,
    /// Piecewise parabolas and lines, global minimum 0 at 0, corners with value 0.25 at -0.5 and 0.5.
    F3,
}

impl Fn1d {
    /// All functions, in the paper's order.
    pub const ALL: [Self; 4] = [Self::F1, Self::F2, Self::F2Notebook, Self::F3];

    /// Short name for tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F1 => "f1",
            Self::F2 => "f2",
            Self::F2Notebook => "f2-notebook",
            Self::F3 => "f3",
        }
    }

    /// Where the function is smallest.
    pub fn global_minimum(self) -> f64 {
        match self {
            Self::F1 => -0.3,
            Self::F2 | Self::F2Notebook => -0.642_918_6,
            Self::F3 => 0.0,
        }
    }

    /// The function's value at `x`.
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::F1 if x <= 0.0 => (x + 0.3).powi(2),
            Self::F1 => (x - 0.2).powi(2) + 0.05,
            Self::F2 | Self::F2Notebook if x <= -0.9 => -40.0 * x - 35.15,
            Self::F2 | Self::F2Notebook => x.powi(3) + x * (8.0 * x).sin() + 0.85,
            Self::F3 => match x {
                x if x <= -0.5 => x * x,
                x if x <= -0.4 => 0.75 + x,
                x if x <= 0.0 => -7.0 * x / 8.0,
                x if x <= 0.4 => 7.0 * x / 8.0,
                x if x <= 0.5 => 0.75 - x,
                x => x * x,
            },
        }
    }

    /// The gradient at `x` that an optimizer is given.
    pub fn gradient(self, x: f64) -> f64 {
        match self {
            Self::F1 if x <= 0.0 => 2.0 * (x + 0.3),
            Self::F1 => 2.0 * (x - 0.2),
            Self::F2 | Self::F2Notebook if x <= -0.9 => -40.0,
            Self::F2 => 8.0 * x * (8.0 * x).cos() + (8.0 * x).sin() + 3.0 * x * x,
            Self::F2Notebook => x * (8.0 * x).cos() + (8.0 * x).sin() + 3.0 * x * x,
            Self::F3 => match x {
                x if x <= -0.5 => 2.0 * x,
                x if x <= -0.4 => 1.0,
                x if x <= 0.0 => -7.0 / 8.0,
                x if x <= 0.4 => 7.0 / 8.0,
                x if x <= 0.5 => -1.0,
                x => 2.0 * x,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_agree_with_central_differences_away_from_breakpoints() {
        let breakpoints = [-0.9, -0.5, -0.4, 0.0, 0.4, 0.5];
        for function in [Fn1d::F1, Fn1d::F2, Fn1d::F3] {
            for step in 0..400 {
                let x = -1.5 + 3.0 * f64::from(step) / 400.0 + 1e-3;
                if breakpoints.iter().any(|b: &f64| (b - x).abs() < 1e-4) {
                    continue;
                }
                let h = 1e-6;
                let difference = (function.value(x + h) - function.value(x - h)) / (2.0 * h);
                assert!((difference - function.gradient(x)).abs() < 1e-6, "{function:?} at {x}");
            }
        }
    }

    #[test]
    fn the_functions_meet_where_the_paper_says() {
        let above = |x: f64| x + 1e-13;
        assert!((Fn1d::F1.value(0.0) - 0.09).abs() < 1e-12 && (Fn1d::F1.value(above(0.0)) - 0.09).abs() < 1e-12);
        for (x, value) in [(-0.4, 0.35), (0.4, 0.35), (-0.5, 0.25), (0.5, 0.25)] {
            assert!((Fn1d::F3.value(x) - value).abs() < 1e-12);
            assert!((Fn1d::F3.value(above(x)) - value).abs() < 1e-12);
        }
        let jump = Fn1d::F2.value(-0.9) - Fn1d::F2.value(above(-0.9));
        assert!((Fn1d::F2.value(-0.9) - 0.85).abs() < 1e-12 && (jump - 0.0147).abs() < 1e-3, "jump {jump}");
    }

    #[test]
    fn gradients_at_breakpoints_are_those_of_the_left_branch() {
        assert_eq!(Fn1d::F1.gradient(0.0), 0.6);
        assert_eq!(Fn1d::F2.gradient(-0.9), -40.0);
        let branches = [(-0.5, -1.0), (-0.4, 1.0), (0.0, -7.0 / 8.0), (0.4, 7.0 / 8.0), (0.5, -1.0)];
        for (x, gradient) in branches {
            assert_eq!(Fn1d::F3.gradient(x), gradient, "F3 at {x}");
        }
    }

    #[test]
    fn global_minima_are_minima() {
        assert!(Fn1d::F2.gradient(Fn1d::F2.global_minimum()).abs() < 1e-4);
        assert!((Fn1d::F2.value(Fn1d::F2.global_minimum()) - 1.2e-4).abs() < 1e-5);
        for function in Fn1d::ALL {
            let least = function.value(function.global_minimum());
            assert!((0..2000).all(|i| function.value(-1.0 + f64::from(i) * 1e-3) >= least - 1e-6), "{function:?}");
        }
    }

    #[test]
    fn the_notebook_changes_only_the_gradient_of_f2() {
        assert_eq!(Fn1d::F2.value(0.3), Fn1d::F2Notebook.value(0.3));
        assert!((Fn1d::F2.gradient(0.3) - Fn1d::F2Notebook.gradient(0.3) - 2.1 * (2.4f64).cos()).abs() < 1e-12);
    }
}
