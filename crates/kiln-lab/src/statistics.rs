//! Statistics over seeds: mean, spread, and intervals for paired differences.

use serde::{Deserialize, Serialize};

/// Mean and spread of several measurements of one quantity.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Arithmetic mean; NaN when there is nothing to average.
    pub mean: f64,
    /// Sample standard deviation (divisor `n - 1`); 0 for fewer than two values.
    pub std: f64,
    /// Number of values.
    pub n: usize,
}

impl Summary {
    /// Summary of `values`, in two passes: `std^2 = sum (x - mean)^2 / (n - 1)`.
    ///
    /// ```
    /// let summary = kiln_lab::statistics::Summary::of(&[1.0, 2.0, 3.0]);
    /// assert_eq!((summary.mean, summary.std, summary.n), (2.0, 1.0, 3));
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        if n == 0 {
            return Self { mean: f64::NAN, std: 0.0, n };
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = if n < 2 { 0.0 } else { (squares / (n - 1) as f64).sqrt() };
        Self { mean, std, n }
    }

    /// Standard error of the mean, `std / sqrt(n)`.
    pub fn standard_error(&self) -> f64 {
        if self.n == 0 { f64::NAN } else { self.std / (self.n as f64).sqrt() }
    }

    /// 95 % interval of the mean by Student's t with `n - 1` degrees of freedom; unbounded for fewer than two values.
    pub fn interval(&self) -> Interval {
        if self.n < 2 {
            return Interval { low: f64::NEG_INFINITY, high: f64::INFINITY };
        }
        let half_width = student_t_95(self.n - 1) * self.standard_error();
        Interval { low: self.mean - half_width, high: self.mean + half_width }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.n < 2 {
            write!(f, "{}", figure(self.mean))
        } else {
            let [mean, std] = to_the_spread(self.mean, self.std);
            write!(f, "{mean} +/- {std}")
        }
    }
}

/// A mean and its spread with as many decimals as give the spread two digits: further ones say nothing about the mean.
fn to_the_spread(mean: f64, std: f64) -> [String; 2] {
    const SMALLEST_SPREAD: f64 = 1e-5;
    if !(mean.abs() < 1e7 && (SMALLEST_SPREAD..1e7).contains(&std)) {
        return [figure(mean), figure(std)];
    }
    let decimals = (1 - std.log10().floor() as i32).max(0) as usize;
    [format!("{mean:.decimals$}"), format!("{std:.decimals$}")]
}

/// A closed interval of real numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether the whole interval lies above `value`.
    pub fn above(&self, value: f64) -> bool {
        self.low > value
    }

    /// Whether the whole interval lies below `value`.
    pub fn below(&self, value: f64) -> bool {
        self.high < value
    }

    /// Whether `value` lies in the interval, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// A paired difference between two methods that ran on the same seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Summary of the differences `a_i - b_i`.
    pub difference: Summary,
    /// 95 % interval of their mean by Student's t.
    pub interval: Interval,
}

/// Paired difference `a - b`, seed by seed, with its 95 % interval.
///
/// # Panics
/// When the two slices differ in length.
pub fn paired_difference(a: &[f64], b: &[f64]) -> Paired {
    assert_eq!(a.len(), b.len(), "a paired difference needs as many values on both sides: {} and {}", a.len(), b.len());
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let difference = Summary::of(&differences);
    Paired { difference, interval: difference.interval() }
}

/// Median; the mean of the two middle values for an even number, NaN for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// Slope of the least-squares line through `log y` against `log x`: the exponent of a power law.
///
/// NaN when fewer than two points have different positive `x`.
pub fn log_log_slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let n = logs.len() as f64;
    let (mean_x, mean_y) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let covariance: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { f64::NAN }
}

/// Rank of each number from 1, smaller ones first; those that tie share the mean of their ranks.
///
/// ```
/// assert_eq!(kiln_lab::statistics::ranks(&[0.3, -1.0, 0.3, 2.0]), [2.5, 1.0, 2.5, 4.0]);
/// ```
pub fn ranks(numbers: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let (mut ranks, mut done) = (vec![0.0; numbers.len()], 0);
    for group in order.chunk_by(|&a, &b| numbers[a] == numbers[b]) {
        for &at in group {
            ranks[at] = done as f64 + 0.5 * (group.len() as f64 + 1.0);
        }
        done += group.len();
    }
    ranks
}

/// Spearman's rank correlation, in `[-1, 1]`: the correlation of the ranks. NaN where all numbers of one side are equal.
///
/// # Panics
/// When the two slices differ in length.
pub fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "a correlation needs as many values on both sides: {} and {}", a.len(), b.len());
    let middle = (a.len() as f64 + 1.0) / 2.0;
    let [a, b] = [a, b].map(|numbers| ranks(numbers).into_iter().map(|rank| rank - middle).collect::<Vec<f64>>());
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

/// Two-sided 95 % point of Student's t with `degrees` degrees of freedom: exact to 3 decimals up to 30, and within
/// 0.001 beyond by the Cornish-Fisher expansion of the normal point.
pub fn student_t_95(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    const Z: f64 = 1.959_963_985;
    match degrees {
        0 => f64::INFINITY,
        1..=30 => TABLE[degrees - 1],
        _ => {
            let v = degrees as f64;
            let first = (Z.powi(3) + Z) / (4.0 * v);
            let second = (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / (96.0 * v * v);
            Z + first + second
        }
    }
}

/// A number as a person reads it: four significant digits, scientific only for the very large and small.
///
/// ```
/// use kiln_lab::statistics::figure;
/// assert_eq!(figure(0.123456), "0.1235");
/// assert_eq!(figure(1234.5), "1234");
/// assert_eq!(figure(1.5e-7), "1.5e-7");
/// ```
pub fn figure(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_string()
    } else if !value.is_finite() {
        value.to_string()
    } else if !(1e-4..1e7).contains(&size) {
        trim_zeros(&format!("{value:.3e}"))
    } else {
        let digits = (3 - size.log10().floor() as i32).max(0) as usize;
        trim_zeros(&format!("{value:.digits$}"))
    }
}

fn trim_zeros(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').map_or((text, ""), |(m, e)| (m, e));
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    if exponent.is_empty() { mantissa.to_string() } else { format!("{mantissa}e{exponent}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_shown_as_far_as_its_spread_reaches() {
        let shown = |mean: f64, std: f64| Summary { mean, std, n: 3 }.to_string();
        assert_eq!(shown(0.871293, 0.0008055), "0.87129 +/- 0.00081");
        assert_eq!(shown(97.7653, 1.576), "97.8 +/- 1.6");
        assert_eq!(shown(1234.5, 250.0), "1234 +/- 250");
        assert_eq!(shown(93.04, 0.0), "93.04 +/- 0");
        assert_eq!(shown(2.5, 1e-9), "2.5 +/- 1e-9");
        assert_eq!(Summary { mean: 0.25, std: 0.0, n: 1 }.to_string(), "0.25");
    }

    #[test]
    fn summary_agrees_with_hand_computed_values() {
        let summary = Summary::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(summary.mean, 5.0);
        assert!((summary.std - (32.0f64 / 7.0).sqrt()).abs() < 1e-15);
        assert!((summary.standard_error() - (32.0f64 / 7.0 / 8.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn one_value_has_no_spread_and_an_unbounded_interval() {
        let summary = Summary::of(&[3.0]);
        assert_eq!((summary.mean, summary.std), (3.0, 0.0));
        assert!(!summary.interval().above(-1e300) && !summary.interval().below(1e300));
        assert!(Summary::of(&[]).mean.is_nan());
    }

    /// The sleep data of Student (1908): extra hours of sleep by two drugs on ten patients.
    #[test]
    fn paired_interval_agrees_with_students_sleep_data() {
        let first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let paired = paired_difference(&first, &second);
        assert!((paired.difference.mean + 1.58).abs() < 1e-12);
        assert!((paired.interval.low + 2.4598858).abs() < 5e-4, "{}", paired.interval.low);
        assert!((paired.interval.high + 0.7001142).abs() < 5e-4, "{}", paired.interval.high);
        assert!(paired.interval.below(0.0));
    }

    #[test]
    fn t_points_fall_towards_the_normal_point() {
        assert!((student_t_95(40) - 2.021).abs() < 1e-3);
        assert!((student_t_95(120) - 1.980).abs() < 1e-3);
        assert!((student_t_95(1_000_000) - 1.95996).abs() < 1e-4);
        assert!((1..200).all(|degrees| student_t_95(degrees) > student_t_95(degrees + 1)));
    }

    #[test]
    fn slope_of_a_power_law_is_its_exponent() {
        let points: Vec<_> = [1.0, 10.0, 100.0].iter().map(|x: &f64| (*x, 3.0 * x.powf(0.5))).collect();
        assert!((log_log_slope(&points) - 0.5).abs() < 1e-12);
        assert!(log_log_slope(&[(1.0, 2.0)]).is_nan());
    }

    #[test]
    fn rank_correlation_is_one_of_any_growing_function() {
        assert!((rank_correlation(&[1.0, 2.0, 5.0], &[0.1, 0.2, 90.0]) - 1.0).abs() < 1e-15);
        assert!((rank_correlation(&[1.0, 2.0, 5.0], &[3.0, 2.0, -1.0]) + 1.0).abs() < 1e-15);
        // Ranks 1 2 3 4 against 2.5 1 2.5 4: 3 / sqrt(5 * 4.5).
        let tied = rank_correlation(&[1.0, 2.0, 3.0, 4.0], &[0.3, -1.0, 0.3, 2.0]);
        assert!((tied - 3.0 / 22.5_f64.sqrt()).abs() < 1e-12, "{tied}");
        assert!(rank_correlation(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn median_of_even_and_odd() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn figures_keep_four_digits() {
        assert_eq!(figure(99.949), "99.95");
        assert_eq!(figure(-0.00123456), "-0.001235");
        assert_eq!(figure(100000.0), "100000");
        assert_eq!(figure(f64::NAN), "NaN");
    }
}
