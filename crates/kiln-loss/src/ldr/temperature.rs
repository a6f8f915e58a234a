//! The best temperature of one example.

use crate::rows::{
    FusedKernel, Kernel, LANES, MultiplyAdd, double_exp_of_negative, exp_of_negative, filled_up, largest,
    log_of_positive, sum_of, vectorised,
};

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

    /// The least temperature: `lambda0 (1 - 1 / alpha)`; a thousandth of `lambda0` where that is not above 0.
    pub(super) fn least(self) -> f64 {
        self.lambda0 * if self.alpha > 1.0 { 1.0 - 1.0 / self.alpha } else { 1e-3 }
    }

    /// Where the temperatures of examples with so many classes are looked for.
    pub(super) fn search(self, classes: usize) -> Search {
        Search::new(self, classes)
    }
}

/// The search for the temperature at which the loss of an example is largest.
///
/// With `t = lambda / lambda0` the loss is, up to the largest gap and a factor,
///
/// ```text
/// phi(t) = t log( (1 / D) sum_k exp(g_k / t) ) - (c / 2) (t - 1)^2        c = alpha log D
/// ```
/// with the gaps `g_k <= 0` below the largest one, in units of `lambda0`. It falls with slope `-c h(t)`,
/// `h(t) = t - 1 + KL(softmax(g / t) || uniform) / c`, and may have several maxima. All of them are looked at on a grid of
/// temperatures in single precision; those that may be the highest are then made exact, by Newton's method on `h`.
pub(super) struct Search {
    lambda0: f64,
    /// `alpha log D`.
    stiffness: f64,
    log_classes: f64,
    /// Spaced by equal factors, from the least one to 1.
    grid: [f64; LANES],
    inverses: [f32; LANES],
    /// `(c / 2) (t - 1)^2` on the grid.
    penalties: [f32; LANES],
    /// Of the example at hand.
    gaps: Vec<f64>,
}

impl Search {
    fn new(adaptation: Adaptation, classes: usize) -> Self {
        let least = adaptation.least() / adaptation.lambda0;
        let mut grid = [1.0; LANES];
        for (point, t) in grid[..LANES - 1].iter_mut().enumerate() {
            *t = least.powf(1.0 - point as f64 / (LANES - 1) as f64);
        }
        let log_classes = (classes as f64).ln();
        let stiffness = adaptation.alpha * log_classes;
        Self {
            lambda0: adaptation.lambda0,
            stiffness,
            log_classes,
            grid,
            inverses: grid.map(|t| (1.0 / t) as f32),
            penalties: grid.map(|t| (0.5 * stiffness * (t - 1.0).powi(2)) as f32),
            gaps: Vec::with_capacity(classes),
        }
    }

    /// The best temperature of an example with these gaps.
    pub(super) fn best(&mut self, gaps: &[f64]) -> f64 {
        self.gaps.clear();
        self.gaps.extend_from_slice(gaps);
        self.find()
    }

    /// The best temperature of an example with these scores.
    pub(super) fn best_of_row(&mut self, scores: &[f32], target: usize, margin: f64) -> f64 {
        self.gaps.clear();
        self.gaps.extend(scores.iter().map(|score| f64::from(*score)));
        // Up to a constant these are the gaps.
        self.gaps[target] -= margin;
        self.find()
    }

    fn find(&mut self) -> f64 {
        let (highest, scale) = (largest(&self.gaps, f64::NEG_INFINITY), 1.0 / self.lambda0);
        self.gaps.iter_mut().for_each(|gap| *gap = (*gap - highest) * scale);
        let on_grid = vectorised(OnGrid { search: self, share: 1.0 / self.gaps.len() as f32 });
        let top = largest(&on_grid, f32::NEG_INFINITY);
        // Single precision cannot tell apart what differs by less.
        let nearly = top - 1e-5 * self.log_classes as f32;
        let is_maximum = |point: &usize| {
            let [before, after] = [point.saturating_sub(1), (point + 1).min(LANES - 1)];
            let own = on_grid[*point];
            own >= nearly && own >= on_grid[before] && own >= on_grid[after]
        };
        let maxima = (0..LANES).filter(is_maximum).map(|point| self.refined(point));
        let best = maxima.reduce(|best, other| if other.1 > best.1 { other } else { best });
        // Gaps that are no numbers have no maximum; what is computed from them is no number at any temperature.
        self.lambda0 * best.map_or(1.0, |(t, _)| t)
    }

    /// The maximum beside a point of the grid that is above its neighbours, and `phi` there.
    fn refined(&self, point: usize) -> (f64, f64) {
        const STEPS: usize = 60;
        let mut t = self.grid[point];
        let mut here = self.at(t);
        // `h` is negative below the maximum, which may be a point further away than single precision has seen.
        let (below, above) = (self.grid[point.saturating_sub(2)], self.grid[(point + 2).min(LANES - 1)]);
        let (mut low, mut high) = if here.h < 0.0 { (t, above) } else { (below, t) };
        for _ in 0..STEPS {
            let newton = t - here.h / here.slope;
            let next = if newton >= low && newton <= high { newton } else { 0.5 * (low + high) };
            // What is left after such a step is its square, and the value is flat here.
            let last = (next - t).abs() <= 1e-8 * t;
            t = next;
            if last {
                break;
            }
            here = self.at(t);
            if here.h < 0.0 { low = t } else { high = t }
        }
        (t, here.value)
    }

    fn at(&self, t: f64) -> Point {
        let Moments { sum, first, second } = vectorised(MomentSums { gaps: &self.gaps, inverse: 1.0 / t });
        let log_mean = sum.ln() - self.log_classes;
        let mean = first / sum;
        // sum_k p_k log(D p_k) = E_p[u] - log mean exp(u), which rounding may put below zero.
        let divergence = (mean - log_mean).max(0.0);
        let variance = (second / sum - mean * mean).max(0.0);
        Point {
            value: t * log_mean - 0.5 * self.stiffness * (t - 1.0).powi(2),
            h: t - 1.0 + divergence / self.stiffness,
            slope: 1.0 - variance / (self.stiffness * t),
        }
    }
}

/// `phi`, `h` and `dh/dt` at one temperature.
struct Point {
    value: f64,
    h: f64,
    slope: f64,
}

/// `phi` at all points of the grid, which lie side by side.
struct OnGrid<'a> {
    search: &'a Search,
    /// `1 / D`.
    share: f32,
}

impl FusedKernel for OnGrid<'_> {
    type Output = [f32; LANES];

    #[inline(always)]
    fn run_with<M: MultiplyAdd>(self, m: M) -> [f32; LANES] {
        let Search { gaps, inverses, penalties, .. } = self.search;
        let mut values = [0.0; LANES];
        for gap in gaps {
            let gap = *gap as f32;
            for (sum, inverse) in values.iter_mut().zip(inverses) {
                *sum += exp_of_negative(m, gap * inverse);
            }
        }
        for lane in 0..LANES {
            values[lane] = log_of_positive(m, values[lane] * self.share) / inverses[lane] - penalties[lane];
        }
        values
    }
}

/// Sums of `exp(u_k)`, `exp(u_k) u_k` and `exp(u_k) u_k^2` with `u_k = g_k / t`.
struct Moments {
    sum: f64,
    first: f64,
    second: f64,
}

struct MomentSums<'a> {
    gaps: &'a [f64],
    inverse: f64,
}

impl Kernel for MomentSums<'_> {
    type Output = Moments;

    #[inline(always)]
    fn run(self) -> Moments {
        let Self { gaps, inverse } = self;
        let (chunks, rest) = gaps.as_chunks::<LANES>();
        let [mut sums, mut firsts, mut seconds] = [[0.0; LANES]; 3];
        for chunk in chunks.iter().chain([&filled_up(rest, f64::NEG_INFINITY)]) {
            for lane in 0..LANES {
                let u = bounded(chunk[lane] * inverse);
                let power = double_exp_of_negative(u);
                sums[lane] += power;
                firsts[lane] += power * u;
                seconds[lane] += power * u * u;
            }
        }
        Moments { sum: sum_of(sums), first: sum_of(firsts), second: sum_of(seconds) }
    }
}

/// Not below where the exponential ends, so that a class that is ruled out altogether adds zero to every sum.
#[inline(always)]
fn bounded(u: f64) -> f64 {
    if u < -700.0 { -700.0 } else { u }
}
