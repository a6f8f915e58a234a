use burn::tensor::{DType, Device, Int, Tensor};
use kiln_check::random::cases;
use kiln_check::{assert_close, assert_near, values};
use proptest::prelude::*;

use super::distribution::inverse_box_cox;
use super::*;
use crate::margin::{MarginLossConfig, MarginPhi};
use crate::{ClassificationLoss, LossError, TrainingMoment};

fn line(data: &[f64]) -> Tensor<1> {
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

fn ensemble() -> EnsLoss {
    EnsLossConfig::new().with_seed(3).init().unwrap()
}

fn with_dist(dist: DerivativeDist) -> EnsLoss {
    EnsLossConfig::new().with_dist(dist).init().unwrap()
}

#[test]
fn given_draws_have_the_worked_derivatives() {
    let z = [-2.0, 0.5, 3.0, 1.5];
    let found = values(&ensemble().derivatives_from_draws(line(&z), &[0.2, 5.0, 0.7, 1.3]).unwrap());
    assert_close(&found, &[-1.000_001, -1.000_001, -0.066_667_67, -0.466_667_67], 2e-8);
    let loss = found.iter().zip(z).map(|(g, z)| g * z).sum::<f64>() / 4.0;
    assert_near(loss, 0.149_999_25, 1e-7);
    let cut = EnsLossConfig::new().with_clip(0.5).with_tail(DerivativeTail::None).with_floor(1e-3).init().unwrap();
    let found = values(&cut.derivatives_from_draws(line(&z), &[0.2, 5.0, 0.7, 1.3]).unwrap());
    assert_close(&found, &[-0.501, -0.501, -0.201, -0.501], 1e-7);
}

#[test]
fn the_gradient_is_the_drawn_derivative_and_nothing_else() {
    let device = Device::flex().autodiff();
    let scores = Tensor::<1>::from_floats([0.5, -2.0, 3.0, 0.1], &device).require_grad();
    let targets = Tensor::<1, Int>::from_ints([1, 0, 1, 0], &device);
    let signs = [1.0, -1.0, 1.0, -1.0];
    let mut loss = ensemble();
    let gradients = loss.forward_scores(scores.clone(), targets).unwrap().backward();
    let found = values(&scores.grad(&gradients).unwrap());
    let margins: Vec<f64> = [0.5, -2.0, 3.0, 0.1].iter().zip(signs).map(|(f, y)| f64::from(*f as f32) * y).collect();
    let drawn = ensemble().derivatives_at(&margins, 0, 1);
    let expected: Vec<f64> = drawn.iter().zip(signs).map(|(g, y)| g * y / 4.0).collect();
    assert_close(&found, &expected, 1e-7);
}

#[test]
fn parameters_behind_the_margins_feel_the_drawn_derivatives_alone() {
    // The derivatives and their tail depend on the margins, hence on the parameter: none of that is followed.
    let device = Device::flex().autodiff();
    let (x, y) = ([0.5, -2.0, 3.0, 0.4], [1.0, -1.0, 1.0, -1.0]);
    let parameter = Tensor::<1>::from_data([1.5], (&device, DType::F64)).require_grad();
    let scores = Tensor::<1>::from_data(x, (&device, DType::F64)) * parameter.clone();
    let targets = Tensor::<1, Int>::from_ints([1, 0, 1, 0], &device);
    let gradients = ensemble().forward_scores(scores, targets).unwrap().backward();
    let found = values(&parameter.grad(&gradients).unwrap())[0];
    let margins: Vec<f64> = x.iter().zip(y).map(|(x, y)| 1.5 * x * y).collect();
    let drawn = ensemble().derivatives_at(&margins, 0, 1);
    let expected: f64 = drawn.iter().zip(x).zip(y).map(|((g, x), y)| g * x * y / 4.0).sum();
    assert_near(found, expected, 1e-12);
}

#[test]
fn every_step_draws_another_loss_and_the_seed_decides_which() {
    let z = line(&[-1.0, 0.0, 0.3, 0.9]);
    let mut one = ensemble();
    let (first, second) = (values(&one.derivatives(z.clone())), values(&one.derivatives(z.clone())));
    assert_ne!(first, second);
    assert_eq!(values(&ensemble().derivatives(z.clone())), first);
    assert_ne!(values(&EnsLossConfig::new().with_seed(4).init().unwrap().derivatives(z.clone())), first);
    let mut resumed = ensemble();
    resumed.on_step(1);
    assert_eq!(values(&resumed.derivatives(z)), second);
}

#[test]
fn training_draws_by_step_and_evaluation_is_the_logistic_loss() {
    let device = Device::flex();
    let logits = Tensor::<2>::from_data([[0.2, 0.7], [-1.0, 2.0], [0.5, -0.5]], (&device, DType::F64));
    let targets = Tensor::<1, Int>::from_ints([1, 0, 1], &device);
    let margins = [0.5, -3.0, -1.0];
    let loss = ensemble();
    let at = |step| {
        let moment = TrainingMoment { step, epoch: 1, rows: &[] };
        values(&loss.losses_in_training(logits.clone(), targets.clone(), &moment))
    };
    for step in [0, 5] {
        let drawn = loss.derivatives_at(&margins, step, 1);
        let expected: Vec<f64> = drawn.iter().zip(margins).map(|(g, z)| g * z).collect();
        assert_close(&at(step), &expected, 1e-12);
    }
    assert_ne!(at(0), at(5));
    let logistic = MarginLossConfig::new().with_phi(MarginPhi::Logistic).init().unwrap();
    let evaluated = values(&loss.forward_no_reduction(logits.clone(), targets.clone()));
    assert_close(&evaluated, &values(&logistic.forward_no_reduction(logits, targets)), 1e-12);
}

#[test]
fn one_against_the_rest_draws_for_each_class() {
    let device = Device::flex().autodiff();
    let logits = Tensor::<2>::from_floats([[0.5, 0.1, -0.2], [0.3, -2.0, 0.9]], &device).require_grad();
    let targets = Tensor::<1, Int>::from_ints([0, 2], &device);
    let moment = TrainingMoment { step: 2, epoch: 1, rows: &[] };
    let loss = ensemble().losses_in_training(logits.clone(), targets, &moment).sum();
    let slopes = values(&logits.grad(&loss.backward()).unwrap());
    // The target's score is pushed up, every other one down.
    let signs: Vec<bool> = slopes.iter().map(|slope| *slope < 0.0).collect();
    assert_eq!(signs, [true, false, false, false, false, true]);
}

#[test]
fn each_class_takes_the_sizes_that_were_drawn_for_it() {
    let device = Device::flex();
    let logits = [[0.5, 0.1, -0.2], [0.3, -2.0, 0.9], [0.0, 1.2, -0.4], [-1.0, 0.7, 2.0]];
    let (classes, rows) = ([0, 2, 1, 0], 4);
    let loss = ensemble();
    let moment = |step| TrainingMoment { step, epoch: 1, rows: &[] };
    let found = |step| {
        let logits = Tensor::<2>::from_data(logits, (&device, DType::F64));
        values(&loss.losses_in_training(logits, Tensor::from_ints(classes, &device), &moment(step)))
    };
    let mut expected = [0.0; 4];
    let sizes = loss.sizes(12, 5, 1);
    for (class, sizes) in sizes.chunks(rows).enumerate() {
        let sign = |row: usize| if classes[row] as usize == class { 1.0 } else { -1.0 };
        let margins: Vec<f64> = (0..rows).map(|row| sign(row) * logits[row][class]).collect();
        let sizes: Vec<f32> = sizes.iter().map(|&size| size as f32).collect();
        let drawn = values(&loss.derivatives_from_draws(line(&margins), &sizes).unwrap());
        (0..rows).for_each(|row| expected[row] += drawn[row] * margins[row]);
    }
    assert_close(&found(5), &expected, 1e-6);
    assert_ne!(sizes[..4], sizes[4..8]);
    assert_ne!(found(5), found(6));
}

#[test]
fn the_transformation_has_its_limits_and_never_gives_nan() {
    assert_near(inverse_box_cox(0.7, 0.0), 0.7_f64.exp(), 1e-12);
    for lam in [1e-9, -1e-9, 1e-12, 1e-15, 1e-17, -1e-17, 1e-300, f64::MIN_POSITIVE / 1e10] {
        // exp(r - lam r^2 / 2 + ...)
        assert_near(inverse_box_cox(0.7, lam), (0.7 - 0.245 * lam).exp(), 1e-12);
    }
    assert_near(inverse_box_cox(0.7, 1.0), 1.7, 1e-12);
    assert_near(inverse_box_cox(0.7, 2.0), 2.4_f64.sqrt(), 1e-12);
    assert_eq!((inverse_box_cox(-1.0, 1.0), inverse_box_cox(-2.0, 1.0)), (0.0, 0.0));
    assert_eq!((inverse_box_cox(1.0, -1.0), inverse_box_cox(1.5, -1.0)), (f64::INFINITY, f64::INFINITY));
    let loss = with_dist(DerivativeDist::InvBoxCox { lam: -1.0 });
    let derivatives = loss.derivatives_at(&[-1.0; 400], 0, 1);
    assert!(derivatives.iter().all(|g| (-1.000_001..0.0).contains(g) || *g == -1.000_001), "{derivatives:?}");
}

#[test]
fn drawn_sizes_have_the_distribution() {
    // Kolmogorov-Smirnov distance to the distribution function; 1.63 / sqrt(n) is exceeded once in a hundred.
    let normal = |x: f64| 0.5 * erfc(-x / std::f64::consts::SQRT_2);
    let cases: [(DerivativeDist, &dyn Fn(f64) -> f64); 5] = [
        (DerivativeDist::InvBoxCox { lam: 0.0 }, &|v: f64| normal(v.ln())),
        (DerivativeDist::Exponential { rate: 2.0 }, &|v: f64| 1.0 - (-2.0 * v).exp()),
        (DerivativeDist::HalfNormal { scale: 0.5 }, &|v: f64| 2.0 * normal(v / 0.5) - 1.0),
        (DerivativeDist::Gamma { shape: 2.0, scale: 3.0 }, &|v: f64| 1.0 - (1.0 + v / 3.0) * (-v / 3.0).exp()),
        (DerivativeDist::Beta { alpha: 2.0, beta: 5.0 }, &|v: f64| 1.0 - (1.0 - v).powi(5) * (1.0 + 5.0 * v)),
    ];
    for (dist, function) in cases {
        let mut sizes = with_dist(dist).sizes(4000, 0, 1);
        sizes.sort_by(f64::total_cmp);
        let distance = sizes.iter().enumerate().map(|(at, &size)| {
            let (below, above) = (at as f64 / 4000.0, (at + 1) as f64 / 4000.0);
            (function(size) - below).max(above - function(size))
        });
        assert!(distance.fold(0.0, f64::max) < 1.63 / 4000.0_f64.sqrt(), "{dist:?}");
    }
}

/// The complementary error function by a rational approximation, good to 1e-7.
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let coefficients = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let series = coefficients.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let value = t * (-x * x + series).exp();
    if x >= 0.0 { value } else { 2.0 - value }
}

#[test]
fn the_parameter_changes_with_the_period_alone() {
    let loss = EnsLossConfig::new().with_period(Some(10)).with_lam_range((0.0, 1.0)).with_seed(5).init().unwrap();
    assert_eq!(loss.dist_in(1), DerivativeDist::InvBoxCox { lam: 0.0 });
    assert_eq!(loss.dist_in(10), loss.dist_in(1));
    let second = loss.dist_in(11);
    assert!(matches!(second, DerivativeDist::InvBoxCox { lam } if (0.0..1.0).contains(&lam) && lam != 0.0));
    assert_eq!((loss.dist_in(20), loss.dist_in(21) == second), (second, false));
    assert_eq!(ensemble().dist_in(1000), DerivativeDist::InvBoxCox { lam: 0.0 });
    let mut own = loss.clone();
    own.on_epoch(11);
    let z = [-0.5, 0.2, 0.7];
    assert_close(&values(&own.derivatives(line(&z))), &loss.derivatives_at(&z, 0, 11), 1e-12);
}

#[test]
fn violations_are_found() {
    assert_eq!(check_calibration(&[0.5, -1.0, 2.0], &[-0.5, -1.0, -0.1]), []);
    assert_eq!(check_calibration(&[1.0, 1.0, 2.0], &[-0.5, -0.9, -0.5]), []);
    let found = check_calibration(&[0.5, -1.0, 2.0], &[-0.5, 0.1, -0.7]);
    let expected = [
        Violation::NotCalibrated { at: 1 },
        Violation::NotConvex { lower: 1, upper: 0 },
        Violation::NotConvex { lower: 1, upper: 2 },
    ];
    assert_eq!(found, expected);
    // What is not a number hides nothing behind it.
    let found = check_calibration(&[0.5, 1.0, 2.0], &[f64::NAN, -0.1, -0.5]);
    assert_eq!(found, [Violation::NotANumber { at: 0 }, Violation::NotConvex { lower: 1, upper: 2 }]);
    assert_eq!(check_calibration(&[f64::NAN, -1.0], &[-0.5, -0.5]), [Violation::NotANumber { at: 0 }]);
    assert_eq!(check_calibration(&[-1.0], &[f64::NAN]), [Violation::NotANumber { at: 0 }]);
}

#[test]
fn the_implied_loss_has_the_drawn_derivative_and_is_one_at_zero() {
    let (z, g) = ([1.0, -1.0, 0.5], [-0.2, -1.0, -0.6]);
    // From 0: -1 up to 1/2, then -0.6 up to 1, then -0.2; to the left the slope stays -1.
    let found = implied_loss(&z, &g, &[0.0, 0.5, 1.0, 3.0, -1.0, -2.0]);
    assert_close(&found, &[1.0, 0.5, 0.2, -0.2, 2.0, 3.0], 1e-12);
}

#[test]
fn the_population_loss_is_convex_and_falls() {
    let margins: Vec<f64> = (-20..=20).map(|step| f64::from(step) / 10.0).collect();
    let mean = population_loss(&ensemble(), &margins, &margins, 300);
    let slopes: Vec<f64> = mean.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(slopes.iter().all(|slope| *slope < 0.0) && slopes.is_sorted_by(|a, b| *a <= b + 1e-12), "{slopes:?}");
}

#[test]
fn derivatives_rise_with_the_rank_on_average() {
    let margins: Vec<f64> = (0..16).map(|rank| -1.0 + 0.1 * f64::from(rank)).collect();
    let mut mean = vec![0.0; 16];
    for step in 0..2000 {
        let drawn = ensemble().derivatives_at(&margins, step, 1);
        mean.iter_mut().zip(drawn).for_each(|(mean, g)| *mean += g / 2000.0);
    }
    assert!(mean.is_sorted(), "{mean:?}");
    // E min(exp r, 1) = 1/2 + exp(1/2) Phi(-1) = 0.7616.
    assert_near(mean.iter().sum::<f64>() / 16.0, -0.761_6, 0.01);
}

#[test]
fn a_separable_problem_is_learnt() {
    let device = Device::flex().autodiff();
    let mut weights = [0.0_f32, 0.0];
    let points: Vec<[f32; 2]> = (0..40).map(|i| [(i % 7) as f32 - 3.0, (i % 5) as f32 - 2.0]).collect();
    let points: Vec<[f32; 2]> = points.into_iter().filter(|[x, y]| (2.0 * x - y).abs() > 0.5).collect();
    let labels: Vec<i64> = points.iter().map(|[x, y]| i64::from(2.0 * x - y > 0.0)).collect();
    let rows: Vec<f32> = points.concat();
    let mut loss = ensemble();
    for _ in 0..200 {
        let leaf = Tensor::<1>::from_floats(weights, &device).require_grad();
        let inputs = Tensor::<1>::from_floats(rows.as_slice(), &device).reshape([points.len(), 2]);
        let scores = inputs.matmul(leaf.clone().reshape([2, 1])).squeeze_dim::<1>(1);
        let targets = Tensor::<1, Int>::from_ints(labels.as_slice(), &device);
        let gradients = loss.forward_scores(scores, targets).unwrap().backward();
        let slopes = values(&leaf.grad(&gradients).unwrap());
        weights.iter_mut().zip(slopes).for_each(|(weight, slope)| *weight -= 0.1 * slope as f32);
    }
    let right = |([x, y], label): (&[f32; 2], &i64)| (x * weights[0] + y * weights[1] > 0.0) == (*label == 1);
    assert!(points.iter().zip(&labels).all(right), "{weights:?}");
}

#[test]
fn bad_settings_and_batches_are_refused() {
    let configs = [
        EnsLossConfig::new().with_clip(0.0),
        EnsLossConfig::new().with_floor(0.0),
        EnsLossConfig::new().with_period(Some(0)),
        EnsLossConfig::new().with_lam_range((1.0, -1.0)),
        EnsLossConfig::new().with_lam_range((f64::NAN, 1.0)),
        EnsLossConfig::new().with_period(Some(3)).with_dist(DerivativeDist::Exponential { rate: 1.0 }),
        EnsLossConfig::new().with_dist(DerivativeDist::InvBoxCox { lam: f64::INFINITY }),
        EnsLossConfig::new().with_dist(DerivativeDist::Exponential { rate: 0.0 }),
        EnsLossConfig::new().with_dist(DerivativeDist::Gamma { shape: 1.0, scale: -1.0 }),
        EnsLossConfig::new().with_dist(DerivativeDist::Beta { alpha: 0.0, beta: 1.0 }),
        EnsLossConfig::new().with_dist(DerivativeDist::HalfNormal { scale: f64::NAN }),
    ];
    for config in configs {
        assert!(matches!(config.init(), Err(LossError::Setting { .. })), "{config}");
    }
    let message = |low, high| EnsLossConfig::new().with_lam_range((low, high)).init().unwrap_err().to_string();
    assert!(message(1.0, -2.0).contains("lam-high = -2"), "{}", message(1.0, -2.0));
    assert!(message(0.0, f64::NAN).contains("lam-high = NaN"), "{}", message(0.0, f64::NAN));
    let mut loss = ensemble();
    let empty = loss.forward_scores(line(&[]), Tensor::from_data([0_i64; 0], &Device::flex()));
    assert!(matches!(empty, Err(LossError::Empty { .. })));
    let targets = |values: [i64; 2]| Tensor::<1, Int>::from_ints(values, &Device::flex());
    let error = loss.forward_scores(line(&[0.0, 1.0]), targets([-1, 1])).unwrap_err();
    assert_eq!(error.to_string(), "ens-loss: the targets must be 0 or 1, found -1, 1");
    assert!(matches!(
        loss.forward_scores(line(&[0.0, f64::NAN]), targets([0, 1])),
        Err(LossError::Score { row: 1, .. })
    ));
    assert!(matches!(loss.derivatives_from_draws(line(&[0.0]), &[1.0, 2.0]), Err(LossError::Length { .. })));
    assert!(loss.derivatives_from_draws(line(&[0.0]), &[f32::NAN]).is_err());
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn every_draw_is_convex_calibrated_and_bounded(
        margins in proptest::collection::vec(-6.0..6.0_f64, 1..60),
        seed in 0..1000_u64,
        lam in -2.0..2.0_f64,
    ) {
        let loss = EnsLossConfig::new().with_seed(seed).with_dist(DerivativeDist::InvBoxCox { lam }).init().unwrap();
        let derivatives = loss.derivatives_at(&margins, 0, 1);
        prop_assert_eq!(check_calibration(&margins, &derivatives), []);
        prop_assert!(derivatives.iter().all(|g| *g < 0.0 && *g >= -1.0 - 1e-6));
        let mut turned = margins.clone();
        turned.reverse();
        let mut back = loss.derivatives_at(&turned, 0, 1);
        back.reverse();
        let mut sorted = margins.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.dedup();
        if sorted.len() == margins.len() {
            prop_assert_eq!(back, derivatives);
        }
    }
}
