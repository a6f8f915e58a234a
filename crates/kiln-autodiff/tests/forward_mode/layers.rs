//! Every operation in every kind of number: against central differences, and the kinds against each other.

use crate::double_precision::{double, tensor};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv1dConfig, Conv2dConfig, ConvTranspose1dConfig, ConvTranspose2dConfig};
use burn::nn::norm::{Normalization, NormalizationConfig};
use burn::nn::{
    BatchNormConfig, GroupNormConfig, InstanceNormConfig, LayerNormConfig, LinearConfig, PaddingConfig1d,
    PaddingConfig2d, RmsNormConfig,
};
use burn::tensor::ops::{AttentionModuleOptions, AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Int, Tensor, s};
use kiln_autodiff::layers::loss;
use kiln_autodiff::{
    Arithmetic, Duals, Function, Hessians, Jets, Laplacians, Number, Numbers, Values, hvp_inputs, vjp,
};
use kiln_check::{assert_close, values};

/// A function that is written over any kind of number.
trait Case<const D: usize, const E: usize> {
    fn run<N: Numbers>(&self, n: &N, x: N::T<D>) -> N::T<E>;
}

/// A case with what it captures.
macro_rules! case {
    ($([$($field:ident: $kind:ty = $value:expr),*])? <$d:literal, $e:literal> |$n:ident, $x:ident| $body:expr) => {{
        struct Captured { $($($field: $kind),*)? }
        impl Case<$d, $e> for Captured {
            fn run<N: Numbers>(&self, $n: &N, $x: N::T<$d>) -> N::T<$e> {
                $($(let $field = &self.$field;)*)?
                $body
            }
        }
        Captured { $($($field: $value),*)? }
    }};
}

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;

/// Checks a case at a point of this shape in all kinds of numbers.
#[track_caller]
fn check<const D: usize, const E: usize>(case: impl Case<D, E>, dims: [usize; D]) {
    check_to(case, dims, 1e-10);
}

#[track_caller]
fn check_to<const D: usize, const E: usize>(case: impl Case<D, E>, dims: [usize; D], plain_tolerance: f64) {
    // On an autodiff device, so that normalisations are in the mode of their flag.
    let x = tensor::<D>(dims, 1).autodiff();
    let directions: [Tensor<D>; 3] = std::array::from_fn(|index| tensor(dims, 2 + index as u64));

    let plain = case.run(&Values, x.clone());
    assert_close(&values(&value(&case, x.clone())), &values(&plain), plain_tolerance);
    first_derivatives(&case, &x, &directions);
    let second = second_derivatives(&case, &x, &directions);
    shared_passes(&case, &x, &directions, &second);
    reverse_over_forward(&case, &x, &directions[0]);
}

fn value<const D: usize, const E: usize>(case: &impl Case<D, E>, x: Tensor<D>) -> Tensor<E> {
    let duals = Duals::new();
    case.run(&duals, duals.constant(x)).value()
}

fn slope<const D: usize, const E: usize>(case: &impl Case<D, E>, x: Tensor<D>, direction: &Tensor<D>) -> Tensor<E> {
    let duals = Duals::new();
    duals.tangent(&case.run(&duals, duals.variable(x, direction.clone())))
}

/// `(f(x + h v) - f(x - h v)) / 2h`
fn difference<const D: usize, const E: usize>(
    function: impl Fn(Tensor<D>) -> Tensor<E>,
    x: &Tensor<D>,
    direction: &Tensor<D>,
) -> Tensor<E> {
    let at = |step: f64| function(x.clone() + direction.clone() * step);
    (at(STEP) - at(-STEP)) / (2.0 * STEP)
}

#[track_caller]
fn first_derivatives<const D: usize, const E: usize>(
    case: &impl Case<D, E>,
    x: &Tensor<D>,
    directions: &[Tensor<D>; 3],
) {
    for direction in directions {
        let expected = difference(|x| value(case, x), x, direction);
        assert_close(&values(&slope(case, x.clone(), direction)), &values(&expected), TOLERANCE);
    }
}

/// The second derivatives in the three directions, by jets.
#[track_caller]
fn second_derivatives<const D: usize, const E: usize>(
    case: &impl Case<D, E>,
    x: &Tensor<D>,
    directions: &[Tensor<D>; 3],
) -> Vec<Tensor<E>> {
    let second = |direction: &Tensor<D>| {
        let jets = Jets::new(2);
        let derivatives = jets.derivatives(&case.run(&jets, jets.variable(x.clone(), direction.clone())));
        assert_close(&values(&derivatives[0]), &values(&slope(case, x.clone(), direction)), 1e-9);
        let expected = difference(|x| slope(case, x, direction), x, direction);
        assert_close(&values(&derivatives[1]), &values(&expected), TOLERANCE);
        derivatives[1].clone()
    };
    directions.iter().map(second).collect()
}

/// Several directions at once give what single ones do.
#[track_caller]
fn shared_passes<const D: usize, const E: usize>(
    case: &impl Case<D, E>,
    x: &Tensor<D>,
    directions: &[Tensor<D>; 3],
    second: &[Tensor<E>],
) {
    let stacked = Tensor::cat(directions.to_vec(), 0);
    let slopes = directions.iter().map(|direction| slope(case, x.clone(), direction)).collect();
    let slopes = values(&Tensor::cat(slopes, 0));

    let duals = Duals::in_directions(3);
    let output = case.run(&duals, duals.variable(x.clone(), stacked.clone()));
    assert_close(&values(&duals.tangent(&output)), &slopes, 1e-9);

    let laplacians = Laplacians::new(3);
    let output = case.run(&laplacians, laplacians.variable(x.clone(), stacked.clone()));
    assert_close(&values(&laplacians.first(&output)), &slopes, 1e-9);
    let trace = second[0].clone() + second[1].clone() + second[2].clone();
    assert_close(&values(&laplacians.laplacian(&output)), &values(&trace), 1e-9);

    let hessians = Hessians::new(3);
    let output = case.run(&hessians, hessians.variable(x.clone(), stacked));
    let pairs = values(&hessians.second(&output));
    let count = pairs.len() / 6;
    for (pair, direction) in [(0, 0), (3, 1), (5, 2)] {
        assert_close(&pairs[pair * count..(pair + 1) * count], &values(&second[direction]), 1e-9);
    }
    // d_12 from the second derivative along the sum of the directions.
    let sum = directions[0].clone() + directions[1].clone();
    let jets = Jets::new(2);
    let along = jets.derivatives(&case.run(&jets, jets.variable(x.clone(), sum)))[1].clone();
    let mixed = (along - second[0].clone() - second[1].clone()) / 2.0;
    assert_close(&pairs[count..2 * count], &values(&mixed), 1e-8);
}

/// Hessian products of a scalar made of the outputs, against differences of gradients.
#[track_caller]
fn reverse_over_forward<const D: usize, const E: usize>(case: &impl Case<D, E>, x: &Tensor<D>, direction: &Tensor<D>) {
    let weights = tensor::<E>(value(case, x.clone()).dims(), 9);
    let scalar = |duals: &Duals, x: Number<D>| {
        let output = case.run(duals, x);
        duals.sum(duals.mul(duals.square(output), duals.constant(weights.clone())))
    };
    let gradient = |x: Tensor<D>| {
        let duals = Duals::new();
        vjp(|x| scalar(&duals, duals.constant(x)).value(), x, Tensor::ones_like).1
    };
    let product = hvp_inputs(scalar, x.clone(), direction.clone());
    let expected = difference(gradient, &x.clone().inner(), direction);
    assert_close(&values(&product), &values(&expected), TOLERANCE);
}

#[test]
fn element_wise_functions() {
    let functions = [
        Function::Relu,
        Function::LeakyRelu(0.1),
        Function::Elu(1.3),
        Function::Selu,
        Function::Gelu,
        Function::GeluTanh,
        Function::Silu,
        Function::Tanh,
        Function::Sigmoid,
        Function::Softplus,
        Function::Exp,
        Function::Expm1,
        Function::Square,
        Function::Power(3.0),
        Function::Sin,
        Function::Cos,
        Function::Erf,
        Function::Abs,
        Function::ClampMin(-0.2),
        Function::ClampMax(0.3),
    ];
    for function in functions {
        check_to(case!([f: Function = function] <2, 2> |n, x| n.apply(f, x)), [3, 4], 1e-6);
    }
    let positive = [Function::Log, Function::Log1p, Function::Sqrt, Function::Recip, Function::Power(1.7)];
    for function in positive {
        check(case!([f: Function = function] <2, 2> |n, x| n.apply(f, n.shift(n.square(x), 0.5))), [3, 4]);
    }
}

#[test]
fn arithmetic_broadcasts() {
    check(
        case!(<2, 2> |n, x| {
            let row = n.narrow(x.clone(), 0, 0, 1);
            let column = n.narrow(x.clone(), 1, 1, 1);
            let sum = n.add(n.mul(x.clone(), row.clone()), n.sub(column.clone(), x));
            n.mul(n.add(row.clone(), column.clone()), n.sub(sum, n.mul(row, column)))
        }),
        [3, 4],
    );
    check(case!(<2, 2> |n, x| n.div(x.clone(), n.shift(n.square(x), 1.0))), [3, 4]);
    check(case!(<2, 2> |n, x| n.sub(n.constant(tensor([3, 4], 5)), n.shift(n.scale(n.neg(x), 3.0), 1.0))), [3, 4]);
}

#[test]
fn shapes_and_reductions() {
    check(case!(<3, 1> |n, x| n.mean(n.square(x))), [2, 3, 4]);
    check(case!(<3, 1> |n, x| n.sum(n.tanh(x))), [2, 3, 4]);
    check(case!(<3, 3> |n, x| n.square(n.sum_dim(n.mean_dim(x, 0), 2))), [2, 3, 4]);
    check(case!(<3, 3> |n, x| n.square(n.mean_dim(n.sum_dim(x, 0), 1))), [2, 3, 4]);
    check(case!(<3, 2> |n, x| n.square(n.flatten(n.swap_dims(x, 0, 1), 0, 1))), [2, 3, 4]);
    check(case!(<3, 3> |n, x| n.square(n.permute(n.permute(x, [0, 2, 1]), [2, 0, 1]))), [2, 3, 4]);
    check(case!(<3, 3> |n, x| n.square(n.slice(x, s![0..1, ..;2, 1..3]))), [2, 3, 4]);
    check(case!(<3, 3> |n, x| n.square(n.pad(x, [(1, 0), (0, 2), (1, 1)]))), [2, 3, 4]);
    check(
        case!(<3, 3> |n, x| {
            let rows = n.cat(vec![x.clone(), n.constant(tensor([1, 3, 4], 3)), n.square(x)], 0);
            n.square(n.cat(vec![rows.clone(), n.tanh(rows)], 2))
        }),
        [2, 3, 4],
    );
    check(
        case!(<2, 3> |n, x| {
            let expanded = n.expand(n.unsqueeze_dim::<2, 3>(x, 0), [5, 3, 4]);
            n.square(n.expand(n.narrow(expanded, 1, 0, 1), [5, 2, 4]))
        }),
        [3, 4],
    );
    check(case!(<3, 2> |n, x| n.square(n.squeeze_dim(n.narrow(x, 0, 1, 1), 0))), [2, 3, 4]);
    check(
        case!(<2, 2> |n, x| {
            let ids = Tensor::<1, Int>::from_ints([2, 0, 2], &Device::flex());
            n.square(n.select(n.select(x, 1, ids.clone()), 0, ids))
        }),
        [3, 4],
    );
    check(
        case!(<2, 2> |n, x| {
            n.square(n.gather(x, 1, Tensor::from_ints([[1], [0], [3]], &Device::flex())))
        }),
        [3, 4],
    );
}

#[test]
fn matrix_products_and_attention() {
    check(case!(<3, 3> |n, x| n.matmul(x.clone(), n.swap_dims(n.tanh(x), 1, 2))), [2, 3, 4]);
    for options in [
        AttentionModuleOptions::default(),
        AttentionModuleOptions { is_causal: true, ..Default::default() },
        AttentionModuleOptions { scale: Some(0.7), softcap: Some(1.5), is_causal: true },
    ] {
        check(
            case!([o: AttentionModuleOptions = options] <4, 4> |n, x| {
                n.attention(n.scale(x.clone(), 2.0), n.sin(x.clone()), x, *o)
            }),
            [2, 2, 3, 4],
        );
    }
}

#[test]
fn softmax_along_any_axis() {
    for axis in [1, 2] {
        check(case!([a: usize = axis] <3, 3> |n, x| n.softmax(n.scale(x, 3.0), *a)), [2, 3, 4]);
        check(case!([a: usize = axis] <3, 3> |n, x| n.log_softmax(n.scale(x, 3.0), *a)), [2, 3, 4]);
    }
}

#[test]
fn dense_layers_and_convolutions() {
    let device = Device::flex();
    let linear = double(LinearConfig::new(4, 5).init(&device));
    check(case!([l: burn::nn::Linear = linear.clone()] <3, 3> |n, x| n.square(n.linear(l, x))), [2, 3, 4]);
    check(case!([l: burn::nn::Linear = linear] <1, 1> |n, x| n.square(n.linear(l, x))), [4]);

    let conv = Conv1dConfig::new(2, 3, 4).with_stride(2).with_padding(PaddingConfig1d::Same);
    let conv = double(conv.init(&device));
    check(case!([l: burn::nn::conv::Conv1d = conv] <3, 3> |n, x| n.square(n.conv1d(l, x))), [2, 2, 7]);

    let conv = Conv2dConfig::new([4, 6], [3, 2]).with_groups(2).with_dilation([1, 2]).with_stride([2, 1]);
    let conv = double(conv.with_padding(PaddingConfig2d::Explicit(1, 2, 1, 2)).init(&device));
    check(case!([l: burn::nn::conv::Conv2d = conv] <4, 4> |n, x| n.square(n.conv2d(l, x))), [2, 4, 5, 6]);

    let conv = double(ConvTranspose1dConfig::new([2, 3], 3).with_stride(2).with_padding(1).init(&device));
    check(
        case!([l: burn::nn::conv::ConvTranspose1d = conv] <3, 3> |n, x| n.square(n.conv_transpose1d(l, x))),
        [2, 2, 5],
    );

    let conv = double(ConvTranspose2dConfig::new([2, 3], [3, 3]).with_stride([2, 2]).init(&device));
    check(
        case!([l: burn::nn::conv::ConvTranspose2d = conv] <4, 4> |n, x| n.square(n.conv_transpose2d(l, x))),
        [2, 2, 3, 4],
    );
}

#[test]
fn pooling() {
    let overlapping = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
    for options in [MaxPoolOptions::new([2, 2]), overlapping] {
        check(case!([o: MaxPoolOptions<2> = options] <4, 4> |n, x| n.square(n.max_pool2d(x, o.clone()))), [2, 2, 4, 6]);
    }
    check(case!(<3, 3> |n, x| n.square(n.max_pool1d(x, MaxPoolOptions::new([2])))), [2, 2, 6]);
    check(case!(<3, 3> |n, x| n.square(n.avg_pool1d(x, AvgPoolOptions::new([2])))), [2, 2, 6]);
    check(case!(<4, 4> |n, x| n.square(n.avg_pool2d(x, AvgPoolOptions::new([2, 2])))), [2, 2, 4, 6]);
    check(case!(<3, 3> |n, x| n.square(n.adaptive_avg_pool1d(x, 2))), [2, 2, 5]);
    check(case!(<4, 4> |n, x| n.square(n.adaptive_avg_pool2d(x, [2, 3]))), [2, 2, 5, 4]);
}

#[test]
fn normalisations() {
    let device = Device::flex();
    let batch = || {
        let mut norm = double(BatchNormConfig::new(3).init(&device));
        norm.gamma = Param::from_tensor(tensor([3], 4));
        norm.beta = Param::from_tensor(tensor([3], 5));
        norm
    };
    check(case!([l: burn::nn::BatchNorm = batch()] <4, 4> |n, x| n.batch_norm(l, x)), [4, 3, 2, 2]);
    check(case!([l: burn::nn::BatchNorm = batch()] <2, 2> |n, x| n.batch_norm(l, x)), [5, 3]);
    check(case!([l: burn::nn::BatchNorm = batch().valid()] <4, 4> |n, x| n.square(n.batch_norm(l, x))), [4, 3, 2, 2]);
    let configs = [
        (NormalizationConfig::Identity, 1e-10),
        (NormalizationConfig::Layer(LayerNormConfig::new(5).with_epsilon(1e-6)), 1e-10),
        (NormalizationConfig::Group(GroupNormConfig::new(2, 4)), 1e-10),
        (NormalizationConfig::Instance(InstanceNormConfig::new(4)), 1e-10),
        (NormalizationConfig::Rms(RmsNormConfig::new(5)), 1e-6),
    ];
    for (config, tolerance) in configs {
        let norm = double(config.init(&device));
        check_to(case!([l: Normalization = norm] <3, 3> |n, x| n.normalisation(l, x)), [2, 4, 5], tolerance);
    }
}

#[test]
fn losses() {
    let targets = || Tensor::<1, Int>::from_ints([1, 3, 0], &Device::flex());
    check(case!([t: Tensor<1, Int> = targets()] <2, 1> |n, x| loss::cross_entropy(n, x, t.clone())), [3, 4]);
    check(case!(<2, 1> |n, x| loss::mean_squared_error(n, n.tanh(x), tensor([3, 4], 6))), [3, 4]);
    for tau in [0.0, 0.5, 1.0, 1.7, 2.0] {
        check(
            case!([t: Tensor<1, Int> = targets(), tau: f64 = tau] <2, 1> |n, x| {
                loss::comp_sum(n, x, t.clone(), *tau)
            }),
            [3, 4],
        );
    }
}

#[test]
fn zero_derivatives_are_not_stored() {
    let duals = Duals::new();
    let layer = double(LinearConfig::new(4, 5).init(&Device::flex()));
    let x = duals.constant(tensor::<2>([3, 4], 1));
    let hidden = duals.softmax(duals.tanh(duals.linear(&layer, x.clone())), 1);
    let joined = duals.cat(vec![hidden.clone(), duals.square(hidden)], 1);
    let output = duals.mean(duals.matmul(joined.clone(), duals.swap_dims(joined, 0, 1)));
    assert!(output.is_constant() && output.part(0).is_none());

    // What is linear in the inputs has no second part.
    let laplacians = Laplacians::new(2);
    let moved = laplacians.variable(tensor::<2>([3, 4], 1), tensor([6, 4], 2));
    let moved = laplacians.relu(laplacians.linear(&layer, moved));
    assert!(moved.part(0).is_some() && moved.part(1).is_none());
}

#[test]
#[should_panic(expected = "draws another mask at every evaluation")]
fn dropout_in_training_mode_is_refused() {
    let duals = Duals::new();
    let dropout = burn::nn::DropoutConfig::new(0.5).init();
    duals.dropout(&dropout, duals.constant(tensor::<2>([3, 4], 1).autodiff()));
}
