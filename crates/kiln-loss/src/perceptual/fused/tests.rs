use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_check::{assert_close, values};

use super::super::scores::Statistics;
use super::super::{OddPolicy, Window};
use super::scale_means;

const ODD: [OddPolicy; 3] = [OddPolicy::ZeroPad, OddPolicy::Crop, OddPolicy::Replicate];

/// Two batches of images that resemble each other in part.
fn pair(dims: [usize; 4]) -> [Vec<f64>; 2] {
    let width = dims[3];
    let x = |place: usize| {
        let (row, column) = ((place / width) as f64, (place % width) as f64);
        0.5 + 0.3 * (0.31 * row + 0.17 * column).sin() + 0.15 * (2.1 * row - 1.3 * column).sin()
    };
    let y = |place: usize| 0.8 * x(place) + 0.1 + 0.1 * (0.7 * place as f64).sin();
    let count = dims.iter().product();
    [(0..count).map(x).collect(), (0..count).map(y).collect()]
}

type Means = fn(&Statistics, &Tensor<4>, &Tensor<4>, usize, OddPolicy) -> Tensor<3>;

/// Means, and the derivatives of their weighted sum by both images.
fn found(
    means: Means,
    statistics: &Statistics,
    (dims, scales, odd): ([usize; 4], usize, OddPolicy),
    dtype: DType,
) -> [Vec<f64>; 3] {
    let device = Device::flex().autodiff();
    let images = pair(dims).map(|values| {
        let data = TensorData::new(values, dims).convert_dtype(dtype);
        Tensor::<4>::from_data(data, (&device, dtype)).require_grad()
    });
    let [x, y] = &images;
    let means = means(statistics, x, y, scales, odd);
    let count = scales * dims[0] * dims[1];
    let weights: Vec<f64> = (0..count).map(|place| 1.0 + 0.3 * place as f64).collect();
    let data = TensorData::new(weights, [scales, dims[0], dims[1]]).convert_dtype(dtype);
    let weights = Tensor::<3>::from_data(data, (&device, dtype));
    let gradients = (means.clone() * weights).sum().backward();
    [values(&means), values(&x.grad(&gradients).unwrap()), values(&y.grad(&gradients).unwrap())]
}

fn statistics(window: Window) -> Statistics {
    Statistics::new("test", window, 1.0, [0.01, 0.03]).unwrap()
}

#[test]
fn the_pass_over_planes_computes_what_the_operations_do() {
    let gaussian = |size| Window::Gaussian { size, sigma: 1.5 };
    let cases = [
        ([2, 3, 11, 11], 1, gaussian(11)),
        ([1, 2, 12, 50], 1, gaussian(11)),
        ([2, 1, 37, 43], 3, gaussian(7)),
        ([1, 1, 41, 70], 4, gaussian(5)),
        ([1, 2, 40, 18], 2, Window::Box { size: 9 }),
        ([1, 1, 5, 40], 1, Window::Box { size: 1 }),
        ([1, 1, 3, 3], 1, gaussian(3)),
    ];
    for (dims, scales, window) in cases {
        for odd in ODD {
            let statistics = statistics(window);
            let shape = (dims, scales, odd);
            let fused: Means = |statistics, x, y, scales, odd| {
                scale_means(statistics, x, y, scales, odd).expect("single precision on the processor")
            };
            let composed: Means =
                |statistics, x, y, scales, odd| statistics.composed_means(x.clone(), y.clone(), scales, odd);
            let single = found(fused, &statistics, shape, DType::F32);
            let double = found(composed, &statistics, shape, DType::F64);
            assert_close(&single[0], &double[0], 2e-6);
            for (single, double) in single[1..].iter().zip(&double[1..]) {
                let largest = double.iter().fold(0.0_f64, |largest, slope| largest.max(slope.abs()));
                let scaled = |slopes: &[f64]| slopes.iter().map(|slope| slope / largest).collect::<Vec<_>>();
                assert_close(&scaled(single), &scaled(double), 2e-5);
            }
        }
    }
}

#[test]
fn one_image_alone_may_be_tracked() {
    let dims = [1, 1, 20, 23];
    let device = Device::flex().autodiff();
    let [x, y] = pair(dims).map(|values| {
        Tensor::<4>::from_data(TensorData::new(values, dims).convert_dtype(DType::F32), (&device, DType::F32))
    });
    let statistics = statistics(Window::Box { size: 5 });
    let slopes = |tracked: Tensor<4>, other: Tensor<4>, is_first: bool| {
        let tracked = tracked.require_grad();
        let (x, y) = if is_first { (tracked.clone(), other) } else { (other, tracked.clone()) };
        let means = scale_means(&statistics, &x, &y, 2, OddPolicy::ZeroPad).unwrap();
        values(&tracked.grad(&means.sum().backward()).unwrap())
    };
    // The measure is symmetric, so that the places of both images can be exchanged.
    assert_close(&slopes(x.clone(), y.clone(), true), &slopes(x.clone(), y.clone(), false), 1e-9);
    assert!(slopes(y, x, true).iter().any(|slope| slope.abs() > 1e-5));
}

#[test]
fn what_is_not_single_precision_or_not_an_image_is_left_to_the_operations() {
    let statistics = statistics(Window::Box { size: 3 });
    let double = Tensor::<4>::zeros([1, 1, 8, 8], (&Device::flex(), DType::F64));
    assert!(scale_means(&statistics, &double, &double, 1, OddPolicy::Crop).is_none());
    let volume = Tensor::<5>::zeros([1, 1, 8, 8, 8], &Device::flex());
    assert!(scale_means(&statistics, &volume, &volume, 1, OddPolicy::Crop).is_none());
    let nothing = Tensor::<4>::zeros([0, 1, 8, 8], &Device::flex());
    assert!(scale_means(&statistics, &nothing, &nothing, 1, OddPolicy::Crop).is_none());
}
