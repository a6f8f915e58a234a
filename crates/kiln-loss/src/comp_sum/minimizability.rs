//! The minimizability gap: what a limited hypothesis set costs on top of the excess risk, in plain `f64`.
//!
//! ```text
//! M_tau(H) = R_tau*(H) - E_x[ inf_h E_{y|x} l_tau(h, x, y) ]
//! ```
//! It is never negative, and zero for the set of all measurable functions.
//!
//! Source: arXiv 2304.07288, section 4.

use super::h_consistency::{check, outer};
use super::phi::NAME;
use crate::LossError;
use crate::error::require;

/// Least conditional risk over all scores, for the conditional distribution `p` of the label.
///
/// ```text
/// ((sum_y p_y^(1/(2 - tau)))^(2 - tau) - 1) / (1 - tau)         tau < 2, tau != 1
/// - sum_y p_y log p_y                                           tau = 1
/// (1 - max_y p_y) / (tau - 1)                                   tau >= 2
/// ```
///
/// # Errors
/// [`LossError::Setting`] for a tau out of range, [`LossError::Distribution`] if `p` has fewer than two entries, one that
/// is negative, or a sum that differs from 1 by more than 1e-6.
pub fn min_conditional_risk(tau: f64, p: &[f64]) -> Result<f64, LossError> {
    check_distribution(p)?;
    check(tau, p.len())?;
    if tau >= 2.0 {
        return Ok((1.0 - p.iter().fold(0.0_f64, |largest, &p| largest.max(p))) / (tau - 1.0));
    }
    let positive = || p.iter().copied().filter(|&p| p > 0.0);
    if tau == 1.0 {
        return Ok(-positive().map(|p| p * p.ln()).sum::<f64>());
    }
    let power = 1.0 / (2.0 - tau);
    let log_sum = if tau <= 1.5 {
        // sum_y p_y^power - 1 = sum_y p_y (p_y^(power - 1) - 1), because the p_y sum to 1.
        let power_less_one = (tau - 1.0) / (2.0 - tau);
        positive().map(|p| p * (power_less_one * p.ln()).exp_m1()).sum::<f64>().ln_1p()
    } else {
        let largest = p.iter().fold(0.0_f64, |largest, &p| largest.max(p)).ln();
        largest * power + positive().map(|p| ((p.ln() - largest) * power).exp()).sum::<f64>().ln()
    };
    Ok(((2.0 - tau) * log_sum).exp_m1() / (1.0 - tau))
}

/// Upper bound of the gap where labels are a function of the input and scores lie in `[-lambda, lambda]`.
///
/// ```text
/// Phi^tau(r0_star) - Phi^tau(C0)        C0 = (n - 1) exp(-2 lambda)
/// ```
/// `r0_star` is the best risk of the sum-exponential loss (tau = 0) in the hypothesis set. Non-increasing in tau.
///
/// # Errors
/// [`LossError::Setting`] for a tau or class count out of range, a `lambda` that is not positive, or an `r0_star` below
/// `C0`, which no bounded score can reach.
pub fn minimizability_gap_deterministic(
    tau: f64,
    r0_star: f64,
    lambda: f64,
    num_classes: usize,
) -> Result<f64, LossError> {
    check(tau, num_classes)?;
    require(lambda > 0.0 && lambda.is_finite(), NAME, "lambda", lambda, "a finite number larger than 0")?;
    let least = (num_classes - 1) as f64 * (-2.0 * lambda).exp();
    require(
        r0_star.is_finite() && r0_star >= least * (1.0 - 1e-9),
        NAME,
        "r0_star",
        r0_star,
        "finite and at least (num_classes - 1) exp(-2 lambda)",
    )?;
    Ok((outer(tau, r0_star) - outer(tau, least)).max(0.0))
}

/// The gap where labels are random: `R_tau*(H) - mean_x C_tau*(p(.|x))`, with estimates of `p(.|x)` that the caller has.
///
/// - `best_risk`: `R_tau*(H)`, the best risk in the hypothesis set
/// - `conditionals`: one distribution over the classes for each `x`, all equally likely
///
/// # Errors
/// As [`min_conditional_risk`], and [`LossError::Distribution`] if there is no `x` at all.
pub fn minimizability_gap_stochastic<P: AsRef<[f64]>>(
    tau: f64,
    best_risk: f64,
    conditionals: &[P],
) -> Result<f64, LossError> {
    require(best_risk.is_finite(), NAME, "best_risk", best_risk, "finite")?;
    if conditionals.is_empty() {
        return Err(LossError::Distribution { what: "p(y|x)", reason: "no distribution was given".into() });
    }
    let mut total = 0.0;
    for p in conditionals {
        total += min_conditional_risk(tau, p.as_ref())?;
    }
    Ok((best_risk - total / conditionals.len() as f64).max(0.0))
}

fn check_distribution(p: &[f64]) -> Result<(), LossError> {
    let refuse = |reason: String| Err(LossError::Distribution { what: "p(y|x)", reason });
    if p.len() < 2 {
        return refuse(format!("it has {} entries, at least 2 are needed", p.len()));
    }
    if let Some((class, value)) = p.iter().enumerate().find(|(_, value)| !(**value >= 0.0 && value.is_finite())) {
        return refuse(format!("the probability of class {class} is {value}"));
    }
    let sum: f64 = p.iter().sum();
    if (sum - 1.0).abs() > 1e-6 {
        return refuse(format!("it sums to {sum}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_check::{assert_close, assert_near};

    const TAUS: [f64; 6] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0];

    #[test]
    fn conditional_risk_has_the_worked_values() {
        let found: Vec<f64> = TAUS.iter().map(|&tau| min_conditional_risk(tau, &[0.5, 0.3, 0.2]).unwrap()).collect();
        assert_close(&found, &[1.8969501498, 1.3845944546, 1.0296530141, 0.7671171994, 0.5, 0.25], 1e-9);
    }

    #[test]
    fn deterministic_gap_has_the_worked_values() {
        let gap = |tau| minimizability_gap_deterministic(tau, 2.0, 1.0, 10).unwrap();
        let found: Vec<f64> = TAUS.iter().map(|&tau| gap(tau)).collect();
        let expected = [0.7819824509, 0.4854995611, 0.3019984876, 0.1882113134, 0.1175197270, 0.0460786855];
        assert_close(&found, &expected, 1e-9);
        assert!(found.windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn conditional_risk_equals_numerical_minimisation() {
        let p = [0.55, 0.3, 0.15];
        for tau in [0.0, 0.4, 1.0, 1.4, 1.7, 2.0, 2.5, 3.0] {
            let risk = |s: &[f64; 3]| -> f64 {
                let log_sum = s.iter().map(|s| s.exp()).sum::<f64>().ln();
                (0..3).map(|y| p[y] * outer(tau, (log_sum - s[y]).exp_m1())).sum()
            };
            let mut scores = [0.0; 3];
            let mut step = 1.0;
            while step > 1e-7 {
                let mut moved = false;
                for class in 0..3 {
                    for sign in [-1.0, 1.0] {
                        let mut trial = scores;
                        trial[class] += sign * step;
                        if risk(&trial) < risk(&scores) {
                            (scores, moved) = (trial, true);
                        }
                    }
                }
                if !moved {
                    step *= 0.5;
                }
            }
            assert_near(risk(&scores), min_conditional_risk(tau, &p).unwrap(), 1e-9);
        }
    }

    #[test]
    fn conditional_risk_is_continuous_in_tau() {
        for p in [vec![0.5, 0.3, 0.2], vec![0.9, 0.1, 0.0], vec![0.25; 4]] {
            for centre in [1.0, 1.5, 2.0] {
                let at = |tau| min_conditional_risk(tau, &p).unwrap();
                assert_near(at(centre - 1e-7), at(centre), 1e-6);
                assert_near(at(centre + 1e-7), at(centre), 1e-6);
            }
        }
    }

    #[test]
    fn conditional_risk_does_not_cancel_beside_the_logistic_loss() {
        for p in [vec![0.5, 0.3, 0.2], vec![0.9, 0.1, 0.0], vec![0.25; 4]] {
            let middle = min_conditional_risk(1.0, &p).unwrap();
            for tau in [1.0 - 1e-12, 1.0 + 1e-12, 1.0 - 1e-9, 1.0 + 1e-9] {
                let found = min_conditional_risk(tau, &p).unwrap();
                assert_near(found / middle, 1.0, 10.0 * (tau - 1.0).abs() + 1e-13);
            }
        }
    }

    #[test]
    fn a_certain_label_costs_nothing() {
        for tau in TAUS {
            assert_near(min_conditional_risk(tau, &[0.0, 1.0, 0.0]).unwrap(), 0.0, 1e-12);
        }
    }

    #[test]
    fn stochastic_gap_is_the_mean_difference() {
        let conditionals = [[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]];
        let gap = minimizability_gap_stochastic(1.0, 0.9, &conditionals).unwrap();
        assert_near(gap, 0.9 - 1.0296530141 / 2.0, 1e-9);
    }

    #[test]
    fn refuses_what_is_not_a_distribution() {
        for bad in [vec![0.5, 0.6], vec![-0.1, 1.1], vec![1.0], vec![f64::NAN, 1.0], vec![]] {
            let error = min_conditional_risk(1.0, &bad).unwrap_err();
            assert!(matches!(error, LossError::Distribution { .. }), "{bad:?}: {error}");
        }
        assert!(min_conditional_risk(-1.0, &[0.5, 0.5]).is_err());
        assert!(minimizability_gap_stochastic::<[f64; 2]>(1.0, 1.0, &[]).is_err());
        assert!(minimizability_gap_deterministic(1.0, 2.0, 0.0, 10).is_err());
        assert!(minimizability_gap_deterministic(1.0, 0.1, 1.0, 10).is_err());
        assert!(minimizability_gap_deterministic(1.0, f64::NAN, 1.0, 10).is_err());
        assert!(minimizability_gap_deterministic(1.0, 2.0, 1.0, 1).is_err());
    }
}
