//! Rows in vectors beside operations in double precision.

use burn::tensor::{DType, Device, Int, Tensor};
use kiln_check::closeness::values;

use super::{matrix, uniform};
use crate::aggregate::{BagLossConfig, BagLossKind};

/// Proportions of each bag, some of them zero.
fn proportions(bags: usize, classes: usize) -> Vec<f64> {
    let raw = uniform(bags * classes, 1.0, 21);
    let share = |row: &[f64]| {
        let total: f64 = row.iter().map(|value| value.max(0.0)).sum();
        // Where no class is left it is the first.
        let of = |(at, value): (usize, &f64)| if total > 0.0 { value.max(0.0) / total } else { f64::from(at == 0) };
        row.iter().enumerate().map(of).collect::<Vec<f64>>()
    };
    raw.chunks(classes).flat_map(share).collect()
}

/// Loss and gradient in one precision.
fn found(rho: f64, logits: &[f64], bag_of_row: &[i64], responses: &[f64], dtype: DType) -> (f64, Vec<f64>) {
    let (rows, device) = (bag_of_row.len(), Device::flex().autodiff());
    let classes = logits.len() / rows;
    let loss = BagLossConfig::new().with_kind(BagLossKind::CrossEntropy).with_rho(rho).init().unwrap();
    let x = matrix(logits, [rows, classes]).cast(dtype).autodiff().require_grad();
    let y = matrix(responses, [responses.len() / classes, classes]).cast(dtype).autodiff();
    let value = loss.forward(x.clone(), Tensor::<1, Int>::from_data(bag_of_row, &device), y);
    // Another factor than one, as of a loss in a sum.
    let gradient = x.grad(&(value.clone() * 3.0).backward()).unwrap();
    (values(&value)[0], values(&gradient))
}

#[track_caller]
fn agrees(rho: f64, logits: &[f64], bag_of_row: &[i64], responses: &[f64]) {
    let (single, slopes) = found(rho, logits, bag_of_row, responses, DType::F32);
    let (double, exact) = found(rho, logits, bag_of_row, responses, DType::F64);
    assert!((single - double).abs() <= 2e-6 * (1.0 + double.abs()), "rho {rho}: {single} instead of {double}");
    let largest = exact.iter().map(|slope| slope.abs()).fold(0.0, f64::max);
    let most = 2e-6 * (largest + 1.0 / bag_of_row.len() as f64);
    for (at, (slope, exact)) in slopes.iter().zip(&exact).enumerate() {
        assert!((slope - exact).abs() <= most, "rho {rho}, {at}: {slope} instead of {exact}");
    }
}

/// `rows` rows in bags of 1, 2, 3, ... rows.
fn rising(rows: usize) -> Vec<i64> {
    (0..).flat_map(|bag| std::iter::repeat_n(bag, bag as usize + 1)).take(rows).collect()
}

#[test]
fn bags_of_any_size_and_order_agree_with_double_precision() {
    for [rows, classes] in [[7, 1], [3, 2], [40, 3], [40, 10], [9, 31], [5, 32], [11, 33], [70, 100], [900, 40]] {
        let sorted = rising(rows);
        let bags = sorted[rows - 1] + 1;
        let turned: Vec<i64> = sorted.iter().enumerate().map(|(row, _)| sorted[row * 7919 % rows]).collect();
        let (logits, responses) = (uniform(rows * classes, 6.0, 20), proportions(bags as usize, classes));
        for rho in [0.0, 0.2, 1.0, 1.4] {
            agrees(rho, &logits, &sorted, &responses);
            agrees(rho, &logits, &turned, &responses);
        }
    }
}

#[test]
fn a_bag_of_equal_size_needs_no_index_here_either() {
    let (logits, responses) = (uniform(6 * 4, 3.0, 22), proportions(3, 4));
    let loss = BagLossConfig::new().with_kind(BagLossKind::CrossEntropy).with_rho(0.3).init().unwrap();
    let single = |values: &[f64], shape| matrix(values, shape).cast(DType::F32);
    let found = loss.forward_uniform(single(&logits, [6, 4]).reshape([3, 2, 4]), single(&responses, [3, 4]));
    let index = Tensor::<1, Int>::from_ints([0, 0, 1, 1, 2, 2], &Device::flex());
    let expected = loss.forward(single(&logits, [6, 4]), index, single(&responses, [3, 4]));
    assert_eq!(values(&found), values(&expected));
}

#[test]
fn classes_that_single_precision_loses_are_worked_out_by_logarithms() {
    // The first class has a probability of exp(-80), exp(-100), ... in all rows of the first bag.
    for distance in [60.0, 80.0, 100.0, 150.0, 400.0] {
        let logits = [0.0, distance, 1.0, 0.0, distance + 2.0, 3.0, 0.5, 0.0, -0.5, 2.0, 0.0, 1.0];
        let responses = [0.25, 0.5, 0.25, 0.5, 0.5, 0.0];
        for rho in [0.0, 0.3, 1.0] {
            agrees(rho, &logits, &[0, 0, 1, 1], &responses);
            agrees(rho, &logits, &[1, 0, 0, 1], &responses);
        }
    }
}

#[test]
fn a_class_that_is_masked_out_and_not_asked_for_has_no_gradient() {
    let masked = [0.3, 1.0, f64::NEG_INFINITY, -0.4, 0.2, f64::NEG_INFINITY];
    let (loss, slopes) = found(0.2, &masked, &[0, 0], &[0.75, 0.25, 0.0], DType::F32);
    let (expected, exact) = found(0.2, &[0.3, 1.0, -0.4, 0.2], &[0, 0], &[0.75, 0.25], DType::F64);
    assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
    let kept = [0, 1, 3, 4].map(|at| slopes[at]);
    assert!(kept.iter().zip(exact).all(|(slope, exact)| (slope - exact).abs() < 1e-6), "{slopes:?}");
    assert_eq!((slopes[2], slopes[5]), (0.0, 0.0));
    let (loss, _) = found(0.2, &[f64::NAN, 1.0, 0.0, 0.0], &[0, 0], &[0.5, 0.5], DType::F32);
    assert!(loss.is_nan(), "{loss}");
}

#[test]
#[should_panic(expected = "row 1 is in bag 2, of 2")]
fn a_bag_without_a_response_is_named() {
    found(0.2, &[0.0, 1.0, 0.0, 1.0], &[0, 2], &[0.5, 0.5, 0.5, 0.5], DType::F32);
}
