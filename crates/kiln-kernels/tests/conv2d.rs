//! The convolution kernels against Burn's own operations.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, TensorData, module};
use kiln_check::random::{cases, normal as random};
use kiln_check::rounding::{Bounded, double};
use kiln_check::{assert_close, central_differences, distance, values};
use kiln_kernels::conv2d;
use proptest::prelude::*;

/// Output of Burn's convolution, and its gradients by input, weight and bias.
type OfBurn = (Tensor<4>, Tensor<4>, Tensor<4>, Option<Tensor<1>>);

/// In double precision.
fn by_burn([x, weight, upstream]: [Tensor<4>; 3], bias: Option<Tensor<1>>, options: &ConvOptions<2>) -> OfBurn {
    let [x, weight] = [x, weight].map(|tensor| double(&tensor).autodiff().require_grad());
    let bias = bias.map(|bias| double(&bias).autodiff().require_grad());
    let output = module::conv2d(x.clone(), weight.clone(), bias.clone(), options.clone());
    let gradients = (output.clone() * double(&upstream).autodiff()).sum().backward();
    let of_bias = bias.map(|bias| bias.grad(&gradients).unwrap());
    (output, x.grad(&gradients).unwrap(), weight.grad(&gradients).unwrap(), of_bias)
}

/// Output and gradients of the kernel are Burn's, to the rounding of their sums.
fn agrees(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, options: &ConvOptions<2>) {
    let dtype = x.dtype();
    let output = conv2d::forward(x.clone(), weight.clone(), bias.clone(), options);
    let [images, _, height, width] = output.dims();
    let [outputs, inputs, down, across] = weight.dims();
    let upstream = random(output.dims(), dtype);
    let (of_x, of_weight, of_bias) = conv2d::backward(x.clone(), weight.clone(), upstream.clone(), options, [true; 3]);

    let given = [x, weight, upstream];
    let exact = by_burn(given.clone(), bias.clone(), options);
    // Every result is a sum of products: those of the absolute values say how large its terms are.
    let sizes = by_burn(given.map(Tensor::abs), bias.map(Tensor::abs), options);
    let (weights, met, places) = (inputs * down * across, outputs * down * across, images * height * width);
    Bounded::sums(&exact.0, &sizes.0, weights + 1, dtype).assert_holds(&output, "output");
    Bounded::sums(&exact.1, &sizes.1, met, dtype).assert_holds(&of_x.unwrap(), "gradient by the input");
    Bounded::sums(&exact.2, &sizes.2, places, dtype).assert_holds(&of_weight.unwrap(), "by the weight");
    if let (Some(exact), Some(sizes)) = (exact.3, sizes.3) {
        Bounded::sums(&exact, &sizes, places, dtype).assert_holds(&of_bias.unwrap(), "by the bias");
    }
}

/// Along one axis: size of the image, taps, stride, dilation, padding; the kernel fits.
fn axes() -> impl Strategy<Value = (usize, usize, usize, usize, (usize, usize))> {
    (1..13usize, 1..5usize, 1..4usize, 1..4usize, (0..4usize, 0..4usize)).prop_map(
        |(size, taps, stride, dilation, padding)| {
            let reach = (taps - 1) * dilation + 1;
            (size.max(reach.saturating_sub(padding.0 + padding.1)), taps, stride, dilation, padding)
        },
    )
}

/// Groups, channels of a group, outputs of a group.
fn channels() -> impl Strategy<Value = [usize; 3]> {
    let few = (1..4usize, 1..6usize, 1..8usize).prop_map(|(groups, ins, outs)| [groups, ins, outs]);
    let depthwise = (2..7usize, 1..3usize).prop_map(|(groups, outs)| [groups, 1, outs]);
    let many = (17..40usize, 17..40usize).prop_map(|(ins, outs)| [1, ins, outs]);
    prop_oneof![few, depthwise, many]
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn output_and_gradients_are_those_of_burn(
        images in 1..5usize,
        [groups, ins, outs] in channels(),
        vertical in axes(),
        horizontal in axes(),
        is_double: bool,
        has_bias: bool,
    ) {
        let dtype = if is_double { DType::F64 } else { DType::F32 };
        let (height, down, stride_down, dilation_down, padding_down) = vertical;
        let (width, across, stride_across, dilation_across, padding_across) = horizontal;
        let options = ConvOptions::new_with_padding(
            [stride_down, stride_across],
            [padding_down, padding_across],
            [dilation_down, dilation_across],
            groups,
        );
        agrees(
            random([images, groups * ins, height, width], dtype),
            random([groups * outs, ins, down, across], dtype),
            has_bias.then(|| random([groups * outs], dtype)),
            &options,
        );
    }

    /// Lines of the output as long as those of the image, and images of several tiles.
    #[test]
    fn convolutions_that_keep_the_size_are_those_of_burn(
        [height, width] in [1..40usize, 1..40usize],
        [down, across] in [0..3usize, 0..3usize],
        dilation in 1..3usize,
        ins in 1..9usize,
    ) {
        let options = ConvOptions::new([1, 1], [down * dilation, across * dilation], [dilation; 2], 1);
        let weight = random([3, ins, 2 * down + 1, 2 * across + 1], DType::F32);
        agrees(random([2, ins, height, width], DType::F32), weight, None, &options);
    }
}

/// Vectors that end before, at and behind the end of a row, and tiles of maps that are full or not.
#[test]
fn rows_of_all_lengths_are_those_of_burn() {
    for width in 1..70 {
        for stride in [1, 2, 3] {
            let options = ConvOptions::new([stride; 2], [1; 2], [1; 2], 1);
            let weight = random([1 + width % 11, 2, 3, 3], DType::F32);
            agrees(random([1, 2, 5, width], DType::F32), weight, None, &options);
        }
    }
}

/// Some taps of a row meet no pixel, and some pixels of a stride do not exist.
#[test]
fn images_narrower_than_a_stride_are_those_of_burn() {
    for width in 1..6 {
        for (stride, padding) in [(3, 1), (4, 2), (5, 2)] {
            let options = ConvOptions::new([1, stride], [1, padding], [1; 2], 1);
            agrees(random([2, 3, 40, width], DType::F32), random([9, 3, 3, 3], DType::F32), None, &options);
        }
    }
}

#[test]
fn a_rectified_output_is_the_output_without_what_is_negative() {
    for (dims, outputs, kernel, stride, padding) in LARGE {
        for (dtype, groups) in [(DType::F32, 1), (DType::F64, 1), (DType::F32, dims[1])] {
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups);
            let outputs = outputs * groups;
            let (x, weight) = (random(dims, dtype), random([outputs, dims[1] / groups, kernel, kernel], dtype));
            let bias = Some(random([outputs], dtype));
            let rectified = conv2d::forward_rectified(x.clone(), weight.clone(), bias.clone(), &options);
            let expected = conv2d::forward(x, weight, bias, &options).clamp_min(0.0);
            assert!(distance(&rectified, &expected) == 0.0);
        }
    }
}

/// `n c h w -> o`, square kernel, stride, padding.
const LARGE: [([usize; 4], usize, usize, usize, usize); 7] = [
    ([5, 1, 28, 28], 32, 3, 1, 1),
    ([5, 32, 14, 14], 64, 3, 1, 1),
    ([2, 6, 14, 14], 16, 5, 1, 0),
    ([19, 16, 32, 32], 16, 3, 1, 1),
    ([3, 160, 9, 9], 40, 3, 2, 1),
    ([2, 3, 64, 64], 8, 7, 2, 3),
    ([2, 24, 40, 40], 48, 1, 1, 0),
];

#[test]
fn layers_of_real_networks_are_those_of_burn() {
    for (dims, outputs, kernel, stride, padding) in LARGE {
        for dtype in [DType::F32, DType::F64] {
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            let weight = random([outputs, dims[1], kernel, kernel], dtype);
            agrees(random(dims, dtype), weight, Some(random([outputs], dtype)), &options);
        }
    }
}

/// Batches of images under 3 x 3 taps, whose columns are convolved by Winograd's F(4, 3): images, channels of a group, height
/// and width; outputs of a group, groups, padding. The last ones leave strips, vectors and tasks unfilled, and the last part of
/// the images that a gradient by the weights sums at once.
const BATCHES: [([usize; 4], usize, usize, usize); 7] = [
    ([16, 16, 32, 32], 16, 1, 1),
    ([16, 32, 16, 16], 32, 1, 1),
    ([16, 64, 8, 8], 64, 1, 1),
    ([19, 24, 14, 13], 17, 1, 0),
    ([11, 8, 30, 9], 9, 3, 1),
    ([9, 10, 22, 17], 12, 1, 2),
    ([40, 8, 16, 16], 8, 2, 1),
];

#[test]
fn batches_under_nine_taps_are_those_of_burn() {
    for ([images, channels, height, width], outputs, groups, padding) in BATCHES {
        let options = ConvOptions::new([1; 2], [padding; 2], [1; 2], groups);
        let x = random([images, channels * groups, height, width], DType::F32);
        let weight = random([outputs * groups, channels, 3, 3], DType::F32);
        agrees(x, weight, Some(random([outputs * groups], DType::F32)), &options);
    }
}

#[test]
fn a_rectified_batch_is_the_batch_without_what_is_negative() {
    let (dims, outputs, ..) = BATCHES[0];
    let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
    let (x, weight) = (random(dims, DType::F32), random([outputs, dims[1], 3, 3], DType::F32));
    let bias = Some(random([outputs], DType::F32));
    let rectified = conv2d::forward_rectified(x.clone(), weight.clone(), bias.clone(), &options);
    let output = conv2d::forward(x, weight, bias, &options);
    assert_eq!(rectified.into_data(), output.clamp_min(0.0).into_data());
}

/// In a batch as anywhere else a pixel that is not a number, or infinite, is in the outputs that meet it, and in no others.
#[test]
fn a_pixel_that_is_no_number_spoils_the_outputs_that_meet_it() {
    let (dims, outputs, ..) = BATCHES[1];
    for pixel in [f32::NAN, f32::INFINITY] {
        let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
        let one = Tensor::full([1, 1, 1, 1], pixel, &Device::flex());
        let x = random(dims, DType::F32).slice_assign([3..4, 0..1, 5..6, 7..8], one);
        let output = conv2d::forward(x, random([outputs, dims[1], 3, 3], DType::F32), None, &options);
        for (at, value) in values(&output).iter().enumerate() {
            let (image, row, col) = (at / (outputs * 256), at / 16 % 16, at % 16);
            let meets = image == 3 && (4..=6).contains(&row) && (6..=8).contains(&col);
            assert_eq!(value.is_finite(), !meets, "image {image}, row {row}, column {col}: {value}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let depthwise = ([8, 32, 30, 30], 32, 32, 1);
    let dense = LARGE.map(|(dims, outputs, kernel, ..)| (dims, outputs, 1, kernel));
    let batches = BATCHES.map(|(dims, outputs, ..)| (dims, outputs, 1, 3));
    for (dims, outputs, groups, kernel) in
        dense.into_iter().chain(batches).chain([(depthwise.0, depthwise.1, depthwise.2, 3)])
    {
        let options = ConvOptions::new([1; 2], [kernel / 2; 2], [1; 2], groups);
        let weight = random([outputs, dims[1] / groups, kernel, kernel], DType::F32);
        let (x, bias) = (random(dims, DType::F32), random([outputs], DType::F32));
        let output = conv2d::forward(x.clone(), weight.clone(), Some(bias.clone()), &options);
        let upstream = random(output.dims(), DType::F32);
        let results = [1, 2, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let output = conv2d::forward(x.clone(), weight.clone(), Some(bias.clone()), &options);
                let (of_x, of_weight, of_bias) =
                    conv2d::backward(x.clone(), weight.clone(), upstream.clone(), &options, [true; 3]);
                let gradients =
                    [of_x.unwrap().into_data(), of_weight.unwrap().into_data(), of_bias.unwrap().into_data()];
                (output.into_data(), gradients)
            })
        });
        assert!(results[0] == results[1] && results[1] == results[2], "{dims:?} -> {outputs}, kernel {kernel}");
    }
}

#[test]
fn views_of_all_kinds_are_read_as_burn_reads_them() {
    let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
    let wide = random([4, 6, 8, 10], DType::F32);
    let weight = random([3, 3, 5, 6], DType::F32).permute([2, 3, 0, 1]);
    for x in [
        wide.clone().narrow(3, 2, 5).narrow(0, 1, 2),
        wide.clone().swap_dims(2, 3),
        wide.clone().flip([1, 3]),
        wide.clone().narrow(1, 0, 1).expand([4, 6, 8, 10]),
    ] {
        agrees(x, weight.clone(), Some(random([10], DType::F32).narrow(0, 2, 5)), &options);
    }
    let (x, weight) = (random([2, 1, 3, 3], DType::F32), random([1, 1, 1, 1], DType::F32));
    let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
    let upstream = Tensor::<4>::ones([1; 4], &Device::flex()).expand([2, 1, 3, 3]);
    let (_, of_weight, of_bias) = conv2d::backward(x.clone(), weight, upstream, &options, [true; 3]);
    let bounds = Bounded::given(&x).linear(18, |x| x.sum().reshape([1, 1, 1, 1]));
    bounds.assert_holds(&of_weight.unwrap(), "the sum of all pixels");
    assert_close(&values(&of_bias.unwrap()), &[18.0], 0.0);
}

/// A pixel that is not a number, or infinite, is in the gradients of the weights that meet it, and of no others.
#[test]
fn a_pixel_that_is_no_number_spoils_the_weights_that_meet_it() {
    for (width, pixel) in [(5, f32::NAN), (9, f32::NAN), (21, f32::INFINITY)] {
        for outputs in [1, 5] {
            let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
            let corner = Tensor::full([1, 1, 1, 1], pixel, &Device::flex());
            let x = random([2, 2, 6, width], DType::F32).slice_assign([0..1, 0..1, 0..1, 0..1], corner);
            let weight = random([outputs, 2, 3, 3], DType::F32);
            let upstream = random([2, outputs, 6, width], DType::F32);
            let (_, of_weight, _) = conv2d::backward(x, weight, upstream, &options, [false, true, false]);
            let of_weight = values(&of_weight.unwrap());
            for (at, value) in of_weight.iter().enumerate() {
                let (channel, down, across) = (at / 9 % 2, at / 3 % 3, at % 3);
                // The taps below and to the right of the middle meet the first pixel nowhere.
                let meets = channel == 0 && down < 2 && across < 2;
                assert_eq!(
                    value.is_finite(),
                    !meets,
                    "width {width}, channel {channel}, tap {down}, {across}: {value}"
                );
            }
        }
    }
}

#[test]
fn empty_batches_have_empty_outputs_and_zero_gradients() {
    for (groups, kernel) in [(1, 3), (1, 1), (4, 3)] {
        let options = ConvOptions::new([1; 2], [kernel / 2; 2], [1; 2], groups);
        let (x, weight) = (random([0, 4, 6, 6], DType::F32), random([8, 4 / groups, kernel, kernel], DType::F32));
        let output = conv2d::forward(x.clone(), weight.clone(), Some(random([8], DType::F32)), &options);
        assert_eq!(output.dims(), [0, 8, 6, 6]);
        let (of_x, of_weight, of_bias) = conv2d::backward(x, weight.clone(), output, &options, [true; 3]);
        assert_eq!(of_x.unwrap().dims(), [0, 4, 6, 6]);
        assert_close(&values(&of_weight.unwrap()), &vec![0.0; weight.dims().iter().product()], 0.0);
        assert_close(&values(&of_bias.unwrap()), &[0.0; 8], 0.0);
    }
}

#[test]
fn images_without_pixels_or_channels_leave_the_bias() {
    for (dims, groups) in [([2, 4, 0, 3], 1), ([2, 4, 0, 3], 4), ([2, 0, 3, 3], 1)] {
        let options = ConvOptions::new([1; 2], [1; 2], [1; 2], groups);
        let weight = random([4, dims[1] / groups, 2, 2], DType::F32);
        let bias = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0], &Device::flex());
        let x = Tensor::<4>::zeros(dims, &Device::flex());
        let output = conv2d::forward(x.clone(), weight.clone(), Some(bias.clone()), &options);
        let expected = bias.reshape([1, 4, 1, 1]).expand(output.dims());
        assert_close(&values(&output), &values(&expected), 0.0);
        let (of_x, of_weight, _) = conv2d::backward(x, weight, output, &options, [true; 3]);
        assert_eq!(of_x.unwrap().dims(), dims);
        assert!(values(&of_weight.unwrap()).iter().all(|value| *value == 0.0));
    }
}

#[test]
fn a_layer_without_outputs_has_an_empty_output_and_a_zero_gradient() {
    let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
    let (x, weight) = (random([2, 3, 5, 5], DType::F32), Tensor::<4>::zeros([0, 3, 2, 2], &Device::flex()));
    let output = conv2d::forward(x.clone(), weight.clone(), None, &options);
    assert_eq!(output.dims(), [2, 0, 4, 4]);
    let (of_x, of_weight, of_bias) = conv2d::backward(x, weight, output, &options, [true; 3]);
    assert_close(&values(&of_x.unwrap()), &[0.0; 150], 0.0);
    assert_eq!((of_weight.unwrap().dims(), of_bias.unwrap().dims()), ([0, 3, 2, 2], [0]));
}

#[test]
fn nothing_but_what_is_wanted_is_computed() {
    let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
    let (x, weight) = (random([2, 3, 5, 5], DType::F32), random([4, 3, 2, 2], DType::F32));
    for wanted in [[false; 3], [true, false, false], [false, true, false], [false, false, true]] {
        let upstream = random([2, 4, 4, 4], DType::F32);
        let (of_x, of_weight, of_bias) = conv2d::backward(x.clone(), weight.clone(), upstream, &options, wanted);
        assert_eq!([of_x.is_some(), of_weight.is_some(), of_bias.is_some()], wanted);
    }
}

#[test]
fn gradients_are_those_of_central_differences() {
    for (groups, ins) in [(1, 4), (2, 2), (4, 1)] {
        let options = ConvOptions::new_with_padding([2, 1], [(1, 0), (0, 2)], [1, 2], groups);
        let (dims, weight) = ([2, 4, 5, 4], random([4, ins, 3, 2], DType::F64));
        let image =
            |x: &[f64]| Tensor::<4>::from_data(TensorData::new(x.to_vec(), dims), (&Device::flex(), DType::F64));
        let x: Vec<f64> = (0..160).map(|index| (index as f64 * 0.7).sin()).collect();
        let output = conv2d::forward(image(&x), weight.clone(), None, &options);
        let (of_x, of_weight, _) = conv2d::backward(image(&x), weight.clone(), output * 2.0, &options, [true; 3]);
        let sum_of_squares = |x: Tensor<4>, weight: Tensor<4>| {
            values(&conv2d::forward(x, weight, None, &options)).iter().map(|value| value * value).sum()
        };
        let by_x = central_differences(|x| sum_of_squares(image(x), weight.clone()), &x);
        assert_close(&values(&of_x.unwrap()), &by_x, 1e-6);
        let with = |weights: &[f64]| {
            let data = TensorData::new(weights.to_vec(), weight.dims());
            sum_of_squares(image(&x), Tensor::from_data(data, (&Device::flex(), DType::F64)))
        };
        assert_close(&values(&of_weight.unwrap()), &central_differences(with, &values(&weight)), 1e-6);
    }
}

#[test]
fn other_types_and_tensors_in_the_graph_are_left_to_burn() {
    let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
    let (x, weight) = (random([2, 3, 5, 5], DType::F32), random([4, 3, 2, 2], DType::F32));
    assert!(conv2d::applies(&x.clone().autodiff(), &weight, None));
    assert!(!conv2d::applies(&x, &weight, Some(&random([4], DType::F64))));
    assert!(!conv2d::applies(&x.clone().cast(DType::BF16), &weight.clone().cast(DType::BF16), None));
    let tracked = weight.clone().autodiff().require_grad();
    let output = conv2d::forward(x.autodiff(), tracked.clone(), None, &options);
    assert!(tracked.grad(&output.sum().backward()).is_some());
}

#[test]
#[should_panic(expected = "images of shape [2, 3, 5, 5] and a weight of shape [4, 2, 2, 2] do not fit 1 groups")]
fn channels_that_do_not_fit_are_named() {
    let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
    conv2d::forward(random([2, 3, 5, 5], DType::F32), random([4, 2, 2, 2], DType::F32), None, &options);
}

#[test]
#[should_panic(expected = "a kernel that reaches over 7 pixels does not fit 5")]
fn kernels_that_are_too_large_are_named() {
    let options = ConvOptions::new([1; 2], [0; 2], [3; 2], 1);
    conv2d::forward(random([2, 3, 5, 5], DType::F32), random([4, 3, 3, 3], DType::F32), None, &options);
}
