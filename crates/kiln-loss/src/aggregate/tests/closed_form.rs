use burn::tensor::{DType, Device, Int, Tensor};
use kiln_check::closeness::{assert_close, assert_near, values};

use super::{matrix, uniform};
use crate::aggregate::risk::estimate_noise;
use crate::aggregate::{AggregateError, BagLossConfig, BagRegressionConfig, BagSystem};

const ROWS: usize = 60;
const FEATURES: usize = 5;

/// Bags of 2 to 5 rows.
fn bag_of_row() -> Vec<usize> {
    let sizes = (0..).map(|bag| 2 + bag % 4);
    let mut bags: Vec<usize> = sizes.enumerate().take(20).flat_map(|(bag, size)| vec![bag; size]).collect();
    bags.truncate(ROWS);
    bags
}

fn problem() -> (Tensor<2>, Vec<usize>, Tensor<2>) {
    let bags = bag_of_row();
    let responses = uniform(bags[ROWS - 1] + 1, 2.0, 11);
    let count = responses.len();
    (matrix(&uniform(ROWS * FEATURES, 1.0, 10), [ROWS, FEATURES]), bags, matrix(&responses, [count, 1]))
}

fn fitted(rho: f64, ridge: f64) -> Vec<f64> {
    let (x, bags, y) = problem();
    let regression = BagRegressionConfig::new().with_rho(rho).with_ridge(ridge).init().unwrap();
    values(&regression.fit(x, &bags, y).unwrap())
}

#[test]
fn the_closed_form_minimises_the_loss() {
    let (x, bags, y) = problem();
    let index: Vec<i64> = bags.iter().map(|&bag| bag as i64).collect();
    let index = Tensor::<1, Int>::from_data(index.as_slice(), &Device::flex());
    for rho in [0.0, 0.1, 0.7, 1.0, 1.5] {
        let loss = BagLossConfig::new().with_rho(rho).init().unwrap();
        let mut theta = Tensor::<2>::zeros([FEATURES, 1], (&Device::flex(), DType::F64));
        for _ in 0..4000 {
            let leaf = theta.clone().autodiff().require_grad();
            let predictions = x.clone().autodiff().matmul(leaf.clone());
            let found = loss.forward(predictions, index.clone(), y.clone());
            theta = theta - leaf.grad(&found.backward()).unwrap() * 0.8;
        }
        assert_close(&values(&theta), &fitted(rho, 0.0), 1e-8);
    }
}

#[test]
fn a_path_is_the_solutions_one_by_one() {
    let (x, bags, y) = problem();
    let rhos = [0.0, 0.05, 0.3, 1.0, 1.2];
    for ridge in [0.0, 2.5] {
        let regression = BagRegressionConfig::new().with_ridge(ridge).init().unwrap();
        let path = regression.path(x.clone(), &bags, y.clone(), &rhos).unwrap();
        for (rho, found) in rhos.into_iter().zip(path) {
            assert_close(&values(&found), &fitted(rho, ridge), 1e-9);
        }
    }
}

#[test]
fn at_the_instance_level_it_is_least_squares_on_repeated_means() {
    let (x, bags, y) = problem();
    let responses = values(&y);
    let repeated: Vec<f64> = bags.iter().map(|&bag| responses[bag]).collect();
    let solution = kiln_autodiff::solve::dense::least_squares(x, matrix(&repeated, [ROWS, 1])).unwrap();
    assert_close(&fitted(1.0, 0.0), &values(&solution), 1e-10);
}

#[test]
fn of_several_solutions_the_shortest_is_taken_when_asked_for() {
    let (rows, features) = (12, 8);
    let bags: Vec<usize> = (0..rows).map(|row| row / 3).collect();
    let (x, y) = (uniform(rows * features, 1.0, 12), uniform(4, 1.0, 13));
    let problem = || (matrix(&x, [rows, features]), matrix(&y, [4, 1]));
    let regression = |rho, min_norm| BagRegressionConfig::new().with_rho(rho).with_min_norm(min_norm).init().unwrap();
    let (features_of, responses) = problem();
    let error = regression(0.0, false).fit(features_of, &bags, responses).unwrap_err();
    assert!(matches!(error, AggregateError::Singular { bags: 4, rows: 12, features: 8, .. }), "{error}");
    assert!(error.to_string().contains("take rho above 0"), "{error}");
    let (features_of, responses) = problem();
    let error = regression(0.0, false).path(features_of, &bags, responses, &[0.0, 0.5]).unwrap_err();
    assert!(matches!(error, AggregateError::Singular { .. }), "{error}");
    let (features_of, responses) = problem();
    let shortest = values(&regression(0.0, true).fit(features_of, &bags, responses).unwrap());
    // It meets every bag, and is a combination of the bags' mean features.
    let means: Vec<Vec<f64>> = (0..4)
        .map(|bag| (0..features).map(|f| (0..3).map(|i| x[(3 * bag + i) * features + f] / 3.0).sum()).collect())
        .collect();
    let predicted: Vec<f64> = means.iter().map(|mean| mean.iter().zip(&shortest).map(|(a, b)| a * b).sum()).collect();
    assert_close(&predicted, &y, 1e-9);
    let gram: Vec<f64> =
        means.iter().flat_map(|a| means.iter().map(|b| a.iter().zip(b).map(|(a, b)| a * b).sum())).collect();
    let weights = kiln_autodiff::solve::dense::solve(matrix(&gram, [4, 4]), matrix(&predicted, [4, 1])).unwrap();
    let spanned = matrix(&means.concat(), [4, features]).transpose().matmul(weights);
    assert_close(&values(&spanned), &shortest, 1e-9);
    // Where there is one solution only, it is that one.
    let (features_of, responses) = problem();
    let direct = values(&regression(0.5, false).fit(features_of, &bags, responses).unwrap());
    let (features_of, responses) = problem();
    assert_close(&values(&regression(0.5, true).fit(features_of, &bags, responses).unwrap()), &direct, 1e-9);
}

/// What `fit` and what `path` say at one share.
fn both(x: &Tensor<2>, bags: &[usize], y: &Tensor<2>, rho: f64) -> [Result<Vec<f64>, AggregateError>; 2] {
    let regression = BagRegressionConfig::new().with_rho(rho).init().unwrap();
    let path = regression.path(x.clone(), bags, y.clone(), &[rho]).map(|thetas| values(&thetas[0]));
    [regression.fit(x.clone(), bags, y.clone()).map(|theta| values(&theta)), path]
}

#[test]
fn the_units_of_the_columns_do_not_matter() {
    let (x, bags, y) = problem();
    let units = [1e9, 1e-7, 1.0, 3e-9, 2e5];
    let scaled = x.clone() * matrix(&units, [1, FEATURES]);
    for rho in [0.0, 0.1, 1.0] {
        let expected: Vec<f64> = fitted(rho, 0.0).iter().zip(units).map(|(theta, unit)| theta / unit).collect();
        for found in both(&scaled, &bags, &y, rho) {
            for (found, expected) in found.unwrap().iter().zip(&expected) {
                assert!((found / expected - 1.0).abs() < 1e-8, "{found} {expected}");
            }
        }
    }
}

#[test]
fn a_column_that_others_explain_is_refused_in_any_unit() {
    let (x, bags, y) = problem();
    let sum = x.clone().narrow(1, 0, 1) + x.clone().narrow(1, 1, 1) * 3.0;
    for unit in [1e-9, 1.0, 1e9] {
        let x = Tensor::cat(vec![x.clone(), sum.clone() * unit], 1);
        for rho in [0.0, 0.1, 1.0] {
            for found in both(&x, &bags, &y, rho) {
                assert!(matches!(found, Err(AggregateError::Singular { .. })), "unit {unit}, rho {rho}: {found:?}");
            }
        }
    }
    // What the means of the bags alone do not tell: a column that is the same in all bags.
    let within: Vec<f64> = bags.iter().enumerate().map(|(row, &bag)| within(&bags, row, bag)).collect();
    let x = Tensor::cat(vec![x, matrix(&within, [ROWS, 1])], 1);
    for found in both(&x, &bags, &y, 0.0) {
        assert!(matches!(found, Err(AggregateError::Singular { .. })), "{found:?}");
    }
    let [direct, path] = both(&x, &bags, &y, 0.1).map(Result::unwrap);
    assert_close(&path, &direct, 1e-9);
}

/// 1 and -1 in the first two rows of a bag, 0 in the others.
fn within(bags: &[usize], row: usize, bag: usize) -> f64 {
    match bags[..row].iter().filter(|&&other| other == bag).count() {
        0 => 1.0,
        1 => -1.0,
        _ => 0.0,
    }
}

#[test]
fn several_targets_are_fitted_side_by_side() {
    let (x, bags, y) = problem();
    let both = Tensor::cat(vec![y.clone(), y * -2.0], 1);
    let theta = BagRegressionConfig::new().init().unwrap().fit(x, &bags, both).unwrap();
    let [first, second] = [0, 1].map(|target| values(&theta.clone().narrow(1, target, 1)));
    assert_close(&second, &first.iter().map(|value| -2.0 * value).collect::<Vec<_>>(), 1e-12);
}

#[test]
fn noise_and_signal_are_estimated_from_the_bags() {
    // Correlated features, bags of 4, s2 = 0.5; the signal is theta' S theta over the rows.
    let (rows, features, size) = (20_000, 6, 4);
    let raw = uniform(rows * (features + 1), 3.0_f64.sqrt(), 14);
    let noise = uniform(rows, 1.5_f64.sqrt(), 15);
    let x: Vec<f64> =
        raw.chunks(features + 1).flat_map(|row| (0..features).map(|f| row[f] + 0.5 * row[features])).collect();
    let theta = [0.5, -0.25, 1.0, 0.0, 0.3, -0.6];
    let explained: Vec<f64> = x.chunks(features).map(|row| row.iter().zip(theta).map(|(a, b)| a * b).sum()).collect();
    let bags: Vec<usize> = (0..rows).map(|row| row / size).collect();
    let responses: Vec<f64> = (0..rows / size)
        .map(|bag| (0..size).map(|i| explained[bag * size + i] + noise[bag * size + i]).sum::<f64>() / size as f64)
        .collect();
    let system = BagSystem::new(matrix(&x, [rows, features]), &bags, matrix(&responses, [rows / size, 1])).unwrap();
    let found = estimate_noise(&system).unwrap();
    let signal = explained.iter().map(|value| value * value).sum::<f64>() / rows as f64;
    assert_near(found.noise, 0.5, 0.03);
    assert!((found.signal / signal - 1.0).abs() < 0.05, "{found:?} {signal}");
}

#[test]
fn bad_input_is_refused() {
    let (x, bags, y) = problem();
    let refused = |bags: &[usize], y: Tensor<2>| BagSystem::new(x.clone(), bags, y).unwrap_err().to_string();
    assert_eq!(refused(&bags[1..], y.clone()), "bags of the rows: found 59, expected 60");
    let more = Tensor::cat(vec![y.clone(), y.clone().narrow(0, 0, 1)], 0);
    assert!(refused(&bags, more).contains("has a response and no row"));
    assert!(refused(&bags, y.clone() * f64::NAN).contains("response NaN"));
    assert!(refused(&bags, y.clone().narrow(0, 0, 3)).contains("responses for the bags 0..3 only"));
    let system = BagSystem::new(x.clone(), &bags, y).unwrap();
    for (rho, ridge) in [(-0.1, 0.0), (f64::NAN, 0.0), (0.1, -1.0)] {
        assert!(matches!(system.solve(rho, ridge), Err(AggregateError::Setting { .. })));
    }
    assert!(system.solve_min_norm(1.1, 0.0).is_err());
    let few = BagSystem::new(x.narrow(0, 0, 6), &[0, 0, 1, 1, 2, 2], matrix(&[1.0, 2.0, 3.0], [3, 1])).unwrap();
    assert_eq!(estimate_noise(&few).unwrap_err(), AggregateError::TooFewBags { bags: 3, features: FEATURES });
}
