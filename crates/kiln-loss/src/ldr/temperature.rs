//! The best temperature of one example.

/// Penalty on the distance of a temperature to `lambda0`, and the range that it leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Adaptation {
    pub(super) lambda0: f64,
    pub(super) alpha: f64,
}

impl Adaptation {
    /// `a = alpha log(D) / lambda0`.
    pub(super) fn stiffness(self, classes: usize) -> f64 {
        self.alpha * (classes as f64).ln() / self.lambda0
    }

    /// The least temperature: `lambda0 (1 - 1 / alpha)`, at least a thousandth of `lambda0`.
    pub(super) fn least(self) -> f64 {
        self.lambda0 * (1.0 - 1.0 / self.alpha).max(1e-3)
    }

    /// The temperature at which the loss of an example with these gaps is largest.
    ///
    /// It solves `h(lambda) = lambda - lambda0 + KL(softmax(d / lambda) || uniform) / a = 0`. The value as a function of
    /// lambda falls with slope `-a h`, so that its maxima are where `h` changes from below zero to above; there may be
    /// several, and the best is taken.
    pub(super) fn best(self, gaps: &[f64]) -> f64 {
        const POINTS: usize = 32;
        let (low, high, stiffness) = (self.least(), self.lambda0, self.stiffness(gaps.len()));
        let excess = |lambda: f64| lambda - self.lambda0 + Tempered::of(gaps, lambda).divergence / stiffness;
        let value = |lambda: f64| {
            lambda * Tempered::of(gaps, lambda).log_mean - 0.5 * stiffness * (lambda - self.lambda0).powi(2)
        };
        let at = |point: usize| low * (high / low).powf(point as f64 / POINTS as f64);
        let mut best = (low, value(low));
        let mut below = excess(low) <= 0.0;
        for point in 1..=POINTS {
            let above = excess(at(point)) >= 0.0;
            if below && above {
                let root = bisect(at(point - 1), at(point), excess);
                let found = value(root);
                if found > best.1 {
                    best = (root, found);
                }
            }
            below = !above;
        }
        best.0
    }
}

/// The point at which `function` changes its sign from below zero at `low` to above at `high`.
fn bisect(mut low: f64, mut high: f64, function: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if function(middle) < 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// `softmax(d / lambda)` in figures.
struct Tempered {
    /// `log mean exp(d / lambda)`.
    log_mean: f64,
    /// `KL(softmax(d / lambda) || uniform)`.
    divergence: f64,
}

impl Tempered {
    fn of(gaps: &[f64], lambda: f64) -> Self {
        let highest = gaps.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut weighted) = (0.0, 0.0);
        for gap in gaps {
            let exponent = (gap - highest) / lambda;
            let power = exponent.exp();
            sum += power;
            if power > 0.0 {
                weighted += power * exponent;
            }
        }
        let log_mean = (sum / gaps.len() as f64).ln();
        // sum_k p_k log(D p_k) = E_p[u - max u] - log mean exp(u - max u)
        Self { log_mean: highest / lambda + log_mean, divergence: weighted / sum - log_mean }
    }
}
