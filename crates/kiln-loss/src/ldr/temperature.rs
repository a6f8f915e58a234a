//! The best temperature of one example.

use crate::rows::{Kernel, LANES, double_exp_of_negative, exp_of_negative, log_of_positive, vectorised};

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
        Self {
            lambda0: adaptation.lambda0,
            stiffness: adaptation.alpha * log_classes,
            log_classes,
            grid,
            inverses: grid.map(|t| (1.0 / t) as f32),
            gaps: Vec::with_capacity(classes),
        }
    }

    /// The best temperature of an example with these gaps, or scores, which differ from them by a constant.
    pub(super) fn best(&mut self, gaps: impl Iterator<Item = f64>) -> f64 {
        self.gaps.clear();
        self.gaps.extend(gaps);
        let highest = self.gaps.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.gaps.iter_mut().for_each(|gap| *gap = (*gap - highest) / self.lambda0);
        let on_grid = self.on_grid();
        let top = on_grid.iter().copied().fold(f32::NEG_INFINITY, f32::max);
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

    /// `phi` on the grid.
    fn on_grid(&self) -> [f32; LANES] {
        let log_means =
            vectorised(LogMeans { gaps: &self.gaps, inverses: &self.inverses, share: 1.0 / self.gaps.len() as f32 });
        let mut values = [0.0; LANES];
        for point in 0..LANES {
            let t = self.grid[point];
            values[point] = t as f32 * log_means[point] - (0.5 * self.stiffness * (t - 1.0).powi(2)) as f32;
        }
        values
    }

    /// The maximum beside a point of the grid that is above its neighbours, and `phi` there.
    fn refined(&self, point: usize) -> (f64, f64) {
        const STEPS: usize = 60;
        let mut t = self.grid[point];
        let mut here = self.at(t);
        // `h` is negative below the maximum.
        let (mut low, mut high) = if here.h < 0.0 {
            (t, self.grid[(point + 1).min(LANES - 1)])
        } else {
            (self.grid[point.saturating_sub(1)], t)
        };
        for _ in 0..STEPS {
            let newton = t - here.h / here.slope;
            let next = if newton >= low && newton <= high { newton } else { 0.5 * (low + high) };
            if (next - t).abs() <= 1e-13 * t {
                break;
            }
            t = next;
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

/// `log mean_k exp(g_k / t)` at all points of the grid, which lie side by side.
struct LogMeans<'a> {
    gaps: &'a [f64],
    inverses: &'a [f32; LANES],
    share: f32,
}

impl Kernel for LogMeans<'_> {
    type Output = [f32; LANES];

    #[inline(always)]
    fn run(self) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        for gap in self.gaps {
            let gap = *gap as f32;
            for (sum, inverse) in sums.iter_mut().zip(self.inverses) {
                *sum += exp_of_negative(gap * inverse).0;
            }
        }
        for sum in &mut sums {
            *sum = log_of_positive(*sum * self.share);
        }
        sums
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
        for chunk in chunks {
            for lane in 0..LANES {
                let u = bounded(chunk[lane] * inverse);
                let power = double_exp_of_negative(u);
                sums[lane] += power;
                firsts[lane] += power * u;
                seconds[lane] += power * u * u;
            }
        }
        let [mut sum, mut first, mut second] = [sums, firsts, seconds].map(|lanes| lanes.iter().sum::<f64>());
        for gap in rest {
            let u = bounded(gap * inverse);
            let power = double_exp_of_negative(u);
            sum += power;
            first += power * u;
            second += power * u * u;
        }
        Moments { sum, first, second }
    }
}

/// Not below where the exponential ends, so that a class that is ruled out altogether adds zero to every sum.
#[inline(always)]
fn bounded(u: f64) -> f64 {
    if u < -700.0 { -700.0 } else { u }
}
