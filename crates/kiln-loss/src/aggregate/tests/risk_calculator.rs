use kiln_check::closeness::{assert_close, assert_near};

use crate::aggregate::AggregateError;
use crate::aggregate::dp::Mechanism;
use crate::aggregate::risk::{BagProblem, RhoChoice, asymptotic, optimal_bag_size, optimal_rho, plans, snr_threshold};

fn risk(psi: f64, k: f64, rho: f64, signal: f64, noise: f64) -> f64 {
    asymptotic(&BagProblem::new(psi, k, signal, noise).with_rho(rho)).unwrap().total()
}

#[test]
fn worked_values() {
    assert_near(risk(10.0, 4.0, 0.0, 1.0, 1.0), 0.666_666_67, 1e-8);
    assert_near(risk(10.0, 4.0, 1.0, 1.0, 1.0), 0.611_111_11, 1e-8);
    let instance = asymptotic(&BagProblem::new(10.0, 4.0, 1.0, 1.0).with_rho(1.0)).unwrap();
    assert_close(&[instance.bias, instance.variance], &[0.583_333_33, 0.027_777_78], 1e-8);
    assert_near(risk(10.0, 4.0, 0.2, 1.0, 1.0), 0.374_820_83, 1e-8);
    assert_near(risk(4.0, 2.0, 0.5, 2.0, 0.5), 0.560_315_03, 1e-8);
    assert_near(risk(3.0, 5.0, 0.3, 1.0, 1.0), 0.905_810_39, 1e-8);
    let ridged = BagProblem::new(3.0, 5.0, 1.0, 1.0).with_rho(0.3).with_ridge(0.2);
    assert_near(asymptotic(&ridged).unwrap().total(), 0.799_445_57, 1e-8);
}

#[test]
fn the_best_rho_of_worked_problems() {
    let best = |psi, k, signal, noise| optimal_rho(&BagProblem::new(psi, k, signal, noise)).unwrap();
    for ((psi, k, signal, noise), rho, total) in [
        ((10.0, 4.0, 1.0, 1.0), 0.135, 0.363_74),
        ((4.0, 2.0, 1.0, 1.0), 0.555, 0.480_93),
        ((6.0, 5.0, 1.0, 4.0), 1.0, f64::NAN),
    ] {
        let (found, risk) = best(psi, k, signal, noise);
        assert_near(found, rho, 1e-3);
        assert!(total.is_nan() || (risk.total() - total).abs() < 5e-6, "{}", risk.total());
    }
}

#[test]
fn special_cases() {
    for (psi, k, signal, noise) in [(9.0, 4.0, 2.0, 0.7), (20.0, 3.0, 1.0, 3.0)] {
        let bag = asymptotic(&BagProblem::new(psi, k, signal, noise)).unwrap();
        assert_close(&[bag.bias, bag.variance], &[0.0, noise / (psi / k - 1.0)], 1e-12);
        let instance = asymptotic(&BagProblem::new(psi, k, signal, noise).with_rho(1.0)).unwrap();
        let bias = (k - 1.0) / (k * k) * (k - 1.0 + 1.0 / (psi - 1.0)) * signal;
        assert_close(&[instance.bias, instance.variance], &[bias, noise / (k * (psi - 1.0))], 1e-12);
        // Just beside each end the formula goes over into it.
        assert_near(risk(psi, k, 1e-9, signal, noise), bag.total(), 1e-6);
    }
    let shortest = asymptotic(&BagProblem::new(2.0, 8.0, 1.0, 1.0)).unwrap();
    assert_close(&[shortest.bias, shortest.variance], &[0.75, 0.25 / 0.75], 1e-12);
    // It is what a vanishing ridge leaves; a vanishing share of the instance level leaves another solution.
    let ridged = BagProblem::new(2.0, 8.0, 1.0, 1.0).with_ridge(1e-9);
    assert_near(asymptotic(&ridged).unwrap().total(), shortest.total(), 1e-6);
    assert!(risk(2.0, 8.0, 1e-9, 1.0, 1.0) > shortest.total());
    assert_eq!(risk(4.0, 4.0, 0.0, 1.0, 1.0), f64::INFINITY);
    let alone = |rho| risk(5.0, 1.0, rho, 1.0, 2.0);
    assert_close(&[alone(0.2), alone(1.0)], &[0.5, 0.5], 1e-12);
    // A tiny ridge changes next to nothing, by bisection instead of the quadratic.
    let ridged = BagProblem::new(10.0, 4.0, 1.0, 1.0).with_rho(0.2).with_ridge(1e-9);
    assert_near(asymptotic(&ridged).unwrap().total(), 0.374_820_83, 1e-7);
}

#[test]
fn the_threshold_is_where_both_levels_are_equally_good() {
    for (psi, k) in [(10.0, 4.0), (6.0, 2.0), (40.0, 8.0)] {
        let threshold = snr_threshold(psi, k).unwrap();
        assert_near(risk(psi, k, 0.0, threshold, 1.0), risk(psi, k, 1.0, threshold, 1.0), 1e-10);
        assert!(risk(psi, k, 0.0, 0.9 * threshold, 1.0) > risk(psi, k, 1.0, 0.9 * threshold, 1.0));
    }
}

#[test]
fn private_bags_are_larger_the_more_privacy_is_asked_for() {
    let problem = BagProblem::new(20.0, 1.0, 1.0, 0.5);
    for (epsilon, size) in [(0.5, 8), (1.0, 4), (2.0, 2), (8.0, 1)] {
        let release = Some((Mechanism::laplace(epsilon).unwrap(), 4.0));
        let best = optimal_bag_size(&problem, &[1, 2, 4, 8, 16], RhoChoice::Optimal, release).unwrap();
        assert_eq!(best.bag_size, size, "epsilon {epsilon}: {best:?}");
        // s2 + 2 range^2 / (k eps^2)
        let noise = 0.5 + 2.0 * 16.0 / (size as f64 * epsilon * epsilon);
        assert_near(best.noise, noise, 1e-9);
    }
    let fixed = plans(&problem, &[2, 4], RhoChoice::Fixed(0.3), None).unwrap();
    assert_near(fixed[1].risk.total(), risk(20.0, 4.0, 0.3, 1.0, 0.5), 1e-12);
}

#[test]
fn impossible_problems_are_refused() {
    let refused = |problem: BagProblem, name: &str| match asymptotic(&problem).unwrap_err() {
        AggregateError::Setting { name: found, .. } => assert_eq!(found, name),
        other => panic!("{other}"),
    };
    let fine = BagProblem::new(4.0, 2.0, 1.0, 1.0);
    refused(BagProblem { rows_per_feature: 0.0, ..fine }, "rows for each feature");
    refused(BagProblem { bag_size: 0.5, ..fine }, "bag size");
    refused(BagProblem { signal: -1.0, ..fine }, "signal");
    refused(BagProblem { noise: f64::NAN, ..fine }, "noise");
    refused(BagProblem { rho: -0.1, ..fine }, "rho");
    refused(BagProblem { ridge: -0.1, ..fine }, "ridge");
    refused(BagProblem { rows_per_feature: 0.9, rho: 0.5, ..fine }, "rows for each feature");
    assert!(snr_threshold(3.0, 4.0).is_err() && snr_threshold(4.0, 1.0).is_err());
    assert!(optimal_bag_size(&fine, &[], RhoChoice::Optimal, None).is_err());
    let release = Some((Mechanism::laplace(1.0).unwrap(), 0.0));
    assert!(optimal_bag_size(&fine, &[2], RhoChoice::Optimal, release).is_err());
}
