//! Implicit functions: their gradients against central differences, and what they refuse.

mod matrices;

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor};
use kiln_autodiff::NumericalError;
use kiln_autodiff::implicit::{
    ArgminConfig, ArgminMethod, Equation, FixedPointConfig, FixedPointMethod, InnerProblem, ModuleParameters,
    OperatorKind, RootConfig, RootMethod, argmin, constrained_least_squares, fixed_point, least_squares, root, solve,
    solve_matrix_free, solve_spd,
};
use kiln_autodiff::solve::KrylovConfig;
use kiln_check::random::normal;
use kiln_check::{assert_close, check_gradient, gradient, values};
use matrices::{diagonal, f64_options, largest_difference, matrix, random, vector};

const TOLERANCE: f64 = 1e-7;

fn linear() -> KrylovConfig {
    KrylovConfig::new().with_tolerance(1e-12)
}

/// A sum in which every entry has another weight.
fn weighted<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count: usize = tensor.dims().iter().product();
    let weights: Vec<f64> = (0..count).map(|index| (1.0 + index as f64).sin()).collect();
    (tensor.reshape::<1, _>([count]) * vector(&weights)).sum()
}

fn columns(tensor: &Tensor<2>, range: std::ops::Range<usize>) -> Tensor<2> {
    tensor.clone().slice([0..tensor.dims()[0], range])
}

fn rows(tensor: &Tensor<2>, range: std::ops::Range<usize>) -> Tensor<2> {
    tensor.clone().slice([range, 0..tensor.dims()[1]])
}

#[test]
fn a_dense_solution_has_the_gradients_of_both_sides() {
    let solution = |input: Tensor<2>| {
        let a = columns(&input, 0..4) + diagonal(&[3.0; 4]);
        weighted(solve(a, columns(&input, 4..6)).unwrap())
    };
    check_gradient(solution, &random(24, 1), [4, 6], TOLERANCE);
}

#[test]
fn a_positive_definite_solution_has_the_gradients_of_both_sides() {
    let solution = |input: Tensor<2>| {
        let factor = columns(&input, 0..4);
        let a = factor.clone().matmul(factor.transpose()) + diagonal(&[0.5; 4]);
        weighted(solve_spd(a, columns(&input, 4..6)).unwrap())
    };
    check_gradient(solution, &random(24, 2), [4, 6], TOLERANCE);
}

#[test]
fn batches_of_dense_solutions_have_gradients_too() {
    let solution = |input: Tensor<2>| {
        let a = columns(&input, 0..3).reshape::<3, _>([2, 3, 3]) + diagonal(&[2.0; 3]).unsqueeze::<3>();
        let b = columns(&input, 3..4).reshape::<3, _>([2, 3, 1]);
        let spd = a.clone().matmul(a.clone().transpose()) + diagonal(&[1.0; 3]).unsqueeze::<3>();
        weighted(solve(a, b.clone()).unwrap()) + weighted(solve_spd(spd, b).unwrap())
    };
    check_gradient(solution, &random(24, 3), [6, 4], TOLERANCE);
}

#[test]
fn the_gradient_of_a_symmetric_matrix_is_symmetric() {
    let device = Device::flex().autodiff();
    let a = Tensor::<2>::from_data([[4.0, 1.0], [1.0, 3.0]], (&device, DType::F64)).require_grad();
    let b = Tensor::<2>::from_data([[1.0], [2.0]], (&device, DType::F64));
    let x = solve_spd(a.clone(), b).unwrap();
    let gradient = a.grad(&x.slice([0..1, 0..1]).sum().backward()).unwrap();
    // x_1 = (3 b_1 - a_12 b_2) / (4 3 - a_12^2), by hand.
    assert_close(&values(&gradient), &[-3.0 / 121.0, -10.0 / 121.0, -10.0 / 121.0, 7.0 / 121.0], 1e-12);
}

#[test]
fn what_is_not_finite_from_above_goes_on_as_not_a_number() {
    let device = Device::flex().autodiff();
    let b = Tensor::<2>::from_data([[1.0], [2.0]], (&device, DType::F64)).require_grad();
    let x = solve(diagonal(&[1.0, 2.0]), b.clone()).unwrap();
    let gradient = b.grad(&(x * f64::INFINITY).sum().backward()).unwrap();
    assert!(values(&gradient).iter().all(|value| value.is_nan()));
}

#[test]
fn matrix_free_solutions_have_the_gradients_of_operator_and_right_side() {
    // Row 0..3 of the input makes the matrix, row 3 the right-hand side.
    for kind in [OperatorKind::PositiveDefinite, OperatorKind::Symmetric, OperatorKind::General] {
        let solution = |input: Tensor<2>| {
            let shape = rows(&input, 0..3);
            let b = rows(&input, 3..4).squeeze_dim::<1>(0);
            let product = move |v: Tensor<1>, shape: &Tensor<2>| {
                let v = v.unsqueeze_dim::<2>(1);
                let image = match kind {
                    OperatorKind::PositiveDefinite => {
                        shape.clone().matmul(shape.clone().transpose().matmul(v.clone())) + v
                    }
                    OperatorKind::Symmetric => (shape.clone() + shape.clone().transpose()).matmul(v.clone()) - v * 0.3,
                    OperatorKind::General => shape.clone().matmul(v.clone()) + v * 2,
                };
                image.squeeze_dim(1)
            };
            weighted(solve_matrix_free(product, &shape, b, kind, &linear()).unwrap())
        };
        check_gradient(solution, &random(12, 4), [4, 3], TOLERANCE);
    }
}

#[test]
fn least_squares_have_the_gradients_of_both_sides() {
    let solution = |input: Tensor<2>| weighted(least_squares(columns(&input, 0..3), columns(&input, 3..5)).unwrap());
    check_gradient(solution, &random(35, 5), [7, 5], TOLERANCE);
}

#[test]
fn constrained_least_squares_have_the_gradients_of_all_four() {
    let solution = |input: Tensor<2>| {
        let (objective, constraints) = (rows(&input, 0..6), rows(&input, 6..8));
        let x = constrained_least_squares(
            columns(&objective, 0..4),
            columns(&objective, 4..6),
            columns(&constraints, 0..4),
            columns(&constraints, 4..6),
        );
        weighted(x.unwrap())
    };
    check_gradient(solution, &random(48, 6), [8, 6], TOLERANCE);
}

#[test]
fn constraints_hold_and_may_fix_everything() {
    let (a, b) = (matrix(&random(15, 7), [5, 3]), matrix(&random(5, 8), [5, 1]));
    let (c, d) = (matrix(&random(6, 9), [2, 3]), matrix(&random(2, 10), [2, 1]));
    let x = constrained_least_squares(a.clone(), b.clone(), c.clone(), d.clone()).unwrap();
    assert!(largest_difference(&c.matmul(x), &d) < 1e-13);
    let (c, d) = (diagonal(&[1.0, 2.0, 4.0]), matrix(&[1.0, 2.0, 4.0], [3, 1]));
    let x = constrained_least_squares(a, b, c, d).unwrap();
    assert_close(&values(&x), &[1.0, 1.0, 1.0], 1e-14);
}

/// `z = tanh(W z + b)` with a contracting `W`.
fn layer(z: Tensor<2>, parameters: &(Tensor<2>, Tensor<2>)) -> Tensor<2> {
    (z.matmul(parameters.0.clone() * 0.4) + parameters.1.clone()).tanh()
}

#[test]
fn fixed_points_have_the_gradients_of_their_parameters() {
    let anderson = FixedPointMethod::Anderson { memory: 4, damping: 1.0 };
    for method in [anderson, FixedPointMethod::Damped { damping: 0.8 }] {
        let settings = FixedPointConfig::new()
            .with_method(method)
            .with_tolerance(1e-14)
            .with_absolute_tolerance(1e-15)
            .with_adjoint(linear());
        let solution = |input: Tensor<2>| {
            let parameters = (rows(&input, 0..3), rows(&input, 3..5));
            let start = Tensor::zeros([2, 3], f64_options());
            weighted(fixed_point(layer, start, &parameters, &settings).unwrap())
        };
        check_gradient(solution, &random(15, 11), [5, 3], TOLERANCE);
    }
}

#[test]
fn anderson_takes_fewer_evaluations_than_the_plain_iteration() {
    let parameters = (matrix(&random(64, 1), [8, 8]) * 1.2, matrix(&random(8, 2), [1, 8]));
    let needed = |method| {
        let settings = FixedPointConfig::new().with_method(method).with_tolerance(1e-10);
        let converges = |iterations| {
            let settings = settings.clone().with_max_iterations(iterations);
            fixed_point(layer, Tensor::zeros([1, 8], f64_options()), &parameters, &settings).is_ok()
        };
        (1..300).find(|&iterations| converges(iterations)).expect("convergence within 300 evaluations")
    };
    let plain = needed(FixedPointMethod::Damped { damping: 1.0 });
    let accelerated = needed(FixedPointMethod::Anderson { memory: 5, damping: 1.0 });
    assert!(accelerated < plain, "{accelerated} against {plain}");
}

#[test]
fn a_modules_parameters_get_the_gradient_of_its_fixed_point() {
    let device = Device::flex().autodiff();
    let mut module: Linear = LinearConfig::new(3, 3).init(&device);
    module.weight = Param::from_tensor(normal([3, 3], DType::F32).autodiff() * 0.5);
    module.bias = Some(Param::from_tensor(normal([3], DType::F32).autodiff() * 0.5));
    let iterate = |z: Tensor<2>, layer: &ModuleParameters<Linear>| (layer.0.forward(z) * 0.5).tanh();
    let settings = FixedPointConfig::new().with_tolerance(1e-6);
    let z = fixed_point(iterate, Tensor::zeros([1, 3], &device), &ModuleParameters(module.clone()), &settings).unwrap();
    let implicit = z.sum().backward();
    // The same through the graph of fifty iterations.
    let unrolled = (0..50).fold(Tensor::<2>::zeros([1, 3], &device), |z, _| (module.forward(z) * 0.5).tanh());
    let explicit = unrolled.sum().backward();
    for (implicit, explicit) in [
        (values(&module.weight.grad(&implicit).unwrap()), values(&module.weight.grad(&explicit).unwrap())),
        (
            values(&module.bias.as_ref().unwrap().grad(&implicit).unwrap()),
            values(&module.bias.as_ref().unwrap().grad(&explicit).unwrap()),
        ),
    ] {
        assert_close(&implicit, &explicit, 1e-4);
    }
    assert_eq!(module.num_params(), 12);
}

/// A cubic system that couples its unknowns, with its Jacobian products by hand.
struct Cubic;

impl Equation<Tensor<1>> for Cubic {
    fn residual(&self, z: Tensor<1>, theta: &Tensor<1>) -> Tensor<1> {
        z.clone().powi_scalar(3) + z.clone() * 2 + z.roll_dim(1, 0) * theta.clone().slice(0..1) - theta.clone()
    }

    fn pushforward(&self, z: Tensor<1>, v: Tensor<1>, theta: &Tensor<1>) -> Option<Tensor<1>> {
        Some((z.square() * 3 + 2) * v.clone() + v.roll_dim(1, 0) * theta.clone().slice(0..1))
    }
}

#[test]
fn roots_have_the_gradients_of_their_parameters() {
    for method in [RootMethod::Newton, RootMethod::NewtonKrylov] {
        let settings = RootConfig::new().with_method(method).with_tolerance(1e-12).with_linear(linear());
        let solution = |input: Tensor<2>| {
            let theta = input.squeeze_dim::<1>(0);
            weighted(root(Cubic, Tensor::ones([4], f64_options()) * 3, &theta, &settings).unwrap())
        };
        check_gradient(solution, &random(4, 12), [1, 4], TOLERANCE);
    }
}

/// Ridge-regularised logistic regression; the parameters are inputs, log of the ridge in the last row.
struct Logistic;

impl Logistic {
    fn parts(w: &Tensor<1>, input: &Tensor<2>) -> (Tensor<2>, Tensor<1>, Tensor<1>) {
        let x = rows(input, 0..6);
        let scores = x.clone().matmul(w.clone().unsqueeze_dim(1)).squeeze_dim::<1>(1);
        let ridge = input.clone().slice([6..7, 0..1]).reshape([1]).exp();
        (x, scores, ridge)
    }
}

impl InnerProblem<Tensor<2>> for Logistic {
    fn value(&self, w: Tensor<1>, input: &Tensor<2>) -> Tensor<1> {
        let (_, scores, ridge) = Self::parts(&w, input);
        (scores.exp() + 1).log().sum() - w.clone().sum() + ridge * w.square().sum() / 2
    }

    fn slope(&self, w: Tensor<1>, direction: Tensor<1>, input: &Tensor<2>) -> Tensor<1> {
        let (x, scores, ridge) = Self::parts(&w, input);
        let probability = (scores.neg().exp() + 1).recip();
        let along = x.matmul(direction.clone().unsqueeze_dim(1)).squeeze_dim::<1>(1);
        (probability * along).sum() - direction.clone().sum() + ridge * (w * direction).sum()
    }
}

#[test]
fn minima_have_the_gradients_of_their_parameters() {
    for method in [ArgminMethod::NewtonConjugateGradient, ArgminMethod::Lbfgs { memory: 8 }] {
        let settings = ArgminConfig::new().with_method(method).with_tolerance(1e-13).with_linear(linear());
        let solution = |input: Tensor<2>| {
            weighted(argmin(Logistic, Tensor::zeros([3], f64_options()), &input, &settings).unwrap())
        };
        check_gradient(solution, &random(21, 13), [7, 3], TOLERANCE);
    }
}

#[test]
fn a_gradient_step_through_a_minimum_matches_the_closed_form() {
    // min_w |w - t|^2 + l |w|^2 is w = t / (1 + l).
    struct Shrinkage;
    impl InnerProblem<(Tensor<1>, Tensor<1>)> for Shrinkage {
        fn value(&self, w: Tensor<1>, (t, l): &(Tensor<1>, Tensor<1>)) -> Tensor<1> {
            (w.clone() - t.clone()).square().sum() + l.clone() * w.square().sum()
        }
        fn slope(&self, w: Tensor<1>, v: Tensor<1>, (t, l): &(Tensor<1>, Tensor<1>)) -> Tensor<1> {
            ((w.clone() - t.clone()) * v.clone()).sum() * 2 + l.clone() * (w * v).sum() * 2
        }
    }
    let settings = ArgminConfig::new().with_tolerance(1e-12).with_linear(linear());
    let of = |input: Tensor<2>| {
        let row = input.squeeze_dim::<1>(0);
        let parameters = (row.clone().slice(0..2), row.slice(2..3));
        argmin(Shrinkage, Tensor::zeros([2], f64_options()), &parameters, &settings).unwrap()
    };
    let found = gradient(of, &[1.0, -3.0, 0.5], [1, 3]);
    assert_close(&found, &[1.0 / 1.5, 1.0 / 1.5, 2.0 / 2.25], 1e-10);
}

#[test]
fn constants_stay_outside_the_graph() {
    let theta = vector(&[4.0]);
    let z =
        root(|z: Tensor<1>, theta: &Tensor<1>| z.square() - theta.clone(), vector(&[1.0]), &theta, &RootConfig::new());
    assert!(!z.unwrap().is_autodiff());
}

#[test]
fn tracked_tensors_that_are_not_parameters_are_refused() {
    let device = Device::flex().autodiff();
    let hidden = Tensor::<1>::ones([1], &device).require_grad();
    let theta = Tensor::<1>::ones([1], &device).require_grad();
    let captured = hidden.clone();
    let refused = fixed_point(
        move |z: Tensor<1>, theta: &Tensor<1>| (z * captured.clone() + theta.clone()).cos(),
        Tensor::ones([1], &device),
        &theta,
        &FixedPointConfig::new(),
    );
    assert_eq!(refused.unwrap_err(), NumericalError::CapturedGradient { operation: "fixed point" });
    let captured = hidden.clone();
    let refused = root(
        move |z: Tensor<1>, theta: &Tensor<1>| z * captured.clone() - theta.clone(),
        Tensor::ones([1], &device),
        &theta,
        &RootConfig::new(),
    );
    assert_eq!(refused.unwrap_err(), NumericalError::CapturedGradient { operation: "root" });
    let product = move |v: Tensor<1>, theta: &Tensor<1>| v * hidden.clone() * theta.clone();
    let b = Tensor::ones([1], &device);
    let refused = solve_matrix_free(product, &theta, b, OperatorKind::General, &KrylovConfig::new());
    assert_eq!(refused.unwrap_err(), NumericalError::CapturedGradient { operation: "matrix-free solve" });
}

#[test]
fn iterations_that_do_not_converge_say_how_far_they_got() {
    let theta = vector(&[1.0]);
    let plain = FixedPointConfig::new().with_method(FixedPointMethod::Damped { damping: 1.0 }).with_max_iterations(40);
    let turn = |z: Tensor<1>, theta: &Tensor<1>| theta.clone() - z;
    let missed = fixed_point(turn, vector(&[2.0]), &theta, &plain).unwrap_err();
    assert!(
        matches!(missed, NumericalError::NotConverged { iterations: 40, residual, .. } if residual > 0.1),
        "{missed}"
    );
    let explode = |z: Tensor<1>, _: &Tensor<1>| z.square() * 10;
    let missed = fixed_point(explode, vector(&[2.0]), &theta, &plain.clone().with_max_iterations(2000)).unwrap_err();
    assert!(matches!(missed, NumericalError::NotFinite { operation: "fixed point", .. }), "{missed}");

    let never_zero = |z: Tensor<1>, _: &Tensor<1>| z.square() + 1;
    let missed = root(never_zero, vector(&[0.7]), &theta, &RootConfig::new()).unwrap_err();
    assert!(matches!(missed, NumericalError::NotConverged { residual, .. } if residual >= 1.0), "{missed}");
    let flat = |z: Tensor<1>, _: &Tensor<1>| z.zeros_like() + 1 + z * 0.0;
    let refused = root(flat, vector(&[0.7]), &theta, &RootConfig::new()).unwrap_err();
    assert!(matches!(refused, NumericalError::Singular { .. }), "{refused}");
    let too_few = |z: Tensor<1>, _: &Tensor<1>| z.slice(0..1);
    let refused = root(too_few, vector(&[0.7, 0.1]), &theta, &RootConfig::new()).unwrap_err();
    assert!(matches!(refused, NumericalError::Shape { .. }), "{refused}");
    let settings = RootConfig::new().with_method(RootMethod::NewtonKrylov);
    let refused = root(never_zero, vector(&[0.7]), &theta, &settings).unwrap_err();
    assert!(matches!(refused, NumericalError::NoPushforward { .. }), "{refused}");
}

/// `cos(w) + theta`: minima, but no convexity at 0.3.
struct Wave;

impl InnerProblem<Tensor<1>> for Wave {
    fn value(&self, w: Tensor<1>, theta: &Tensor<1>) -> Tensor<1> {
        w.cos() + theta.clone()
    }

    fn slope(&self, w: Tensor<1>, direction: Tensor<1>, _: &Tensor<1>) -> Tensor<1> {
        -w.sin() * direction
    }
}

#[test]
fn inner_problems_that_are_not_convex_are_refused_with_their_curvature() {
    let refused = argmin(Wave, vector(&[0.3]), &vector(&[0.0]), &ArgminConfig::new()).unwrap_err();
    let NumericalError::Indefinite { curvature, .. } = refused else { panic!("{refused}") };
    assert_close(&[curvature], &[-(0.3f64.cos())], 1e-12);
    let settings = ArgminConfig::new().with_max_iterations(1).with_tolerance(1e-12);
    let missed = argmin(Wave, vector(&[2.5]), &vector(&[0.0]), &settings).unwrap_err();
    assert!(matches!(missed, NumericalError::NotConverged { operation: "argmin", residual, .. } if residual > 1e-12));
}

#[test]
fn singular_and_misshapen_systems_are_refused() {
    let singular = matrix(&[1.0, 2.0, 2.0, 4.0], [2, 2]);
    let b = matrix(&[1.0, 1.0], [2, 1]);
    let refused = solve(singular.clone(), b.clone()).unwrap_err();
    assert!(matches!(refused, NumericalError::Singular { .. }), "{refused}");
    let refused = solve_spd(diagonal(&[1.0, -1.0]), b.clone()).unwrap_err();
    assert!(matches!(refused, NumericalError::NotPositiveDefinite { pivot: 1, .. }), "{refused}");
    let refused = least_squares(singular.clone(), b.clone()).unwrap_err();
    assert!(matches!(refused, NumericalError::Singular { .. }), "{refused}");
    let refused = constrained_least_squares(diagonal(&[1.0, 1.0]), b.clone(), singular, b.clone()).unwrap_err();
    assert!(matches!(refused, NumericalError::Singular { .. }), "{refused}");
    let refused = constrained_least_squares(diagonal(&[1.0, 1.0]), b.clone(), diagonal(&[1.0; 3]), b).unwrap_err();
    assert!(matches!(refused, NumericalError::Shape { .. }), "{refused}");
}

#[test]
#[should_panic(expected = "backward pass of fixed point: GMRES: not converged")]
fn a_backward_pass_that_does_not_converge_panics_with_the_residual() {
    // z = z - theta (z - 1) with theta = 0 is a fixed point wherever it starts, and I - df/dz is singular.
    let device = Device::flex().autodiff();
    let theta = Tensor::<1>::zeros([1], (&device, DType::F64)).require_grad();
    let f = |z: Tensor<1>, theta: &Tensor<1>| z.clone() - theta.clone() * (z - 1);
    let z = fixed_point(f, Tensor::zeros([1], (&device, DType::F64)), &theta, &FixedPointConfig::new()).unwrap();
    z.backward();
}
