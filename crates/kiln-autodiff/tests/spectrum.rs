//! Eigenvalues, densities and traces against matrices whose spectrum is known.

mod matrices;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use kiln_autodiff::spectrum::{
    LanczosConfig, PowerIterationConfig, SpectralDensityConfig, SpectrumEnd, diagonal_hutchinson, lanczos,
    power_iteration, sharpness, spectral_density, trace_hutch_plus_plus, trace_hutchinson,
};
use kiln_autodiff::{
    Arithmetic, FunctionOperator, HessianOperator, LinearOperator, Numbers, NumericalError, ShiftedOperator,
    symmetry_defect,
};
use kiln_check::{assert_close, assert_near, values};
use matrices::{dense_eigenvalues, diagonal, f64_options, largest_difference, matrix, random, vector, with_spectrum};

#[test]
fn lanczos_agrees_with_a_dense_decomposition_at_both_ends() {
    let entries = random(60 * 60, 3);
    let square = matrix(&entries, [60, 60]);
    let symmetric = square.clone() + square.transpose();
    let dense = dense_eigenvalues(&symmetric);
    let settings = LanczosConfig::new().with_count(5).with_end(SpectrumEnd::Both).with_tolerance(1e-9);
    let pairs = lanczos(&symmetric, &settings, f64_options()).unwrap();
    let expected: Vec<f64> = dense.iter().rev().take(5).chain(dense.iter().take(5)).copied().collect();
    assert_close(&pairs.values, &expected, 1e-12);
    assert!(pairs.residuals.iter().all(|&residual| residual <= 1e-9), "{:?}", pairs.residuals);
}

#[test]
fn the_eigenvectors_are_orthonormal_and_belong_to_their_values() {
    let spectrum: Vec<f64> = (0..50).map(|i| 1.2f64.powi(i)).collect();
    let operator = with_spectrum(&spectrum, 5);
    let settings = LanczosConfig::new().with_count(4).with_tolerance(1e-9).with_vectors(true);
    let pairs = lanczos(&operator, &settings, f64_options()).unwrap();
    let vectors = pairs.vectors.unwrap();
    assert_eq!(vectors.dims(), [4, 50]);
    let gram = vectors.clone().matmul(vectors.clone().transpose());
    assert!(largest_difference(&gram, &diagonal(&[1.0; 4])) < 1e-12);
    let images = vectors.clone().matmul(operator.clone());
    let expected = vectors * vector(&pairs.values).unsqueeze_dim::<2>(1);
    assert!(largest_difference(&images, &expected) < 1e-8 * pairs.values[0]);
}

#[test]
fn repeated_eigenvalues_are_complete_where_the_space_is_exhausted() {
    let repeated = diagonal(&[3.0, 1.0, 3.0, 1.0, 2.0, 1.0, 3.0, 0.0]);
    let settings = LanczosConfig::new().with_count(5).with_tolerance(1e-9);
    let pairs = lanczos(&repeated, &settings, f64_options()).unwrap();
    assert_close(&pairs.values, &[3.0, 3.0, 3.0, 2.0, 1.0], 1e-10);
    let identity = FunctionOperator::new(1000, |v: Tensor<1>| v);
    let pairs = lanczos(&identity, &LanczosConfig::new().with_count(7), f64_options()).unwrap();
    assert_close(&pairs.values, &[1.0; 7], 1e-12);
    assert!(pairs.products < 20);
    let zero = FunctionOperator::new(10, |v: Tensor<1>| v.zeros_like());
    assert_eq!(lanczos(&zero, &LanczosConfig::new(), f64_options()).unwrap().values, [0.0]);
}

#[test]
fn the_top_ten_of_a_hundred_thousand_are_found_in_single_precision() {
    // Ten outliers above a bulk with a heavy edge, the shape of the Hessian of a trained classifier.
    let dimension = 100_000;
    let outliers: Vec<f64> = (0..10).map(|i| 40.0 * 0.75f64.powi(i)).collect();
    let bulk = (10..dimension).map(|i| 1.5 * (1.0 - i as f64 / dimension as f64).powi(4) - 0.1);
    let spectrum: Vec<f64> = outliers.iter().copied().chain(bulk).collect();
    let device = Device::flex();
    let weights = Tensor::<1>::from_data(spectrum.as_slice(), &device);
    // Two reflections hide the axes.
    let mirror = Tensor::<1>::from_data(random(dimension, 1).as_slice(), &device);
    let mirror = mirror.clone() / mirror.clone().square().sum().sqrt();
    let reflect = |v: Tensor<1>| v.clone() - mirror.clone() * (mirror.clone() * v).sum() * 2;
    let operator = FunctionOperator::new(dimension, |v: Tensor<1>| reflect(weights.clone() * reflect(v)));
    let settings = LanczosConfig::new().with_count(10).with_tolerance(1e-4);
    let pairs = lanczos(&operator, &settings, &device).unwrap();
    for (found, expected) in pairs.values.iter().zip(&outliers) {
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} instead of {expected}");
    }
}

#[derive(Module, Debug)]
struct Perceptron {
    hidden: Linear,
    output: Linear,
}

#[test]
fn the_hessian_of_a_network_has_the_eigenvalues_of_its_dense_matrix() {
    let device = Device::flex();
    let layer = |inputs, outputs, seed| {
        let mut layer = LinearConfig::new(inputs, outputs).init(&device);
        layer.weight = layer.weight.map(|_| matrix(&random(inputs * outputs, seed), [inputs, outputs]));
        layer.bias = layer.bias.map(|bias| bias.map(|_| vector(&random(outputs, seed + 1))));
        layer
    };
    let network = Perceptron { hidden: layer(3, 8, 1), output: layer(8, 2, 3) };
    let (inputs, targets) = (matrix(&random(60, 5), [20, 3]), matrix(&random(40, 6), [20, 2]));
    let hessian = HessianOperator::new(&network, |network: &Perceptron, numbers| {
        let hidden = numbers.tanh(numbers.linear(&network.hidden, numbers.constant(inputs.clone())));
        let error = numbers.sub(numbers.linear(&network.output, hidden), numbers.constant(targets.clone()));
        numbers.mean(numbers.square(error))
    });
    let dimension = hessian.dimension();
    let unit = |index: usize| vector(&vec![0.0; dimension]).slice_fill(index..index + 1, 1.0);
    let dense = Tensor::stack((0..dimension).map(|index| hessian.apply(unit(index))).collect(), 0);
    let expected: Vec<f64> = dense_eigenvalues(&dense).into_iter().rev().take(10).collect();
    let settings = LanczosConfig::new().with_count(10).with_tolerance(1e-8);
    let pairs = lanczos(&hessian, &settings, f64_options()).unwrap();
    assert_close(&pairs.values, &expected, 1e-10);
    assert_near(sharpness(&hessian, 1e-4, f64_options()).unwrap(), expected[0], 1e-6);
}

#[test]
fn the_top_ten_of_a_network_of_a_hundred_thousand_parameters_satisfy_their_equation() {
    let device = Device::flex();
    let layer = |inputs: usize, outputs: usize, seed| {
        let mut layer = LinearConfig::new(inputs, outputs).init(&device);
        let scale = (3.0 / inputs as f64).sqrt();
        let weight = Tensor::<1>::from_data(random(inputs * outputs, seed).as_slice(), &device);
        layer.weight = layer.weight.map(|_| weight.reshape([inputs, outputs]) * scale);
        layer.bias = layer.bias.map(|bias| bias.map(|bias| bias.zeros_like()));
        layer
    };
    let network = Perceptron { hidden: layer(200, 480, 1), output: layer(480, 10, 2) };
    let batch = |width: usize, seed| {
        Tensor::<1>::from_data(random(64 * width, seed).as_slice(), &device).reshape::<2, _>([64, width])
    };
    let (inputs, targets) = (batch(200, 3), batch(10, 4));
    let hessian = HessianOperator::new(&network, |network: &Perceptron, numbers| {
        let hidden = numbers.tanh(numbers.linear(&network.hidden, numbers.constant(inputs.clone())));
        let error = numbers.sub(numbers.linear(&network.output, hidden), numbers.constant(targets.clone()));
        numbers.mean(numbers.square(error))
    });
    assert_eq!(hessian.dimension(), 200 * 480 + 480 + 480 * 10 + 10);
    let settings = LanczosConfig::new().with_count(10).with_tolerance(1e-4).with_vectors(true);
    let pairs = lanczos(&hessian, &settings, &device).unwrap();
    let vectors = pairs.vectors.unwrap();
    for (index, &value) in pairs.values.iter().enumerate() {
        let vector = vectors.clone().slice(index..index + 1).squeeze_dim::<1>(0);
        let rest = hessian.apply(vector.clone()) - vector * value;
        let residual = rest.square().sum().sqrt().into_scalar::<f64>() / value;
        assert!(residual < 1.1e-4, "eigenvalue {index}: {value}, residual {residual}");
    }
}

#[test]
fn sharpness_is_the_largest_eigenvalue_not_the_largest_magnitude() {
    let operator = with_spectrum(&[-9.0, -1.0, 0.5, 2.0, 7.0], 2);
    assert_near(sharpness(&operator, 1e-6, f64_options()).unwrap(), 7.0, 1e-9);
    let flipped = ShiftedOperator { operator: &operator, scale: -1.0, shift: 1.0 };
    assert_near(sharpness(&flipped, 1e-6, f64_options()).unwrap(), 10.0, 1e-9);
}

#[test]
fn lanczos_names_what_it_refuses_and_what_it_missed() {
    let skew = matrix(&[1.0, 2.0, -2.0, 1.0], [2, 2]);
    let refused = lanczos(&skew, &LanczosConfig::new(), f64_options()).unwrap_err();
    assert!(matches!(refused, NumericalError::NotSymmetric { operation: "Lanczos", .. }), "{refused}");

    let slow: Vec<f64> = (0..300).map(|i| f64::from(i) / 300.0).collect();
    let settings = LanczosConfig::new().with_count(10).with_tolerance(1e-8).with_max_steps(20);
    let missed = lanczos(&diagonal(&slow), &settings, f64_options()).unwrap_err();
    let NumericalError::NotConverged { iterations: 20, residual, .. } = missed else { panic!("{missed}") };
    assert!(residual > 1e-8 && residual < 1.0);

    let broken = FunctionOperator::new(5, |v: Tensor<1>| v * f64::NAN);
    let settings = LanczosConfig::new().with_check_symmetry(false);
    let refused = lanczos(&broken, &settings, f64_options()).unwrap_err();
    assert!(matches!(refused, NumericalError::NotFinite { .. }), "{refused}");

    for settings in [LanczosConfig::new().with_count(0), LanczosConfig::new().with_count(4)] {
        let refused = lanczos(&diagonal(&[1.0, 2.0, 3.0]), &settings, f64_options()).unwrap_err();
        assert!(matches!(refused, NumericalError::Setting { name: "count", .. }), "{refused}");
    }
    let settings = LanczosConfig::new().with_tolerance(0.0);
    let refused = lanczos(&diagonal(&[1.0]), &settings, f64_options()).unwrap_err();
    assert!(matches!(refused, NumericalError::Setting { name: "tolerance", .. }), "{refused}");
}

#[test]
fn the_symmetry_defect_tells_rounding_from_asymmetry() {
    let symmetric = with_spectrum(&(0..200).map(f64::from).collect::<Vec<_>>(), 8);
    assert!(symmetry_defect(&symmetric, 0, f64_options()) < 1e-13);
    let random = matrix(&random(200 * 200, 9), [200, 200]);
    let defect = symmetry_defect(&random, 0, f64_options());
    assert!(defect > 0.05 && defect < 10.0, "{defect}");
}

#[test]
fn power_iteration_with_deflation_finds_the_largest_magnitudes() {
    let operator = with_spectrum(&[-8.0, 6.0, 4.0, -2.0, 1.0, 0.1], 4);
    let settings = PowerIterationConfig::new().with_count(3).with_tolerance(1e-8);
    let pairs = power_iteration(&operator, &settings, f64_options()).unwrap();
    assert_close(&pairs.values, &[-8.0, 6.0, 4.0], 1e-9);
    let vectors = pairs.vectors.unwrap();
    let gram = vectors.clone().matmul(vectors.transpose());
    assert!(largest_difference(&gram, &diagonal(&[1.0; 3])) < 1e-12);

    let tied = diagonal(&[3.0, -3.0, 1.0]);
    let missed = power_iteration(&tied, &PowerIterationConfig::new(), f64_options()).unwrap_err();
    assert!(matches!(missed, NumericalError::NotConverged { residual, .. } if residual > 0.1), "{missed}");
    let refused = power_iteration(&tied, &PowerIterationConfig::new().with_count(4), f64_options()).unwrap_err();
    assert!(matches!(refused, NumericalError::Setting { name: "count", .. }), "{refused}");
}

#[test]
fn moments_of_the_spectral_density_agree_with_exact_traces() {
    let spectrum: Vec<f64> = (0..200).map(|i| 0.5 + 3.0 * (f64::from(i) / 200.0).powi(3)).collect();
    let operator = with_spectrum(&spectrum, 6);
    let settings = SpectralDensityConfig::new().with_probes(30).with_steps(30);
    let density = spectral_density(&operator, &settings, f64_options()).unwrap();
    for order in 1..=6 {
        let exact = spectrum.iter().map(|value| value.powi(order)).sum::<f64>() / 200.0;
        let estimate = density.moment(order);
        assert!((estimate.mean - exact).abs() < 4.0 * estimate.standard_error, "moment {order}: {estimate:?}, {exact}");
        assert!(estimate.standard_error < 0.15 * exact);
    }
    let exact: f64 = spectrum.iter().map(|value| value.ln()).sum();
    let log_determinant = density.trace_of(f64::ln);
    assert!((log_determinant.mean - exact).abs() < 4.0 * log_determinant.standard_error);
    let (low, high) = density.range();
    assert!(low > 0.5 - 1e-9 && low < 0.51 && high < 3.5 && high > 3.4, "{low} {high}");
}

#[test]
fn a_density_is_made_of_weights_that_sum_to_one() {
    let density = spectral_density(&diagonal(&[1.0, 1.0, 4.0]), &SpectralDensityConfig::new(), f64_options()).unwrap();
    assert_near(density.moment(0).mean, 1.0, 1e-12);
    assert!(density.probes.iter().all(|nodes| nodes.len() == 2), "two distinct eigenvalues have two nodes");
    let step = 0.01;
    let points: Vec<f64> = (-400..900).map(|i| f64::from(i) * step).collect();
    let area: f64 = density.smoothed(&points, 0.3).iter().map(|estimate| estimate.mean * step).sum();
    assert_near(area, 1.0, 1e-9);
    let again = spectral_density(&diagonal(&[1.0, 1.0, 4.0]), &SpectralDensityConfig::new(), f64_options()).unwrap();
    assert_eq!(density.probes, again.probes, "the same seed gives the same density");
}

#[test]
fn trace_estimates_hold_their_error_bars() {
    let spectrum: Vec<f64> = (0..100).map(|i| 10.0 / f64::from(1 + i).powi(2)).collect();
    let operator = with_spectrum(&spectrum, 7);
    let exact: f64 = spectrum.iter().sum();
    let plain = trace_hutchinson(&operator, 60, 1, f64_options()).unwrap();
    assert!((plain.mean - exact).abs() < 4.0 * plain.standard_error, "{plain:?}, exact {exact}");
    let better = trace_hutch_plus_plus(&operator, 60, 1, f64_options()).unwrap();
    assert!((better.mean - exact).abs() < 4.0 * better.standard_error, "{better:?}, exact {exact}");
    assert!(better.standard_error < 0.3 * plain.standard_error, "{better:?} {plain:?}");
}

#[test]
fn hutch_plus_plus_is_exact_for_a_low_rank() {
    let mut spectrum = vec![0.0; 40];
    spectrum[..3].copy_from_slice(&[5.0, 2.0, -1.0]);
    let estimate = trace_hutch_plus_plus(&with_spectrum(&spectrum, 2), 15, 0, f64_options()).unwrap();
    assert_near(estimate.mean, 6.0, 1e-10);
    assert!(estimate.standard_error < 1e-10);
    let whole = trace_hutch_plus_plus(&diagonal(&[1.0, 2.0]), 9, 0, f64_options()).unwrap();
    assert_near(whole.mean, 3.0, 1e-12);
}

#[test]
fn diagonals_are_exact_for_diagonal_operators_and_traces_refuse_nothing_to_do() {
    let operator = diagonal(&[1.0, -2.0, 3.0]);
    let estimate = diagonal_hutchinson(&operator, 2, 0, f64_options()).unwrap();
    assert_close(&values(&estimate), &[1.0, -2.0, 3.0], 1e-15);
    assert_near(trace_hutchinson(&operator, 2, 0, f64_options()).unwrap().mean, 2.0, 1e-15);
    for refused in [
        trace_hutchinson(&operator, 0, 0, f64_options()).unwrap_err(),
        trace_hutch_plus_plus(&operator, 2, 0, f64_options()).unwrap_err(),
        diagonal_hutchinson(&operator, 0, 0, f64_options()).unwrap_err(),
    ] {
        assert!(matches!(refused, NumericalError::Setting { .. }), "{refused}");
    }
}

#[test]
fn closures_and_references_are_operators() {
    let operator = FunctionOperator::new(2, |v: Tensor<1>| v * 3);
    let by_reference: &dyn LinearOperator = &operator;
    assert_eq!(by_reference.dimension(), 2);
    assert_close(&values(&by_reference.apply(vector(&[1.0, 2.0]))), &[3.0, 6.0], 0.0);
    assert_near(sharpness(&by_reference, 1e-6, f64_options()).unwrap(), 3.0, 1e-12);
}
