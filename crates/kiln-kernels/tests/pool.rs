//! The pooling kernels against Burn's own operations.

mod maps;

use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, module};
use kiln_check::random::cases;
use kiln_check::rounding::{Bounded, double};
use kiln_check::{assert_close, values};
use kiln_kernels::pool;
use maps::{assert_same_bits_with_any_number_of_threads, random};
use proptest::prelude::*;

/// Output and gradient of Burn's operation, in double precision.
fn by_burn(x: &Tensor<4>, pool: impl Fn(Tensor<4>) -> Tensor<4>, upstream: &Tensor<4>) -> [Tensor<4>; 2] {
    let x = double(x).autodiff().require_grad();
    let output = pool(x.clone());
    let gradients = (output.clone() * double(upstream).autodiff()).sum().backward();
    [output.inner(), x.grad(&gradients).unwrap()]
}

fn max_agrees(x: Tensor<4>, options: &MaxPoolOptions<2>) {
    let (output, largest) = pool::max(x.clone(), options);
    let upstream = random(output.dims(), x.dtype());
    let gradient = pool::max_backward(x.dims(), options, largest, upstream.clone());
    let of_burn = |upstream: &Tensor<4>| by_burn(&x, |x| module::max_pool2d(x, options.clone()), upstream);
    let ([expected, of_x], [_, sizes]) = (of_burn(&upstream), of_burn(&upstream.clone().abs()));
    assert_close(&values(&output), &values(&expected), 0.0);
    let windows = options.kernel_size.iter().product();
    Bounded::sums(&of_x, &sizes, windows, x.dtype()).assert_holds(&gradient, "gradient of the largest values");
}

fn mean_agrees(x: Tensor<4>, options: &AvgPoolOptions<2>) {
    let output = pool::mean(x.clone(), options);
    let upstream = random(output.dims(), x.dtype());
    let gradient = pool::mean_backward(x.dims(), options, upstream.clone());
    let of_burn =
        |x: &Tensor<4>, upstream: &Tensor<4>| by_burn(x, |x| module::avg_pool2d(x, options.clone()), upstream);
    let [expected, of_x] = of_burn(&x, &upstream);
    let [sizes, sizes_of_gradient] = of_burn(&x.clone().abs(), &upstream.clone().abs());
    // The sum, the share of a pixel, and the product of both.
    let roundings = options.kernel_size.iter().product::<usize>() + 2;
    Bounded::sums(&expected, &sizes, roundings, x.dtype()).assert_holds(&output, "means");
    let bounds = Bounded::sums(&of_x, &sizes_of_gradient, roundings, x.dtype());
    bounds.assert_holds(&gradient, "gradient of the means");
}

/// Size of the image, of the window, stride, padding; the window fits.
fn axes() -> impl Strategy<Value = (usize, usize, usize, usize)> {
    (1..20usize, 1..5usize, 1..4usize, 0..3usize).prop_map(|(size, window, stride, padding)| {
        let padding = padding.min(window / 2);
        (size.max(window.saturating_sub(2 * padding)), window, stride, padding)
    })
}

/// Rows of more places than are worked on side by side, the last of them with others once more.
#[test]
fn wide_rows_are_those_of_burn() {
    for (width, stride) in [(45, 1), (45, 2), (64, 2), (61, 3)] {
        let options = MaxPoolOptions::new([3, 3]).with_stride([stride, stride]).with_padding([1, 1]);
        for dtype in [DType::F32, DType::F64] {
            max_agrees(random([2, 3, 7, width], dtype), &options);
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn windows_of_all_kinds_are_those_of_burn(
        examples in 1..4usize,
        channels in 1..4usize,
        (height, down, stride_down, above) in axes(),
        (width, across, stride_across, beside) in axes(),
        is_double: bool,
        counts_padding: bool,
    ) {
        let x = random([examples, channels, height, width], if is_double { DType::F64 } else { DType::F32 });
        let largest = MaxPoolOptions::new([down, across])
            .with_stride([stride_down, stride_across])
            .with_padding([above, beside]);
        prop_assert!(pool::max_applies(&x, &largest));
        max_agrees(x.clone(), &largest);
        let mut mean = AvgPoolOptions::new([down, across])
            .with_stride([stride_down, stride_across])
            .with_padding([above, beside]);
        mean.count_include_pad = counts_padding;
        prop_assert!(pool::mean_applies(&x, &mean));
        mean_agrees(x, &mean);
    }
}

#[test]
fn views_are_read_as_burn_reads_them() {
    let wide = random([3, 4, 9, 11], DType::F32);
    for x in [wide.clone().narrow(3, 2, 7), wide.clone().swap_dims(2, 3), wide.clone().flip([2]), wide.narrow(0, 1, 1)]
    {
        max_agrees(x.clone(), &MaxPoolOptions::new([2, 2]));
        mean_agrees(x, &AvgPoolOptions::new([3, 3]));
    }
}

#[test]
fn the_mean_of_a_whole_map_is_that_of_burn() {
    for dtype in [DType::F32, DType::F64] {
        for side in [1, 5, 8, 13] {
            mean_agrees(random([3, 2, side, side + 2], dtype), &AvgPoolOptions::new([side, side + 2]));
        }
        // More than one task of small maps, the last one not full, and a map that is more than a task.
        mean_agrees(random([100, 7, 8, 8], dtype), &AvgPoolOptions::new([8, 8]));
        mean_agrees(random([2, 2, 130, 130], dtype), &AvgPoolOptions::new([130, 130]));
    }
}

#[test]
fn of_equal_values_the_first_gets_the_gradient_and_what_is_no_number_is_kept() {
    let device = Device::flex();
    let equal = Tensor::<4>::ones([1, 1, 2, 2], &device);
    let options = MaxPoolOptions::new([2, 2]);
    let (_, largest) = pool::max(equal, &options);
    let gradient = pool::max_backward([1, 1, 2, 2], &options, largest, Tensor::full([1, 1, 1, 1], 3.0, &device));
    assert_close(&values(&gradient), &[3.0, 0.0, 0.0, 0.0], 0.0);
    let undefined = Tensor::<4>::from_floats([[[[1.0, f32::NAN], [5.0, 2.0]]]], &device);
    assert!(pool::max(undefined, &options).0.into_scalar::<f32>().is_nan());
    let lowest = Tensor::<4>::full([1, 1, 2, 2], f32::NEG_INFINITY, &device);
    let (output, largest) = pool::max(lowest, &options);
    assert_eq!(output.into_scalar::<f32>(), f32::NEG_INFINITY);
    let gradient = pool::max_backward([1, 1, 2, 2], &options, largest, Tensor::ones([1, 1, 1, 1], &device));
    assert_close(&values(&gradient), &[1.0, 0.0, 0.0, 0.0], 0.0);
}

#[test]
fn the_padding_is_never_the_largest_and_the_last_of_what_is_no_number_is_kept() {
    let device = Device::flex();
    let options = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
    let lowest = Tensor::<4>::full([1, 1, 5, 5], f32::NEG_INFINITY, &device);
    let (output, largest) = pool::max(lowest, &options);
    assert!(values(&output).iter().all(|value| *value == f64::NEG_INFINITY));
    let gradient = pool::max_backward([1, 1, 5, 5], &options, largest, Tensor::ones([1, 1, 3, 3], &device));
    // Windows begin at every second row and column from the padding on; the first pixel that each meets has its gradient.
    let mut first = [0.0; 25];
    for (row, col) in [0, 1, 3].into_iter().flat_map(|row| [0, 1, 3].map(|col| (row, col))) {
        first[row * 5 + col] = 1.0;
    }
    assert_close(&values(&gradient), &first, 0.0);

    let nan = f32::NAN;
    let undefined = Tensor::<4>::from_floats([[[[1.0, nan], [nan, 2.0]]]], &device);
    let options = MaxPoolOptions::new([2, 2]);
    let (_, largest) = pool::max(undefined, &options);
    let gradient = pool::max_backward([1, 1, 2, 2], &options, largest, Tensor::ones([1, 1, 1, 1], &device));
    assert_close(&values(&gradient), &[0.0, 0.0, 1.0, 0.0], 0.0);
}

#[test]
fn what_the_kernels_do_not_compute_is_left_to_burn() {
    let x = random([2, 2, 6, 6], DType::F32);
    assert!(!pool::max_applies(&random([0, 2, 6, 6], DType::F32), &MaxPoolOptions::new([2, 2])));
    assert!(!pool::max_applies(&x, &MaxPoolOptions::new([2, 2]).with_dilation([2, 2])));
    assert!(!pool::max_applies(&random([1, 1, 40, 40], DType::F32), &MaxPoolOptions::new([20, 20])));
    let mut complete = MaxPoolOptions::new([4, 4]);
    complete.ceil_mode = true;
    assert!(!pool::max_applies(&x, &complete));
    assert!(!pool::mean_applies(&x, &AvgPoolOptions::new([2, 2]).with_padding([2, 2])));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    // Large enough that the smallest of the four passes, that over the gradients of the means, is shared out too.
    let x = random([32, 16, 72, 74], DType::F32);
    assert_same_bits_with_any_number_of_threads(move || {
        let (largest, mean) = (MaxPoolOptions::new([3, 3]).with_stride([1, 2]), AvgPoolOptions::new([3, 3]));
        let (output, met) = pool::max(x.clone(), &largest);
        let gradient = pool::max_backward(x.dims(), &largest, met, output.clone());
        let means = pool::mean(x.clone(), &mean);
        let of_means = pool::mean_backward(x.dims(), &mean, means.clone());
        [output, gradient, means, of_means].map(Tensor::into_data).into()
    });
}
