//! The linear kernel against Burn's own operations.

use burn::tensor::{DType, Device, Tensor, module};
use kiln_check::random::{cases, normal as random};
use kiln_check::rounding::{Bounded, double};
use kiln_check::{assert_close, central_differences, distance, values};
use kiln_kernels::linear;
use proptest::prelude::*;

/// Output of Burn's layer, and its gradients by input, weight and bias.
type OfBurn = (Tensor<3>, Tensor<3>, Tensor<2>, Option<Tensor<1>>);

/// In double precision.
fn by_burn(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>, upstream: Tensor<3>) -> OfBurn {
    let [x, upstream] = [x, upstream].map(|tensor| double(&tensor).autodiff().require_grad());
    let weight = double(&weight).autodiff().require_grad();
    let bias = bias.map(|bias| double(&bias).autodiff().require_grad());
    let output = module::linear(x.clone(), weight.clone(), bias.clone());
    let gradients = (output.clone() * upstream).sum().backward();
    let of_bias = bias.map(|bias| bias.grad(&gradients).unwrap());
    (output, x.grad(&gradients).unwrap(), weight.grad(&gradients).unwrap(), of_bias)
}

/// Output and gradients of the kernel are Burn's, to the rounding of their sums.
fn agrees(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) {
    let dtype = x.dtype();
    let output = linear::forward(x.clone(), weight.clone(), bias.clone());
    let upstream = random(output.dims(), dtype);
    let (of_x, of_weight, of_bias) = linear::backward(x.clone(), weight.clone(), upstream.clone(), [true; 3]);

    let ([outer, rows, inputs], outputs) = (x.dims(), weight.dims()[1]);
    let exact = by_burn(x.clone(), weight.clone(), bias.clone(), upstream.clone());
    // Every result is a sum of products: those of the absolute values say how large its terms are.
    let sizes = by_burn(x.abs(), weight.abs(), bias.map(Tensor::abs), upstream.abs());
    Bounded::sums(&exact.0, &sizes.0, inputs + 1, dtype).assert_holds(&output, "output");
    Bounded::sums(&exact.1, &sizes.1, outputs, dtype).assert_holds(&of_x.unwrap(), "gradient by the input");
    Bounded::sums(&exact.2, &sizes.2, outer * rows, dtype).assert_holds(&of_weight.unwrap(), "by the weight");
    if let (Some(exact), Some(sizes)) = (exact.3, sizes.3) {
        Bounded::sums(&exact, &sizes, outer * rows, dtype).assert_holds(&of_bias.unwrap(), "by the bias");
    }
}

fn dtypes() -> impl Strategy<Value = DType> {
    prop_oneof![Just(DType::F32), Just(DType::F64)]
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn output_and_gradients_are_those_of_burn(
        [outer, rows] in [1..4usize, 1..40usize],
        [inputs, outputs] in [1..140usize, 1..140usize],
        dtype in dtypes(),
        has_bias: bool,
        is_transposed: bool,
    ) {
        let weight = if is_transposed { random([outputs, inputs], dtype).transpose() } else { random([inputs, outputs], dtype) };
        agrees(random([outer, rows, inputs], dtype), weight, has_bias.then(|| random([outputs], dtype)));
    }
}

#[test]
fn products_that_are_cut_are_those_of_burn() {
    // Parts of whole vectors, where factors are read as they lie, and others.
    for dims in [[64, 256, 256], [300, 128, 200], [7, 700, 900], [2000, 40, 30], [200, 64, 144], [70, 33, 256]] {
        for dtype in [DType::F32, DType::F64] {
            let [rows, inputs, outputs] = dims;
            agrees(random([1, rows, inputs], dtype), random([inputs, outputs], dtype), Some(random([outputs], dtype)));
        }
    }
}

#[test]
fn views_of_all_kinds_are_read_as_burn_reads_them() {
    let wide = random([6, 5, 9], DType::F32);
    let weight = random([4, 7], DType::F32);
    let bias = || Some(random([14], DType::F32).narrow(0, 3, 7));
    for x in [
        wide.clone().narrow(2, 3, 4),
        wide.clone().narrow(1, 2, 2).narrow(2, 0, 4),
        wide.clone().narrow(2, 0, 4).flip([0, 2]),
        wide.clone().narrow(2, 0, 1).expand([6, 5, 4]),
        wide.clone().swap_dims(0, 2).narrow(2, 1, 4),
        wide.clone().narrow(0, 0, 4).permute([1, 2, 0]),
    ] {
        agrees(x, weight.clone(), bias());
    }
}

#[test]
fn an_upstream_gradient_may_be_one_value_everywhere() {
    let (x, weight) = (random([3, 4], DType::F32), random([4, 2], DType::F32));
    let upstream = Tensor::<2>::ones([1, 1], &Device::flex()).expand([3, 2]);
    let (of_x, of_weight, of_bias) = linear::backward(x.clone(), weight.clone(), upstream, [true; 3]);
    let of_rows = |weight: Tensor<2>| weight.sum_dim(1).transpose().expand([3, 4]);
    Bounded::given(&weight).linear(2, of_rows).assert_holds(&of_x.unwrap(), "gradient by the input");
    let of_cols = |x: Tensor<2>| x.sum_dim(0).transpose().expand([4, 2]);
    Bounded::given(&x).linear(3, of_cols).assert_holds(&of_weight.unwrap(), "by the weight");
    assert_close(&values(&of_bias.unwrap()), &[3.0, 3.0], 0.0);
}

#[test]
fn nothing_but_what_is_wanted_is_computed() {
    let (x, weight, upstream) = (random([3, 4], DType::F32), random([4, 2], DType::F32), random([3, 2], DType::F32));
    for wanted in [[false; 3], [true, false, false], [false, true, false], [false, false, true]] {
        let (of_x, of_weight, of_bias) = linear::backward(x.clone(), weight.clone(), upstream.clone(), wanted);
        assert_eq!([of_x.is_some(), of_weight.is_some(), of_bias.is_some()], wanted);
    }
}

#[test]
fn empty_batches_and_empty_layers_have_empty_outputs_and_zero_gradients() {
    for [rows, inputs, outputs] in [[0, 3, 2], [2, 3, 0], [2, 0, 3]] {
        let (x, weight) = (random([rows, inputs], DType::F32), random([inputs, outputs], DType::F32));
        let bias = Tensor::<1>::ones([outputs], &Device::flex());
        let output = linear::forward(x.clone(), weight.clone(), Some(bias));
        assert_eq!(output.dims(), [rows, outputs]);
        assert!(values(&output).iter().all(|value| *value == 1.0));
        let upstream = Tensor::ones([rows, outputs], &Device::flex());
        let (of_x, of_weight, of_bias) = linear::backward(x, weight, upstream, [true; 3]);
        assert_close(&values(&of_x.unwrap()), &vec![0.0; rows * inputs], 0.0);
        assert_close(&values(&of_weight.unwrap()), &vec![0.0; inputs * outputs], 0.0);
        assert_close(&values(&of_bias.unwrap()), &vec![rows as f64; outputs], 0.0);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for [rows, inputs, outputs] in [[64, 256, 256], [500, 33, 400], [3, 1000, 1200], [5000, 20, 30]] {
        let (x, weight) = (random([rows, inputs], DType::F32), random([inputs, outputs], DType::F32));
        let (bias, upstream) = (random([outputs], DType::F32), random([rows, outputs], DType::F32));
        let results = [1, 2, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let output = linear::forward(x.clone(), weight.clone(), Some(bias.clone()));
                let (of_x, of_weight, of_bias) =
                    linear::backward(x.clone(), weight.clone(), upstream.clone(), [true; 3]);
                (
                    output.into_data(),
                    of_x.unwrap().into_data(),
                    of_weight.unwrap().into_data(),
                    of_bias.unwrap().into_data(),
                )
            })
        });
        assert!(results[0] == results[1] && results[1] == results[2], "{rows} x {inputs} x {outputs}");
    }
}

#[test]
fn other_types_and_tensors_in_the_graph_are_left_to_burn() {
    let (x, weight) = (random([3, 4], DType::F32), random([4, 2], DType::F32));
    assert!(linear::applies(&x, &weight, None));
    assert!(linear::applies(&x.clone().autodiff(), &weight, None));
    assert!(!linear::applies(&x, &weight, Some(&random([2], DType::F64))));
    assert!(!linear::applies(&x.clone().cast(DType::BF16), &weight.clone().cast(DType::BF16), None));

    let tracked = weight.clone().autodiff().require_grad();
    let output = linear::forward(x.clone().autodiff(), tracked.clone(), None);
    assert!(tracked.grad(&output.sum().backward()).is_some());
    let half = linear::forward(x.clone().cast(DType::BF16), weight.clone().cast(DType::BF16), None);
    assert!(distance(&half.cast(DType::F32), &linear::forward(x, weight, None)) < 0.05);
}

#[test]
#[should_panic(expected = "an input of shape [3, 4], a weight of shape [5, 2] and a bias of 2 do not fit")]
fn shapes_that_do_not_fit_are_named() {
    linear::forward(random([3, 4], DType::F32), random([5, 2], DType::F32), None);
}

#[test]
fn gradients_are_those_of_central_differences() {
    let weight = random([3, 2], DType::F64);
    let x: Vec<f64> = (0..12).map(|index| (index as f64 * 0.7).sin()).collect();
    let gradient = {
        let x = Tensor::<2>::from_data(burn::tensor::TensorData::new(x.clone(), [4, 3]), (&Device::flex(), DType::F64));
        let output = linear::forward(x.clone(), weight.clone(), None);
        linear::backward(x, weight.clone(), output * 2.0, [true, false, false]).0.unwrap()
    };
    let sum_of_squares = |x: &[f64]| {
        let x =
            Tensor::<2>::from_data(burn::tensor::TensorData::new(x.to_vec(), [4, 3]), (&Device::flex(), DType::F64));
        values(&linear::forward(x, weight.clone(), None)).iter().map(|value| value * value).sum()
    };
    assert_close(&values(&gradient), &central_differences(sum_of_squares, &x), 1e-6);
}
