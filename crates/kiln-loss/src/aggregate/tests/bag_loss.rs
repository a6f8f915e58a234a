use burn::tensor::{DType, Device, Int, Tensor};
use kiln_check::closeness::{assert_close, assert_near, values};
use kiln_check::gradient::check_gradient;
use kiln_check::random::cases;
use proptest::prelude::*;

use super::{matrix, uniform};
use crate::aggregate::{AggregateError, BagLoss, BagLossConfig, BagLossKind};

const KINDS: [BagLossKind; 4] =
    [BagLossKind::Squared, BagLossKind::CrossEntropy, BagLossKind::Logistic, BagLossKind::Poisson];
/// Bags of 1, 3, 2 and 4 rows, not in order.
const BAG_OF_ROW: [usize; 10] = [1, 3, 0, 1, 2, 3, 3, 2, 1, 3];
const BAGS: usize = 4;
const CLASSES: usize = 3;

fn loss(kind: BagLossKind, rho: f64) -> BagLoss {
    BagLossConfig::new().with_kind(kind).with_rho(rho).init().unwrap()
}

fn index(bags: &[usize], device: &Device) -> Tensor<1, Int> {
    let bags: Vec<i64> = bags.iter().map(|&bag| bag as i64).collect();
    Tensor::from_data(bags.as_slice(), device)
}

/// Responses that each kind can have: proportions, shares, counts and numbers.
fn responses(kind: BagLossKind) -> Vec<f64> {
    let raw = uniform(BAGS * CLASSES, 1.0, 3);
    match kind {
        BagLossKind::Squared => raw,
        BagLossKind::Logistic => raw.iter().map(|value| 0.5 + 0.5 * value).collect(),
        BagLossKind::Poisson => raw.iter().map(|value| 2.0 + 2.0 * value).collect(),
        BagLossKind::CrossEntropy => raw
            .chunks(CLASSES)
            .flat_map(|row| {
                let total: f64 = row.iter().map(|value| value.exp()).sum();
                row.iter().map(move |value| value.exp() / total).collect::<Vec<_>>()
            })
            .collect(),
    }
}

fn value(loss: BagLoss, predictions: &[f64], bag_of_row: &[usize], responses: &[f64]) -> f64 {
    let (rows, bags) = (bag_of_row.len(), responses.len() / CLASSES);
    let predictions = matrix(predictions, [rows, CLASSES]);
    let found = loss.forward(predictions, index(bag_of_row, &Device::flex()), matrix(responses, [bags, CLASSES]));
    values(&found)[0]
}

/// Both levels, number by number.
fn naive(kind: BagLossKind, predictions: &[f64], bag_of_row: &[usize], responses: &[f64]) -> [f64; 2] {
    let means: Vec<Vec<f64>> = predictions.chunks(CLASSES).map(|row| mean_of(kind, row)).collect();
    let rows = means.len() as f64;
    let mut levels = [0.0; 2];
    for (bag, response) in responses.chunks(CLASSES).enumerate() {
        let own: Vec<&Vec<f64>> =
            means.iter().zip(bag_of_row).filter(|(_, b)| **b == bag).map(|(mean, _)| mean).collect();
        let size = own.len() as f64;
        let mean: Vec<f64> = (0..CLASSES).map(|c| own.iter().map(|row| row[c]).sum::<f64>() / size).collect();
        levels[0] += size / rows * distance(kind, response, &mean);
        levels[1] += own.iter().map(|row| distance(kind, response, row)).sum::<f64>() / rows;
    }
    levels
}

fn mean_of(kind: BagLossKind, row: &[f64]) -> Vec<f64> {
    match kind {
        BagLossKind::Squared => row.to_vec(),
        BagLossKind::Logistic => row.iter().map(|value| 1.0 / (1.0 + (-value).exp())).collect(),
        BagLossKind::Poisson => row.iter().map(|value| value.exp()).collect(),
        BagLossKind::CrossEntropy => {
            let total: f64 = row.iter().map(|value| value.exp()).sum();
            row.iter().map(|value| value.exp() / total).collect()
        }
    }
}

fn distance(kind: BagLossKind, response: &[f64], mean: &[f64]) -> f64 {
    let of = |function: fn(f64, f64) -> f64| response.iter().zip(mean).map(|(&y, &m)| function(y, m)).sum::<f64>();
    match kind {
        BagLossKind::Squared => of(|y, m| (y - m).powi(2)) / CLASSES as f64,
        BagLossKind::CrossEntropy => of(|y, m| -y * m.ln()),
        BagLossKind::Logistic => of(|y, m| -y * m.ln() - (1.0 - y) * (1.0 - m).ln()) / CLASSES as f64,
        BagLossKind::Poisson => of(|y, m| m - y * m.ln()) / CLASSES as f64,
    }
}

#[test]
fn worked_values() {
    let predictions = || matrix(&[3.0, 5.0], [2, 1]);
    let terms =
        loss(BagLossKind::Squared, 0.1).terms(predictions(), index(&[0, 0], &Device::flex()), matrix(&[4.0], [1, 1]));
    assert_eq!([terms.bag, terms.instance, terms.reg].map(|term| values(&term)[0]), [0.0, 1.0, 1.0]);
    for (rho, expected) in [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (2.0, 2.0)] {
        let one_bag = predictions().reshape([1, 2, 1]);
        let found = loss(BagLossKind::Squared, rho).forward_uniform(one_bag, matrix(&[4.0], [1, 1]));
        assert_near(values(&found)[0], expected, 1e-15);
    }
    // One bag with probabilities 0.9 and 0.3 of the first of two classes: the mean is 0.6.
    let logits = matrix(&[9.0_f64.ln(), 0.0, (3.0_f64 / 7.0).ln(), 0.0], [2, 2]);
    let terms = loss(BagLossKind::CrossEntropy, 0.0).terms(
        logits,
        index(&[0, 0], &Device::flex()),
        matrix(&[0.5, 0.5], [1, 2]),
    );
    assert_near(values(&terms.bag)[0], -0.5 * (0.6_f64.ln() + 0.4_f64.ln()), 1e-14);
    assert_near(values(&terms.instance)[0], -0.25 * (0.9_f64 * 0.1 * 0.3 * 0.7).ln(), 1e-14);
}

#[test]
fn every_kind_agrees_with_its_definition_on_unequal_bags() {
    let predictions = uniform(BAG_OF_ROW.len() * CLASSES, 3.0, 1);
    for kind in KINDS {
        let responses = responses(kind);
        let [bag, instance] = naive(kind, &predictions, &BAG_OF_ROW, &responses);
        for rho in [0.0, 0.1, 0.5, 1.0, 1.7] {
            let found = value(loss(kind, rho), &predictions, &BAG_OF_ROW, &responses);
            assert_near(found, (1.0 - rho) * bag + rho * instance, 1e-12);
        }
        assert!(instance >= bag, "{kind:?}: the loss is convex in the mean, {instance} {bag}");
    }
}

#[test]
fn the_instance_level_is_the_bag_level_and_the_variance_within() {
    let predictions = uniform(BAG_OF_ROW.len() * CLASSES, 3.0, 2);
    let responses = responses(BagLossKind::Squared);
    let tensors = || {
        let predictions = matrix(&predictions, [BAG_OF_ROW.len(), CLASSES]);
        (predictions, index(&BAG_OF_ROW, &Device::flex()), matrix(&responses, [BAGS, CLASSES]))
    };
    let (f, bags, y) = tensors();
    let terms = loss(BagLossKind::Squared, 0.3).terms(f, bags, y);
    let [bag, instance, reg] = [terms.bag, terms.instance, terms.reg].map(|term| values(&term)[0]);
    assert_near(instance, bag + reg, 1e-12);
    // The pairwise form: (1 / (2 n)) sum_a (1 / k_a) sum_{i, j in a} |f_i - f_j|^2.
    let rows: Vec<&[f64]> = predictions.chunks(CLASSES).collect();
    let pairs: f64 = (0..rows.len())
        .flat_map(|i| (0..rows.len()).map(move |j| (i, j)))
        .filter(|&(i, j)| BAG_OF_ROW[i] == BAG_OF_ROW[j])
        .map(|(i, j)| {
            let size = BAG_OF_ROW.iter().filter(|bag| **bag == BAG_OF_ROW[i]).count() as f64;
            rows[i].iter().zip(rows[j]).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / size
        })
        .sum();
    assert_near(reg, pairs / (2.0 * rows.len() as f64 * CLASSES as f64), 1e-12);
}

#[test]
fn bags_of_one_row_make_rho_irrelevant_and_uniform_bags_need_no_index() {
    let predictions = uniform(12 * CLASSES, 2.0, 4);
    for kind in KINDS {
        let responses = responses(kind);
        let first = &predictions[..BAGS * CLASSES];
        let single = |rho| value(loss(kind, rho), first, &[0, 1, 2, 3], &responses);
        assert_near(single(0.0), single(1.0), 1e-12);
        assert_near(single(0.4), single(1.0), 1e-12);
        let bag_of_row: Vec<usize> = (0..12).map(|row| row / 3).collect();
        for rho in [0.0, 0.2, 1.0] {
            let ragged = value(loss(kind, rho), &predictions, &bag_of_row, &responses);
            let predictions = matrix(&predictions, [12, CLASSES]).reshape([BAGS, 3, CLASSES]);
            let uniform = loss(kind, rho).forward_uniform(predictions, matrix(&responses, [BAGS, CLASSES]));
            assert_near(values(&uniform)[0], ragged, 1e-12);
        }
    }
}

#[test]
fn the_order_of_rows_and_of_bags_does_not_matter() {
    let predictions = uniform(BAG_OF_ROW.len() * CLASSES, 2.0, 5);
    let order = [3, 8, 1, 0, 9, 2, 7, 4, 6, 5];
    let turned: Vec<f64> =
        order.iter().flat_map(|&row| &predictions[row * CLASSES..(row + 1) * CLASSES]).copied().collect();
    // Bag b is called 3 - b.
    let turned_bags: Vec<usize> = order.iter().map(|&row| BAGS - 1 - BAG_OF_ROW[row]).collect();
    for kind in KINDS {
        let responses = responses(kind);
        let turned_responses: Vec<f64> = responses.chunks(CLASSES).rev().flatten().copied().collect();
        let straight = value(loss(kind, 0.3), &predictions, &BAG_OF_ROW, &responses);
        assert_near(value(loss(kind, 0.3), &turned, &turned_bags, &turned_responses), straight, 1e-12);
    }
}

#[test]
fn gradients_are_right() {
    for kind in KINDS {
        let responses = responses(kind);
        for rho in [0.0, 0.3, 1.0, 1.5] {
            for scale in [1.0, 4.0] {
                let function = |x: Tensor<2>| {
                    let bags = index(&BAG_OF_ROW, &x.device());
                    loss(kind, rho).forward(x, bags, matrix(&responses, [BAGS, CLASSES]).autodiff())
                };
                let at = uniform(BAG_OF_ROW.len() * CLASSES, scale, 6);
                check_gradient(function, &at, [BAG_OF_ROW.len(), CLASSES], 1e-6);
            }
            let function = |x: Tensor<2>| {
                let own = matrix(&responses, [BAGS, CLASSES]).autodiff();
                loss(kind, rho).forward_uniform(x.reshape([BAGS, 2, CLASSES]), own)
            };
            check_gradient(function, &uniform(8 * CLASSES, 2.0, 7), [8, CLASSES], 1e-6);
        }
    }
}

#[test]
fn gradients_of_the_terms_are_right() {
    for kind in KINDS {
        let responses = responses(kind);
        let reg = |x: Tensor<2>| {
            let bags = index(&BAG_OF_ROW, &x.device());
            loss(kind, 0.1).terms(x, bags, matrix(&responses, [BAGS, CLASSES]).autodiff()).reg
        };
        check_gradient(reg, &uniform(BAG_OF_ROW.len() * CLASSES, 2.0, 8), [BAG_OF_ROW.len(), CLASSES], 1e-6);
    }
}

#[test]
fn extreme_predictions_have_finite_losses_and_gradients() {
    let rows = BAG_OF_ROW.len();
    let certain: Vec<f64> =
        (0..rows * CLASSES).map(|at| if at % CLASSES == (at / CLASSES) % 2 { 80.0 } else { -80.0 }).collect();
    let low: Vec<f64> = certain.iter().map(|value| -value).collect();
    for kind in KINDS {
        let sure: Vec<f64> = (0..BAGS * CLASSES).map(|at| f64::from(at % CLASSES == 2)).collect();
        for predictions in [&certain, &low, &vec![80.0; rows * CLASSES], &vec![-80.0; rows * CLASSES]] {
            for dtype in [DType::F32, DType::F64] {
                let device = Device::flex().autodiff();
                let x = matrix(predictions, [rows, CLASSES]).cast(dtype).autodiff().require_grad();
                let found = loss(kind, 0.2).forward(
                    x.clone(),
                    index(&BAG_OF_ROW, &device),
                    matrix(&sure, [BAGS, CLASSES]).cast(dtype).autodiff(),
                );
                let slopes = values(&x.grad(&found.backward()).unwrap());
                assert!(values(&found)[0].is_finite(), "{kind:?} {dtype:?} {:?}", values(&found));
                assert!(slopes.iter().all(|slope| slope.is_finite()), "{kind:?} {dtype:?} {slopes:?}");
            }
        }
    }
}

#[test]
fn a_bag_far_below_the_others_keeps_its_digits() {
    // Probabilities of exp(-150) in one bag beside certain ones in another, in single precision.
    let logits = matrix(&[0.0, 150.0, 0.0, 150.0, 150.0, 0.0, 150.0, 0.0], [4, 2]).cast(DType::F32);
    let found = loss(BagLossKind::CrossEntropy, 0.0).forward(
        logits,
        index(&[0, 0, 1, 1], &Device::flex()),
        matrix(&[1.0, 0.0, 1.0, 0.0], [2, 2]).cast(DType::F32),
    );
    assert_near(values(&found)[0], 75.0, 1e-6);
}

#[test]
fn single_precision_agrees_with_double() {
    let predictions = uniform(BAG_OF_ROW.len() * CLASSES, 2.0, 9);
    for kind in KINDS {
        let responses = responses(kind);
        let double = value(loss(kind, 0.3), &predictions, &BAG_OF_ROW, &responses);
        let single = loss(kind, 0.3).forward(
            matrix(&predictions, [BAG_OF_ROW.len(), CLASSES]).cast(DType::F32),
            index(&BAG_OF_ROW, &Device::flex()),
            matrix(&responses, [BAGS, CLASSES]).cast(DType::F32),
        );
        assert_close(&values(&single), &[double], 1e-5);
    }
}

#[test]
fn bad_settings_and_batches_are_refused() {
    for rho in [-0.1, f64::NAN, f64::INFINITY] {
        let error = BagLossConfig::new().with_rho(rho).init().unwrap_err();
        assert!(matches!(error, AggregateError::Setting { name: "rho", .. }), "{error}");
    }
    let refusal = |kind, bags: &[usize], responses: &[f64], width| {
        loss(kind, 0.1).check_batch(bags, responses, width).unwrap_err().to_string()
    };
    use BagLossKind::{CrossEntropy, Logistic, Poisson, Squared};
    assert_eq!(refusal(Squared, &[0, 0, 2], &[1.0, 2.0, 3.0], 1), "bag 1 of 3 has a response and no row");
    assert_eq!(
        refusal(Squared, &[0, 3], &[1.0, 2.0], 1),
        "row 1 is in bag 3, and there are responses for the bags 0..2 only"
    );
    assert_eq!(refusal(Squared, &[0], &[f64::NAN], 1), "response NaN at place 0 is not finite");
    let sums = "the class proportions of bag 0 sum to 1.25, they must sum to 1 and none may be negative";
    assert_eq!(refusal(CrossEntropy, &[0], &[0.75, 0.5], 2), sums);
    assert!(refusal(CrossEntropy, &[0], &[1.5, -0.5], 2).contains("none may be negative"));
    assert_eq!(refusal(Logistic, &[0], &[1.5], 1), "the response 1.5 of bag 0 is not a share from 0 to 1");
    assert_eq!(refusal(Poisson, &[0], &[-1.0], 1), "the response -1 of bag 0 is not a mean count of at least 0");
    assert!(refusal(Squared, &[0], &[1.0, 2.0, 3.0], 2).starts_with("responses: found 3, expected 4"));
    for (kind, responses) in [(Squared, [-3.0, 9.0]), (CrossEntropy, [0.3333, 0.6666]), (Poisson, [0.0, 9.0])] {
        assert!(loss(kind, 0.1).check_batch(&[0, 0], &responses, 2).is_ok(), "{kind:?}");
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn the_instance_level_is_never_below_the_bag_level(
        predictions in prop::collection::vec(-20.0..20.0_f64, 30),
        rho in 0.0..1.0_f64,
    ) {
        for kind in KINDS {
            let responses = responses(kind);
            let [low, middle, high] =
                [0.0, rho, 1.0].map(|rho| value(loss(kind, rho), &predictions, &BAG_OF_ROW, &responses));
            let slack = 1e-9 * high.abs().max(1.0);
            prop_assert!(low <= middle + slack && middle <= high + slack, "{:?}: {} {} {}", kind, low, middle, high);
        }
    }
}
