//! Operators against closed forms, differences and each other.

use crate::double_precision::{double, options, tensor};
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor};
use kiln_autodiff::layers::loss;
use kiln_autodiff::{
    Arithmetic, DiagonalMethod, Duals, GaussNewtonOperator, HessianOperator, LinearOperator, Number, Numbers, Tangent,
    TangentError, gnvp, grad_of_grad_match, hessian, hessian_diagonal, hvp, jacobian, jacobian_by_columns,
    jacobian_by_rows, jvp, laplacian, per_example_gradient_norms, per_example_gradients, vjp,
};
use kiln_check::{assert_close, assert_near, values};

/// A perceptron with one hidden layer of tanh.
#[derive(Module, Debug)]
struct Perceptron {
    hidden: Linear,
    output: Linear,
}

impl Perceptron {
    fn new(widths: [usize; 3]) -> Self {
        let layer = |inputs, outputs, seed| {
            let mut layer = double(LinearConfig::new(inputs, outputs).init(&Device::flex()));
            layer.weight = Param::from_tensor(tensor([inputs, outputs], seed));
            layer.bias = Some(Param::from_tensor(tensor([outputs], seed + 1)));
            layer
        };
        Self { hidden: layer(widths[0], widths[1], 20), output: layer(widths[1], widths[2], 30) }
    }

    fn forward_in<N: Numbers>(&self, numbers: &N, x: N::T<2>) -> N::T<2> {
        numbers.linear(&self.output, numbers.tanh(numbers.linear(&self.hidden, x)))
    }
}

/// A linear layer without bias.
fn linear_map(inputs: usize, outputs: usize) -> Linear {
    let mut layer = double(LinearConfig::new(inputs, outputs).with_bias(false).init(&Device::flex()));
    layer.weight = Param::from_tensor(tensor([inputs, outputs], 40));
    layer
}

fn targets() -> Tensor<1, Int> {
    Tensor::from_ints([2, 0, 1, 1, 2], &Device::flex())
}

fn classification(inputs: Tensor<2>) -> impl Fn(&Linear, &Duals) -> Number<1> + Clone {
    move |layer, numbers| {
        let logits = numbers.linear(layer, numbers.constant(inputs.clone()));
        loss::cross_entropy(numbers, logits, targets())
    }
}

#[test]
fn the_hessian_of_a_quadratic_is_its_matrix() {
    let layer = linear_map(4, 1);
    let a = tensor::<2>([4, 4], 1);
    let symmetric = a.clone() + a.transpose();
    let v = Tangent::random(&layer, 3);
    let product = hvp(&layer, &v, |layer, numbers| {
        let w = numbers.parameter(&layer.weight);
        let image = numbers.matmul(numbers.constant(symmetric.clone()), w.clone());
        numbers.scale(numbers.sum(numbers.mul(w, image)), 0.5)
    })
    .unwrap();
    let expected = symmetric.matmul(v.to_flat().unsqueeze_dim(1));
    assert_close(&values(&product.to_flat()), &values(&expected), 1e-12);
}

#[test]
fn softmax_regression_has_its_known_hessian_which_is_also_gauss_newton() {
    let (layer, inputs) = (linear_map(4, 3), tensor::<2>([5, 4], 2));
    let v = Tangent::random(&layer, 3);
    let product = hvp(&layer, &v, classification(inputs.clone())).unwrap();

    // H v = X' (p * (u - sum p u)) / n for u = X v
    let p = softmax(layer.forward(inputs.clone()), 1);
    let u = inputs.clone().matmul(v.get::<2>(layer.weight.id).unwrap());
    let weighted = p.clone() * u;
    let curved = weighted.clone() - p * weighted.sum_dim(1);
    let expected = inputs.clone().transpose().matmul(curved) / 5.0;
    assert_close(&values(&product.to_flat()), &values(&expected), 1e-12);

    let outputs = |layer: &Linear, numbers: &Duals| numbers.linear(layer, numbers.constant(inputs.clone()));
    let loss = |numbers: &Duals, logits| loss::cross_entropy(numbers, logits, targets());
    let product = gnvp(&layer, &v, outputs, loss).unwrap();
    assert_close(&values(&product.to_flat()), &values(&expected), 1e-12);
}

#[test]
fn a_deep_linear_net_has_its_known_hessian() {
    // L = |X A B|^2 / 2 with the direction (U, V) has the derivative <X A B, X (U B + A V)>, and its gradient
    // dA: X' [X (U B + A V) B' + X A B V'],  dB: (X A)' X (U B + A V) + (X U)' X A B
    #[derive(Module, Debug)]
    struct Deep {
        a: Linear,
        b: Linear,
    }
    let net = Deep { a: linear_map(4, 3), b: linear_map(3, 2) };
    let x = tensor::<2>([5, 4], 2);
    let direction = Tangent::random(&net, 3);
    let product = hvp(&net, &direction, |net, numbers| {
        let hidden = numbers.linear(&net.a, numbers.constant(x.clone()));
        numbers.scale(numbers.sum(numbers.square(numbers.linear(&net.b, hidden))), 0.5)
    })
    .unwrap();

    let (a, b) = (net.a.weight.val(), net.b.weight.val());
    let [u, v] = [net.a.weight.id, net.b.weight.id].map(|id| direction.get::<2>(id).unwrap());
    let (xa, xu) = (x.clone().matmul(a), x.clone().matmul(u));
    let output = xa.clone().matmul(b.clone());
    let moved = xu.clone().matmul(b.clone()) + xa.clone().matmul(v.clone());
    let slope_a = x.transpose().matmul(moved.clone().matmul(b.transpose()) + output.clone().matmul(v.transpose()));
    let slope_b = xa.transpose().matmul(moved) + xu.transpose().matmul(output);
    let expected = [values(&slope_a), values(&slope_b)].concat();
    assert_close(&values(&product.to_flat()), &expected, 1e-11);
}

#[test]
fn jacobians_agree_by_rows_by_columns_and_by_products() {
    let net = Perceptron::new([20, 6, 3]);
    let point = tensor::<2>([1, 20], 5);
    let function = |numbers: &Duals, x| net.forward_in(numbers, x);
    let columns = jacobian_by_columns(function, point.clone());
    assert_eq!(columns.dims(), [3, 20]);
    assert_close(&values(&jacobian_by_rows(function, point.clone())), &values(&columns), 1e-12);
    assert_close(&values(&jacobian(function, point.clone())), &values(&columns), 1e-12);

    let v = tensor::<2>([1, 20], 6);
    let (value, product) = jvp(function, point.clone(), v.clone());
    assert_close(&values(&product), &values(&columns.clone().matmul(v.transpose())), 1e-12);
    let u = tensor::<2>([1, 3], 7);
    let (same, product) = vjp(|x| net.forward_in(&kiln_autodiff::Values, x), point, |_| u.clone());
    assert_close(&values(&same), &values(&value), 1e-12);
    assert_close(&values(&product), &values(&u.matmul(columns)), 1e-12);
}

#[test]
fn the_laplacian_is_the_trace_of_the_hessian() {
    for dimension in [1, 2, 5] {
        let net = Perceptron::new([dimension, 6, 2]);
        let points = tensor::<2>([4, dimension], 8);
        let small = laplacian(|numbers, x| net.forward_in(numbers, x), points.clone());
        let whole = hessian(|numbers, x| net.forward_in(numbers, x), points.clone());
        assert_eq!(whole.hessian.dims(), [4, 2, dimension, dimension]);
        assert_close(&values(&small.value), &values(&whole.value), 1e-12);
        assert_close(&values(&small.gradient), &values(&whole.gradient), 1e-12);
        let identity = Tensor::<2>::eye(dimension, options().0).cast(burn::tensor::DType::F64).unsqueeze::<4>();
        let trace = (whole.hessian.clone() * identity).sum_dim(3).sum_dim(2);
        assert_close(&values(&small.laplacian), &values(&trace), 1e-11);

        // Gradients and Hessians of the first point against the Jacobian and its differences.
        let point = points.narrow(0, 0, 1);
        let gradient = |x: Tensor<2>| jacobian(|numbers, x| net.forward_in(numbers, x), x);
        assert_close(&values(&small.gradient.narrow(0, 0, 1)), &values(&gradient(point.clone())), 1e-12);
        for axis in 0..dimension {
            let unit = Tensor::<2>::zeros([1, dimension], options()).slice_fill([0..1, axis..axis + 1], 1.0);
            let at = |step: f64| gradient(point.clone() + unit.clone() * step);
            let column = (at(1e-5) - at(-1e-5)) / 2e-5;
            let row = whole.hessian.clone().narrow(0, 0, 1).narrow(2, axis, 1);
            assert_close(&values(&row), &values(&column), 1e-7);
        }
    }
}

#[test]
fn the_laplacian_of_a_harmonic_function_is_zero() {
    // log |x| in two dimensions.
    let points = tensor::<2>([6, 2], 3);
    let result = laplacian(|n, x| n.scale(n.log(n.sum_dim(n.square(x), 1)), 0.5), points);
    assert_close(&values(&result.laplacian), &[0.0; 6], 1e-10);
}

#[test]
fn a_loss_on_laplacians_has_gradients() {
    let points = tensor::<2>([4, 2], 8);
    let gradient = |points: Tensor<2>| {
        vjp(
            |points| {
                let net = Perceptron::new([2, 6, 1]);
                laplacian(|numbers, x| net.forward_in(numbers, x), points).laplacian.square().sum()
            },
            points,
            Tensor::ones_like,
        )
    };
    let (_, slopes) = gradient(points.clone());
    let direction = tensor::<2>([4, 2], 9);
    let at = |step: f64| gradient(points.clone() + direction.clone() * step).0;
    let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
    assert_close(&values(&(slopes * direction).sum()), &values(&expected), 1e-6);
}

#[test]
fn diagonals_are_exact_or_within_their_standard_error() {
    let (layer, inputs) = (linear_map(4, 3), tensor::<2>([5, 4], 2));
    let loss = classification(inputs);
    let operator = HessianOperator::new(&layer, loss.clone());
    let dense = |index: usize| {
        let unit = Tensor::<1>::zeros([12], options()).slice_fill(index..index + 1, 1.0);
        values(&operator.apply(unit))[index]
    };
    let expected: Vec<f64> = (0..12).map(dense).collect();
    assert_eq!(DiagonalMethod::cheapest(&layer, 12, 0), DiagonalMethod::Exact);
    let exact = hessian_diagonal(&layer, DiagonalMethod::Exact, &loss).unwrap();
    assert_close(&values(&exact.diagonal.to_flat()), &expected, 1e-12);
    assert!(exact.standard_error.is_none());

    let method = DiagonalMethod::Hutchinson { samples: 200, seed: 1 };
    let estimate = hessian_diagonal(&layer, method, &loss).unwrap();
    let errors = values(&estimate.standard_error.unwrap().to_flat());
    for ((found, error), expected) in values(&estimate.diagonal.to_flat()).into_iter().zip(errors).zip(expected) {
        assert!(error > 0.0 && (found - expected).abs() < 4.0 * error, "{found} +- {error} for {expected}");
    }
    let again = hessian_diagonal(&layer, method, &loss).unwrap();
    assert_eq!(values(&again.diagonal.to_flat()), values(&estimate.diagonal.to_flat()));
}

#[test]
fn matrix_free_operators_are_symmetric() {
    let net = Perceptron::new([4, 5, 3]);
    let inputs = tensor::<2>([5, 4], 2);
    let outputs = |net: &Perceptron, numbers: &Duals| net.forward_in(numbers, numbers.constant(inputs.clone()));
    let cross_entropy = |numbers: &Duals, logits| loss::cross_entropy(numbers, logits, targets());
    let hessian =
        HessianOperator::new(&net, |net: &Perceptron, numbers: &Duals| cross_entropy(numbers, outputs(net, numbers)));
    let gauss_newton = GaussNewtonOperator::new(&net, outputs, cross_entropy);
    let dimension = 4 * 5 + 5 + 5 * 3 + 3;
    assert_eq!([hessian.dimension(), gauss_newton.dimension()], [dimension; 2]);
    let (u, v) = (tensor::<1>([dimension], 1), tensor::<1>([dimension], 2));
    let form = |operator: &dyn LinearOperator, u: &Tensor<1>, v: &Tensor<1>| {
        values(&(operator.apply(u.clone()) * v.clone()).sum())[0]
    };
    for operator in [&hessian as &dyn LinearOperator, &gauss_newton] {
        assert_near(form(operator, &u, &v), form(operator, &v, &u), 1e-12);
    }
    assert!(form(&gauss_newton, &u, &u) > 0.0);
}

#[test]
fn gradients_of_gradient_functions_agree_with_differences() {
    let net = Perceptron::new([4, 5, 3]);
    let inputs = tensor::<2>([5, 4], 2);
    let reference = tensor::<1>([43], 4);
    let matched = |inputs: Tensor<2>| {
        let loss =
            |net: &Perceptron, numbers: &Duals, x| loss::cross_entropy(numbers, net.forward_in(numbers, x), targets());
        // One minus the cosine with a reference.
        grad_of_grad_match(&net, inputs, loss, |gradient| {
            let inner = (gradient.clone() * reference.clone()).sum();
            let size = gradient.square().sum().sqrt();
            -(inner / size) + 1.0
        })
    };
    let result = matched(inputs.clone());
    let direction = tensor::<2>([5, 4], 6);
    let at = |step: f64| matched(inputs.clone() + direction.clone() * step).value;
    let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
    assert_close(&values(&(result.gradient * direction).sum()), &values(&expected), 1e-6);
    assert_eq!(result.parameter_gradient.dimension(), 43);
}

#[test]
fn gradients_of_single_examples_sum_to_that_of_the_batch() {
    let net = Perceptron::new([4, 5, 3]);
    let inputs = tensor::<2>([5, 4], 2);
    let loss = |net: &Perceptron, example| {
        let outputs = net.forward_in(&kiln_autodiff::Values, inputs.clone().narrow(0, example, 1));
        outputs.square().sum()
    };
    let gradients = per_example_gradients(&net, 5, loss);
    assert_eq!(gradients.dims(), [5, 43]);
    let norms = per_example_gradient_norms(&net, 5, loss);
    assert_close(&values(&norms), &values(&gradients.clone().square().sum_dim(1).sqrt()), 1e-12);

    let whole = grad_of_grad_match(
        &net,
        inputs.clone(),
        |net, numbers, x| numbers.sum(numbers.square(net.forward_in(numbers, x))),
        |gradient| gradient.sum(),
    );
    assert_close(&values(&gradients.sum_dim(0)), &values(&whole.parameter_gradient.to_flat()), 1e-11);
}

#[test]
fn parameters_move_in_several_directions_at_once() {
    let net = Perceptron::new([4, 5, 3]);
    let x = tensor::<2>([2, 4], 2);
    let tangents: Vec<Tangent> = (0..3).map(|seed| Tangent::random(&net, seed)).collect();
    let duals = Duals::in_directions(3).with_parameter_directions(tangents.clone());
    let together = duals.tangent(&net.forward_in(&duals, duals.constant(x.clone())));
    let alone = tangents.iter().map(|tangent| {
        let duals = Duals::new().with_parameters(tangent);
        duals.tangent(&net.forward_in(&duals, duals.constant(x.clone())))
    });
    assert_close(&values(&together), &values(&Tensor::cat(alone.collect(), 0)), 1e-12);
}

#[test]
fn a_tangent_of_another_structure_is_refused_by_name() {
    let (net, other) = (Perceptron::new([4, 5, 3]), Perceptron::new([4, 6, 3]));
    let loss = |net: &Perceptron, numbers: &Duals| {
        let outputs = net.forward_in(numbers, numbers.constant(tensor::<2>([2, 4], 1)));
        numbers.mean(numbers.square(outputs))
    };
    let error = hvp(&net, &Tangent::random(&other, 1), loss).unwrap_err();
    let expected = TangentError::Structure {
        parameter: "hidden.weight".to_string(),
        expected: Some(vec![4, 5]),
        actual: Some(vec![4, 6]),
    };
    assert_eq!(error, expected);
    assert_eq!(error.to_string(), "parameter `hidden.weight`: expected shape [4, 5], found shape [4, 6]");

    // Equal shapes, but the parameters of another module.
    let error = hvp(&net, &Tangent::random(&Perceptron::new([4, 5, 3]), 1), loss).unwrap_err();
    assert!(matches!(&error, TangentError::Structure { actual: None, .. }), "{error}");
    let error = hvp(&net, &Tangent::random(&net.hidden, 1), loss).unwrap_err();
    assert!(matches!(&error, TangentError::Structure { parameter, .. } if parameter == "output.weight"), "{error}");

    let error = Tangent::from_flat(&net, Tensor::zeros([42], options())).unwrap_err();
    assert_eq!(error, TangentError::Length { expected: 43, actual: 42 });
    assert!(Tangent::random(&net, 1).add(&Tangent::random(&other, 1)).is_err());
    assert!(Tangent::random(&net, 1).dot(&Tangent::random(&other, 1)).is_err());
}

#[test]
fn tangents_are_vectors() {
    let net = Perceptron::new([4, 5, 3]);
    let (a, b) = (Tangent::random(&net, 1), Tangent::random_signs(&net, 2));
    assert_eq!(values(&a.to_flat()), values(&Tangent::random(&net, 1).to_flat()));
    assert_ne!(values(&a.to_flat()), values(&Tangent::random(&net, 2).to_flat()));
    assert_near(b.norm().powi(2), 43.0, 1e-12);
    assert!(values(&b.to_flat()).iter().all(|sign| sign.abs() == 1.0));
    let sum = a.add(&b.scale(2.0)).unwrap();
    assert_near(sum.dot(&a).unwrap(), a.dot(&a).unwrap() + 2.0 * a.dot(&b).unwrap(), 1e-10);
    let zero = Tangent::zeros_like(&net);
    assert_eq!((zero.norm(), zero.dot(&a).unwrap()), (0.0, 0.0));
    assert_close(&values(&zero.add(&a).unwrap().to_flat()), &values(&a.to_flat()), 0.0);
    assert_close(&values(&zero.to_flat()), &[0.0; 43], 0.0);

    let moved = a.displace(&net, 0.5).unwrap();
    let expected = Tangent::from_parameters(&net).to_flat() + a.to_flat() * 0.5;
    assert_close(&values(&Tangent::from_parameters(&moved).to_flat()), &values(&expected), 1e-14);
    let names: Vec<&str> = a.parameters().map(|(name, _)| name).collect();
    assert_eq!(names, ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]);
}
