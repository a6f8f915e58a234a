//! Linear solvers against solutions that are known.

mod matrices;

use burn::tensor::{Device, Tensor};
use kiln_autodiff::solve::{KrylovConfig, conjugate_gradient, dense, gmres, minres};
use kiln_autodiff::{FunctionOperator, NumericalError};
use kiln_check::{assert_close, values};
use matrices::{diagonal, largest_difference, matrix, random, vector, with_spectrum};

fn exact() -> KrylovConfig {
    KrylovConfig::new().with_tolerance(1e-11)
}

/// `x` and `A x` for a random `x`.
fn system(a: &Tensor<2>, seed: u64) -> (Tensor<1>, Tensor<1>) {
    let x = vector(&random(a.dims()[0], seed));
    let b = a.clone().matmul(x.clone().unsqueeze_dim(1)).squeeze_dim(1);
    (x, b)
}

fn spread(count: usize, low: f64, high: f64) -> Vec<f64> {
    (0..count).map(|i| low * (high / low).powf(i as f64 / (count - 1) as f64)).collect()
}

#[test]
fn conjugate_gradients_solve_positive_definite_systems() {
    let a = with_spectrum(&spread(80, 1.0, 100.0), 1);
    let (x, b) = system(&a, 2);
    let solution = conjugate_gradient(&a, b, None, &exact()).unwrap();
    assert!(largest_difference(&solution.x, &x) < 1e-9);
    assert!(solution.residual <= 1e-11 && solution.iterations <= 160);
}

#[test]
fn conjugate_gradients_end_after_as_many_steps_as_there_are_eigenvalues() {
    let (x, b) = system(&diagonal(&[2.0, 2.0, 5.0, 5.0, 5.0, 9.0]), 2);
    let solution = conjugate_gradient(&diagonal(&[2.0, 2.0, 5.0, 5.0, 5.0, 9.0]), b, None, &exact()).unwrap();
    assert!(largest_difference(&solution.x, &x) < 1e-12);
    assert_eq!(solution.iterations, 3);
}

#[test]
fn a_preconditioner_saves_iterations() {
    let scales = spread(100, 1.0, 1e4);
    let a = diagonal(&scales) + with_spectrum(&spread(100, 0.1, 0.5), 3);
    let (_, b) = system(&a, 4);
    let inverse = vector(&scales).recip();
    let jacobi = FunctionOperator::new(100, |v: Tensor<1>| v * inverse.clone());
    let settings = KrylovConfig::new().with_tolerance(1e-9).with_restart(100);
    let plain = conjugate_gradient(&a, b.clone(), None, &settings).unwrap();
    let better = conjugate_gradient(&a, b.clone(), Some(&jacobi), &settings).unwrap();
    assert!(better.iterations * 3 < plain.iterations, "{} against {}", better.iterations, plain.iterations);
    assert!(better.residual <= 1e-9);
    assert!(minres(&a, b.clone(), Some(&jacobi), &settings).unwrap().iterations * 3 < plain.iterations);
    assert!(gmres(&a, b, Some(&jacobi), &settings).unwrap().iterations * 3 < plain.iterations);
}

#[test]
fn conjugate_gradients_name_the_curvature_that_is_not_positive() {
    let indefinite = diagonal(&[2.0, -1.0]);
    let refused = conjugate_gradient(&indefinite, vector(&[0.0, 1.0]), None, &exact()).unwrap_err();
    let NumericalError::Indefinite { iteration: 1, curvature, residual, .. } = refused else { panic!("{refused}") };
    assert_close(&[curvature, residual], &[-1.0, 1.0], 1e-15);
    let singular = diagonal(&[2.0, 0.0]);
    let refused = conjugate_gradient(&singular, vector(&[1.0, 1.0]), None, &exact()).unwrap_err();
    assert!(matches!(refused, NumericalError::Indefinite { .. }), "{refused}");
}

#[test]
fn minres_solves_indefinite_systems() {
    let mut spectrum = spread(60, 0.5, 40.0);
    spectrum.iter_mut().step_by(3).for_each(|value| *value = -*value);
    let a = with_spectrum(&spectrum, 5);
    let (x, b) = system(&a, 6);
    let solution = minres(&a, b, None, &exact()).unwrap();
    assert!(largest_difference(&solution.x, &x) < 1e-9);
    assert!(solution.residual <= 1e-11);
}

#[test]
fn minres_solves_a_singular_system_that_has_a_solution_and_refuses_one_that_has_none() {
    let a = diagonal(&[1.0, -2.0, 0.0]);
    let solution = minres(&a, vector(&[1.0, 2.0, 0.0]), None, &exact()).unwrap();
    assert_close(&values(&solution.x), &[1.0, -1.0, 0.0], 1e-12);
    let refused = minres(&a, vector(&[1.0, 2.0, 3.0]), None, &exact()).unwrap_err();
    let NumericalError::NotConverged { residual, .. } = refused else { panic!("{refused}") };
    assert_close(&[residual], &[3.0 / 14f64.sqrt()], 1e-9);
}

#[test]
fn minres_refuses_what_is_not_symmetric() {
    let rotation = matrix(&[0.0, 1.0, -1.0, 0.0], [2, 2]);
    let refused = minres(&rotation, vector(&[1.0, 1.0]), None, &exact()).unwrap_err();
    assert!(matches!(refused, NumericalError::NotSymmetric { operation: "MINRES", .. }), "{refused}");
    let negative = FunctionOperator::new(2, |v: Tensor<1>| -v);
    let refused = minres(&diagonal(&[1.0, 2.0]), vector(&[1.0, 1.0]), Some(&negative), &exact()).unwrap_err();
    assert!(matches!(refused, NumericalError::Indefinite { operation: "preconditioner of MINRES", .. }), "{refused}");
}

#[test]
fn gmres_solves_systems_that_are_not_symmetric_with_and_without_restarts() {
    let a = matrix(&random(50 * 50, 7), [50, 50]) + diagonal(&[8.0; 50]);
    let (x, b) = system(&a, 8);
    for restart in [50, 10] {
        let solution = gmres(&a, b.clone(), None, &exact().with_restart(restart)).unwrap();
        assert!(largest_difference(&solution.x, &x) < 1e-9, "restart {restart}");
        assert!(solution.residual <= 1e-11);
    }
    let rotation = matrix(&[0.0, 1.0, -1.0, 0.0], [2, 2]);
    let solution = gmres(&rotation, vector(&[3.0, 4.0]), None, &exact()).unwrap();
    assert_close(&values(&solution.x), &[-4.0, 3.0], 1e-14);
}

#[test]
fn gmres_says_how_far_it_got() {
    let singular = diagonal(&[1.0, 2.0, 0.0]);
    let refused = gmres(&singular, vector(&[1.0, 2.0, 2.0]), None, &exact()).unwrap_err();
    let NumericalError::NotConverged { operation: "GMRES", residual, .. } = refused else { panic!("{refused}") };
    assert_close(&[residual], &[2.0 / 3.0], 1e-9);
    let a = with_spectrum(&spread(60, 0.01, 100.0), 9);
    let (_, b) = system(&a, 1);
    let refused = gmres(&a, b, None, &exact().with_max_iterations(5)).unwrap_err();
    assert!(matches!(refused, NumericalError::NotConverged { iterations: 5, .. }), "{refused}");
}

#[test]
fn solvers_agree_on_zero_on_shapes_and_on_what_is_not_finite() {
    let a = diagonal(&[1.0, 2.0]);
    let zero = vector(&[0.0, 0.0]);
    assert_close(&values(&conjugate_gradient(&a, zero.clone(), None, &exact()).unwrap().x), &[0.0, 0.0], 0.0);
    assert_close(&values(&minres(&a, zero.clone(), None, &exact()).unwrap().x), &[0.0, 0.0], 0.0);
    assert_close(&values(&gmres(&a, zero, None, &exact()).unwrap().x), &[0.0, 0.0], 0.0);
    let refused = conjugate_gradient(&a, vector(&[1.0]), None, &exact()).unwrap_err();
    assert!(matches!(refused, NumericalError::Shape { .. }), "{refused}");
    let refused = gmres(&a, vector(&[1.0, f64::NAN]), None, &exact()).unwrap_err();
    assert!(matches!(refused, NumericalError::NotFinite { iteration: 0, .. }), "{refused}");
    let refused = gmres(&a, vector(&[1.0, 1.0]), None, &exact().with_tolerance(2.0)).unwrap_err();
    assert!(matches!(refused, NumericalError::Setting { name: "tolerance", .. }), "{refused}");
}

#[test]
fn single_precision_reaches_its_default_tolerance() {
    let device = Device::flex();
    let scales = Tensor::<1>::from_data(spread(500, 1.0, 100.0).as_slice(), &device);
    let operator = FunctionOperator::new(500, |v: Tensor<1>| v * scales.clone());
    let b = Tensor::<1>::ones([500], &device);
    let settings = KrylovConfig::new();
    assert!(conjugate_gradient(&operator, b.clone(), None, &settings).unwrap().residual <= 1e-6);
    assert!(minres(&operator, b.clone(), None, &settings).unwrap().residual <= 1e-6);
    assert!(gmres(&operator, b, None, &settings).unwrap().residual <= 1e-6);
}

#[test]
fn dense_solutions_of_batches_satisfy_their_systems() {
    let spd = [with_spectrum(&spread(6, 1.0, 50.0), 1), with_spectrum(&spread(6, 0.1, 2.0), 2)];
    let spd: Tensor<4> = Tensor::<3>::stack(spd.map(|a| a.unsqueeze::<3>()).to_vec(), 0);
    let general = spd.clone() + matrix(&random(72, 3), [12, 6]).reshape::<4, _>([2, 1, 6, 6]) * 0.02;
    let b = matrix(&random(36, 4), [12, 3]).reshape::<4, _>([2, 1, 6, 3]);
    let by_cholesky = dense::solve_spd(spd.clone(), b.clone()).unwrap();
    assert!(largest_difference(&spd.matmul(by_cholesky), &b) < 1e-12);
    let by_lu = dense::solve(general.clone(), b.clone()).unwrap();
    assert!(largest_difference(&general.clone().matmul(by_lu), &b) < 1e-12);
    let factors = dense::Factorisation::lu(general.clone()).unwrap();
    let transposed = factors.solve_transposed(b.clone()).unwrap();
    assert!(largest_difference(&general.transpose().matmul(transposed), &b) < 1e-12);
}

#[test]
fn least_squares_leave_a_residual_orthogonal_to_the_columns() {
    let (a, b) = (matrix(&random(20, 5), [10, 2]), matrix(&random(10, 6), [10, 1]));
    let x = dense::least_squares(a.clone(), b.clone()).unwrap();
    let rest = a.clone().matmul(x) - b;
    assert!(largest_difference(&a.transpose().matmul(rest), &matrix(&[0.0; 2], [2, 1])) < 1e-13);
}

#[test]
fn dense_solvers_name_what_they_refuse() {
    let b = matrix(&[1.0, 1.0], [2, 1]);
    let indefinite = matrix(&[1.0, 2.0, 2.0, 1.0], [2, 2]);
    let refused = dense::solve_spd(indefinite, b.clone()).unwrap_err();
    assert!(matches!(refused, NumericalError::NotPositiveDefinite { batch: 0, pivot: 1, .. }), "{refused}");
    let asymmetric = matrix(&[4.0, 1.0, 0.0, 4.0], [2, 2]);
    let refused = dense::solve_spd(asymmetric, b.clone()).unwrap_err();
    assert!(matches!(refused, NumericalError::NotSymmetric { .. }), "{refused}");
    let singular = matrix(&[1.0, 2.0, 2.0, 4.0], [2, 2]);
    let refused = dense::solve(singular.clone(), b.clone()).unwrap_err();
    assert!(matches!(refused, NumericalError::Singular { batch: 0, .. }), "{refused}");
    let refused = dense::solve_spd(singular.clone(), b.clone()).unwrap_err();
    let named = matches!(refused, NumericalError::Singular { .. } | NumericalError::NotPositiveDefinite { .. });
    assert!(named, "{refused}");
    let refused = dense::least_squares(singular, b.clone()).unwrap_err();
    assert!(matches!(refused, NumericalError::Singular { .. }), "{refused}");
    let refused = dense::solve(matrix(&[f64::NAN; 4], [2, 2]), b.clone()).unwrap_err();
    assert!(matches!(refused, NumericalError::NotFinite { .. }), "{refused}");
    for refused in [
        dense::solve(matrix(&[1.0; 6], [3, 2]), b.clone()).unwrap_err(),
        dense::solve(diagonal(&[1.0; 3]), b.clone()).unwrap_err(),
        dense::least_squares(matrix(&[1.0; 6], [2, 3]), b).unwrap_err(),
    ] {
        assert!(matches!(refused, NumericalError::Shape { .. }), "{refused}");
    }
}
