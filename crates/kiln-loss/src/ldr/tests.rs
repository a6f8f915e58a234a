use burn::tensor::{DType, Device, Int, Tensor};
use kiln_check::random::{cases, normal};
use kiln_check::{assert_close, assert_near, gradient, loss_suite, values};
use proptest::prelude::*;

use super::consistency::{orders_classes, risk_minimiser, symmetry_defect};
use super::temperature::Adaptation;
use super::*;
use crate::comp_sum::CompSumLoss;
use crate::margin::{CrammerSingerLossConfig, WestonWatkinsLossConfig};
use crate::{ClassificationLoss, CrossEntropyLoss, LossError, TrainingMoment};

const SCORES: [f64; 4] = [2.0, 1.0, 0.5, -1.0];

fn device() -> Device {
    Device::flex()
}

fn target(class: i64) -> Tensor<1, Int> {
    Tensor::from_ints([class], &device())
}

fn row(scores: &[f64]) -> Tensor<2> {
    Tensor::<1>::from_data(scores, (&device(), DType::F64)).unsqueeze()
}

fn value(loss: &dyn ClassificationLoss, scores: &[f64], class: i64) -> f64 {
    values(&loss.forward_no_reduction(row(scores), target(class)))[0]
}

fn slopes(loss: &dyn ClassificationLoss, scores: &[f64], class: i64) -> Vec<f64> {
    gradient(|x| loss.forward_no_reduction(x, target(class)), scores, [1, scores.len()])
}

fn kl(lambda: f64) -> LdrKl {
    LdrKlConfig::new().with_lambda(lambda).init().unwrap()
}

fn top(k: usize, lambda: f64) -> LdrTopK {
    LdrTopKConfig::new(k).with_lambda(lambda).init().unwrap()
}

fn adaptive(mode: AldrMode) -> AldrKlConfig {
    AldrKlConfig::new().with_mode(mode)
}

#[test]
fn the_divergence_member_has_the_worked_values() {
    let cases = [
        (0.1, 0.961_372_26, [0.999_982_99, -0.999_983_3, 3.1e-7, 0.0]),
        (1.0, 0.187_320_44, [0.622_747_09, -0.792_705_5, 0.138_953_66, 0.031_004_75]),
        (10.0, -0.242_858_68, [0.285_929_93, -0.743_854_21, 0.246_102_17, 0.211_822_1]),
    ];
    for (lambda, expected, derivatives) in cases {
        assert_near(value(&kl(lambda), &SCORES, 1), expected, 1e-8);
        assert_close(&slopes(&kl(lambda), &SCORES, 1), &derivatives, 1e-7);
        let (losses, weights) = kl(lambda).forward_with_weights(row(&SCORES), target(1));
        assert_near(values(&losses)[0], expected, 1e-8);
        let mut weights = values(&weights);
        assert_near(weights.iter().sum(), 1.0, 1e-12);
        weights[1] -= 1.0;
        assert_close(&weights, &derivatives, 1e-7);
    }
}

#[test]
fn the_top_k_member_has_the_worked_values() {
    assert_near(value(&top(1, 0.0), &SCORES, 1), 1.1, 1e-12);
    assert_near(value(&top(2, 0.0), &SCORES, 1), 0.55, 1e-12);
    assert_near(value(&top(4, 0.0), &SCORES, 1), -0.3, 1e-12);
    // Gaps 1.1, 0, -0.4, -1.9 at k = 2, lambda = 1: the first is at the cap 1/2, the others share the rest.
    let (losses, weights) = top(2, 1.0).forward_with_weights(row(&SCORES), target(1));
    let powers = [1.0, (-0.4_f64).exp(), (-1.9_f64).exp()];
    let sum: f64 = powers.iter().sum();
    let p: Vec<f64> = std::iter::once(0.5).chain(powers.iter().map(|power| 0.5 * power / sum)).collect();
    assert_close(&values(&weights), &p, 1e-12);
    let gaps = [1.1, 0.0, -0.4, -1.9];
    let expected: f64 = p.iter().zip(gaps).map(|(p, gap)| p * gap - p * (4.0 * p).ln()).sum();
    assert_near(values(&losses)[0], expected, 1e-12);
}

#[test]
fn the_adaptive_member_has_the_worked_values() {
    let cases = [(1.0, 0.816_411_74, 0.221_751_83), (10.0, 9.979_547_07, -0.242_800_92), (0.1, 0.05, 0.996_027_92)];
    for (lambda0, temperature, expected) in cases {
        let loss = adaptive(AldrMode::Exact).with_lambda0(lambda0).init().unwrap();
        assert_near(value(&loss, &SCORES, 1), expected, 1e-8);
        assert_near(values(&loss.temperatures(row(&SCORES), target(1)))[0], temperature, 1e-8);
        // The envelope theorem: the gradient is p* - e_y at the best temperature.
        let at = kl(values(&loss.temperatures(row(&SCORES), target(1)))[0]);
        assert_close(&slopes(&loss, &SCORES, 1), &slopes(&at, &SCORES, 1), 1e-12);
    }
}

#[test]
fn the_exact_temperature_is_the_best_of_all() {
    let rows = [vec![3.0, 0.0, -1.0], vec![0.0, 0.2, 0.1, -5.0, 4.9], vec![9.0, 8.9, 0.0, 0.0], vec![0.0; 6]];
    for gaps in rows {
        for (lambda0, alpha) in [(1.0, 2.0), (0.3, 1.05), (5.0, 8.0), (2.0, 1.3)] {
            let adaptation = Adaptation { lambda0, alpha };
            let stiffness = adaptation.stiffness(gaps.len());
            let phi = |lambda: f64| {
                let mean = gaps.iter().map(|gap| (gap / lambda).exp()).sum::<f64>() / gaps.len() as f64;
                lambda * mean.ln() - 0.5 * stiffness * (lambda - lambda0).powi(2)
            };
            let found = phi(adaptation.search(gaps.len()).best(&gaps));
            for step in 1..=1000 {
                let lambda = lambda0 * f64::from(step) / 1000.0;
                if (9.0 / lambda) < 600.0 {
                    assert!(phi(lambda) <= found + 1e-9, "{gaps:?}, {lambda0}, {alpha}: better at {lambda}");
                }
            }
        }
    }
}

#[test]
fn flat_gaps_have_the_highest_temperature() {
    let draws = values(&(normal([200, 10], DType::F32) * 1e-8));
    for (lambda0, alpha) in [(0.1, 10.0), (0.2, 10.0), (1.0, 2.0), (1.0, 1.05), (3.0, 10.0)] {
        let mut search = Adaptation { lambda0, alpha }.search(10);
        for gaps in draws.chunks(10).chain([&[0.0; 10][..]]) {
            assert_near(search.best(gaps) / lambda0, 1.0, 1e-6);
        }
    }
}

#[test]
fn the_temperature_is_no_part_of_the_graph() {
    for normalize in [LogitNorm::None, LogitNorm::L1Mean, LogitNorm::SoftplusMean] {
        let fixed = |lambda: f64| LdrKlConfig::new().with_lambda(lambda).with_normalize(normalize).init().unwrap();
        let joint = adaptive(AldrMode::Joint).with_normalize(normalize).init().unwrap();
        let lambda = values(&joint.temperatures(row(&SCORES), target(1)))[0];
        assert!((0.5..0.999).contains(&lambda), "{normalize:?}: {lambda}");
        assert_close(&slopes(&joint, &SCORES, 1), &slopes(&fixed(lambda), &SCORES, 1), 1e-12);

        let alternating = adaptive(AldrMode::Alternating).with_normalize(normalize).init().unwrap();
        let visit = |state: &mut AldrState, x: Tensor<2>| {
            alternating.forward_rows(state, x, target(1), Tensor::from_ints([0], &device())).unwrap()
        };
        let mut state = alternating.state(1);
        let found = gradient(|x| visit(&mut alternating.state(1), x), &SCORES, [1, 4]);
        drop(visit(&mut state, row(&SCORES)));
        let lambda = f64::from(state.temperatures()[0]);
        assert_close(&found, &slopes(&fixed(lambda), &SCORES, 1), 1e-6);
    }
}

#[test]
fn logits_of_ten_thousand_stay_finite_in_both_precisions() {
    let extremes = [[1e4, -1e4, 0.0, 5.0], [-1e4; 4], [1e4, 1e4, -1e4, 0.0]];
    let losses: [Box<dyn ClassificationLoss>; 7] = [
        Box::new(kl(0.1)),
        Box::new(kl(10.0)),
        Box::new(top(2, 0.0)),
        Box::new(top(2, 1.0)),
        Box::new(adaptive(AldrMode::Exact).init().unwrap()),
        Box::new(adaptive(AldrMode::Joint).init().unwrap()),
        Box::new(AldrKlConfig::paper().init().unwrap()),
    ];
    for loss in losses {
        for scores in extremes {
            for (class, dtype) in [(0, DType::F32), (1, DType::F32), (0, DType::F64), (1, DType::F64)] {
                let tracked = device().autodiff();
                let logits = Tensor::<1>::from_data(scores, (&tracked, dtype)).unsqueeze::<2>().require_grad();
                let found = loss.forward_no_reduction(logits.clone(), Tensor::from_ints([class], &tracked));
                let slopes = values(&logits.grad(&found.clone().sum().backward()).unwrap());
                assert!(values(&found)[0].is_finite(), "{loss:?} at {scores:?}, {dtype:?}");
                assert!(slopes.iter().all(|slope| slope.is_finite()), "{loss:?} at {scores:?}, {dtype:?}: {slopes:?}");
            }
        }
    }
}

#[test]
fn large_temperatures_lose_no_digits_in_single_precision() {
    // Towards infinity the loss is the mean gap, -0.3 for these scores and a margin of 0.1.
    for lambda in [1e5, 1e7, 1e12] {
        let loss = kl(lambda);
        let single = Tensor::<2>::from_data([SCORES], (&device(), DType::F32));
        for logits in [single, row(&SCORES)] {
            assert_near(values(&loss.forward_no_reduction(logits, target(1)))[0], -0.3, 1e-5);
        }
    }
}

#[test]
fn a_class_that_is_ruled_out_changes_no_temperature_but_through_their_number() {
    let mut search = Adaptation { lambda0: 1.0, alpha: 2.0 }.search(4);
    let ruled_out = search.best(&[1.1, 0.0, -0.4, f64::NEG_INFINITY]);
    let far_below = search.best(&[1.1, 0.0, -0.4, -1e4]);
    assert_near(ruled_out, far_below, 1e-12);
    assert!(search.best(&[f64::NAN, 0.0, 0.0, 0.0]).is_finite());
    assert!(value(&adaptive(AldrMode::Exact).init().unwrap(), &[f64::NAN, 0.0, 1.0], 1).is_nan());
}

#[test]
fn members_pass_the_loss_suite() {
    for lambda in [0.1, 1.0, 10.0] {
        let loss = kl(lambda);
        loss_suite::check(|logits, targets| loss.forward_no_reduction(logits, targets), 5);
        let exact = adaptive(AldrMode::Exact).with_lambda0(lambda).init().unwrap();
        loss_suite::check(|logits, targets| exact.forward_no_reduction(logits, targets), 5);
    }
    for norm in [LogitNorm::SoftplusMean, LogitNorm::L1Mean] {
        let loss = LdrKlConfig::new().with_normalize(norm).init().unwrap();
        loss_suite::check(|logits, targets| loss.forward_no_reduction(logits, targets), 5);
    }
    for (k, lambda) in [(1, 0.5), (2, 1.0), (3, 0.2), (5, 1.0)] {
        let loss = top(k, lambda);
        loss_suite::check(|logits, targets| loss.forward_no_reduction(logits, targets), 5);
    }
    for k in [1, 2, 4] {
        let loss = top(k, 0.0);
        loss_suite::check_except_at_ties(|logits, targets| loss.forward_no_reduction(logits, targets), 5);
    }
}

#[test]
fn members_meet_their_neighbours() {
    let plain = |lambda| LdrKlConfig::new().with_lambda(lambda).with_margin(0.0).init().unwrap();
    let hinge = CrammerSingerLossConfig::new().with_margin(0.1).init().unwrap();
    let gaps_of_all: f64 = SCORES.iter().sum::<f64>() / 4.0;
    for class in 0..4 {
        let cross_entropy = value(&CrossEntropyLoss::default(), &SCORES, class) - 4.0_f64.ln();
        assert_near(value(&plain(1.0), &SCORES, class), cross_entropy, 1e-12);
        assert_near(value(&kl(1e-4), &SCORES, class), value(&hinge, &SCORES, class), 1e-3);
        assert_near(value(&top(1, 0.7), &SCORES, class), value(&kl(0.7), &SCORES, class), 1e-12);
        assert_near(value(&top(1, 0.0), &SCORES, class), value(&hinge, &SCORES, class), 1e-12);
        let mean_gap = gaps_of_all - SCORES[class as usize] + 0.075;
        for lambda in [0.0, 0.3, 4.0] {
            assert_near(value(&top(4, lambda), &SCORES, class), mean_gap, 1e-12);
        }
        assert_near(value(&kl(1e7), &SCORES, class), mean_gap, 1e-6);
        let stiff = adaptive(AldrMode::Exact).with_alpha(1e9).init().unwrap();
        assert_near(value(&stiff, &SCORES, class), value(&kl(1.0), &SCORES, class), 1e-8);
    }
    // Large temperatures make the loss symmetric: the sum over all targets is (D - 1) margin.
    let sum: f64 = (0..4).map(|class| value(&kl(1e7), &SCORES, class)).sum();
    assert_near(sum, 0.3, 1e-5);
}

#[test]
fn logits_of_ten_thousand_stay_finite() {
    let scores = [1e4, -1e4, 0.0, 1e4];
    let modes = [AldrMode::Alternating, AldrMode::Exact, AldrMode::Joint];
    let mut losses: Vec<Box<dyn ClassificationLoss>> = vec![Box::new(kl(0.1)), Box::new(top(2, 0.1))];
    for norm in [LogitNorm::None, LogitNorm::SoftplusMean, LogitNorm::L1Mean] {
        losses.push(Box::new(LdrKlConfig::new().with_lambda(0.1).with_normalize(norm).init().unwrap()));
        for mode in modes {
            losses.push(Box::new(adaptive(mode).with_lambda0(0.1).with_normalize(norm).init().unwrap()));
        }
    }
    for loss in losses {
        for class in 0..4 {
            assert!(value(&loss, &scores, class).is_finite(), "{loss:?}");
            let found = slopes(&loss, &scores, class);
            assert!(found.iter().all(|slope| slope.is_finite()), "{loss:?}: {found:?}");
        }
    }
}

#[test]
fn the_scale_of_normalised_logits_does_not_matter() {
    for scale in [0.01, 3.0, 1e3] {
        let scaled = SCORES.map(|score| score * scale);
        let loss = adaptive(AldrMode::Exact).with_normalize(LogitNorm::L1Mean).init().unwrap();
        assert_near(value(&loss, &scaled, 1), value(&loss, &SCORES, 1), 1e-9);
    }
    let loss = LdrKlConfig::paper().init().unwrap();
    let positive = SCORES.map(|score| score.exp().ln_1p());
    let mean = positive.iter().sum::<f64>() / 4.0;
    let normalised = positive.map(|score| score / mean);
    assert_near(value(&loss, &SCORES, 1), value(&kl(1.0), &normalised, 1), 1e-9);
}

#[test]
fn one_visit_moves_the_temperature_as_in_the_paper() {
    let loss = AldrKlConfig::new().init().unwrap();
    let mut state = loss.state(3);
    let visited = loss.forward_rows(&mut state, row(&SCORES), target(1), target(2)).unwrap();
    let powers = SCORES.map(f64::exp);
    let sum: f64 = powers.iter().sum();
    let q = powers.map(|power| (power / sum + 1e-5) / (1.0 + 4e-5));
    let divergence: f64 = q.iter().map(|q| q * (4.0 * q).ln()).sum();
    let lambda = 1.0 - divergence / (2.0 * 4.0_f64.ln());
    assert_near(f64::from(state.temperatures()[2]), lambda, 1e-6);
    assert_eq!(state.temperatures()[..2], [1.0, 1.0]);
    let penalty = 4.0_f64.ln() * (lambda - 1.0).powi(2);
    assert_near(values(&visited)[0], value(&kl(lambda), &SCORES, 1) - penalty, 1e-8);
}

#[test]
fn training_remembers_rows_and_evaluation_does_not_touch_them() {
    let loss = AldrKlConfig::new().with_normalize(LogitNorm::L1Mean).init().unwrap();
    let logits = Tensor::<2>::from_data([[9.0, 0.0, 0.0], [0.1, 0.2, 0.0], [0.0, 3.0, 1.0]], &device());
    let targets = Tensor::<1, Int>::from_ints([0, 1, 2], &device());
    let train = |loss: &AldrKl, order: [usize; 3]| {
        let index = Tensor::<1, Int>::from_ints(order.map(|row| row as i64), &device());
        let moment = TrainingMoment { step: 0, epoch: 1, rows: &order };
        values(&loss.losses_in_training(
            logits.clone().select(0, index.clone()),
            targets.clone().select(0, index),
            &moment,
        ))
    };
    let first = train(&loss, [0, 1, 2]);
    let remembered = loss.remembered();
    let temperatures = remembered.temperatures();
    assert!(temperatures.iter().all(|lambda| (0.499..=1.0).contains(lambda)), "{temperatures:?}");
    assert!(temperatures[0] < temperatures[1], "the peaked row has the lower temperature: {temperatures:?}");
    let _ = loss.forward(logits.clone(), targets.clone());
    assert_eq!(loss.remembered(), remembered);
    let other = AldrKlConfig::new().with_normalize(LogitNorm::L1Mean).init().unwrap();
    let turned = train(&other, [2, 0, 1]);
    assert_close(&[turned[1], turned[2], turned[0]], &first, 0.0);
    assert_eq!(other.remembered(), remembered);
    // Many visits settle where three fixed-point steps already nearly are.
    (0..20).for_each(|_| drop(train(&loss, [0, 1, 2])));
    let joint = values(&loss.temperatures(logits.clone(), targets.clone()));
    let settled: Vec<f64> = loss.remembered().temperatures().iter().map(|&lambda| f64::from(lambda)).collect();
    assert_close(&settled, &joint, 0.05);
}

#[test]
fn consistent_members_order_the_classes_and_the_hinge_does_not() {
    let q = [0.4, 0.3, 0.2, 0.1];
    let without_margin = |lambda: f64| LdrKlConfig::new().with_lambda(lambda).with_margin(0.0).init().unwrap();
    let scores = risk_minimiser(&without_margin(1.0), &q, 1.0, 3000).unwrap();
    // For cross-entropy the minimiser is log q up to a constant.
    for class in 1..4 {
        assert_near(scores[0] - scores[class], (q[0] / q[class]).ln(), 1e-3);
    }
    assert!(orders_classes(&kl(1.0), &q, 0.05).unwrap());
    assert!(orders_classes(&kl(0.5), &q, 0.05).unwrap());
    let adaptive = adaptive(AldrMode::Exact).init().unwrap();
    assert!(orders_classes(&adaptive, &q, 0.05).unwrap());
    let hinge = CrammerSingerLossConfig::new().init().unwrap();
    assert!(!orders_classes(&hinge, &q, 0.05).unwrap());
    assert!(!orders_classes(&WestonWatkinsLossConfig::new().init().unwrap(), &[0.4, 0.35, 0.25], 0.05).unwrap());
    assert!(orders_classes(&kl(1.0), &[0.5, 0.6], 0.0).is_err());
}

#[test]
fn the_defect_of_symmetry_falls_with_the_temperature() {
    let logits = normal([200, 5], DType::F32) * 2.0;
    assert!(symmetry_defect(&CompSumLoss::mae(), logits.clone()) < 1e-5);
    let defects = [0.1, 1.0, 10.0, 1000.0].map(|lambda| symmetry_defect(&kl(lambda), logits.clone()));
    assert!(defects.is_sorted_by(|a, b| a > b) && defects[3] < 0.05, "{defects:?}");
}

#[test]
fn bad_settings_and_batches_are_refused() {
    for lambda in [0.0, -1.0, f64::NAN] {
        assert!(matches!(LdrKlConfig::new().with_lambda(lambda).init(), Err(LossError::Setting { .. })));
        assert!(matches!(AldrKlConfig::new().with_lambda0(lambda).init(), Err(LossError::Setting { .. })));
    }
    assert!(LdrKlConfig::new().with_margin(-0.1).init().is_err());
    assert!(LdrTopKConfig::new(0).init().is_err());
    assert!(LdrTopKConfig::new(2).with_lambda(-1.0).init().is_err());
    assert!(matches!(top(5, 0.0).check_classes(4), Err(LossError::Setting { name: "k", .. })));
    assert!(matches!(top(5, 0.0).try_forward(row(&SCORES), target(1)), Err(LossError::Setting { name: "k", .. })));
    assert!(LdrKlConfig::new().with_lambda(1e-31).init().is_err());
    assert!(AldrKlConfig::new().with_lambda0(1e31).init().is_err());
    let error = AldrKlConfig::new().with_alpha(1.0).init().unwrap_err().to_string();
    assert!(error.contains("alpha = 1") && error.contains("could reach 0"), "{error}");
    let allowed = AldrKlConfig::new().with_alpha(0.5).with_allow_alpha_le_one(true).with_mode(AldrMode::Exact);
    let certain = [50.0, 0.0, 0.0];
    let temperature = values(&allowed.init().unwrap().temperatures(row(&certain), target(1)))[0];
    assert_near(temperature, 1e-3, 1e-9);

    let loss = AldrKlConfig::new().init().unwrap();
    let two = || Tensor::<2>::from_data([[0.0, 1.0], [1.0, 0.0]], &device());
    let classes = |values: [i64; 2]| Tensor::<1, Int>::from_ints(values, &device());
    let mut state = loss.state(2);
    let mut of =
        |targets: [i64; 2], rows: [i64; 2]| loss.forward_rows(&mut state, two(), classes(targets), classes(rows));
    assert!(matches!(of([0, 1], [0, 2]), Err(LossError::Row { row: 2, rows: 2, .. })));
    assert!(matches!(of([0, 1], [1, 1]), Err(LossError::RepeatedRow { row: 1, .. })));
    assert!(matches!(of([0, 2], [0, 1]), Err(LossError::Target { row: 1, target: 2, .. })));
    assert!(of([0, 1], [1, 0]).is_ok());
    let error = loss.forward_rows(&mut state, two(), classes([0, 1]), target(0)).unwrap_err();
    assert!(matches!(error, LossError::Length { expected: 2, actual: 1, .. }), "{error}");
    assert!(kl(1.0).try_forward(row(&[0.0, f64::NAN]), target(0)).is_err());
    assert!(matches!(loss.try_forward(row(&SCORES), target(4)), Err(LossError::Target { target: 4, .. })));
}

#[test]
fn a_memory_that_cannot_be_its_own_is_refused() {
    let loss = AldrKlConfig::new().init().unwrap();
    loss.remember(vec![0.5, 1.0, 0.75]).unwrap();
    assert_eq!(loss.memory().unwrap(), [0.5, 1.0, 0.75]);
    for wrong in [0.0, f32::NAN, -1.0, 0.4, 1.1, f32::INFINITY] {
        let error = loss.remember(vec![1.0, wrong]).unwrap_err();
        assert!(error.to_string().contains(&format!("row 1 is {wrong}")), "{error}");
    }
    assert_eq!(loss.memory().unwrap(), [0.5, 1.0, 0.75]);
    assert!(AldrState::from_temperatures(vec![0.0]).is_err());
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn temperatures_stay_in_their_range(
        scores in proptest::collection::vec(-20.0..20.0_f64, 2..40),
        alpha in 1.001..10.0_f64,
        lambda0 in 0.05..20.0_f64,
        target in 0..2_i64,
    ) {
        let range = lambda0 * (1.0 - 1.0 / alpha) * (1.0 - 1e-6)..=lambda0 * (1.0 + 1e-6);
        for mode in [AldrMode::Alternating, AldrMode::Exact, AldrMode::Joint] {
            let loss = adaptive(mode).with_alpha(alpha).with_lambda0(lambda0).init().unwrap();
            let lambda = values(&loss.temperatures(row(&scores), self::target(target)))[0];
            prop_assert!(range.contains(&lambda), "{:?}: {}", mode, lambda);
            let single = Tensor::<1>::from_data(scores.as_slice(), (&device(), DType::F32)).unsqueeze::<2>();
            let mut state = loss.state(1);
            for _ in 0..3 {
                let row = Tensor::from_ints([0], &device());
                drop(loss.forward_rows(&mut state, single.clone(), self::target(target), row).unwrap());
                prop_assert!(range.contains(&f64::from(state.temperatures()[0])), "{:?}", state);
            }
        }
    }

    #[test]
    fn the_top_k_weights_are_feasible_and_best(
        gaps in proptest::collection::vec(-8.0..8.0_f64, 6),
        k in 1..=6_usize,
        lambda in prop_oneof![Just(0.0), 0.05..5.0_f64],
        other in proptest::collection::vec(0.01..1.0_f64, 6),
    ) {
        let loss = LdrTopKConfig::new(k).with_lambda(lambda).with_margin(0.0).init().unwrap();
        let (found, weights) = loss.forward_with_weights(row(&gaps), target(0));
        let (found, weights) = (values(&found)[0], values(&weights));
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(weights.iter().all(|p| (-1e-12..=1.0 / k as f64 + 1e-9).contains(p)), "{:?}", weights);
        // Any other feasible distribution is no better: mix the uniform one with a random one below the cap.
        let total: f64 = other.iter().sum();
        let largest = other.iter().copied().fold(0.0, f64::max) / total;
        let share = if largest > 1.0 / 6.0 { ((1.0 / k as f64 - 1.0 / 6.0) / (largest - 1.0 / 6.0)).clamp(0.0, 1.0) } else { 1.0 };
        let rival = other.iter().zip(&gaps).map(|(part, gap)| {
            let p = share * part / total + (1.0 - share) / 6.0;
            p * (gap - gaps[0]) - lambda * p * (6.0 * p).ln()
        }).sum::<f64>();
        prop_assert!(rival <= found + 1e-9, "{} above {}", rival, found);
    }

    #[test]
    fn members_are_convex_and_their_gradients_add_up_to_zero(
        one in proptest::array::uniform4(-6.0..6.0_f64),
        two in proptest::array::uniform4(-6.0..6.0_f64),
        class in 0..4_i64,
    ) {
        let exact = |lambda0: f64| Box::new(adaptive(AldrMode::Exact).with_lambda0(lambda0).init().unwrap());
        let losses: [Box<dyn ClassificationLoss>; 6] = [
            Box::new(kl(0.3)),
            Box::new(kl(3.0)),
            Box::new(top(2, 0.0)),
            Box::new(top(3, 0.5)),
            // A maximum over the temperature of functions that are convex at each.
            exact(0.3),
            exact(3.0),
        ];
        let middle: Vec<f64> = one.iter().zip(two).map(|(a, b)| 0.5 * (a + b)).collect();
        for loss in losses {
            let chord = 0.5 * (value(&loss, &one, class) + value(&loss, &two, class));
            prop_assert!(value(&loss, &middle, class) <= chord + 1e-9, "{:?}", loss);
            prop_assert!(slopes(&loss, &one, class).iter().sum::<f64>().abs() < 1e-9);
        }
    }
}
