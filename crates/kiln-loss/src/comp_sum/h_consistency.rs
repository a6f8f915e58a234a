//! What a small comp-sum loss guarantees about the error rate: H-consistency bounds, in plain `f64`.
//!
//! For every hypothesis `h` of a symmetric and complete set `H` and every distribution,
//!
//! ```text
//! R01(h) - R01*(H) <= Gamma_tau( R_tau(h) - R_tau*(H) + M_tau(H) )        Gamma_tau = T_tau^(-1)
//! ```
//! where `R01` is the error rate, `R_tau` the risk of the loss and `M_tau` the minimizability gap
//! ([`super::minimizability`]). A star marks the best value in `H`. The bound is tight.
//!
//! Source: arXiv 2304.07288, theorem 3.1 and section 3.

use super::phi::NAME;
use crate::LossError;
use crate::error::require;

/// Bound on the excess error rate `R01(h) - R01*(H)`, from risks of the comp-sum loss.
///
/// ```text
/// Gamma_tau( max(0, risk - best_risk + gap) )
/// ```
/// - `risk`: `R_tau(h)`, mean loss of the model
/// - `best_risk`: `R_tau*(H)`, the best that the hypothesis set can reach
/// - `gap`: the minimizability gap `M_tau(H)`, 0 for all measurable functions
///
/// # Errors
/// [`LossError::Setting`] for a risk, gap, tau or class count outside its range.
pub fn estimate_bound(risk: f64, best_risk: f64, gap: f64, tau: f64, num_classes: usize) -> Result<f64, LossError> {
    require(risk.is_finite(), NAME, "risk", risk, "finite")?;
    require(best_risk.is_finite(), NAME, "best_risk", best_risk, "finite")?;
    require(gap >= 0.0 && gap.is_finite(), NAME, "gap", gap, "finite and not negative")?;
    gamma(tau, (risk - best_risk + gap).max(0.0), num_classes)
}

/// `Gamma_tau(t)`: the exact inverse of [`transform`] in beta, by bisection; 1 where `t` exceeds `T_tau(1)`.
///
/// # Errors
/// [`LossError::Setting`] unless `tau >= 0`, `t >= 0` and `num_classes >= 2`.
pub fn gamma(tau: f64, t: f64, num_classes: usize) -> Result<f64, LossError> {
    require(t >= 0.0, NAME, "t", t, "not negative")?;
    let (mut low, mut high) = (0.0, 1.0);
    if t == 0.0 {
        check(tau, num_classes)?;
        return Ok(0.0);
    }
    if transform(tau, 1.0, num_classes)? <= t {
        return Ok(1.0);
    }
    while high - low > 1e-13 {
        let middle = 0.5 * (low + high);
        if transform(tau, middle, num_classes)? < t {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(0.5 * (low + high))
}

/// Explicit upper bound of [`gamma`].
///
/// ```text
/// sqrt(2^tau (2 - tau) t)         0 <= tau < 1
/// sqrt(2 n^(tau - 1) t)           1 <= tau < 2
/// (tau - 1) n^(tau - 1) t         tau >= 2
/// ```
///
/// # Errors
/// [`LossError::Setting`] unless `tau >= 0`, `t >= 0` and `num_classes >= 2`.
pub fn gamma_bound(tau: f64, t: f64, num_classes: usize) -> Result<f64, LossError> {
    check(tau, num_classes)?;
    require(t >= 0.0, NAME, "t", t, "not negative")?;
    let classes = num_classes as f64;
    Ok(if tau < 1.0 {
        (tau.exp2() * (2.0 - tau) * t).sqrt()
    } else if tau < 2.0 {
        (2.0 * classes.powf(tau - 1.0) * t).sqrt()
    } else {
        (tau - 1.0) * classes.powf(tau - 1.0) * t
    })
}

/// `T_tau(beta)`: the least excess of the loss that goes with an excess error rate of `beta`.
///
/// ```text
/// A = ((1 + beta)^(1/(2 - tau)) + (1 - beta)^(1/(2 - tau))) / 2
/// 2^(1 - tau) / (1 - tau) (1 - A^(2 - tau))                                        0 <= tau < 1
/// (1 + beta)/2 log(1 + beta) + (1 - beta)/2 log(1 - beta)                          tau = 1
/// (A^(2 - tau) - 1) / ((tau - 1) n^(tau - 1))                                      1 < tau < 2
/// beta / ((tau - 1) n^(tau - 1))                                                   tau >= 2
/// ```
/// Increasing in beta, continuous in tau.
///
/// # Errors
/// [`LossError::Setting`] unless `tau >= 0`, `beta` is in `[0, 1]` and `num_classes >= 2`.
pub fn transform(tau: f64, beta: f64, num_classes: usize) -> Result<f64, LossError> {
    check(tau, num_classes)?;
    require((0.0..=1.0).contains(&beta), NAME, "beta", beta, "in [0, 1]")?;
    let scale = (num_classes as f64).powf(tau - 1.0);
    Ok(if tau >= 2.0 {
        beta / ((tau - 1.0) * scale)
    } else if tau == 1.0 {
        let entropy = |x: f64| if x == -1.0 { 0.0 } else { 0.5 * (1.0 + x) * x.ln_1p() };
        entropy(beta) + entropy(-beta)
    } else {
        let excess = log_mean_power(tau, beta).exp_m1();
        if tau < 1.0 { -(1.0 - tau).exp2() / (1.0 - tau) * excess } else { excess / ((tau - 1.0) * scale) }
    })
}

/// `log A^(2 - tau)` for the `A` of [`transform`].
fn log_mean_power(tau: f64, beta: f64) -> f64 {
    let power = 1.0 / (2.0 - tau);
    let power_less_one = (tau - 1.0) / (2.0 - tau);
    if tau <= 1.5 {
        // A - 1 = sum_i w_i ((1 +- beta)^(power - 1) - 1) with weights w_i = (1 +- beta)/2 that sum to 1.
        let part = |signed: f64| {
            let weight = 0.5 * (1.0 + signed);
            if weight == 0.0 { 0.0 } else { weight * (power_less_one * signed.ln_1p()).exp_m1() }
        };
        (2.0 - tau) * (part(beta) + part(-beta)).ln_1p()
    } else {
        let (high, low) = (beta.ln_1p() * power, (-beta).ln_1p() * power);
        (2.0 - tau) * (high + (low - high).exp().ln_1p() - std::f64::consts::LN_2)
    }
}

/// Bound on the excess adversarial error rate from the excess risk of the smooth adversarial comp-sum loss:
/// `excess / Phi^tau(1)`.
///
/// `excess` is `R(h) - R*(H) + M(H)` for the smooth loss. The constant belongs to a term whose rho-margin equals 1.
///
/// # Errors
/// [`LossError::Setting`] unless `tau >= 0` and `excess >= 0`.
pub fn adversarial_bound(tau: f64, excess: f64) -> Result<f64, LossError> {
    check(tau, 2)?;
    require(excess >= 0.0, NAME, "excess", excess, "not negative")?;
    Ok(excess / outer(tau, 1.0))
}

/// `Phi^tau(u) = ((1 + u)^(1 - tau) - 1) / (1 - tau)`, `log(1 + u)` at tau = 1.
pub(super) fn outer(tau: f64, u: f64) -> f64 {
    let power = 1.0 - tau;
    if power == 0.0 { u.ln_1p() } else { (power * u.ln_1p()).exp_m1() / power }
}

/// That tau and the number of classes are in range.
pub(super) fn check(tau: f64, num_classes: usize) -> Result<(), LossError> {
    require(tau >= 0.0 && tau.is_finite(), NAME, "tau", tau, "a finite number that is not negative")?;
    require(num_classes >= 2, NAME, "num_classes", num_classes as f64, "at least 2")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_check::{assert_close, assert_near};

    const TAUS: [f64; 6] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0];

    #[test]
    fn transform_has_the_worked_values() {
        let found: Vec<f64> = TAUS.iter().map(|&tau| transform(tau, 0.5, 10).unwrap()).collect();
        let expected = [0.1339745962, 0.1256277610, 0.1308120359, 0.0746512491, 0.05, 0.0025];
        assert_close(&found, &expected, 1e-9);
    }

    #[test]
    fn gamma_inverts_the_transform() {
        for tau in [0.0, 0.3, 0.7, 0.999999, 1.0, 1.000001, 1.3, 1.5, 1.50001, 1.9, 1.999, 2.0, 2.5, 3.0] {
            for step in 1..=20 {
                let beta = step as f64 / 20.0;
                let t = transform(tau, beta, 7).unwrap();
                assert_near(gamma(tau, t, 7).unwrap(), beta, 1e-9);
            }
        }
    }

    #[test]
    fn transform_increases_and_starts_at_zero() {
        for tau in [0.0, 0.5, 0.9999, 1.0, 1.0001, 1.5, 1.99, 2.0, 4.0] {
            let values: Vec<f64> = (0..=100).map(|i| transform(tau, i as f64 / 100.0, 5).unwrap()).collect();
            assert_eq!(values[0], 0.0, "tau {tau}");
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "tau {tau}: {values:?}");
        }
    }

    #[test]
    fn gamma_stays_below_its_explicit_bound() {
        for tau in [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0] {
            for n in [2, 10, 100] {
                for t in [1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.3, 0.7, 1.0, 3.0] {
                    let (exact, bound) = (gamma(tau, t, n).unwrap(), gamma_bound(tau, t, n).unwrap());
                    assert!(exact <= bound + 1e-9, "tau {tau}, n {n}, t {t}: {exact} > {bound}");
                }
            }
        }
    }

    #[test]
    fn transform_is_continuous_in_tau() {
        for (centre, n) in [(1.0, 2), (1.0, 50), (1.5, 10), (2.0, 10)] {
            for beta in [0.1, 0.5, 0.9, 1.0] {
                let at = |tau| transform(tau, beta, n).unwrap();
                assert_near(at(centre - 1e-7), at(centre), 1e-6);
                assert_near(at(centre + 1e-7), at(centre), 1e-6);
            }
        }
    }

    #[test]
    fn transform_does_not_cancel_beside_the_logistic_loss() {
        for beta in [0.1, 0.5, 0.9, 1.0] {
            for n in [2, 50] {
                let middle = transform(1.0, beta, n).unwrap();
                for tau in [1.0 - 1e-12, 1.0 + 1e-12, 1.0 - 1e-9, 1.0 + 1e-9] {
                    let found = transform(tau, beta, n).unwrap();
                    assert_near(found / middle, 1.0, 10.0 * (tau - 1.0).abs() + 1e-13);
                }
            }
        }
    }

    #[test]
    fn the_bound_pays_for_the_gap() {
        let without = estimate_bound(0.5, 0.3, 0.0, 1.0, 10).unwrap();
        let with = estimate_bound(0.5, 0.3, 0.2, 1.0, 10).unwrap();
        assert!(with > without);
        assert_near(transform(1.0, with, 10).unwrap(), 0.4, 1e-9);
        assert_eq!(estimate_bound(0.2, 0.3, 0.0, 1.0, 10).unwrap(), 0.0);
        assert_near(adversarial_bound(1.0, 0.5).unwrap(), 0.5 / 2.0_f64.ln(), 1e-12);
    }

    #[test]
    fn refuses_what_is_out_of_range() {
        assert!(transform(-0.1, 0.5, 10).is_err());
        assert!(transform(f64::NAN, 0.5, 10).is_err());
        assert!(transform(1.0, 1.1, 10).is_err());
        assert!(transform(1.0, f64::NAN, 10).is_err());
        assert!(transform(1.0, 0.5, 1).is_err());
        assert!(gamma(1.0, -1e-9, 10).is_err());
        assert!(gamma(-1.0, 0.0, 10).is_err());
        assert!(gamma(1.0, f64::NAN, 10).is_err());
        assert!(gamma_bound(1.0, -1.0, 10).is_err());
        assert!(estimate_bound(1.0, 0.5, -0.1, 1.0, 10).is_err());
        assert!(estimate_bound(f64::NAN, 0.5, 0.0, 1.0, 10).is_err());
        let message = transform(1.0, 1.5, 10).unwrap_err().to_string();
        assert_eq!(message, "comp-sum: beta = 1.5 is out of range, it must be in [0, 1]");
    }
}
