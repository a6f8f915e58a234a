//! What to expect of a linear model that learns from bags, without training one.
//!
//! ```text
//! x ~ N(0, I_d)    y = <x, theta> + noise of variance s2    r2 = |theta|^2    psi = n / d    d1 = psi / k    d2 = psi - d1
//! tau > 0 with   d1 tau / (1 + tau) + d2 rho tau / (1 + rho tau) + lambda tau = 1
//! kappa = d2 rho tau / (1 + rho tau) + lambda tau    p1 = d1 (tau / (1 + tau))^2    p2 = d2 (rho tau / (1 + rho tau))^2
//! E |theta_hat - theta|^2 = kappa^2 r2 + (p1 (kappa^2 r2 + s2) + p2 (1 - kappa)^2 r2) / (1 - p1 - p2)
//! ```
//! as `n` and `d` grow at one ratio. The mean squared error of a prediction is that plus `s2`.
//!
//! Source: our own derivation, which agrees with the corollaries of arXiv 2401.11081, section 3, and with simulation.

use burn::config::Config;

use super::dp::Mechanism;
use super::error::require;
use super::{AggregateError, BagSystem};

/// A linear model that is to learn from bags.
#[derive(Config, Debug, Copy)]
pub struct BagProblem {
    /// `psi`, rows for each feature, above 0.
    pub rows_per_feature: f64,
    /// `k`, rows of a bag, at least 1.
    pub bag_size: f64,
    /// `r2`, variance of the responses that the features explain, above 0.
    pub signal: f64,
    /// `s2`, variance of the rest, not negative.
    pub noise: f64,
    /// Share of the instance-level loss, at least 0.
    #[config(default = 0.0)]
    pub rho: f64,
    /// `lambda`: the ridge of [`BagRegressionConfig`](super::BagRegressionConfig) over the number of features, at least 0.
    #[config(default = 0.0)]
    pub ridge: f64,
}

/// `E |theta_hat - theta|^2`, in two parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Risk {
    /// What stays without any noise.
    pub bias: f64,
    /// What the noise adds.
    pub variance: f64,
}

impl Risk {
    /// Both parts together.
    pub fn total(&self) -> f64 {
        self.bias + self.variance
    }
}

/// The risk of a problem for many rows and features. At `rho = 0` with fewer bags than features it is that of the solution of
/// least norm; with as many bags as features it is infinite.
///
/// # Errors
/// [`AggregateError::Setting`] for a value out of range; with `rho` above 0 and no ridge there have to be more rows than
/// features.
pub fn asymptotic(problem: &BagProblem) -> Result<Risk, AggregateError> {
    let BagProblem { rows_per_feature: psi, bag_size, signal, noise, rho, ridge } = check(problem)?;
    let bags = psi / bag_size;
    let inner = psi - bags;
    if rho == 0.0 && ridge == 0.0 && bags <= 1.0 {
        let variance = if bags < 1.0 { noise * bags / (1.0 - bags) } else { f64::INFINITY };
        return Ok(Risk { bias: signal * (1.0 - bags), variance });
    }
    require(rho == 0.0 || ridge > 0.0 || psi > 1.0, "rows for each feature", psi, "above 1, or a ridge is needed")?;
    let tau = fixed_point(bags, inner, rho, ridge);
    let (outer_share, inner_share) = (tau / (1.0 + tau), rho * tau / (1.0 + rho * tau));
    let kappa = inner * inner_share + ridge * tau;
    let (p1, p2) = (bags * outer_share.powi(2), inner * inner_share.powi(2));
    let rest = 1.0 - p1 - p2;
    let missed = kappa.powi(2) * signal;
    Ok(Risk { bias: missed + (p1 * missed + p2 * (1.0 - kappa).powi(2) * signal) / rest, variance: p1 * noise / rest })
}

/// The `rho` in `[0, 1]` with the least risk, and that risk.
///
/// # Errors
/// As [`asymptotic`].
pub fn optimal_rho(problem: &BagProblem) -> Result<(f64, Risk), AggregateError> {
    const SCAN: usize = 100;
    const STEPS: usize = 60;
    let at = |rho: f64| asymptotic(&BagProblem { rho, ..*problem });
    let scanned = (0..=SCAN).map(|step| step as f64 / SCAN as f64);
    let mut best = (0.0, at(0.0)?);
    for rho in scanned {
        let risk = at(rho)?;
        if risk.total() < best.1.total() {
            best = (rho, risk);
        }
    }
    // Golden section between the neighbours of the best point of the scan.
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let step = 1.0 / SCAN as f64;
    let (mut low, mut high) = ((best.0 - step).max(0.0), (best.0 + step).min(1.0));
    for _ in 0..STEPS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if at(left)?.total() < at(right)?.total() { high = right } else { low = left }
    }
    let middle = 0.5 * (low + high);
    let risk = at(middle)?;
    Ok(if risk.total() < best.1.total() { (middle, risk) } else { best })
}

/// Signal over noise `r2 / s2` below which copying the mean of a bag to its rows is better than fitting the means alone.
///
/// # Errors
/// [`AggregateError::Setting`] where there are not more bags than features, or bags of a single row.
pub fn snr_threshold(rows_per_feature: f64, bag_size: f64) -> Result<f64, AggregateError> {
    let (psi, k) = (rows_per_feature, bag_size);
    require(k > 1.0, "bag size", k, "above 1")?;
    require(psi > k && psi.is_finite(), "rows for each feature", psi, "above the bag size")?;
    let variance_saved = 1.0 / (psi / k - 1.0) - 1.0 / (k * (psi - 1.0));
    let bias_added = (k - 1.0) / k.powi(2) * (k - 1.0 + 1.0 / (psi - 1.0));
    Ok(variance_saved / bias_added)
}

/// How `rho` is set for each bag size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RhoChoice {
    /// The same for all.
    Fixed(f64),
    /// The best one of each.
    Optimal,
}

/// What a bag size is good for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BagPlan {
    /// `k`
    pub bag_size: usize,
    /// Share of the instance-level loss.
    pub rho: f64,
    /// Noise of a single response, with that of the release: `s2 + k v`, where `v` is the variance added to a bag's mean.
    pub noise: f64,
    /// Risk with that noise.
    pub risk: Risk,
}

/// A plan for each bag size, where the responses of a bag are released by `mechanism` with values in a range of so wide;
/// without one nothing is added to the means. `problem` says rows, signal and noise; its bag size and `rho` do not matter.
///
/// Noise on the mean of `k` rows counts `k` times as noise of a row. Values that are clipped to the range are not in the
/// formula.
///
/// # Errors
/// As [`asymptotic`], and [`AggregateError::Setting`] for a range that is not above 0.
pub fn plans(
    problem: &BagProblem,
    bag_sizes: &[usize],
    rho: RhoChoice,
    release: Option<(Mechanism, f64)>,
) -> Result<Vec<BagPlan>, AggregateError> {
    let plan = |&bag_size: &usize| {
        let added = match release {
            Some((mechanism, range)) => mechanism.noise_deviation(range, bag_size)?.powi(2),
            None => 0.0,
        };
        let noise = problem.noise + bag_size as f64 * added;
        let problem = BagProblem { bag_size: bag_size as f64, noise, ..*problem };
        let (rho, risk) = match rho {
            RhoChoice::Fixed(rho) => (rho, asymptotic(&BagProblem { rho, ..problem })?),
            RhoChoice::Optimal => optimal_rho(&problem)?,
        };
        Ok(BagPlan { bag_size, rho, noise, risk })
    };
    bag_sizes.iter().map(plan).collect()
}

/// The bag size among `bag_sizes` with the least risk, the smallest of equals; see [`plans`].
///
/// # Errors
/// As [`plans`], and [`AggregateError::Setting`] where there is no bag size.
pub fn optimal_bag_size(
    problem: &BagProblem,
    bag_sizes: &[usize],
    rho: RhoChoice,
    release: Option<(Mechanism, f64)>,
) -> Result<BagPlan, AggregateError> {
    let plans = plans(problem, bag_sizes, rho, release)?;
    let best = plans.into_iter().reduce(|best, plan| if plan.risk.total() < best.risk.total() { plan } else { best });
    best.ok_or(AggregateError::Setting { name: "number of bag sizes", value: 0.0, expected: "at least 1" })
}

/// Noise and signal of a linear model, as bags show them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseEstimate {
    /// `s2`, the variance of a single response around the model.
    pub noise: f64,
    /// `r2`, the variance of the model's predictions; not below 0.
    pub signal: f64,
}

/// Noise and signal from a pilot fit at the bag level.
///
/// ```text
/// s2 = sum_a k_a (yb_a - <xb_a, theta_bag>)^2 / (m - d)        r2 = theta_bag' S theta_bag - s2 trace(S (Xb' K Xb)^-1)
/// ```
/// with the covariance `S = X'X/n` of the features, so that these need not be independent: the calculator's problem is that of
/// the whitened features. A mean over the targets where there are several.
///
/// # Errors
/// [`AggregateError::TooFewBags`] where there are not more bags than features, [`AggregateError::Singular`] where the features of
/// the bags are linearly dependent.
pub fn estimate_noise(system: &BagSystem) -> Result<NoiseEstimate, AggregateError> {
    let [_, bags, features] = system.sizes();
    if bags <= features {
        return Err(AggregateError::TooFewBags { bags, features });
    }
    let (coefficients, carried) = system.pilot()?;
    let targets = coefficients.ncols() as f64;
    let noise = system.bag_residual(coefficients.as_ref()) / ((bags - features) as f64 * targets);
    let explained = coefficients.transpose() * (system.covariance() * &coefficients);
    let explained = (0..explained.nrows()).map(|at| explained[(at, at)]).sum::<f64>() / targets;
    Ok(NoiseEstimate { noise, signal: (explained - noise * carried).max(0.0) })
}

fn check(problem: &BagProblem) -> Result<BagProblem, AggregateError> {
    let positive = |value: f64| value > 0.0 && value.is_finite();
    let not_negative = |value: f64| value >= 0.0 && value.is_finite();
    let BagProblem { rows_per_feature, bag_size, signal, noise, rho, ridge } = *problem;
    require(positive(rows_per_feature), "rows for each feature", rows_per_feature, "above 0 and finite")?;
    require(bag_size >= 1.0 && bag_size.is_finite(), "bag size", bag_size, "at least 1")?;
    require(positive(signal), "signal", signal, "above 0 and finite")?;
    require(not_negative(noise), "noise", noise, "at least 0 and finite")?;
    require(not_negative(rho), "rho", rho, "at least 0, usually at most 1")?;
    require(not_negative(ridge), "ridge", ridge, "at least 0 and finite")?;
    Ok(*problem)
}

/// The `tau` at which the rising left-hand side is 1.
fn fixed_point(bags: f64, inner: f64, rho: f64, ridge: f64) -> f64 {
    if ridge == 0.0 {
        // rho (d1 + d2 - 1) tau^2 + (d1 + rho d2 - 1 - rho) tau - 1 = 0
        let (square, linear) = (rho * (bags + inner - 1.0), bags + rho * inner - 1.0 - rho);
        let root = (linear.powi(2) + 4.0 * square).sqrt();
        // Of the two forms of the root the one in which nothing cancels.
        return if linear > 0.0 { 2.0 / (linear + root) } else { (root - linear) / (2.0 * square) };
    }
    let side = |tau: f64| bags * tau / (1.0 + tau) + inner * rho * tau / (1.0 + rho * tau) + ridge * tau;
    let (mut low, mut high) = (0.0, 1.0 / ridge);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if side(middle) < 1.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}
