use kiln_check::closeness::assert_near;

use crate::aggregate::AggregateError;
use crate::aggregate::dp::{Mechanism, release, release_reproducibly};

/// Mean and variance of the noise on bags of `size` equal responses.
fn noise(mechanism: Mechanism, size: usize, bags: usize, range: (f64, f64)) -> (f64, f64) {
    let middle = 0.5 * (range.0 + range.1);
    let bag_of_row: Vec<usize> = (0..bags * size).map(|row| row / size).collect();
    let responses = vec![middle; bags * size];
    let released = release_reproducibly(&responses, &bag_of_row, range, mechanism, 3).unwrap();
    let apart: Vec<f64> = released.means.iter().map(|mean| mean - middle).collect();
    let mean = apart.iter().sum::<f64>() / bags as f64;
    (mean, apart.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / bags as f64)
}

#[test]
fn laplace_noise_has_the_variance_of_the_formula() {
    for (size, epsilon) in [(1, 0.5), (4, 1.0)] {
        let (mean, variance) = noise(Mechanism::laplace(epsilon).unwrap(), size, 200_000, (-1.0, 3.0));
        let expected = 2.0 * (4.0 / (size as f64 * epsilon)).powi(2);
        assert!((variance / expected - 1.0).abs() < 0.02, "{variance} {expected}");
        assert!(mean.abs() < 4.0 * (expected / 200_000.0).sqrt(), "{mean}");
        let deviation = Mechanism::laplace(epsilon).unwrap().noise_deviation(4.0, size).unwrap();
        assert_near(deviation.powi(2), expected, 1e-12);
    }
}

#[test]
fn gaussian_noise_has_the_deviation_that_suffices() {
    let mechanism = Mechanism::gaussian(1.0, 1e-5).unwrap();
    let (mean, variance) = noise(mechanism, 2, 100_000, (0.0, 1.0));
    let expected = mechanism.noise_deviation(1.0, 2).unwrap();
    assert!((variance.sqrt() / expected - 1.0).abs() < 0.01, "{} {expected}", variance.sqrt());
    assert!(mean.abs() < 4.0 * expected / 100_000.0_f64.sqrt());
    // The classical sqrt(2 ln(1.25 / delta)) / epsilon is more than is needed.
    let classical = (2.0 * (1.25e5_f64).ln()).sqrt();
    assert!(2.0 * expected < classical && 2.0 * expected > 0.7 * classical, "{expected} {classical}");
    // Worked by an independent implementation of theorem 8 of arXiv 1805.06530.
    assert_near(2.0 * expected, 3.730_631_6, 1e-3);
}

#[test]
fn one_response_moves_the_mean_by_at_most_the_sensitivity() {
    // With one seed the noise is the same, so that the difference is that of the exact means.
    let mechanism = Mechanism::laplace(1.0).unwrap();
    let bag_of_row = [0, 0, 0, 0, 1, 1];
    let means = |first: f64| {
        release_reproducibly(&[first, 0.3, 0.5, 0.9, 0.1, 0.2], &bag_of_row, (0.0, 2.0), mechanism, 1).unwrap().means
    };
    let (low, high, beyond) = (means(0.0), means(2.0), means(1e9));
    assert_near(high[0] - low[0], 2.0 / 4.0, 1e-9);
    assert_eq!((high[1], high[0]), (low[1], beyond[0]));
}

#[test]
fn the_account_says_what_was_done() {
    let responses = [-3.0, 0.5, 0.25, 7.0, 0.5];
    let released = release(&responses, &[0, 0, 1, 1, 1], (0.0, 1.0), Mechanism::laplace(2.0).unwrap()).unwrap();
    let account = released.account;
    assert_eq!((account.bags, account.rows, account.smallest_bag), (2, 5, 2));
    assert_eq!(released.clipped, 2);
    assert_near(released.clipped_share(), 0.4, 1e-15);
    assert_near(account.largest_noise, std::f64::consts::SQRT_2 / (2.0 * 2.0), 1e-12);
    // Without noise to speak of, what is left are the means of the clipped responses.
    let barely = release(&responses, &[0, 0, 1, 1, 1], (0.0, 1.0), Mechanism::laplace(100.0).unwrap()).unwrap();
    for (found, expected) in barely.means.iter().zip([0.25, 1.75 / 3.0]) {
        assert!((found - expected).abs() < 0.2, "{found} {expected}");
    }
}

#[test]
fn an_account_does_not_depend_on_the_responses() {
    let mechanism = Mechanism::gaussian(1.0, 1e-6).unwrap();
    let account = |responses: [f64; 3]| release(&responses, &[0, 0, 1], (0.0, 1.0), mechanism).unwrap().account;
    assert_eq!(account([0.5, 0.25, 0.5]), account([-3.0, 7.0, 9.0]));
}

#[test]
fn noise_differs_from_release_to_release_and_follows_a_seed() {
    let mechanism = Mechanism::laplace(1.0).unwrap();
    let once = || release(&[0.5, 0.5], &[0, 1], (0.0, 1.0), mechanism).unwrap().means;
    assert_ne!(once(), once());
    let seeded = |seed| release_reproducibly(&[0.5, 0.5], &[0, 1], (0.0, 1.0), mechanism, seed).unwrap().means;
    assert_eq!(seeded(1), seeded(1));
    assert_ne!(seeded(1), seeded(2));
}

#[test]
fn what_cannot_be_private_is_refused() {
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-4] {
        assert!(matches!(Mechanism::laplace(epsilon), Err(AggregateError::Setting { name: "epsilon", .. })));
    }
    for delta in [0.0, 1.0, -1e-6, f64::NAN] {
        assert!(matches!(Mechanism::gaussian(1.0, delta), Err(AggregateError::Setting { name: "delta", .. })));
    }
    let mechanism = Mechanism::laplace(1.0).unwrap();
    let refused =
        |responses: &[f64], bags: &[usize], range| release(responses, bags, range, mechanism).unwrap_err().to_string();
    assert!(refused(&[0.5], &[0], (1.0, 1.0)).contains("below the upper one"));
    assert_eq!(
        refused(&[0.5], &[0], (2.0, 1.0)),
        "the range from 2.0 to 1.0: the lower end must be below the upper one"
    );
    assert!(refused(&[f64::NAN], &[0], (0.0, 1.0)).contains("response NaN"));
    assert!(refused(&[0.5, 0.5], &[0, 2], (0.0, 1.0)).contains("bag 1 of 3 has a response and no row"));
    assert!(refused(&[0.5], &[0, 0], (0.0, 1.0)).contains("found 2, expected 1"));
    assert!(refused(&[0.5], &[0], (0.0, f64::INFINITY)).contains("finite"));
    assert!(refused(&[0.5], &[0], (f64::NAN, 1.0)).contains("finite"));
    for range in [(0.0, 5e-324), (0.0, 1e-141), (-1e308, 1e308), (0.0, 1e141)] {
        assert!(refused(&[0.5], &[0], range).contains("it must be from 1e-140 to 1e140 wide"), "{range:?}");
    }
}

#[test]
fn the_smallest_and_the_largest_range_have_means_that_are_numbers() {
    for width in [1e-140, 1e140] {
        for mechanism in [Mechanism::laplace(1e-3).unwrap(), Mechanism::gaussian(1e-3, 1e-15).unwrap()] {
            let released = release(&[0.0, width, 0.5 * width], &[0, 0, 1], (0.0, width), mechanism).unwrap();
            assert!(released.means.iter().all(|mean| mean.is_finite()), "{released:?}");
            let variance = released.account.largest_noise.powi(2);
            assert!(variance.is_normal() && released.means[0] != released.means[1], "{released:?}");
        }
    }
}
